"""Replay the steps of Torres and Cantú (2022), section 5, on real tallies.

MNIST is the source and indonesia-2024 the target; boxes are cut out where the labels'
rectangles say. Parts, each of which can be run by itself:

mnist      the base and the tuned network on MNIST, by the paper's recipe and by ours
untouched  both on digits of tallies, pixels as they are and normalised
grid       the paper's settings searched: MNIST trains, pages 1-250 score
transfer   the tuned network fine-tuned on tallies, none to five layers frozen
twelve     the bundled model "handwriting", which saw no real tally, fine-tuned on all
           boxes, crossed and empty ones too, and counts read with it

Transfer and twelve are five-fold by page: every page is read by networks that never saw
it. All else that was chosen was chosen on MNIST's validation digits and pages 1-250.
Written to --out: paper.md, paper.png, the networks, and what each part found.
--quick runs every part small in a minute, on synthetic digits and pages where there is
no folder of real data.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: processes share the cores

import numpy as np
import torch
from _paper_networks import PAPER, SeedMean, network, where
from _paper_report import Report, count_scores, scores
from _paper_study import DIGITS, SCALINGS, Study
from common import arguments, print_versions, share, versions
from joblib import delayed
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sktally import (
    CNNClassifier,
    VoteCountAggregator,
    domain_cv,
    load_model,
    paper_param_grid,
    search_results,
)

PARTS = ("mnist", "untouched", "grid", "transfer", "twelve")
RECIPES = {"paper": "the paper's recipe", "ours": "our recipe"}
FROM = {"base": "tallies, untouched", "tuned": "tallies, after grid search"}
#: Fine-tuning on tallies, chosen on pages 1-250.
TUNING = {
    "augment": "tally",
    "schedule": "one-cycle",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
}
N_LAYERS = 6  # weight layers of the tuned network; the last always learns


def mnist(study: Study, report: Report) -> None:
    """Train the networks, and read MNIST's test digits."""
    source = study.source
    lines = [
        f"{len(source.y_train)} digits of {source.name} to train on, "
        f"{len(source.y_validation)} of other writers to choose by; the test set was "
        f"looked at once. The paper: {PAPER['MNIST, base network']} (base network).",
        "",
        "| network, recipe | validation | test |",
        "|---|---|---|",
    ]
    for (layers, recipe), model in study.networks().items():
        right = [
            model.predict(X) == y
            for X, y in (
                (source.X_validation, source.y_validation),
                (source.X_test, source.y_test),
            )
        ]
        lines.append(
            f"| {layers}, {RECIPES[recipe]} | {share(right[0])} | {share(right[1])} |"
        )
    report.add("mnist", f"Trained on {source.name}", "\n".join(lines), [])


def untouched(study: Study, report: Report) -> None:
    """Read tallies with networks that never saw one."""
    rows = []
    for (layers, recipe), model in study.networks().items():
        for scaling in SCALINGS:
            d = study.digits(scaling)
            right = model.predict(d.cells) == d.labels
            paper = (
                PAPER[FROM[layers]] if (scaling, recipe) == ("/255", "paper") else None
            )
            name = f"{layers} network, {RECIPES[recipe]}; {scaling}"
            rows.append(scores(name, right, d.at, study.tallies.boxes, paper))
    d = study.digits("CellNormalizer")
    model = load_model("handwriting")[-1]
    ten = np.isin(model.classes_, list(DIGITS))
    proba = model.predict_proba(d.cells)
    found = model.classes_[ten][proba[:, ten].argmax(axis=1)]
    name = "handwriting (MNIST, synthetic cells), 0-9; CellNormalizer"
    rows.append(scores(name, found == d.labels, d.at, study.tallies.boxes))
    name = "handwriting, of twelve classes; CellNormalizer"
    right = model.classes_[proba.argmax(axis=1)] == d.labels
    rows.append(scores(name, right, d.at, study.tallies.boxes))
    text = (
        f"Boxes of {len(study.tallies.names)} pages that hold a digit; counts and "
        "pages all of whose boxes do. None of these networks saw a real tally."
    )
    report.add("untouched", "On tallies, untouched", text, rows)


