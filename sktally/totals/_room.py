"""How many votes may stand on what was not read: a bound, not an estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Room", "room_of"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Room:
    """Most votes that what was not read could add.

    Parameters
    ----------
    own : ndarray of shape (n_groups, n_fields)
        To a field.
    others : ndarray of shape (n_groups, n_fields)
        To all other fields together.
    """

    own: Floats
    others: Floats


def room_of(
    counts: npt.NDArray[np.int64],
    *,
    registered: Floats,
    most: Floats,
    group: npt.NDArray[np.int64],
    weights: Floats,
    n_groups: int,
) -> Room:
    """Return the room by group.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_sheets, n_fields)
        -1 where nothing was read.
    registered : ndarray of shape (n_sheets,)
        Votes that a sheet can hold in all its fields together; NaN if not known.
    most : ndarray of shape (n_fields,)
        Votes that a field can hold; infinite if not known.
    group, weights : ndarray of shape (n_sheets,)
        Which group a sheet is of, and how often it counts.
    n_groups : int
        Number of groups.
    """
    unread = counts < 0
    left = registered - np.where(unread, 0, counts).sum(axis=1)
    left = np.maximum(left, 0)  # of voters, once those that were read are taken away
    own = np.where(unread, np.fmin(left[:, None], most), 0)
    endless = np.isinf(own)  # of others with one among them it is infinite too
    finite = np.where(endless, 0, own)
    others = finite.sum(axis=1, keepdims=True) - finite
    others[endless.sum(axis=1, keepdims=True) > endless] = np.inf
    others = np.fmin(others, left[:, None])
    counted = weights > 0
    added = [np.zeros((n_groups, counts.shape[1])) for _ in range(2)]
    for out, room in zip(added, (own, others), strict=True):
        np.add.at(out, group[counted], weights[counted, None] * room[counted])
    return Room(*added)
