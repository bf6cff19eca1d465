"""Fits that fail, are stopped, run side by side, or are given odd things."""

import copy
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold
from torch import nn

from sktally import (
    CNNClassifier,
    load_model,
    paper_param_grid,
    save_model,
    train_validation_test_target_split,
)
from sktally.digits import _seed, augment_cells, plot_augmentation
from sktally.digits._seed import seeded
from sktally.exceptions import TallyError

DIVERGES = {"optimizer": "sgd", "learning_rate": 1e3, "l2": 1e3}


def test_a_fit_that_fails_leaves_nothing_fitted(digits, small):
    X, y = digits[0][:300], digits[1][:300]
    model = CNNClassifier(**{**small, **DIVERGES})
    with pytest.raises(TallyError, match="Lower learning_rate"):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.set_params(**small, optimizer="adam", l2=0).fit(X, y)
    with pytest.raises(TallyError, match="freeze_layers"):
        model.set_params(freeze_layers=1).fit(X[y < 3], y[y < 3])
    with pytest.raises(NotFittedError):  # not with other classes than it knows
        model.predict(X)


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_going_on_that_fails_leaves_the_network_as_it_was(digits, small, how):
    X, y = digits[0][:300], digits[1][:300]
    model = CNNClassifier(**small, batch_norm=True, warm_start=True).fit(X, y)
    before, history = model.predict_proba(X), model.history_.copy()
    with pytest.raises(TallyError, match="Lower learning_rate"):
        getattr(model.set_params(**DIVERGES), how)(X, y)
    assert (model.predict_proba(X) == before).all()
    assert model.history_.equals(history)
    getattr(model.set_params(**small, optimizer="adam", l2=0), how)(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert len(model.history_) > len(history)


def test_running_means_of_a_failed_call_are_forgotten(digits, small):
    X, y = digits[0][:300], digits[1][:300]
    one, other = (CNNClassifier(**small) for _ in range(2))
    for model in (one, other):
        model.partial_fit(X, y, classes=range(10))
    calls = iter("12")  # the third batch is one too many
    hook = one.net_.module_.register_forward_pre_hook(lambda *_: next(calls) and None)
    with pytest.raises(StopIteration):
        one.partial_fit(X, y)
    hook.remove()
    for model in (one, other):
        model.partial_fit(X, y)
    assert (one.predict_proba(X) == other.predict_proba(X)).all()


class Interrupting(nn.Module):
    """A network in which Ctrl-C is pressed in the third epoch."""

    def __init__(self, n_classes, height, width):
        super().__init__()
        self.output = nn.Linear(height * width, n_classes)
        self.left = 11

    def forward(self, x):
        self.left -= self.training
        if self.training and not self.left:
            raise KeyboardInterrupt
        return self.output(x.flatten(1))


def test_what_ctrl_c_stops_keeps_what_it_learnt(digits):
    X, y = digits[0][:256], digits[1][:256]
    model = CNNClassifier(
        architecture=Interrupting, batch_size=64, max_epochs=9, random_state=0
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.n_epochs_ == len(model.history_) == 2
    assert model.predict(X).shape == (256,)


def test_fits_in_threads_are_those_one_after_the_other(digits, small):
    X, y = digits[0][:200], digits[1][:200]

    def fit(seed):
        return CNNClassifier(**{**small, "random_state": seed}).fit(X, y)

    alone = [fit(seed).predict_proba(X) for seed in range(3)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        together = [model.predict_proba(X) for model in pool.map(fit, range(3))]
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(alone, together):
        assert (one == other).all()


def test_features_and_answers_may_be_asked_for_at_once(fitted, digits):
    X = digits[0]
    features, proba = fitted.hidden_features(X), fitted.predict_proba(X)
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(ask, X)
            for ask in (fitted.hidden_features, fitted.predict_proba) * 4
        ]
    for i, future in enumerate(asked):
        assert (future.result() == (proba if i % 2 else features)).all()


class Own(nn.Module):
    """A network that computes a part of itself, in double precision."""

    def __init__(self, n_classes, height, width):
        super().__init__()
        self.output = nn.Linear(height * width, n_classes).double()
        ramp = torch.linspace(0, 1, height * width, dtype=torch.float64)
        self.register_buffer("ramp", ramp, persistent=False)
        self.shares = [r.item() for r in torch.linspace(0, 1, 3)]
        self.ones = torch.ones(height * width)

    def forward(self, x):
        return self.output(x.flatten(1) * self.ramp * self.ones * self.shares[2])


def test_networks_that_compute_a_part_of_themselves_are_kept(digits, tmp_path):
    X, y = digits[0][:200], digits[1][:200]
    model = CNNClassifier(architecture=Own, max_epochs=2, random_state=0).fit(X, y)
    proba = model.predict_proba(X)
    state = torch.get_rng_state()
    path = save_model(model, tmp_path / "own")
    for kept in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        load_model(path, architecture=Own),
    ):
        assert np.abs(kept.predict_proba(X) - proba).max() < 1e-6
    assert torch.equal(torch.get_rng_state(), state)


GROUPS = [f"page {i // 5}" if i < 40 else float("nan") for i in range(60)]


def test_missing_values_of_a_list_are_no_text(digits, small):
    X, y = digits[0][:60], digits[1][:60]
    with pytest.raises(TallyError, match="groups: expected no missing values, got 20"):
        train_validation_test_target_split(X, y, X, groups=GROUPS)
    with pytest.raises(TallyError, match="groups: .* 20 are missing"):
        CNNClassifier(**small).fit(X, y, groups=GROUPS)
    for labels in (GROUPS, [None if g != g else g for g in GROUPS]):
        with pytest.raises((TallyError, ValueError), match="NaN|labels are missing"):
            CNNClassifier(**small).fit(X, labels)


@pytest.mark.parametrize("kind", [list, np.array, "object", "string", "Int64"])
def test_missing_values_of_pandas_are_told(digits, small, kind):
    X, labels = digits[0][:20], [*digits[1][:19].tolist(), pd.NA]
    if kind == "string":
        labels = [label if label is pd.NA else str(label) for label in labels]
    y = pd.Series(labels, dtype=kind) if isinstance(kind, str) else kind(labels)
    with pytest.raises(TallyError, match=r"1 of 20 labels are missing \(first: .* 19"):
        CNNClassifier(**small).fit(X, y)
    fitted = CNNClassifier(**small).fit(X, digits[1][:20])
    with pytest.raises(TallyError, match="missing"):
        fitted.partial_fit(X, y)


@pytest.mark.parametrize("kind", ["int8", "uint16", "uint64"])
def test_models_of_all_whole_labels_are_saved(digits, small, tmp_path, kind):
    X, y = digits[0][:200], digits[1][:200].astype(kind)
    model = CNNClassifier(**small).set_params(random_state=np.int64(3)).fit(X, y)
    again = load_model(save_model(model, tmp_path / "model"))
    assert again.predict(X).dtype == kind
    assert (again.predict(X) == model.predict(X)).all()
    assert again.random_state == 3


def test_numbers_of_numpy_and_lists_are_no_other_options(digits, small, tmp_path):
    X, y = digits[0][:200], digits[1][:200]
    filters = [4, 4]
    options = {**small, "filters": filters, "pool_size": np.int64(2)}
    model = CNNClassifier(**options, warm_start=True).fit(X, y)
    again = load_model(save_model(model, tmp_path / "model"))
    again.partial_fit(X, y)
    filters.append(4)
    assert (pickle.loads(pickle.dumps(model)).predict(X) == model.predict(X)).all()
    model.set_params(filters=(np.int32(4), 4), pool_size=2).fit(X, y)
    assert model.n_epochs_ == 2 * small["max_epochs"]
    deep = {**small, "filters": (4, 4, 4), "hidden": ()}
    for size in (2, np.int64(2)):
        tiny = CNNClassifier(**deep, pool_size=size).fit(X[:, :4, :4], y)
        assert tiny.image_shape_ == (4, 4)


def test_whole_floats_are_the_classes_of_a_pretrained_network(fitted, digits, small):
    X, y = digits[0][:200], digits[1][:200]
    whole = pd.Series([*y, None], dtype="Int64").astype(float)[:-1]
    settings = {**small, "max_epochs": 1, "pretrained": FrozenEstimator(fitted)}
    model = CNNClassifier(**settings).fit(X, whole)
    assert not model.transfer_report_["reinitialized"]
    other = CNNClassifier(**settings).fit(X, whole + 10)
    assert other.transfer_report_["reinitialized"]


class Drawn(nn.Module):
    """A network with a part that is drawn at random and not kept."""

    def __init__(self, n_classes, height, width):
        super().__init__()
        self.output = nn.Linear(height * width, n_classes)
        self.register_buffer("order", torch.randperm(height * width))

    def forward(self, x):
        return self.output(x.flatten(1)[:, self.order])


def test_what_was_drawn_and_is_not_kept_is_told(digits, tmp_path):
    X, y = digits[0][:200], digits[1][:200]
    model = CNNClassifier(architecture=Drawn, max_epochs=1, random_state=0).fit(X, y)
    with pytest.raises(TallyError, match="Drawn draws 'order' at random"):
        copy.deepcopy(model)


def test_reading_a_model_does_not_wait_for_a_fit(fitted, digits):
    kept = pickle.dumps(fitted)
    with seeded(0, "cpu"), ThreadPoolExecutor(1) as pool:
        again = pool.submit(pickle.loads, kept).result(timeout=30)
    assert (again.predict(digits[0]) == fitted.predict(digits[0])).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_does_not_wait_for_threads_it_has_not():
    with seeded(0, "cpu"), ThreadPoolExecutor(1) as pool:

        def free_in_child():
            child = os.fork()
            if not child:
                os._exit(0 if _seed._GENERATORS.acquire(timeout=10) else 1)
            return os.waitpid(child, 0)[1]

        assert pool.submit(free_in_child).result(timeout=30) == 0


@pytest.mark.parametrize("warm_start", [True, False])
def test_frozen_layers_stay_where_a_network_teaches_itself(digits, small, warm_start):
    X, y = digits[0][:200], digits[1][:200]
    model = CNNClassifier(**small, batch_norm=True, warm_start=True).fit(X, y)
    norm = next(m for m in model.net_.module_.modules() if hasattr(m, "running_mean"))
    before = norm.running_mean.clone()
    if warm_start:
        model.fit(X, y, teacher=model, freeze_layers=1)
        assert torch.equal(norm.running_mean, before)
    else:
        model.set_params(warm_start=False).fit(X, y, teacher=model)
        assert model.n_epochs_ == small["max_epochs"]


def test_a_network_may_go_on_from_its_own_answers(digits, small):
    X, y = digits[0][:200], digits[1][:200]
    model = CNNClassifier(**small, batch_norm=True, warm_start=True).fit(X, y)
    norm = next(m for m in model.net_.module_.modules() if hasattr(m, "running_mean"))
    before = norm.running_mean.clone()
    model.fit(X, y, teacher=model)
    assert not torch.equal(norm.running_mean, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, X, y: m.predict(X[0]), r"got one of them; .* X\[np.newaxis\]"),
        (
            lambda m, X, y: CNNClassifier(max_epochs=1).fit(
                X, y, validation_split=KFold(3).split(X)
            ),
            r"take one, next\(splitter.split\(X\)\)",
        ),
        (
            lambda m, X, y: augment_cells(np.where(y[:, None, None] == 0, np.nan, X)),
            "images: expected finite pixels, got NaN or infinity in 21 of 200 .first: ",
        ),
        (lambda m, X, y: augment_cells(np.stack([X, X], 3)), "in colour, got .200, 8"),
        (lambda m, X, y: plot_augmentation(X[0]), r"images: .* got float32 \(8, 8\)"),
    ],
)
def test_odd_things_are_told(fitted, digits, call, message):
    with pytest.raises(TallyError, match=message):
        call(fitted, digits[0][:200], digits[1][:200])


def test_views_are_augmented_and_epochs_may_be_drawn_from_anywhere(digits):
    X = digits[0][:4]
    as_they_are = augment_cells(X, random_state=0)
    assert (augment_cells(X[:, ::-1][:, ::-1], random_state=0) == as_they_are).all()
    assert (augment_cells(X.astype(">f4"), random_state=0) == as_they_are).all()
    assert paper_param_grid(epochs=(n for n in (1, 2)))["max_epochs"] == [1, 2]
