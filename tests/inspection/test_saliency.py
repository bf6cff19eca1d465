"""Maps of pixels: known answers, every architecture, what a random network changes."""

import subprocess
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from torch import nn

from sktally import (
    CellNormalizer,
    CNNClassifier,
    TallyError,
    VoteCountAggregator,
    load_model,
    make_digit_cells,
)
from sktally.digits._architectures import VGG16, ResNet18
from sktally.inspection import saliency
from sktally.inspection._network import evidence, to_tensor
from sktally.inspection._saliency import METHODS, baseline_images

pytest.importorskip("captum")

WEIGHT = np.random.default_rng(0).normal(size=(2, 6, 5)).astype(np.float32)


class Linear(nn.Module):
    """Logits that are sums of weighted pixels; the convolution passes them on."""

    def __init__(self, *, n_classes, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1, bias=False)
        self.out = nn.Linear(30, n_classes)

    def forward(self, x):
        return self.out(self.conv(x).flatten(1))


def linear(colours=1):
    """Return a classifier whose log-odds of "b" are weight times pixel, and cells."""
    rng = np.random.default_rng(1)
    shape = (8, 6, 5, 3) if colours == 3 else (8, 6, 5)
    X = rng.normal(size=shape).astype(np.float32)
    model = CNNClassifier(architecture=Linear, max_epochs=1, random_state=0)
    model.fit(X, list("ab") * 4)
    model.pixel_offset_, model.pixel_scale_ = 0.0, 1.0
    with torch.no_grad():
        module = model.net_.module_
        module.conv.weight.fill_(1.0)
        module.out.weight.copy_(torch.tensor(WEIGHT.reshape(2, 30)))
        module.out.bias.zero_()
    return model, X


def test_integrated_gradients_of_a_linear_network_are_weight_times_pixel():
    model, X = linear()
    maps = saliency(model, X, method="integrated-gradients", target="b")
    np.testing.assert_allclose(maps, (WEIGHT[1] - WEIGHT[0]) * X, atol=1e-5)
    from_one = saliency(
        model, X, method="integrated-gradients", target="b", baseline=1.0
    )
    np.testing.assert_allclose(from_one, (WEIGHT[1] - WEIGHT[0]) * (X - 1), atol=1e-5)


def test_hiding_a_pixel_of_a_linear_network_loses_what_it_adds():
    model, X = linear()
    maps = saliency(model, X, window=1, stride=1, target="a")
    np.testing.assert_allclose(maps, (WEIGHT[0] - WEIGHT[1]) * X, atol=1e-5)
    base = np.full((6, 5), 0.5)
    maps = saliency(model, X, window=1, stride=1, target="a", baseline=base)
    np.testing.assert_allclose(maps, (WEIGHT[0] - WEIGHT[1]) * (X - 0.5), atol=1e-5)


def test_channels_of_colour_are_summed():
    model, X = linear(colours=3)
    found = saliency(model, X, method="integrated-gradients", target="b")
    np.testing.assert_allclose(
        found, (WEIGHT[1] - WEIGHT[0]) * X.sum(axis=3), atol=1e-4
    )
    assert saliency(model, X).shape == X.shape[:3]


