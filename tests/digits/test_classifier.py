import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from sktally import CNNClassifier
from sktally.exceptions import TallyError

TWELVE = [*"0123456789", "x", "_"]


def test_default_is_the_papers_tuned_network(digits):
    X, y = digits
    module = CNNClassifier(max_epochs=1).fit(X[:60], y[:60]).net_.module_
    shapes = [tuple(p.shape) for n, p in module.named_parameters() if "weight" in n]
    assert shapes == [
        (64, 1, 3, 3),
        (96, 64, 3, 3),
        (112, 96, 3, 3),
        (150, 112),
        (70, 150),
        (10, 70),
    ]
    assert CNNClassifier().max_epochs == 20 and CNNClassifier().dropout == 0.1


def test_learns_digits(digits, small):
    X, y = digits
    model = CNNClassifier(**{**small, "max_epochs": 8}).fit(X[:1200], y[:1200])
    assert model.score(X[1200:], y[1200:]) > 0.9  # a forest: 0.92
    assert list(model.history_.columns) == [
        "epoch",
        "train_loss",
        "train_accuracy",
        "seconds",
    ]
    assert model.n_epochs_ == len(model.history_) == 8
    assert model.history_.train_loss.iloc[-1] < model.history_.train_loss.iloc[0] / 2


@pytest.mark.parametrize(
    "convert",
    [
        lambda y: y,
        lambda y: y.astype(np.int32),
        lambda y: y.astype(str),
        lambda y: y.astype(str).astype(object),
        lambda y: y * 3 + 2,
        lambda y: y.astype(float),
        lambda y: pd.Series(y.astype(str)),
        lambda y: y > 4,
    ],
)
def test_labels_come_back_as_given(digits, small, convert):
    X, y = digits
    labels = convert(y[:200])
    model = CNNClassifier(**{**small, "max_epochs": 1}).fit(X[:200], labels)
    assert model.classes_.tolist() == np.unique(np.asarray(labels)).tolist()
    assert set(model.predict(X[:50])) <= set(np.asarray(labels))
    assert model.predict_proba(X[:50]).shape == (50, len(model.classes_))


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((8, 8), (8, 8)),
        ((64,), (8, 8)),
        ((7,), (1, 7)),
        ((2, 3), (2, 3)),
        ((1, 1), (1, 1)),
        ((9, 30), (9, 30)),
        ((8, 8, 1), (8, 8)),
        ((12, 10, 3), (12, 10, 3)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_shapes_and_dtypes(shape, image_shape, dtype):
    rng = np.random.default_rng(0)
    X = (rng.random((40, *shape)) * 200).astype(dtype)
    model = CNNClassifier(filters=(4, 4), hidden=(), max_epochs=1)
    proba = model.fit(X, np.arange(40) % 3).predict_proba(X)
    assert proba.shape == (40, 3) and proba.dtype == np.float32
    assert np.allclose(proba.sum(1), 1, atol=1e-6)
    assert model.image_shape_ == image_shape


def test_flat_rows_and_images_are_the_same_cells(digits, small):
    X, y = digits
    model = CNNClassifier(**{**small, "max_epochs": 1}).fit(X[:200], y[:200])
    flat = CNNClassifier(**{**small, "max_epochs": 1})
    flat.fit(X[:200].reshape(200, -1), y[:200])
    expected = model.predict_proba(X[:30])
    rows = X[:30].reshape(30, -1)
    assert (flat.predict_proba(rows) == expected).all()
    assert (model.predict_proba(rows) == expected).all()
    assert (flat.predict_proba(X[:30]) == expected).all()


def test_grey_value_range_does_not_matter(digits, small):
    X, y = digits
    base = CNNClassifier(**small).fit(X[:300], y[:300])
    shifted = CNNClassifier(**small).fit(X[:300] * 8 + 64, y[:300])
    expected = base.predict_proba(X[300:400])
    got = shifted.predict_proba(X[300:400] * 8 + 64)
    assert np.allclose(expected, got, atol=1e-6)
    assert (base.pixel_offset_, shifted.pixel_offset_) == (0.0, 64.0) or (
        shifted.pixel_offset_ == base.pixel_offset_ * 8 + 64
    )


def test_constant_images_train(small):
    X = np.full((40, 8, 8), 3.0)
    model = CNNClassifier(**small).fit(X, np.arange(40) % 2)
    assert np.isfinite(model.predict_proba(X)).all()


def test_same_seed_same_weights_and_global_seed_untouched(digits, small):
    X, y = digits
    settings = {**small, "max_epochs": 1, "augment": "tally"}
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = CNNClassifier(**settings).fit(X[:200], y[:200]).predict_proba(X[:20])
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(6)
    two = CNNClassifier(**settings).fit(X[:200], y[:200]).predict_proba(X[:20])
    other = CNNClassifier(**{**settings, "random_state": 1}).fit(X[:200], y[:200])
    assert (one == two).all() and not (one == other.predict_proba(X[:20])).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_company_of_a_cell_does_not_matter(digits, small, precision):
    X, y = digits
    settings = {**small, "max_epochs": 1, "precision": precision}
    model = CNNClassifier(**settings).fit(X[:200], y[:200])
    proba = model.predict_proba(X[:100])
    order = np.random.default_rng(0).permutation(100)
    assert np.allclose(model.predict_proba(X[:100][order]), proba[order], atol=1e-7)
    alone = np.vstack([model.predict_proba(X[i : i + 1]) for i in range(20)])
    assert np.allclose(alone, proba[:20], atol=1e-7)


def test_bfloat16_reads_as_float32(digits, small):
    X, y = digits
    settings = {**small, "max_epochs": 6}
    answers = [
        CNNClassifier(**settings, precision=precision)
        .fit(X[:1000], y[:1000])
        .score(X[1000:], y[1000:])
        for precision in ("float32", "bfloat16")
    ]
    assert abs(answers[0] - answers[1]) < 0.03 and min(answers) > 0.85


def test_classes_keep_their_columns(digits, small):
    X, y = digits
    keep = y[:300] != 7
    model = CNNClassifier(**small, classes=TWELVE)
    model.fit(X[:300][keep], y[:300][keep].astype(str))
    assert model.classes_.tolist() == sorted(TWELVE)
    proba = model.predict_proba(X[:20])
    assert proba.shape == (20, 12)
    assert proba[:, [7, 10, 11]].max() < 0.2


def test_one_class_fits_where_classes_are_named(digits, small):
    X, _ = digits
    model = CNNClassifier(**small, classes=["0", "1"]).fit(X[:20], ["1"] * 20)
    assert (model.predict(X[:5]) == "1").all()


def test_label_sets_with_one_class_each_are_labels(digits, small):
    X, y = digits
    names = [str(c) for c in range(9, -1, -1)]  # not in sorted order, on purpose
    sets = y[:300, None].astype(str) == np.array(names)
    plain = CNNClassifier(**small, classes=names)
    plain.fit(X[:300], y[:300].astype(str))
    model = CNNClassifier(**small, classes=names)
    model.fit(X[:300], np.full(300, "0"), label_sets=sets)
    expected = plain.predict_proba(X[:100])
    assert np.allclose(model.predict_proba(X[:100]), expected, atol=0.02)


def test_label_sets_leave_the_choice_open(digits, small):
    # 0 and 1 are never told apart in the sets: their sum is learnt all the same
    X, y = digits
    names = [str(c) for c in range(10)]
    sets = np.eye(10, dtype=bool)[y[:1000]]
    sets[y[:1000] < 2, :2] = True
    model = CNNClassifier(**{**small, "max_epochs": 8}, classes=names)
    model.fit(X[:1000], y[:1000].astype(str), label_sets=sets)
    proba = model.predict_proba(X[1000:])
    low = y[1000:] < 2
    assert (proba[:, :2].sum(1) > 0.5)[low].mean() > 0.85
    assert (proba[:, :2].sum(1) < 0.5)[~low].mean() > 0.9


def test_label_set_loss_known_answer():
    from sktally.digits._net import LabelSetLoss

    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]))
    sets = torch.tensor([[True, True, False], [False, False, True]])
    expected = -(np.log(0.8) + np.log(0.8)) / 2
    assert LabelSetLoss()(logits, sets).item() == pytest.approx(expected, abs=1e-6)
    codes = LabelSetLoss()(logits, torch.tensor([0, 2])).item()
    assert codes == pytest.approx(-(np.log(0.5) + np.log(0.8)) / 2, abs=1e-6)


