"""Replay the steps of Torres and Cantú (2022), section 5, on real tallies.

MNIST is the source and indonesia-2024 the target; boxes are cut out where the labels'
rectangles say. Parts, each of which can be run by itself:

mnist      the base and the tuned network on MNIST, by the paper's recipe and by ours
untouched  both on digits of tallies, pixels as they are and normalised
grid       the paper's settings searched: MNIST trains, pages 1-250 score
transfer   the tuned network fine-tuned on tallies, none to five layers frozen; and the
           bundled model "handwriting", which saw no real tally, and one like it for
           boxes whose frames are left; and the mean of both, fitted once more with the
           pages that had been kept to choose by
twelve     those two fine-tuned on all boxes, crossed and empty ones too, and counts
           read with the mean, with heed to which class stands where (place_prior)

Transfer and twelve are five-fold by page: every page is read by networks that never
saw it. The two views, and to heed the place, were chosen on pages 1-250; fine-tuning
is that of indonesia_2024.py.
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
from _paper_networks import PAPER, framed_base, where
from _paper_report import Report, count_scores, scores
from _paper_study import DIGITS, FRAMED, SCALINGS, Study
from _paper_tuning import fine_tuned, read_fold
from common import arguments, clustered_share, print_versions, share, versions
from joblib import delayed
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sktally import (
    CellNormalizer,
    CNNClassifier,
    domain_cv,
    load_model,
    paper_param_grid,
    search_results,
)
from sktally.votes import CLASSES

PARTS = ("mnist", "untouched", "grid", "transfer", "twelve")
RECIPES = {"paper": "the paper's recipe", "ours": "our recipe"}
FROM = {"base": "tallies, untouched", "tuned": "tallies, after grid search"}
N_LAYERS = 6  # weight layers of the tuned network; the last always learns


def mnist(study: Study, report: Report) -> None:
    """Train the networks, and read MNIST's test digits."""
    source = study.source
    lines = [
        f"{len(source.y_train)} digits of {source.name} to train on, "
        f"{len(source.y_validation)} of other writers to choose by; the test set "
        f"chose nothing. The paper: {PAPER['MNIST, base network']} (base network).",
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


def bases(study: Study) -> list[tuple[str, str]]:
    """Return the models of twelve classes that saw no real tally, by view."""
    framed = framed_base(
        study.source, FRAMED, study.args.out, quick=study.quick, seed=study.seed
    )
    return [("CellNormalizer", "handwriting"), ("frames left", framed)]


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
    ten = np.isin(CLASSES, list(DIGITS))
    probabilities = []
    for view, base in bases(study):
        model = load_model(base)
        model = model[-1] if isinstance(model, Pipeline) else model
        columns = [model.classes_.tolist().index(name) for name in CLASSES]
        d = study.digits(view)
        probabilities.append(model.predict_proba(d.cells)[:, columns])
    probabilities.append(np.mean(probabilities, axis=0))
    for name, proba in zip(("CellNormalizer", "frames left", "both"), probabilities):
        for classes, choice in ((ten, "0-9"), (np.ones(12, bool), "12 classes")):
            right = np.array(CLASSES)[classes][proba[:, classes].argmax(1)] == d.labels
            named = f"MNIST, other digits, synthetic cells, {choice}; {name}"
            rows.append(scores(named, right, d.at, study.tallies.boxes))
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


def transfer(study: Study, report: Report) -> None:
    """Fine-tune on tallies: the tuned network with layers frozen, then the bases."""
    study.networks([("tuned", "ours")])
    tuned = str(where(study.args.out, "tuned", "ours", study.seed))
    epochs = 4 if study.quick else study.args.epochs
    depths = (0, 1) if study.quick else range(N_LAYERS)
    ways = [(tuned, "CellNormalizer", depth) for depth in depths]
    ways += [(base, view, 0) for view, base in bases(study)]
    d = study.digits("CellNormalizer")
    folds, calls, again = [], [], []
    n = 1 if study.quick else study.args.networks
    for number, (rest, test) in enumerate(study.folds()):
        rng = np.random.default_rng([study.seed, number])
        validation = rng.choice(rest, len(rest) // 10, replace=False)
        train = np.setdiff1d(rest, validation)
        folds.append((train, validation, test))
        for pretrained, view, depth in ways:
            pages = (train, np.concatenate([validation, test]))
            how = (pretrained, depth, epochs, study.seed + number)
            calls.append(delayed(fine_tuned)(study.digits(view), pages, *how))
        for i, (view, base) in enumerate(bases(study) * n):
            how = (base, 0, epochs, study.seed + 100 * (i + 1) + number)
            again.append(delayed(fine_tuned)(study.digits(view), (rest, test), *how))
    found = np.array(study.parallel(calls + again))
    found, final = (
        part.reshape(len(folds), -1, *found.shape[1:])
        for part in (found[: len(calls)], found[len(calls) :])
    )
    # By the last two, the bases of either view, digits are read together.
    found = np.concatenate([found, found[:, -2:].mean(axis=1, keepdims=True)], axis=1)
    right = np.array([*DIGITS])[found.argmax(axis=3)] == d.labels
    on, tested = ([np.isin(d.at[:, 0], f[i]) for f in folds] for i in (1, 2))
    validated = np.array([[r[v].mean() for r in fold] for fold, v in zip(right, on)])
    names = [f"{study.source.name} alone, {depth} frozen" for depth in depths]
    names += [f"synthetic cells too, {view}" for view, _ in bases(study)]
    names += ["synthetic cells too, mean of both"]
    rows = []

    def add(name: str, correct, paper=None) -> None:
        whole = np.zeros(len(d.labels), bool)
        for one, part in zip(correct, tested):
            whole[part] = one[part]
        rows.append(scores(name, whole, d.at, study.tallies.boxes, paper))

    for i, name in enumerate(names):
        paper = PAPER["tallies, after transfer, test"] if i == 1 else None
        name += f" (validation {validated[:, i].mean():.4f})"
        add(name, right[:, i], paper)
    best = validated.argmax(axis=1)
    add("as chosen in each fold by validation", right[range(len(folds)), best])
    final = np.array([*DIGITS])[final.mean(axis=1).argmax(axis=2)] == d.labels
    add(f"the mean of both, {n} of each, refitted with validation pages", final)
    text = (
        f"The tuned network trained on {study.source.name} (CellNormalizer) and models "
        f"that saw synthetic cells too, then {epochs} epochs on digits of tallies "
        f"with augmentation, five-fold by page: {len(train)} pages to fit, "
        f"{len(validation)} to choose by, {len(test)} to report. Chosen: "
        f"{'; '.join(names[i] for i in best)}. The paper: "
        f"{PAPER['tallies, after transfer, validation']} in validation, "
        f"{PAPER['tallies, after transfer, test']} in the test."
    )
    report.add("transfer", "After transfer", text, rows)


def twelve(study: Study, report: Report) -> None:
    """Read counts with twelve classes, five-fold by page."""
    truth, rows = study.tallies, []
    epochs = 4 if study.quick else study.args.epochs
    n = 1 if study.quick else study.args.networks
    how = {"CellNormalizer": CellNormalizer(), "frames left": FRAMED}
    views = [(how[view], base) for view, base in bases(study)] * n
    calls = [
        delayed(read_fold)(truth, *pages, views, epochs, study.seed + 100 * number)
        for number, pages in enumerate(study.folds())
    ]
    folds = study.parallel(calls)
    names = ["one network, CellNormalizer", "one network, frames left"]
    names += [f"mean of {n} of each", f"mean of {n} of each, place_prior"]
    for which, name in enumerate(names):
        boxes = np.full(truth.counts.shape, "", object)
        counts = np.full(truth.counts.shape, -1)
        for test, read in folds:
            boxes[test], counts[test] = read[which]
        rows.append(count_scores(name, truth, boxes, counts))
    for i, j in np.argwhere((counts != truth.counts) & (truth.counts >= 0)):
        print(
            f"  {truth.names[i]}, field {j + 1}: read {boxes[i, j]!r}, truth "
            f"{truth.boxes[i, j]!r}"
        )
    digits = [
        (i, read == true)
        for i, j in np.argwhere(truth.counts >= 0)
        for read, true in zip(boxes[i, j], truth.boxes[i, j])
        if true in DIGITS
    ]
    page, right = (np.array(column) for column in zip(*digits))
    text = (
        f"From the bundled model handwriting (with frames left: trained on, with "
        f"synthetic cells), then {epochs} epochs on all boxes of tallies, crossed and "
        f"empty ones too, five-fold by page; all {(truth.counts >= 0).sum()} counts "
        "are read, none refused. The paper has no such classes. Of the boxes that hold "
        f"a digit the last row has {clustered_share(right, page)} right."
    )
    report.add("twelve", "Twelve classes, whole counts", text, rows)


def main() -> None:
    """Run the parts that were asked for, in their order."""
    args = arguments(
        __doc__,
        parts={"default": ",".join(PARTS), "help": "some of " + ",".join(PARTS)},
        out={"type": Path, "default": None, "help": "folder; a temporary one"},
        epochs={"type": int, "default": 15, "help": "of fine-tuning on tallies"},
        networks={"type": int, "default": 2, "help": "of each view, averaged"},
        n_jobs={"type": int, "default": 2},
        quick={"action": "store_true", "help": "all parts small, within a minute"},
    )
    chosen = args.parts.split(",")
    if unknown := set(chosen) - set(PARTS):
        raise SystemExit(f"--parts: expected some of {PARTS}, got {sorted(unknown)}")
    args.out = args.out or Path(tempfile.mkdtemp(prefix="paper-"))
    if args.quick:  # its networks are no others'
        args.out /= "quick"
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
