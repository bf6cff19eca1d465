"""The counts of all fields of a sheet, each by itself, worked out at once.

Comes in: the probabilities of all boxes of a sheet. Goes out: what `count_posterior`
says of each field, from arrays over all counts that go through the places together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sktally.form import TallyForm
from sktally.votes._decode import CLASSES
from sktally.votes._posterior import FLOOR, CountPosterior, count_posterior

__all__ = ["alone_of_sheet", "within_largest"]

_CROSSED, _EMPTY = 10, 11
_MAX_PLACES = 3  # arrays over all counts of more places are mostly zeros
# Of a field that is more probably than this above its largest count nothing is known:
# what a network gives to the others then is no measure of them.
_SURELY_ABOVE = 0.99

Array = npt.NDArray[np.float64]


def alone_of_sheet(
    sheet: npt.NDArray[np.floating], rule: str
) -> list[CountPosterior | None]:
    """Return what the boxes of each field say by themselves; None if that is nothing.

    Parameters
    ----------
    sheet : ndarray of shape (n_fields, n_places, 12)
        Probabilities of `CLASSES`, NaN for boxes that are not there or were not read.
    rule : {"missing", "zero", "shift"}
        Value of an empty box to the right of a digit. By "missing" the form does not
        say, and "zero" and "shift" are given half of the probability each.

    Returns
    -------
    list of CountPosterior or None, one for each field
    """
    boxes = np.asarray(sheet, np.float64)
    found: list[CountPosterior | None] = [None] * len(boxes)
    read = np.flatnonzero(~np.isnan(boxes[:, -1]).any(axis=1))
    if not len(read):
        return found
    rules = ("zero", "shift") if rule == "missing" else (rule,)
    whole = _whole(boxes[read])
    if whole is None:  # one field a time: long ones, and errors with their reasons
        for j in read:
            found[j] = _mixed([count_posterior(boxes[j], blank_right=r) for r in rules])
        return found
    each = [_dense(whole, r) for r in rules]
    for k, j in enumerate(read):
        found[j] = _of_row([(proba[k], float(missing[k])) for proba, missing in each])
    return found


def within_largest(
    posteriors: Sequence[CountPosterior | None], form: TallyForm
) -> list[CountPosterior | None]:
    """Return what each field may be, no more than the form allows.

    Parameters
    ----------
    posteriors : sequence of CountPosterior or None
        One for each field of the form.
    form : TallyForm
        Form, with the largest count of some fields.

    Returns
    -------
    list of CountPosterior or None
        None too for fields that are surely above it.
    """
    return [
        posterior if posterior is None or most is None else _at_most(posterior, most)
        for posterior, most in zip(
            posteriors, (field.largest for field in form.fields), strict=True
        )
    ]


def _at_most(posterior: CountPosterior, most: int) -> CountPosterior | None:
    kept = posterior.counts <= most
    if kept.all():
        return posterior
    left = float(posterior.proba[kept].sum()) + posterior.missing
    if left < 1 - _SURELY_ABOVE or not kept.any():
        return None
    return CountPosterior(
        posterior.counts[kept], posterior.proba[kept] / left, posterior.missing / left
    )


def _whole(boxes: Array) -> Array | None:
    """Return probabilities that sum to 1; a box that is not there is an empty one."""
    if boxes.shape[1] > _MAX_PLACES or boxes.shape[2] != len(CLASSES):
        return None
    away = np.isnan(boxes).all(axis=2)
    leading = np.logical_and.accumulate(away, axis=1)
    if leading.any():
        boxes = np.where(leading[..., None], np.eye(len(CLASSES))[_EMPTY], boxes)
    sums = boxes.sum(axis=2, keepdims=True)
    if not ((boxes >= 0).all() and (np.abs(sums - 1) < 0.01).all()):
        return None
    return boxes / sums


def _dense(boxes: Array, rule: str) -> tuple[Array, Array]:
    """Return the probability of each count and of none, as `count_posterior` does."""
    n = len(boxes)
    no_digit, missing = np.ones(n), np.zeros(n)
    proba = np.zeros((n, 1))
    ended = proba
    for row in boxes.swapaxes(0, 1):
        after, empty = row[:, :10].copy(), row[:, _EMPTY]
        after[:, 0] += row[:, _CROSSED] + (empty if rule == "zero" else 0.0)
        if rule == "missing":
            missing += proba.sum(axis=1) * empty
        elif rule == "shift":
            missing += ended.sum(axis=1) * (1 - empty)
            grown = proba * empty[:, None]
            grown[:, : ended.shape[1]] += ended * empty[:, None]
            ended = grown
        proba = (proba[:, :, None] * after[:, None, :]).reshape(n, -1)
        proba[:, :10] += no_digit[:, None] * row[:, :10]
        kept = proba > FLOOR * proba.max(axis=1, keepdims=True)
        kept[:, 0] = True
        proba = np.where(kept, proba, 0.0)
        no_digit = no_digit * (row[:, _CROSSED] + empty)
    proba[:, 0] += no_digit
    if rule == "shift":
        proba[:, : ended.shape[1]] += ended
    proba = np.where(proba > FLOOR * proba.max(axis=1, keepdims=True), proba, 0.0)
    whole = proba.sum(axis=1) + missing
    return proba / whole[:, None], missing / whole


def _of_row(each: list[tuple[Array, float]]) -> CountPosterior | None:
    (proba, missing), *others = each
    if others or missing:
        proba = sum((other for other, _ in others), proba)
        whole = proba.sum()
        if not whole:  # what is surely no count may be any, as if it was not read
            return None
        proba = proba / whole
    counts = np.flatnonzero(proba)
    return CountPosterior(counts, proba[counts])


def _mixed(found: list[CountPosterior]) -> CountPosterior | None:
    if len(found) == 1 and not found[0].missing:
        return found[0]
    counts, where = np.unique(
        np.concatenate([p.counts for p in found]), return_inverse=True
    )
    if not len(counts):
        return None
    proba = np.bincount(where, np.concatenate([p.proba for p in found]))
    return CountPosterior(counts, proba / proba.sum())
