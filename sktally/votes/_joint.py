"""Read the fields of a sheet together, as the sums of its form bind them.

Comes in: the counts that each field may hold, and which field is the sum of which.
Goes out: the same, given all the others, and the best reading in which all sums hold.
Exact, by sum-product on the graph of fields and sums; where sums form circles, by going
through the values of the fields that close them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sktally.exceptions import TallyError
from sktally.form._sums import sum_problems
from sktally.votes._best import best_reading
from sktally.votes._graph import Rule, solve
from sktally.votes._posterior import CountPosterior
from sktally.votes._slips import SumSlips
from sktally.votes._spectra import Array, Kernel

__all__ = ["JointReading", "prepare", "read_jointly"]

_MAX_COUNT = 10**5
_FLOOR = 1e-9  # of the most probable count of a field: others are left out


@dataclass(frozen=True)
class JointReading:
    """Fields of one sheet, read with all its sums in mind.

    Parameters
    ----------
    posteriors : list of CountPosterior, one for each field
        Probabilities given all other fields.
    consistent : ndarray of int64, shape (n_fields,) or None
        Most probable reading in which all sums hold; None if there is none.
    log_odds : float
        Natural logarithm of how much more probable that is than the most probable
        counts of each field by itself, slips of clerks considered: below 0 where a slip
        is the better explanation. NaN without it.
    holds : dict of str to float
        For each sum the probability that it holds as written. Where it does not
        hold as read, one minus this is the probability that the clerk erred, and
        not (only) the machine.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally.votes import CountPosterior, read_jointly
    >>> a, b, both = (CountPosterior(np.array([n]), np.ones(1)) for n in (3, 4, 8))
    >>> read = read_jointly([a, b, both], ["a", "b", "both"], {"both": ["a", "b"]})
    >>> read.holds, read.consistent is None  # the clerk erred
    ({'both': 0.0}, True)
    """

    posteriors: list[CountPosterior]
    consistent: npt.NDArray[np.int64] | None
    log_odds: float
    holds: dict[str, float]


def read_jointly(
    posteriors: Sequence[CountPosterior | None],
    field_names: Sequence[str],
    sums: Mapping[str, Sequence[str]],
    *,
    slips: SumSlips | None = None,
    n_places: Sequence[int] | None = None,
) -> JointReading:
    """Read the fields of one sheet given the sums that bind them.

    Parameters
    ----------
    posteriors : sequence of CountPosterior or None
        What is known of each field by itself, from `count_posterior`; None of a field
        that was not read: all counts of its places are alike then.
    field_names : sequence of str
        Name of each field.
    sums : mapping of str to sequence of str
        Names of sum fields and of their parts, as `TallyForm.sums`.
    slips : SumSlips, optional
        How often sums are off as written; `SumSlips()` by default.
    n_places : sequence of int, optional
        Boxes of each field; by default as many as its largest count has digits, three
        for a field that was not read.

    Returns
    -------
    JointReading

    Raises
    ------
    TallyError
        If a sum names a field that is not there, names or places are not as many as
        posteriors, counts reach 100,000, or circles of sums leave too much to go
        through.

    Notes
    -----
    Where boxes stand for no count (`CountPosterior.missing`), all counts of the field
    are alike. Counts below 1e-9 of the most probable one are left out.

    References
    ----------
    F. R. Kschischang, B. J. Frey and H.-A. Loeliger (2001). "Factor graphs and the
    sum-product algorithm". IEEE Transactions on Information Theory 47(2), 498-519.

    Examples
    --------
    A 3 that may be an 8, a sure 4, and a sum that is surely 12:

    >>> import numpy as np
    >>> from sktally.votes import CountPosterior, read_jointly
    >>> a = CountPosterior(np.array([3, 8]), np.array([0.6, 0.4]))
    >>> b, both = (CountPosterior(np.array([n]), np.ones(1)) for n in (4, 12))
    >>> read = read_jointly([a, b, both], ["a", "b", "both"], {"both": ["a", "b"]})
    >>> read.posteriors[0].top(1)[0][0], read.consistent.tolist()
    (8, [8, 4, 12])
    """
    unary, rules, kernels = prepare(posteriors, field_names, sums, slips, n_places)
    soft = solve(unary, rules, kernels)
    marginals = [_sparse(belief) for belief in soft.beliefs]
    best = best_reading(unary, rules)
    raw = np.array([int(u.argmax()) for u in unary])
    log_odds = np.nan
    if best is not None:
        each = [_log_score(x, unary, rules, kernels) for x in (best, raw)]
        log_odds = each[0] - each[1]
    holds = {name: min(float(h), 1.0) for name, h in zip(sums, soft.holds, strict=True)}
    return JointReading(marginals, best, log_odds, holds)


def prepare(
    posteriors: Sequence[CountPosterior | None],
    field_names: Sequence[str],
    sums: Mapping[str, Sequence[str]],
    slips: SumSlips | None,
    n_places: Sequence[int] | None,
) -> tuple[list[Array], list[Rule], list[Kernel]]:
    """Return what `solve` takes: counts by field, sums by number, slips by sum."""
    for what, given in (("field_names", field_names), ("n_places", n_places)):
        if given is not None and len(given) != len(posteriors):
            raise TallyError(
                f"{what}: expected one for each of {len(posteriors)} posteriors, got "
                f"{len(given)}"
            )
    rules = _rules(list(field_names), sums)
    slips = SumSlips() if slips is None else slips
    places = _places(posteriors, n_places)
    unary = [_dense(p, n) for p, n in zip(posteriors, places, strict=True)]
    kernels = {n: slips.kernel(n) for n in {places[total] for total, _ in rules}}
    return unary, rules, [kernels[places[total]] for total, _ in rules]


def _rules(names: list[str], sums: Mapping[str, Sequence[str]]) -> list[Rule]:
    for problem in sum_problems(sums, names):
        raise TallyError(problem)
    at = {name: i for i, name in enumerate(names)}
    return [(at[t], tuple(at[part] for part in parts)) for t, parts in sums.items()]


def _places(posteriors: Sequence, n_places: Sequence[int] | None) -> list[int]:
    given = [None] * len(posteriors) if n_places is None else list(n_places)
    found = []
    for posterior, n in zip(posteriors, given, strict=True):
        known = posterior is not None and len(posterior.counts)
        most = int(posterior.counts[-1]) if known else 0
        n = n or (len(str(most)) if known else 3)
        if max(10**n, most + 1) > _MAX_COUNT:
            raise TallyError(
                f"read_jointly: expected counts below {_MAX_COUNT}, got {most} in "
                f"{n} boxes"
            )
        found.append(n)
    return found


def _dense(posterior: CountPosterior | None, n_places: int) -> Array:
    """Return the probability of each count from 0 on."""
    size = 10**n_places
    if posterior is None:
        return np.full(size, 1 / size)
    counts, proba = posterior.counts, posterior.proba
    if posterior.missing:
        if len(counts):
            size = max(size, int(counts[-1]) + 1)
        every = np.full(size, posterior.missing / size)
        every[counts] += proba
        counts, proba = np.arange(size), every
    kept = proba >= _FLOOR * proba.max()
    counts = counts[kept]
    dense = np.zeros(int(counts[-1]) + 1)
    dense[counts] = proba[kept]
    return dense


def _sparse(belief: Array) -> CountPosterior:
    counts = np.flatnonzero(belief > _FLOOR * belief.max())
    proba = belief[counts]
    return CountPosterior(counts, proba / proba.sum())


def _log_score(
    x: npt.NDArray[np.int64],
    unary: list[Array],
    rules: list[Rule],
    kernels: list[Kernel],
) -> float:
    """Return the logarithm of the probability of one reading, up to a constant."""
    each = [u[n] if n < len(u) else 0.0 for u, n in zip(unary, x, strict=True)]
    for (total, parts), (differences, proba, rest) in zip(rules, kernels, strict=True):
        d = int(x[total]) - sum(int(x[part]) for part in parts)
        each.append(rest + proba[differences == d].sum())
    with np.errstate(divide="ignore"):
        return float(np.log(each).sum())
