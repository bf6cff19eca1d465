"""Totals, shares and turnout, put right by a small random audit.

Comes in: what the machine read of every sheet, and what people read of those drawn.
Goes out: a table of estimates with intervals that hold however badly the machine read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sktally._validate import check_choice, check_range
from sktally.exceptions import TallyError, TallyWarning
from sktally.totals._audit import AuditDraw, check_audit
from sktally.totals._inputs import Inputs, frame_of, match
from sktally.totals._names import listed
from sktally.totals._quantities import Quantity, total
from sktally.totals._rows import alone, row_of
from sktally.totals._solve import Group
from sktally.totals._variance import Design

__all__ = ["estimate"]

_METHODS = ("regression", "difference", "ratio", "audit")


def estimate(
    audit: AuditDraw,
    read: pd.DataFrame,
    *,
    of: Sequence[str | Quantity] | None = None,
    by: str | None = None,
    method: str = "regression",
    registered: float | str | None = None,
    unread: float | str = "mean",
    doubtful: str | None = None,
    interval: str = "normal",
    missing: str = "raise",
    confidence_level: float = 0.95,
    audit_only: bool = False,
) -> pd.DataFrame:
    """Estimate totals, shares and turnout from machine counts and an audit.

    The machine's counts are added up over all sheets; what people found wrong on the
    audited ones, weighted by how many sheets each stands for, corrects the sum. That
    holds whatever the machine read, or failed to: a bad machine makes intervals wide,
    not wrong. What is estimated is what stands on paper, clerks' errors included.

    Parameters
    ----------
    audit : AuditDraw
        A draw with readings (`AuditDraw.with_readings`).
    read : DataFrame
        A row for each sheet that could have been drawn (column ``sheet`` or index); a
        column of machine counts for each field, missing where not read.
    of : sequence of str or Quantity, optional
        What to estimate: names of fields (their totals), or what `total`, `share`,
        `difference` and `turnout` return; by default the total of each field audited.
    by : str, optional
        Column of `read` with the group of each sheet: a row for each group.
    method : {"regression", "difference", "ratio", "audit"}, default="regression"
        How far machine counts are trusted: as far as they proved worth it, the factor
        from 0 to 1 that makes the interval shortest; fully, which is exactly unbiased;
        fully once each field is multiplied to fit the audit; or not at all.
    registered : float or str, optional
        The most that a count can be, or the column that says so for each sheet, such
        as its registered voters. Larger machine counts are not believed, larger
        readings are an error. It makes intervals much shorter.
    unread : float or "mean", default="mean"
        Guess for what the machine did not read: a number, or the mean of what it did
        read (per unit of `registered`, if given).
    doubtful : str, optional
        Column of `read`, True for sheets whose counts do not add up as read, or have
        another flaw that shows without the audit. Machine counts that are far out on
        such sheets are tried as not read too, and the shorter interval is kept; for
        ``method="regression"`` only. It makes intervals much shorter.
    interval : {"normal", "bounded"}, default="normal"
        By Student's t with an allowance for rare errors; or one that assumes nothing
        but `registered`, for any sample size, and is much wider. "bounded" is for
        simple draws and sums, not for ratios of audited fields.
    missing : {"raise", "bound"}, default="raise"
        What to do about readings that are missing: leaving sheets out would bias.
        "bound" makes intervals cover all they can be, from 0 to `registered`.
    confidence_level : float, default=0.95
        Coverage of intervals.
    audit_only : bool, default=False
        Whether to add what the audit says without the machine.

    Returns
    -------
    DataFrame
        ``what``, ``estimate``, ``std_error``, ``lower``, ``upper``, ``n_audited``,
        ``n_wrong`` (audited sheets misread or not read), ``n_frame`` sheets,
        ``machine`` (the figure without an audit, unread as 0), ``trust`` (the factor)
        and ``unseen`` (share of the variance allowed for errors that the audit may
        have missed); the column `by` first, if asked for, and ``audit_only``,
        ``audit_only_lower``, ``audit_only_upper`` last.

    Raises
    ------
    TallyError
        If the audit is no random draw or not complete, its sheets are not those of
        `read`, counts are impossible, or a group has fewer than two audited sheets.

    Warns
    -----
    TallyWarning
        If no audited sheet was misread, so that the interval is the allowance alone.

    See Also
    --------
    draw_audit : Draws the sheets.
    ppi_regression : Regressions.

    Notes
    -----
    The difference estimator of survey sampling, sheets as units, ratios linearised
    (Deville 1999); with ``method="regression"`` the power tuning of PPI++, each
    quantity its own, so that totals of parties need not add up to the total of all, as
    those of "difference" do. Rare errors: few sheets are misread, and an audit may by
    chance find none of the worst, so that its own spread is too small. The variance
    therefore counts as misread, by all they differ from the mean (with `doubtful`:
    from the guess for unread ones), the most unusual sheets of the machine, as many as
    one audited sheet stands for. Far out is what lies more than three heights of the
    box outside it (Tukey 1977), per unit of `registered`; on sheets that are not
    doubtful it is believed: parties have strongholds. ``benchmarks/coverage.py`` prints
    coverage.

    References
    ----------
    C.-E. Särndal, B. Swensson and J. Wretman, Model Assisted Survey Sampling, Springer
    1992. A. N. Angelopoulos, J. C. Duchi and T. Zrnic, PPI++: Efficient
    Prediction-Powered Inference, arXiv:2311.01453, 2023. J. W. Tukey, Exploratory Data
    Analysis, Addison-Wesley 1977.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sktally import draw_audit, estimate
    >>> rng = np.random.default_rng(0)
    >>> paper = pd.DataFrame({"ana": rng.integers(50, 150, 500)})
    >>> paper["ben"] = 200 - paper["ana"]
    >>> read = paper.mask(rng.random(paper.shape) < 0.1, 90)
    >>> read.index = paper.index = [f"station {i}" for i in range(500)]
    >>> draw = draw_audit(read.index, 100, random_state=0)
    >>> audit = draw.with_readings(paper.loc[draw.names])
    >>> table = estimate(audit, read, of=["ana"], registered=200)
    >>> bool(table["lower"][0] < paper["ana"].sum() < table["upper"][0])
    True
    """
    if doubtful is not None and (method, interval) != ("regression", "normal"):
        raise TallyError(
            "doubtful: only for method='regression' with interval='normal', got "
            f"{method!r} with {interval!r}; give doubtful=None"
        )
    audit = _check(
        check_audit(audit), method, unread, interval, missing, confidence_level
    )
    assert audit.readings is not None
    wanted = [q if isinstance(q, Quantity) else total(q) for q in _listed(of, audit)]
    table, at = frame_of(audit, read)
    names = list(dict.fromkeys(name for q in wanted for name in q.fields))
    counts = match(
        audit,
        table,
        at,
        names,
        registered=registered,
        unread=unread,
        doubtful=doubtful,
    )
    if np.isnan(counts.hand).any():
        _check_missing(audit, counts, missing)
    design = Design(audit)
    rows, none_wrong = [], []
    for label, group in _groups(table, by, counts, design):
        for quantity in wanted:
            way = "bounded" if interval == "bounded" else method
            row = row_of(quantity, counts, group, design, way, confidence_level)
            if audit_only:
                row |= alone(quantity, counts, group, design, confidence_level)
            if by in row:
                raise TallyError(f"by: the table has a column {by!r} too; rename it")
            rows.append(row if by is None else {by: label, **row})
            if not row["n_wrong"] and design.rest > 0 and method != "audit":
                none_wrong.append(quantity.name)
    if none_wrong and interval == "normal":
        warnings.warn(
            f"{listed(dict.fromkeys(none_wrong))}: no audited sheet was misread, so "
            "that intervals rest on the allowance for rare errors alone; audit more "
            "sheets, or ask for interval='bounded'",
            TallyWarning,
            stacklevel=2,
        )
    return pd.DataFrame(rows)


def _listed(of: object, audit: AuditDraw) -> Sequence:
    assert audit.readings is not None
    found = list(audit.readings) if of is None else of
    if isinstance(found, str | Quantity) or not isinstance(found, Sequence):
        raise TallyError(f"of: expected a list of fields or quantities, got {of!r}")
    if not found:
        raise TallyError("of: expected at least one field or quantity, got none")
    wrong = [q for q in found if not isinstance(q, str | Quantity)]
    if wrong:
        raise TallyError(
            f"of: expected names of fields, or quantities, got {wrong[0]!r}"
        )
    return found


def _check(
    audit: AuditDraw,
    method: str,
    unread: float | str,
    interval: str,
    missing: str,
    confidence_level: float,
) -> AuditDraw:
    """Check options; return the audit in the order in which it was drawn."""
    check_choice("method", method, _METHODS)
    check_choice("interval", interval, ("normal", "bounded"))
    check_choice("missing", missing, ("raise", "bound"))
    check_range("confidence_level", confidence_level, 0.5, 0.9999)
    if isinstance(unread, str):
        check_choice("unread", unread, ("mean",))
    else:
        check_range("unread", unread, 0, 1e15)
    if interval == "bounded" and audit.method != "simple":
        raise TallyError(
            f"interval: 'bounded' is for method='simple' draws, got {audit.method!r}; "
            "use interval='normal'"
        )
    if interval == "bounded" and method not in ("regression", "difference"):
        raise TallyError(
            f"method: expected 'difference' with interval='bounded', got {method!r}"
        )
    assert audit.readings is not None
    order = np.argsort(audit.sheets["order"].to_numpy(), kind="stable")
    return replace(
        audit, sheets=audit.sheets.iloc[order], readings=audit.readings.iloc[order]
    )


def _check_missing(audit: AuditDraw, counts: Inputs, missing: str) -> None:
    if missing == "bound" and counts.most is not None:
        return
    lost = np.asarray(np.isnan(counts.hand).any(axis=1))
    raise TallyError(
        f"readings: {lost.sum()} of {len(lost)} sheets drawn have missing readings "
        f"({listed(np.array(audit.names)[lost])}); leaving them out would bias. Read "
        "them, or give registered and missing='bound' for intervals that cover all "
        "they can be"
    )


def _groups(
    table: pd.DataFrame, by: str | None, counts: Inputs, design: Design
) -> Iterator[tuple[object, Group]]:
    """Yield each group with its sheets; one without enough audited sheets raises."""
    if by is None:
        yield None, Group(np.arange(len(table)), np.ones(len(counts.at), bool))
        return
    if not isinstance(by, str) or by not in table:
        raise TallyError(f"by: no column {by!r} in read")
    if table[by].isna().any():
        raise TallyError(
            f"by: {by!r} is missing for {listed(table.index[table[by].isna()])}"
        )
    code, labels = pd.factorize(table[by], sort=True)
    ends = np.cumsum(np.bincount(code))[:-1]
    members = np.split(np.argsort(code, kind="stable"), ends)
    drawn = code[counts.at]
    groups = [Group(sheets, drawn == i) for i, sheets in enumerate(members)]
    few = [
        label
        for label, group in zip(labels, groups, strict=True)
        if group.n_audited < min(2, group.n_frame)
        or (group.n_audited == 1 and design.weight[group.drawn].max() > 1)
    ]
    if few:
        raise TallyError(
            f"by: expected at least 2 audited sheets in each group, got fewer in "
            f"{listed(few)}; merge groups, or draw with strata={by!r}"
        )
    yield from zip(labels, groups, strict=True)
