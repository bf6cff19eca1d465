"""What can be wrong with samples or with weights to start from, one error each."""

import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from sklearn.svm import SVC

from sktally import CNNClassifier, load_model, save_model
from sktally.exceptions import ModelFormatError, TallyError

RNG = np.random.default_rng(0)
X = RNG.random((40, 8, 8)).astype(np.float32)
Y = np.arange(40) % 4
TINY = {"filters": (4,), "hidden": (8,), "max_epochs": 1, "random_state": 0}


def spoilt(value, dtype=np.float32):
    """Return images of which two hold `value`."""
    images = X.astype(dtype)
    images[3, 2, 2] = images[7, 0, 0] = value
    return images


def of_two_sizes():
    images = np.empty(40, dtype=object)
    for i in range(40):
        images[i] = np.zeros((8, 8 + i % 2))
    return images


SAMPLES = {
    "one class": (
        X,
        np.full(40, 7),
        "got 1 class .7.; add samples of another class, or",
    ),
    "NaN": (
        spoilt(np.nan),
        Y,
        r"Input X contains NaN in 2 of 40 samples \(first: sample 3\); cells that "
        "CellNormalizer left NaN are absent: leave them out",
    ),
    "infinite": (
        spoilt(np.inf),
        Y,
        r"X contains infinity .* in 2 of 40 .*sample 3\); .* np.clip them",
    ),
    "huge": (
        spoilt(1e300, np.float64),
        Y,
        "too large for float32 in 2 of 40 .*np.clip",
    ),
    "NaN in y": (
        X,
        np.where(Y == 1, np.nan, Y),
        r"Input y contains NaN in 10 of 40 samples \(first: sample 1\); label these",
    ),
    "missing in y": (
        X,
        pd.Series(np.where(Y == 1, np.nan, Y)),
        "Input y contains NaN in 10 of 40 samples .*label these samples, or leave",
    ),
    "NaN in objects": (spoilt(np.nan, object), Y, "X contains NaN in 2 of 40 .*absent"),
    "NaN among text": (
        X,
        np.array([np.nan, *"abc"] * 10, dtype=object),
        r"y.* in 10 of 40 samples \(first: sample 0\); label these samples, or leave",
    ),
    "None in y": (
        X,
        np.array([None, *"abc"] * 10, dtype=object),
        r"10 of 40 labels are missing \(first: sample 0\); label these samples, or",
    ),
    "two sizes, list": (
        list(of_two_sizes()),
        Y,
        r"several \(such as \[\(8, 8\), \(8, 9\)\]\); bring all cells to one size",
    ),
    "two sizes, array": (of_two_sizes(), Y, r"\(8, 9\)\]\); bring all cells to one"),
    "two sizes, nested": (
        [image.tolist() for image in of_two_sizes()],
        Y,
        r"several \(such as \[\(8, 8\), \(8, 9\)\]\); bring all cells",
    ),
    "fewer labels": (
        X,
        Y[:7],
        "expected 40 labels, one for each image of X, got 7 .*cho",
    ),
    "more labels": (
        X[:30],
        Y,
        "expected 30 labels, .* got 40 .* rows of X and y alike",
    ),
    "channels first": (
        np.zeros((40, 3, 8, 8)),
        Y,
        r"move the channels last with X.transpose\(0, 2, 3, 1\)",
    ),
}


@pytest.mark.parametrize("case", SAMPLES)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_samples(case, method):
    images, labels, message = SAMPLES[case]
    model = CNNClassifier(**TINY)
    if method == "partial_fit":
        if case == "one class":
            return  # a part of the samples may well be of one class
        model.partial_fit(X, Y, classes=range(4))  # and once more below
    with pytest.raises(TallyError, match=message):
        getattr(model, method)(images, labels)


@pytest.mark.parametrize("case", ["NaN", "infinite", "huge", "two sizes, array"])
def test_samples_to_predict(case):
    images, _, message = SAMPLES[case]
    model = CNNClassifier(**TINY).fit(X, Y)
    with pytest.raises(TallyError, match=message):
        model.predict_proba(images)
    with pytest.raises(
        TallyError, match=r"\(8, 8\) as in fit, got \(9, 9\); bring all"
    ):
        model.predict(np.zeros((2, 9, 9)))


def test_images_in_an_array_of_objects_are_images():
    images = np.empty(40, dtype=object)
    for i in range(40):
        images[i] = X[i]
    one, two = (CNNClassifier(**TINY).fit(given, Y) for given in (X, images))
    assert (one.predict_proba(X) == two.predict_proba(images)).all()


