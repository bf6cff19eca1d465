"""Run a block of convolution, batch norm, 2 x 2 max-pool and ReLU in one piece.

`train_block` gives what the separate layers give, in less time on a CPU: no indices
of maxima are kept, batch norm is applied to the pooled pixels alone, though its
statistics are those of all pixels, and the gradient takes the place of the images.
Without a norm, and in predictions, for which the norm becomes part of the filters,
maxima are found on the bits of the floats, pixels that are not pooled are not made, and
small convolutions are products of matrices.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from sktally.digits._layers import SteppingConv2d

__all__ = ["can_run_block", "can_train_block", "run_block", "train_block"]

_PIECE = 16  # images
_INTEGERS = {
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}


def _is_known(x: torch.Tensor, pool: nn.Module) -> bool:
    known = (pool.kind, pool.size, pool.stride) == ("max", 2, 2)
    return known and pool.activation is torch.relu and x.device.type == "cpu"


def can_train_block(x: torch.Tensor, parts: list[nn.Module]) -> bool:
    """Tell whether `train_block` knows a convolution, perhaps a norm, and a pool."""
    trains = all(part.training for part in parts) and torch.is_grad_enabled()
    steps_over = isinstance(parts[0], SteppingConv2d)
    return trains and not steps_over and _is_known(x, parts[-1])


def can_run_block(x: torch.Tensor, parts: list[nn.Module]) -> bool:
    """Tell whether `run_block` knows a convolution, perhaps a norm, and a pool."""
    trains = any(part.training for part in parts) or torch.is_grad_enabled()
    return not trains and _is_known(x, parts[-1])


def run_block(x: torch.Tensor, parts: list[nn.Module]) -> torch.Tensor:
    """Return ``relu(max_pool2d(norm(conv(x)), 2))`` with the norm as it was learnt."""
    conv, norm = parts[0], parts[1] if len(parts) == 3 else None
    kind = _kind(x)
    weight, bias = conv.weight, conv.bias
    if norm is not None:
        gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
        weight = weight * gain[:, None, None, None]
        bias = (bias - norm.running_mean) * gain + norm.bias
    by_matrix = _suits_matrix(x, conv)
    y, _ = _made(x.to(kind), weight.to(kind), bias.to(kind), conv, by_matrix)
    return _pooled_relu(y)


def _kind(x: torch.Tensor) -> torch.dtype:
    """Return what to compute in."""
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu")
    return x.dtype


def train_block(x: torch.Tensor, parts: list[nn.Module]) -> torch.Tensor:
    """Return ``relu(max_pool2d(norm(conv(x)), 2))``; there may be no norm.

    A norm learns its running statistics.
    """
    conv, norm = parts[0], parts[1] if len(parts) == 3 else None
    kind = _kind(x)
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


def _shape(x: torch.Tensor, conv: nn.Conv2d) -> tuple[int, int]:
    """Return height and width of convolved images."""
    both = zip(x.shape[2:], conv.kernel_size, conv.padding, conv.stride, strict=True)
    height, width = ((n + 2 * pad - size) // step + 1 for n, size, pad, step in both)
    return height, width


def _suits_matrix(x: torch.Tensor, conv: nn.Conv2d) -> bool:
    """Tell whether one product of matrices is faster than a convolution.

    It is where filters see little. And it leaves out a last row and column, which
    2 x 2 pooling ignores: that pays where they are much of an image.
    """
    height, width = _shape(x, conv)
    seen = (height // 2 * 2) * (width // 2 * 2)
    return _is_cheap(conv.weight) or seen < 0.8 * height * width


def _columns(x: torch.Tensor, conv: nn.Conv2d) -> tuple[torch.Tensor, list[int]]:
    """Return what filters see, a row for each pixel to be pooled, and their shape."""
    shape = [len(x), *(n // 2 * 2 for n in _shape(x, conv))]
    (up, left), (down, right) = conv.padding, conv.stride
    x = functional.pad(x, (left, left, up, up)).permute(0, 2, 3, 1)
    image, row, pixel, channel = x.stride()
    steps = [image, row * down, pixel * right]
    seen, strides = [*conv.kernel_size, x.shape[3]], [row, pixel, channel]
    if x.shape[3] > 3:  # copied by runs of channels
        found = x.as_strided([*shape, *seen], [*steps, *strides])
        return found.reshape(math.prod(shape), -1), shape
    found = x.as_strided([*seen, *shape], [*strides, *steps])
    return found.reshape(math.prod(seen), -1).T, shape


def _made(x, weight, bias, conv: nn.Conv2d, by_matrix: bool):
    """Return convolved images, and the columns that they were made of, if any."""
    if not by_matrix:
        return _convolved(x, weight, bias, conv), None
    columns, shape = _columns(x, conv)
    y = torch.addmm(bias, columns, weight.permute(0, 2, 3, 1).flatten(1).T)
    return y.view(*shape, -1).permute(0, 3, 1, 2), columns


def _pairs(y: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return neighbours along rows (2) or columns (3), without an odd one out."""
    n = y.shape[dim] // 2 * 2
    return tuple(y.narrow(dim, 0, n).unflatten(dim, (-1, 2)).unbind(dim + 1))


