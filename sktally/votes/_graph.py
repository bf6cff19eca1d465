"""Sums over all readings of a sheet, without listing them.

A graph of fields and of the sums that they take part in; messages along its edges are
arrays over counts, and a sum of independent counts is a convolution. Exact on trees.
Circles are opened at fields of few values, and each of their values is gone through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import log, prod

import numpy as np

from sktally.exceptions import TallyError
from sktally.votes._spectra import Array, Kernel, Spectra

__all__ = ["Rule", "Solution", "Tree", "combinations", "log_prior", "opened", "solve"]

_MAX_CUTS = 20_000  # combinations of the values of fields that close circles

#: A sum and its parts, by number.
Rule = tuple[int, tuple[int, ...]]


@dataclass
class Solution:
    """What all readings of a sheet sum up to.

    Parameters
    ----------
    beliefs : list of ndarray
        For each field and count the share of the readings with it.
    holds : list of float
        For each rule the share of readings in which it holds.
    log_whole : float
        Logarithm of the sum over all readings, which may be too small for a float.
    """

    beliefs: list[Array]
    holds: list[float]
    log_whole: float


def solve(
    unary: Sequence[Array], rules: Sequence[Rule], kernels: Sequence[Kernel]
) -> Solution:
    """Sum the probabilities of all readings of a sheet.

    Parameters
    ----------
    unary : sequence of ndarray
        Probability of each count from 0 on, for each field.
    rules, kernels : sequence
        One for each sum.

    Returns
    -------
    Solution
    """
    beliefs = [np.zeros(len(u)) for u in unary]
    holds, whole, most = np.zeros(len(rules)), 0.0, -np.inf
    for fixed in combinations(unary, rules):
        found = Tree(*opened(unary, rules, fixed), kernels).solved()
        log_weight = found.log_whole + log_prior(unary, fixed)
        if log_weight > most:  # all is kept as shares of the largest so far
            smaller, most = np.exp(most - log_weight), log_weight
            holds, whole = holds * smaller, whole * smaller
            beliefs = [belief * smaller for belief in beliefs]
        weight = np.exp(log_weight - most)
        for i, belief in enumerate(beliefs):
            if i in fixed:
                belief[fixed[i]] += weight
            else:
                belief += weight * found.beliefs[i]
        holds += weight * np.array(found.holds)
        whole += weight
    shares = [belief / whole for belief in beliefs]
    return Solution(shares, list(holds / whole), most + float(np.log(whole)))


def log_prior(unary: Sequence[Array], fixed: dict[int, int]) -> float:
    """Return the logarithm of how probable fixed values are by themselves."""
    return sum(log(float(unary[i][v])) for i, v in fixed.items())


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
    fields, copied = list(unary), []
    for i in fixed:
        fields[i] = np.ones(1)
    for total, parts in rules:
        at = []
        for i in (total, *parts):
            if i in fixed:
                fields.append((np.arange(fixed[i] + 1) == fixed[i]).astype(float))
                i = len(fields) - 1
            at.append(i)
        copied.append((at[0], tuple(at[1:])))
    return fields, copied


class Tree:
    """Messages between fields and sums of a graph without circles."""

    def __init__(
        self, unary: Sequence[Array], rules: Sequence[Rule], kernels: Sequence[Kernel]
    ) -> None:
        self.unary, self.rules, self.kernels = unary, rules, kernels
        self.heard: list[dict[int, Array]] = [{} for _ in unary]
        self.sums: list[Spectra] = []
        self.root: dict[int, int] = {}
        self.walk: list[tuple[int, int, list[int]]] = []
        self.of_field: list[list[int]] = [[] for _ in unary]
        for r, (total, parts) in enumerate(rules):
            lengths = {i: len(unary[i]) for i in (total, *parts)}
            self.sums.append(Spectra(total, parts, lengths, kernels[r]))
            for i in lengths:
                self.of_field[i].append(r)

    def solved(self) -> Solution:
        """Send all messages, to the roots and back, and gather what they say."""
        log_whole = self.climbed()
        for r, parent, children in self.walk:
            self._hear(r, [parent])
            self._tell(r, children)
        beliefs = [self.product(i, -1) for i in range(len(self.unary))]
        holds = [self._holds(r, beliefs) for r in range(len(self.rules))]
        masses = [float(belief.sum()) for belief in beliefs]
        shares = [belief / mass for belief, mass in zip(beliefs, masses, strict=True)]
        return Solution(shares, holds, log_whole)

    def climbed(self) -> float:
        """Send messages to the roots only; return the logarithm of the whole."""
        self.walk = list(self._walk())
        log_whole = 0.0
        for r, parent, children in reversed(self.walk):
            log_whole += self._hear(r, children)
            self._tell(r, [parent])
        return log_whole + sum(
            log(float(self.product(i, -1).sum())) for i in self.roots()
        )

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

    def _hear(self, r: int, fields: list[int]) -> float:
        """Tell a sum what fields say, and return the logarithm of what that sums to."""
        said = [self.product(i, r) for i in fields]
        return sum(map(log, self.sums[r].hear(fields, said)))

    def _tell(self, r: int, fields: list[int]) -> None:
        for i, message in self.sums[r].tell(fields).items():
            self.heard[i][r] = message

    def product(self, i: int, but: int) -> Array:
        """Return a field's own probabilities times what its sums say, but one."""
        found = self.unary[i]
        for r, message in self.heard[i].items():
            if r != but:
                found = found * message
        return found

    def _holds(self, r: int, beliefs: list[Array]) -> float:
        """Return the share of readings in which a sum holds."""
        total = self.rules[r][0]
        differences, proba, rest = self.kernels[r]
        own = float(self.product(total, r).sum())
        exact = rest + proba[differences == 0].sum()
        return float(exact * own * self.sums[r].agreed() / beliefs[total].sum())
