import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sktally.digits._feed import CellBatches, CellDataset
from sktally.digits._net import has_bfloat16, images_to_tensor
from sktally.digits._network import ByteDropout, DigitNetwork

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


def test_pool_before_relu_gives_what_relu_before_pool_gives():
    torch.manual_seed(0)
    network = DigitNetwork(**{**SETTINGS, "batch_norm": False}).eval()
    nn.init.normal_(network.output.weight)
    x = torch.randn(7, 1, 8, 8)
    h = functional.max_pool2d(network.conv1(x).relu(), 2)
    h = functional.max_pool2d(network.conv2(h).relu(), 2)
    h = network.output(network.dense1(h.flatten(1)).relu())
    assert torch.allclose(network(x), h, atol=1e-5)


def test_small_images_are_padded_around_the_middle():
    network = DigitNetwork(**{**SETTINGS, "height": 1, "width": 3})
    assert network.padding == (0, 1, 1, 2)  # to the smallest side, 4
    assert network.eval()(torch.ones(2, 1, 1, 3)).shape == (2, 3)


@pytest.mark.parametrize("shape", [(50, 16, 10, 10), (1000, 83)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_byte_dropout_keeps_the_mean(shape, dtype):
    torch.manual_seed(0)
    layer = ByteDropout(0.3).train()
    x = torch.ones(shape, dtype=dtype)
    if len(shape) == 4:
        x = x.to(memory_format=torch.channels_last)
    y = layer(x)
    rate = 77 / 256  # 0.3 in 256ths
    assert y.dtype == dtype and y.stride() == x.stride()
    assert (y == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
    assert y.float().mean().item() == pytest.approx(1, abs=0.02)
    # neighbours are dropped independently
    dropped = (y == 0).float().flatten(1)
    both = (dropped[:, 1:] * dropped[:, :-1]).mean().item()
    assert both == pytest.approx(rate**2, abs=0.01)
    assert layer.eval()(x) is x and ByteDropout(0.0).train()(x) is x
    assert "p=0.3008" in repr(layer)


def test_byte_dropout_passes_gradients_through_the_kept():
    x = torch.ones(64, 64, requires_grad=True)
    y = ByteDropout(0.5).train()(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_output_starts_at_even_odds():
    network = DigitNetwork(**SETTINGS).eval()
    assert torch.equal(network(torch.randn(2, 1, 8, 8)), torch.zeros(2, 3).double())


def test_images_to_tensor_known_answer():
    grey = images_to_tensor(torch.tensor([[[0, 50]]], dtype=torch.uint8), 10.0, 20.0)
    assert grey.shape == (1, 1, 1, 2) and grey.flatten().tolist() == [-0.5, 2.0]
    colour = torch.arange(6.0).view(1, 1, 2, 3)
    assert images_to_tensor(colour, 0.0, 1.0)[0, :, 0, 1].tolist() == [3.0, 4.0, 5.0]
    assert colour.flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_batches_cover_every_row_once_and_are_even():
    images = np.arange(10, dtype=np.float32).reshape(10, 1, 1)
    images.setflags(write=False)
    data = CellDataset(images, np.arange(10), rows=np.arange(1, 10))
    sizes = [len(x) for x, _ in CellBatches(data, batch_size=4)]
    assert sizes == [3, 3, 3] and len(CellBatches(data, batch_size=4)) == 3
    torch.manual_seed(1)
    passes = [
        torch.cat([y for _, y in CellBatches(data, batch_size=4, shuffle=True)])
        for _ in range(2)
    ]
    assert not torch.equal(*passes)
    assert sorted(passes[0].tolist()) == list(range(1, 10))
    for x, y in CellBatches(data, batch_size=4, shuffle=True):
        assert torch.equal(x.flatten(), y.float())
    assert [t.item() for t in data[2]] == [3, 3]


def test_bfloat16_is_never_guessed():
    assert has_bfloat16("mps") is False
    assert isinstance(has_bfloat16("cpu"), bool)
