"""The messages of one sum, where sums of counts are products of Fourier transforms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft

__all__ = ["Array", "Kernel", "Spectra", "added"]

_NOISE = 1e-14  # of all that is summed up: what transforms may make of nothing
_TOGETHER = 2**17  # points of transforms that are made at once
_FEW_PAIRS = 2**12  # of counts, which are quicker to add up as they are

Array = npt.NDArray[np.float64]
Spectrum = npt.NDArray[np.complex128]
#: Differences, how probable each is, and what is added to that of any difference.
Kernel = tuple[npt.NDArray[np.int64], Array, float]


class Spectra:
    """What the fields of one sum say to each other.

    Parameters
    ----------
    total : int
        Number of the sum field.
    parts : sequence of int
        Numbers of its parts.
    lengths : mapping of int to int
        Length of the array over counts of each of these fields.
    kernel : Kernel
        How sums differ from their parts. What it adds to any difference must be far
        above 1e-14, or small numbers drown in the noise of the transforms.
    """

    def __init__(
        self,
        total: int,
        parts: Sequence[int],
        lengths: Mapping[int, int],
        kernel: Kernel,
    ) -> None:
        self.total, self.parts, self.lengths = total, parts, lengths
        differences, proba, self.rest = kernel
        most = sum(lengths[i] - 1 for i in parts) + 1
        # so long that what goes round at an end does not come back to where it is read
        most = max(most, lengths[total]) + int(np.abs(differences).max()) + 1
        self.size = next_fast_len(most, real=True)
        slip = np.zeros(self.size)
        slip[differences] = proba
        self.slip = rfft(slip)
        self.known: dict[int, Spectrum] = {}

    def hear(self, fields: Sequence[int], said: Sequence[Array]) -> list[float]:
        """Take note of what fields say of their counts, other sums considered.

        What each says is made to sum to 1, for many small numbers would make nothing;
        what it summed to is returned.
        """
        masses = [float(a.sum()) for a in said]
        counts = np.zeros((len(fields), max(map(len, said), default=0)))
        for row, a, mass in zip(counts, said, masses, strict=True):
            np.divide(a, mass, out=row[: len(a)])
        self.known.update(zip(fields, rfft(counts, self.size), strict=True))
        return masses

    def agreed(self) -> float:
        """Return how probable it is that the total and the sum of all parts are one.

        Going by what each field said, made to sum to 1: a product of two arrays, which
        is one of their transforms (Parseval), of which one half mirrors the other.
        """
        summed: Any = prod(self.known[i] for i in self.parts)
        each = (self.known[self.total].conj() * summed).real
        twice = 2 * each.sum() - each[0] - (0.0 if self.size % 2 else each[-1])
        share = float(twice) / self.size
        return share if share >= _NOISE else 0.0

    def tell(self, to: Iterable[int]) -> dict[int, Array]:
        """Return how well each count of some fields fits what the others said."""
        told: dict[int, Array] = {}
        others = self._others({*to})
        while some := dict(islice(others, max(1, _TOGETHER // self.size))):
            longest = max(self.lengths[i] for i in some)
            fits = irfft(np.stack([*some.values()]), self.size)[:, :longest]
            fits = _without_noise(fits, 1.0) + self.rest
            told |= {i: a[: self.lengths[i]] for i, a in zip(some, fits, strict=True)}
        return told

    def _others(self, to: set[int]) -> Iterator[tuple[int, Spectrum]]:
        """Yield what all others say to each of some fields, one at a time."""
        fields = [i for i in self.parts if i in self.known]
        behind: list = [1.0]  # products of each part and all behind it
        for i in reversed(fields):
            behind.append(behind[-1] * self.known[i])
        if self.total in to:
            yield self.total, self.slip * behind[-1]
        for i in to.difference(fields, [self.total]):
            yield i, self.known[self.total] * np.conj(self.slip * behind[-1])
        ahead: Any = 1.0
        for i in fields:
            behind.pop()
            if i in to:
                others = self.slip * (ahead * behind[-1])
                yield i, self.known[self.total] * np.conj(others)
            ahead = ahead * self.known[i]


def added(a: Array, b: Array, size: int) -> Array:
    """Return the distribution of the sum of two independent counts, below `size`."""
    whole = len(a) + len(b) - 1
    of_a, of_b = np.flatnonzero(a), np.flatnonzero(b)
    if len(of_a) * len(of_b) <= _FEW_PAIRS:
        at = np.add.outer(of_a, of_b).ravel()
        each = np.multiply.outer(a[of_a], b[of_b]).ravel()
        summed = np.bincount(at, each, whole)[: min(whole, size)]
        return summed.astype(np.float64, copy=False)
    n = next_fast_len(whole, real=True)
    found = np.asarray(irfft(rfft(a, n) * rfft(b, n), n))[: min(whole, size)]
    return _without_noise(found, float(a.sum() * b.sum()))


def _without_noise(a: Array, mass: float) -> Array:
    return np.where(a < _NOISE * mass, 0.0, a)
