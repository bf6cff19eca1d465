"""Train a block of convolution, batch norm, 2 x 2 max-pool and ReLU in one piece.

`train_block` gives what the separate layers give, in less time on a CPU: no indices
of maxima are kept, batch norm is applied to the pooled pixels alone, though its
statistics are those of all pixels, and the gradient takes the place of the images.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["can_train_block", "train_block"]

_PIECE = 64  # images


def can_train_block(x: torch.Tensor, parts: list[nn.Module]) -> bool:
    """Tell whether `train_block` knows a convolution, perhaps a norm, and a pool."""
    pool = parts[-1]
    known = (pool.kind, pool.size, pool.stride) == ("max", 2, 2)
    known = known and pool.activation is torch.relu and x.device.type == "cpu"
    return known and all(part.training for part in parts) and torch.is_grad_enabled()


def train_block(x: torch.Tensor, parts: list[nn.Module]) -> torch.Tensor:
    """Return ``relu(max_pool2d(norm(conv(x)), 2))``; there may be no norm.

    A norm learns its running statistics.
    """
    conv, norm = parts[0], parts[1] if len(parts) == 3 else None
    kind = x.dtype
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
    images, weight, bias = x.to(kind), conv.weight, conv.bias
    if norm is not None:
        if images.requires_grad or not _is_cheap(conv.weight):
            return _NormBlock.apply(
                images, weight.to(kind), norm.weight, norm.bias, conv, norm
            )
        with torch.autocast("cpu", enabled=False):
            weight, bias = _folded(images, conv, norm)
    return _Block.apply(images, weight.to(kind), bias.to(kind), conv)


def _is_cheap(weight: torch.Tensor) -> bool:
    """Tell whether filters see so little that convolving again beats keeping it."""
    return weight[0].numel() <= 32


def _folded(x: torch.Tensor, conv: nn.Conv2d, norm):
    """Return filters and biases that convolve and normalise in one.

    Mean and covariance of the pixels under a filter give mean and variance of what it
    makes of them.
    """
    weight = conv.weight.flatten(1)
    seen = functional.unfold(
        x.to(weight.dtype), conv.kernel_size, 1, conv.padding, conv.stride
    )
    n = seen.shape[0] * seen.shape[2]
    middle = seen.mean((0, 2))
    spread = torch.bmm(seen, seen.mT).sum(0) / n - torch.outer(middle, middle)
    mean = weight @ middle
    var = ((weight @ spread) * weight).sum(1).clamp(min=0)
    with torch.no_grad():
        # the bias only moves the mean, which batch norm takes out
        norm.running_mean.lerp_(mean + conv.bias, norm.momentum)
        norm.running_var.lerp_(var * (n / max(n - 1, 1)), norm.momentum)
        norm.num_batches_tracked.add_(1)
    gain = norm.weight * (var + norm.eps).rsqrt()
    return conv.weight * gain[:, None, None, None], norm.bias - mean * gain


def _convolved(x, weight, bias, conv: nn.Conv2d) -> torch.Tensor:
    y = functional.conv2d(x, weight, bias, conv.stride, conv.padding)
    return y.contiguous(memory_format=torch.channels_last)


def _pairs(y: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return neighbours along rows (2) or columns (3), without an odd one out."""
    n = y.shape[dim] // 2 * 2
    return tuple(y.narrow(dim, 0, n).unflatten(dim, (-1, 2)).unbind(dim + 1))


def _pooled(y: torch.Tensor) -> torch.Tensor:
    return torch.maximum(*_pairs(torch.maximum(*_pairs(y, 3)), 2))


def _split(g: torch.Tensor, first, second, into) -> None:
    """Write the gradients of both of a pair: all of it where the maximum is.

    The first wins a tie, as in torch. `into` may be the pair itself.
    """
    more = second - first
    torch.ops.aten.threshold_backward.grad_input(g, more, 0, grad_input=into[1])
    torch.sub(g, into[1], out=into[0])


def _unpooled_(y: torch.Tensor, g: torch.Tensor, dense=None) -> torch.Tensor:
    """Overwrite `y` by its gradient, given that of ``_pooled(y)``.

    `dense` holds vectors over channels, a and b, for ``a * y + b`` to be added.
    """
    pair = _pairs(y, 3)
    rows = torch.maximum(*pair)
    up_down = _pairs(rows, 2)
    _split(g, *up_down, up_down)
    if y.shape[2] % 2:
        rows[:, :, -1].zero_()
    if dense is None:
        if y.shape[3] % 2:
            y[..., -1].zero_()
        _split(rows, *pair, pair)
        return y
    more = pair[1] - pair[0]
    a, b = (v.to(y.dtype)[:, None, None] for v in dense)
    torch.addcmul(b, y, a, out=y)
    to_second = torch.ops.aten.threshold_backward(rows, more, 0)
    pair[1].add_(to_second)
    pair[0].add_(rows.sub_(to_second))
    return y


