"""What to think of a count that the machine did not read, or hardly can have.

Comes in: a field's counts on all sheets, missing where not read. Goes out: counts with
nothing missing, the guess for each sheet, and which counts lie far from the rest. Only
what the machine read is looked at, never the audit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import TallyError

__all__ = ["doubted", "filled"]

_FAR = 3.0  # heights of the box

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def filled(
    read: Floats, most: Floats | None, unread: float | str
) -> tuple[Floats, Floats, Bools]:
    """Guess where the machine read nothing, or what cannot be.

    Parameters
    ----------
    read : ndarray of shape (n_sheets,)
        Counts, NaN where not read.
    most : ndarray of shape (n_sheets,) or None
        The most that a count can be.
    unread : float or "mean"
        The guess, or to take the mean of what was read, per unit of `most` if given.

    Returns
    -------
    counts, guess : ndarray of shape (n_sheets,)
        Counts with the guess where needed; the guess for every sheet.
    far : ndarray of shape (n_sheets,), bool
        Counts, per unit of `most` if given, that lie more than three heights of the
        box outside it (Tukey, Exploratory Data Analysis, 1977: "far out").

    Examples
    --------
    >>> counts, guess, far = filled(np.array([3.0, 4, 5, np.nan, 80]), None, "mean")
    >>> counts, far.tolist()
    (array([ 3.,  4.,  5., 23., 80.]), [False, False, False, False, False])
    >>> filled(np.array([3.0, 4, 5, 5, 6, 80]), None, "mean")[2].tolist()
    [False, False, False, False, False, True]
    """
    there = ~np.isnan(read)
    if most is not None:
        there &= ~(read > most)
    by_most = most is not None and most[there].sum() > 0
    unit = most if most is not None and by_most else np.ones(len(read))
    if unread != "mean":
        guess = np.full(len(read), float(unread))
    elif not there.any():
        guess = np.zeros(len(read))
    elif by_most:
        guess = unit * read[there].sum() / unit[there].sum()
    else:
        guess = np.full(len(read), read[there].mean())
    return np.where(there, read, guess), guess, _far_out(read, unit, there)


def _far_out(read: Floats, unit: Floats, there: Bools) -> Bools:
    there = there & (unit > 0)
    if not there.any():
        return there
    rate = read / np.where(unit > 0, unit, 1)
    low, high = np.quantile(rate[there], [0.25, 0.75])
    reach = _FAR * (high - low)
    return there & (reach > 0) & ((rate < low - reach) | (rate > high + reach))


def doubted(table: pd.DataFrame, name: str) -> Bools:
    """Return which sheets a column marks as doubtful.

    Parameters
    ----------
    table : DataFrame
        A row for each sheet.
    name : str
        The column, of True and False.

    Raises
    ------
    TallyError
        If the column is not there, or holds anything else.

    Examples
    --------
    >>> doubted(pd.DataFrame({"odd": [True, False]}), "odd").tolist()
    [True, False]
    """
    if not isinstance(name, str) or name not in table:
        raise TallyError(f"doubtful: no column {name!r} in read; add it, or give None")
    wrong = ~table[name].isin([False, True])
    if wrong.any():
        raise TallyError(
            f"doubtful, column {name!r}: expected True or False for every sheet, got "
            f"{table[name][wrong].iloc[0]}"
        )
    return table[name].to_numpy(bool)
