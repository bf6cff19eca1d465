"""How many chosen cells teach as much as 2,000 random ones.

A network trained on MNIST reads a pool of unlabelled boxes of indonesia-2024; batches
of them are labelled and it is fine-tuned on all labels so far, from MNIST each time,
few labels for more epochs, so that every fit sees about as many cells as another.
Batches are chosen by `select_queries` or drawn at random. Either way a label is given
to all cells that look exactly as the one that was asked for: to a network empty boxes,
once cleaned, are one image, of which `select_queries` asks for one copy a batch. The
test pages are the same throughout, and no page of them is in the pool. Printed: for
each seed how many chosen cells first read the test pages as well as its 2,000 random
cells did, and where the median curves cross. The first crossing of a curve that wavers
comes early, so both are told. --choose compares values of `diversity` on a part of the
pool in place of the test pages; that is how the one used here, 0.75, was chosen.

--out keeps the network trained on MNIST, which benchmarks/paper.py shares, and gets
active_learning.png and .csv. --quick does it all small, without real data if there is
none.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: processes share the cores

import numpy as np
import pandas as pd
import torch
from _paper_networks import load_source, network, trained
from _paper_study import FRAMED
from _tallies import load_tallies, single_cells
from common import arguments, print_versions
from joblib import Parallel, delayed
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from sktally import CellNormalizer, select_queries
from sktally.votes import CLASSES

VIEWS = {"clean": CellNormalizer(), "framed": FRAMED}
RANDOM = (0.5, 1.0)  # of --random, where the random curve is taken


def fine_tuned(source, X, y, *, epochs: int, least: int, step: int, seed: int):
    """Fit on the labelled cells; few of them are shown more often."""
    settings = network("tuned", "ours", epochs=None, seed=seed).get_params()
    settings |= {
        "classes": [*CLASSES],
        "pretrained": FrozenEstimator(source),
        "augment": "tally",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "batch_size": step,
        "max_epochs": max(epochs, least // len(y)),
    }
    return type(source)(**settings).fit(X, y)


def told(cells, labels, asked) -> tuple[np.ndarray, np.ndarray]:
    """Return which cells are labelled, and how, once some were asked for.

    Those that look exactly as one of these get the label of the first such one.
    """
    flat = cells.reshape(len(cells), -1)
    image = np.unique(flat, axis=0, return_inverse=True)[1].ravel()
    known = np.flatnonzero(np.isin(image, image[asked]))
    first = dict(zip(image[asked][::-1], asked[::-1]))
    given = labels[[first[i] for i in image[known]]]
    own = np.isin(known, asked)
    return known, np.where(own, labels[known], given)


def curve(source, pool, test, batches, diversity, seed: int, **how) -> list[tuple]:
    """Return numbers of cells asked for and accuracies; at random without diversity."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    asked, rest = np.zeros(0, int), rng.permutation(len(pool[1]))
    model, found = source, []
    for size in batches:
        # What looks like a cell that was asked for is labelled and no longer there.
        n_new = min(size - len(asked), len(rest))
        if diversity is None:
            new = np.arange(n_new)
        else:
            new = select_queries(
                model, pool[0][rest], n_new, diversity=diversity, random_state=seed
            )
        asked = np.r_[asked, rest[new]]
        known, labels = told(*pool, asked)
        rest = rest[~np.isin(rest, known)]
        model = fine_tuned(source, pool[0][known], labels, seed=seed, **how)
        found.append((size, float((model.predict(test[0]) == test[1]).mean())))
    return found


def divided(args) -> tuple:
    """Return cells and labels of the pool and of the test pages."""
    real = args.data / "indonesia-2024" if args.data.is_dir() else None
    tallies = load_tallies(real, 40 if args.quick else 500, args.seed)
    images = VIEWS[args.view].fit_transform(tallies.cells)
    cells = single_cells(images, tallies.boxes, CLASSES)
    pages = np.arange(len(images))
    pool, test = train_test_split(pages, test_size=1 / 3, random_state=args.seed)
    if args.choose:  # the test pages stay unseen
        pool, test = train_test_split(pool, test_size=1 / 3, random_state=args.seed)
    on = [np.isin(cells.at[:, 0], part) for part in (pool, test)]
    print(
        f"pool: {on[0].sum()} cells of {len(pool)} pages; "
        f"test: {on[1].sum()} of {len(test)} others"
    )
    return [(cells.cells[part], cells.labels[part]) for part in on]


def needed(chosen: pd.DataFrame, goals: pd.Series) -> pd.Series:
    """Return for each seed the first number of chosen cells that reach its goal."""
    reached = chosen.ge(goals, axis=0)
    first = reached.idxmax(axis=1).astype(float)
    return first.where(reached.any(axis=1), np.inf)