def test_validation_split_fills_the_history(digits, small):
    X, y = digits
    split = (np.arange(300), np.arange(300, 400))
    model = CNNClassifier(**small).fit(X[:400], y[:400], validation_split=split)
    last = model.history_.iloc[-1]
    assert model.history_.columns[3:5].tolist() == ["valid_loss", "valid_accuracy"]
    assert last.valid_accuracy == pytest.approx(model.score(X[300:400], y[300:400]))
    # the held-out samples do not train: their labels may be anything
    wrong = np.r_[y[:300], (y[300:400] + 1) % 10]
    other = CNNClassifier(**small).fit(X[:400], wrong, validation_split=split)
    assert (other.predict_proba(X[:50]) == model.predict_proba(X[:50])).all()


def test_early_stopping_restores_the_best_weights(digits, small):
    X, y = digits
    split = (np.arange(200), np.arange(200, 400))
    settings = {**small, "max_epochs": 60, "early_stopping": True, "patience": 2}
    model = CNNClassifier(**settings).fit(X[:400], y[:400], validation_split=split)
    assert model.n_epochs_ < 60
    best = model.history_.valid_loss.idxmin()
    assert model.n_epochs_ == best + 3  # the best, numbered from 0, and two more
    proba = model.predict_proba(X[200:400])
    loss = -np.log(proba[np.arange(200), y[200:400]]).mean()
    assert loss == pytest.approx(model.history_.valid_loss[best], abs=0.01)


