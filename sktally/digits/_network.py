"""The network: convolution blocks, then fully connected layers, then logits."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sktally.digits._block import (
    can_run_block,
    can_train_block,
    run_block,
    train_block,
)
from sktally.digits._layers import ExactLinear, SteppingConv2d, draw_weights
from sktally.digits._options import blocks_of, smallest_side

__all__ = ["ByteDropout", "DigitNetwork", "Pool"]


class ByteDropout(nn.Module):
    """Zero random values, with masks cut from random words.

    Does what `torch.nn.Dropout` does, at a fraction of its cost on a CPU: eight
    values are masked by each random 64-bit word. `p` is rounded to the nearest 1/256
    and the kept values are scaled by the rounded rate.

    Parameters
    ----------
    p : float
        Share of the values set to 0, in [0, 1).
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.cut = min(round(p * 256), 255)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` with dropped values, scaled; or `x` itself when predicting."""
        if not self.training or self.cut == 0:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.p)
        mask = self._mask(x.numel(), x.dtype)
        if x.dim() == 4:  # channels come last in memory
            n, channels, height, width = x.shape
            return x * mask.view(n, height, width, channels).permute(0, 3, 1, 2)
        return x * mask.view(x.shape)

    def _mask(self, n: int, dtype: torch.dtype) -> torch.Tensor:
        """Return 0 or the scale, from integer arithmetic, which is quick."""
        source = np.random.SFC64(torch.randint(2**62, ()).item())
        words = torch.from_numpy(source.random_raw(-(-n // 8)))
        # 1 or 0 in place of the bytes: to make a tensor of bool takes ten times as long
        keep = words.view(torch.int8)[:n].ge_(self.cut - 128)
        scale = torch.tensor(256 / (256 - self.cut), dtype=dtype)
        if dtype.itemsize == 2:
            return keep.to(torch.int16).mul_(scale.view(torch.int16)).view(dtype)
        return keep.to(dtype).mul_(scale)

    def extra_repr(self) -> str:
        """Show the rate as it is applied."""
        return f"p={self.cut / 256:.4f}"


class Pool(nn.Module):
    """Pool the images after a convolution, and apply the activation.

    The activation comes after max and min pooling, which commute with whatever only
    rises: fewer pixels, the same result. It comes before the mean.

    Parameters
    ----------
    kind : {"max", "mean", "min", "mixed", None}
        "mixed" adds maximum and mean in a share that is learnt [1]_.
    size, stride : int
        In pixels.
    activation : callable
        Such as `torch.relu`.

    References
    ----------
    .. [1] C.-Y. Lee, P. W. Gallagher and Z. Tu, Generalizing pooling functions in
       convolutional neural networks, AISTATS 2016.
    """

    def __init__(self, kind: str | None, size: int, stride: int, activation):
        super().__init__()
        self.kind, self.size, self.stride = kind, size, stride
        self.activation = activation
        if kind == "mixed":
            self.share = nn.Parameter(torch.zeros(1))  # its sigmoid: half and half

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return pooled images."""
        if self.kind == "max":
            return self.activation(functional.max_pool2d(x, self.size, self.stride))
        if self.kind == "min":
            return self.activation(-functional.max_pool2d(-x, self.size, self.stride))
        x = self.activation(x)
        if self.kind is None:
            return x
        mean = functional.avg_pool2d(x, self.size, self.stride)
        if self.kind == "mean":
            return mean
        most = functional.max_pool2d(x, self.size, self.stride)
        return torch.lerp(mean, most, self.share.sigmoid().to(mean.dtype))


class DigitNetwork(nn.Module):
    """Classify small images: [conv, pool, activation, dropout] x M, [dense] x K.

    Images smaller than the smallest that leaves a pixel after all blocks (with the
    defaults, ``2 ** M``) are padded to it with background.

    Parameters
    ----------
    channels, height, width : int
        Of the images.
    n_classes : int
        Number of logits; 1 for two classes told apart by one sigmoid.
    filters : sequence of int
        Filters of each convolution block.
    kernel_size : int or sequence of int
        Side of the filters, in pixels.
    hidden : sequence of int
        Units of each fully connected layer before the last.
    dropout : float
        Share of the activations of hidden layers dropped in training, in [0, 1).
    batch_norm : bool
        Normalise after every layer but the last.
    stride, padding, activation, pool, pool_size, pool_stride, conv_dropout
        As in `CNNClassifier`.

    Examples
    --------
    >>> import torch
    >>> from sktally.digits import DigitNetwork
    >>> images = {"channels": 1, "height": 28, "width": 28, "n_classes": 12}
    >>> layers = {"filters": (8, 16), "kernel_size": 3, "hidden": (32,)}
    >>> network = DigitNetwork(**images, **layers, dropout=0.1, batch_norm=False)
    >>> network(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 12])
    """

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        n_classes: int,
        filters: tuple[int, ...],
        kernel_size: int | tuple[int, ...],
        hidden: tuple[int, ...],
        dropout: float,
        batch_norm: bool,
        stride: int | tuple[int, ...] = 1,
        padding: str | int | tuple = "same",
        activation: str = "relu",
        pool: str | None | tuple = "max",
        pool_size: int | tuple[int, ...] = 2,
        pool_stride: int | None | tuple = None,
        conv_dropout: float | None = None,
    ):
        super().__init__()
        settings = blocks_of(
            {
                "filters": filters,
                "kernel_size": kernel_size,
                "stride": stride,
                "padding": padding,
                "pool": pool,
                "pool_size": pool_size,
                "pool_stride": pool_stride,
            }
        )
        smallest = smallest_side(settings)
        rows, columns = max(height, smallest), max(width, smallest)
        top, left = (rows - height) // 2, (columns - width) // 2
        self.padding = (left, columns - width - left, top, rows - height - top)
        self.activation = getattr(torch, activation)
        self.steps: list[list[str]] = []  # names of what an image passes, by layer
        for i, block in enumerate(settings, 1):
            self._add_block(i, channels, block, batch_norm)
            channels, rows, columns = (
                block.filters,
                block.sides(rows)[1],
                block.sides(columns)[1],
            )
        width_in = channels * rows * columns
        for i, count in enumerate(hidden, 1):
            norm = {"_norm": nn.BatchNorm1d(count)} if batch_norm else {}
            self._add(f"dense{i}", {"": nn.Linear(width_in, count), **norm})
            width_in = count
        self._add("output", {"": ExactLinear(width_in, n_classes)})
        self.dropout = ByteDropout(dropout)
        self.conv_dropout = ByteDropout(
            dropout if conv_dropout is None else conv_dropout
        )
        draw_weights(self, activation)

    def _add_block(self, i: int, channels: int, block, batch_norm: bool) -> None:
        steps_over = block.kernel == 1 and block.stride > 1
        parts = {
            "": (SteppingConv2d if steps_over else nn.Conv2d)(
                channels,
                block.filters,
                block.kernel,
                stride=block.stride,
                padding=block.padding,
            )
        }
        if batch_norm:
            parts["_norm"] = nn.BatchNorm2d(block.filters)
        pool = Pool(block.pool, block.pool_size, block.pool_stride, self.activation)
        self._add(f"conv{i}", {**parts, "_pool": pool})

    def _add(self, name: str, parts: dict[str, nn.Module]) -> None:
        for suffix, part in parts.items():
            self.add_module(name + suffix, part)
        self.steps.append([name + suffix for suffix in parts])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(n, n_classes)`` of images ``(n, channels, h, w)``."""
        if any(self.padding):
            x = functional.pad(x, self.padding)
        for step in self.steps[:-1]:
            convolves = step[0].startswith("conv")
            if not convolves and x.dim() == 4:
                x = x.flatten(1)
            parts = [getattr(self, name) for name in step]
            if convolves and can_train_block(x, parts):
                x = train_block(x, parts)
            elif convolves and can_run_block(x, parts):
                x = run_block(x, parts)
            else:
                for part in parts:
                    x = part(x)
            x = self.conv_dropout(x) if convolves else self.dropout(self.activation(x))
        return self.output(x.flatten(1))