def report(curves: pd.DataFrame, diversity: float, n_random: int) -> None:
    """Print the table of seeds and the medians."""
    table = curves.pivot_table(index="seed", columns=["way", "n"], values="accuracy")
    chosen, random = table[f"diversity {diversity}"], table["random"]
    goals = random[n_random]
    each = needed(chosen, goals)
    shown = pd.DataFrame({f"{n_random} random": goals.round(4), "chosen needed": each})
    shown[f"{chosen.columns[-1]} chosen"] = chosen.iloc[:, -1].round(4)
    print(f"\ndiversity {diversity}\n{shown.to_string()}")
    print(f"median of chosen cells needed: {each.median():.0f}")
    medians, goal = chosen.median(), goals.median()
    crossing = medians.index[medians >= goal]
    where = f"{crossing[0]} chosen cells" if len(crossing) else "not reached"
    print(f"median curves: {goal:.4f} at {n_random} random cells; {where}")


def draw(curves: pd.DataFrame, n_random: int, path: Path) -> None:
    """Draw medians and quartiles of the seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for way, part in curves.groupby("way"):
        quartiles = part.groupby("n")["accuracy"].quantile([0.25, 0.5, 0.75]).unstack()
        ax.plot(quartiles.index, quartiles[0.5], marker=".", label=way)
        ax.fill_between(quartiles.index, quartiles[0.25], quartiles[0.75], alpha=0.15)
    goal = curves.query("way == 'random' and n == @n_random")["accuracy"].median()
    ax.axhline(goal, color="grey", linestyle=":")
    ax.set_xlabel("labelled cells of tallies, after MNIST")
    ax.set_ylabel("boxes of the test pages read right, twelve classes")
    ax.set_title(f"median and quartiles of {curves['seed'].nunique()} seeds")
    ax.set_ylim(bottom=curves.query("n > n.min()")["accuracy"].min() - 0.01)
    ax.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Draw the curves of all seeds."""
    args = arguments(
        __doc__,
        seeds={"type": int, "default": 10},
        rounds={"type": int, "default": 4},
        batch={"type": int, "default": 250, "help": "cells labelled in a round"},
        random={"type": int, "default": 2000, "help": "random cells to be as good as"},
        diversity={"type": float, "nargs": "+", "default": [0.75]},
        view={
            "choices": [*VIEWS],
            "default": "clean",
            "help": "frames taken out, or not",
        },
        choose={"action": "store_true", "help": "judge on a part of the pool"},
        epochs={"type": int, "default": 15},
        least={
            "type": int,
            "default": 30_000,
            "help": "cells shown in a fit, at least",
        },
        step={"type": int, "default": 128, "help": "cells in a step of training"},
        out={"type": Path, "default": None, "help": "folder; a temporary one"},
        n_jobs={"type": int, "default": 2},
        quick={"action": "store_true", "help": "all of it small, within a minute"},
    )
    if args.quick:
        args.seeds, args.rounds, args.batch, args.random = 2, 2, 30, 100
        args.epochs, args.least = 2, 0
    args.out = args.out or Path(tempfile.mkdtemp(prefix="active-"))
    if args.quick:  # its networks are no others'
        args.out /= "quick"
    args.out.mkdir(parents=True, exist_ok=True)
    print_versions(args.seed)
    real = args.data if args.data.is_dir() else None
    if real is None:
        print(f"no folder {args.data}: synthetic digits and pages stand in")
    digits = load_source(real, args.seed, 600 if args.quick else None)
    how = {"n_jobs": 1, "epochs": 2 if args.quick else None, "seed": args.seed}
    (source,) = trained(digits, args.out, [("tuned", "ours")], **how).values()
    pool, test = divided(args)
    batches = [args.batch * i for i in range(1, args.rounds + 1)]
    sizes = [round(share * args.random) for share in RANDOM]
    ways = {"random": (sizes, None)}
    ways |= {f"diversity {d}": (batches, d) for d in args.diversity}
    keys = [(seed, way) for seed in range(args.seeds) for way in ways]
    fit = {"epochs": args.epochs, "least": args.least, "step": args.step}
    found = Parallel(n_jobs=args.n_jobs, verbose=0)(
        delayed(curve)(source, pool, test, *ways[way], args.seed + seed, **fit)
        for seed, way in keys
    )
    curves = pd.DataFrame(
        [(*key, *point) for key, points in zip(keys, found) for point in points],
        columns=["seed", "way", "n", "accuracy"],
    )
    medians = curves.pivot_table(index="n", columns="way", aggfunc="median")
    print(medians["accuracy"].round(4).to_string(na_rep=""))
    for diversity in args.diversity:
        report(curves, diversity, args.random)
    curves.to_csv(args.out / "active_learning.csv", index=False)
    draw(curves, args.random, args.out / "active_learning.png")
    print(f"written: {args.out / 'active_learning.png'}")


if __name__ == "__main__":
    main()
