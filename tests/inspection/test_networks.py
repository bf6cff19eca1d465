"""Displays of filters, feature maps and saliency: what is drawn, what is refused."""

import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from sktally import CNNClassifier, TallyError, load_model, make_digit_cells
from sktally.digits._architectures import VGG16, ResNet18
from sktally.inspection import FeatureMapsDisplay, FiltersDisplay, SaliencyDisplay

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def bundled():
    pipeline = load_model("default")
    made = make_digit_cells(3, random_state=11, classes="0123456789")
    return pipeline, pipeline[:-1].transform(made.images)


@pytest.fixture
def ax():
    return Figure().subplots()


def test_filters_are_the_weights(bundled, ax):
    pipeline, _ = bundled
    weight = pipeline[-1].net_.module_.conv1.weight.detach().numpy()
    shown = FiltersDisplay.from_estimator(pipeline, ax=ax)
    np.testing.assert_array_equal(shown.filters, weight)
    assert shown.ax_ is ax and shown.figure_ is ax.figure
    assert len(ax.images) == 24
    np.testing.assert_array_equal(ax.images[5].get_array(), weight[5, 0])
    low, high = ax.images[0].get_clim()
    assert high == -low == np.abs(weight).max()


def test_later_filters_are_a_table_of_filters_and_maps(bundled, ax):
    pipeline, _ = bundled
    shown = FiltersDisplay.from_estimator(pipeline, layer=-1, max_inputs=4, ax=ax)
    assert shown.layer == "conv3" and shown.filters.shape == (112, 64, 3, 3)
    assert len(ax.images) == 16
    np.testing.assert_array_equal(ax.images[6].get_array(), shown.filters[1, 2])
    assert "4 of 112 filters (rows), on 4 of 64 maps" in ax.texts[0].get_text()
    by_name = FiltersDisplay.from_estimator(pipeline, layer="conv3", ax=ax)
    np.testing.assert_array_equal(by_name.filters, shown.filters)
    new = FiltersDisplay.from_estimator(pipeline, max_filters=3)
    assert len(new.ax_.images) == 3


def test_feature_maps_are_what_the_layers_answer(bundled, ax):
    pipeline, X = bundled
    module = pipeline[-1].net_.module_.eval()
    shown = FeatureMapsDisplay.from_estimator(pipeline, X[0], ax=ax)
    x = torch.tensor(X[:1, None]) / pipeline[-1].pixel_scale_
    with torch.no_grad():
        answer = module.conv1_norm(module.conv1(x))
        np.testing.assert_allclose(shown.maps["conv1"], answer[0], atol=1e-4)
        answer = module.conv2_norm(module.conv2(module.conv1_pool(answer)))
        np.testing.assert_allclose(shown.maps["conv2"], answer[0], atol=1e-4)
    np.testing.assert_allclose(shown.proba, pipeline[-1].predict_proba(X)[0], atol=1e-6)
    assert len(ax.images) == 1 + 3 * 12
    strongest = ax.images[1].get_array().max()
    assert strongest == shown.maps["conv1"].max()
    again = shown.plot(max_maps=2, max_layers=2)
    assert len(again.ax_.images) == 1 + 2 * 2
    assert "conv3" in " ".join(text.get_text() for text in again.ax_.texts)


@pytest.mark.parametrize("name", ["paper-base", "lenet5", "vgg16", "resnet18"])
def test_feature_maps_of_every_architecture(monkeypatch, name, ax):
    monkeypatch.setattr(VGG16, "stages", ((4,), (4,), (4,), (4,), (4, 4)))
    monkeypatch.setattr(VGG16, "dense", 8)
    monkeypatch.setattr(ResNet18, "widths", (8, 8, 8, 8))
    X = np.random.default_rng(0).random((6, 8, 9, 3)).astype(np.float32)
    model = CNNClassifier(architecture=name, max_epochs=1, random_state=0)
    model.fit(X, [0, 1] * 3)
    shown = FeatureMapsDisplay.from_estimator(model, X[0], ax=ax)
    assert all(np.isfinite(maps).all() for maps in shown.maps.values())
    assert all(maps.ndim == 3 for maps in shown.maps.values())
    filters = FiltersDisplay.from_estimator(model, ax=Figure().subplots())
    assert filters.filters.shape[1] == 3  # colours


def test_saliency_is_drawn_beneath_each_cell(bundled, ax):
    pipeline, X = bundled
    methods = ["occlusion", "grad-cam"]
    shown = SaliencyDisplay.from_estimator(
        pipeline, X, method=methods, baseline="blur", stride=4, ax=ax
    )
    assert list(shown.maps) == methods
    assert len(ax.images) == 3 + 6
    assert shown.labels == pipeline[-1].predict(X).tolist()
    texts = [text.get_text() for text in ax.texts]
    assert f"{shown.labels[0]}  {shown.proba[0]:.3f}" in texts
    other = SaliencyDisplay.from_estimator(
        pipeline, X[:2], target=["7", "1"], method="grad-cam"
    )
    assert other.labels == ["7", "1"]
    proba = pipeline[-1].predict_proba(X[:2])
    np.testing.assert_allclose(other.proba, [proba[0, 7], proba[1, 1]])
    shown.figure_.canvas.draw()
    every = SaliencyDisplay.from_estimator(
        pipeline, X[:1], method="all", stride=4, n_steps=4
    )
    assert list(every.maps) == ["occlusion", "integrated-gradients", "cam"]


class Dense(nn.Module):
    """A network without a convolution."""

    def __init__(self, *, n_classes, height, width):
        super().__init__()
        self.out = nn.Linear(height * width, n_classes)

    def forward(self, x):
        return self.out(x.flatten(1))


def test_what_cannot_be_shown_is_said(bundled, ax):
    pipeline, X = bundled
    with pytest.raises(TallyError, match=r"choose one, such as cells\[0\]"):
        FeatureMapsDisplay.from_estimator(pipeline, X)
    with pytest.raises(TallyError, match=r"cell of shape \(28, 28\), got \(9, 9\)"):
        FeatureMapsDisplay.from_estimator(pipeline, np.zeros((9, 9)))
    with pytest.raises(TallyError, match="max_maps: expected an integer in"):
        FeatureMapsDisplay.from_estimator(pipeline, X[0], max_maps=0)
    with pytest.raises(TallyError, match="max_filters: expected an integer in"):
        FiltersDisplay.from_estimator(pipeline, max_filters=0)
    with pytest.raises(TallyError, match="layer: expected the number .* got 9"):
        FiltersDisplay.from_estimator(pipeline, layer=9)
    with pytest.raises(TallyError, match=r"number of cells in X: .*\[1, 40\], got 41"):
        SaliencyDisplay.from_estimator(pipeline, np.zeros((41, 28, 28)))
    with pytest.raises(TallyError, match="method: expected at least one of occlusion"):
        SaliencyDisplay.from_estimator(pipeline, X, method=[])
    with pytest.raises(TallyError, match="baseline: Grad-CAM has none"):
        SaliencyDisplay.from_estimator(pipeline, X, method="grad-cam", baseline=0)
    dense = CNNClassifier(architecture=Dense, max_epochs=1).fit(X, [0, 1, 0])
    with pytest.raises(TallyError, match="Dense has no convolution"):
        FiltersDisplay.from_estimator(dense)


def test_what_to_install_where_matplotlib_is_missing(monkeypatch, bundled):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(TallyError, match=r"pip install 'sktally\[plot\]'"):
        FiltersDisplay.from_estimator(bundled[0])
