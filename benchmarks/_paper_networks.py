"""The paper's two networks on MNIST: the paper's recipe and ours, kept in a folder.

Comes in: MNIST's training digits. Goes out: fitted classifiers that take pixels from 0
to 1, ink bright. A network that is in the folder is read, not trained again.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import Bunch

from sktally import CellNormalizer, CNNClassifier, load_model, save_model
from sktally.datasets import embed_digits, load_mnist, make_digit_cells
from sktally.votes import CLASSES

#: Table of the paper's numbers: M. Torres and F. Cantú (2022), Learning to See,
#: Political Analysis 30(1), section 5. The paper's tallies are Mexico's of 2015.
PAPER = {
    "MNIST, base network": 0.992,
    "tallies, untouched": 0.335,
    "tallies, after grid search": 0.4004,
    "tallies, after transfer, validation": 0.935,
    "tallies, after transfer, test": 0.961,
}

#: The paper says which layers, Adam, and 15 to 20 epochs; nothing of batches.
_LAYERS = {
    "base": {"filters": (32, 64), "hidden": (128, 64), "dropout": 0.0},
    "tuned": {"filters": (64, 96, 112), "hidden": (150, 70), "dropout": 0.1},
}
_EPOCHS = {"base": 15, "tuned": 20}
#: The first that was tried, on a random part of MNIST's training set, then lengthened.
_OURS = {
    "batch_norm": True,
    "schedule": "one-cycle",
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "max_epochs": 12,
    "augment": {
        "rotation": 8,
        "shift": 0.06,
        "zoom": 0.1,
        "shear": 8,
        "elastic": 0.02,
        "stroke": 0.3,
    },
}
NAMES = [
    (layers, recipe) for layers in ("base", "tuned") for recipe in ("paper", "ours")
]


def network(layers: str, recipe: str, *, epochs: int | None, seed: int):
    """Return a classifier that is not fitted; `epochs` shortens it."""
    settings = {"optimizer": "adam", "max_epochs": _EPOCHS[layers]}
    if recipe == "ours":
        settings = dict(_OURS)
    if epochs is not None:
        settings["max_epochs"] = epochs
    return CNNClassifier(**_LAYERS[layers], **settings, random_state=seed)


def load_source(data: Path | None, seed: int, limit: int | None = None) -> Bunch:
    """Return MNIST in training, validation and test set, pixels from 0 to 1.

    Training and validation digits are of different writers. Without a folder,
    synthetic digits stand in.
    """
    if data is None:
        how = {"classes": "0123456789", "frame": False, "degrade": "scan"}
        made = [
            make_digit_cells(n, **how, random_state=seed + i)
            for i, n in enumerate((limit, limit // 2))
        ]
        parts = [
            (CellNormalizer().fit_transform(m.images), np.asarray(m.target))
            for m in made
        ]
        writers = made[0].writer
    else:
        parts = [
            (m.images[:limit] / np.float32(255), np.asarray(m.target)[:limit])
            for m in (load_mnist(data / "mnist", subset=s) for s in ("train", "test"))
        ]
        with np.load(data / "mnist" / "mnist_writers.npz") as table:
            writers = table["train"] if "train" in table else table[table.files[0]]
        writers = 10**5 * writers[:limit, 1] + writers[:limit, 2]  # series, writer
    (X, y), (X_test, y_test) = parts
    split = GroupShuffleSplit(1, test_size=1 / 12, random_state=seed)
    train, validation = next(split.split(X, y, writers))
    return Bunch(
        X_train=X[train],
        y_train=y[train],
        X_validation=X[validation],
        y_validation=y[validation],
        X_test=X_test,
        y_test=y_test,
        name="MNIST" if data is not None else "synthetic digits",
    )


def train(layers: str, recipe: str, source: Bunch, folder: Path, **how) -> float:
    """Train one network unless it is in the folder; return seconds it took."""
    path = where(folder, layers, recipe, how["seed"])
    if path.with_suffix(".json").exists():
        return 0.0
    torch.set_num_threads(1)
    started = time.perf_counter()
    model = network(layers, recipe, **how).fit(source.X_train, source.y_train)
    save_model(model, path)
    return time.perf_counter() - started


def where(folder: Path, layers: str, recipe: str, seed: int) -> Path:
    """Return where a network is kept."""
    return folder / f"mnist_{layers}_{recipe}_seed{seed}"


def trained(source: Bunch, folder: Path, names=NAMES, *, n_jobs=2, **how) -> dict:
    """Return fitted networks by name, those that are not in the folder trained."""
    # The longest first, so that no thread waits for it at the end.
    order = sorted(names, key=lambda name: -_EPOCHS[name[0]])
    seconds = Parallel(n_jobs=n_jobs)(
        delayed(train)(*name, source, folder, **how) for name in order
    )
    for name, spent in zip(order, seconds):
        print(
            f"{name[0]}, {name[1]} recipe: " + (f"{spent:.0f} s" if spent else "kept")
        )
    return {name: load_model(where(folder, *name, how["seed"])) for name in names}


def framed_base(source: Bunch, view, folder: Path, *, quick: bool, seed: int) -> str:
    """Return the path of a base for cells that keep their frames: no real tally in it.

    The bundled base goes on with synthetic cells and source digits pasted into boxes,
    seen as `view` leaves them; frames and guide dots stand in either.
    """
    path = folder / f"framed_base_seed{seed}"
    if path.with_suffix(".json").exists():
        return str(path)
    started = time.perf_counter()
    n_made, n_pasted, epochs = (240, 120, 1) if quick else (14_000, 10_000, 5)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(source.y_train), n_pasted, replace=False)
    digits = (255 * source.X_train[chosen].clip(0, 1)).astype(np.uint8)
    labels = source.y_train[chosen]
    pasted = embed_digits(digits, labels, random_state=seed)
    made = make_digit_cells(n_made, random_state=seed)
    X = view.fit_transform(np.concatenate([made.images, pasted]))
    y = np.concatenate([np.asarray(made.target), labels])
    model = CNNClassifier(
        classes=[*CLASSES],
        batch_norm=True,
        pretrained="handwriting",
        augment=_OURS["augment"] | {"noise": 0.05, "blur": 0.3},
        schedule="one-cycle",
        learning_rate=2e-3,
        max_epochs=epochs,
        random_state=seed,
    )
    save_model(model.fit(X, y), path)
    print(
        f"base for framed cells: {len(y)} cells, {time.perf_counter() - started:.0f} s"
    )
    return str(path)


class MeanClassifier(ClassifierMixin, BaseEstimator):
    """Take the mean of the probabilities of several classifiers.

    VotingClassifier does so too, but numbers the labels first, and a pretrained output
    layer finds its classes by name.
    """

    def __init__(self, estimators):
        self.estimators = estimators

    def fit(self, X, y):
        """Fit every classifier on all samples; each has the same classes declared."""
        self.estimators_ = [clone(one).fit(X, y) for one in self.estimators]
        self.classes_ = self.estimators_[0].classes_
        return self

    def predict_proba(self, X):
        """Return the mean probability of each class."""
        return np.mean([one.predict_proba(X) for one in self.estimators_], axis=0)

    def predict(self, X):
        """Return the most probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __sklearn_tags__(self):
        """Return tags: takes cells as images."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
