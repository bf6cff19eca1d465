"""Rows of the table of estimates, with readings that are missing bounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sktally.totals._inputs import Inputs
from sktally.totals._quantities import Quantity
from sktally.totals._solve import Group, Solved, rescaled, solve, solve_bounded
from sktally.totals._variance import Design

__all__ = ["alone", "row_of"]


def row_of(
    quantity: Quantity,
    counts: Inputs,
    group: Group,
    design: Design,
    way: str,
    confidence_level: float,
) -> dict[str, object]:
    """Return a row of the table of estimates."""
    found = _solve(quantity, counts, group, design, way, confidence_level)
    needed = (counts.multiples(quantity.numerator) != 0) | (
        counts.multiples(quantity.denominator) != 0
    )
    read = (counts.raw - counts.known)[counts.at]
    differ = (counts.hand != read)[:, needed].any(axis=1)
    raw = np.nansum(counts.raw[group.all], axis=0)
    above = float(raw @ counts.multiples(quantity.numerator))
    below = float(raw @ counts.multiples(quantity.denominator))
    if quantity.denominator is not None:
        above = above / below if below else np.nan
    return {
        "what": quantity.name,
        "estimate": found.estimate,
        "std_error": found.std_error,
        "lower": found.lower,
        "upper": found.upper,
        "n_audited": group.n_audited,
        "n_wrong": int((differ & group.drawn).sum()),
        "n_frame": group.n_frame,
        "machine": above,
        "trust": found.trust,
        "unseen": found.unseen,
    }


def alone(
    quantity: Quantity,
    counts: Inputs,
    group: Group,
    design: Design,
    confidence_level: float,
) -> dict[str, float]:
    """Return what the audit says without the machine."""
    found = _solve(quantity, counts, group, design, "audit", confidence_level)
    return {
        "audit_only": found.estimate,
        "audit_only_lower": found.lower,
        "audit_only_upper": found.upper,
    }


def _solve(
    quantity: Quantity,
    counts: Inputs,
    group: Group,
    design: Design,
    way: str,
    confidence_level: float,
) -> Solved:
    """Return the estimate; if readings are missing, all that it can be."""

    def one(counts: Inputs) -> Solved:
        if way == "ratio":
            counts = rescaled(counts, group, design)
        solver = solve_bounded if way == "bounded" else solve
        return solver(quantity, counts, group, design, way, confidence_level)

    def shorter(counts: Inputs) -> Solved:
        """Believe what is far out on doubtful sheets, or guess there."""
        if way != "regression" or not counts.far.any():
            return one(counts)
        usual = np.where(counts.far, counts.guess, counts.machine)
        both = one(counts), one(replace(counts, machine=usual))
        return min(both, key=lambda found: found.upper - found.lower)

    if not np.isnan(counts.hand).any():
        return shorter(counts)
    least, most = map(shorter, _extremes(quantity, counts))
    return Solved(
        (least.estimate + most.estimate) / 2,
        max(least.std_error, most.std_error),
        least.lower,
        most.upper,
        max(least.trust, most.trust),
        max(least.unseen, most.unseen),
    )


def _extremes(quantity: Quantity, counts: Inputs) -> tuple[Inputs, Inputs]:
    """Fill missing readings so that the quantity is as small and large as can be."""
    assert counts.most is not None
    above = counts.multiples(quantity.numerator)
    below = counts.multiples(quantity.denominator)
    middle = np.where(np.isnan(counts.hand), counts.machine[counts.at], counts.hand)
    middle = middle + counts.known[counts.at]
    value = (middle @ above).sum() / max((middle @ below).sum(), 1e-9)
    raises = above - value * below > 0
    top = np.broadcast_to(counts.most[counts.at][:, None], counts.hand.shape)
    low = np.where(raises, 0.0, top)
    lost = np.isnan(counts.hand)
    return (
        replace(counts, hand=np.where(lost, low, counts.hand)),
        replace(counts, hand=np.where(lost, top - low, counts.hand)),
    )
