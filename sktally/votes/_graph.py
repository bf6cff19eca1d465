"""Sums and maxima of products over all readings of a sheet, without listing them.

A graph of fields and of the sums that they take part in; messages along its edges are
arrays over counts, and a sum of independent counts is a convolution. Exact on trees.
Circles are opened at fields of few values, and each of their values is gone through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
import numpy.typing as npt

from sktally.exceptions import TallyError
from sktally.votes._shifts import (
    Array,
    Kernel,
    added,
    in_parts,
    largest,
    rows_of,
    slipped,
)

__all__ = [
    *("Array", "Kernel", "Rule", "Solution", "Tree"),
    *("best_reading", "combinations", "opened", "solve"),
]

_MANY = 64  # counts of a field from which on a plain convolution is quicker
_MAX_CUTS = 20_000  # combinations of the values of fields that close circles

#: A sum and its parts, by number.
Rule = tuple[int, tuple[int, ...]]
_EXACT: Kernel = (np.zeros(1, np.int64), np.ones(1), 0.0)


@dataclass
class Solution:
    """What all readings of a sheet sum up to.

    Parameters
    ----------
    beliefs : list of ndarray
        For each field and count the sum (or maximum) over all readings with it.
    holds : list of float
        For each rule the share of readings in which it holds; not for maxima.
    whole : float
        Sum (or maximum) over all readings.
    """

    beliefs: list[Array]
    holds: list[float]
    whole: float


def solve(
    unary: Sequence[Array],
    rules: Sequence[Rule],
    kernels: Sequence[Kernel],
    *,
    most: bool = False,
) -> Solution:
    """Sum the probabilities of all readings of a sheet.

    Parameters
    ----------
    unary : sequence of ndarray
        Probability of each count from 0 on, for each field.
    rules, kernels : sequence
        One for each sum.
    most : bool, default=False
        Whether to take maxima over readings rather than sums; kernels are exact then.

    Returns
    -------
    Solution
    """
    join = np.maximum if most else np.add
    beliefs = [np.zeros(len(u)) for u in unary]
    holds, whole = np.zeros(len(rules)), 0.0
    for fixed in combinations(unary, rules):
        weight = prod(float(unary[i][v]) for i, v in fixed.items())
        found = Tree(*opened(unary, rules, fixed), kernels, most).solved()
        for i, belief in enumerate(beliefs):
            if i in fixed:
                at = slice(fixed[i], fixed[i] + 1)
                belief[at] = join(belief[at], weight * found.whole)
            else:
                belief[:] = join(belief, weight * found.beliefs[i])
        holds += weight * found.whole * np.array(found.holds)
        whole = float(join(whole, weight * found.whole))
    return Solution(beliefs, list(holds / whole if whole else holds), whole)


def combinations(unary: Sequence[Array], rules: Sequence[Rule]) -> list[dict[int, int]]:
    """Return all values of the fields that close circles; one, empty, without."""
    cuts = _cuts(unary, rules)
    values = [np.flatnonzero(unary[i]).tolist() for i in cuts]
    n = prod(len(v) for v in values)
    if n > _MAX_CUTS:
        raise TallyError(
            f"read_jointly: the sums form circles, which leave {n} combinations of "
            f"{len(cuts)} fields to go through, expected at most {_MAX_CUTS}; leave "
            "one of the sums out"
        )
    return [dict(zip(cuts, chosen, strict=True)) for chosen in product(*values)]


def best_reading(
    unary: Sequence[Array], rules: Sequence[Rule]
) -> npt.NDArray[np.int64] | None:
    """Return the most probable reading in which all sums hold, None if there is none.

    Of several, the one with the smallest counts in the first fields.
    """
    unary = list(unary)
    alone = np.array([int(u.argmax()) for u in unary], np.int64)
    if all(alone[total] == alone[list(parts)].sum() for total, parts in rules):
        return alone
    for i in range(len(unary)):
        found = solve(unary, rules, [_EXACT] * len(rules), most=True)
        if found.whole == 0:
            return None
        tied = [b >= b.max() * (1 - 1e-9) for b in found.beliefs]
        if max(t.sum() for t in tied[i:]) == 1:
            break
        first = int(tied[i].argmax())
        unary[i] = np.where(np.arange(len(unary[i])) == first, unary[i], 0.0)
    return np.array([int(t.argmax()) for t in tied], np.int64)


def _cuts(unary: Sequence[Array], rules: Sequence[Rule]) -> list[int]:
    """Return fields without which sums form no circles, of few values if possible."""
    group = list(range(len(rules)))  # of rules that are connected
    cuts = []
    by_size = sorted(range(len(unary)), key=lambda i: -np.count_nonzero(unary[i]))
    for i in by_size:
        of_field = [r for r, (t, parts) in enumerate(rules) if i in (t, *parts)]
        groups = [group[r] for r in of_field]
        if len({*groups}) < len(groups):
            cuts.append(i)
        else:
            group = [groups[0] if g in groups else g for g in group]
    return cuts


def opened(
    unary: Sequence[Array], rules: Sequence[Rule], fixed: dict[int, int]
) -> tuple[list[Array], list[Rule]]:
    """Give each sum a copy of its own of fields whose value is fixed."""
    fields, opened = list(unary), []
    for i in fixed:
        fields[i] = np.ones(1)
    for total, parts in rules:
        at = []
        for i in (total, *parts):
            if i in fixed:
                fields.append(np.arange(fixed[i] + 1) == fixed[i])
                i = len(fields) - 1
            at.append(i)
        opened.append((at[0], tuple(at[1:])))
    return fields, opened


class Tree:
    """Messages between fields and sums of a graph without circles."""

    def __init__(
        self,
        unary: Sequence[Array],
        rules: Sequence[Rule],
        kernels: Sequence[Kernel],
        most: bool,
    ) -> None:
        self.unary, self.rules, self.kernels = unary, rules, kernels
        self.support = [np.flatnonzero(u) for u in unary]
        self.join = largest if most else added
        self.reduce = np.max if most else np.sum
        self.heard: list[dict[int, Array]] = [{} for _ in unary]
        self.summed: dict[int, Array] = {}
        self.root: dict[int, int] = {}
        self.walk: list[tuple[int, int, list[int]]] = []
        self.of_field: list[list[int]] = [[] for _ in unary]
        for r, (total, parts) in enumerate(rules):
            for i in (total, *parts):
                self.of_field[i].append(r)

    def solved(self) -> Solution:
        """Send all messages, to the roots and back, and gather what they say."""
        self.walk = list(self._walk())
        for r, parent, _ in reversed(self.walk):
            self._send(r, [parent], unheard=parent)
        for r, _, children in self.walk:
            self._send(r, children)
        beliefs = [self.product(i, -1) for i in range(len(self.unary))]
        holds = [self._holds(r, beliefs) for r in range(len(self.rules))]
        whole = prod(float(self.reduce(beliefs[i])) for i in self.roots())
        for i, belief in enumerate(beliefs):  # they know their own component alone
            mine = float(self.reduce(belief))
            beliefs[i] = belief * (whole / mine if mine else 0.0)
        return Solution(beliefs, holds, whole)

    def roots(self) -> set[int]:
        """Return one field of each connected part."""
        alone = {i for i, rules in enumerate(self.of_field) if not rules}
        return {*self.root.values()} | alone

    def _walk(self) -> Iterator[tuple[int, int, list[int]]]:
        """Yield each sum with the field it is reached from and its other fields."""
        for start in range(len(self.unary)):
            waiting = [start]
            while waiting:
                parent = waiting.pop()
                for r in self.of_field[parent]:
                    if r in self.root:
                        continue
                    self.root[r] = start
                    total, parts = self.rules[r]
                    children = [i for i in (total, *parts) if i != parent]
                    waiting += children
                    yield r, parent, children

    def product(self, i: int, but: int) -> Array:
        """Return a field's own probabilities times what its sums say, but one."""
        found = self.unary[i]
        for r, message in self.heard[i].items():
            if r != but:
                found = found * message
        return found

    def _send(self, r: int, to: list[int], unheard: int = -1) -> None:
        """Tell some fields of a sum how well each of their counts fits the others."""
        total, parts = self.rules[r]
        kernel, rest = self.kernels[r], self.kernels[r][2]
        said = {i: self.product(i, r) for i in (total, *parts) if i != unheard}
        n = len(self.unary[total]) + int(np.abs(kernel[0]).max())
        # the sum of these parts and of all behind them
        behind = [np.ones(1)]
        for i in reversed(parts):
            known = np.ones(1) if i == unheard else said[i]
            behind.append(self.plus(behind[-1], known, self.support[i], n))
        behind.reverse()
        self.summed[r] = behind[0]
        if total in to:
            mass = prod(self.reduce(said[i]) for i in parts)
            fits = slipped(behind[0], kernel, len(self.unary[total]), 1)
            self.heard[total][r] = fits + rest * mass
        wanted = None
        for k, i in enumerate(parts):
            if i in to:
                if wanted is None:
                    wanted = self._wanted(said, total, parts[:k], kernel, n)
                mass = prod(self.reduce(a) for j, a in said.items() if j != i)
                message = np.zeros(len(self.unary[i]))
                fits = self._fits(wanted, behind[k + 1], self.support[i])
                message[self.support[i]] = fits
                self.heard[i][r] = message + rest * mass
            if wanted is not None and i != unheard:
                wanted = self._minus(wanted, said[i], self.support[i])

    def _wanted(
        self,
        said: dict[int, Array],
        total: int,
        before: Sequence[int],
        kernel: Kernel,
        n: int,
    ) -> Array:
        """Return how well each sum of the parts that are left fits all others."""
        found = slipped(said[total], kernel, n, -1)
        for i in before:
            found = self._minus(found, said[i], self.support[i])
        return found

    def plus(
        self, a: Array, b: Array, support: npt.NDArray[np.int64], size: int
    ) -> Array:
        """Return the distribution of the sum of two independent counts, below `size`.

        `b` is 0 but at its support.
        """
        if len(b) == 1:  # nothing to add
            return a * b[0]
        support = support[support < size]
        if not len(support):
            return np.zeros(1)
        if self.join is added and len(support) > _MANY:
            return np.convolve(a[:size], b[:size])[:size]
        most = int(support[-1])
        padded = np.zeros(most + min(len(a) + most, size))
        padded[most : most + len(a)] = a[: len(padded) - most]
        size = len(padded) - most
        return self._weighed(padded, b[support], most - support, size)

    def _minus(self, a: Array, b: Array, support: npt.NDArray[np.int64]) -> Array:
        """Return the distribution of what is left when a count is taken away."""
        if self.join is added and len(support) > _MANY:
            return np.convolve(a, b[: len(a)][::-1])[-len(a) :]
        return self._weighed(a, b[support], support, len(a))

    def _weighed(
        self, a: Array, weights: Array, at: npt.NDArray[np.int64], size: int
    ) -> Array:
        """Return the sum (or maximum) of ``a[n : n + size]``, each with its weight."""
        found = np.zeros(size)
        add = np.maximum if self.join is largest else np.add
        for some in in_parts(len(at), size):
            rows = rows_of(a, at[some], size)
            add(found, self.join(rows, weights[some], axis=0), out=found)
        return found

    def _fits(self, a: Array, b: Array, at: npt.NDArray[np.int64]) -> Array:
        """Return for each n the sum (or maximum) of ``a[n : n + len(b)] * b``."""
        found = np.zeros(len(at))
        for some in in_parts(len(at), len(b)):
            found[some] = self.join(rows_of(a, at[some], len(b)), b)
        return found

    def _holds(self, r: int, beliefs: list[Array]) -> float:
        """Return the share of readings in which a sum holds."""
        total = self.rules[r][0]
        differences, proba, rest = self.kernels[r]
        own = self.product(total, r)
        summed = self.summed[r]
        n = min(len(own), len(summed))
        whole = beliefs[total].sum()
        exact = rest + proba[differences == 0].sum()
        return float(exact * (own[:n] @ summed[:n]) / whole) if whole else 0.0
