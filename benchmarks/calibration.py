"""Put probabilities of counts, and reading contracts, to the test on real pages.

indonesia-2024, five-fold by page: every page is read by a network that never saw it,
and its probabilities are calibrated by temperature on the readings of the other folds.
Choices were made on pages 1-250. Printed, all pages pooled:

- Brier score, log loss and expected calibration error (ECE) of the paper's weighted
  mean, of the product of the boxes, and of `predict_count_proba`, by page bootstrap;
- log loss of counts by field and of boxes by place;
- whether a model of counts beside temperature would pay;
- contracts: fitted on three quarters and on nine tenths of the pages and put to the
  others, and fitted on pages drawn with replacement and put to all pages, and so in
  each half; with the read rate that no choice of thresholds, were it made with
  hindsight, could exceed; what is refused; a simulation that is large enough for a
  contract of 0.1 %;
- how often `ShiftMonitor` raises a false alarm.

With --bubbles what is read heeds the bubbles that the form has beside its boxes, as
`load_reader` does; without it, handwriting alone is read.

A reliability diagram is written to --out. --cache keeps what the networks read, which
takes most of the time. --quick runs on a few made pages, whose figures say nothing.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: processes share the cores

import numpy as np
import pandas as pd
from _contracts import alarms, contracts, refusal, simulation
from _out_of_fold import heeding_bubbles, read_out_of_fold
from common import arguments, clustered_share, print_versions
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktally.votes import (
    CLASSES,
    DigitCalibrator,
    calibration_difference,
    calibration_scores,
    count_proba,
    reliability_curve,
)

MEAN, PRODUCT, PLAIN, OURS = (
    "weighted mean (paper)",
    "product of boxes",
    "count_proba, not calibrated",
    "predict_count_proba",
)


def calibrated(read, by: str = "all", pages=None) -> np.ndarray:
    """Return probabilities of boxes, calibrated on the folds that a page is not of."""
    proba = np.full_like(read.digit_proba, np.nan)
    pages = np.arange(len(read.fold)) if pages is None else pages
    for fold in np.unique(read.fold[pages]):
        test, rest = pages[read.fold[pages] == fold], pages[read.fold[pages] != fold]
        calibrator = DigitCalibrator(by=by)
        calibrator.fit(read.digit_proba[rest], read.true_boxes[rest].astype(object))
        proba[test] = calibrator.transform(read.digit_proba[test])
        print(f"  fold {fold}: temperature {calibrator.temperature_.round(2)}")
    return proba


def of_counts(read, proba: np.ndarray) -> np.ndarray:
    """Return the probabilities of the counts read; NaN where there is none."""
    found = count_proba(proba, read.counts, blank_right="missing")
    return np.where(read.counts < 0, np.nan, found)


def claims(read, proba: np.ndarray) -> dict[str, np.ndarray]:
    """Return by name what is said of how sure each count is."""
    product = read.digit_proba.max(axis=3).prod(axis=2).astype(float)
    said = {
        MEAN: read.confidence,
        PRODUCT: product,
        PLAIN: of_counts(read, read.digit_proba),
        OURS: of_counts(read, proba),
    }
    unread = read.counts < 0
    return {
        name: np.where(unread, np.nan, np.minimum(p, 1)) for name, p in said.items()
    }


def correctness(read) -> np.ndarray:
    """Return which counts are right; NaN where the truth is not known."""
    return np.where(read.truth < 0, np.nan, read.counts == read.truth)


def print_scores(correct, said, seed: int) -> None:
    """Print scores of each claim, and what ours differs by from the others."""
    how = {"random_state": seed}
    rows = [calibration_scores(correct, p, **how).loc["all"] for p in said.values()]
    print(pd.DataFrame(rows, index=list(said)).round(4).to_string())
    for name in (MEAN, PRODUCT, PLAIN):
        found = calibration_difference(correct, said[OURS], said[name], **how)
        print(f"\n{OURS} less {name}:\n{found.round(4).to_string()}")


def print_parts(read, correct, said, proba, seed: int) -> None:
    """Print log loss and calibration of counts by field, and of boxes by place."""
    columns = ["n", "accuracy", "mean_proba", "log_loss", "log_loss_low"]
    columns += ["log_loss_high", "ece"]
    fields = [f"field {i + 1}" for i in range(correct.shape[1])]
    found = calibration_scores(correct, said[OURS], by=fields, random_state=seed)
    print(f"\ncounts, by field:\n{found[columns].round(4).to_string()}")
    truth = np.array([[list(b or "   ") for b in row] for row in read.true_boxes])
    label = np.array(CLASSES)[np.nan_to_num(proba, nan=-1).argmax(axis=-1)]
    right = np.where(truth == " ", np.nan, label == truth).reshape(len(truth), -1)
    places = np.tile(["1 hundreds", "2 tens", "3 units"], correct.shape[1])
    for name, boxes in (("as read", read.digit_proba), ("calibrated", proba)):
        top = boxes.max(axis=-1).reshape(right.shape).clip(0, 1)
        found = calibration_scores(right, top, by=places, random_state=seed)
        print(f"\nboxes, by place, {name}:\n{found[columns].round(4).to_string()}")


def count_level(read, correct, said, pages, seed: int) -> None:
    """Ask whether a model of counts pays beside temperature, on some pages."""
    ink = np.nan_to_num(read.ink).reshape(*correct.shape, -1)
    fits = np.where(np.isfinite(read.fits), read.fits, 0.0)[..., None]
    sure = logit(np.clip(said[OURS], 1e-6, 1 - 1e-6))[..., None]
    views = {
        "logit of the probability": [sure],
        "and fit of the frames": [sure, fits],
        "and mean ink of each box": [sure, fits, ink],
    }
    usable = ~np.isnan(correct) & ~np.isnan(said[OURS])
    for name, parts in views.items():
        X = np.concatenate(parts, axis=2)
        model = make_pipeline(StandardScaler(), LogisticRegression())
        found = np.full(correct.shape, np.nan)
        for fold in np.unique(read.fold[pages]):
            test = np.isin(np.arange(len(X)), pages[read.fold[pages] == fold])
            rest = np.isin(np.arange(len(X)), pages[read.fold[pages] != fold])
            fit, at = usable & rest[:, None], usable & test[:, None]
            if correct[fit].min() == correct[fit].max():
                print("  every count is right: nothing to learn from")
                return
            model.fit(X[fit], correct[fit].astype(int))
            found[at] = model.predict_proba(X[at])[:, 1]
        gain = calibration_difference(
            correct[pages], found[pages], said[OURS][pages], random_state=seed
        )
        print(f"\n{name}, less temperature alone:\n{gain.round(4).to_string()}")


def picture(correct, said, path: Path) -> None:
    """Draw what share was wrong where a doubt was said, both on scales of powers."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 4.6), sharex=True, sharey=True)
    least = 1e-5
    for axis, name in zip(axes, (MEAN, PLAIN, OURS)):
        curve = reliability_curve(correct, said[name])
        doubt = np.maximum(1 - curve.mean_proba.to_numpy(), least)
        wrong, low, high = (
            1 - curve[end].to_numpy() for end in ("accuracy", "high", "low")
        )
        some = wrong > 0
        gap = np.clip([wrong - low, high - wrong], 0, None)
        axis.plot([least, 1], [least, 1], color="0.7", linestyle=":")
        axis.errorbar(doubt[some], wrong[some], gap[:, some], fmt="o", capsize=3)
        axis.plot(doubt[~some], high[~some], "v", color="C1", fillstyle="none")
        axis.set(title=name, xlabel="doubt said (1 - probability), mean of the bin")
        axis.set(xscale="log", yscale="log", ylim=(1e-4, 1))
    axes[0].set_ylabel("share wrong, 95 % interval by page\n(triangle: none wrong)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    print(f"\n{path} written")


def main() -> None:
    """Read or take from the cache, then print one part after the other."""
    args = arguments(
        __doc__.splitlines()[0],
        cache={"type": Path, "default": None, "help": ".npz of what networks read"},
        out={"type": Path, "default": None, "help": "folder; a temporary one"},
        ensemble={"action": "store_true", "help": "four networks, not one"},
        bubbles={"action": "store_true", "help": "heed the bubbles of the form too"},
        epochs={"type": int, "default": 15, "help": "of fine-tuning on tallies"},
        resamples={"type": int, "default": 50, "help": "splits for contracts"},
        bootstraps={"type": int, "default": 300, "help": "draws of pages"},
        n_jobs={"type": int, "default": 2},
        quick={"action": "store_true", "help": "a few made pages, in a minute or two"},
    )
    args.out = args.out or Path(tempfile.mkdtemp(prefix="calibration-"))
    args.out.mkdir(parents=True, exist_ok=True)
    n_pages, folder = 500, args.data / "indonesia-2024"
    if args.quick:
        n_pages, folder, args.epochs = 60, None, 1
        args.resamples = args.bootstraps = 10
    print_versions(args.seed)
    read = read_out_of_fold(args, folder, n_pages, args.epochs)
    if args.bubbles:
        read = heeding_bubbles(read)
    correct = correctness(read)
    known = ~np.isnan(correct)
    page = np.nonzero(known)[0]
    print(f"counts right: {clustered_share(correct[known] == 1, page)}")
    wrong = (correct == 0).sum(axis=1)
    print(f"wrong counts on pages that hold any: {np.bincount(wrong)[1:]} (1, 2, 3)")

    early = np.flatnonzero(read.number <= (30 if args.quick else 250))
    print("\nCHOICES, on the first half of the pages")
    for by in ("all", "place"):
        some = of_counts(read, calibrated(read, by, early))[early]
        found = calibration_scores(correct[early], some, random_state=args.seed)
        print(f"temperature by {by}: {found.loc['all'].round(4).to_dict()}")
    proba = calibrated(read)
    said = claims(read, proba)
    count_level(read, correct, said, early, args.seed)

    print(f"\nSCORES, all {len(read.fold)} pages, 95 % intervals by page")
    print_scores(correct, said, args.seed)
    late = np.setdiff1d(np.arange(len(read.fold)), early)
    print("\nthe last half of the pages, by which nothing was chosen:")
    print_scores(correct[late], {k: p[late] for k, p in said.items()}, args.seed)
    print_parts(read, correct, said, proba, args.seed)
    picture(correct, said, args.out / "reliability.png")

    print("\nCONTRACTS")
    for clustering in ("estimated", "independent", "worst"):
        contracts(said[OURS], correct, args, 0.005, clustering)
    for half, pages in (("first", early), ("last", late)):
        print(f"\nas many pages as all, drawn from the {half} half alone:")
        drawn = said[OURS][pages], correct[pages], args, 0.005, "estimated"
        contracts(*drawn, size=len(correct))
    print(f"\nfor comparison by the {MEAN}:")
    contracts(said[MEAN], correct, args, 0.005, "estimated")
    refusal(said[OURS], correct, 0.001)
    print(f"\nsimulated, counts right as often as {PLAIN} says:")
    for max_error, n in ((0.005, 400), (0.001, 3000)):
        for together in (0.0, 0.2):
            simulation(said[PLAIN], args, max_error, n, together)

    print("\nALARMS")
    alarms(read, args)


if __name__ == "__main__":
    main()