def test_early_stopping_by_itself_holds_out_each_class(digits, small):
    from sktally.digits._split import stratified_split

    _, y = digits
    train, valid = stratified_split(y[:1000], 0.1, 0)
    assert len(np.intersect1d(train, valid)) == 0 and len(train) + len(valid) == 1000
    assert (np.abs(np.bincount(y[valid]) - 10) <= 1).all()
    train, valid = stratified_split(np.array([0] * 30 + [1]), 0.1, 0)
    assert 30 in train and len(valid) >= 3
    X, y = digits
    model = CNNClassifier(**small, early_stopping=True).fit(X[:300], y[:300])
    assert "valid_loss" in model.history_


def test_pickle_joblib_and_clone(fitted, digits, tmp_path):
    X, _ = digits
    expected = fitted.predict_proba(X[:50])
    raw = pickle.dumps(fitted)
    assert (pickle.loads(raw).predict_proba(X[:50]) == expected).all()
    state = fitted.__getstate__()
    assert "net_" not in state
    assert all(isinstance(w, np.ndarray) for w in state["_weights"].values())
    joblib.dump(fitted, tmp_path / "m.joblib")
    again = joblib.load(tmp_path / "m.joblib")
    assert (again.predict_proba(X[:50]) == expected).all()
    assert (
        pickle.loads(pickle.dumps(again)).predict(X[:9]) == again.predict(X[:9])
    ).all()
    fresh = clone(fitted)
    assert not hasattr(fresh, "net_")
    with pytest.raises(NotFittedError):
        fresh.predict(X[:2])


def test_settings_changed_after_fit_do_not_change_predictions(fitted, digits):
    X, _ = digits
    again = pickle.loads(pickle.dumps(fitted)).set_params(filters=(3,), hidden=())
    moved = pickle.loads(pickle.dumps(again))
    assert (moved.predict_proba(X[:20]) == fitted.predict_proba(X[:20])).all()


def test_read_only_input_is_not_copied_or_changed(digits, small):
    X, y = digits
    X = X[:100].copy()
    X.setflags(write=False)
    before = X.copy()
    CNNClassifier(**{**small, "max_epochs": 1}).fit(X, y[:100]).predict(X)
    assert (X == before).all()


def test_fitted_net_holds_no_data(fitted):
    assert fitted.net_.valid_cells is None
    assert len(pickle.dumps(fitted)) < 100_000


def test_pipeline_and_cross_validation(digits, small):
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(MinMaxScaler(), CNNClassifier(**small))
    assert cross_val_score(model, X[:600], y[:600], cv=2).min() > 0.5
    proba = cross_val_predict(
        CNNClassifier(**{**small, "max_epochs": 1}),
        X[:300],
        y[:300],
        cv=GroupKFold(2),
        groups=np.arange(300) // 30,
        method="predict_proba",
    )
    assert proba.shape == (300, 10)


def test_grid_search_in_two_processes(digits, small):
    X, y = digits
    grid = {"dropout": [0.0, 0.2]}
    search = GridSearchCV(
        CNNClassifier(**{**small, "max_epochs": 2}), grid, cv=2, n_jobs=2
    )
    search.fit(X[:400], y[:400])
    assert len(search.cv_results_["mean_test_score"]) == 2
    assert search.best_score_ > 0.3


