"""What the status "misfit" marks: counts whose printed frames fit badly.

Made pages of five forms, scanned, faxed, photographed, folded, in shadow, stained, bent
in one place, and with one field that the form describes beside its place (for all but
the form that is found by a reference). A count is wrong *by its crop* if it is wrong as
read and right as read from where the boxes really are. Printed for thresholds of the
frames' score, `sktally.pages._registration.MISFIT` among them: how many right counts
are marked, and how many of the wrong ones; by kind of page at the one in use; and how
probabilities of marked counts fare for shares `_ASTRAY` of boxes that were cut beside
their place. Then the same for pages 1-250 and 251-500 of indonesia-2024, bubbles not
heeded. Threshold and share were chosen with --seed 0 and pages 1-250.
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from common import arguments, load_boxes, print_versions

from sktally import TallyCropper, load_form, load_reader, make_tally_pages
from sktally.cells._sample import sample_cells
from sktally.form import TallyForm
from sktally.pages._registration import MISFIT
from sktally.votes import CLASSES, count_proba
from sktally.votes._result import _ASTRAY

MODELS = ("default", "handwriting")
THRESHOLDS = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
TAKEN = {
    "scan": {},
    "fax": {"degrade": "fax"},
    "photo": {"degrade": "photo"},
    "photo at an angle": {"degrade": "photo", "perspective": 0.15},
    "photo, blurred": {"degrade": "photo", "blur": 2.0},
    "photo in shadow": {"degrade": "photo", "shadow": 0.9},
    "photo, stained": {"degrade": "photo", "stains": 0.9},
    "photo, folded": {"degrade": "photo", "fold": 0.02},
    "scan, folded": {"fold": 0.03},
    "scan, bent": {},
    "scan, described amiss": {},
}


def a_form(name: str, size: tuple, anchors: list, fields: list) -> TallyForm:
    """Return a form from lists of anchors and fields."""
    page = {"width": size[0], "height": size[1]}
    parts = {"name": name, "page": page, "anchors": anchors, "fields": fields}
    return TallyForm.from_dict(parts)


def made_forms() -> list[TallyForm]:
    """Return one form of four corners in mm, and one of three squares and ten rows."""
    corners = [
        {"name": way, "opens": way, "center": [x, y], "kind": "corner"}
        | {"size": [10, 10], "thickness": 1.5}
        for way, x, y in (
            ("top-left", 12, 12),
            ("top-right", 198, 12),
            ("bottom-left", 12, 285),
            ("bottom-right", 198, 285),
        )
    ]
    long = {"box": [10, 13], "pitch": 11, "places": 4, "frame": 0.4}
    few = [
        {"name": f"{i}", "start": [45 + 80 * (i % 2), 70 + 30 * (i // 2)], **long}
        for i in range(7)
    ]
    squares = [
        {"name": str(i), "kind": "square", "center": list(at), "size": [36, 36]}
        for i, at in enumerate([(70, 70), (1684, 70), (70, 1170)])
    ]
    row = {"box": [58, 72], "places": 3, "frame": 3}
    rows = [{"name": f"{i}", "start": [1200, 200 + 92 * i], **row} for i in range(10)]
    return [
        a_form("corners", (210, 297), corners, few),
        a_form("rows", (1754, 1240), squares, rows),
    ]


def bent(page: np.ndarray, quads: np.ndarray, rng, height: float) -> tuple:
    """Return a page pulled aside around one field, and where its boxes are then."""
    middles = np.nanmean(quads, axis=(1, 2))
    centre = middles[rng.integers(len(middles))]
    spread = rng.uniform(0.05, 0.15) * max(page.shape)
    angle, size = rng.uniform(0, 2 * np.pi), height * rng.uniform(0.2, 1.0)
    pull = min(size, 0.5 * spread) * np.array([np.cos(angle), np.sin(angle)])

    def moves(points: np.ndarray) -> np.ndarray:
        away = ((points - centre) ** 2).sum(axis=-1) / (2 * spread**2)
        return np.exp(-away)[..., None] * pull

    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    at = np.stack([x, y], axis=-1)
    seen = (at + moves(at)).astype(np.float32)
    border = cv2.BORDER_REPLICATE
    page = cv2.remap(page, seen, None, cv2.INTER_LINEAR, borderMode=border)
    found = quads
    for _ in range(20):
        found = quads - moves(found)
    return page, found


def amiss(form: TallyForm, rng) -> TallyForm:
    """Return the form with one field described beside its place."""
    fields = list(form.fields)
    i = int(rng.integers(len(fields)))
    angle, (x, y) = rng.uniform(0, 2 * np.pi), fields[i].start
    far = fields[i].rectangles[0][3] * rng.uniform(0.2, 1.3)
    start = (x + far * np.cos(angle), y + far * np.sin(angle))
    fields[i] = fields[i].model_copy(update={"start": start})
    return form.model_copy(update={"fields": tuple(fields)})


def read_made(form: TallyForm, kind: str, n: int, seed: int) -> pd.DataFrame:
    """Return a row for each count of pages of one kind that were located."""
    rng = np.random.default_rng([seed, *map(ord, form.name + kind)])
    pixels = 1000 if form.reference is not None else 1700
    scale = pixels / max(form.page.width, form.page.height)
    random = int(rng.integers(2**31))
    made = make_tally_pages(
        n, form=form, scale=scale, random_state=random, **TAKEN[kind]
    )
    sides = made.quads[..., 3, :] - made.quads[..., 0, :]
    height = float(np.nanmedian(np.linalg.norm(sides, axis=-1)))
    cropper = TallyCropper(form).fit()
    cells, true, scores, kept = [], [], [], []
    for i, (page, quads) in enumerate(zip(made.pages, made.quads)):
        one = cropper
        if kind.endswith("bent"):
            page, quads = bent(page, quads, rng, height)
        elif kind.endswith("amiss"):
            one = TallyCropper(amiss(form, rng)).fit()
        found, [report] = one.crop([page])
        if report.registration is None:
            continue
        kept.append(i)
        cells.append(np.asarray(found)[0])
        size = {"cell_size": one.cell_shape_, "margin": one.margin}
        true.append(sample_cells(page, quads, **size))
        scores.append(report.registration.field_scores)
    if not kept:
        return pd.DataFrame()
    return rows_of(form, cells, true, np.array(scores), made.counts[kept])


def rows_of(form, cells, true, scores, counts) -> pd.DataFrame:
    """Read cells as cropped and as they should be, by all models."""
    table = {"score": scores.ravel()}
    for model in MODELS:
        reader = load_reader(form, model=model)
        votes = reader[-1].set_params(bubbles=False)
        for name, some in (("right", cells), ("right_there", true)):
            images = reader[1].transform(np.stack(some))
            read = votes.predict_tallies(images)
            table[f"{model} {name}"] = (read.counts == counts).ravel()
            if name == "right":
                for share in SHARES:
                    boxes = (1 - share) * read.digit_proba + share / len(CLASSES)
                    proba = count_proba(boxes, np.maximum(read.counts, 0))
                    table[f"{model} {share}"] = proba.ravel()
    return pd.DataFrame(table)


def part(some: pd.Series, of: pd.Series) -> str:
    """Format a share with its numerator and denominator."""
    n, k = int(of.sum()), int((some & of).sum())
    return f"{k} of {n}" + (f" ({k / n:.4f})" if n else "")


def judge(table: pd.DataFrame) -> None:
    """Print what thresholds mark, and how probabilities of marked counts fare."""
    for model in MODELS:
        right = table[f"{model} right"].astype(bool)
        crop = ~right & table[f"{model} right_there"].astype(bool)
        print(f"  {model}: {len(table)} counts, {(~right).sum()} wrong")
        for threshold in sorted({*THRESHOLDS, MISFIT}):
            marked = table["score"] < threshold
            print(
                f"    below {threshold:.2f}: right {part(marked, right)}, wrong "
                f"{part(marked, ~right)}, wrong by the crop {part(marked, crop)}"
            )
        marked = table["score"] < MISFIT
        if marked.any():
            losses = {
                share: -np.log(
                    np.where(right, p := table[f"{model} {share}"], 1 - p)[marked].clip(
                        1e-6
                    )
                ).mean()
                for share in SHARES
            }
            listed = ", ".join(f"{s:g}: {loss:.3f}" for s, loss in losses.items())
            print(
                f"    log loss of marked counts by share ({_ASTRAY:g} used): {listed}"
            )


def by_kind(table: pd.DataFrame) -> None:
    """Print for each kind of page what is marked, by the bundled model."""
    for kind, some in table.groupby("kind", sort=False):
        right = some["default right"].astype(bool)
        crop = ~right & some["default right_there"].astype(bool)
        marked = some["score"] < MISFIT
        print(
            f"  {kind:22s} right {part(marked, right)}, wrong by the crop "
            f"{part(marked, crop)}"
        )


def main() -> None:
    """Read made pages, then real ones."""
    args = arguments(
        __doc__.splitlines()[0],
        pages={"type": int, "default": 16, "help": "of each form and kind"},
        quick={"action": "store_true", "help": "no real pages"},
        table={"help": "CSV to write the counts of made pages to"},
    )
    print_versions(args.seed)
    cv2.setNumThreads(1)
    names = ("example", "indonesia-2019-c1", "indonesia-2024")
    parts = []
    for form in [*map(load_form, names), *made_forms()]:
        for kind in TAKEN:
            if form.reference is not None and kind.endswith("amiss"):
                continue
            found = read_made(form, kind, args.pages, args.seed)
            parts.append(found.assign(form=form.name, kind=kind))
    table = pd.concat(parts, ignore_index=True)
    if args.table:
        table.to_csv(args.table, index=False)
    print(f"\nmade pages, {args.pages} of each form and kind")
    judge(table)
    print(f"\nmarked below {MISFIT}, by kind of page")
    by_kind(table)
    if not args.quick:
        paths, _, counts, _ = load_boxes(args.data / "indonesia-2024")
        form = load_form("indonesia-2024")
        for first in (0, 250):
            some, known = paths[first : first + 250], counts[first : first + 250]
            cells, reports = TallyCropper(form).fit().crop(some)
            found = [i for i, report in enumerate(reports) if report.registration]
            scores = np.array([reports[i].registration.field_scores for i in found])
            cells, known = np.asarray(cells)[found], known[found]
            real = rows_of(form, cells, cells, scores, known)
            print(f"\nindonesia-2024, pages {first + 1}-{first + 250}")
            judge(real[known.ravel() >= 0])


if __name__ == "__main__":
    main()
