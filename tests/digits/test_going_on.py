"""Validation by groups, warm start, partial_fit."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sktally import CNNClassifier, load_model, save_model
from sktally.digits._split import grouped_split
from sktally.exceptions import TallyError


def test_whole_groups_are_held_out():
    groups = np.repeat(np.arange(12), [1, 9, 4, 6, 2, 8, 10, 3, 7, 5, 11, 4])
    for seed in range(20):
        train, valid = grouped_split(groups, 0.2, seed)
        assert sorted([*train, *valid]) == list(range(len(groups)))
        assert not set(groups[train]) & set(groups[valid])
        assert 0.05 < len(valid) / len(groups) < 0.35
    assert len({tuple(grouped_split(groups, 0.2, seed)[1]) for seed in range(9)}) > 1
    train, valid = grouped_split(np.array([0, 0, 0, 1]), 0.99, 0)
    assert len(train) and len(valid)


def test_early_stopping_by_groups(digits, small):
    X, y = digits
    writer = np.array([*"abcdefghij"])[np.arange(300) // 30]
    settings = {**small, "early_stopping": True, "validation_fraction": 0.2}
    model = CNNClassifier(**settings).fit(X[:300], y[:300], groups=writer)
    assert model.class_shares_.n_samples.sum() == 240  # two writers of 30 held out
    plain = Pipeline([("same", FunctionTransformer()), ("cnn", clone(model))])
    plain.fit(X[:300], y[:300], cnn__groups=writer)
    assert (plain.predict(X[300:340]) == model.predict(X[300:340])).all()
    whole = clone(model).set_params(early_stopping=False)
    whole.fit(X[:300], y[:300], groups=writer)
    assert whole.class_shares_.n_samples.sum() == 300


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"groups": [1, 2]}, r"groups: expected 20 of them, .* got shape \(2,\)"),
        ({"groups": ["a", None] * 10}, "groups: .* 10 are missing .None or NaN.; name"),
        ({"groups": np.ones(20)}, "groups: expected at least 2 groups .* got 1; name"),
        (
            {
                "groups": np.arange(20) // 4,
                "validation_split": (np.arange(10), np.arange(10, 20)),
            },
            r"samples of 1 groups are on both sides \(first: sample 8\); a group may",
        ),
    ],
)
def test_wrong_groups(params, message):
    X, y = np.zeros((20, 8, 8)), np.arange(20) % 2
    model = CNNClassifier(filters=(2,), max_epochs=1, early_stopping=True)
    with pytest.raises(TallyError, match=message):
        model.fit(X, y, **params)


def test_warm_start_goes_on(digits, small):
    X, y = digits
    model = CNNClassifier(**{**small, "max_epochs": 3}, warm_start=True)
    model.fit(X[:600], y[:600])
    first, scale = model.history_.copy(), model.pixel_scale_
    before = model.net_.module_.conv1.weight.detach().clone()
    model.fit(X[600:900] * 1.5, y[600:900])
    assert model.history_.epoch.tolist() == [1, 2, 3, 4, 5, 6]
    assert model.n_epochs_ == 6
    assert model.history_.train_loss[:3].tolist() == first.train_loss.tolist()
    assert model.history_.train_loss[3] < first.train_loss[0] - 0.5
    assert model.pixel_scale_ == scale
    assert not torch.equal(model.net_.module_.conv1.weight, before)
    model.set_params(warm_start=False).fit(X[:600], y[:600])
    assert np.allclose(model.history_.train_loss, first.train_loss) and (
        model.n_epochs_ == 3
    )


def test_warm_start_needs_not_every_class_again(digits, small):
    X, y = digits
    model = CNNClassifier(**{**small, "max_epochs": 1}, warm_start=True)
    model.fit(X[:200], y[:200]).fit(X[:5], y[:5])
    assert len(model.classes_) == 10


def test_gradual_unfreezing(digits, fitted):
    X, y = digits
    y = y.astype(str)
    model = clone(fitted).set_params(
        pretrained=FrozenEstimator(fitted), warm_start=True, max_epochs=1
    )
    model.fit(X[:100], y[:100], freeze_layers=3)
    weights = [fitted.net_.module_.conv2.weight, model.net_.module_.conv2.weight]
    assert torch.equal(*weights)
    report = model.transfer_report_
    model.fit(X[:100], y[:100], freeze_layers=1)
    assert not torch.equal(*weights) and model.transfer_report_ is report
    assert torch.equal(
        fitted.net_.module_.conv1.weight, model.net_.module_.conv1.weight
    )
    # what was learnt can be frozen, wherever it was learnt
    model.set_params(pretrained=None).fit(X[:100], y[:100], freeze_layers=2)
    with pytest.raises(TallyError, match="expected 0 to 3"):
        model.fit(X[:100], y[:100], freeze_layers=4)


def test_partial_fit_learns_from_parts(digits, small):
    X, y = digits
    settings = {**small, "batch_norm": True, "schedule": "one-cycle"}
    model = CNNClassifier(**settings, early_stopping=True)
    for start in [*range(0, 1000, 100)] * 3:
        part = slice(start, start + 100)
        model.partial_fit(X[part], y[part], classes=range(10))
    assert model.score(X[1000:], y[1000:]) > 0.85
    assert model.n_epochs_ == 30 and model.history_.epoch.iloc[-1] == 30
    rates = {group["lr"] for group in model.net_.optimizer_.param_groups}
    assert rates == {0.01}
    assert model.class_shares_.n_samples.sum() == 100


def test_partial_fit_keeps_the_optimizers_means(digits, small):
    X, y = digits
    model = CNNClassifier(**small, classes=range(10))
    for _ in range(3):
        model.partial_fit(X[:60], y[:60])
    weight = model.net_.module_.conv1.weight
    assert model.net_.optimizer_.state[weight]["step"] == 3
    model.set_params(learning_rate=0.5).partial_fit(X[:60], y[:60])
    assert model.net_.optimizer_.state[weight]["step"] == 4
    assert model.net_.optimizer_.param_groups[0]["lr"] == 0.5
    model.set_params(optimizer="sgd", learning_rate=0.01).partial_fit(X[:60], y[:60])
    assert "step" not in model.net_.optimizer_.state[weight]


def test_partial_fit_after_fit_pickle_and_file(digits, fitted, tmp_path):
    X, y = digits
    y = y.astype(str)
    pickled = pickle.loads(pickle.dumps(fitted))
    loaded = load_model(save_model(fitted, tmp_path / "m"))
    for model in (pickled, loaded):
        model.partial_fit(X[:64], y[:64])
        assert model.n_epochs_ == 5 and model.score(X[1000:], y[1000:]) > 0.8
    one, two = (m.net_.module_.conv1.weight for m in (pickled, loaded))
    assert torch.equal(one, two)
    assert not torch.equal(one, fitted.net_.module_.conv1.weight)


def test_partial_fit_is_seeded_and_draws_anew(digits, small):
    X, y = digits
    one, two = (CNNClassifier(**small, classes=range(10)) for _ in range(2))
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    for model in (one, two):
        model.partial_fit(X[:100], y[:100]).partial_fit(X[:100], y[:100])
    assert torch.equal(before, torch.random.get_rng_state())
    assert (one.predict_proba(X[:9]) == two.predict_proba(X[:9])).all()


def test_partial_fit_takes_weights(digits, small):
    X, y = digits
    model = CNNClassifier(**small, class_weight={3: 2.0})
    weights = (y[:100] != 4).astype(float)
    model.partial_fit(X[:100], y[:100], classes=range(10), sample_weight=weights)
    assert model.class_shares_.n_samples[4] == 0


def test_what_training_cannot_go_on_from(digits, fitted):
    X, y = digits
    y = y.astype(str)
    model = pickle.loads(pickle.dumps(fitted)).set_params(warm_start=True)
    few = X[:20], y[:20]
    with pytest.raises(TallyError, match=r"hidden changed .*hidden: \(32,\) to \(9,\)"):
        clone_of = pickle.loads(pickle.dumps(model)).set_params(hidden=(9,))
        clone_of.fit(*few)
    with pytest.raises(TallyError, match=r"architecture, .* changed since the network"):
        clone_of.set_params(architecture="resnet18", filters=(64, 96, 112))
        clone_of.set_params(hidden=(150, 70)).fit(*few)
    with pytest.raises(TallyError, match=r"expected images of shape \(8, 8\) as in"):
        model.fit(X[:20, 1:], y[:20])
    with pytest.raises(TallyError, match=r"labels among .* got also \['x'\]"):
        model.fit(X[:2], ["x", "1"])
    with pytest.raises(TallyError, match="classes: expected .*that training goes on"):
        model.partial_fit(*few, classes=["0", "1"])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X[:20], y[:19])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "classes: expected all labels in the first call of partial_fit, got None"),
        ({"class_weight": "balanced"}, "class_weight='balanced' needs all samples at"),
        ({"sampling": "balanced"}, "sampling='balanced' needs all samples at once"),
    ],
)
def test_wrong_partial_fit(digits, options, message):
    X, y = digits
    with pytest.raises(TallyError, match=message):
        CNNClassifier(**options).partial_fit(X[:20], y[:20])


def test_warm_start_is_yes_or_no(digits):
    X, y = digits
    with pytest.raises(
        TallyError, match="warm_start: expected one of True, False, got"
    ):
        CNNClassifier(warm_start="yes").fit(X[:20], y[:20])


def test_batch_norm_cannot_take_one_sample(digits):
    X, y = digits
    model = CNNClassifier(filters=(2,), batch_norm=True, batch_size=2, max_epochs=1)
    with pytest.raises(TallyError, match="batch_size: 3 samples in batches of up to 2"):
        model.fit(X[:3], y[:3])
    model.set_params(batch_size=3).fit(X[:3], y[:3])