class OneMap(nn.Module):
    """Two maps, their means, and weights 1 and -1 for class 1, by hand."""

    def __init__(self, *, n_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.out = nn.Linear(2, n_classes)

    def forward(self, x):
        return self.out(self.conv(x).mean((2, 3)))


def test_maps_of_a_network_of_means_are_weighted_maps():
    """Zhou's CAM, and Grad-CAM, which shows no pixels against a class."""
    X = np.zeros((4, 6, 6), np.float32)
    X[:, 2, 3] = 1
    model = CNNClassifier(architecture=OneMap, max_epochs=1, random_state=0)
    model.fit(X, [0, 1, 0, 1])
    model.pixel_offset_, model.pixel_scale_ = 0.0, 1.0
    with torch.no_grad():
        module = model.net_.module_
        module.conv.weight.copy_(torch.tensor([3.0, 1.0]).view(2, 1, 1, 1))
        module.conv.bias.zero_()
        module.out.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
        module.out.bias.zero_()
    found = saliency(model, X, method="grad-cam", target=1)
    # slopes of the log-odds by a pixel of each map: 1/36 and -1/36
    np.testing.assert_allclose(found, X * (3 - 1) / 36, atol=1e-6)
    assert (saliency(model, X, method="grad-cam", target=0) == 0).all()
    for target, sign in ((1, 1), (0, -1)):
        found = saliency(model, X, method="cam", target=target)
        np.testing.assert_allclose(found, sign * X * (3 - 1) / 36, atol=1e-5)


def test_cam_of_a_linear_network_is_weight_times_pixel():
    model, X = linear()
    maps = saliency(model, X, method="cam", target="b", n_steps=4, baseline=0.5)
    np.testing.assert_allclose(maps, (WEIGHT[1] - WEIGHT[0]) * (X - 0.5), atol=1e-5)


@pytest.fixture(scope="module")
def bundled():
    pipeline = load_model("default")
    made = make_digit_cells(20, random_state=11, classes="0123456789")
    return pipeline, pipeline[:-1].transform(made.images)


def test_integrated_gradients_sum_up_to_what_cell_and_baseline_differ_by(bundled):
    pipeline, X = bundled
    classifier = pipeline[-1]
    for baseline in ("background", "blur"):
        maps = saliency(
            pipeline,
            X[:2],
            method="integrated-gradients",
            target="3",
            baseline=baseline,
            n_steps=96,
        )
        base = baseline_images(classifier, X[:2], baseline)
        code = torch.full((2,), classifier.classes_.tolist().index("3"))
        with evidence(classifier) as log_odds, torch.no_grad():
            cell, none = (
                log_odds(to_tensor(classifier, x), code) for x in (X[:2], base)
            )
        np.testing.assert_allclose(
            maps.sum(axis=(1, 2)), (cell - none).numpy(), atol=0.5
        )


def test_the_log_odds_are_those_of_the_probabilities(bundled):
    pipeline, X = bundled
    # maps are never rounded to bfloat16, as probabilities are where processors have it
    classifier = deepcopy(pipeline[-1])
    classifier.net_.bfloat16 = False
    proba = classifier.predict_proba(X).astype(float)
    codes = torch.tensor(np.argsort(proba, axis=1)[:, -2].copy())
    with evidence(classifier) as log_odds, torch.no_grad():
        found = log_odds(to_tensor(classifier, X), codes).numpy()
    p = proba[np.arange(len(X)), codes]
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), p, rtol=0.02, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_of_finite_numbers_and_do_not_depend_on_chance_or_company(
    bundled, method
):
    pipeline, X = bundled
    maps = saliency(pipeline, X[:3], method=method, stride=4)
    assert maps.shape == (3, 28, 28) and maps.dtype == np.float32
    assert np.isfinite(maps).all() and maps.max() > 0
    torch.manual_seed(5)
    again = saliency(pipeline, X[:3], method=method, stride=4)
    np.testing.assert_array_equal(again, maps)
    alone = saliency(pipeline, X[1:2], method=method, stride=4)
    np.testing.assert_allclose(alone[0], maps[1], atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_maps_change_where_weights_are_drawn_anew(bundled, method):
    pipeline, X = bundled
    classifier = pipeline[-1]
    fresh = CNNClassifier(batch_norm=True, max_epochs=1, random_state=0)
    fresh.fit(X, np.arange(20) % 10)
    labels = classifier.predict(X[:6]).astype(int)
    mine = saliency(classifier, X[:6], method=method, stride=4, n_steps=8)
    options = {"stride": 4, "n_steps": 8, "target": labels}
    other = saliency(fresh, X[:6], method=method, **options)
    correlation = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1]
        for a, b in zip(mine, other)
        if a.std() and b.std()
    ]
    assert len(correlation) > 2 and np.mean(correlation) < 0.6


def test_maps_of_every_layer_sum_up_to_about_what_cell_and_baseline_differ_by(bundled):
    pipeline, X = bundled
    classifier = pipeline[-1]
    code = torch.full((2,), classifier.classes_.tolist().index("3"))
    with evidence(classifier) as log_odds, torch.no_grad():
        cell, none = (
            log_odds(to_tensor(classifier, x), code)
            for x in (X[:2], baseline_images(classifier, X[:2], None))
        )
    first = saliency(classifier, X[:2], method="cam", target="3", n_steps=128)
    np.testing.assert_allclose(first.sum(axis=(1, 2)), cell - none, atol=1)
    for layer in (0, 1, -1):
        options = {"method": "cam", "target": "3", "layer": layer, "n_steps": 128}
        maps = saliency(classifier, X[:2], **options)
        np.testing.assert_allclose(maps.sum(axis=(1, 2)), cell - none, atol=3)
        assert (layer == 0) == np.array_equal(maps, first)