def grid(study: Study, report: Report) -> None:
    """Search the paper's settings: the source trains, tallies score."""
    n, epochs = (200, 1) if study.quick else (10_000, 4)
    settings = paper_param_grid(epochs=[epochs])
    if study.quick:
        settings |= {"filters": [(32,), (32, 64)], "dropout": [0.0]}
    d = study.digits("CellNormalizer")
    early = study.early[d.at[:, 0]]
    X, y = study.source.X_train[:n], study.source.y_train[:n]
    search = GridSearchCV(
        CNNClassifier(random_state=study.seed),
        settings,
        cv=domain_cv(len(X), int(early.sum())),
        refit=False,
        n_jobs=study.args.n_jobs,
    )
    search.fit(
        np.concatenate([X, d.cells[early]]), np.concatenate([y, d.labels[early]])
    )
    results = search_results(search)
    table = results[[*settings, "mean_test_score", "mean_fit_time"]].round(4)
    rows = []
    base = {"filters": (32, 64), "dropout": 0.0, "hidden": (128, 64)}
    params = search.cv_results_["params"]
    first = [i for i, tried in enumerate(params) if base.items() <= tried.items()][0]
    for name, i in (("best", results.index[0]), ("base", first)):
        model = clone(search.estimator).set_params(**params[i]).fit(X, y)
        late = d.at[~early]
        right = model.predict(d.cells[~early]) == d.labels[~early]
        values = ", ".join(map(str, params[i].values()))
        named = f"{name} of the grid: {values}"
        paper = PAPER[FROM["tuned" if name == "best" else "base"]]
        rows.append(scores(named, right, late, study.tallies.boxes, paper))
    text = (
        f"{len(results)} settings trained on {len(X)} digits of {study.source.name} "
        f"for {epochs} epochs, scored on {early.sum()} digits of {study.early.sum()} "
        f"pages (CellNormalizer):\n\n```\n{table.to_string(index=False)}\n```\n\n"
        "The best of them, and the base network trained as it was, on the other pages:"
    )
    report.add("grid", "Grid search", text, rows)


def fine_tuned(d, pages, pretrained: str, freeze: int, epochs: int, seed: int):
    """Fit on some pages' digits, read those of others; one thread."""
    torch.set_num_threads(1)
    fit, read = (np.isin(d.at[:, 0], part) for part in pages)
    model = network("tuned", "ours", epochs=epochs, seed=seed)
    model.set_params(**TUNING, pretrained=pretrained, freeze_layers=freeze)
    model.fit(d.cells[fit], d.labels[fit])
    return read, model.predict(d.cells[read]) == d.labels[read]


