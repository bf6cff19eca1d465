"""How fast wrong votes go when pages are looked at in the order of `review_order`.

Made pages of the form `example`, degraded, read with the bundled model; with --real
pages 251-500 of indonesia-2024 instead, read with a model fitted on pages 1-200 and
calibrated on 201-250, which settled nothing else. A page that is looked at is right
afterwards. Orders: by expected wrong votes, by the probability that something on the
page is wrong, by the paper's weighted mean confidence, by chance (mean of 200), and by
the true errors (oracle). Printed for each: the mean share of wrong votes that are left
over all the work (0.5 by chance), and of the pages that had to be looked at until 90 %
and 99 % of the wrong votes were mended.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
from common import arguments, load_boxes, print_versions
from sklearn.pipeline import Pipeline

from sktally import (
    CellNormalizer,
    CNNClassifier,
    TallyCropper,
    VoteCountAggregator,
    load_reader,
    make_tally_pages,
)
from sktally.totals import expected_errors, review_order
from sktally.votes import DigitCalibrator, count_proba

MADE, REAL = "example", "indonesia-2024"
N_RANDOM = 200


def read_made(n: int, seed: int, **damage: float):
    """Return true counts and what was read, of made pages."""
    reader = load_reader(MADE)
    truth, parts = [], []
    for start in range(0, n, 50):
        made = make_tally_pages(
            min(50, n - start), form=MADE, random_state=seed * 10_000 + start, **damage
        )
        cells, _ = reader[0].crop(made.pages)
        parts.append(reader[-1].predict_tallies(reader[1:-1].transform(cells)))
        truth.append(made.counts)
    return np.concatenate(truth), joined(parts)


def joined(parts: list) -> dict[str, np.ndarray]:
    names = ("counts", "digit_proba", "tally_quality")
    return {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}


def read_real(args):
    """Return (truth, read) of pages 201-250 and of 251-500, by a model of 1-200."""
    paths, boxes, counts, _ = load_boxes(args.data / REAL)
    cropper = TallyCropper(REAL, n_jobs=2)
    classifier = CNNClassifier(
        classes=[*"0123456789x_"],
        batch_norm=True,
        pretrained="handwriting",
        augment="tally",
        max_epochs=args.epochs,
        schedule="one-cycle",
        random_state=args.seed,
    )
    votes = VoteCountAggregator(classifier)
    steps = [("crop", cropper), ("clean", CellNormalizer()), ("votes", votes)]
    reader = Pipeline(steps)
    cropper.fit(paths[:1])
    cells = reader[1].fit(cropper.crop(paths[:1])[0]).transform(cropper.crop(paths)[0])
    votes.fit(cells[:200], boxes[:200])
    found = []
    for part in (slice(200, 250), slice(250, 500)):
        found.append((counts[part], joined([votes.predict_tallies(cells[part])])))
    return found


def plan_of(read: dict, proba: np.ndarray, fields: int):
    """Return the plan, and by page the probability that something is wrong."""
    n = len(proba)
    right = count_proba(proba, read["counts"])
    table = pd.DataFrame(
        {
            "file": np.repeat(np.arange(n), fields),
            "page": 1,
            "field": np.tile(np.arange(fields), n),
            "count": pd.array(read["counts"].ravel(), "Int64"),
            "proba": right.ravel(),
            "expected_error": expected_errors(proba, read["counts"]).ravel(),
        }
    )
    table.loc[table["count"] < 0, "count"] = pd.NA
    return review_order(table), 1 - np.nan_to_num(right).prod(axis=1)


def left_after(order: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return the share of wrong votes left before the first page and after each."""
    return 1 - np.append(0, wrong[order].cumsum()) / wrong.sum()


def report(truth: np.ndarray, read: dict, proba: np.ndarray, seed: int) -> None:
    """Print how each order does."""
    known = truth >= 0
    counts = np.where(known, np.maximum(read["counts"], 0), 0)
    wrong = np.abs(counts - np.where(known, truth, 0)).sum(axis=1)
    plan, doubt = plan_of(read, proba, truth.shape[1])
    expected = plan.curve.iloc[0]
    n, bad = len(truth), (known & (read["counts"] != truth)).sum()
    unread = np.isnan(read["tally_quality"])
    print(
        f"{n} pages, {unread.sum()} not read; wrong counts {bad} of {known.sum()}, "
        f"expected {expected['counts_left']:.1f}; wrong votes {wrong.sum()} of "
        f"{truth[known].sum()}, expected {expected['votes_left']:.0f}"
    )
    paper = np.nan_to_num(read["tally_quality"], nan=-1)
    rng = np.random.default_rng(seed)
    orders = {
        "expected wrong votes": [plan.pages["file"].to_numpy()],
        "probability of an error": [np.argsort(-doubt, kind="stable")],
        "the paper's confidence": [np.argsort(paper, kind="stable")],
        "chance": [rng.permutation(n) for _ in range(N_RANDOM)],
        "oracle": [np.argsort(-wrong, kind="stable")],
    }
    for which, pages in (("all pages", np.ones(n, bool)), ("pages read", ~unread)):
        print(
            f"{which}: share left over the work; pages until 90 % and 99 % are mended"
        )
        for name, some in orders.items():
            curves = [left_after(o[pages[o]], wrong) for o in some]
            if not pages.all():
                curves = [left_after(o[pages[o]], wrong * pages) for o in some]
            area = np.mean([np.trapezoid(c, dx=1 / (len(c) - 1)) for c in curves])
            until = [
                np.mean([(c <= 1 - share + 1e-12).argmax() for c in curves])
                for share in (0.9, 0.99)
            ]
            print(f"  {name:24s} {area:.4f} {until[0]:8.1f} {until[1]:8.1f}")


def main() -> None:
    """Read, calibrate, order."""
    args = arguments(
        __doc__,
        pages={"type": int, "default": 800},
        calibration={"type": int, "default": 200, "help": "made pages"},
        degrade={"type": float, "default": 0.9, "help": "severity, from 0 to 1"},
        scale={"type": float, "default": 0.5, "help": "pixels a form unit"},
        epochs={"type": int, "default": 15},
        real={"action": "store_true", "help": "pages 251-500 of indonesia-2024"},
        quick={"action": "store_true"},
    )
    if args.quick:
        args.pages, args.calibration = 60, 30
    torch.set_num_threads(1)
    print_versions(args.seed)
    if args.real:
        (known, held_out), (truth, read) = read_real(args)
    else:
        damage = {name: getattr(args, name) for name in ("degrade", "scale")}
        print(f"made pages, {damage}")
        known, held_out = read_made(args.calibration, args.seed + 1, **damage)
        truth, read = read_made(args.pages, args.seed, **damage)
    calibrator = DigitCalibrator().fit(held_out["digit_proba"], known)
    print(f"temperature {calibrator.temperature_[0]:.2f}")
    report(truth, read, calibrator.transform(read["digit_proba"]), args.seed)


if __name__ == "__main__":
    main()
