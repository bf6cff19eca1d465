"""Named architectures, classes of the user's own, and published weights."""

import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from torch import nn

from sktally import CNNClassifier, load_model, save_model
from sktally.digits._architectures import VGG16, ResNet18
from sktally.digits._layers import weight_layers
from sktally.exceptions import ModelFormatError, TallyError


class SmallVGG(VGG16):
    """The depth of VGG16 with a few filters."""

    stages = ((4, 4), (8, 8), (8,) * 3, (16,) * 3, (16,) * 3)
    dense = 16
    dropout = 0.0


class SmallResNet(ResNet18):
    widths = (8, 8, 16, 16)


class Own(nn.Module):
    """Takes some of what it may be given."""

    def __init__(self, n_classes, channels, filters, batch_norm=False):
        super().__init__()
        self.first = nn.Conv2d(channels, filters[0], 3, stride=2)
        self.norm = nn.BatchNorm2d(filters[0]) if batch_norm else nn.Identity()
        self.last = nn.Linear(filters[0], n_classes)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu().mean((2, 3)))


class Lazy(nn.Sequential):
    def __init__(self, **settings):
        self.settings = settings
        last = nn.LazyLinear(settings["n_classes"])
        super().__init__(nn.Flatten(), nn.LazyLinear(20), nn.ReLU(), last)


class Blind(nn.Module):
    def __init__(self, n_classes):
        super().__init__()

    def forward(self, x):
        return x.flatten(1)[:, :10]


class TooWide(nn.Sequential):
    def __init__(self, n_classes, height):
        super().__init__(nn.Flatten(), nn.Linear(height**2, n_classes + 1))


class Fails(nn.Sequential):
    def __init__(self, n_classes):
        super().__init__(nn.Linear(3, n_classes))


QUICK = {"learning_rate": 0.003, "max_epochs": 12, "batch_size": 50, "random_state": 0}


@pytest.fixture(scope="module")
def halves(digits):
    """Two hundred digits of 8 x 8, small or large, as text."""
    X, y = digits
    return X[:600], np.where(y[:600] < 5, "low", "high")


@pytest.mark.parametrize(
    "architecture",
    ["paper-base", "paper-tuned", "lenet5", SmallVGG, SmallResNet, Own],
)
def test_every_architecture_trains_and_beats_chance(halves, architecture):
    X, y = halves
    model = CNNClassifier(architecture=architecture, **QUICK).fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.6
    assert np.allclose(model.predict_proba(X[:9]).sum(1), 1, atol=1e-6)
    alone = model.predict_proba(X[4:5])
    assert np.allclose(alone, model.predict_proba(X[:9])[4:5], atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(8, 8, 3), (33, 28), (5, 40)])
def test_any_images_and_precision(shape, precision):
    X = np.random.default_rng(0).integers(0, 255, (20, *shape)).astype(np.uint8)
    for architecture in ("lenet5", SmallVGG, SmallResNet):
        model = CNNClassifier(architecture=architecture, max_epochs=1)
        model.set_params(precision=precision).fit(X, np.arange(20) % 3)
        proba = model.predict_proba(X)
        assert proba.shape == (20, 3) and proba.dtype == np.float32
        assert np.allclose(proba.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "n_weights", "n_tensors"),
    [(VGG16, 138_357_544, 32), (ResNet18, 11_689_512, 122)],
)
def test_tensors_are_those_of_torchvision(kind, n_weights, n_tensors):
    with torch.device("meta"):
        module = kind(n_classes=1000)
    assert sum(t.numel() for t in module.parameters()) == n_weights
    assert len(module.state_dict()) == n_tensors
    names = set(module.state_dict())
    if kind is VGG16:
        convolutions = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
        parts = [f"features.{i}" for i in convolutions]
        parts += [f"classifier.{i}" for i in (0, 3, 6)]
        assert names == {f"{p}.{kind}" for p in parts for kind in ("weight", "bias")}
        assert module.classifier[0].weight.shape == (4096, 25088)
    else:
        assert {"bn1.num_batches_tracked", "layer4.0.downsample.1.running_var"} < names
        assert module.layer2[0].downsample[0].weight.shape == (128, 64, 1, 1)


