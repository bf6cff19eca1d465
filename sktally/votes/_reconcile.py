"""Reconcile the counts of whole sheets with the sums of their form.

Comes in: the probabilities of all boxes of some tallies, and the form. Goes out: the
most probable counts given all fields, how probable they are, and which sums hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sktally.exceptions import TallyError
from sktally.form import TallyForm
from sktally.votes._alone import alone_of_sheet, within_largest
from sktally.votes._joint import JointReading, read_jointly
from sktally.votes._posterior import CountPosterior
from sktally.votes._slips import SumSlips

__all__ = ["ReconciledTallies", "reconcile_tallies"]


@dataclass(frozen=True)
class ReconciledTallies:
    """Counts of tallies, each read in the light of all others on its sheet.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_tallies, n_fields)
        Most probable count of each field given the sheet; -1 where nothing was read
        and no sum says more.
    proba : ndarray of float64, shape (n_tallies, n_fields)
        Probability of that count given the sheet, NaN where there is none.
    raw_proba : ndarray of float64, shape (n_tallies, n_fields)
        Probability, given the sheet, of the count that the field alone suggests.
    holds : ndarray of float64, shape (n_tallies, n_sums)
        Probability that each sum holds as written; NaN on tallies not read. Where it
        does not hold as read, one minus this is how probably the clerk erred.
    broken : ndarray of bool, shape (n_tallies, n_sums)
        Whether it does not hold as read.
    consistent : ndarray of int64, shape (n_tallies, n_fields)
        Most probable counts with which all sums hold; -1 where there are none.
    log_odds : ndarray of float64, shape (n_tallies,)
        Natural logarithm of how much more probable those are than the counts as read.

    Examples
    --------
    >>> from sktally import load_reader, make_tally_pages
    >>> from sktally.votes import reconcile_tallies
    >>> made = make_tally_pages(2, form="example", random_state=1)
    >>> reader = load_reader("example")
    >>> read = reader[-1].predict_tallies(reader[:-1].transform(made.pages))
    >>> sheets = reconcile_tallies(read.digit_proba, made.form)
    >>> sheets.counts.shape, sheets.holds.shape  # tallies and fields, or sums
    ((2, 6), (2, 2))
    """

    counts: npt.NDArray[np.int64]
    proba: npt.NDArray[np.float64]
    raw_proba: npt.NDArray[np.float64]
    holds: npt.NDArray[np.float64]
    broken: npt.NDArray[np.bool_]
    consistent: npt.NDArray[np.int64]
    log_odds: npt.NDArray[np.float64]


def reconcile_tallies(
    digit_proba: npt.ArrayLike, form: TallyForm, *, slips: SumSlips | None = None
) -> ReconciledTallies:
    """Read the counts of whole sheets given the sums that bind them.

    Parameters
    ----------
    digit_proba : array-like of shape (n_tallies, n_fields, n_places, 12)
        Probabilities of the classes, as `TallyPrediction.digit_proba`.
    form : TallyForm
        Says which fields are sums of which.
    slips : SumSlips, optional
        How often sums are off as written, see `fit_slips`; `SumSlips()` by default.

    Returns
    -------
    ReconciledTallies

    Raises
    ------
    TallyError
        If the form has no sums, or `digit_proba` is not of its shape.

    See Also
    --------
    read_jointly : The same for one sheet, with all probabilities.

    Notes
    -----
    An empty box to the right of a digit is, to a form that does not say, either a zero
    never written or the end of a number written from the left; either is given half
    of its probability here, and the sums decide.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally import TallyForm, make_tally_pages, load_reader
    >>> from sktally.votes import reconcile_tallies
    >>> made = make_tally_pages(2, form="example", random_state=1)
    >>> reader = load_reader("example")
    >>> read = reader[-1].predict_tallies(reader[:-1].transform(made.pages))
    >>> sheets = reconcile_tallies(read.digit_proba, reader[0].form_)
    >>> bool((sheets.counts == made.counts).all())
    True
    """
    proba = np.asarray(digit_proba, dtype=np.float64)
    names, n = form.field_names, len(form.field_names)
    if not form.sums:
        raise TallyError(
            f"form: expected sums that bind fields of {form.name!r}, got none; add a "
            "[sums] table to the form"
        )
    if proba.ndim != 4 or proba.shape[1] != n:
        raise TallyError(
            f"digit_proba: expected shape (n_tallies, {n}, n_places, 12), the fields "
            f"of form {form.name!r}, got {proba.shape}"
        )
    places = np.isfinite(form.box_array()[..., 0]).sum(axis=1).tolist()
    bound = {name for total, parts in form.sums.items() for name in (total, *parts)}
    at = [j for j, name in enumerate(names) if name in bound]
    out = _empty(len(proba), n, len(form.sums))
    for i, sheet in enumerate(proba):
        alone = alone_of_sheet(sheet, form.blank_right)
        allowed = within_largest(alone, form)
        if not any(allowed):
            continue
        read = read_jointly(
            [allowed[j] for j in at],
            [names[j] for j in at],
            form.sums,
            slips=slips,
            n_places=[places[j] for j in at],
        )
        given = [*allowed]
        for j, posterior in zip(at, read.posteriors, strict=True):
            given[j] = posterior
        _note(out, i, alone, given, at, read, form)
    return out


def _empty(n_tallies: int, n_fields: int, n_sums: int) -> ReconciledTallies:
    shape = (n_tallies, n_fields)
    return ReconciledTallies(
        counts=np.full(shape, -1),
        proba=np.full(shape, np.nan),
        raw_proba=np.full(shape, np.nan),
        holds=np.full((n_tallies, n_sums), np.nan),
        broken=np.zeros((n_tallies, n_sums), bool),
        consistent=np.full(shape, -1),
        log_odds=np.full(n_tallies, np.nan),
    )


def _note(
    out: ReconciledTallies,
    i: int,
    alone: list[CountPosterior | None],
    given: list[CountPosterior | None],
    at: list[int],
    read: JointReading,
    form: TallyForm,
) -> None:
    """Write down what was read of one sheet; `at` are the fields that sums bind.

    `alone` is what boxes say by themselves, `given` what the whole sheet says.
    """
    raw: dict[str, int] = {}
    for j, (own, joint) in enumerate(zip(alone, given, strict=True)):
        if joint is None:
            continue
        out.counts[i, j], out.proba[i, j] = joint.top(1)[0]
        if own is not None:
            name = form.field_names[j]
            raw[name] = own.top(1)[0][0]
            out.raw_proba[i, j] = joint.of(raw[name])
    out.holds[i] = [read.holds[total] for total in form.sums]
    out.broken[i] = list(_broken(raw, form))
    if read.consistent is not None:
        out.consistent[i] = out.counts[i]  # of fields that no sum binds
        out.consistent[i, at] = read.consistent
    out.log_odds[i] = read.log_odds


def _broken(raw: dict[str, int], form: TallyForm) -> Iterator[bool]:
    for total, parts in form.sums.items():
        if {total, *parts} <= {*raw}:
            yield raw[total] != sum(raw[part] for part in parts)
        else:
            yield False
