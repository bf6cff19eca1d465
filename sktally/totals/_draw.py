"""Draw the sheets of an audit.

Comes in: the list of every sheet there is, unread and missing ones too. Goes out: the
sheets to audit and how probable each was to be drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_choice, check_range
from sktally.datasets._random import RandomState, as_generator
from sktally.exceptions import TallyError
from sktally.totals._audit import METHODS, AuditDraw
from sktally.totals._designs import (
    allocate,
    draw_strata,
    draw_systematic,
    size_probabilities,
)
from sktally.totals._names import by_sheet, frame_hash, listed, numbers, sheet_names

__all__ = ["draw_audit"]


def draw_audit(
    frame: pd.DataFrame | Iterable[object],
    n: int,
    *,
    method: str = "simple",
    strata: str | Iterable[object] | None = None,
    size: str | Iterable[float] | None = None,
    allocation: str | Mapping[str, int] = "proportional",
    spread: Mapping[str, float] | None = None,
    random_state: RandomState = None,
) -> AuditDraw:
    """Draw sheets at random for people to read again.

    Parameters
    ----------
    frame : DataFrame or iterable of str
        Every sheet there is, with those that were not read or are missing: names, or
        a table with column ``sheet`` (or the names as index). Names of stations, if
        stations are to be drawn whole.
    n : int
        Number of sheets to draw; see `audit_size`.
    method : {"simple", "stratified", "unequal"}, default="simple"
        All sheets alike; so many of each stratum; or with probabilities proportional
        to `size`, those that reach 1 for certain.
    strata : str or iterable, optional
        Column, or stratum of each sheet, for "stratified".
    size : str or iterable of float, optional
        Column, or positive size of each sheet, for "unequal": registered voters, say.
    allocation : {"proportional", "equal", "neyman"} or mapping, \
            default="proportional"
        How `n` is shared out among strata, or how many of each; at least 2. "neyman"
        takes most where sheets are many and errors differ much.
    spread : mapping of str to float, optional
        Standard deviation of the errors in each stratum, for "neyman".
    random_state : int, RandomState, Generator or None, default=None
        Decides which. Note it: the same one draws the same sheets.

    Returns
    -------
    AuditDraw
        With `AuditDraw.sheets` in the order drawn.

    Raises
    ------
    TallyError
        If a sheet is there twice or has no name, a stratum has a single sheet, or a
        size is not positive.

    See Also
    --------
    estimate : Estimates from the audit.
    audit_size : How many to draw.

    Notes
    -----
    "unequal" draws systematically along a shuffled list (Hartley and Rao 1962): exact
    probabilities, a fixed number of sheets.

    References
    ----------
    Y. Tillé, Sampling and Estimation from Finite Populations, Wiley 2020.

    Examples
    --------
    >>> from sktally import draw_audit
    >>> draw = draw_audit(["a", "b", "c", "d", "e"], 2, random_state=0)
    >>> draw.sheets
      sheet stratum  probability  order
    0     c     all          0.4      1
    1     a     all          0.4      2
    """
    check_choice("method", method, METHODS)
    if isinstance(frame, pd.DataFrame):
        table = by_sheet(frame, "frame")
    else:
        table = pd.DataFrame(index=pd.Index(sheet_names(frame, "frame")))
    check_range("n", n, 2, len(table), integer=True)
    _check_used("strata", strata, method, "stratified")
    _check_used("size", size, method, "unequal")
    rng = as_generator(random_state)
    groups = np.full(len(table), "all", object)
    if method == "unequal":
        every = size_probabilities(_sizes(table, size), n)
        _check_chance(every, n)
        chosen = draw_systematic(every, rng)
        probability = every[chosen]
    else:
        if method == "stratified":
            groups = _column(table, strata, "strata").astype(str).astype(object)
        sizes: dict = pd.Series(groups).value_counts(sort=False).to_dict()
        each = {"all": n}
        if method == "stratified":
            each = allocate(n, sizes, allocation, spread)
        chosen, probability = draw_strata(groups, each, rng)
    sheets = pd.DataFrame(
        {
            "sheet": table.index.to_numpy(object)[chosen],
            "stratum": groups[chosen],
            "probability": probability,
            "order": np.arange(1, len(chosen) + 1),
        }
    )
    return AuditDraw(sheets, method, len(table), frame_hash(table.index))


def _check_used(name: str, given: object, method: str, user: str) -> None:
    if (given is not None) != (method == user):
        raise TallyError(
            f"{name}: expected with method={user!r}, and only with it, got "
            f"{'none' if given is None else 'some'} with method={method!r}"
        )


def _check_chance(probability: npt.NDArray[np.float64], n: int) -> None:
    """Raise if so many sheets are taken for certain that chance decides hardly any."""
    certain = int((probability >= 1).sum())
    if n - certain < 2 and certain < len(probability):
        raise TallyError(
            f"size: {certain} sheets so large that they are drawn for certain leave "
            f"{n - certain} of n={n} to chance, expected at least 2; draw more, or "
            "give sizes that differ less"
        )


def _column(table: pd.DataFrame, given: Any, what: str) -> npt.NDArray[np.object_]:
    """Return a column of the frame, by its name or as it is; one value a sheet."""
    if isinstance(given, str):
        if given not in table:
            raise TallyError(f"{what}: no column {given!r} in the frame")
        given = table[given]
    found = np.asarray(pd.Series(list(given)), dtype=object)
    if found.shape != (len(table),) or pd.isna(found).any():
        raise TallyError(
            f"{what}: expected a value for each of {len(table)} sheets, got "
            f"{len(found) - int(pd.isna(found).sum())}"
        )
    return found


def _sizes(table: pd.DataFrame, given: Any) -> npt.NDArray[np.float64]:
    column = pd.DataFrame({"size": _column(table, given, "size")}, table.index)
    found = numbers(column.infer_objects(), "size", "size")
    if not (found > 0).all():
        raise TallyError(
            "size: expected sizes above 0, or the sheet can never be drawn, got "
            f"{found[~(found > 0)][0]} for {listed(table.index[~(found > 0)])}"
        )
    return found
