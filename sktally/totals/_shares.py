"""Totals and shares of parties, with what reading leaves in doubt.

Comes in: counts of sheets with the probabilities of their boxes. Goes out: a row for
each group and party: what was read, an interval for what stands on those sheets, and
the least and most that sheets not read could make of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_range
from sktally.datasets._random import RandomState, as_generator
from sktally.exceptions import TallyError
from sktally.form import TallyForm
from sktally.tables import Run, Store
from sktally.totals._draws import MOST_DRAWS, Drawer, sum_draws
from sktally.totals._groups import Grouped, group_sheets, named, warn
from sktally.totals._quality import high_quality
from sktally.totals._result import VoteTotals, figures
from sktally.totals._room import room_of
from sktally.totals._sheets import Sheets, open_sheets
from sktally.votes import SumSlips
from sktally.votes._calibrate import check_calibrator

__all__ = ["VoteTotals", "vote_totals"]

_FEW = 5  # names in one line
_NUMBERS = ("n_read", "n_unread", "n_missing")


def vote_totals(
    source: pd.DataFrame | str | Path | Store,
    *,
    by: str | Sequence[str] | None = None,
    fields: Iterable[str] | None = None,
    stations: str | Path | pd.DataFrame | None = None,
    station_by: str = "stem",
    registered: str | None = None,
    weights: str | None = None,
    counts: str | None = None,
    min_quality: float | None = None,
    run: Run | int | None = None,
    form: str | Path | TallyForm | None = None,
    digit_proba: npt.ArrayLike | None = None,
    calibrator: Any = None,
    slips: SumSlips | None = None,
    n_draws: int = 1000,
    confidence_level: float = 0.95,
    random_state: RandomState = None,
) -> VoteTotals:
    """Sum the votes of parties by group, with intervals and bounds.

    Three things are kept apart: what was read; what misreading leaves in doubt of it,
    an interval; and what sheets that were not read, or are missing, could add, a bound.

    Parameters
    ----------
    source : DataFrame, str, path or Store
        A table from `read_tallies` or `store_table`, or a store.
    by : str or list of str, optional
        Columns of the stations, or of the table, by which to group; all sheets are one
        group by default.
    fields : iterable of str, optional
        The parties, whose shares sum to 1; by default all fields that are neither
        sums of others nor added to sums, as invalid votes are to the valid ones, as far
        as the form is known.
    stations : str, path or DataFrame, optional
        As of `sktally.tables.join_stations`. Stations without a sheet are missing.
    station_by : str, default="stem"
        Where a page says which station it is of: `by` of `join_stations`.
    registered : str, optional
        Column with the number of voters of a station, which bounds its votes. Where it
        is missing the boxes of a field do, 999 if there are three, and what its form
        says is the `largest` count. Where the table has no boxes either, the most that
        is possible is missing.
    weights : str, optional
        Column that says how often a sheet counts, 0 or more.
    counts : str, optional
        Column of counts: "final" by default, or "count" where there is none.
    min_quality : float, optional
        Take sheets with `tally_quality` above this only; all others are as if they
        had not been read. Warns of how they differ.
    run : Run or int, optional
        Of a store: which run; by default the one last read in.
    form : str, path or TallyForm, optional
        Of a table: the form that it was read with; needed for intervals.
    digit_proba : array-like of shape (n_sheets, n_fields, n_places, 12), optional
        Of a table: probabilities of the boxes, in the order of its sheets. Without it
        there are no intervals. A store has its own.
    calibrator : DigitCalibrator, optional
        Fitted; makes the probabilities what they are worth.
    slips : SumSlips, optional
        How often sums are off as written, for forms with sums.
    n_draws : int, default=1000
        Draws from which the intervals are made; 0 for none.
    confidence_level : float, default=0.95
        Coverage of the intervals.
    random_state : int, RandomState, Generator or None, default=None
        Decides the draws.

    Returns
    -------
    VoteTotals
        Its `table` has columns `by`, then ``field``, ``total`` as read, ``expected``
        (mean of the draws), ``lower`` and ``upper``, ``share``, ``share_lower`` and
        ``share_upper``, all of what was read; ``lowest``, ``highest``,
        ``share_lowest`` and ``share_highest`` with what was not; and ``n_read``,
        ``n_unread`` and ``n_missing``, the sheets with and without a count of the
        field, and stations without a sheet.

    Raises
    ------
    TallyError
        If fields or columns are not there, counts are no counts, no sheet was read,
        weights are 0 or missing, or probabilities are those of other pages.

    Warns
    -----
    TallyWarning
        If an exported table comes without probabilities and so has no intervals, groups
        rest on a single sheet, sheets have more votes than voters, stations have
        several sheets or sheets none, sheets of low quality are left out, or the
        calibrator had no errors to learn from.

    See Also
    --------
    ranking : Who leads, and how surely.
    compare_shares : Beside those of high quality, and official ones.
    draw_counts : The draws themselves.

    Notes
    -----
    Sheets are drawn independently, the fields of one together, given its sums. The
    interval is as true as the probabilities of the boxes: it says nothing of a reader
    that takes every 7 for a 1 with confidence, nor of pages filed under a wrong
    station. Counts that people corrected, or entered a second time and agreed on, are
    certain; of a table, those whose ``final`` is not what was read, and those for
    which a column ``certain`` says so. An interval may leave out the total as read,
    where sums say that a count was misread.

    Memory holds the counts of each sheet and ``n_draws`` sums by group.

    Examples
    --------
    >>> from sktally import load_reader, make_tally_pages, read_tallies, vote_totals
    >>> made = make_tally_pages(4, form="example", random_state=0)
    >>> reader = load_reader("example")
    >>> read = reader[-1].predict_tallies(reader[:-1].transform(made.pages))
    >>> found = vote_totals(
    ...     read_tallies(reader, made.pages),
    ...     fields=["01", "02", "03"],
    ...     form="example",
    ...     digit_proba=read.digit_proba,
    ...     random_state=0,
    ... )
    >>> table, truth = found.table, made.counts[:, :3].sum(axis=0)
    >>> int((table["total"] == truth).sum())  # a 7 was taken for a 1
    2
    >>> bool(((table["lower"] <= truth) & (truth <= table["upper"])).all())
    True
    """
    by = [by] if isinstance(by, str) else list(by or ())
    check_range("confidence_level", confidence_level, 0, 1)
    check_range("n_draws", n_draws, 0, MOST_DRAWS, integer=True)
    check_calibrator(calibrator)
    with open_sheets(
        source, form=form, digit_proba=digit_proba, counts=counts, run=run
    ) as sheets:
        columns = sheets.parties(fields)
        sheets.one_each([*by, registered, weights])
        grouped = group_sheets(
            sheets.pages,
            by=by,
            stations=stations,
            station_by=station_by,
            registered=registered,
            weights=weights,
            copies=sheets.copies,
        )
        composition = None
        if min_quality is not None:
            sheets, composition = high_quality(sheets, columns, grouped, min_quality)
        read = sheets.counts[:, columns]
        if not (read >= 0).any():
            raise TallyError(
                f"table: expected counts that were read, got none on {len(read)} "
                "sheets; column status says why"
            )
        draws = None
        exported = isinstance(source, pd.DataFrame) and "final" in source
        if n_draws and sheets.proba is None and exported:
            warn(
                "a table that was exported does not hold the probabilities of boxes, "
                "so there are no intervals; pass the store, or form and digit_proba, "
                "or n_draws=0 where none are wanted"
            )
        if n_draws and sheets.proba is not None and sheets.form is not None:
            drawer = Drawer(sheets.form, n_draws, as_generator(random_state), slips)
            draws = _drawn(sheets, drawer, columns, grouped, calibrator)
    found = _summed(sheets, columns, grouped, draws, confidence_level)
    return replace(found, composition=composition)


def _drawn(
    sheets: Sheets,
    drawer: Drawer,
    columns: list[int],
    grouped: Grouped,
    calibrator: Any,
) -> npt.NDArray[np.float64]:
    """Return the draws of the parties' totals."""

    def proba() -> Iterator[npt.NDArray | None]:
        assert sheets.proba is not None
        for sheet in sheets.proba():
            if sheet is not None and calibrator is not None:
                sheet = calibrator.transform(sheet[None])[0]
            yield sheet

    n = len(sheets.counts)
    draws = sum_draws(
        proba(),
        drawer,
        sheets.counts,
        sheets.certain,
        columns,
        group=grouped.group[:n],
        weights=grouped.weights[:n],
        n_groups=len(grouped.names),
    )
    if drawer.n_unbound:
        warn(
            f"the sums of {drawer.n_unbound} sheets leave too much to go through: "
            "their fields were drawn each by itself"
        )
    return draws