@pytest.mark.parametrize("method", ["cam", "grad-cam"])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "side"),
    [(5, 1, "valid", 1), (3, 1, 3, 1), (5, 3, "valid", 3)],
)
def test_maps_lie_where_the_network_looked(method, kernel_size, stride, padding, side):
    """A lit pixel is named by filters that see the middle of what they cover."""
    X = np.zeros((2, 20, 20), np.float32)
    X[:, 8, 8] = 1
    model = CNNClassifier(
        filters=(1, 1),
        kernel_size=(kernel_size, 1),
        stride=(stride, 1),
        padding=(padding, 0),
        pool=(None, "max"),
        hidden=(),
        max_epochs=1,
        random_state=0,
    ).fit(X, [0, 1])
    module = model.net_.module_
    with torch.no_grad():
        for part in (module.conv1, module.conv2):
            middle = part.kernel_size[0] // 2
            part.weight.zero_()[:, :, middle, middle] = 1
            part.bias.zero_()
        module.output.weight.copy_(torch.tensor([[0.0], [1.0]]))
        module.output.bias.zero_()
    model.pixel_offset_, model.pixel_scale_ = 0.0, 1.0
    found = saliency(model, X, method=method, target=1, layer=0)[0]
    near = np.zeros((20, 20), bool)
    reach = slice(8 - side // 2, 9 + side // 2)
    near[reach, reach] = True
    assert found.max() == found[8, 8] > 0
    np.testing.assert_array_equal(found > 0.4 * found.max(), near)


@pytest.mark.parametrize("method", ["occlusion", "integrated-gradients", "cam"])
def test_hiding_the_first_tenth_costs_more_than_hiding_any(bundled, method):
    pipeline, X = bundled
    classifier = pipeline[-1]
    maps = saliency(classifier, X, method=method, stride=4, n_steps=24)
    rng = np.random.default_rng(0)
    codes = torch.tensor(classifier.predict_proba(X).argmax(axis=1))

    def loss(values):  # of log-odds, where the 5 best squares of 49 are hidden
        sums = values.reshape(-1, 7, 4, 7, 4).sum(axis=(2, 4)).reshape(-1, 49)
        mask = np.zeros(sums.shape, bool)
        np.put_along_axis(mask, np.argsort(-sums)[:, :5], True, axis=1)
        mask = mask.reshape(-1, 7, 7).repeat(4, axis=1).repeat(4, axis=2)
        hidden = np.where(mask, 0, X).astype(np.float32)
        with evidence(classifier) as log_odds, torch.no_grad():
            full = log_odds(to_tensor(classifier, X), codes)
            return (full - log_odds(to_tensor(classifier, hidden), codes)).numpy()

    chance = np.mean([loss(rng.random(X.shape)) for _ in range(4)], axis=0)
    assert np.mean(loss(maps) > chance) >= 0.9


def small_vgg(monkeypatch):
    monkeypatch.setattr(VGG16, "stages", ((4,), (4,), (4,), (4,), (4, 4)))
    monkeypatch.setattr(VGG16, "dense", 8)


ARCHITECTURES = ["paper-base", "paper-tuned", "lenet5", "vgg16", "resnet18"]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(8, 8), (5, 9), (28, 28)])
def test_every_architecture_on_cells_of_any_size(monkeypatch, name, shape):
    small_vgg(monkeypatch)
    monkeypatch.setattr(ResNet18, "widths", (8, 8, 8, 8))
    rng = np.random.default_rng(0)
    X = rng.random((6, *shape)).astype(np.float32)
    model = CNNClassifier(architecture=name, max_epochs=2, random_state=0)
    model.fit(X, [0, 1, 2] * 2)
    was = model.predict_proba(X)
    for method in METHODS:
        maps = saliency(model, X[:2], method=method, stride=4)
        assert maps.shape == (2, *shape)
        assert np.isfinite(maps).all()
    np.testing.assert_array_equal(model.predict_proba(X), was)  # nothing was touched


def test_grad_cam_is_cut_where_the_network_pads(monkeypatch):
    """One lit pixel of a map of means stays where it is in a padded cell."""
    X = np.zeros((4, 5, 5), np.float32)
    X[:, 1, 1] = 1
    model = CNNClassifier(
        filters=(2, 2, 2), kernel_size=1, hidden=(), max_epochs=1, random_state=0
    )
    model.fit(X, [0, 1, 0, 1])
    module = model.net_.module_
    assert any(module.padding)
    with torch.no_grad():
        for name in ("conv1", "conv2", "conv3"):
            getattr(module, name).weight.fill_(1.0)
            getattr(module, name).bias.zero_()
        module.output.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    model.pixel_offset_, model.pixel_scale_ = 0.0, 1.0
    found = saliency(model, X, method="grad-cam", layer=0, target=1)[0]
    assert np.unravel_index(found.argmax(), found.shape) == (1, 1)
    assert (found > 0).sum() == 1


def test_one_sigmoid_and_two_softmax_outputs_are_explained_alike():
    model, X = linear()
    single = CNNClassifier(
        architecture=Linear, output="sigmoid", max_epochs=1, random_state=0
    ).fit(X, list("ab") * 4)
    single.pixel_offset_, single.pixel_scale_ = 0.0, 1.0
    with torch.no_grad():
        single.net_.module_.conv.weight.fill_(1.0)
        weight = torch.tensor((WEIGHT[1] - WEIGHT[0]).reshape(1, 30))
        single.net_.module_.out.weight.copy_(weight)
        single.net_.module_.out.bias.zero_()
    for target in "ab":
        for method in ("occlusion", "integrated-gradients"):
            one = saliency(single, X, method=method, target=target)
            two = saliency(model, X, method=method, target=target)
            np.testing.assert_allclose(one, two, atol=1e-4)