def test_named_networks_of_full_size(halves):
    X, y = halves
    model = CNNClassifier(architecture="resnet18", max_epochs=1, random_state=0)
    model.fit(X[:30], y[:30])
    assert model.net_.module_.fc.weight.shape == (2, 512)
    assert model.predict_proba(X[:3]).shape == (3, 2)
    state = model._fitted_state()
    assert state["network"] == {
        "architecture": "resnet18",
        "channels": 1,
        "height": 8,
        "width": 8,
        "n_classes": 2,
    }


def published(kind, path):
    """Write a state dict of 1000 classes, as it would be published."""
    torch.manual_seed(3)
    module = kind(n_classes=1000)
    nn.init.normal_(module.get_parameter(f"{weight_layers(module)[-1][0]}.weight"))
    state = module.state_dict()
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return state


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", [SmallVGG, SmallResNet])
def test_published_weights_load_and_freeze(halves, kind, ending, tmp_path):
    X, y = halves
    path = tmp_path / f"net{ending}"
    state = published(kind, path)
    model = CNNClassifier(architecture=kind, pretrained=path, **QUICK)
    model.set_params(max_epochs=2).fit(X[:60], y[:60], freeze_layers=12)
    report = model.transfer_report_
    head = weight_layers(model.net_.module_)[-1][0]
    assert report["reinitialized"] == [f"{head}.weight", f"{head}.bias"]
    assert report["partly_loaded"] == [] and report["source"] == str(path)
    assert report["skipped"] == sorted(report["reinitialized"])
    layers = weight_layers(model.net_.module_)
    frozen = {name for names in layers[:12] for name in names}
    after = model.net_.module_.state_dict()
    for name in report["loaded"]:
        same = torch.equal(state[name], after[name])
        assert same == (name.rpartition(".")[0] in frozen), name


def test_architecture_of_the_source_goes_on(halves):
    X, y = halves
    base = CNNClassifier(architecture=SmallResNet, **QUICK).fit(X[:200], y[:200])
    tuned = clone(base).set_params(pretrained=FrozenEstimator(base), max_epochs=1)
    tuned.fit(X[:50], y[:50], freeze_layers=20)
    assert tuned.transfer_report_["reinitialized"] == []
    before, after = (m.net_.module_.state_dict() for m in (base, tuned))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    moved = {name for name in moved if "num_batches" not in name}  # never read
    assert moved == {"fc.weight", "fc.bias"}
    with pytest.raises(TallyError, match=r"21 weight layers \(conv1, layer1.0.conv1, "):
        tuned.fit(X[:50], y[:50], freeze_layers=21)


def test_own_class_travels(halves, tmp_path):
    X, y = halves
    settings = {"architecture": Own, "filters": (12,), "batch_norm": True}
    model = CNNClassifier(**settings, **QUICK).fit(X[:100], y[:100])
    module = model.net_.module_
    assert type(module) is Own and module.first.out_channels == 12
    assert isinstance(module.norm, nn.BatchNorm2d)
    expected = model.predict_proba(X[:20])
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict_proba(X[:20]) == expected).all()
    path = save_model(model, tmp_path / "own")
    with pytest.raises(ModelFormatError, match="'Own' is a class of whoever saved the"):
        load_model(path)
    again = load_model(path, architecture=Own)
    assert (again.predict_proba(X[:20]) == expected).all()
    assert again.get_params() == model.get_params()
    assert (pickle.loads(pickle.dumps(again)).predict(X) == model.predict(X)).all()
    search = GridSearchCV(clone(model), {"filters": [(4,), (8,)]}, cv=2)
    search.set_params(estimator__max_epochs=1).fit(X[:60], y[:60])
    assert search.best_estimator_.net_.module_.first.out_channels in (4, 8)


def test_layers_that_learn_their_size_from_the_images(halves, tmp_path):
    X, y = halves
    model = CNNClassifier(architecture=Lazy, **QUICK).fit(X[:200], y[:200])
    assert model.net_.module_.settings["width"] == 8
    assert model.net_.module_.settings["filters"] == (64, 96, 112)
    assert model.score(X[300:], y[300:]) > 0.6
    again = load_model(save_model(model, tmp_path / "lazy"), architecture=Lazy)
    assert (again.predict_proba(X[:9]) == model.predict_proba(X[:9])).all()


