"""How thresholds of the cell cleaning change what the bundled models read.

Both models read 8,000 synthetic cells that neither was fitted to, and the cells of
pages 1-250 of indonesia-2024, which `handwriting` has not seen and `default` has.
Cleaning is thus judged by networks trained behind today's; differences of a few
cells say nothing. `--set` gives other values of a threshold, one line each:

    python benchmarks/cleaning.py --set _frame._REACH=0.27 _steps._PAPER=0.15
"""

import importlib

import numpy as np
from common import arguments, load_boxes, print_versions

from sktally import CellNormalizer, TallyCropper, load_model, make_digit_cells


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


def main() -> None:
    """Judge the thresholds as they stand, then each change."""
    args = arguments(
        __doc__,
        set={"nargs": "*", "default": [], "help": "module.NAME=value"},
        cells={"type": int, "default": 8000},
    )
    print_versions(args.seed)
    made = make_digit_cells(args.cells, random_state=77)
    paths, boxes, _, _ = load_boxes(args.data / "indonesia-2024")
    cells, reports = TallyCropper("indonesia-2024", n_jobs=2).fit().crop(paths[:250])
    labels = np.array([[list(b or "   ") for b in row] for row in boxes[:250]])
    known = (labels != " ") & np.array([r.status == "ok" for r in reports])[
        :, None, None
    ]
    sets = {
        f"{args.cells} synthetic": (made.images, np.asarray(made.target)),
        f"{known.sum()} of pages 1-250": (cells[known], labels[known]),
    }
    models = {name: load_model(name)[-1] for name in ("handwriting", "default")}
    judge("as it stands", sets, models)
    for change in args.set:
        name, value = change.split("=")
        module = importlib.import_module(f"sktally.cells.{name.split('.')[0]}")
        constant = name.split(".")[1]
        kept = getattr(module, constant)
        setattr(module, constant, float(value))
        judge(change, sets, models)
        setattr(module, constant, kept)


if __name__ == "__main__":
    main()
