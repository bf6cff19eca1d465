"""Learn from what audits have read: how often sums are off, and what boxes are worth.

Comes in: a store with audit readings. Goes out: shares of slips, or a calibrator of
probabilities. Corrections and second entries do not count: they are made where
something looked wrong, and misread digits and sums that do not hold look wrong. An
audit draws its sheets, whatever is on them.
"""

from __future__ import annotations

import numpy as np

from sktally._validate import check_choice
from sktally.exceptions import StoreError, TallyError
from sktally.tables._final import last_of_each
from sktally.tables._origin import form_of
from sktally.tables._records import Run
from sktally.tables._sheets import check_sums, page_proba
from sktally.tables._store import Store, chosen_run
from sktally.tables._values import Edit, edits_of
from sktally.votes import CLASSES, DigitCalibrator, SumSlips, fit_slips

__all__ = ["audited_calibrator", "audited_slips"]

# With one sum on each, and all of them holding, fewer sheets would not tell the share
# of slips that `SumSlips` guesses, 0.06, from none (rule of three: 3 / 50).
_MIN_SHEETS = 50


def audited_slips(store: Store, run: Run | int | None = None) -> tuple[SumSlips, int]:
    """Learn how often sums are off from sheets that audits have read whole.

    Parameters
    ----------
    store : Store
        An open store.
    run : Run or int, optional
        Whose form and pages; by default the one last read in.

    Returns
    -------
    slips : SumSlips
        See `sktally.votes.fit_slips`.
    n_sheets : int
        Sheets that it rests on: of each, an audit has read every field that a sum
        binds. A field that cannot be read, or that two people read differently, leaves
        out the sums that it takes part in.

    Raises
    ------
    StoreError
        If there are fewer than 50 such sheets, or the form has no sums.

    See Also
    --------
    import_edits : Adds readings of the purpose "audit".
    reconcile_store : Reconciles by them.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_reader, read_to_store
    >>> from sktally.tables import Store, audited_slips
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), [], path)
    >>> with Store(path) as store:
    ...     audited_slips(store)
    Traceback (most recent call last):
    sktally.exceptions.StoreError: ... expected at least 50 sheets ..., got 0...
    >>> folder.cleanup()
    """
    run = chosen_run(store, run)
    sums = check_sums(run)
    bound = list(dict.fromkeys(n for total in sums for n in (total, *sums[total])))
    sheets = _audited(store, run).values()
    whole = [[s[n] for n in bound] for s in sheets if {*bound} <= {*s}]
    if len(whole) < _MIN_SHEETS:
        raise StoreError(
            f"{store.path}: expected at least {_MIN_SHEETS} sheets of run {run.id} of "
            f"which audits have read all of {', '.join(bound)}, got {len(whole)}; "
            "import more readings of purpose audit, or give shares of slips"
        )
    return fit_slips(whole, bound, sums), len(whole)


def audited_calibrator(
    store: Store,
    run: Run | int | None = None,
    *,
    by: str = "place",
    method: str = "matrix",
) -> DigitCalibrator:
    """Learn what the probabilities of boxes are worth from counts that audits read.

    Parameters
    ----------
    store : Store
        An open store.
    run : Run or int, optional
        Whose form and pages; by default the one last read in.
    by : {"all", "place"}, default="place"
    method : {"temperature", "matrix"}, default="matrix"
        See `DigitCalibrator`.

    Returns
    -------
    DigitCalibrator
        For the other pages of the run, and more like them read by the same model.

    Raises
    ------
    StoreError
        If audits have read a count on fewer than 20 pages that were read.

    See Also
    --------
    import_edits : Adds readings of the purpose "audit".
    reconcile_store, sktally.review_order, sktally.vote_totals : Take it.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_reader, read_to_store
    >>> from sktally.tables import Store, audited_calibrator
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), [], path)
    >>> with Store(path) as store:
    ...     audited_calibrator(store)
    Traceback (most recent call last):
    sktally.exceptions.StoreError: ... expected at least 20 labelled pages ..., got 0...
    >>> folder.cleanup()
    """
    run = chosen_run(store, run)
    form = form_of(run)
    read = "SELECT sha256, number, id FROM pages WHERE run = ? AND status = 'ok'"
    pages = {(sha256, number): page for sha256, number, page in store.ask(read, run.id)}
    audited = {s: counts for s, counts in _audited(store, run).items() if s in pages}
    proba = np.empty((len(audited), form.n_fields, form.n_places, len(CLASSES)))
    known = np.full(proba.shape[:2], -1)
    for i, (sheet, counts) in enumerate(audited.items()):
        proba[i] = page_proba(store, pages[sheet], form)
        known[i] = [counts.get(name, -1) for name in form.field_names]
    check_choice("by", by, ("all", "place"))
    check_choice("method", method, ("temperature", "matrix"))
    try:
        return DigitCalibrator(by=by, method=method).fit(proba, known)
    except TallyError as error:
        raise StoreError(
            f"{store.path}: audits of run {run.id}: {error}; readings of purpose "
            "audit are imported by import_edits, or `sktally edits import`"
        ) from None


def _audited(store: Store, run: Run) -> dict[tuple[str, int], dict[str, int]]:
    """Return the counts that audits have read, by page and field."""
    ask = (
        "WHERE purpose = 'audit' AND EXISTS (SELECT 1 FROM pages p WHERE p.run = ? AND "
        "p.sha256 = edits.sha256 AND p.number = edits.number)"
    )
    sheets: dict[tuple[str, int], dict[str, int]] = {}
    for (sha256, number, name), edits in edits_of(store, ask, run.id).items():
        sheets.setdefault((sha256, number), {})[name] = _agreed(edits)
    return sheets


def _agreed(edits: list[Edit]) -> int:
    """Return what all people who read a field read last, or -1."""
    last = {edit.count for edit in last_of_each(edits)}
    (count, *others) = last
    return -1 if others or count is None else count
