"""Registration of indonesia-2024 by its learnt reference: is it in place, how fast.

Pages with usable rectangles in all three fields; the 120 pages learnt from are left
out. Thresholds were chosen on pages 121-250; ``--part report`` is 251-500. A field's
rectangle is the bounding box of its quads, grown by the margin that annotators left
around the frames: 0.17 box heights, with which the worst of pages 121-250 fits best
(``--part choose`` prints which). Annotators were not of one mind (0.1 on pages
420-500, 0.2 on 255-325), so the figure is printed as well with one margin for each
page, from 0 to 0.35, that suits its labels best.
"""

import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from common import arguments, print_versions, share

from sktally import TallyError, load_form, read_page
from sktally.pages._features import (
    WORKING_SIZE,
    find_features,
    fit_homography,
    match_features,
    read_reference,
)
from sktally.pages._overlay import draw_registration
from sktally.pages._reference import register_by_reference
from sktally.pages._snap import snap_fields

MARGIN = 0.17
MARGINS = np.arange(0, 0.36, 0.01)
PARTS = {"choose": range(121, 251), "report": range(251, 501), "all": range(1, 501)}
UPSIDE_DOWN = [15, 69, 85, 108, 207, 222, 270, 430, 468]


def field_ious(
    quads: np.ndarray, truth: np.ndarray, shape: tuple, margin: float = MARGIN
) -> np.ndarray:
    """Return the IoU of each field's bounding rectangle with the annotated one."""
    corners = quads.reshape(len(quads), -1, 2)
    low, high = corners.min(axis=1), corners.max(axis=1)
    grow = margin * (high - low)[:, 1:]
    low, high = np.maximum(low - grow, 0), np.minimum(high + grow, shape[::-1])
    overlap = np.minimum(high, truth[:, 2:]) - np.maximum(low, truth[:, :2])
    both = overlap.clip(min=0).prod(axis=1)
    areas = (high - low).prod(axis=1) + (truth[:, 2:] - truth[:, :2]).prod(axis=1)
    return both / (areas - both)


def register_all(folder: Path, form, numbers, truth: dict, out: Path | None):
    """Return one row for each page, and the reasons of the rejected ones."""
    rows, reasons, worst = [], {}, np.ones(len(MARGINS))
    for number in numbers:
        page = read_page(folder / "pages" / f"TPS_{number:03d}.jpg")
        began = time.perf_counter()
        try:
            found = register_by_reference(page, form)
        except TallyError as error:
            reasons[number] = str(error)
            rows.append((number, 0, 0.0, 0.0, 0.0, -1, _ms(began), 0, 0, 0))
            continue
        spent = _ms(began)
        ious = field_ious(found.quads, truth[number][0], page.shape)
        by_margin = [
            field_ious(found.quads, truth[number][0], page.shape, margin).min()
            for margin in MARGINS
        ]
        worst = np.minimum(worst, by_margin)
        suited = max(by_margin)
        known = (number, 1, ious.min(), suited, found.score, found.turn, spent)
        rows.append((*known, *ious.round(2)))
        if out:
            picture = draw_registration(page, form, found)
            cv2.imwrite(str(out / f"{number:03d}.png"), picture)
    best = MARGINS[worst.argmax()]
    print(f"worst page fits best with a margin of {best:.2f}: IoU {worst.max():.3f}")
    columns = "page accepted iou suited score turn ms iou_1 iou_2 iou_3".split()
    return pd.DataFrame(rows, columns=columns), reasons


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def print_steps(folder: Path, form, numbers) -> None:
    """Print milliseconds of each step of the first start."""
    reference = read_reference(form)
    spent = []
    for number in list(numbers)[:60]:
        began = time.perf_counter()
        page = read_page(folder / "pages" / f"TPS_{number:03d}.jpg")
        marks = [_ms(began)]
        points, descriptors = find_features(page)
        marks.append(_ms(began))
        pairs = match_features(reference.descriptors, descriptors)
        marks.append(_ms(began))
        pixel = max(page.shape) / WORKING_SIZE
        matrix, _ = fit_homography(
            reference.points[pairs[:, 0]], points[pairs[:, 1]], pixel=pixel
        )
        marks.append(_ms(began))
        if matrix is not None:
            snap_fields(page, form, matrix)
            marks.append(_ms(began))
            spent.append(np.diff([0, *marks]))
    names = ["decode", "features", "match", "fit", "snap"]
    median = np.median(spent, axis=0)
    steps = dict(zip(names, median.round(1).tolist(), strict=True))
    print("ms by step (median):", steps)


