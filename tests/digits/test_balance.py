"""Weights of samples and classes, balanced sampling, and the report of shares."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sktally import CNNClassifier
from sktally.digits._balance import balance, check_sample_weight
from sktally.digits._feed import CellBatches, CellDataset
from sktally.digits._net import LabelSetLoss
from sktally.exceptions import TallyError

CODES = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
ROWS = np.arange(9)


def shares(**settings):
    return balance(CODES, ROWS, ["a", "b", "c"], **settings).shares


def test_report_of_shares():
    report = shares()
    assert report["class"].tolist() == ["a", "b", "c"]
    assert report.n_samples.tolist() == [6, 2, 1] and report.n_samples.dtype == int
    assert np.allclose(report.share, [6 / 9, 2 / 9, 1 / 9])
    assert np.allclose(report.share_in_training, report.share)
    for settings in ({"class_weight": "balanced"}, {"sampling": "balanced"}):
        report = shares(**settings)
        assert np.allclose(report.share, [6 / 9, 2 / 9, 1 / 9])
        assert np.allclose(report.share_in_training, 1 / 3)
    report = shares(class_weight={"a": 0.5, "c": 3})
    assert np.allclose(report.share_in_training, [3 / 8, 2 / 8, 3 / 8])
    report = shares(class_weight={"a": 2}, sampling="balanced")
    assert np.allclose(report.share_in_training, [2 / 4, 1 / 4, 1 / 4])


def test_weights_multiply_and_have_mean_one():
    given = np.array([1, 1, 1, 1, 0, 2, 4, 2, 3.0])
    plan = balance(CODES, ROWS, [0, 1, 2], sample_weight=given, class_weight={1: 2.0})
    assert plan.rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]  # none of weight 0
    assert plan.weights.dtype == np.float32
    assert plan.weights[plan.rows].mean() == pytest.approx(1)
    assert plan.weights[6] / plan.weights[0] == pytest.approx(8)
    # sample weights are counted when classes are balanced, as repeats would be
    plan = balance(CODES, ROWS, [0, 1, 2], sample_weight=given, class_weight="balanced")
    sums = [plan.weights[CODES == code].sum() for code in range(3)]
    assert np.allclose(sums, sums[0])


def test_nothing_asked_costs_nothing():
    plan = balance(CODES, ROWS[:7], [0, 1, 2])
    assert plan.weights is None and plan.chances is None
    assert plan.shares.n_samples.tolist() == [6, 1, 0]
    assert check_sample_weight(None, 9) is None
    assert check_sample_weight(np.ones(9), 9) is None
    assert check_sample_weight(2, 3).tolist() == [2, 2, 2]


def test_label_sets_count_for_each_of_their_classes():
    sets = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=bool)
    report = balance(sets, np.arange(4), [*"abc"]).shares
    assert report.n_samples.tolist() == [2, 1, 1]
    plan = balance(sets, np.arange(4), [*"abc"], class_weight={"a": 3})
    assert np.allclose(plan.weights / plan.weights[3], [3, 2, 2, 1])
    plan = balance(sets, np.arange(4), [*"abc"], sampling="balanced")
    assert np.allclose(plan.chances / plan.chances[3], [0.5, 0.75, 0.75, 1])


def test_balanced_sampling_draws_classes_alike():
    plan = balance(np.repeat([0, 1], [950, 50]), np.arange(1000), [0, 1], **BALANCED)
    images = np.zeros((1000, 1, 1), np.float32)
    codes = np.repeat([0, 1], [950, 50])
    data = CellDataset(images, codes, plan.rows, chances=plan.chances)
    torch.manual_seed(0)
    batches = CellBatches(data, batch_size=100, shuffle=True)
    drawn = torch.cat([y for _, y in batches])
    assert len(drawn) == 1000 and abs(drawn.float().mean() - 0.5) < 0.05


BALANCED = {"sampling": "balanced"}


def test_weighted_loss_known_answer():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]))
    weight = torch.tensor([0.5, 1.5])
    got = LabelSetLoss()(logits, (torch.tensor([0, 2]), weight)).item()
    assert got == pytest.approx(-(0.5 * np.log(0.5) + 1.5 * np.log(0.8)) / 2, abs=1e-6)
    sets = torch.tensor([[True, True, False], [False, False, True]])
    got = LabelSetLoss()(logits, (sets, weight)).item()
    assert got == pytest.approx(-(0.5 * np.log(0.8) + 1.5 * np.log(0.8)) / 2, abs=1e-6)


@pytest.fixture(scope="module")
def rare(digits):
    """Digits 3 and 8, of which 8 is rare in training."""
    X, y = digits
    keep = np.flatnonzero((y == 3) | (y == 8))
    train = keep[:200]
    train = train[(y[train] == 3) | (np.arange(200) % 6 == 0)]
    return X[train], y[train], X[keep[200:]], y[keep[200:]]


@pytest.mark.parametrize(
    "options", [{"class_weight": "balanced"}, BALANCED, {"class_weight": {8: 8.0}}]
)
def test_rare_class_is_found_more_often(rare, small, options):
    X, y, X_test, y_test = rare
    small = {**small, "batch_size": 20, "max_epochs": 6}
    found = [
        (CNNClassifier(**small, **given).fit(X, y).predict(X_test) == 8)
        for given in ({}, options)
    ]
    assert found[1].sum() > found[0].sum()
    assert (found[1] == (y_test == 8)).mean() > 0.7
    model = CNNClassifier(**small, **options).fit(X, y)
    assert isinstance(model.class_shares_, pd.DataFrame)
    assert model.class_shares_.n_samples.sum() == len(X)


STILL = {  # nothing is drawn but the first weights, and a batch holds all samples
    "dropout": 0.0,
    "batch_size": 1000,
    "precision": "float32",
    "optimizer": "sgd",
    "learning_rate": 0.05,
}


def test_weights_are_repeats_where_nothing_is_drawn(digits, small):
    X, y = digits
    weights = np.random.default_rng(0).integers(0, 4, 60)
    repeats = np.repeat(np.arange(60), weights)
    X = np.concatenate([X[:60], 16 - X[:60]])  # the same range of pixels either way
    y = np.concatenate([y[:60], y[:60]])
    settings = {**small, **STILL, "max_epochs": 6}
    split = (np.r_[:60], np.r_[60:120])
    weighted = CNNClassifier(**settings)
    given = np.r_[weights, np.ones(60)]
    weighted.fit(X, y, sample_weight=given, validation_split=split)
    repeated = CNNClassifier(**settings)
    split = (repeats, np.r_[60:120])
    repeated.fit(X, y, validation_split=split)
    got, expected = (m.predict_proba(X[:60]) for m in (weighted, repeated))
    assert np.allclose(got, expected, atol=1e-4)
    ours, theirs = (m.history_ for m in (weighted, repeated))
    assert np.allclose(ours.train_loss, theirs.train_loss, atol=1e-4)
    assert np.allclose(ours.valid_loss, theirs.valid_loss, atol=1e-4)
    plain = CNNClassifier(**settings).fit(X, y, validation_split=(np.r_[:60], split[1]))
    assert not np.allclose(plain.predict_proba(X[:60]), expected, atol=1e-2)


def test_only_ratios_of_weights_matter(digits, small):
    X, y = digits
    weights = np.random.default_rng(0).random(100)
    settings = {**small, "max_epochs": 1}
    one, two, even = (
        CNNClassifier(**settings)
        .fit(X[:100], y[:100], sample_weight=w)
        .predict_proba(X[:9])
        for w in (weights, weights * 8, np.full(100, 3.0))
    )
    assert np.allclose(one, two, atol=1e-5)
    plain = CNNClassifier(**settings).fit(X[:100], y[:100]).predict_proba(X[:9])
    assert np.allclose(even, plain, atol=1e-5) and not np.allclose(
        one, plain, atol=1e-3
    )


def test_weight_zero_is_left_out(digits, small):
    X, y = digits
    wrong = np.where(np.arange(300) < 200, y[:300], (y[:300] + 1) % 10)
    weights = (np.arange(300) < 200).astype(float)
    settings = {**small, "max_epochs": 1}
    model = CNNClassifier(**settings).fit(X[:300], wrong, sample_weight=weights)
    split = (np.arange(200), np.arange(200, 300))
    other = CNNClassifier(**settings).fit(X[:300], y[:300], validation_split=split)
    assert np.allclose(
        model.predict_proba(X[:9]), other.predict_proba(X[:9]), atol=1e-5
    )


def test_label_sets_are_weighed_too(digits, small):
    X, y = digits
    sets = y[:300, None] == np.arange(10)
    sets[::3, 0] = True
    model = CNNClassifier(**{**small, "max_epochs": 8}, classes=list(range(10)))
    model.set_params(class_weight="balanced", sampling="balanced")
    model.fit(X[:300], y[:300], label_sets=sets, sample_weight=1 + y[:300] % 2)
    assert model.class_shares_.n_samples.sum() == pytest.approx(300)
    assert model.score(X[300:], y[300:]) > 0.5


def test_weights_route_through_a_pipeline(digits, small):
    X, y = digits
    weights = np.r_[np.ones(50), np.zeros(50)]
    model = CNNClassifier(**{**small, "max_epochs": 1})
    plain = Pipeline([("same", FunctionTransformer()), ("cnn", model)])
    plain.fit(X[:100], y[:100], cnn__sample_weight=weights)
    assert plain["cnn"].class_shares_.n_samples.sum() == 50
    with config_context(enable_metadata_routing=True):
        asked = model.set_fit_request(sample_weight=True)
        routed = Pipeline([("same", FunctionTransformer()), ("cnn", asked)])
        routed.fit(X[:100], y[:100], sample_weight=weights)
        assert routed["cnn"].class_shares_.n_samples.sum() == 50


ZERO = "sample_weight: every sample that trains has weight zero"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"sample_weight: expected 20 finite numbers .* got shape \(2,\)"),
        (np.full(20, -1), "20 numbers of which 20 are negative or missing"),
        ([np.nan] * 20, "20 are negative or missing"),
        (["a"] * 20, "negative or missing"),
        (np.zeros(20), ZERO),
        (0, ZERO),
    ],
)
def test_wrong_sample_weights(weights, message):
    X, y = np.zeros((20, 8, 8)), np.arange(20) % 2
    model = CNNClassifier(filters=(2,), hidden=(), max_epochs=1)
    with pytest.raises(TallyError, match=message):
        model.fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"class_weight": "even"},
            "class_weight: expected None, 'balanced', or a dict",
        ),
        ({"class_weight": {7: 1}}, r"labels among \[0, 1\], got also \[7\]"),
        ({"class_weight": {0: -1}}, r"class_weight\[0\]: expected a number in \[0, "),
        ({"class_weight": {0: 0, 1: 0}}, "class_weight: no class of weight above 0"),
        (
            {"sampling": "rare"},
            "sampling: expected one of None, 'balanced', got 'rare'",
        ),
    ],
)
def test_wrong_balance(options, message):
    X, y = np.zeros((20, 8, 8)), np.arange(20) % 2
    with pytest.raises(TallyError, match=message):
        CNNClassifier(filters=(2,), max_epochs=1, **options).fit(X, y)