def test_fit_parameters_route_through_search(digits, small, fitted):
    X, y = digits
    y = y[:200].astype(str)
    names = [str(c) for c in range(10)]
    sets = y[:, None] == np.array(names)
    settings = {**small, "max_epochs": 1, "classes": names}
    model = CNNClassifier(**settings, pretrained=FrozenEstimator(fitted))
    plain = Pipeline([("same", FunctionTransformer()), ("cnn", model)])
    search = GridSearchCV(plain, {"cnn__dropout": [0.1]}, cv=2)
    search.fit(X[:200], y, cnn__freeze_layers=1, cnn__label_sets=sets)
    weight = fitted.net_.module_.conv1.weight
    best = search.best_estimator_["cnn"].net_.module_
    assert torch.equal(best.conv1.weight, weight)
    assert not torch.equal(best.conv2.weight, fitted.net_.module_.conv2.weight)
    with config_context(enable_metadata_routing=True):
        asked = clone(model).set_fit_request(freeze_layers=True, label_sets=True)
        routed = Pipeline([("same", FunctionTransformer()), ("cnn", asked)])
        search = GridSearchCV(routed, {"cnn__dropout": [0.1]}, cv=2)
        search.fit(X[:200], y, freeze_layers=2, label_sets=sets)
        best = search.best_estimator_["cnn"].net_.module_
        assert torch.equal(best.conv2.weight, fitted.net_.module_.conv2.weight)


def test_progress_bar_on_standard_error(digits, small, capsys):
    X, y = digits
    CNNClassifier(**{**small, "verbose": 1}).fit(X[:50], y[:50])
    shown = capsys.readouterr()
    assert "4/4" in shown.err and "train_loss" in shown.err and shown.out == ""
    CNNClassifier(**small).fit(X[:50], y[:50])
    assert capsys.readouterr().err == ""


GOOD = np.zeros((20, 8, 8), np.float32)
TWO = np.arange(20) % 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": ()}, r"filters: expected a tuple of 1 to 10 integers, got \(\)"),
        ({"filters": 64}, "filters: expected a tuple of 1 to 10 integers, got 64"),
        ({"filters": (64, 0)}, r"filters\[1\]: expected an integer in \[1, 65536\]"),
        ({"kernel_size": 4}, "kernel_size: expected an odd number, got 4"),
        ({"hidden": (2.5,)}, r"hidden\[0\]: expected an integer, got 2.5"),
        ({"dropout": 1.0}, r"dropout: expected a number in \[0, 0.99\], got 1.0"),
        ({"batch_norm": "yes"}, "batch_norm: expected True or False, got 'yes'"),
        ({"max_epochs": 0}, "max_epochs: expected an integer in"),
        ({"learning_rate": -1}, "learning_rate: expected a number in"),
        ({"batch_size": 1, "batch_norm": True}, r"batch_size: .* in \[2, 10000000\]"),
        ({"weight_decay": np.nan}, "weight_decay: expected a number, got nan"),
        ({"schedule": "square"}, "schedule: expected one of None, 'one-cycle'"),
        ({"precision": "half"}, "precision: expected one of 'auto', 'float32'"),
        ({"early_stopping": 3}, "early_stopping: expected one of True, False, got 3"),
        ({"validation_fraction": 1.5}, "validation_fraction: expected a number in"),
        ({"patience": 0}, "patience: expected an integer in"),
        ({"device": "tpu"}, "device: expected 'auto' or one of cpu.*got 'tpu'"),
        ({"device": "cuda:99"}, "device: expected .* on this machine, got 'cuda:99'"),
        ({"classes": ["a"]}, "classes: expected a list of at least 2 different"),
        ({"classes": [0, 1, 1]}, "classes: expected a list of at least 2 different"),
        ({"classes": [1, 2]}, r"y: expected labels among classes=\[1, 2\], got also"),
        ({"augment": {"flip": 1}}, "flip_vertical, got 'flip'"),
        ({"freeze_layers": 1}, "freeze_layers=1: frozen layers need trained weights"),
        ({"pretrained": 3}, "pretrained: expected the path of a saved model"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(TallyError, match=message):
        CNNClassifier(**{"filters": (4,), "max_epochs": 1, **options}).fit(GOOD, TWO)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (GOOD, np.zeros(20), "y: expected labels of at least 2 classes, got 1 class"),
        (GOOD, TWO[:7], "inconsistent numbers of samples"),
        (GOOD, TWO + 0.5, "Unknown label type"),
        (GOOD * np.nan, TWO, "contains NaN"),
        (GOOD[:0], TWO[:0], "0 sample"),
        (GOOD[0, 0], TWO, "Expected 2D array, got 1D"),
        (np.zeros((20, 8, 8, 2)), TWO, r"colour images .* got shape \(20, 8, 8, 2\)"),
        (np.zeros((20, 3, 8, 8)), TWO, r"move the channels last with X.transpose"),
        (np.zeros((20, 2, 3, 8, 8)), TWO, "X: expected grey images"),
        (
            [np.zeros((8, 8)), np.zeros((9, 8))],
            [0, 1],
            r"X: expected images of one size, got several \(such as \[\(8, 8\), \(9",
        ),
    ],
)
def test_wrong_data(X, y, message):
    with pytest.raises(ValueError, match=message):
        CNNClassifier(filters=(4,), max_epochs=1).fit(X, y)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 9, 9)), r"X: expected images of shape \(8, 8\) as in fit"),
        (
            np.zeros((2, 65)),
            r"X: expected images of shape \(8, 8\) as in fit, got \(1,",
        ),
        (np.zeros((2, 8, 8, 3)), r"X: expected images of shape \(8, 8\) as in fit"),
    ],
)
def test_wrong_images_to_predict(fitted, X, message):
    with pytest.raises(TallyError, match=message):
        fitted.predict(X)