def _summed(
    sheets: Sheets,
    columns: list[int],
    grouped: Grouped,
    draws: npt.NDArray[np.float64] | None,
    confidence_level: float,
) -> VoteTotals:
    """Add up what was read, and what was not."""
    n, n_groups, n_fields = len(sheets.counts), len(grouped.names), len(columns)
    read = np.full((len(grouped.group), n_fields), -1)
    read[:n] = sheets.counts[:, columns]
    totals, n_read, n_sheets = np.zeros((3, n_groups, n_fields))
    np.add.at(totals, grouped.group, grouped.weights[:, None] * np.maximum(read, 0))
    np.add.at(n_read, grouped.group, read >= 0)
    np.add.at(n_sheets, grouped.group[:n], 1)
    room = room_of(
        read,
        registered=grouped.registered,
        most=sheets.most()[columns],
        group=grouped.group,
        weights=grouped.weights,
        n_groups=n_groups,
    )
    names = [sheets.fields[j] for j in columns]
    table = grouped.names.loc[np.repeat(np.arange(n_groups), n_fields)]
    table = table.reset_index(drop=True).assign(field=names * n_groups)
    whole = bool((grouped.weights == 1).all())
    _add_figures(table, figures(totals, draws, room, n_read, confidence_level), whole)
    missing = np.bincount(grouped.group[n:], minlength=n_groups)
    table["n_read"] = n_read.ravel().astype(int)
    table["n_unread"] = (n_sheets - n_read).ravel().astype(int)
    table["n_missing"] = np.repeat(missing, n_fields)
    _warn_of_single(grouped.names, n_read.max(axis=1))
    over = _over(grouped, read)
    return VoteTotals(
        table, names, grouped.names, totals, draws, room.own, over, confidence_level
    )


