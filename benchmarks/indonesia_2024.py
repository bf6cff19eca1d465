"""Five-fold by page on indonesia-2024: the whole Pipeline refitted in each fold.

Pages in, counts out. Each fold fine-tunes the bundled model "handwriting" (which
saw no real tally) on the other folds' pages, once with box strings as labels and
once with counts alone, and reads with and without heed to which class stands where
(`place_prior`, chosen on pages 1-250). Prints boxes, counts and pages exactly right,
with intervals: among accepted pages, and with rejected pages counted as wrong.
"""

import tempfile
import time
from itertools import product

import numpy as np
from common import arguments, clustered_share, load_boxes, print_versions, share
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline

from sktally import CellNormalizer, CNNClassifier, TallyCropper, VoteCountAggregator


def make_reader(args, memory: str) -> Pipeline:
    """Return the reader under test; `memory` keeps cells that both fits share."""
    classifier = CNNClassifier(
        classes=[*"0123456789x_"],
        batch_norm=True,
        pretrained=args.pretrained,
        augment="tally",
        max_epochs=args.epochs,
        schedule="one-cycle",
        random_state=args.seed,
    )
    steps = [
        ("crop", TallyCropper("indonesia-2024", n_jobs=2)),
        ("normalize", CellNormalizer()),
        ("votes", VoteCountAggregator(classifier)),
    ]
    return Pipeline(steps, memory=memory)


def report(title, paths, boxes, counts, read_boxes, read_counts, confidence) -> None:
    """Print what was exactly right, and every count that was not."""
    known = counts >= 0
    accepted = (read_boxes != "").any(axis=1)
    exact = (read_counts == counts) | ~known
    page = np.repeat(np.arange(len(paths))[:, None], counts.shape[1], axis=1)
    use = known & accepted[:, None]
    print(f"\n{title}; {len(paths)} pages, {known.sum()} counts known")
    print("accepted pages:         ", share(accepted))
    right = [
        (p, place, r == t)
        for p, read, true in zip(page[use], read_boxes[use], boxes[use])
        for place, (r, t) in enumerate(zip(read, true))
    ]
    on, place, right = (np.array(values) for values in zip(*right))
    print("boxes right, accepted:  ", clustered_share(right, on))
    for i, name in enumerate(["hundreds", "tens", "units"]):
        at = place == i
        print(f"  {name:22s}", clustered_share(right[at], on[at]))
    print("counts exact, accepted: ", clustered_share(exact[use], page[use]))
    print("pages exact, accepted:  ", share(exact[accepted].all(axis=1)))
    print("counts exact, all pages:", clustered_share(exact[known], page[known]))
    print("pages exact, all pages: ", share((exact & accepted[:, None]).all(axis=1)))
    print("wrong counts on accepted pages:")
    for i, j in np.argwhere(~exact & use):
        print(
            f"  {paths[i].rsplit('/')[-1]} paslon_{j + 1}: read {read_boxes[i, j]!r}, "
            f"truth {boxes[i, j]!r}, confidence {confidence[i, j]:.2f}"
        )
    print(
        "not accepted:", [paths[i].rsplit("/")[-1] for i in np.flatnonzero(~accepted)]
    )


def main() -> None:
    """Run the folds."""
    args = arguments(
        __doc__,
        folds={"type": int, "default": 5},
        epochs={"type": int, "default": 15},
        pages={"type": int, "default": 500},
        pretrained={"default": "handwriting"},
    )
    print_versions(args.seed)
    paths, boxes, counts, _ = load_boxes(args.data / "indonesia-2024")
    paths, boxes, counts = (part[: args.pages] for part in (paths, boxes, counts))
    labels = {"box strings": boxes, "counts": counts}
    ways = [*product(labels, (False, True))]
    read = {
        way: (
            np.full(counts.shape, "", object),
            np.full(counts.shape, -1),
            np.zeros(counts.shape),
        )
        for way in ways
    }
    folds = KFold(args.folds, shuffle=True, random_state=args.seed)
    with tempfile.TemporaryDirectory() as memory:
        for number, (fit, test) in enumerate(folds.split(paths), start=1):
            started = time.perf_counter()
            cells = None
            for name, y in labels.items():
                reader = make_reader(args, memory)
                reader.fit([paths[i] for i in fit], y[fit])
                if cells is None:
                    cells = reader[:-1].transform([paths[i] for i in test])
                for heeded in (False, True):
                    votes = reader[-1].set_params(place_prior=heeded)
                    tallies = votes.predict_tallies(cells)
                    found = (tallies.boxes, tallies.counts, tallies.confidence)
                    for into, values in zip(read[name, heeded], found):
                        into[test] = values
                exact = (tallies.counts == counts[test])[counts[test] >= 0]
                print(
                    f"fold {number}, {name}, place_prior: counts exact on all pages "
                    f"{exact.mean():.4f}, {time.perf_counter() - started:.0f} s",
                    flush=True,
                )
    for name, heeded in ways:
        title = f"Fitted on {name}, place_prior={heeded}"
        report(title, paths, boxes, counts, *read[name, heeded])


if __name__ == "__main__":
    main()