def _pooled(y: torch.Tensor) -> torch.Tensor:
    return torch.maximum(*_pairs(torch.maximum(*_pairs(y, 3)), 2))


def _as_integers(y: torch.Tensor) -> torch.Tensor:
    """Return the bits of floats: in the order of the floats where these are above 0.

    What is below 0 stays below 0, and integers are compared in half the time.
    """
    return y.view(_INTEGERS[y.dtype])


def _pooled_relu(y: torch.Tensor) -> torch.Tensor:
    return _pooled(_as_integers(y)).view(y.dtype).relu_()


def _split(g: torch.Tensor, first, second, into) -> None:
    """Write the gradients of both of a pair: all of it where the maximum is.

    All are bits of floats, the pair of none below 0. The first wins a tie, as in
    torch. `into` may be the pair itself.
    """
    where_second = (first - second).bitwise_right_shift_(8 * g.itemsize - 1)
    torch.bitwise_and(g, where_second, out=into[1])
    torch.bitwise_xor(g, into[1], out=into[0])


def _unpooled_(y: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Overwrite `y` by its gradient, given that of ``relu(_pooled(y))``.

    It is 0 wherever that is 0.
    """
    bits, g = _as_integers(y).clamp_(min=0), _as_integers(g)
    pair = _pairs(bits, 3)
    rows = torch.maximum(*pair)
    up_down = _pairs(rows, 2)
    _split(g, *up_down, up_down)
    if y.shape[2] % 2:
        rows[:, :, -1].zero_()
    if y.shape[3] % 2:
        bits[..., -1].zero_()
    _split(rows, *pair, pair)
    return y


def _unpooled_norm_(y: torch.Tensor, g: torch.Tensor, a, b) -> torch.Tensor:
    """Overwrite `y` by its gradient: that of ``_pooled(y)``, and ``a * y + b``.

    `a` and `b` are vectors over channels.
    """
    pair = _pairs(y, 3)
    rows = torch.maximum(*pair)
    up, down = _pairs(rows, 2)
    torch.ops.aten.threshold_backward.grad_input(g, down - up, 0, grad_input=down)
    torch.sub(g, down, out=up)
    if y.shape[2] % 2:
        rows[:, :, -1].zero_()
    more = pair[1] - pair[0]
    a, b = (v.to(y.dtype)[:, None, None] for v in (a, b))
    torch.addcmul(b, y, a, out=y)
    to_second = torch.ops.aten.threshold_backward(rows, more, 0)
    pair[1].add_(to_second)
    pair[0].add_(rows.sub_(to_second))
    return y


def _joined(parts) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _conv_gradients(ctx, g, x, weight, columns=None):
    """Return the gradients of images and weight."""
    wanted = [*ctx.needs_input_grad[:2], False]
    d_weight = None
    if columns is not None and wanted[1]:
        matrix = columns.T @ g.permute(0, 2, 3, 1).reshape(len(columns), -1)
        shape = [weight.shape[i] for i in (2, 3, 1, 0)]
        d_weight, wanted[1] = matrix.view(shape).permute(3, 2, 0, 1), False
    if not any(wanted):
        return None, d_weight
    if columns is not None:  # pixels that were left out have no gradient
        full = _shape(x, ctx.conv)
        missing = [n - m for n, m in zip(full, g.shape[2:], strict=True)]
        g = functional.pad(g, (0, missing[1], 0, missing[0]))
    stride, padding = ctx.conv.stride, ctx.conv.padding
    d_x, by_conv, _ = torch.ops.aten.convolution_backward(
        g, x, weight, None, stride, padding, (1, 1), False, (0, 0), 1, wanted
    )
    return d_x, by_conv if d_weight is None else d_weight


class _Block(torch.autograd.Function):
    """Convolution, pooling and ReLU, in pieces that fit the processor's cache."""

    @staticmethod
    def forward(ctx, x, weight, bias, conv):
        """Return pooled images."""
        ctx.conv, ctx.by_matrix = conv, _suits_matrix(x, conv)
        ctx.size = _PIECE if _is_cheap(weight) else len(x)
        made = []
        for part in x.split(ctx.size):
            y, columns = _made(part, weight, bias, conv, ctx.by_matrix)
            made.append(_pooled_relu(y))
        z = _joined(made)
        kept = (None, None) if ctx.size < len(x) else (y, columns)
        ctx.save_for_backward(x, weight, bias, z, *kept)
        return z

    @staticmethod
    def backward(ctx, g):
        """Return gradients of images, weight and bias."""
        x, weight, bias, z, y, columns = ctx.saved_tensors
        g = torch.ops.aten.threshold_backward(g, z, 0)
        found = []
        for part, g_part in zip(x.split(ctx.size), g.split(ctx.size), strict=True):
            if ctx.size < len(x):
                y, columns = _made(part, weight, bias, ctx.conv, ctx.by_matrix)
            g_part = _unpooled_(y, g_part)
            found.append(_conv_gradients(ctx, g_part, part, weight, columns))
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
        g = _unpooled_norm_(y, g, a, -scale * d_shift - a * mean)
        d_x, d_weight = _conv_gradients(ctx, g, x, signed)
        if d_weight is not None:
            d_weight = d_weight * sign.to(g.dtype)[:, None, None, None]
        return d_x, d_weight, d_gain * sign, d_shift, None, None
