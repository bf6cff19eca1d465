"""How sums that clerks write differ from the parts that they wrote.

Comes in: counts of sheets that people have checked. Goes out: how often a sum is
off, by type of slip. Where sums do not add up on paper, a reader must not mend them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sktally._validate import check_range
from sktally.exceptions import TallyError
from sktally.form._sums import sum_problems

__all__ = ["SLIP_TYPES", "SumSlips", "fit_slips", "slip_type"]

#: Kinds of slips in sums, see `SumSlips`.
SLIP_TYPES = ("carry", "digit", "swap", "other")
# As many slips of each type are added to those seen, and twice as many sums that hold:
# the prior of Jeffreys for "does it hold", shared out among the types.
_ADDED = 0.125
_UNSEEN = 0.5  # so often each difference is taken to be seen beside
_MAX_PLACES = 6
_NEVER = 1e-6  # share of slips of any other kind, where it is said that there are none


@dataclass(frozen=True)
class SumSlips:
    """Shares of sums that are off as written, by type of slip.

    Parameters
    ----------
    carry : float, default=0.02
        Off by 1, 10, 100 and so on: one miscounted, or one not carried.
    digit : float, default=0.01
        One digit off by 2 to 9.
    swap : float, default=0.01
        Off by another multiple of 9, times 1, 10 and so on: two digits swapped.
    other : float, default=0.02
        Off by anything, all differences alike: a part left out, say. At least 1e-6 is
        reckoned with.
    seen : mapping of int to int, optional
        How often each difference, the sum less its parts, was seen on checked sheets.
        Differences of one type are as frequent as that; all alike without.

    Notes
    -----
    The defaults are a guess, for want of checked sheets: in Mexico 40 % of the sheets
    had some accidental error (Torres and Cantú 2022, after Challú et al.), elsewhere
    hardly any. `fit_slips` learns them.

    Examples
    --------
    >>> from sktally.votes import SumSlips
    >>> slips = SumSlips(carry=0.01, digit=0.005, swap=0, other=0.005)
    >>> round(slips.share, 3)  # of the sums, are off
    0.02
    """

    carry: float = 0.02
    digit: float = 0.01
    swap: float = 0.01
    other: float = 0.02
    seen: Mapping[int, int] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check that the shares are shares, and leave some for sums that hold."""
        for name in SLIP_TYPES:
            check_range(f"SumSlips.{name}", getattr(self, name), 0, 1)
        for difference, n in self.seen.items():
            if not (isinstance(difference, int | np.integer) and 0 <= n < np.inf):
                raise TallyError(
                    "SumSlips.seen: expected how often, 0 or more, by difference, a "
                    f"whole number, got {n!r} of {difference!r}; fit_slips gives it"
                )
        if not self.share < 1:
            raise TallyError(
                f"SumSlips: expected shares that sum to less than 1, got {self.share}"
            )

    def __str__(self) -> str:
        """Tell the shares by type, in one line."""
        return ", ".join(f"{name} {getattr(self, name):.3g}" for name in SLIP_TYPES)

    @property
    def share(self) -> float:
        """Share of the sums that are off."""
        return sum(getattr(self, name) for name in SLIP_TYPES)

    def kernel(
        self, n_places: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], float]:
        """Return how probable each difference of sum and parts is.

        Parameters
        ----------
        n_places : int
            Places of the sum.

        Returns
        -------
        differences : ndarray of int64
            0 and what slips of known type make.
        proba : ndarray of float64
            Of these, in addition to what follows.
        rest : float
            Of any one difference, these among them.
        """
        shares = tuple(getattr(self, name) for name in SLIP_TYPES)
        return _kernel(shares, tuple(self.seen.items()), n_places)


