"""One quantity of one group: its estimate and interval."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sktally.exceptions import TallyError
from sktally.totals._bounded import bounded_mean
from sktally.totals._inputs import Inputs
from sktally.totals._quantities import Quantity
from sktally.totals._variance import Design, unseen

__all__ = ["Group", "Solved", "rescaled", "solve", "solve_bounded"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Group:
    """Sheets that count: where in the frame, and which of those audited."""

    all: npt.NDArray[np.int64]
    drawn: npt.NDArray[np.bool_]

    @property
    def n_frame(self) -> int:
        """Number of its sheets."""
        return len(self.all)

    @property
    def n_audited(self) -> int:
        """Number of its audited sheets."""
        return int(self.drawn.sum())


@dataclass(frozen=True)
class Solved:
    """An estimate with its interval.

    `trust` is the factor of the machine's counts, `unseen` the share of the variance
    that allows for errors which the audit may have missed.
    """

    estimate: float
    std_error: float
    lower: float
    upper: float
    trust: float
    unseen: float


@dataclass(frozen=True, eq=False)
class _Sums:
    """Numerator and denominator on the audited sheets and in the whole frame."""

    hand: Floats  # (n_audited, 2)
    machine: Floats  # (n_audited, 2)
    frame: Floats  # (n_frame of the group, 2)
    guess: Floats  # the same, had nothing been read
    known: Floats  # (2,)


def _sums(quantity: Quantity, counts: Inputs, group: Group) -> _Sums:
    times = np.column_stack(
        [
            counts.multiples(quantity.numerator),
            counts.multiples(quantity.denominator),
        ]
    )
    drawn = group.drawn[:, None]
    machine = counts.machine[counts.at] @ times * drawn
    known = counts.known[group.all].sum(axis=0) @ times
    if quantity.denominator is None:
        known[1] = 1.0
    frame, guess = (of[group.all] @ times for of in (counts.machine, counts.guess))
    return _Sums(counts.hand @ times * drawn, machine, frame, guess, known)


def solve(
    quantity: Quantity,
    counts: Inputs,
    group: Group,
    design: Design,
    method: str,
    confidence_level: float,
) -> Solved:
    """Return the estimate of one quantity with an interval by Student's t."""
    sums = _sums(quantity, counts, group)
    start = design.total(sums.hand) + sums.known
    _check_below(quantity, start[1])
    line = np.array([1.0, -start[0] / start[1]])
    odd = sums.frame - sums.guess  # what a misread sheet may be off by
    if method == "regression":
        trust = _trust(sums.hand @ line, sums.machine @ line, odd @ line, design)
    else:
        trust = 0.0 if method == "audit" else 1.0
    errors = sums.hand - trust * sums.machine
    above, below = design.total(errors) + trust * sums.frame.sum(axis=0) + sums.known
    _check_below(quantity, below)
    line = np.array([1.0, -above / below]) / below
    parts = design.products(errors @ line, errors @ line)
    fitted = int(method == "regression")
    seen = parts.sum() * len(errors) / max(len(errors) - fitted, 1)
    rare = trust**2 * unseen(odd @ line, design, group.n_frame)
    error = float(np.sqrt(seen + rare))
    at_most = max(group.n_audited - 1, 1)
    reach = design.quantile(parts, confidence_level, at_most, fitted) * error
    value = float(above / below)
    share = float(rare / (seen + rare)) if rare else 0.0
    return Solved(value, error, value - reach, value + reach, float(trust), share)


def _check_below(quantity: Quantity, value: float) -> None:
    if not value > 0:
        raise TallyError(
            f"{quantity.name}: expected a denominator above 0, got {value:g}"
        )


def _trust(hand: Floats, machine: Floats, frame: Floats, design: Design) -> float:
    """Return the factor of machine counts that makes the variance smallest."""
    against = design.products(machine, machine).sum() + unseen(
        frame, design, len(frame)
    )
    if not against > 0:
        return 1.0
    return float(np.clip(design.products(hand, machine).sum() / against, 0, 1))


def rescaled(counts: Inputs, group: Group, design: Design) -> Inputs:
    """Return the counts with each field of the machine multiplied to fit the audit."""
    hand = design.total(counts.hand * group.drawn[:, None])
    machine = design.total(counts.machine[counts.at] * group.drawn[:, None])
    factor = np.where(machine > 0, hand / np.where(machine > 0, machine, 1), 1.0)
    return replace(counts, machine=counts.machine * factor)


def solve_bounded(
    quantity: Quantity,
    counts: Inputs,
    group: Group,
    design: Design,
    method: str,
    confidence_level: float,
) -> Solved:
    """Return the estimate with an interval that needs only the counts' range."""
    sums = _sums(quantity, counts, group)
    if counts.most is None:
        raise TallyError("registered: expected the most a count can be for 'bounded'")
    if sums.frame[:, 1].any() or sums.hand[:, 1].any():
        raise TallyError(
            f"{quantity.name}: interval='bounded' is for sums and known denominators; "
            "use interval='normal'"
        )
    _check_below(quantity, sums.known[1])
    errors = (sums.hand - sums.machine)[group.drawn, 0]
    low, high = _error_range(quantity, counts, group)
    first, last = bounded_mean(errors, low, high, group.n_frame, confidence_level)
    base = sums.frame[:, 0].sum() + sums.known[0]
    value, lower, upper = (
        float((base + group.n_frame * mean) / sums.known[1])
        for mean in (errors.mean(), first, last)
    )
    return Solved(value, np.nan, lower, upper, 1.0, 0.0)


def _error_range(
    quantity: Quantity, counts: Inputs, group: Group
) -> tuple[float, float]:
    """Return the least and the most that a sheet's error can be."""
    assert counts.most is not None
    times = counts.multiples(quantity.numerator)
    times = times * ~counts.known.any(axis=0)
    machine, most = counts.machine[group.all], counts.most[group.all][:, None]
    ends = np.stack([-machine * times, (most - machine) * times])
    return (
        float(ends.min(axis=0).sum(axis=1).min()),
        float(ends.max(axis=0).sum(axis=1).max()),
    )
