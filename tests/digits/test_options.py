"""Every option of the network: known answers, training, mistakes."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sktally import CNNClassifier
from sktally.digits import DigitNetwork
from sktally.digits._network import Pool
from sktally.digits._options import NETWORKS, blocks_of, smallest_side
from sktally.exceptions import TallyError


@pytest.fixture(scope="module")
def pixels():
    torch.manual_seed(0)
    return torch.randn(3, 2, 7, 9)


@pytest.mark.parametrize("activation", [torch.relu, torch.tanh, torch.sigmoid])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 3)])
def test_pooling_known_answers(pixels, size, stride, activation):
    windows = pixels.unfold(2, size, stride).unfold(3, size, stride).flatten(4)
    active = activation(windows)
    expected = {
        "max": active.amax(-1),
        "min": active.amin(-1),
        "mean": active.mean(-1),
        "mixed": (active.amax(-1) + active.mean(-1)) / 2,
    }
    for kind, answer in expected.items():
        got = Pool(kind, size, stride, activation)(pixels)
        assert torch.allclose(got, answer, atol=1e-6), kind
    assert torch.equal(Pool(None, 9, 9, activation)(pixels), activation(pixels))


def test_share_of_mixed_pooling_is_learnt(pixels):
    pool = Pool("mixed", 2, 2, torch.relu)
    pool(pixels).sum().backward()
    assert pool.share.grad.item() > 0  # the maximum is larger than the mean
    pool.share.data[:] = 100
    most = functional.max_pool2d(pixels.relu(), 2)
    assert torch.allclose(pool(pixels), most)


def network(**options):
    given = {"filters": (4, 5, 6), "kernel_size": 3, "hidden": (7,), "dropout": 0.0}
    images = {"channels": 1, "height": 28, "width": 24, "n_classes": 3}
    return DigitNetwork(**{**images, **given, "batch_norm": False, **options})


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({}, [(14, 12), (7, 6), (3, 3)]),
        ({"pool_size": (3, 2, 2)}, [(9, 8), (4, 4), (2, 2)]),
        ({"pool_size": 3, "pool_stride": 2}, [(13, 11), (6, 5), (2, 2)]),
        ({"pool": ("max", None, "mean")}, [(14, 12), (14, 12), (7, 6)]),
        ({"pool": None, "stride": 2}, [(14, 12), (7, 6), (4, 3)]),
        ({"padding": "valid"}, [(13, 11), (5, 4), (1, 1)]),
        ({"padding": (2, 0, 1), "kernel_size": (5, 4, 3)}, [(14, 12), (5, 4), (2, 2)]),
    ],
)
def test_sizes_of_the_maps(options, sides):
    module = network(**options)
    seen = []
    for i in (1, 2, 3):
        module.get_submodule(f"conv{i}_pool").register_forward_hook(
            lambda _, __, out: seen.append(tuple(out.shape[2:]))
        )
    assert module.eval()(torch.zeros(2, 1, 28, 24)).shape == (2, 3)
    assert seen == sides
    blocks = blocks_of({"filters": (4, 5, 6), "kernel_size": 3, **options})
    expected = [(28, 24)]
    for block in blocks:
        expected.append(tuple(block.sides(side)[1] for side in expected[-1]))
    assert expected[1:] == sides


def test_smallest_side_is_the_smallest():
    for options in (
        {},
        {"padding": "valid", "kernel_size": 5},
        {"pool_size": (3, 2, 2), "pool_stride": (2, 2, 1)},
        {"stride": (2, 1, 3), "padding": (1, 0, 2)},
        {"padding": 5},
    ):
        blocks = blocks_of({"filters": (1, 1, 1), "kernel_size": 3, **options})

        def last(side, blocks=blocks):
            for block in blocks:
                side = block.sides(side)[1]
                if side < 1:
                    return 0
            return side

        least = smallest_side(blocks)
        assert last(least) >= 1 and (least == 1 or last(least - 1) < 1)


def test_dropout_of_convolutions_and_of_hidden_layers():
    module = network(dropout=0.5, conv_dropout=0.25)
    assert (module.dropout.p, module.conv_dropout.p) == (0.5, 0.25)
    module = network(dropout=0.5)
    assert module.conv_dropout.p == 0.5


def test_one_number_of_filters_grows(digits):
    X, y = digits
    model = CNNClassifier(filters=4, n_blocks=3, filter_growth=1.5, hidden=())
    module = model.set_params(max_epochs=1).fit(X[:40], y[:40]).net_.module_
    assert [module.get_submodule(f"conv{i}").out_channels for i in (1, 2, 3)] == [
        4,
        6,
        9,
    ]


def test_colour_images_train(digits, small):
    X, y = digits
    colour = np.stack([X, 16 - X, np.zeros_like(X)], axis=-1)
    model = CNNClassifier(**small).fit(colour[:800], y[:800])
    assert model.score(colour[800:1200], y[800:1200]) > 0.5
    assert model.net_.module_.conv1.in_channels == 3


def test_one_sigmoid_for_two_classes(digits, small):
    X, y = digits
    labels = np.where(y < 5, "low", "high")
    model = CNNClassifier(**{**small, "max_epochs": 8}, output="sigmoid")
    model.fit(X[:1000], labels[:1000])
    module = model.net_.module_
    assert module.output.out_features == 1
    assert model.score(X[1000:], labels[1000:]) > 0.8
    proba = model.predict_proba(X[:20])
    assert proba.shape == (20, 2) and np.allclose(proba.sum(1), 1)
    logits = model.net_.infer(torch.from_numpy(X[:20])).detach()
    assert torch.equal(logits[:, 0], torch.zeros(20))
    assert np.allclose(proba[:, 1], logits[:, 1].sigmoid(), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"output": "both"},
            "output: expected one of .softmax., .sigmoid., got ",
        ),
        ({"filters": 8}, "got 8; one number needs n_blocks beside it"),
        ({"filters": 0, "n_blocks": 2}, "filters: expected an integer in"),
        ({"filters": 8, "n_blocks": 0}, r"n_blocks: expected an integer in \[1, 10\]"),
        (
            {"filters": 8, "n_blocks": 2, "filter_growth": 0},
            r"filter_growth: expected a number in \[0.1, 10\], got 0",
        ),
        ({"filters": (8, 9), "n_blocks": 2}, r"n_blocks: expected None, as filters="),
        (
            {"kernel_size": (3, 3)},
            "kernel_size: expected one value, or 1, one for each",
        ),
        ({"kernel_size": 4}, "or set padding to a number of pixels"),
        ({"kernel_size": (2.5,)}, r"kernel_size\[0\]: expected an integer, got 2.5"),
        ({"stride": 0}, r"stride: expected an integer in \[1, 31\], got 0"),
        ({"padding": "half"}, "padding: expected one of 'same', 'valid', got 'half'"),
        ({"padding": -1}, r"padding: expected an integer in \[0, 15\], got -1"),
        ({"activation": "gelu"}, "activation: expected one of 'relu', 'tanh', 'sigm"),
        ({"pool": "sum"}, "pool: expected one of 'max', 'mean', 'min', 'mixed', None"),
        ({"pool_size": (2, 2)}, "pool_size: expected one value, or 1, one for each"),
        ({"pool_stride": 0}, r"pool_stride: expected an integer in \[1, 31\], got 0"),
        ({"conv_dropout": 2}, r"conv_dropout: expected a number in \[0, 0.99\], got 2"),
        (
            {"kernel_size": 9, "padding": "valid"},
            r"padding: in block 1 the convolution of 9 x 9 gets 8 x 8 pixels, too few, "
            r"from images of 8 x 8. Use a kernel_size below 9 or padding='same' there, "
            r".*images of at least 10 x 10",
        ),
        (
            {"filters": (4, 4), "pool_size": (3, 3)},
            r"pool_size: in block 2 the pooling of 3 x 3 gets 2 x 2 pixels, .* Use a "
            r"pool_size below 3 or pool=None there, fewer blocks .* at least 9 x 9",
        ),
    ],
)
def test_wrong_options(digits, options, message):
    X, y = digits
    with pytest.raises(TallyError, match=message):
        CNNClassifier(**{"filters": (4,), "hidden": (), **options}).fit(X[:20], y[:20])


def test_one_sigmoid_cannot_tell_three_classes():
    model = CNNClassifier(filters=(4,), output="sigmoid")
    with pytest.raises(TallyError, match="tells 2 classes apart, got 3 classes; use"):
        model.fit(np.zeros((6, 8, 8)), [0, 1, 2] * 2)


def test_small_images_are_padded_unless_sizes_are_chosen(digits):
    X, y = digits
    model = CNNClassifier(filters=(2,) * 5, hidden=(), pool="mean", max_epochs=1)
    assert model.fit(X[:20], y[:20]).net_.module_.padding == (12, 12, 12, 12)
    with pytest.raises(TallyError, match="pool_stride: in block 4 the pooling"):
        model.set_params(pool_stride=2).fit(X[:20], y[:20])


def test_variance_of_new_weights():
    for activation, gain in (("relu", 2**0.5), ("tanh", 5 / 3), ("sigmoid", 1)):
        torch.manual_seed(0)
        module = network(filters=(64, 64, 64), activation=activation)
        deviation = module.conv2.weight.std().item()
        assert deviation == pytest.approx(gain / (64 * 9) ** 0.5, rel=0.02)


def test_named_networks_are_settings_of_the_layers():
    assert NETWORKS["paper-tuned"]["filters"] == (64, 96, 112)
    lenet = network(**{**NETWORKS["lenet5"], "height": 28, "width": 28})
    parts = [m for m in lenet.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    sizes = [tuple(m.weight.shape[:2]) for m in parts]
    assert sizes == [(6, 1), (16, 6), (120, 400), (84, 120), (3, 84)]