def test_fewer_samples_than_a_batch_and_constant_images_train():
    model = CNNClassifier(**TINY, batch_size=1000, batch_norm=True).fit(X[:5], Y[:5])
    assert np.isfinite(model.predict_proba(X)).all()
    model = CNNClassifier(**TINY).fit(np.full((40, 8, 8), 3.0), Y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_class_missing_in_a_fold():
    # sorted labels: each fold holds a class that the others lack
    labels, folds = np.sort(Y), KFold(4)
    model = CNNClassifier(**TINY)
    with pytest.warns(RuntimeWarning, match="Number of classes in training fold .3."):
        cross_val_predict(model, X, labels, cv=folds, method="predict_proba")
    named = clone(model).set_params(classes=range(4))
    proba = cross_val_predict(named, X, labels, cv=folds, method="predict_proba")
    assert proba.shape == (40, 4)  # no warning: all columns are there
    # two classes, and a fold of one of them only: an error unless classes are named
    two, halves = labels // 2, KFold(2)
    with pytest.raises(
        TallyError, match="1 class .1.; .*or name all classes in classes"
    ):
        cross_val_score(model, X, two, cv=halves, error_score="raise")
    named.set_params(classes=[0, 1])
    assert len(cross_val_score(named, X, two, cv=halves)) == 2


# ---- weights to start from


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Model files of several kinds, most of them bad."""
    at = tmp_path_factory.mktemp("weights")
    save_model(CNNClassifier(**TINY).fit(X, Y), at / "good")
    save_model(CNNClassifier(**TINY), at / "unfitted")
    other = CNNClassifier(**{**TINY, "filters": (6, 6)})
    save_model(other.fit(X, Y), at / "other")
    page, tensors = (
        (at / f"good.{kind}").read_bytes() for kind in ("json", "safetensors")
    )
    changed = tensors[:-1] + bytes([tensors[-1] ^ 255])
    content = json.loads(page)
    content["model"]["estimator"] = "os.system"
    kinds = {
        "cut": (page, tensors[:-3]),
        "changed": (page, changed),
        "half": (page[:-30], tensors),
        "named": (json.dumps(content).encode(), tensors),
        "pickled": (
            pickle.dumps(Hostile(at / "ran")),
            pickle.dumps(Hostile(at / "ran")),
        ),
    }
    for name, (first, second) in kinds.items():
        (at / f"{name}.json").write_bytes(first)
        (at / f"{name}.safetensors").write_bytes(second)
    (at / "loose.safetensors").write_bytes(tensors[:50])
    (at / "hostile.pth").write_bytes(pickle.dumps(Hostile(at / "ran"), protocol=2))
    torch.save({"conv1.weight": Hostile(at / "ran")}, at / "inside.pth")
    torch.save({"conv1.weight": torch.full((4, 1, 3, 3), torch.nan)}, at / "nan.pth")
    torch.save({"features.weight": torch.zeros(4, 1, 3, 3)}, at / "names.pth")
    torch.save([torch.zeros(3)], at / "list.pth")
    return at


WEIGHTS = {
    "other architecture": (
        "other",
        {},
        r"first layer does not fit: 'conv1.weight' is \(6, 1, 3, 3\) in .*other and "
        r"\(4, 1, 3, 3\) here, .* use the same filters, kernel_size and colours",
    ),
    "other names": (
        "names.pth",
        {},
        "no tensor of .*names.pth fits .*; use the same arch",
    ),
    "frozen part of another": (
        "good",
        {"hidden": (9,), "freeze_layers": 2},
        "layer 'dense1' would be frozen with random weights: .* freeze fewer layers",
    ),
    "cut": (
        "cut",
        {},
        "cut.safetensors: expected SHA-256 .* the weights are damaged .*; s",
    ),
    "changed": (
        "changed",
        {},
        "changed.safetensors: expected SHA-256 .*save the model aga",
    ),
    "half": ("half", {}, "half.json: not JSON .*; save the model again"),
    "loose": (
        "loose.safetensors",
        {},
        "cannot be read as tensors alone .*; expected a st",
    ),
    "names a function": ("named", {}, "no fitted CNNClassifier .* saved after fit"),
    "unfitted": ("unfitted", {}, "no fitted CNNClassifier .* saved after fit"),
    "hostile model": ("pickled", {}, "pickled.json: not JSON .*; save the model again"),
    "hostile": (
        "hostile.pth",
        {},
        "it holds more than tensors, .* Nothing in .* was run",
    ),
    "hostile inside": (
        "inside.pth",
        {},
        "holds more than tensors, .* Nothing in the file",
    ),
    "not finite": (
        "nan.pth",
        {},
        "'conv1.weight' holds NaN .*; fetch the file again, or",
    ),
    "no dict": ("list.pth", {}, r"got list .*; save model.state_dict\(\) alone"),
    "not there": ("gone", {}, "no model .*gone.json does not exist. Bundled models: "),
    "no such weights": (
        "gone.pth",
        {},
        "gone.pth does not exist; give the path of a state",
    ),
    "frozen too deep": (
        "good",
        {"freeze_layers": 3},
        r"has 3 weight layers \(conv1, dense1, output\), and .* expected 0 to 2",
    ),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_to_start_from(folder, case):
    name, options, message = WEIGHTS[case]
    model = CNNClassifier(**{**TINY, **options}, pretrained=folder / name)
    with pytest.raises(TallyError, match=message) as caught:
        model.fit(X, Y)
    assert "weights_only" not in str(caught.value)  # no advice to run the file
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", ["cut", "changed", "half", "named", "pickled"])
def test_models_that_cannot_be_loaded_either(folder, name):
    with pytest.raises(ModelFormatError):
        load_model(folder / name)
    assert not (folder / "ran").exists()


def test_hostile_file_does_run_where_it_is_trusted(tmp_path):
    # or the tests above would prove nothing
    pickle.loads(pickle.dumps(Hostile(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"freeze_layers": 1},
            "frozen layers need trained weights, and pretrained is None; give pretrai",
        ),
        ({"pretrained": SVC()}, r"got SVC\(\). FrozenEstimator keeps the weights when"),
        (
            {"pretrained": FrozenEstimator(SVC())},
            "FrozenEstimator of SVC without a fitted",
        ),
    ],
)
def test_no_weights_to_start_from(options, message):
    with pytest.raises(TallyError, match=message):
        CNNClassifier(**TINY, **options).fit(X, Y)


def test_another_class_set_is_reported(folder):
    model = CNNClassifier(**TINY, pretrained=folder / "good")
    report = model.fit(X, np.array([*"abcd"])[Y]).transfer_report_
    assert report["reinitialized"] == ["output.weight", "output.bias"]
    assert report["skipped"] == ["output.bias", "output.weight"]
    report = model.fit(X, np.array(["0", "1", "2", "x"])[Y]).transfer_report_
    assert report["partly_loaded"] == ["output.weight", "output.bias"]


def test_a_new_first_layer_may_stand_before_known_ones(folder):
    class Stem(torch.nn.Module):
        def __init__(self, n_classes, channels, height, width):
            super().__init__()
            self.stem = torch.nn.Conv2d(channels, 1, 1)
            self.conv1 = torch.nn.Conv2d(1, 4, 3, padding=1)
            self.output = torch.nn.Linear(4 * height * width, n_classes)

        def forward(self, x):
            return self.output(self.conv1(self.stem(x)).relu().flatten(1))

    model = CNNClassifier(architecture=Stem, max_epochs=1, pretrained=folder / "good")
    report = model.fit(X, Y).transfer_report_
    assert report["loaded"] == ["conv1.weight", "conv1.bias", "output.bias"]


def objects(*labels):
    array = np.empty(len(Y), dtype=object)
    array[:] = [labels[i % len(labels)] for i in range(len(Y))]
    return array


MIXED = {
    "texts and numbers": (objects("a", 1), r"got .*str \('a'\).*; make texts of them"),
    "numbers and texts": (objects(1, "a"), r"got .*int \(1\)"),
    "series": (pd.Series(objects("a", 1)), r"got .*int \(1\)"),
    "texts and tuples": (objects("a", ("b", 1)), r"tuple \(\('b', 1\)\)"),
    "a list of them": (objects("a", ("b", 1)).tolist(), r"tuple \(\('b', 1\)\)"),
    "texts and bytes": (objects("a", b"b"), r"bytes \(b'b'\)"),
}


@pytest.mark.parametrize("case", MIXED)
def test_labels_of_several_kinds(case):
    labels, message = MIXED[case]
    message = f"y: expected labels of one kind, .*{message}"
    model = CNNClassifier(**TINY)
    for fit in (
        lambda: model.fit(X, labels),
        lambda: model.partial_fit(X, labels, classes=["a", "b"]),
        lambda: clone(model).set_params(classes=["a", "b"]).fit(X, labels),
        lambda: CNNClassifier(**TINY, warm_start=True).fit(X, Y).fit(X, labels),
    ):
        with pytest.raises(TallyError, match=message):
            fit()
    if not isinstance(labels, list):
        with pytest.raises(TallyError, match="classes: expected labels of one kind"):
            model.set_params(classes=labels[:2]).fit(X, Y)


def test_labels_that_have_an_order_are_of_one_kind():
    model = CNNClassifier(**TINY).fit(X, objects(np.str_("a"), "b"))
    assert model.classes_.tolist() == ["a", "b"]