@lru_cache(maxsize=64)
def _kernel(
    shares: tuple[float, ...], seen: tuple[tuple[int, int], ...], n_places: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], float]:
    found, often_seen = {0: 1 - sum(shares)}, dict(seen)
    sizes = _sizes(n_places)
    for name, share in zip(SLIP_TYPES[:3], shares, strict=False):
        signed = [sign * n for n in sizes[name] for sign in (-1, 1)]
        often = np.array([often_seen.get(n, 0) + _UNSEEN for n in signed])
        proba = share * often / often.sum()
        found.update(zip(signed, proba.tolist(), strict=True))
    kept = {d: p for d, p in sorted(found.items()) if p > 0}
    rest = max(shares[-1], _NEVER) / (2 * 10**n_places - 1)
    differences, proba = np.array([*kept], np.int64), np.array([*kept.values()])
    differences.flags.writeable = proba.flags.writeable = False  # shared by all
    return differences, proba, rest


def _sizes(n_places: int) -> dict[str, list[int]]:
    """Return the sizes of slips of each type, none of two types."""
    powers = [10**place for place in range(n_places)]
    carry = set(powers)
    digit = {k * power for k in range(2, 10) for power in powers}
    swap = {9 * k * power for k in range(2, 10) for power in powers[:-1]}
    return {
        "carry": sorted(carry),
        "digit": sorted(digit - carry),
        "swap": sorted(swap - digit - carry),
    }


def slip_type(difference: int, n_places: int = _MAX_PLACES) -> str:
    """Name the type of slip that explains a difference of sum and parts.

    Parameters
    ----------
    difference : int
        The sum as written minus the sum of its parts.
    n_places : int, default=6
        Places of the sum.

    Returns
    -------
    slip : str
        One of `SLIP_TYPES`; ``""`` for a difference of 0.

    Examples
    --------
    >>> [slip_type(d) for d in (0, -10, 300, 27, 123)]
    ['', 'carry', 'digit', 'swap', 'other']
    """
    if difference == 0:
        return ""
    sizes = _sizes(n_places)
    known = (name for name in sizes if abs(difference) in sizes[name])
    return next(known, "other")


def fit_slips(
    counts: npt.ArrayLike,
    field_names: Sequence[str],
    sums: Mapping[str, Sequence[str]],
) -> SumSlips:
    """Learn how often sums are off from counts that people have checked.

    Parameters
    ----------
    counts : array-like of int, shape (n_sheets, n_fields)
        What is written on the sheets, -1 for what is not known.
    field_names : sequence of str
        Name of each column.
    sums : mapping of str to sequence of str
        Names of sum fields and of their parts, as `TallyForm.sums`.

    Returns
    -------
    SumSlips

    Raises
    ------
    TallyError
        If no sheet has all fields of a sum, or a sum names a field that is not there.

    Examples
    --------
    >>> checked = [[3, 4, 7], [5, 5, 10], [8, 1, 19]]
    >>> slips = fit_slips(checked, ["a", "b", "all"], {"all": ["a", "b"]})
    >>> round(slips.share, 2), slips.carry > slips.other
    (0.38, True)
    """
    written = np.asarray(counts, dtype=np.int64)
    names = list(field_names)
    if written.ndim != 2 or written.shape[1] != len(names):
        raise TallyError(
            f"counts: expected shape (n_sheets, {len(names)}), one column for each "
            f"field, got {written.shape}"
        )
    for problem in sum_problems(sums, names):
        raise TallyError(problem)
    seen: list[int] = []
    for total, parts in sums.items():
        sum_, others = (
            written[:, names.index(total)],
            written[:, [names.index(part) for part in parts]],
        )
        known = (sum_ >= 0) & (others >= 0).all(axis=1)
        seen += (sum_ - others.sum(axis=1))[known].tolist()
    if not seen:
        raise TallyError(
            "fit_slips: expected sheets with all fields of a sum, got none; check some "
            "sheets, or take SumSlips() as it is"
        )
    n = len(seen) + 2 * len(SLIP_TYPES) * _ADDED
    types = [slip_type(difference) for difference in seen]
    shares = {name: (types.count(name) + _ADDED) / n for name in SLIP_TYPES}
    counted = Counter(difference for difference in seen if difference)
    return SumSlips(**shares, seen=dict(sorted(counted.items())))
