import pytest
import torch
from torch import nn

from sktally.digits._architectures import VGG16, ResNet18
from sktally.digits._layers import SteppingConv2d, freeze, hold_still, weight_layers
from sktally.digits._network import DigitNetwork

SETTINGS = {
    "channels": 1,
    "height": 8,
    "width": 8,
    "n_classes": 3,
    "filters": (4, 6),
    "kernel_size": 3,
    "hidden": (5,),
    "dropout": 0.0,
    "batch_norm": True,
}


def leading(module):
    return [names[0] for names in weight_layers(module)]


def test_layers_are_counted_with_their_norms():
    assert weight_layers(DigitNetwork(**SETTINGS)) == [
        ["conv1", "conv1_norm"],
        ["conv2", "conv2_norm"],
        ["dense1", "dense1_norm"],
        ["output"],
    ]
    mixed = DigitNetwork(**SETTINGS, pool="mixed")
    assert weight_layers(mixed)[0] == ["conv1", "conv1_norm", "conv1_pool"]


def test_norm_before_the_first_layer_belongs_to_it():
    module = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3), nn.Flatten())
    assert weight_layers(module) == [["1", "0"]]
    assert weight_layers(nn.ReLU()) == []


def test_the_first_twelve_of_vgg_are_twelve():
    with torch.device("meta"):
        layers = leading(VGG16(n_classes=10))
    assert len(layers) == 16
    assert layers[11:] == [
        "features.26",
        "features.28",
        "classifier.0",
        "classifier.3",
        "classifier.6",
    ]


def test_shortcuts_of_resnet_count():
    with torch.device("meta"):
        layers = weight_layers(ResNet18(n_classes=10))
    assert len(layers) == 21 and layers[0] == ["conv1", "bn1"]
    assert layers[7] == ["layer2.0.downsample.0", "layer2.0.downsample.1"]
    assert layers[-1] == ["fc"]


@pytest.mark.parametrize("pool", ["max", "mixed"])
def test_frozen_layers_keep_their_statistics(pool):
    network = DigitNetwork(**SETTINGS, pool=pool)
    names = freeze(network, 1)
    before = {name: t.clone() for name, t in network.state_dict().items()}
    network.train()
    hold_still(network, names)
    network(torch.randn(16, 1, 8, 8)).sum().backward()
    after = network.state_dict()
    for name in before:
        same = torch.equal(before[name], after[name])
        moves = "norm.running" in name or "norm.num" in name
        assert same == (name.startswith("conv1") or not moves), name
    assert network.conv1.weight.grad is None and network.conv2.weight.grad is not None
    assert all(t.grad is None for t in network.conv1_pool.parameters())
    assert freeze(network, 0) == []
    assert network.train().conv1_norm.training
    assert all(t.requires_grad for t in network.parameters())


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_stepping_over_pixels_beforehand_changes_nothing(stride, padding):
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 3, 1, stride, padding)
    stepping = SteppingConv2d(4, 3, 1, stride, padding)
    stepping.load_state_dict(plain.state_dict())
    x = torch.rand(2, 4, 8, 7)  # channels first, of which torch's gradient is sound
    found = []
    for layer in (plain, stepping):
        images = x.clone().requires_grad_()
        y = layer(images)
        y.square().sum().backward()
        found.append((y, images.grad, layer.weight.grad, layer.bias.grad))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_small_convolutions_that_step_over_pixels_step_in_every_network():
    settings = {**SETTINGS, "channels": 3, "kernel_size": 1, "stride": 2, "pool": None}
    network = DigitNetwork(**settings).train()
    assert isinstance(network.conv1, SteppingConv2d)
    x = torch.rand(6, 8, 8, 3).permute(0, 3, 1, 2)  # channels last
    network(x).square().sum().backward()
    plain = DigitNetwork(**{**settings, "kernel_size": 3, "padding": 1})
    assert type(plain.conv1) is nn.Conv2d
    shortcuts = [
        part.downsample[0]
        for part in ResNet18(n_classes=2).modules()
        if getattr(part, "downsample", None) is not None
    ]
    assert [type(part) for part in shortcuts] == [SteppingConv2d] * 3