def _joined(parts) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _conv_gradients(ctx, g, x, weight):
    """Return the gradients of images and weight."""
    mask = [*ctx.needs_input_grad[:2], False]
    stride, padding = ctx.conv.stride, ctx.conv.padding
    return torch.ops.aten.convolution_backward(
        g, x, weight, None, stride, padding, (1, 1), False, (0, 0), 1, mask
    )[:2]


class _Block(torch.autograd.Function):
    """Convolution, pooling and ReLU, in pieces that fit the processor's cache."""

    @staticmethod
    def forward(ctx, x, weight, bias, conv):
        """Return pooled images."""
        size = _PIECE if _is_cheap(weight) else len(x)
        made = []
        for part in x.split(size):
            y = _convolved(part, weight, bias, conv)
            made.append(_pooled(y).relu_())
        z = _joined(made)
        ctx.conv, ctx.size = conv, size
        ctx.save_for_backward(x, weight, bias, z, None if size < len(x) else y)
        return z

    @staticmethod
    def backward(ctx, g):
        """Return gradients of images, weight and bias."""
        x, weight, bias, z, y = ctx.saved_tensors
        g = torch.ops.aten.threshold_backward(g, z, 0)
        found = []
        for part, g_part in zip(x.split(ctx.size), g.split(ctx.size), strict=True):
            if ctx.size < len(x):
                y = _convolved(part, weight, bias, ctx.conv)
            found.append(_conv_gradients(ctx, _unpooled_(y, g_part), part, weight))
        d_x, d_weight = zip(*found, strict=True)
        d_x = _joined(d_x) if ctx.needs_input_grad[0] else None
        d_weight = torch.stack(d_weight).sum(0) if ctx.needs_input_grad[1] else None
        return d_x, d_weight, g.sum((0, 2, 3)), None


class _NormBlock(torch.autograd.Function):
    """Convolution, batch norm, pooling and ReLU.

    A channel with a gain below 0 is convolved with the opposite filter: then every
    gain is positive, and batch norm commutes with the maximum.
    """

    @staticmethod
    def forward(ctx, x, weight, gain, shift, conv, norm):
        """Return pooled images; `norm` learns its running statistics."""
        sign = torch.where(gain < 0, -1.0, 1.0).to(gain.dtype)
        signed = weight * sign.to(weight.dtype)[:, None, None, None]
        # the bias would only move the mean, which batch norm takes out
        y = _convolved(x, signed, None, conv)
        mean, var = torch.batch_norm_update_stats(
            y, torch.zeros_like(gain), norm.running_var, norm.momentum
        )
        norm.running_mean.lerp_(mean * sign + conv.bias, norm.momentum)
        norm.num_batches_tracked.add_(1)
        m = _pooled(y)
        gain = gain.abs()
        z = functional.batch_norm(m, mean, var, gain, shift, False, 0, norm.eps)
        z = z.relu_()
        ctx.conv, ctx.eps = conv, norm.eps
        ctx.save_for_backward(x, signed, y, m, z, mean, var, gain, sign)
        return z

    @staticmethod
    def backward(ctx, g):
        """Return gradients of images, weight, gain and shift."""
        x, signed, y, m, z, mean, var, gain, sign = ctx.saved_tensors
        g = torch.ops.aten.threshold_backward(g, z, 0)
        g, d_gain, d_shift = torch.ops.aten.native_batch_norm_backward(
            g, m, gain, mean, var, None, None, False, ctx.eps, [True] * 3
        )
        # the rest of the gradient comes through mean and variance
        spread = (var + ctx.eps).rsqrt()
        scale = gain * spread * (y.shape[1] / y.numel())
        a = -scale * d_gain * spread
        g = _unpooled_(y, g, (a, -scale * d_shift - a * mean))
        d_x, d_weight = _conv_gradients(ctx, g, x, signed)
        if d_weight is not None:
            d_weight = d_weight * sign.to(g.dtype)[:, None, None, None]
        return d_x, d_weight, d_gain * sign, d_shift, None, None
