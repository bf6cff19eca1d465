"""Snap the fields of a page that may be bent: near, then far, then as neighbours moved.

Comes in: a page, a form, and the map that its anchors give. Goes out: the corners of
every box on the page, and how well the frames of each field fit there.
"""

from __future__ import annotations

import numpy as np

from sktally.form import TallyForm
from sktally.pages._registration import apply_homography, form_quads
from sktally.pages._snap import snap_fields
from sktally.pages._view import Views

__all__ = ["FAR_REACH", "GAIN", "STEP", "snap_bent"]

# After the anchors a field is mostly within this share of a box height of its frame,
_NEAR_REACH = 0.1
# and within this one where the paper is folded; on indonesia-2019-c1 0.25 where one
# of four squares is erased.
FAR_REACH = 0.6
# A place further off must fit better by so much: beside a frame there is often
# another line like it.
GAIN = 0.15
# Anchors place a box to 0.3 % of its size on a flat page, snapping to about 1.5 %:
# smaller moves than this share of a box height are its grid and not bent paper.
STEP = 0.04
# Below it a frame may fit better elsewhere: made pages with creases have fields half a
# box off at 0.61 to 0.71, and well above it in place.
_WELL = 0.75
_FAR = {"reach": FAR_REACH, "step": STEP}
_ROUNDS = 3  # a crease moves a row no further than this many rows beyond the last


def snap_bent(
    page: Views, form: TallyForm, homography: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Snap the fields to their frames, where that is clearly better.

    Parameters
    ----------
    page : Views
        uint8 grey page, dark ink on light paper.
    form : TallyForm
        Form.
    homography : ndarray of shape (3, 3)
        Form units to page pixels.

    Returns
    -------
    quads : ndarray of shape (n_fields, n_places, 4, 2)
        float64 corners of every box in page pixels; NaN where a field has no such
        place.
    field_scores : ndarray of shape (n_fields,)
        Correlation, -1 to 1, with the frames; NaN where a field has none.

    See Also
    --------
    sktally.pages._snap.snap_fields : One such search.
    """
    quads, scores = snap_fields(page, form, homography, reach=_NEAR_REACH, step=STEP)
    if not (scores < _WELL).any():
        return quads, scores
    _take_better(quads, scores, snap_fields(page, form, homography, **_FAR))
    for _ in range(_ROUNDS):
        moves = _moves_of_neighbours(form, homography, quads, scores)
        for move in moves:
            _take_better(
                quads, scores, snap_fields(page, form, homography @ move, **_FAR)
            )
        if not moves or not (scores < _WELL).any():
            break
    return quads, scores


def _take_better(
    quads: np.ndarray, scores: np.ndarray, found: tuple[np.ndarray, np.ndarray]
) -> None:
    """Move the fields that fit clearly better elsewhere, in place."""
    better = (found[1] > scores + GAIN) & (scores < _WELL)
    quads[better], scores[better] = found[0][better], found[1][better]


def _moves_of_neighbours(
    form: TallyForm, homography: np.ndarray, quads: np.ndarray, scores: np.ndarray
) -> list[np.ndarray]:
    """Return how the nearest sound neighbours of weak fields lie off their place."""
    sharp, weak = np.flatnonzero(scores >= _WELL), np.flatnonzero(scores < _WELL)
    if not sharp.size:
        return []
    plain = form_quads(form)
    back = apply_homography(np.linalg.inv(homography), quads)
    middle = np.nanmean(plain, axis=(1, 2))
    moves = np.nanmean(back - plain, axis=(1, 2))
    away = np.linalg.norm(middle[weak, None] - middle[None, sharp], axis=-1)
    nearest = np.unique(sharp[np.argsort(away, axis=1)[:, :2]])
    maps = np.tile(np.eye(3), (len(nearest), 1, 1))
    maps[:, :2, 2] = moves[nearest]
    return list(maps)