EYE = np.eye(2, dtype=bool)[TWO]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"label_sets": EYE.astype(int)}, "label_sets: expected bool .* got int"),
        ({"label_sets": EYE[:3]}, r"= \(20, 2\), got bool \(3, 2\)"),
        ({"label_sets": EYE & False}, "20 samples admit no class .first: sample 0"),
        ({"validation_split": 0.2}, "validation_split: expected a pair .train"),
        ({"validation_split": (TWO > 0, TWO < 1)}, "np.flatnonzero"),
        ({"validation_split": ([0], [20])}, r"validation indices in 0..19, at least"),
        ({"validation_split": (TWO, TWO[:0])}, "validation_split: expected .* got "),
        ({"validation_split": ([0, 1], [1, 2])}, "1 samples are on both sides"),
        ({"freeze_layers": -1}, "freeze_layers: expected an integer in"),
    ],
)
def test_wrong_fit_parameters(params, message):
    model = CNNClassifier(filters=(4,), max_epochs=1, classes=[0, 1])
    with pytest.raises(TallyError, match=message):
        model.fit(GOOD, TWO, **params)


def test_label_sets_need_named_classes():
    with pytest.raises(TallyError, match="columns is that of classes, which is None"):
        CNNClassifier().fit(GOOD, TWO, label_sets=EYE)


def test_early_stopping_of_one_sample():
    model = CNNClassifier(classes=[0, 1], early_stopping=True)
    with pytest.raises(TallyError, match="at least 2 samples to hold one out, got 1"):
        model.fit(GOOD[:1], [0])


def test_hidden_features_are_what_the_output_layer_is_given(fitted, digits):
    X = digits[0][:101]
    features = fitted.hidden_features(X)
    assert features.shape == (101, 32) and features.dtype == np.float32
    assert (features >= 0).all()  # after ReLU
    output = fitted.net_.module_.output
    logits = features @ output.weight.detach().numpy().T + output.bias.detach().numpy()
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(proba, fitted.predict_proba(X), atol=1e-5)


def test_hidden_features_do_not_depend_on_company(fitted, digits):
    X = digits[0][:101]
    features = fitted.hidden_features(X)
    assert np.array_equal(fitted.hidden_features(X[::-1]), features[::-1])
    assert np.array_equal(fitted.hidden_features(X[7:8]), features[7:8])
    assert np.array_equal(fitted.hidden_features(X.reshape(101, 64)), features)
    assert not fitted.net_.module_.output._forward_pre_hooks  # nothing left behind


class OutputFirst(torch.nn.Module):
    """Defines a layer last that it never calls."""

    def __init__(self, n_classes, height, width):
        super().__init__()
        self.output = torch.nn.Linear(height * width, n_classes)
        self.idle = torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.output(x.flatten(1))


def test_hidden_features_errors(digits, fitted):
    X, y = digits
    model = CNNClassifier(architecture=OutputFirst, max_epochs=1).fit(X[:60], y[:60])
    with pytest.raises(TallyError, match="once for each batch .* got 0 calls; define"):
        model.hidden_features(X[:2])
    with pytest.raises(NotFittedError):
        CNNClassifier().hidden_features(X[:2])
    with pytest.raises(TallyError, match=r"expected images of shape \(8, 8\)"):
        fitted.hidden_features(np.zeros((2, 9, 9)))