def test_the_network_is_found_wherever_it_is(bundled):
    pipeline, X = bundled
    classifier = pipeline[-1]
    expected = saliency(classifier, X[:1], method="grad-cam")
    reader = make_pipeline(
        CellNormalizer(), VoteCountAggregator(FrozenEstimator(classifier))
    )
    for estimator in (pipeline, FrozenEstimator(classifier), reader, reader[-1]):
        found = saliency(estimator, X[:1], method="grad-cam")
        np.testing.assert_array_equal(found, expected)


def test_the_network_of_a_calibrated_classifier_is_explained(bundled):
    _, X = bundled
    labels = np.arange(20) % 2
    network = CNNClassifier(filters=(2,), hidden=(), max_epochs=1, random_state=0)
    network.fit(X[::2], labels[:10])  # must not be taken for the one inside
    single = CalibratedClassifierCV(network, cv=2, ensemble=False).fit(X, labels)
    inner = single.calibrated_classifiers_[0].estimator
    options = {"method": "cam", "n_steps": 4}
    found = saliency(single, X[:2], **options)
    np.testing.assert_array_equal(found, saliency(inner, X[:2], **options))
    frozen = CalibratedClassifierCV(FrozenEstimator(network)).fit(X, labels)
    found = saliency(frozen, X[:2], **options)
    np.testing.assert_array_equal(found, saliency(network, X[:2], **options))
    folds = CalibratedClassifierCV(network, cv=2).fit(X, labels)
    with pytest.raises(
        TallyError, match=r"with 2, one for each fold; give one of them"
    ):
        saliency(folds, X[:2], **options)
    saliency(folds.calibrated_classifiers_[1].estimator, X[:2], **options)


def test_a_network_in_training_mode_is_left_in_it(bundled):
    pipeline, X = bundled
    options = {"method": "integrated-gradients", "n_steps": 8, "target": "3"}
    module = pipeline[-1].net_.module_
    module.train()
    try:
        first = saliency(pipeline, X[:1], **options)
        assert module.training and module.conv1_norm.training
        module.eval()
        second = saliency(pipeline, X[:1], **options)
    finally:
        module.eval()
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lime"}, "method: expected one of 'occlusion', .*got 'lime'"),
        ({"target": "12"}, r"target: expected labels among \['0', .*got '12' \(str\)"),
        ({"target": 3}, r"target: expected labels among .*got 3 \(int\)"),
        ({"target": ["1"] * 3}, r"one for each of 2 cells, got shape \(3,\)"),
        ({"window": 0}, r"window: expected an integer in \[1"),
        ({"window": 29, "stride": 1}, "at most the side of the cells, 28 pixels"),
        ({"stride": 5}, r"stride: expected an integer in \[1, 4\]"),
        ({"n_steps": 1}, "n_steps: expected an integer in"),
        ({"baseline": "white"}, "baseline: expected 'background', 'blur', a finite"),
        ({"baseline": np.nan}, "baseline: .*got nan"),
        ({"baseline": np.zeros((3, 3))}, r"baseline: .*got an array \(3, 3\)"),
        ({"method": "grad-cam", "baseline": 0}, "baseline: Grad-CAM has none, got 0"),
        (
            {"method": "grad-cam", "layer": 3},
            r"layer: expected the number of a convolution, 0 to 2 .*'conv3', got 3",
        ),
        ({"method": "grad-cam", "layer": "dense1"}, "layer: .*got 'dense1'"),
    ],
)
def test_bad_options_are_said(bundled, options, message):
    pipeline, X = bundled
    with pytest.raises(TallyError, match=message):
        saliency(pipeline, X[:2], **options)


def test_bad_estimators_and_cells_are_said(bundled):
    pipeline, X = bundled
    flat = X.reshape(20, -1)
    with pytest.raises(TallyError, match="estimator: expected a fitted CNN.*got SVC"):
        saliency(SVC().fit(flat, np.arange(20) % 2), X)
    with pytest.raises(TallyError, match=r"images of shape \(28, 28\) as in fit"):
        saliency(pipeline, np.zeros((2, 9, 9)))
    with pytest.raises(ValueError, match="not fitted"):
        saliency(CNNClassifier(), X)


def test_what_to_install_where_captum_is_missing(monkeypatch, bundled):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(TallyError, match=r"pip install 'sktally\[explain\]'"):
        saliency(*bundled)


def test_inspection_imports_neither_torch_nor_matplotlib():
    code = (
        "import sys, sktally.inspection; bad = {'torch', 'matplotlib', 'captum'} & "
        "set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
