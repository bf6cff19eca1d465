"""Make the bundled models from real and synthetic cells, with their cards.

Two models, twelve classes each, the paper's tuned network:

handwriting  MNIST (without training writer 2 of series 0), other-digits and
             synthetic cells. No cell of a real tally: a base to fine-tune.
default      handwriting, fine-tuned on the cells of all indonesia-2024 pages
             together with a share of the cells above. What `load_reader` takes.

indonesia-2019-c1 and nist-hsf are not used. The card of `default` reports how its
recipe does on pages it was not fitted to: five folds by page, refitted each time.

    python benchmarks/train_default_model.py handwriting
    python benchmarks/train_default_model.py default
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from common import arguments, clustered_share, load_boxes, print_versions
from sklearn.model_selection import KFold

from sktally import CellNormalizer, CNNClassifier, TallyCropper, save_model
from sktally.datasets import embed_digits, load_mnist, make_digit_cells

MODELS = Path(__file__).resolve().parents[1] / "sktally" / "data" / "models"
CLASSES = [*"0123456789x_"]


def source_cells(data: Path, n_synthetic: int, seed: int):
    """Return normalised cells and labels of everything but real tallies."""
    mnist = load_mnist(data / "mnist")
    writers = np.load(data / "mnist" / "mnist_writers.npz")
    train = writers["train"] if "train" in writers else writers[writers.files[0]]
    columns = ["class", "series", "writer", "index", "code", "global"]
    series, writer = (train[:, columns.index(c)] for c in ("series", "writer"))
    keep = ~((series == 0) & (writer == 2))
    images, labels = mnist.images[keep], np.asarray(mnist.target)[keep].astype(str)
    bright = CellNormalizer(polarity="light-on-dark", remove_frame=False)
    dark = CellNormalizer()
    parts = [(bright.fit_transform(images), labels)]
    in_boxes = embed_digits(images, labels, random_state=seed)
    parts.append((dark.fit_transform(in_boxes), labels))
    for name in ("usps", "optdigits", "semeion"):
        with np.load(data / "other-digits" / f"{name}.npz") as other:
            pixels, digits = other_digits(other)
        parts.append((bright.fit_transform(pixels), digits))
    made = make_digit_cells(n_synthetic, random_state=seed)
    parts.append((dark.fit_transform(made.images), np.asarray(made.target)))
    return (
        np.concatenate([x for x, _ in parts]).astype(np.float32),
        np.concatenate([y for _, y in parts]),
    )


def other_digits(archive) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, h, w) as uint8, bright ink, and labels of one archive."""
    images = [archive[k] for k in archive.files if archive[k].ndim == 3]
    labels = [archive[k] for k in archive.files if archive[k].ndim == 1]
    pixels = np.concatenate(images).astype(np.float32)
    pixels = (255 * pixels / pixels.max()).round().astype(np.uint8)
    return pixels, np.concatenate(labels).astype(int).astype(str)


def real_cells(data: Path):
    """Return normalised cells, labels and page of every labelled indonesia-2024 box."""
    paths, boxes, _, _ = load_boxes(data / "indonesia-2024")
    cells = CellNormalizer().fit_transform(
        TallyCropper("indonesia-2024").fit_transform(paths)
    )
    labels = np.array([[list(b or "   ") for b in row] for row in boxes])
    known = ~np.isnan(cells).any(axis=(3, 4)) & (labels != " ")
    page = np.broadcast_to(np.arange(len(paths))[:, None, None], known.shape)
    return cells[known], labels[known], page[known], np.argwhere(known)[:, 2]


def train_handwriting(args) -> None:
    """Train and save the base model."""
    X, y = source_cells(args.data, args.synthetic, args.seed)
    print(f"{len(X)} cells", dict(zip(*np.unique(y, return_counts=True))), flush=True)
    started = time.perf_counter()
    model = CNNClassifier(
        classes=CLASSES,
        augment="tally",
        max_epochs=args.epochs,
        schedule="one-cycle",
        learning_rate=2e-3,
        batch_size=256,
        random_state=args.seed,
        verbose=1,
    ).fit(X, y)
    print(f"trained in {time.perf_counter() - started:.0f} s")
    save_model(model, MODELS / "handwriting")


def fine_tuned(args, X, y, base_X, base_y):
    """Fine-tune the base model on real cells mixed with a share of the others."""
    repeat = 4
    return CNNClassifier(
        classes=CLASSES,
        pretrained="handwriting",
        augment="tally",
        max_epochs=args.epochs,
        schedule="one-cycle",
        batch_size=256,
        random_state=args.seed,
        verbose=args.verbose,
    ).fit(
        np.concatenate([*[X] * repeat, base_X]), np.concatenate([*[y] * repeat, base_y])
    )


def train_default(args) -> None:
    """Cross-validate the recipe by page, then fit on all pages and save."""
    base_X, base_y = source_cells(args.data, args.synthetic, args.seed + 1)
    chosen = np.random.default_rng(args.seed).choice(
        len(base_X), min(args.replay, len(base_X)), replace=False
    )
    base_X, base_y = base_X[chosen], base_y[chosen]
    X, y, page, place = real_cells(args.data)
    print(f"{len(X)} real cells, {len(base_X)} others", flush=True)
    read = np.empty_like(y)
    pages = np.unique(page)
    for fit, _ in KFold(5, shuffle=True, random_state=args.seed).split(pages):
        inside = np.isin(page, pages[fit])
        model = fine_tuned(args, X[inside], y[inside], base_X, base_y)
        read[~inside] = model.predict(X[~inside])
        print("fold:", clustered_share(read[~inside] == y[~inside], page[~inside]))
    card = describe(read == y, y, page, place)
    print(card)
    model = fine_tuned(args, X, y, base_X, base_y)
    save_model(model, MODELS / "default")
    (MODELS / "default.card.txt").write_text(card)


def describe(right, y, page, place) -> str:
    """Return the card's figures: all, by place and by class."""
    lines = [f"boxes    {clustered_share(right, page)}"]
    for i, name in enumerate(["hundreds", "tens", "units"]):
        at = place == i
        lines.append(f"{name:8s} {clustered_share(right[at], page[at])}")
    for label in CLASSES:
        at = y == label
        lines.append(f"class {label}  {clustered_share(right[at], page[at])}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    args = arguments(
        __doc__,
        model={"choices": ["handwriting", "default"], "default": "default"},
        epochs={"type": int, "default": 8},
        synthetic={"type": int, "default": 60000},
        replay={"type": int, "default": 20000},
        verbose={"type": int, "default": 0},
    )
    print_versions(args.seed)
    {"handwriting": train_handwriting, "default": train_default}[args.model](args)
