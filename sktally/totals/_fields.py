"""A table of counts, checked, with the votes that each is expected to be off by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError
from sktally.totals._names import listed

__all__ = ["doubts"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def doubts(
    table: pd.DataFrame,
    by: Sequence[str],
    registered: str | None,
    weights: Mapping[str, float] | None,
) -> pd.DataFrame:
    """Return columns ``votes`` and ``counts``: how wrong each row is expected to be."""
    more = [] if registered is None else [registered]
    _check_columns(table, [*by, "field", "count", "proba", *more])
    twice = table.duplicated([*by, "field"])
    if twice.any():
        raise TallyError(
            "table: expected each field of a page once, got twice: "
            f"{_row(table, twice)}"
        )
    count, proba = _numbers(table, "count"), _numbers(table, "proba", most=1)
    read = ~np.isnan(count)
    _check_known(table, "proba", read & np.isnan(proba), "count_proba")
    voters = None if registered is None else _voters(table, registered, count)
    votes = np.full(len(table), np.nan)
    if "expected_error" in table:
        votes = _numbers(table, "expected_error").copy()
        _check_known(table, "expected_error", read & np.isnan(votes), "expected_errors")
    for name, at in table.groupby("field", sort=False).indices.items():
        open_ = np.isnan(votes[at])
        if open_.any():
            some = None if voters is None else voters[at]
            fill = _typical(str(name), count[at], proba[at], some)
            votes[at] = np.where(open_, fill, votes[at])
    found = table[[*by, "field"]].copy()
    found["votes"] = votes * _weights(table["field"], weights)
    found["counts"] = np.where(read, 1 - proba, 1.0)
    return found


def _typical(name: str, count: Floats, proba: Floats, voters: Floats | None) -> Floats:
    """Return errors of one field that nothing better is known of.

    A count that is wrong is taken for any other of its field: the mean difference of
    two. One that was not read is missing whole: what other pages have, for each voter.
    """
    known = ~np.isnan(count)
    read = np.sort(count[known])
    n = len(read)
    each = np.ones(len(count)) if voters is None else voters
    if n:
        whole = each * (read.sum() / max(each[known].sum(), 1))
    elif voters is not None:
        whole = each
    else:
        raise TallyError(
            f"table: expected a count of {name!r} on some page, got none; give "
            "`registered`, the column of the registered voters"
        )
    spread = 1.0
    if n > 1:  # of sorted values, the mean difference is a weighted sum
        ranks = 2 * np.arange(n) - n + 1
        spread = max(2 * float(ranks @ read) / (n * (n - 1)), 1.0)
    return np.asarray(np.where(known, (1 - np.nan_to_num(proba)) * spread, whole))


def _voters(table: pd.DataFrame, registered: str, count: Floats) -> Floats:
    """Return the registered voters of each row."""
    voters = _numbers(table, registered)
    if np.isnan(voters).all():
        _check_known(table, registered, np.isnan(voters), "the list of stations")
    # a page whose station is not known has as many as others have
    voters = np.where(np.isnan(voters), np.nanmean(voters), voters)
    voters = np.where(table[registered].isna(), np.fmax(voters, count), voters)
    low = voters < count
    if low.any():
        raise TallyError(
            f"table: expected no more votes than {registered!r} allows, got more for "
            f"{_row(table, low)}; leave such a count missing, for it is misread"
        )
    return voters


def _check_known(table: pd.DataFrame, name: str, unknown: Flags, source: str) -> None:
    if unknown.any():
        raise TallyError(
            f"table: {name}: expected a number, got none for {_row(table, unknown)}; "
            f"take it from {source}"
        )


def _numbers(table: pd.DataFrame, name: str, most: float = np.inf) -> Floats:
    try:
        column = table[name].astype("Float64")
        values = np.asarray(column.to_numpy(float, na_value=np.nan), np.float64)
    except (TypeError, ValueError) as error:
        raise TallyError(f"table: {name}: expected numbers, got {error}") from None
    bad = (values < 0) | (values > most) | np.isinf(values)
    if bad.any():
        raise TallyError(
            f"table: {name}: expected numbers from 0 to {most}, got "
            f"{values[bad][0]:g} for {_row(table, bad)}"
        )
    return values


def _weights(fields: pd.Series, weights: Mapping[str, float] | None) -> Floats:
    if weights is None:
        return np.ones(len(fields))
    unknown = set(weights) - set(fields)
    if unknown:
        raise TallyError(
            f"weights: expected names of fields, {listed(fields.unique())}, got "
            f"{listed(sorted(unknown, key=str))}"
        )
    try:
        given = np.array([*weights.values()], float)
    except (TypeError, ValueError):
        given = np.array([np.nan])
    if not (np.isfinite(given) & (given >= 0)).all() or not given.any():
        raise TallyError(
            "weights: expected numbers of 0 or more, one above 0, got "
            f"{[*weights.values()]}"
        )
    worth = {str(name): value for name, value in weights.items()}
    return np.array([worth.get(str(name), 0.0) for name in fields])


def _check_columns(table: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in table]
    if missing:
        raise TallyError(
            f"table: expected the columns {', '.join(names)}, got none named "
            f"{', '.join(missing)}"
        )
    if not len(table):
        raise TallyError("table: expected a row for each page and field, got none")


def _row(table: pd.DataFrame, where: npt.ArrayLike) -> str:
    """Name the first row of some."""
    i = int(np.asarray(where).argmax())
    names = [name for name in ("sheet", "file", "page", "field") if name in table]
    return "row " + ", ".join([str(i), *(f"{n} {table[n].iloc[i]}" for n in names)])
