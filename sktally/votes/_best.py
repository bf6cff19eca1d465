"""The most probable reading of a sheet in which all its sums hold.

A reading is no more probable, against all fields at their best, than any one of its
counts against the best of its field. One that is found by mending sum after sum leaves
few counts to look at. They are listed, or gone through by maxima on the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, prod

import numpy as np
import numpy.typing as npt

from sktally.votes._graph import Rule, combinations, log_prior, opened
from sktally.votes._spectra import Array

__all__ = ["best_reading"]

_LIKELY, _UNLIKELY = 1e-2, 1e-9  # shares of the most probable count of a field
_FEW = 4096  # readings that are listed
_FEW_PAIRS = 2**14  # of counts, all of which are multiplied at once
_TIED = 1 - 1e-9

_Reading = npt.NDArray[np.int64]


def best_reading(unary: Sequence[Array], rules: Sequence[Rule]) -> _Reading | None:
    """Return the most probable reading in which all sums hold, None if there is none.

    Parameters
    ----------
    unary : sequence of ndarray
        Probability of each count from 0 on, for each field.
    rules : sequence of Rule
        Sums and their parts.

    Returns
    -------
    ndarray of int64, shape (n_fields,), or None
    """
    alone = np.array([int(u.argmax()) for u in unary], np.int64)
    if not _broken(alone, rules):
        return alone
    # against the best of each: many fields in doubt would be too improbable for a float
    unary = [u / u.max() for u in unary]
    least = _mended(alone, unary, rules) * _TIED or _LIKELY
    while True:
        likely = _likely(unary, least)
        few = prod(int(np.count_nonzero(u)) for u in likely) <= _FEW
        found = _listed(likely, rules) if few else _gone_through(likely, rules, least)
        if least == 0:
            return found
        score = 0.0 if found is None else _score(found, unary)
        if score >= least:
            return found
        least = score * _TIED or (least**2 if least > _UNLIKELY else 0.0)


def _broken(reading: _Reading, rules: Sequence[Rule]) -> list[Rule]:
    return [
        (total, parts)
        for total, parts in rules
        if reading[total] != sum(reading[i] for i in parts)
    ]


def _mended(reading: _Reading, unary: Sequence[Array], rules: Sequence[Rule]) -> float:
    """Mend one count a time; return how probable what comes out is, 0 for nothing."""
    for _ in range(2 * len(rules)):
        broken = _broken(reading, rules)
        if not broken:
            return _score(reading, unary)
        total, parts = broken[0]
        off = int(reading[total] - sum(reading[i] for i in parts))
        changes = []
        for i in (total, *parts):
            n = int(reading[i]) + (-off if i == total else off)
            if 0 <= n < len(unary[i]) and unary[i][n] > 0:
                other = reading.copy()
                other[i] = n
                share = float(unary[i][n])
                changes.append((-len(_broken(other, rules)), share, -i, other))
        if not changes:
            break
        reading = max(changes, key=lambda change: change[:3])[3]
    return 0.0


def _score(reading: _Reading, unary: Sequence[Array]) -> float:
    """Return how probable a reading is, against all fields at their best."""
    return prod(float(u[n]) for u, n in zip(unary, reading, strict=True))


def _likely(unary: Sequence[Array], least: float) -> list[Array]:
    """Return the probabilities of counts that are not below a share of the best."""
    kept = [np.flatnonzero(u >= least) for u in unary]
    some = []
    for u, at in zip(unary, kept, strict=True):
        likely = np.zeros(int(at[-1]) + 1)
        likely[at] = u[at]
        some.append(likely)
    return some


def _listed(unary: Sequence[Array], rules: Sequence[Rule]) -> _Reading | None:
    """List all readings, and return the best."""
    counts = [np.flatnonzero(u) for u in unary]
    n = after = prod(len(c) for c in counts)
    rows, score = [], np.zeros(n)  # logarithms
    for u, c in zip(unary, counts, strict=True):
        before, after = after, after // len(c)
        rows.append(np.tile(np.repeat(c, after), n // before))
        score += np.log(u[rows[-1]])
    for total, parts in rules:
        score[rows[total] != sum(rows[i] for i in parts)] = -np.inf
    at = int(score.argmax())
    return (
        None if score[at] == -np.inf else np.array([row[at] for row in rows], np.int64)
    )


def _gone_through(
    unary: Sequence[Array], rules: Sequence[Rule], least: float = 0.0
) -> _Reading | None:
    """Find the same by maxima on the graph of fields and sums.

    Where the best of each field is 1, what is below `least` may be left out.
    """
    best, reading = -np.inf, None
    for fixed in combinations(unary, rules):
        score, found = _Tree(*opened(unary, rules, fixed), least).best()
        score += log_prior(unary, fixed)
        if score > best:
            best = score
            reading = np.array([fixed.get(i, found[i]) for i in range(len(unary))])
    return reading


class _Tree:
    """Maxima over the readings of a graph without circles, from its leaves up."""

    def __init__(
        self, unary: Sequence[Array], rules: Sequence[Rule], least: float
    ) -> None:
        self.unary, self.rules, self.least = unary, rules, least
        self.of_field: list[list[int]] = [[] for _ in unary]
        for r, (total, parts) in enumerate(rules):
            for i in (total, *parts):
                self.of_field[i].append(r)
        # best of a field and all sums behind it, against the best of all its counts
        self.above: dict[int, Array] = {}
        self.score = 0.0  # logarithm of these
        self.sums: dict[int, list[Array]] = {}  # best of each sum of the first parts

    def best(self) -> tuple[float, dict[int, int]]:
        """Return the logarithm of the best score, minus infinity for none, and it."""
        reading: dict[int, int] = {}
        for i in range(len(self.unary)):
            if i not in self.above:
                root = self._climb(i, -1)
                if not root.any():
                    return -np.inf, reading
                self._settle(i, int(root.argmax()), -1, reading)
        return self.score, reading

    def _climb(self, i: int, below: int) -> Array:
        """Return the best reading behind a field for each of its counts."""
        found = self.unary[i]
        for r in self.of_field[i]:
            if r != below:
                found = found * self._fits(r, i)
        most = float(found.max())
        if most > 0:
            found, self.score = found / most, self.score + log(most)
        self.above[i] = found
        return found

    def _fits(self, r: int, parent: int) -> Array:
        """Return the best reading behind a sum for each count of one of its fields."""
        total, parts = self.rules[r]
        size = len(self.unary[total])
        sums = [np.ones(1)]
        for i in parts:
            if i != parent:
                sums.append(_plus(sums[-1], self._climb(i, r), size, self.least))
        self.sums[r] = sums
        n = len(self.unary[parent])
        if parent == total:
            return np.pad(sums[-1], (0, max(n - len(sums[-1]), 0)))[:n]
        return _left(self._climb(total, r), sums[-1], n)

    def _settle(self, i: int, count: int, below: int, reading: dict[int, int]) -> None:
        """Go back down: find of which counts the best reading was made."""
        reading[i] = count
        for r in self.of_field[i]:
            if r == below:
                continue
            total, parts = self.rules[r]
            last = self.sums[r][-1]
            if i != total:
                # what stands in the sum is what the others sum up to, and this
                whole = self.above[total][count : count + len(last)]
                total_count = count + int((whole * last[: len(whole)]).argmax())
                self._settle(total, total_count, r, reading)
                count_left = total_count - count
            else:
                count_left = count
            others = [part for part in parts if part != i]
            for part, sums in zip(
                reversed(others), reversed(self.sums[r][:-1]), strict=True
            ):
                own = self.above[part][: count_left + 1]
                rest = np.pad(sums, (0, max(count_left + 1 - len(sums), 0)))
                score = own * rest[count_left - np.arange(len(own))]
                chosen = int(score.argmax())
                self._settle(part, chosen, r, reading)
                count_left -= chosen


def _plus(a: Array, b: Array, size: int, least: float) -> Array:
    """Return the best of each sum of two counts, below `size`; 0 below `least`."""
    found = np.zeros(min(len(a) + len(b) - 1, size))
    of_a, of_b = np.flatnonzero(a), np.flatnonzero(b)
    if len(of_a) * len(of_b) <= _FEW_PAIRS:
        each, at = np.multiply.outer(a[of_a], b[of_b]), np.add.outer(of_a, of_b)
        kept = (each >= least) & (at < len(found))
        np.maximum.at(found, at[kept], each[kept])
        return found
    for n in of_b[of_b < len(found)]:
        part = found[n : n + len(a)]
        np.maximum(part, a[: len(part)] * b[n], out=part)
    found[found < least] = 0
    return found


def _left(a: Array, b: Array, size: int) -> Array:
    """Return the best of each count that is left when one is taken from another."""
    found = np.zeros(size)
    for n in np.flatnonzero(a):
        part = b[: n + 1][::-1]  # of n, n - 1, ... taken away
        least = n + 1 - len(part)
        room = found[least : n + 1]
        np.maximum(room, a[n] * part[: len(room)], out=room)
    return found
