"""Draw readings of a sheet at random, as probable as they are given its sums.

Comes in: the counts that each field may hold, and which field is the sum of which.
Goes out: whole readings, drawn exactly and independently: one field from its
probabilities given all others, then, sum by sum, the fields that are bound to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from sktally.votes._graph import Tree, combinations, log_prior, opened
from sktally.votes._joint import prepare
from sktally.votes._posterior import CountPosterior
from sktally.votes._slips import SumSlips
from sktally.votes._spectra import Array, added

__all__ = ["draw_readings", "pick_counts"]

Counts = npt.NDArray[np.int64]
_ANY = -1  # in place of a sum of parts: whatever they sum up to


def draw_readings(
    posteriors: Sequence[CountPosterior | None],
    field_names: Sequence[str],
    sums: Mapping[str, Sequence[str]],
    *,
    n_draws: int,
    rng: np.random.Generator,
    slips: SumSlips | None = None,
    n_places: Sequence[int] | None = None,
) -> Counts:
    """Draw readings of one sheet given the sums that bind its fields.

    Parameters
    ----------
    posteriors, field_names, sums, slips, n_places : object
        As of `read_jointly`.
    n_draws : int
        How many readings.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    readings : ndarray of int64, shape (n_draws, n_fields)

    Raises
    ------
    TallyError
        As `read_jointly` does.

    See Also
    --------
    read_jointly : The probabilities of single fields, of which these are draws.

    Examples
    --------
    Two fields in doubt and a sum that is surely 12: they are in doubt together.

    >>> import numpy as np
    >>> from sktally.votes import CountPosterior, SumSlips
    >>> a, b, both = (
    ...     CountPosterior(np.array(counts), np.ones(len(counts)) / len(counts))
    ...     for counts in ([3, 8], [4, 9], [12])
    ... )
    >>> draws = draw_readings(
    ...     [a, b, both], ["a", "b", "both"], {"both": ["a", "b"]}, n_draws=500,
    ...     rng=np.random.default_rng(0), slips=SumSlips(0, 0, 0, 0),
    ... )
    >>> np.unique(draws, axis=0).tolist()
    [[3, 9, 12], [8, 4, 12]]
    """
    unary, rules, kernels = prepare(posteriors, field_names, sums, slips, n_places)
    cases = combinations(unary, rules)
    n_of_case = np.array([n_draws])
    if len(cases) > 1:
        logs = [
            log_prior(unary, fixed)
            + Tree(*opened(unary, rules, fixed), kernels).climbed()
            for fixed in cases
        ]
        weights = np.exp(np.array(logs) - max(logs))
        n_of_case = rng.multinomial(n_draws, weights / weights.sum())
    drawn = []
    for k in np.flatnonzero(n_of_case):
        tree = Tree(*opened(unary, rules, cases[k]), kernels)
        tree.climbed()
        some = _drawn(tree, int(n_of_case[k]), rng)[:, : len(unary)]
        for i, value in cases[k].items():
            some[:, i] = value
        drawn.append(some)
    readings = np.concatenate(drawn)
    return rng.permutation(readings) if len(drawn) > 1 else readings


def _drawn(tree: Tree, n: int, rng: np.random.Generator) -> Counts:
    """Draw from a graph without circles, from its roots down."""
    x = np.zeros((n, len(tree.unary)), np.int64)
    for i in sorted(tree.roots()):
        x[:, i] = _pick(tree.product(i, -1), n, rng)
    for r, parent, _ in tree.walk:
        _draw_rule(tree, r, parent, x, rng)
    return x


def _draw_rule(
    tree: Tree, r: int, parent: int, x: Counts, rng: np.random.Generator
) -> None:
    """Draw the fields of a sum given one of them, and write them into `x`."""
    total, parts = tree.rules[r]
    others = [i for i in parts if i != parent]
    said = {i: tree.product(i, r) for i in (total, *others) if i != parent}
    size = len(tree.unary[total]) + int(np.abs(tree.kernels[r][0]).max())
    behind = [np.ones(1)]  # of the sum of each part and all that follow it
    for i in reversed(others):
        behind.append(added(behind[-1], said[i], size))
    behind.reverse()
    mass = prod(float(a.sum()) for a in said.values())
    rest = np.empty(len(x), np.int64)  # what the parts to be drawn sum up to
    for value in _distinct(x[:, parent]):
        rows = np.flatnonzero(x[:, parent] == value)
        if parent == total:
            drawn = _given_total(
                tree.kernels[r], behind[0], mass, value, len(rows), rng
            )
        else:
            x[rows, total], drawn = _given_part(
                tree.kernels[r], behind[0], mass, said[total], value, len(rows), rng
            )
        rest[rows] = drawn
    free = rest == _ANY
    for k, i in enumerate(others):
        support = np.flatnonzero(tree.unary[i])
        x[free, i] = _pick(said[i], int(free.sum()), rng)
        for left in _distinct(rest[~free]):
            rows = np.flatnonzero(~free & (rest == left))
            at = support[support <= left]
            weights = said[i][at] * _at(behind[k + 1], left - at)
            x[rows, i] = at[_pick(weights, len(rows), rng)]
        rest[~free] -= x[~free, i]


def _given_total(
    kernel: tuple,
    summed: Array,
    mass: float,
    total: int,
    n: int,
    rng: np.random.Generator,
) -> Counts:
    """Draw what the parts of a sum sum up to; `_ANY` where they are not bound."""
    differences, proba, rest = kernel
    weights = proba * _at(summed, total - differences)
    k = _pick(_headed(rest * mass, weights), n, rng)
    return _headed(_ANY, total - differences)[k]


def _given_part(
    kernel: tuple,
    summed: Array,
    mass: float,
    said: Array,
    part: int,
    n: int,
    rng: np.random.Generator,
) -> tuple[Counts, Counts]:
    """Draw a sum and what its other parts sum up to, given one part."""
    differences, proba, rest = kernel
    totals = np.flatnonzero(said)
    others = totals[:, None] - differences - part
    weights = said[totals, None] * proba * _at(summed, others)
    k = _pick(_headed(rest * mass, weights.ravel()), n, rng)
    free = k == 0
    k = np.maximum(k - 1, 0)
    drawn = np.where(free, _pick(said, n, rng), totals[k // len(differences)])
    return drawn, np.where(free, _ANY, others.ravel()[k])


def _headed(first: float, others: npt.NDArray) -> npt.NDArray:
    return np.concatenate([np.array([first], others.dtype), others])


def _distinct(counts: Counts) -> Counts:
    """Return each count that is there, 0 or more and not large, as np.unique does."""
    return np.flatnonzero(np.bincount(counts)) if len(counts) else counts


def _at(table: Array, counts: Counts) -> Array:
    """Return the entries of a table, 0 outside."""
    inside = (counts >= 0) & (counts < len(table))
    return np.where(inside, table[np.where(inside, counts, 0)], 0.0)


def _pick(weights: Array, n: int, rng: np.random.Generator) -> Counts:
    """Draw places in proportion to their weights."""
    ends = np.cumsum(weights)
    at = np.searchsorted(ends, rng.random(n) * ends[-1], side="right")
    return np.minimum(at, len(ends) - 1)


def pick_counts(posterior: CountPosterior, n: int, rng: np.random.Generator) -> Counts:
    """Draw counts of one field by itself."""
    return posterior.counts[_pick(posterior.proba, n, rng)]
