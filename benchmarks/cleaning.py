"""How thresholds of the cell cleaning change what the bundled models read.

Both models read 8,000 synthetic cells that neither was fitted to, and the cells of
pages 1-250 of indonesia-2024, which `handwriting` has not seen and `default` has.
Cleaning is thus judged by networks trained behind today's; differences of a few
cells say nothing. `--set` gives other values of a threshold, one line each; `--sizes`
other sizes of the cells of TallyCropper, for which synthetic cells are resized and
synthetic pages of the form example are read too:

    python benchmarks/cleaning.py --set _frame._REACH=0.27 _steps._PAPER=0.15
    python benchmarks/cleaning.py --sizes 28 32 34 36 40
"""

import importlib

import cv2
import numpy as np
from common import arguments, load_boxes, print_versions

from sktally import (
    CellNormalizer,
    TallyCropper,
    load_model,
    make_digit_cells,
    make_tally_pages,
)


def judge(title: str, sets: dict, models: dict) -> None:
    """Print the share of cells read right, by set of cells and model."""
    shares = []
    for name, (cells, labels) in sets.items():
        images = CellNormalizer().fit_transform(cells)
        digit = np.isin(labels, list("0123456789"))
        for model, classifier in models.items():
            right = classifier.predict(images) == labels
            shares.append(
                f"{name}, {model} {right.mean():.4f} (digits {right[digit].mean():.4f})"
            )
    print(f"{title:24s}", "; ".join(shares), flush=True)


def sampled(paths, boxes, form: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cells and labels of the boxes of pages, those that are known."""
    cells, reports = TallyCropper(form, cell_size=size, n_jobs=2).fit().crop(paths)
    labels = np.array([[list((b or "").rjust(3)) for b in row] for row in boxes])
    read = np.array([report.status == "ok" for report in reports])
    known = (labels != " ") & read[:, None, None]
    return cells[known], labels[known]


def resized(cells: np.ndarray, size: int) -> np.ndarray:
    """Return square cells of another size."""
    how = cv2.INTER_AREA
    return np.stack(
        [cv2.resize(cell, (size, size), interpolation=how) for cell in cells]
    )


def main() -> None:
    """Judge the thresholds as they stand, then each change."""
    args = arguments(
        __doc__,
        set={"nargs": "*", "default": [], "help": "module.NAME=value"},
        sizes={"nargs": "*", "type": int, "default": [], "help": "sides of cells"},
        cells={"type": int, "default": 8000},
    )
    print_versions(args.seed)
    models = {name: load_model(name)[-1] for name in ("handwriting", "default")}
    made = make_digit_cells(args.cells, random_state=77)
    paths, boxes, _, _ = load_boxes(args.data / "indonesia-2024")
    real = (paths[:250], boxes[:250], "indonesia-2024")

    def sets(size: int) -> dict:
        cells, labels = sampled(*real, size)
        return {
            f"{args.cells} synthetic": (
                resized(made.images, size),
                np.asarray(made.target),
            ),
            f"{len(cells)} of pages 1-250": (cells, labels),
        }

    for size in args.sizes:
        drawn = [make_tally_pages(20, random_state=s) for s in (101, 102, 103)]
        parts = [sampled(d.pages, d.boxes, "example", size) for d in drawn]
        cells, labels = (np.concatenate(p) for p in zip(*parts, strict=True))
        judge(
            f"cell_size {size}",
            sets(size) | {f"{len(cells)} of pages of example": (cells, labels)},
            models,
        )
    standard = sets(TallyCropper("example").cell_size)
    judge("as it stands", standard, models)
    for change in args.set:
        name, value = change.split("=")
        module = importlib.import_module(f"sktally.cells.{name.split('.')[0]}")
        constant = name.split(".")[1]
        kept = getattr(module, constant)
        setattr(module, constant, float(value))
        judge(change, standard, models)
        setattr(module, constant, kept)


if __name__ == "__main__":
    main()