def count_rejected(pages: list, form) -> str:
    """Return how many of other pages are rejected."""
    scores = []
    for page in pages:
        try:
            scores.append(register_by_reference(page, form).score)
        except TallyError:
            scores.append(np.nan)
    return share(np.isnan(scores))


def main() -> None:
    args = arguments(
        __doc__,
        part={"choices": list(PARTS), "default": "choose"},
        limit={"type": int, "default": 500, "help": "pages at most"},
        out={"type": Path, "help": "folder for overlay pictures"},
    )
    print_versions(args.seed)
    cv2.setNumThreads(1)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    folder, form = args.data / "indonesia-2024", load_form("indonesia-2024")
    fields = pd.read_csv(folder / "fields.csv")
    truth = {
        int(file[4:7]): (group[["x1", "y1", "x2", "y2"]].to_numpy(float), turn)
        for (file, turn), group in fields.groupby(["file", "rotation"])
        if len(group) == 3 and group["bbox_ok"].all()
    }
    numbers = [n for n in PARTS[args.part] if n in truth][: args.limit]
    rows, reasons = register_all(folder, form, numbers, truth, args.out)
    took = rows["accepted"] == 1
    print(f"pages {numbers[0]}-{numbers[-1]}")
    print("accepted:          ", share(took))
    print("all IoU >= 0.7:    ", share(rows["iou"] >= 0.7))
    print("  by page's own margin:", share(rows["suited"] >= 0.7))
    print("accepted, IoU < 0.5:", share(took & (rows["iou"] < 0.5)))
    turns = np.array([truth[n][1] for n in rows["page"]])
    print("turn right, of accepted:", share((rows["turn"] == turns)[took]))
    print("score percentiles 0, 1, 5, 50:", _percentiles(rows["score"][took]))
    print(f"ms: median {rows['ms'].median():.0f}, mean {rows['ms'].mean():.0f}")
    print_steps(folder, form, numbers)
    odd = rows[~took | (rows["iou"] < 0.7)]
    print("\nfailures:\n" + odd.round(2).to_string(index=False))
    for number, reason in reasons.items():
        print(f"  {number}: {reason}")
    for number in UPSIDE_DOWN:
        page = read_page(folder / "pages" / f"TPS_{number:03d}.jpg")
        try:
            found = register_by_reference(page, form)
            print(f"upside down {number}: turn {found.turn}, {found.score:.2f}")
        except TallyError as error:
            print(f"upside down {number}: REJECTED {error}")
    scans = sorted((args.data / "indonesia-2019-c1" / "pages").iterdir())
    print(
        "indonesia-2019-c1 rejected:", count_rejected(list(map(read_page, scans)), form)
    )
    scans = sorted((args.data / "nist-hsf").glob("*.png"))
    print(
        "nist-hsf rejected:         ", count_rejected(list(map(read_page, scans)), form)
    )
    mirrored = [
        np.ascontiguousarray(read_page(folder / "pages" / f"TPS_{n:03d}.jpg")[:, ::-1])
        for n in numbers[:30]
    ]
    print("mirrored pages rejected:   ", count_rejected(mirrored, form))


def _percentiles(values: pd.Series) -> list[float]:
    return np.percentile(values, [0, 1, 5, 50]).round(2).tolist()


if __name__ == "__main__":
    main()
