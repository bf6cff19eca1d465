import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.svm import SVC

from sktally import (
    CellNormalizer,
    CNNClassifier,
    load_model,
    make_digit_cells,
    save_model,
)
from sktally.exceptions import ModelFormatError, TallyError, TallyWarning
from sktally.votes import CLASSES


def tensors(model):
    return {n: t.clone() for n, t in model.net_.module_.state_dict().items()}


@pytest.fixture(scope="module")
def normed(digits, small):
    X, y = digits
    settings = {**small, "batch_norm": True, "hidden": (32, 16)}
    return CNNClassifier(**settings).fit(X[:500], y[:500])


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4])
def test_frozen_tensors_and_statistics_are_bit_equal(digits, normed, depth):
    X, y = digits
    model = clone(normed).set_params(pretrained=FrozenEstimator(normed), max_epochs=2)
    model.fit(X[500:800], y[500:800], freeze_layers=depth)
    before, after = tensors(normed), tensors(model)
    layers = ["conv1", "conv2", "dense1", "dense2", "output"]
    for name in before:
        if "num_batches" in name:
            continue
        layer = name.split(".")[0].removesuffix("_norm")
        same = torch.equal(before[name], after[name])
        if name in ("conv1.bias", "conv2.bias"):  # batch norm takes them out
            assert same
            continue
        assert same == (layers.index(layer) < depth), name
    report = model.transfer_report_
    assert len(report["loaded"]) == 26 and report["reinitialized"] == []


def test_fit_argument_wins_over_the_constructor(digits, fitted):
    X, y = digits
    model = clone(fitted).set_params(
        pretrained=FrozenEstimator(fitted), freeze_layers=2, max_epochs=1
    )
    model.fit(X[:100], y[:100].astype(str), freeze_layers=0)
    assert not torch.equal(
        model.net_.module_.conv1.weight, fitted.net_.module_.conv1.weight
    )
    model.fit(X[:100], y[:100].astype(str))
    assert torch.equal(
        model.net_.module_.conv2.weight, fitted.net_.module_.conv2.weight
    )


def test_pretrained_by_path_and_by_estimator_agree(digits, fitted, tmp_path):
    X, y = digits
    path = save_model(fitted, tmp_path / "digits")
    answers = [
        clone(fitted)
        .set_params(pretrained=source, max_epochs=1)
        .fit(X[:100], y[:100].astype(str))
        .predict_proba(X[:20])
        for source in (path, str(tmp_path / "digits"), FrozenEstimator(fitted))
    ]
    assert (answers[0] == answers[1]).all() and (answers[0] == answers[2]).all()


def test_pretrained_needs_fewer_samples(digits, fitted):
    X, y = digits
    y = y.astype(str)
    few = slice(1000, 1040)
    scratch = clone(fitted).fit(X[few], y[few]).score(X[1100:], y[1100:])
    tuned = clone(fitted).set_params(pretrained=FrozenEstimator(fitted))
    tuned.fit(X[few], y[few], freeze_layers=1)
    assert tuned.score(X[1100:], y[1100:]) > scratch + 0.2


def test_clone_and_pickle_keep_the_source(digits, fitted):
    model = CNNClassifier(pretrained=FrozenEstimator(fitted))
    again = pickle.loads(pickle.dumps(clone(model)))
    X, _ = digits
    inner = again.pretrained.estimator
    assert (inner.predict_proba(X[:5]) == fitted.predict_proba(X[:5])).all()


def test_other_classes_keep_the_rows_they_share(digits, fitted):
    # ints 5..9 and 100 against the text "0".."9": five rows are shared, one is new
    X, y = digits
    keep = y[:200] > 4
    labels = [5, 6, 7, 8, 9, 100]
    model = clone(fitted).set_params(
        pretrained=FrozenEstimator(fitted), classes=labels, learning_rate=0.0
    )
    model.fit(X[:200][keep], y[:200][keep])
    given, got = fitted.net_.module_.output, model.net_.module_.output
    assert torch.equal(got.weight[:5], given.weight[5:])
    assert torch.equal(got.bias[:5], given.bias[5:])
    assert not got.weight[5].any()
    report = model.transfer_report_
    assert report["partly_loaded"] == ["output.weight", "output.bias"]
    assert report["source"] == "FrozenEstimator" and report["skipped"] == []


def test_report_names_what_does_not_fit(digits, fitted):
    X, y = digits
    model = clone(fitted).set_params(
        pretrained=FrozenEstimator(fitted), hidden=(20,), max_epochs=1
    )
    report = model.fit(X[:100], [*"ab"] * 50, freeze_layers=2).transfer_report_
    assert report["loaded"] == [
        "conv1.weight",
        "conv1.bias",
        "conv2.weight",
        "conv2.bias",
    ]
    names = ["dense1.weight", "dense1.bias", "output.weight", "output.bias"]
    assert report["reinitialized"] == names
    assert report["skipped"] == sorted(names)
    assert (
        CNNClassifier(filters=(2,), max_epochs=1).fit(X[:20], y[:20]).transfer_report_
        is None
    )


def test_freezing_deeper_than_the_network(digits, fitted):
    X, y = digits
    model = clone(fitted).set_params(pretrained=FrozenEstimator(fitted))
    message = (
        "freeze_layers=4: the network has 4 weight layers (conv1, conv2, dense1, "
        "output), and the last must stay free to learn; expected 0 to 3"
    )
    with pytest.raises(TallyError, match=re.escape(message)):
        model.fit(X[:50], y[:50].astype(str), freeze_layers=4)


