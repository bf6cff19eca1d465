"""The data, the sizes and the networks that the parts of `paper.py` share."""

from __future__ import annotations

import numpy as np
from _paper_networks import NAMES, load_source, trained
from _tallies import load_tallies, single_cells
from joblib import Parallel
from sklearn.model_selection import KFold

from sktally import CellNormalizer

DIGITS = "0123456789"
#: No more than to resize and divide by 255, the second with ink made bright as MNIST's.
_PLAIN = {
    "padding": 0,
    "scaling": "unit",
    "background": None,
    "remove_frame": False,
    "remove_dots": False,
    "center": False,
}
SCALINGS = {
    "/255": CellNormalizer(**_PLAIN, polarity="light-on-dark"),
    "/255, inverted": CellNormalizer(**_PLAIN),
    "CellNormalizer": CellNormalizer(),
}
#: Paper flattened and ink scaled, but nothing taken out: blurred digits touch frames.
FRAMED = CellNormalizer(padding=0, remove_frame=False, remove_dots=False, center=False)


class Study:
    """Hold the data, the sizes and the networks that the parts share."""

    def __init__(self, args):
        self.args, self.seed, self.quick = args, args.seed, args.quick
        real = args.data if args.data.is_dir() else None
        if real is None:
            print(f"no folder {args.data}: synthetic digits and pages stand in")
        self.source = load_source(real, self.seed, 600 if self.quick else None)
        folder = None if real is None else real / "indonesia-2024"
        self.tallies = load_tallies(folder, 20 if self.quick else 500, self.seed)
        cells = self.tallies.cells
        self.images = {
            name: scaling.fit_transform(cells)
            for name, scaling in {**SCALINGS, "frames left": FRAMED}.items()
        }
        numbers = [int(str(name).split("_")[-1]) for name in self.tallies.names]
        # Pages by which something may be chosen; half of the few in --quick.
        self.early = np.array(numbers) <= (10 if self.quick else 250)

    def networks(self, names=NAMES) -> dict:
        """Return networks trained on MNIST, from the folder where they are there."""
        epochs = 2 if self.quick else None
        how = {"n_jobs": self.args.n_jobs, "epochs": epochs, "seed": self.seed}
        return trained(self.source, self.args.out, names, **how)

    def digits(self, scaling: str):
        """Return images, labels and places of the boxes that hold digits."""
        return single_cells(self.images[scaling], self.tallies.boxes, DIGITS)

    def folds(self):
        """Return pages to fit on and to read, five times."""
        folds = KFold(5, shuffle=True, random_state=self.seed)
        return list(folds.split(self.tallies.names))

    def parallel(self, calls) -> list:
        """Run calls in processes, one thread each."""
        return Parallel(n_jobs=self.args.n_jobs)(calls)
