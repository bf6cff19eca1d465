"""Which sheets a random draw takes, and how probable each was to be taken."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._validate import check_choice, check_range
from sktally.exceptions import TallyError
from sktally.totals._names import listed

__all__ = ["allocate", "draw_strata", "draw_systematic", "size_probabilities"]

_LEAST = 2  # sheets of a stratum, or its spread is unknown

Floats = npt.NDArray[np.float64]


def allocate(
    n: int,
    sizes: Mapping[str, int],
    how: str | Mapping[str, int],
    spread: Mapping[str, float] | None = None,
) -> dict[str, int]:
    """Share `n` sheets out among strata: at least 2, at most all of each.

    Examples
    --------
    >>> allocate(10, {"a": 90, "b": 10}, "proportional")
    {'a': 8, 'b': 2}
    >>> allocate(10, {"a": 90, "b": 10}, "neyman", {"a": 1, "b": 9})
    {'a': 5, 'b': 5}
    """
    single = [name for name, size in sizes.items() if size < _LEAST]
    if single:
        raise TallyError(
            f"strata: expected at least {_LEAST} sheets in each, got 1 in "
            f"{listed(single)}; merge it with another"
        )
    if isinstance(how, Mapping):
        return _given(n, sizes, how)
    check_choice("allocation", how, ("proportional", "equal", "neyman"))
    if n < _LEAST * len(sizes):
        raise TallyError(
            f"n: expected at least {_LEAST} for each of {len(sizes)} strata, got {n}"
        )
    share = np.array([_worth(name, size, how, spread) for name, size in sizes.items()])
    least, most = np.full(len(sizes), _LEAST), np.array(list(sizes.values()))
    found = least.copy()
    while found.sum() < n:  # the next sheet goes where it is wanted most
        wanted = np.where(found < most, share / (found + 0.5), -1.0)
        found[np.argmax(wanted)] += 1
    return dict(zip(sizes, found.tolist(), strict=True))


def _worth(name: str, size: int, how: str, spread: Mapping[str, float] | None) -> float:
    if how != "neyman":
        return float(size) if how == "proportional" else 1.0
    known = {str(key): value for key, value in (spread or {}).items()}
    value = known.get(name, -1)
    if not isinstance(value, Real) or not 0 <= value < np.inf:
        raise TallyError(
            "spread: expected the standard deviation of the errors in each stratum for "
            f"allocation='neyman', got {known.get(name)!r} for {name!r}"
        )
    return size * float(value)


def _given(n: int, sizes: Mapping[str, int], how: Mapping[str, int]) -> dict[str, int]:
    for name, number in how.items():
        check_range(f"allocation, {name}", number, _LEAST, np.inf, integer=True)
    found = {str(name): int(number) for name, number in how.items()}
    wrong = [
        name for name in sizes if not _LEAST <= found.get(name, 0) <= sizes[name]
    ] + [name for name in found if name not in sizes]
    if wrong or sum(found.values()) != n:
        raise TallyError(
            f"allocation: expected {n} sheets in all, from {_LEAST} to all of each "
            f"stratum, got {sum(found.values())}; see stratum "
            f"{listed(wrong or found)}"
        )
    return found


def draw_strata(
    strata: npt.NDArray[np.object_],
    numbers: Mapping[str, int],
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return positions drawn without replacement in each stratum, and probabilities."""
    code, names = pd.factorize(strata)
    members = np.split(np.argsort(code, kind="stable"), np.cumsum(np.bincount(code)))
    chosen, probability = [], []
    for name, sheets in zip(names, members, strict=False):  # an empty one comes last
        number = numbers[name]
        chosen.append(rng.permutation(sheets)[:number])
        probability.append(np.full(number, number / len(sheets)))
    order = rng.permutation(sum(numbers.values()))
    return np.concatenate(chosen)[order], np.concatenate(probability)[order]


def size_probabilities(size: Floats, n: int) -> Floats:
    """Return probabilities proportional to size that add up to `n`, none above 1.

    Examples
    --------
    >>> size_probabilities(np.array([1.0, 1.0, 2.0, 20.0]), 2)
    array([0.25, 0.25, 0.5 , 1.  ])
    """
    found = np.zeros(len(size))
    free = np.ones(len(size), bool)
    while True:
        left = n - np.count_nonzero(~free)
        found[free] = left * size[free] / size[free].sum() if free.any() else 0
        above = free & (found >= 1 - 1e-12)
        if not above.any():
            return found
        found[above] = 1.0
        free &= ~above


def draw_systematic(
    probability: Floats, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw with given probabilities: every whole step along a shuffled list.

    Each sheet takes as much of a line as its probability; a random start and steps
    of 1 hit it with just that probability (Hartley and Rao 1962).
    """
    order = rng.permutation(len(probability))
    end = np.cumsum(probability[order])
    end *= round(end[-1]) / end[-1]
    hits = np.floor(end - rng.random()).astype(np.int64)
    before = np.concatenate([[-1], hits[:-1]])
    return rng.permutation(order[hits > before])