def _add_figures(
    table: pd.DataFrame, found: dict[str, npt.NDArray[np.float64]], whole: bool
) -> None:
    """Add columns: missing where there is no end, votes whole where they are."""
    taken = [name for name in table if name in (*found, *_NUMBERS)]
    if taken:
        raise TallyError(
            f"by: expected columns that the table of totals has not, got {taken[0]}; "
            "rename it"
        )
    for name, values in found.items():
        table[name] = np.where(np.isinf(values), np.nan, values).ravel()
        if whole and name in ("total", "lower", "upper", "lowest", "highest"):
            table[name] = table[name].astype("Int64")


def _warn_of_single(names: pd.DataFrame, n_read: npt.NDArray[np.float64]) -> None:
    single = np.flatnonzero(n_read == 1)
    if len(single):
        shown = "; ".join(named(names, int(i)) for i in single[:_FEW])
        more = f" and {len(single) - _FEW} more" if len(single) > _FEW else ""
        warn(
            f"{len(single)} of {len(names)} groups rest on a single sheet, and so do "
            f"their intervals{': ' if shown else ''}{shown}{more}"
        )


def _over(grouped: Grouped, read: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return sheets with more votes than voters, and warn of them."""
    votes = np.maximum(read, 0).sum(axis=1)
    over = votes > grouped.registered
    found = grouped.rows.loc[over, ["file", "page"]].reset_index(drop=True)
    found["votes"] = votes[over]
    found["registered"] = grouped.registered[over].astype(int)
    if len(found):
        first = found.iloc[0]
        warn(
            f"{len(found)} sheets have more votes than registered voters, such as "
            f"{first['file']}: {first['votes']} of {first['registered']}; look at "
            "those in `over`"
        )
    return found
