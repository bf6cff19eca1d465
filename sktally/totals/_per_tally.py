"""How far counts are off, sheet by sheet, with intervals in which sheets are the units.

Counts of one sheet share a hand and a photograph: they go wrong together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_range
from sktally.datasets._random import RandomState, as_generator
from sktally.exceptions import TallyError
from sktally.votes import AccuracyInterval, accuracy_interval

__all__ = ["TallyComparison", "summary"]

Floats = npt.NDArray[np.float64]
_AT_ONCE = 2**22  # numbers in one intermediate array
_MEASURES = ("mean absolute error", "mean error", "correlation")


@dataclass(frozen=True)
class TallyComparison:
    """Counts read and official counts, sheet by sheet.

    Parameters
    ----------
    tallies : DataFrame
        A row for each count that has an official one: ``count``, ``official`` and
        ``error`` (count less official) beside what is known of its sheet.
    summary : DataFrame
        A row for each ``measure`` and ``field``, and for all fields together ("all"):
        ``estimate``, ``lower`` and ``upper``, ``n_sheets`` and ``n_counts``. Measures
        are "exact" (share of counts that are the official ones), "mean absolute
        error", "mean error" (both in votes) and "correlation". Ends are missing where
        the sheets cannot tell: there is one, or none has an error, or counts that are
        all the same have no correlation.

    See Also
    --------
    compare_tallies : Makes it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktally.totals import compare_tallies
    >>> table = pd.DataFrame({"file": ["a.png", "b.png", "c.png"], "page": 1})
    >>> table["field"], table["count"] = "x", [60, 11, 31]
    >>> official = table.rename(columns={"count": "official"}).drop(columns="page")
    >>> compare_tallies(table, official, random_state=0).of("exact").estimate
    1.0
    """

    tallies: pd.DataFrame
    summary: pd.DataFrame

    def of(self, measure: str, field: str = "all") -> AccuracyInterval:
        """Return a measure with its interval."""
        row = self.summary.query("measure == @measure and field == @field")
        if not len(row):
            raise TallyError(
                "measure, field: expected a row of `summary`, got none of "
                f"{measure!r}, {field!r}; print(summary) lists them"
            )
        return AccuracyInterval(*row[["estimate", "lower", "upper"]].iloc[0])


def summary(
    table: pd.DataFrame,
    confidence_level: float,
    n_resamples: int,
    random_state: RandomState,
) -> pd.DataFrame:
    """Return measures of error with intervals, for each field and for all.

    Parameters
    ----------
    table : DataFrame
        Columns ``sheet``, ``field``, ``count``, ``official`` and ``error``.
    confidence_level, n_resamples, random_state : object
        As of `compare_tallies`.

    Notes
    -----
    Percentiles of a bootstrap of sheets; for the share of exact counts the Wilson
    interval of `sktally.votes.accuracy_interval`.
    """
    check_range("n_resamples", n_resamples, 100, 10**6, integer=True)
    rng = as_generator(random_state)
    several = table["field"].nunique() > 1
    parts = [("all", table)] if several else []
    parts += [(str(name), part) for name, part in table.groupby("field", sort=False)]
    if not several:
        parts.append(("all", table))
    rows = []
    for field, part in parts:
        right = part["error"] == 0
        found: dict[str, tuple] = {}
        found["exact"] = accuracy_interval(
            right, groups=part["sheet"], confidence_level=confidence_level
        )
        found |= _errors(part, confidence_level, n_resamples, rng)
        for measure, interval in found.items():
            size = (part["sheet"].nunique(), len(part))
            rows.append((field, measure, *interval, *size))
    names = ["field", "measure", "estimate", "lower", "upper", "n_sheets", "n_counts"]
    return pd.DataFrame(rows, columns=names)


def _errors(
    part: pd.DataFrame,
    confidence_level: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float, float]]:
    """Return measures that are made of sums by sheet, with intervals."""
    x, y = (part[name].to_numpy(np.float64) for name in ("official", "count"))
    middle = x.mean()
    x, y = x - middle, y - middle  # so that correlations lose no digits
    columns = np.stack([np.ones(len(x)), np.abs(y - x), x, y, x * x, y * y, x * y])
    sheet = np.unique(part["sheet"], return_inverse=True)[1]
    sums = np.stack([np.bincount(sheet, column) for column in columns], axis=1)
    estimate = _measures(sums.sum(axis=0))
    n = len(sums)
    drawn = []
    step = max(1, _AT_ONCE // n)
    for start in range(0, n_resamples, step):
        size = (min(step, n_resamples - start), n)
        times = rng.multinomial(n, np.full(n, 1 / n), size=size[0])
        drawn.append(_measures(times.astype(np.float64) @ sums))
    resampled = np.concatenate(drawn)
    ends = np.full((2, len(_MEASURES)), np.nan)
    if n > 1 and (y != x).any():
        tail = (1 - confidence_level) / 2
        some = ~np.isnan(resampled).all(axis=0)
        ends[:, some] = np.nanquantile(resampled[:, some], [tail, 1 - tail], axis=0)
    return {
        name: (float(estimate[k]), float(ends[0, k]), float(ends[1, k]))
        for k, name in enumerate(_MEASURES)
    }


def _measures(sums: Floats) -> Floats:
    """Return mean absolute error, mean error and correlation, from sums."""
    n, size, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((n * xx - x * x) * (n * yy - y * y))
        return np.stack([size / n, (y - x) / n, (n * xy - x * y) / spread], axis=-1)