def test_freezing_random_weights_is_refused(digits, fitted):
    X, y = digits
    model = clone(fitted).set_params(
        pretrained=FrozenEstimator(fitted), hidden=(20,), freeze_layers=3
    )
    with pytest.raises(TallyError, match="layer 'dense1' would be frozen with random"):
        model.fit(X[:50], y[:50].astype(str))


def test_other_architecture(digits, fitted):
    X, y = digits
    model = CNNClassifier(filters=(3, 3, 3), pretrained=FrozenEstimator(fitted))
    with pytest.raises(TallyError, match=r"no tensor of .* fits .*conv1.weight \(8, 1"):
        model.fit(X[:50], y[:50].astype(str))


def test_skipped_batch_norm_is_told(digits, normed):
    X, y = digits
    start = FrozenEstimator(normed)
    model = clone(normed).set_params(pretrained=start, max_epochs=1, batch_norm=False)
    said = (
        r"pretrained: FrozenEstimator has batch normalisation, .* none: .* 4 layers "
        r"\(conv1_norm, .*, dense2_norm\), which were skipped, .* pass batch_norm=True"
    )
    with pytest.warns(TallyWarning, match=said) as caught:
        model.fit(X[:100], y[:100])
    assert len(caught) == 1 and caught[0].filename == __file__
    assert "conv1_norm.running_mean" in model.transfer_report_["skipped"]
    with pytest.warns(TallyWarning, match=said):
        clone(model).partial_fit(X[:100], y[:100], classes=range(10))
    # fewer blocks, each with its norm, are as asked for; so is no norm on both sides
    fewer = clone(normed).set_params(pretrained=start, hidden=(32,), max_epochs=1)
    fewer.fit(X[:100], y[:100])
    assert "dense2_norm.running_mean" in fewer.transfer_report_["skipped"]


def test_skipped_batch_norm_of_own_network(digits, normed):
    class Plain(torch.nn.Module):
        def __init__(self, n_classes, norm=torch.nn.Identity):
            super().__init__()
            self.conv1 = torch.nn.Conv2d(1, 8, 3, padding=1)
            self.norm = norm(8)
            self.output = torch.nn.Linear(8 * 8 * 8, n_classes)

        def forward(self, x):
            return self.output(self.norm(self.conv1(x)).relu().flatten(1))

    class Normed(Plain):
        def __init__(self, n_classes):
            super().__init__(n_classes, torch.nn.BatchNorm2d)

    X, y = digits
    model = CNNClassifier(pretrained=FrozenEstimator(normed), max_epochs=1)
    model.set_params(architecture=Plain)
    with pytest.warns(TallyWarning, match="or an architecture with normalisation lay"):
        model.fit(X[:100], y[:100])
    model.set_params(architecture=Normed).fit(X[:100], y[:100])


@pytest.mark.parametrize("name", ["handwriting", "default"])
def test_bundled_models_need_batch_norm(name):
    made = make_digit_cells(24, random_state=0)
    cells = CellNormalizer().fit_transform(made.images)
    filters = load_model(name)[-1].filters
    model = CNNClassifier(
        pretrained=name,
        filters=filters,
        batch_norm=True,
        learning_rate=0.0,
        max_epochs=1,
        classes=[*CLASSES],
        freeze_layers=5,
        random_state=0,
    )
    model.fit(cells, made.target)
    assert model.transfer_report_["skipped"] == []
    assert model.transfer_report_["reinitialized"] == []
    assert model.score(cells, made.target) > 0.9
    model.set_params(batch_norm=False)
    with pytest.warns(TallyWarning, match=f"pretrained: {name} has batch normalisat"):
        model.fit(cells, made.target)


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        (SVC(), r"pretrained: expected the path .* got SVC\(\)"),
        (FrozenEstimator(SVC()), "got a FrozenEstimator of SVC without a fitted"),
        (FrozenEstimator(CNNClassifier()), "of CNNClassifier without a fitted network"),
        (CNNClassifier(), "FrozenEstimator keeps the weights when scikit-learn clones"),
        (3.5, "pretrained: .*got 3.5"),
    ],
)
def test_wrong_source(pretrained, message):
    model = CNNClassifier(filters=(4,), pretrained=pretrained)
    with pytest.raises(TallyError, match=message):
        model.fit(np.zeros((4, 4, 4)), [0, 1, 0, 1])


def test_missing_damaged_and_empty_files(fitted, tmp_path):
    X, y = np.zeros((4, 8, 8)), [0, 1, 0, 1]
    model = clone(fitted).set_params(pretrained=tmp_path / "none")
    with pytest.raises(ModelFormatError, match="no model .*none.json does not exist"):
        model.fit(X, y)
    path = save_model(CNNClassifier(), tmp_path / "unfitted")
    with pytest.raises(ModelFormatError, match="holds no fitted CNNClassifier"):
        model.set_params(pretrained=path).fit(X, y)
    path = save_model(fitted, tmp_path / "ours")
    content = json.loads(path.read_text())
    del content["model"]["fitted"]["dict"]["weights"]
    path.write_text(json.dumps(content))
    with pytest.raises(ModelFormatError, match="holds no classes and weights"):
        model.set_params(pretrained=path).fit(X, y)
    weights = Path(path).with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelFormatError, match="the weights are damaged"):
        model.fit(X, y)
