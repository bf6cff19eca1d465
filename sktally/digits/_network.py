"""The network: convolution blocks, then fully connected layers, then logits."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["ByteDropout", "DigitNetwork"]


class ByteDropout(nn.Module):
    """Zero random values, with masks drawn from random bytes.

    Does what `torch.nn.Dropout` does, at a fraction of its cost on a CPU: eight
    masks are cut from each random 64-bit word, so that `p` is rounded to the
    nearest 1/256 and the kept values are scaled by the rounded rate.

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
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64)
        words.random_(-(2**63), None)
        keep = words.view(torch.uint8)[: x.numel()] >= self.cut
        mask = torch.empty_like(x, requires_grad=False)  # keeps the memory layout
        flat = mask.permute(0, 2, 3, 1) if x.dim() == 4 else mask
        flat.copy_(keep.view(flat.shape)).mul_(256 / (256 - self.cut))
        return x * mask

    def extra_repr(self) -> str:
        """Show the rate as it is applied."""
        return f"p={self.cut / 256:.4f}"


class DigitNetwork(nn.Module):
    """Classify small images: [conv, pool, ReLU, dropout] x M, [dense, ReLU] x K.

    Each block halves the image, so the smallest side it takes is ``2 ** M``;
    smaller images are zero-padded to it. Convolutions are padded to keep the size
    and dropout follows every block and every hidden layer: the paper does not say
    where, both are the choice of sktally. ReLU comes after the max-pool, where it
    costs a quarter and gives the same result.

    Parameters
    ----------
    channels, height, width : int
        Of the images.
    n_classes : int
        Number of logits.
    filters : sequence of int
        Filters of each convolution block.
    kernel_size : int
        Odd side of the filters, in pixels.
    hidden : sequence of int
        Units of each fully connected layer before the last.
    dropout : float
        Share of the activations dropped in training, in [0, 1).
    batch_norm : bool
        Normalise after every layer but the last.
    """

    def __init__(
        self,
        *,
        channels: int,
        height: int,
        width: int,
        n_classes: int,
        filters: tuple[int, ...],
        kernel_size: int,
        hidden: tuple[int, ...],
        dropout: float,
        batch_norm: bool,
    ):
        super().__init__()
        smallest = 2 ** len(filters)
        rows, columns = max(height, smallest), max(width, smallest)
        top, left = (rows - height) // 2, (columns - width) // 2
        self.padding = (left, columns - width - left, top, rows - height - top)
        self.blocks: list[list[str]] = []  # names of the modules of each layer
        for i, count in enumerate(filters, 1):
            conv = nn.Conv2d(channels, count, kernel_size, padding=kernel_size // 2)
            self._add("conv", i, conv, nn.BatchNorm2d(count) if batch_norm else None)
            channels, rows, columns = count, rows // 2, columns // 2
        width_in = channels * rows * columns
        for i, count in enumerate(hidden, 1):
            norm = nn.BatchNorm1d(count) if batch_norm else None
            self._add("dense", i, nn.Linear(width_in, count), norm)
            width_in = count
        self._add("output", "", nn.Linear(width_in, n_classes), None)
        self.dropout = ByteDropout(dropout)
        self.frozen = 0
        self.reset()

    def _add(self, kind: str, i: object, layer: nn.Module, norm: nn.Module | None):
        self.add_module(f"{kind}{i}", layer)
        self.blocks.append([f"{kind}{i}"])
        if norm is not None:
            self.add_module(f"{kind}{i}_norm", norm)
            self.blocks[-1].append(f"{kind}{i}_norm")

    @property
    def n_layers(self) -> int:
        """Number of weight layers: convolutions, hidden layers and the output."""
        return len(self.blocks)

    def reset(self) -> None:
        """Draw new weights: He's rule for ReLU, biases and output layer zero."""
        for block in self.blocks:
            layer = getattr(self, block[0])
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.output.weight)  # so that training starts from even odds

    def freeze(self, n_layers: int) -> None:
        """Hold the first `n_layers` still, with their batch-norm statistics."""
        self.frozen = n_layers
        for i, block in enumerate(self.blocks):
            for name in block:
                getattr(self, name).requires_grad_(i >= n_layers)
        self.train(self.training)

    def train(self, mode: bool = True) -> DigitNetwork:
        """Set training mode, save for the frozen layers."""
        super().train(mode)
        for block in self.blocks[: self.frozen]:
            for name in block:
                getattr(self, name).eval()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(n, n_classes)`` of images ``(n, channels, h, w)``."""
        if any(self.padding):
            x = functional.pad(x, self.padding)
        for block in self.blocks[:-1]:
            layer = getattr(self, block[0])
            if isinstance(layer, nn.Linear) and x.dim() == 4:
                x = x.flatten(1)
            x = layer(x)
            if len(block) > 1:
                x = getattr(self, block[1])(x)
            if x.dim() == 4:
                x = functional.max_pool2d(x, 2)
            x = self.dropout(functional.relu(x))
        # bfloat16 would leave 8 bits to each logit: ties and coarse probabilities
        with torch.autocast(x.device.type, enabled=False):
            x = x.flatten(1).float()
            if self.training or x.device.type != "cpu":
                return self.output(x)
            # in float32 a row's place in the batch shows in the last bit
            bias = self.output.bias.double()
            return functional.linear(x.double(), self.output.weight.double(), bias)
