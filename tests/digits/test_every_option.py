"""Every option of the constructor trains a network that beats chance."""

from dataclasses import fields
from inspect import signature

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sktally import CNNClassifier
from sktally.digits import Augmentation

LABELS = [str(c) for c in range(10)]

#: Settings of one run each, with six epochs and the small network for the rest.
RUNS = [
    # the network
    {"architecture": "lenet5", "filters": (64, 96, 112), "hidden": (150, 70)},
    {"architecture": "paper-base", "filters": (64, 96, 112), "hidden": (150, 70)},
    {"filters": (16,)},
    {"filters": 8, "n_blocks": 2},
    {"filters": 6, "n_blocks": 2, "filter_growth": 1.5},
    {"kernel_size": 5},
    {"kernel_size": (5, 3)},
    {"stride": (2, 1), "pool": (None, "max")},
    {"padding": (1, 0)},
    {"padding": "valid", "pool": (None, "max")},
    {"activation": "tanh"},
    {"activation": "sigmoid", "batch_norm": True},
    {"pool": "mean"},
    {"pool": "min"},
    {"pool": "mixed"},
    {"pool": None},
    {"pool": ("max", "mean"), "pool_size": (3, 2), "pool_stride": (2, 1)},
    {"hidden": ()},
    {"dropout": 0.0},
    {"dropout": 0.3, "conv_dropout": 0.05},
    {"dropout": 0.0, "conv_dropout": 0.2},
    {"batch_norm": True},
    {"output": "sigmoid"},
    # how it learns
    {"max_epochs": 9},
    {"batch_size": 20, "learning_rate": 0.005},
    {"optimizer": "adam"},
    {"optimizer": "sgd", "learning_rate": 0.03},
    {"optimizer": "muon"},
    {"optimizer": "adagrad", "learning_rate": 0.03},
    {"weight_decay": 0.01},
    {"l1": 1e-4},
    {"l2": 1e-3},
    {"schedule": "one-cycle"},
    {"schedule": "cosine"},
    {"schedule": "linear"},
    {"early_stopping": True, "patience": 2, "validation_fraction": 0.2},
    {"class_weight": "balanced"},
    {"class_weight": {"3": 2.0}},
    {"sampling": "balanced"},
    {"warm_start": True},
    {"classes": [*LABELS, "x", "_"]},
    {"precision": "bfloat16"},
    {"precision": "float32", "device": "cpu"},
    # how it learns on from another
    {"pretrained": True},
    {"pretrained": True, "freeze_layers": 1},
    {"pretrained": True, "freeze_layers": 3, "unfreeze_epochs": 2},
    {"pretrained": True, "layer_decay": 0.4},
    {"layer_decay": 0.7},
    # what it sees: the draws are mild, for six epochs are few
    {"augment": "tally"},
    {"augment": {"rotation": 10}},
    {"augment": {"shift": 0.05}},
    {"augment": {"zoom": 0.1}},
    {"augment": {"shear": 10}},
    {"augment": {"elastic": 0.02}},
    {"augment": {"stroke": 0.3}},
    {"augment": {"contrast": 0.3}},
    {"augment": {"brightness": 0.2}},
    {"augment": {"noise": 0.3}},
    {"augment": {"blur": 0.5}},
    {"augment": {"lines": 0.2}},
    {"augment": {"gaps": 0.2}},
    {"augment": {"shadow": 0.5}},
    {"augment": {"jpeg": 0.5}},
]


def name_of(options):
    return ",".join(f"{name}={value}" for name, value in options.items())


@pytest.mark.parametrize("options", RUNS, ids=name_of)
def test_every_option_trains_and_beats_chance(digits, small, fitted, options):
    X, y = digits
    labels, chance = y.astype(str), 0.1
    if options.get("output") == "sigmoid":  # which is for two classes
        labels, chance = np.where(y < 5, "low", "high"), 0.5
    options = dict(options)
    if "pretrained" in options:
        options["pretrained"] = FrozenEstimator(fitted)
    model = CNNClassifier(**{**small, "max_epochs": 6, **options})
    accuracy = model.fit(X[:800], labels[:800]).score(X[1000:], labels[1000:])
    # 797 cells: a standard error is 0.018 at most
    assert accuracy > max(0.5, chance + 0.25)


@pytest.mark.parametrize("axis", ["flip_horizontal", "flip_vertical"])
def test_flips_train_where_classes_have_names(digits, small, axis):
    X, y = digits
    keep = np.isin(y, [0, 8, 1])
    names = np.array(["ring", "stroke"] + [""] * 6 + ["loops"])
    X, labels = X[keep], names[y[keep]]
    model = CNNClassifier(**small, augment={axis: 0.5}).fit(X[:300], labels[:300])
    assert model.score(X[300:], labels[300:]) > 1 / 3 + 0.25


def test_no_option_is_left_out():
    tested = {name for options in RUNS for name in options}
    every = set(signature(CNNClassifier).parameters)
    # the seed is in `small`, the bar is drawn in test_classifier.py
    assert every - tested == {"random_state", "verbose"}
    changes = set().union(
        *(
            options["augment"]
            for options in RUNS
            if type(options.get("augment")) is dict
        )
    )
    flips = {"flip_horizontal", "flip_vertical"}
    assert {field.name for field in fields(Augmentation)} == changes | flips
