"""The block trained in one piece does what its layers do one after another."""

import copy

import pytest
import torch
from torch import nn

from sktally.digits import _network
from sktally.digits._block import can_run_block, can_train_block, run_block, train_block
from sktally.digits._network import DigitNetwork, Pool


def block(channels, norm, dtype=torch.float64, kernel=3):
    torch.manual_seed(0)
    parts = [nn.Conv2d(channels, 5, kernel, padding=kernel // 2)]
    if norm:
        parts.append(nn.BatchNorm2d(5))
        nn.init.normal_(parts[1].weight)  # some gains are below 0
        nn.init.normal_(parts[1].bias)
    return [part.to(dtype) for part in [*parts, Pool("max", 2, 2, torch.relu)]]


def layer_by_layer(x, parts):
    for part in parts:
        x = part(x)
    return x


def results(run, x, parts):
    """Return output, gradients and what batch norm has learnt."""
    parts = copy.deepcopy(parts)
    x = x.detach().clone().requires_grad_(x.requires_grad)
    z = run(x, parts)
    weights = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    (z * weights.to(z.dtype)).sum().backward()
    found = [z, x.grad, parts[0].weight.grad]
    if len(parts) == 3:
        norm = parts[1]
        found += [norm.weight.grad, norm.bias.grad, norm.running_mean]
        return [*found, norm.running_var, norm.num_batches_tracked]
    return [*found, parts[0].bias.grad]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("wants_gradient", [False, True])
@pytest.mark.parametrize(
    ("channels", "size"),
    [(1, (8, 8)), (1, (7, 9)), (3, (6, 5)), (5, (8, 8)), (5, (7, 9))],
)
def test_block_equals_its_layers(channels, size, norm, wants_gradient):
    parts = block(channels, norm)
    x = torch.randn(140, channels, *size, dtype=torch.float64)  # more than one piece
    x = x.to(memory_format=torch.channels_last).requires_grad_(wants_gradient)
    expected = results(layer_by_layer, x, parts)
    for got, want in zip(results(train_block, x, parts), expected, strict=True):
        assert (got is None) == (want is None)
        assert got is None or torch.allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 4])
def test_the_first_of_equal_pixels_gets_the_gradient(channels):
    parts = block(channels, norm=False, kernel=1)
    x = torch.randint(0, 2, (9, channels, 6, 6)).double().requires_grad_()
    expected = results(layer_by_layer, x, parts)
    assert torch.equal(results(train_block, x, parts)[1], expected[1])


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("channels", [1, 8])
def test_bfloat16_is_near(channels, norm):
    parts = block(channels, norm, torch.float32)
    x = torch.randn(40, channels, 8, 8).to(memory_format=torch.channels_last)
    expected = results(layer_by_layer, x, parts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = results(train_block, x, parts)
    assert got[0].dtype == torch.bfloat16 and got[2].dtype == torch.float32
    for a, b in zip(got, expected, strict=True):
        assert a is None or (a - b).float().norm() <= 0.1 * b.float().norm()


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(8, 8), (7, 7), (9, 6)])
def test_predictions_equal_the_layers(channels, size, norm):
    parts = block(channels, norm)
    x = torch.randn(12, channels, *size, dtype=torch.float64)
    layer_by_layer(x, parts)  # so that the norm has learnt something
    for part in parts:
        part.eval()
    assert not can_run_block(x, parts)  # gradients might be wanted
    with torch.inference_mode():
        assert can_run_block(x, parts)
        got, want = run_block(x, parts), layer_by_layer(x, parts)
    assert torch.allclose(got, want, rtol=1e-9, atol=1e-9)
    parts[-1].train()
    with torch.inference_mode():
        assert not can_run_block(x, parts)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (5, 7), (5, 8)])
def test_what_is_not_a_number_is_seen(channels, size, sign):
    parts = block(channels, norm=False, dtype=torch.bfloat16)
    parts[0].weight.data[2] = sign * torch.nan
    with torch.enable_grad():
        z = train_block(torch.ones(3, channels, size, size).bfloat16(), parts)
    assert z[:, 2].isnan().all() and z[:, :2].isfinite().all()


def test_gradient_cannot_be_taken_twice():
    z = train_block(torch.randn(4, 8, 8, 8), block(8, False, torch.float32))
    z.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_only_known_layers_in_training_go_in_one_piece():
    x = torch.randn(4, 1, 8, 8)
    parts = block(1, True, torch.float32)
    assert can_train_block(x, parts)
    with torch.no_grad():
        assert not can_train_block(x, parts)
    for pool in (
        Pool("mean", 2, 2, torch.relu),
        Pool("max", 3, 2, torch.relu),
        Pool("max", 2, 1, torch.relu),
        Pool("max", 2, 2, torch.tanh),
    ):
        assert not can_train_block(x, [*parts[:-1], pool])
    assert not can_train_block(x.to("meta"), parts)
    parts[1].eval()  # frozen: keeps its statistics
    assert not can_train_block(x, parts)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_network_learns_the_same_with_and_without(batch_norm, monkeypatch):
    torch.manual_seed(0)
    settings = {"channels": 1, "height": 14, "width": 14, "n_classes": 3}
    settings |= {"filters": (4, 6), "kernel_size": 3, "hidden": (5,), "dropout": 0.0}
    network = DigitNetwork(**settings, batch_norm=batch_norm)
    nn.init.normal_(network.output.weight)
    x = torch.randn(140, 1, 14, 14)
    gradients = []
    for known in (can_train_block, lambda *_: False):
        monkeypatch.setattr(_network, "can_train_block", known)
        twin = copy.deepcopy(network).train()
        twin(x).square().sum().backward()
        gradients.append({n: w.grad for n, w in twin.named_parameters()})
    for name, want in gradients[1].items():
        got = gradients[0][name]
        if got is None:  # batch norm takes the bias out
            got = torch.zeros_like(want)
        assert torch.allclose(got, want, rtol=1e-3, atol=1e-3), name
