"""Do saliency maps show what the network used? Two tests for each method.

Hiding: the tenth of a cell that its map puts first is replaced by the baseline, and so
is a tenth drawn at random; in how many cells does the first lower the probability of
the class more? Hidden are squares of 4 x 4 pixels, those with the highest sums of the
map: 5 of the 49 of a cell. (Single pixels scattered over a stroke are a kind of noise
that fools networks wherever it falls; figures of them are printed too.) The random
tenth is taken once, in each of 20 draws, and in the mean of these; all maps meet the
same draws. As most of a cell is background, and background replaced by background
loses nothing, a harder twin draws among the squares with ink, as far as there are 5;
and the ink itself is tried as a map, which knows nothing of the network: to beat chance
is little, if that does. Probabilities are compared as log-odds in double precision: the
same, but for those that float32 rounds to 1. Cells read as empty have nothing to hide
and are left out.

Weights drawn anew (Adebayo et al. 2018): maps of a network that learnt nothing must
differ. Printed are means over cells of the correlation of pixels, and of the rank
correlation of their absolute values. The latter stays high for maps of every network
that are 0 wherever there is no ink, as those against a bare background are.

Grad-CAM weighs each feature map as a whole, by its mean slope. Fully connected layers
weigh each place of a map by itself, and that is lost. To see whether this is what goes
wrong, both CAMs are computed of every convolution, and for a network that takes the
mean of its maps before the output.

That CAM is of the first convolution by default, and how it is computed, was chosen on
made cells of other seeds, and on cells of pages 1-250 of indonesia-2024 with five
networks that had not seen them. Reported here are other made cells, and with the real
data cells of pages 251-500, which the bundled model has not seen.

    python benchmarks/saliency.py --quick
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from common import arguments, clustered_share, load_boxes, print_versions, share
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional

from sktally import CNNClassifier, TallyCropper, load_model, make_digit_cells
from sktally.inspection import saliency
from sktally.inspection._network import conv_layers, evidence, to_tensor
from sktally.inspection._saliency import METHODS, baseline_images

TENTHS = {4: 5, 1: 78}  # squares that are hidden, by their side in pixels
INK = 0.2  # of the darkest stroke of a normalised cell
DRAWS = 20


class MeanNetwork(nn.Module):
    """Three convolutions, the mean of each map, and one output layer."""

    def __init__(self, *, channels, n_classes):
        super().__init__()
        widths = (channels, 32, 64, 96)
        for i in (1, 2, 3):
            layer = nn.Conv2d(widths[i - 1], widths[i], 3, padding=1, bias=False)
            self.add_module(f"conv{i}", layer)
            self.add_module(f"norm{i}", nn.BatchNorm2d(widths[i]))
        self.output = nn.Linear(widths[-1], n_classes)

    def forward(self, x):
        """Return logits."""
        x = functional.max_pool2d(self.norm1(self.conv1(x)).relu(), 2)
        x = functional.max_pool2d(self.norm2(self.conv2(x)).relu(), 2)
        return self.output(self.norm3(self.conv3(x)).relu().mean((2, 3)))


def squares_of(images, side):
    """Return the sums of squares ``(n, n_squares)`` of images."""
    n, height, width = images.shape
    parts = images.reshape(n, height // side, side, width // side, side)
    return parts.sum(axis=(2, 4)).reshape(n, -1)


def hidden(cells, bases, values, side):
    """Return cells whose squares with the highest `values` are those of `bases`."""
    n, height, width = cells.shape
    mask = np.zeros(values.shape, bool)
    first = np.argsort(-values, axis=1)[:, : TENTHS[side]]
    np.put_along_axis(mask, first, True, axis=1)
    mask = mask.reshape(n, height // side, width // side)
    mask = mask.repeat(side, axis=1).repeat(side, axis=2)
    return np.where(mask, bases, cells).astype(np.float32)


def scores(classifier, cells, codes):
    """Return the log-odds of class `codes`, float64."""
    with evidence(classifier) as log_odds, torch.no_grad():
        parts = [
            log_odds(to_tensor(classifier, cells[i : i + 128]), codes[i : i + 128])
            for i in range(0, len(cells), 128)
        ]
    return torch.cat(parts).numpy()


class Hiding:
    """The test of hiding on some cells, with the same draws for every map."""

    def __init__(self, classifier, cells, pages, rng):
        self.classifier, self.cells, self.pages, self.rng = (
            classifier,
            cells,
            pages,
            rng,
        )
        self.codes = torch.tensor(classifier.predict_proba(cells).argmax(axis=1))
        self.before = scores(classifier, cells, self.codes)
        self.by_chance = {}

    def loss(self, values, baseline, side):
        """Return the log-odds lost ``(n,)`` where the first tenth is hidden."""
        bases = baseline_images(self.classifier, self.cells, baseline)
        some = hidden(self.cells, bases, values, side)
        return self.before - scores(self.classifier, some, self.codes)

    def chance(self, baseline, side):
        """Return, by what is drawn among, the losses ``(draws, n)`` of chance."""
        if (baseline, side) not in self.by_chance:
            inked = squares_of((self.cells > INK).astype(np.float32), side) > 0
            self.by_chance[baseline, side] = {
                name: np.stack(
                    [
                        self.loss(self.rng.random(inked.shape) + first, baseline, side)
                        for _ in range(DRAWS)
                    ]
                )
                for name, first in (("all", 0), ("those with ink", inked))
            }
        return self.by_chance[baseline, side]

    def report(self, maps, baseline, sides=(4,)):
        """Print how often hiding by a map beats chance."""
        for side in sides:
            values = squares_of(maps, side)
            tie = 1e-9 * np.abs(values).max() * self.rng.random(values.shape)
            loss = self.loss(values + tie, baseline, side)
            what = f"squares of {side} x {side}" if side > 1 else "single pixels"
            for among, drawn in self.chance(baseline, side).items():
                once, often = loss > drawn[0], loss > drawn.mean(axis=0)
                print(
                    f"  {what} against {among}: one draw "
                    f"{formatted(once, self.pages)}, each of {DRAWS} "
                    f"{(loss > drawn).mean():.4f}, their mean "
                    f"{formatted(often, self.pages)}; loss of log-odds "
                    f"{loss.mean():.2f}, by chance {drawn.mean():.2f}",
                    flush=True,
                )

    def report_layers(self):
        """Print the test for both CAMs of every convolution."""
        for layer in conv_layers(self.classifier):
            for method in ("cam", "grad-cam"):
                print(f"{method} of {layer.name}, hidden by background")
                options = {"method": method, "layer": layer.name}
                maps = saliency(self.classifier, self.cells, **options)
                self.report(maps, "background")


def formatted(wins, pages):
    """Return a share with its interval, by page where pages have several cells."""
    grouped = len(np.unique(pages)) < len(pages)
    return clustered_share(wins, pages) if grouped else share(wins)


def mean_classifier(pipeline, n, seed):
    """Return a classifier with a `MeanNetwork`, fitted on `n` made cells."""
    made = make_digit_cells(n, random_state=seed + 77)
    return CNNClassifier(
        architecture=MeanNetwork,
        max_epochs=12,
        learning_rate=5e-3,
        schedule="one-cycle",
        random_state=seed,
    ).fit(pipeline[:-1].transform(made.images), made.target)


def redrawn(classifier, seed):
    """Return a copy of a classifier whose weights are drawn anew."""
    other = copy.deepcopy(classifier)
    torch.manual_seed(seed)
    for part in other.net_.module_.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)
            nn.init.zeros_(part.bias)
        elif hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return other


def correlations(first, second):
    """Return the mean correlation of two stacks of maps, and that of absolute ranks."""
    a, b = (x.reshape(len(x), -1).astype(float) for x in (first, second))
    ranks = [rankdata(np.abs(x), axis=1) for x in (a, b)]
    return _correlation(a, b), _correlation(*ranks)


def _correlation(a, b):
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    spread = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    known = spread > 0  # a map of one value correlates with nothing
    return ((a * b).sum(axis=1)[known] / spread[known]).mean()


def real_cells(data, n_pages, rng):
    """Return cells ``(n, 28, 28)`` of pages 251-500 and the page of each."""
    paths, *_ = load_boxes(data / "indonesia-2024")
    later = [path for path in paths if int(Path(path).stem[-3:]) > 250]
    chosen = rng.choice(later, n_pages, replace=False)
    cropper = TallyCropper("indonesia-2024").fit()
    cells, reports = cropper.crop(chosen.tolist())
    read = np.array([report.status == "ok" for report in reports])
    shape = cells.shape[1:3]
    pages = np.broadcast_to(chosen[:, None, None], (n_pages, *shape))[read].ravel()
    return cells[read].reshape(-1, *cells.shape[3:]), pages


def written_cells(pipeline, raw, pages):
    """Return normalised cells that are not read as empty, and their pages."""
    cells = pipeline[:-1].transform(raw)
    written = pipeline[-1].predict(cells) != "_"
    return cells[written], pages[written]


def main() -> None:
    """Print both tests of every method, on made and on real cells."""
    args = arguments(
        __doc__,
        quick={"action": "store_true", "help": "few cells, no real ones"},
        cells={"type": int, "default": 200},
        pages={"type": int, "default": 60, "help": "real pages"},
    )
    print_versions(args.seed)
    rng = np.random.default_rng(args.seed)
    n = 60 if args.quick else args.cells
    pipeline = load_model("default")
    classifier = pipeline[-1]
    other = redrawn(classifier, args.seed)
    made = make_digit_cells(n, random_state=args.seed + 9000)
    sets = {"made cells": (made.images, np.arange(n))}
    if not args.quick and (args.data / "indonesia-2024").is_dir():
        cells, pages = real_cells(args.data, args.pages, rng)
        some = np.sort(rng.choice(len(cells), min(n, len(cells)), replace=False))
        sets["cells of indonesia-2024"] = cells[some], pages[some]
    for title, (raw, pages) in sets.items():
        cells, pages = written_cells(pipeline, raw, pages)
        sure = (classifier.predict_proba(cells).max(axis=1) == 1).mean()
        print(
            f"\n{title}: {len(raw)}, of which {len(cells)} are not read as empty; the "
            f"probability of {sure:.1%} of these is 1 in float32"
        )
        test = Hiding(classifier, cells, pages, rng)
        ink = np.abs(cells - classifier.pixel_offset_)
        print("no method, but the ink itself, hidden by background")
        test.report(ink, "background", sides=TENTHS)
        for method in METHODS:
            for baseline in ("background", "blur"):
                options = {} if method == "grad-cam" else {"baseline": baseline}
                maps = saliency(classifier, cells, method=method, **options)
                print(f"{method}, hidden by {baseline}")
                test.report(maps, baseline, sides=TENTHS)
                if baseline == "blur":
                    continue
                again = saliency(other, cells, method=method, **options)
                signed, absolute = correlations(maps, again)
                print(
                    f"  weights drawn anew: correlation of maps {signed:.3f}, of "
                    f"absolute values (ranks) {absolute:.3f}",
                    flush=True,
                )
        test.report_layers()
    with_means = mean_classifier(pipeline, 600 if args.quick else 6000, args.seed)
    cells, pages = written_cells(pipeline, *sets["made cells"])
    right = with_means.predict(cells) == classifier.predict(cells)
    print(
        f"\na network that takes the mean of its maps, on {len(cells)} made cells (it "
        f"reads {right.mean():.3f} as the bundled model does)"
    )
    Hiding(with_means, cells, pages, rng).report_layers()


if __name__ == "__main__":
    main()
