"""Plausible counts for any form, the clerk's slips, and how counts are written.

Comes in: a form and a random generator. Goes out: counts as written on one page and the
box strings of ``0``-``9``, ``x`` (crossed) and ``_`` (empty) that say them.
"""

from __future__ import annotations

import numpy as np

from sktally.form import TallyForm

__all__ = ["count_of_boxes", "draw_counts", "sum_order", "write_boxes"]


def count_of_boxes(boxes: str) -> int:
    """Return the value of a box string without blanks to the right of a digit."""
    return int(boxes.replace("x", "0").replace("_", "0"))


def sum_order(form: TallyForm) -> list[str]:
    """Return the totals so that each comes after the totals it is made of."""
    order: list[str] = []
    waiting = dict(form.sums)
    while waiting:
        ready = [t for t, parts in waiting.items() if not set(parts) & set(waiting)]
        order += ready
        for total in ready:
            del waiting[total]
    return order


def _draw_shares(
    form: TallyForm, order: list[str], rng: np.random.Generator
) -> dict[str, float]:
    """Return the parts of totals as shares of the station: Zipf's law, small sundries.

    Other counts of the same rule get shares that add up to 1, unless a total stands
    among them: then they are few, such as invalid votes beside the valid ones.
    """
    shares: dict[str, float] = {}
    for total in order:
        parts = form.sums[total]
        leaves = [p for p in parts if p not in form.sums and p not in shares]
        if any(part in form.sums for part in parts):
            drawn = rng.gamma(1.2, 0.015, len(leaves))
        else:
            ranks = rng.permutation(len(leaves)) + 1.0
            drawn = ranks ** -rng.uniform(0.4, 1.6) * rng.gamma(6, 1 / 6, len(leaves))
            drawn = drawn / max(drawn.sum(), 1e-9)
        shares.update(zip(leaves, drawn.tolist(), strict=True))
    return shares


def _total(form: TallyForm, total: str, counts: dict[str, int]) -> int:
    return sum(counts[part] for part in form.sums[total])


def _shrink(
    form: TallyForm, order: list[str], counts: dict[str, int], limits: dict[str, int]
) -> None:
    """Fill in all totals; make the parts of one smaller until its boxes hold it."""
    leaves = {p for total in order for p in form.sums[total]} - set(order)
    while True:
        for total in order:
            counts[total] = _total(form, total, counts)
        if all(counts[total] <= limits[total] for total in order):
            return
        for name in leaves:
            counts[name] = int(0.85 * counts[name])


def _slip(value: int, limit: int, rng: np.random.Generator) -> int:
    """Return a wrong sum: off by one or ten, a dropped carry, two digits swapped."""
    digits = list(str(value))
    options = [value + d for d in (1, -1, 10, -10, 2, 100)]
    if len(digits) > 1:
        options.append(int("".join(digits[:-2] + digits[-1:] + digits[-2:-1])))
    options = [v for v in options if 0 <= v <= limit and v != value]
    return int(rng.choice(options)) if options else value


def draw_counts(
    form: TallyForm, rng: np.random.Generator, sums_hold: float
) -> np.ndarray:
    """Return the counts written on one page, int64 ``(n_fields,)``.

    A total is the sum of its parts as written, but for a clerk's slip with probability
    ``1 - sums_hold``. No count is longer than its boxes, nor larger than the form says.
    """
    limits = {}
    for field in form.fields:
        limits[field.name] = 10 ** len(field.rectangles) - 1
        if field.largest is not None:
            limits[field.name] = min(limits[field.name], field.largest)
    order = sum_order(form)
    shares = _draw_shares(form, order, rng)
    station = min([limits[total] for total in order], default=0)
    station = station * float(rng.beta(1.3, 1.8))
    counts = {}
    for name, limit in limits.items():
        if name in shares:
            value = round(station * shares[name])
            # More than its boxes hold: anything that they do hold.
            counts[name] = value if value <= limit else int(rng.integers(limit + 1))
        elif name not in order:  # in no rule, or in rules that go round in circles
            counts[name] = int(limit * rng.beta(1, 2))
    _shrink(form, order, counts, limits)
    for total in order:
        value = min(_total(form, total, counts), limits[total])
        slips = rng.random() >= sums_hold
        counts[total] = _slip(value, limits[total], rng) if slips else value
    return np.array([counts[name] for name in form.field_names], dtype=np.int64)


def write_boxes(count: int, n_places: int, habit: str, rng: np.random.Generator) -> str:
    """Return a count as one character a box, leading places as the writer's habit.

    Parameters
    ----------
    count : int
        From 0 to what fits.
    n_places : int
        Number of boxes.
    habit : {"0", "x", "_"}
        What this writer puts into leading boxes without a digit.
    rng : numpy.random.Generator
        One time in twenty the writer forgets the habit; zeros may be crossed.
    """
    if rng.random() < 0.05:
        habit = str(rng.choice(["0", "x", "_"]))
    digits = str(count)
    if count == 0 and (habit == "x" and rng.random() < 0.5):
        digits = "x"
    return habit * (n_places - len(digits)) + digits