def transfer(study: Study, report: Report) -> None:
    """Fine-tune the tuned network on tallies, for each number of frozen layers."""
    study.networks([("tuned", "ours")])
    pretrained = str(where(study.args.out, "tuned", "ours"))
    epochs = 4 if study.quick else study.args.epochs
    depths = range(N_LAYERS) if not study.quick else (0, 1, N_LAYERS - 1)
    d = study.digits("CellNormalizer")
    calls, keys = [], []
    for number, (rest, test) in enumerate(study.folds()):
        rng = np.random.default_rng([study.seed, number])
        validation = rng.choice(rest, len(rest) // 10, replace=False)
        train = np.setdiff1d(rest, validation)
        for depth in depths:
            pages = (train, np.concatenate([validation, test]))
            call = delayed(fine_tuned)(
                d, pages, pretrained, depth, epochs, study.seed + number
            )
            calls.append(call)
            keys.append((depth, validation, test))
    valid, right = {}, {}
    chosen = np.zeros(len(d.labels), bool)
    best = {}
    for (depth, validation, test), (read, correct) in zip(keys, study.parallel(calls)):
        every = np.zeros(len(d.labels), bool)
        every[read] = correct
        on = [np.isin(d.at[:, 0], part) for part in (validation, test)]
        right.setdefault(depth, np.zeros(len(d.labels), bool))[on[1]] = every[on[1]]
        valid.setdefault(depth, []).extend(every[on[0]])
        # Fold by fold the depth that its validation pages read best; ties to the first.
        score, fold = every[on[0]].mean(), tuple(test)
        if score > best.get(fold, (-1, 0))[0]:
            best[fold] = (score, depth)
            chosen[on[1]] = every[on[1]]
    rows = []
    for depth in depths:
        name = f"{depth} layers frozen (validation {np.mean(valid[depth]):.4f})"
        paper = PAPER["tallies, after transfer, test"] if depth == 1 else None
        rows.append(scores(name, right[depth], d.at, study.tallies.boxes, paper))
    picked = [depth for _, depth in best.values()]
    name = f"as chosen in each fold: {picked}"
    rows.append(scores(name, chosen, d.at, study.tallies.boxes))
    text = (
        f"The tuned network trained on {study.source.name}, then {epochs} epochs on "
        f"digits of tallies (CellNormalizer, augmentation), five-fold by page: "
        f"{len(train)} pages to fit, {len(validation)} to choose by, {len(test)} to "
        "report. The paper: "
        f"{PAPER['tallies, after transfer, validation']} in validation, "
        f"{PAPER['tallies, after transfer, test']} in the test."
    )
    report.add("transfer", "After transfer", text, rows)


def count_reader(epochs: int, n_networks: int, seed: int) -> VoteCountAggregator:
    """Return a reader of twelve classes that starts from the bundled base model.

    Several networks differ in their seeds, and the mean of what they say is taken.
    """
    one = CNNClassifier(
        **TUNING, batch_norm=True, pretrained="handwriting", max_epochs=epochs
    )
    return VoteCountAggregator(SeedMean(one, n_networks, random_state=seed))


def read_fold(images, boxes, fit, test, **settings):
    """Fit a reader on some pages and read the others; one thread."""
    torch.set_num_threads(1)
    tallies = count_reader(**settings).fit(images[fit], boxes[fit])
    read = tallies.predict_tallies(images[test])
    return test, read.boxes, read.counts


def twelve(study: Study, report: Report) -> None:
    """Read counts with twelve classes, five-fold by page."""
    images, truth = study.images["CellNormalizer"], study.tallies
    epochs = 4 if study.quick else study.args.epochs
    rows = []
    for n in (1, study.args.networks):
        calls = [
            delayed(read_fold)(
                images,
                truth.boxes,
                *pages,
                epochs=epochs,
                n_networks=n,
                seed=study.seed + 100 * number,
            )
            for number, pages in enumerate(study.folds())
        ]
        boxes = np.full(truth.counts.shape, "", object)
        counts = np.full(truth.counts.shape, -1)
        for test, read_boxes, read_counts in study.parallel(calls):
            boxes[test], counts[test] = read_boxes, read_counts
        name = "one network" if n == 1 else f"mean of {n} networks"
        rows.append(count_scores(name, truth, boxes, counts))
    for i, j in np.argwhere((counts != truth.counts) & (truth.counts >= 0)):
        print(
            f"  {truth.names[i]}, field {j + 1}: read {boxes[i, j]!r}, truth "
            f"{truth.boxes[i, j]!r}"
        )
    text = (
        f"From the bundled model handwriting, {epochs} epochs on all boxes of tallies, "
        f"crossed and empty ones too; {(truth.counts >= 0).sum()} counts, every one of "
        "them read, none refused. The paper has no such classes."
    )
    report.add("twelve", "Twelve classes, whole counts", text, rows)


def main() -> None:
    """Run the parts that were asked for, in their order."""
    args = arguments(
        __doc__,
        parts={"default": ",".join(PARTS), "help": "some of " + ",".join(PARTS)},
        out={"type": Path, "default": None, "help": "folder; a temporary one"},
        epochs={"type": int, "default": 15, "help": "of fine-tuning on tallies"},
        networks={"type": int, "default": 3, "help": "whose mean reads counts"},
        n_jobs={"type": int, "default": 2},
        quick={"action": "store_true", "help": "all parts small, within a minute"},
    )
    chosen = args.parts.split(",")
    if unknown := set(chosen) - set(PARTS):
        raise SystemExit(f"--parts: expected some of {PARTS}, got {sorted(unknown)}")
    if args.quick:
        args.networks = 2
    args.out = args.out or Path(tempfile.mkdtemp(prefix="paper-"))
    print_versions(args.seed)
    report = Report(args.out, versions(args.seed))
    study = Study(args)
    for part in PARTS:
        if part in chosen:
            started = time.perf_counter()
            globals()[part](study, report)
            print(f"({part}: {time.perf_counter() - started:.0f} s)", flush=True)
    report.write(PARTS)


if __name__ == "__main__":
    main()
