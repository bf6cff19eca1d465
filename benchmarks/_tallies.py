"""Cells of indonesia-2024 cut from the rectangles its labels give, page by page.

The rectangle of a field was drawn by hand around its three boxes, upright, with a
margin of `_MARGINS[1]` box heights in the median (over the first 120 pages, of which
all but one register), and less or more on many a page. With each of `_MARGINS` the form
is laid on the rectangles of its page by one homography, and on that of the field alone;
from there its boxes are moved onto their printed frames, and what fits best is cut out.
Nothing is registered, so no page can be refused.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from common import load_boxes
from joblib import Parallel, delayed
from sklearn.utils import Bunch

from sktally import TallyForm, load_form, make_tally_pages, read_page
from sktally.cells import sample_cells
from sktally.cells._bubbles import read_bubbles
from sktally.pages._registration import form_quads
from sktally.pages._snap import snap_fields

FORM = "indonesia-2024"
_MARGINS = (0.0, 0.12, 0.24)  # box heights
_REACH = 0.4  # box heights: how far a frame may lie from where the rectangle puts it


def load_tallies(folder: Path | None, n_pages: int, seed: int) -> Bunch:
    """Return cells, box strings and counts by page; made-up pages without a folder.

    `fits` says how well printed frames fit, and `bubbles` how probable digits are by
    the bubbles alone, see `cut_cells`. Absent cells are 0 everywhere, and unlabelled or
    badly framed fields None and -1.
    """
    form = load_form(FORM)
    if folder is None:
        made = make_tally_pages(n_pages, form=FORM, random_state=seed)
        corners = made.quads[:, :, [0, 0, -1, -1], [0, 3, 1, 2]]
        margin = _MARGINS[1] * form.fields[0].box[1]
        rectangles = np.concatenate(
            [corners.min(axis=2) - margin, corners.max(axis=2) + margin], axis=2
        )
        pages, turns = made.pages, made.turns
        boxes, counts, names = made.boxes, made.counts, [*range(n_pages)]
    else:
        pages, boxes, counts, fields = load_boxes(folder)
        pages = pages[:n_pages]
        names = [Path(page).stem for page in pages]
        rectangles, turns = _given(fields, [Path(page).name for page in pages])
        boxes, counts = boxes[:n_pages], counts[:n_pages]
        absent = np.isnan(rectangles).any(axis=2)
        boxes[absent], counts[absent] = None, -1
    cut = Parallel(n_jobs=2, prefer="threads")(
        delayed(cut_cells)(page, rectangle, turn == 180)
        for page, rectangle, turn in zip(pages, rectangles, turns)
    )
    cells, fits, bubbles = (np.stack(part) for part in zip(*cut))
    return Bunch(
        cells=cells,
        boxes=boxes,
        counts=counts,
        names=names,
        fits=fits,
        bubbles=bubbles,
    )


def _given(fields: pd.DataFrame, files: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return rectangles ``(n_pages, n_fields, 4)``, NaN where not good, and turns."""
    good = fields["bbox_ok"] == 1
    sides = fields.loc[good].pivot(index="file", columns="field")
    edges = [sides[name].reindex(files).to_numpy(float) for name in ("x1", "y1")]
    edges += [sides[name].reindex(files).to_numpy(float) for name in ("x2", "y2")]
    turns = fields.groupby("file")["rotation"].first().loc[files].to_numpy()
    return np.stack(edges, axis=2) - 0.5, turns  # to centres of pixels


def cut_cells(page, rectangles: np.ndarray, upside_down: bool):
    """Return cells ``(n_fields, n_places, height, width)``, fits and bubbles of a page.

    A fit of frames is the score of `snap_fields`; minus infinity without a rectangle.
    Bubbles are looked for where all boxes together put them.
    """
    cv2.setNumThreads(1)
    form = load_form(FORM)
    page = page if isinstance(page, np.ndarray) else read_page(page)
    (x1, y1), (x2, y2) = rectangles[:, :2].T, rectangles[:, 2:].T
    if upside_down:
        x1, y1, x2, y2 = x2, y2, x1, y1
    on_page = _corners(x1, y1, x2, y2)
    present = np.isfinite(on_page).all(axis=(1, 2))
    quads = np.full((form.n_fields, form.n_places, 4, 2), np.nan)
    scores = np.full(form.n_fields, -np.inf)
    if not present.any():
        silent = np.full((*quads.shape[:2], 10), 0.1, np.float32)
        return sample_cells(page, quads), scores, silent
    each = [np.arange(form.n_fields) == i for i in np.flatnonzero(present)]
    for margin, together in product(_MARGINS, [present, *each]):
        onto, _ = cv2.findHomography(
            _on_form(form, margin)[together].reshape(-1, 2),
            on_page[together].reshape(-1, 2),
        )
        part = form.model_copy(
            update={"fields": tuple(np.array(form.fields)[together])}
        )
        moved, fit = snap_fields(page, part, onto, reach=_REACH)
        where = np.flatnonzero(together)
        better = fit > scores[where]
        quads[where[better]], scores[where[better]] = moved[better], fit[better]
    at = np.isfinite(quads).all(axis=(2, 3))
    onto, _ = cv2.findHomography(
        form_quads(form)[at].reshape(-1, 2), quads[at].reshape(-1, 2)
    )
    return sample_cells(page, quads), scores, read_bubbles(page, form, onto, quads)


def _on_form(form: TallyForm, margin: float) -> np.ndarray:
    """Return the corners of each field and a margin, in form units ``(n, 4, 2)``."""
    boxes = form_quads(form).reshape(form.n_fields, -1, 2)
    margin *= form.fields[0].box[1]
    return _corners(*(boxes.min(axis=1) - margin).T, *(boxes.max(axis=1) + margin).T)


def _corners(x1, y1, x2, y2) -> np.ndarray:
    """Return corners clockwise from x1, y1: ``(n, 4, 2)``."""
    return np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=-1).reshape(-1, 4, 2)


def single_cells(cells: np.ndarray, boxes: np.ndarray, wanted: str) -> Bunch:
    """Return the boxes that hold a wanted character: cells, labels and where.

    `at` has page, field and place of each, by which readings are folded back.
    """
    labels = np.array([[list(b or "   ") for b in row] for row in boxes])
    chosen = np.isin(labels, list(wanted))
    return Bunch(cells=cells[chosen], labels=labels[chosen], at=np.argwhere(chosen))
