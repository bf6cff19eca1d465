"""Five-fold by page on indonesia-2024: the whole Pipeline refitted in each fold.

Each fold fine-tunes the bundled model "handwriting" (which saw no real tally) on
the other folds' pages. Prints boxes, counts and pages exactly right, with intervals:
among accepted pages, and with rejected pages counted as wrong. ``--labels counts``
fits on counts instead of box strings.
"""

import time

import numpy as np
from common import arguments, clustered_share, load_boxes, print_versions, share
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline

from sktally import CellNormalizer, CNNClassifier, TallyCropper, VoteCountAggregator

args = arguments(
    __doc__,
    labels={"choices": ["boxes", "counts"], "default": "boxes"},
    folds={"type": int, "default": 5},
    epochs={"type": int, "default": 20},
    pages={"type": int, "default": 500},
    pretrained={"default": "handwriting"},
)
print_versions(args.seed)
paths, boxes, counts, _ = load_boxes(args.data / "indonesia-2024")
paths, boxes, counts = paths[: args.pages], boxes[: args.pages], counts[: args.pages]
y = boxes if args.labels == "boxes" else counts
known = counts >= 0

reader = Pipeline(
    [
        ("crop", TallyCropper("indonesia-2024")),
        ("normalize", CellNormalizer()),
        (
            "votes",
            VoteCountAggregator(
                CNNClassifier(
                    classes=[*"0123456789x_"],
                    pretrained=args.pretrained,
                    augment="tally",
                    max_epochs=args.epochs,
                    schedule="one-cycle",
                    random_state=args.seed,
                )
            ),
        ),
    ]
)
read_counts = np.full(counts.shape, -1)
read_boxes = np.full(boxes.shape, "", object)
confidence = np.zeros(counts.shape)
for fold, (fit, test) in enumerate(
    KFold(args.folds, shuffle=True, random_state=args.seed).split(paths)
):
    started = time.perf_counter()
    reader.fit([paths[i] for i in fit], y[fit])
    cells = reader[:-1].transform([paths[i] for i in test])
    read = reader[-1].predict_tallies(cells)
    read_counts[test], read_boxes[test] = read.counts, read.boxes
    confidence[test] = read.confidence
    print(f"fold {fold + 1}: {time.perf_counter() - started:.0f} s", flush=True)

accepted = (read_boxes != "").all(axis=1)
exact = (read_counts == counts) | ~known
page_of = np.repeat(np.arange(len(paths))[:, None], counts.shape[1], axis=1)
print(f"\nfitted on {args.labels}; {len(paths)} pages, {known.sum()} counts known")
print("accepted pages:              ", share(accepted))
use = known & accepted[:, None]
pairs = [
    (p, place, r == t)
    for p, read_, true in zip(page_of[use], read_boxes[use], boxes[use])
    for place, (r, t) in enumerate(zip(read_, true))
]
on, place, right = (np.array(values) for values in zip(*pairs))
print("boxes right, accepted:       ", clustered_share(right, on))
for i, name in enumerate(["hundreds", "tens", "units"]):
    print(
        f"  {name:9s}                  ",
        clustered_share(right[place == i], on[place == i]),
    )
print("counts exact, accepted:      ", clustered_share(exact[use], page_of[use]))
print("pages exact, accepted:       ", share(exact[accepted].all(axis=1)))
print("counts exact, all pages:     ", clustered_share(exact[known], page_of[known]))
print("pages exact, all pages:      ", share((exact & accepted[:, None]).all(axis=1)))
print("\nwrong counts on accepted pages:")
for i, j in np.argwhere(~exact & use):
    print(
        f"  {paths[i].rsplit('/')[-1]} paslon_{j + 1}: read {read_boxes[i, j]!r}, "
        f"truth {boxes[i, j]!r}, confidence {confidence[i, j]:.2f}"
    )
print("not accepted:", [paths[i].rsplit("/")[-1] for i in np.flatnonzero(~accepted)])