def test_one_sigmoid_on_any_architecture(halves):
    X, y = halves
    model = CNNClassifier(architecture=Own, filters=(12,), output="sigmoid", **QUICK)
    model.fit(X[:200], y[:200])
    assert model.net_.module_.last.out_features == 1
    assert model.predict_proba(X[:5]).shape == (5, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"architecture": "alexnet"},
            "architecture: expected None, one of 'paper-",
        ),
        ({"architecture": nn.ReLU()}, r"a class of torch.nn.Module, got ReLU\(\)"),
        ({"architecture": dict}, "a class of torch.nn.Module, got <class 'dict'>"),
        (
            {"architecture": "lenet5", "hidden": (9,)},
            r"architecture='lenet5' says what the layers are, and so do \{'hidden': ",
        ),
        (
            {"architecture": "vgg16", "filters": 8, "n_blocks": 2},
            r"and so do \{'filters': \(8, 16\)\}; leave one at its default",
        ),
        (
            {"architecture": Own, "hidden": (9,)},
            r"the constructor of Own has no argument 'hidden', which was set to \(9,\)",
        ),
        ({"architecture": Own, "filters": (0,)}, r"filters\[0\]: expected an integer"),
        (
            {"architecture": nn.ReLU},
            "takes n_classes, and which of channels, .*ReLU",
        ),
        ({"architecture": Blind}, "architecture: Blind has no weights to train"),
        (
            {"architecture": TooWide},
            r"expected TooWide to return logits .* = \(2, 10\), got \(2, 11\)",
        ),
        ({"architecture": Fails}, r"Fails cannot take images .* = \(1, 8, 8\): "),
    ],
)
def test_wrong_architectures(digits, options, message):
    X, y = digits
    with pytest.raises(TallyError, match=message):
        CNNClassifier(**options, max_epochs=1).fit(X[:20], y[:20])


class Run:
    """Leaves a mark if it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def test_published_files_that_are_damaged_or_hostile(halves, tmp_path):
    X, y = halves
    mark = tmp_path / "was-run"
    torch.save({"fc.weight": Run(mark)}, tmp_path / "evil.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "nested.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    torch.save({"fc.bias": torch.tensor([np.nan])}, tmp_path / "nan.pth")
    torch.save({"body.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    for name in ("text.pth", "text.safetensors", "empty.pth"):
        (tmp_path / name).write_bytes(b"" if "empty" in name else b"no weights at all")
    cases = {
        "evil.pth": "cannot be read as tensors alone .*Nothing in the file was run",
        "whole.pt": "cannot be read as tensors alone",
        "text.pth": "cannot be read as tensors alone",
        "empty.pth": "cannot be read as tensors alone",
        "text.safetensors": "cannot be read as tensors alone .SafetensorError",
        "nested.pth": r"expected a state dict, tensors by name, got dict \['epoch', ",
        "list.pth": "expected a state dict, tensors by name, got list",
        "nan.pth": "tensor 'fc.bias' holds NaN or infinity",
        "none.pth": "none.pth does not exist",
        "other.pth": "no tensor of .*other.pth fits .* use the same architecture",
    }
    model = CNNClassifier(architecture=SmallResNet, max_epochs=1)
    for name, message in cases.items():
        model.set_params(pretrained=tmp_path / name)
        with pytest.raises(TallyError, match=message):
            model.fit(X[:20], y[:20])
    assert not mark.exists()


def test_stored_descriptions_are_checked(halves, tmp_path):
    X, y = halves
    model = CNNClassifier(architecture=SmallResNet, max_epochs=1).fit(X[:20], y[:20])
    state = model._fitted_state()
    for change, message in (
        ({"more": 1}, "expected 'architecture', channels, .* got .*'more'"),
        ({"height": 0}, "height: expected an integer in"),
        (
            {"architecture": "alexnet"},
            "'alexnet' is a class of whoever saved the",
        ),
        ({"architecture": "vgg16"}, "tensor 'features.0.weight': expected shape"),
    ):
        bad = {**state, "network": {**state["network"], **change}}
        bad["image_shape_"] = (bad["network"]["height"], 8)
        with pytest.raises(ModelFormatError, match=message):
            clone(model)._set_fitted_state(bad)
