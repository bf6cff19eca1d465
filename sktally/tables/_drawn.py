"""The picture of a page of a store: its boxes on the scan, those of a field enlarged.

Comes in: a scan and the rows of its page and fields. Goes out: a picture.
"""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np

from sktally.cells._sample import sample_cells
from sktally.exceptions import TallyError
from sktally.form import TallyForm
from sktally.pages import Registration, draw_registration
from sktally.votes import CLASSES

__all__ = ["draw_page", "likeliest", "proba_of"]

_SIDE = 120  # pixels of a crop in the picture
_LIKELY = 3  # classes named for each box


def draw_page(
    image: np.ndarray,
    form: TallyForm,
    page: dict[str, Any],
    fields: list[dict[str, Any]],
    field: str | None,
) -> np.ndarray:
    """Return the picture of a page and, of a field, of its boxes."""
    registration = _registration(page, fields, form)
    counts = ["missing" if row["count"] is None else row["count"] for row in fields]
    boxes = [row["boxes"] or "" for row in fields]
    texts = [f"{box} = {count}" for box, count in zip(boxes, counts, strict=True)]
    error = TallyError(page["message"]) if registration is None else None
    picture = draw_registration(image, form, registration, error=error, texts=texts)
    if field is None or registration is None:
        return picture
    j = form.field_names.index(field)
    crops = _crops(image, registration.quads[j : j + 1], fields[j], form.n_places)
    return _below(picture, crops)


def proba_of(row: dict[str, Any], n_places: int) -> np.ndarray | None:
    """Return probabilities (n_places, n_classes), or None where there are none."""
    if row["proba"] is None:
        return None
    return np.frombuffer(row["proba"], "<f4").reshape(n_places, -1)


def likeliest(proba: np.ndarray) -> str:
    """Return the likeliest classes of a box, with their probabilities."""
    order = np.argsort(-proba)[:_LIKELY]
    return "  ".join(f"{CLASSES[k]} {proba[k]:.3f}" for k in order)


def _registration(
    page: dict[str, Any], fields: list[dict[str, Any]], form: TallyForm
) -> Registration | None:
    if page["transform"] is None:
        return None
    quads = [np.frombuffer(row["polygons"], "<f4").astype(float) for row in fields]
    residual = page["residual"]
    return Registration(
        homography=np.reshape(json.loads(page["transform"]), (3, 3)),
        quads=np.reshape(quads, (form.n_fields, form.n_places, 4, 2)),
        turn=page["turn"],
        score=page["score"],
        residual=np.nan if residual is None else residual,
        method=page["method"],
    )


def _crops(
    image: np.ndarray, quads: np.ndarray, row: dict[str, Any], n_places: int
) -> np.ndarray:
    """Return the boxes of a field side by side, each over its probabilities."""
    cells = sample_cells(image, quads, cell_size=(_SIDE, _SIDE), margin=0.15)[0]
    proba = proba_of(row, n_places)
    parts = []
    for i, cell in enumerate(cells):
        if not np.isfinite(quads[0, i]).all():
            continue
        part = np.full((_SIDE + 70, _SIDE + 20, 3), 255, np.uint8)
        part[5 : 5 + _SIDE, 10 : 10 + _SIDE] = cell[..., None]
        if proba is not None:
            for line, text in enumerate(likeliest(proba[i]).split("  ")):
                place = (12, _SIDE + 22 + 18 * line)
                cv2.putText(part, text, place, 0, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        parts.append(part)
    return np.hstack(parts)


def _below(picture: np.ndarray, crops: np.ndarray) -> np.ndarray:
    """Stack two pictures, the narrower one on white."""
    width = max(picture.shape[1], crops.shape[1])
    both = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255)
        for part in (picture, crops)
    ]
    return np.vstack(both)
