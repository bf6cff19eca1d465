"""Shadows over cells and the squares of JPEG files, drawn at random on tensors.

Images come and go as ``(n, channels, height, width)``, paper 0 and ink above it.
Draws come from torch's generator, for each image by itself.
"""

from __future__ import annotations

import math

import torch

__all__ = [
    "coded",
    "compressed",
    "in_shadow",
    "jpeg_quality",
    "quantisation_table",
    "shaded",
]

#: Steps for luminance, of an ordinary quality ("50"): ITU-T T.81 (1992), Table K.1.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)

#: Black above white, in standard deviations of the pixels, where a cell shows no
#: ink to measure it by: 2.7 in scikit-learn's digits, 3.2 in MNIST.
_BLACK = 3.0


def shaded(x: torch.Tensor, most: float) -> torch.Tensor:
    """Return images with a shadow on one side of a soft straight edge.

    The edge has a random place, direction and softness. A shadow that takes a share d
    of the light, drawn evenly in ``[0, most]``, turns a light L into ``L * (1 - d)``:
    paper loses most and the darkest ink nothing. With ink above paper that is a
    plateau of d times the darkest ink, on which strokes stand lower.
    """
    draws = torch.rand(4, len(x), 1, 1, 1, device=x.device)
    return in_shadow(x, draws[:3], draws[3] * most)


def in_shadow(x: torch.Tensor, draws: torch.Tensor, depth) -> torch.Tensor:
    """Return images with a shadow of a given depth, in [0, 1].

    Three draws in [0, 1] for each image, ``(3, n, 1, 1, 1)``, say in which direction
    the edge lies, where, and how soft it is.
    """
    height, width = x.shape[2:]
    down = torch.linspace(-0.5, 0.5, height, device=x.device).view(1, 1, -1, 1)
    right = torch.linspace(-0.5, 0.5, width, device=x.device).view(1, 1, 1, -1)
    angle = draws[0] * (2 * math.pi)
    cos, sin = angle.cos(), angle.sin()
    # the edge meets the cell: 0.8 of the way from its middle to its farthest corner
    place = (draws[1] * 2 - 1) * 0.4 * (cos.abs() + sin.abs())
    softness = 0.01 + 0.09 * draws[2]  # of the side: from sharp to half a cell
    mask = ((right * cos + down * sin - place) / softness).sigmoid()
    return torch.lerp(x, _blackest(x).expand_as(x), (mask * depth).expand_as(x))


def jpeg_quality(strength: float, draw):
    """Return the quality, 1 to 100, for a draw in [0, 1]: 5 at worst, 100 at best."""
    return 100 - 95 * strength * draw


def quantisation_table(quality: torch.Tensor) -> torch.Tensor:
    """Return the steps ``(n, 8, 8)`` for qualities ``(n,)``, by libjpeg's rule.

    Table K.1 times ``50 / quality`` below 50 and ``2 - quality / 50`` above, whole
    numbers from 1 to 255.
    """
    table = torch.tensor(_LUMINANCE, dtype=torch.float32, device=quality.device)
    share = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    return (table * share.view(-1, 1, 1) + 0.5).floor().clamp(1, 255)


def compressed(x: torch.Tensor, strength: float) -> torch.Tensor:
    """Return images as they come back from JPEG files of random quality."""
    draws = torch.rand(3, len(x), device=x.device)
    top, left = (draws[1:] * 8).long().clamp(max=7)
    return coded(x, jpeg_quality(strength, draws[0]), top, left)


def coded(x: torch.Tensor, quality, top, left) -> torch.Tensor:
    """Return images through JPEG's quantisation of squares of 8 x 8 pixels.

    Each channel goes for itself, with the steps for luminance; paper to the darkest
    ink are the 255 grey values. `quality`, and how many pixels the first squares
    reach over the `top` and `left` sides, have one number for each image.
    """
    n, channels, height, width = x.shape
    n_down, n_right = (height + 14) // 8, (width + 14) // 8
    each = torch.arange(n, device=x.device).view(n, 1, 1)
    rows = torch.arange(8 * n_down, device=x.device) - top.view(n, 1)
    columns = torch.arange(8 * n_right, device=x.device) - left.view(n, 1)
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    # channels last, so that rows and columns can be taken at once
    spread = x.permute(0, 2, 3, 1)[each, rows.unsqueeze(2), columns.unsqueeze(1)]
    spread = spread.permute(0, 3, 1, 2)

    blocks = spread.reshape(n, channels, n_down, 8, n_right, 8).transpose(3, 4)
    waves = _cosines(x.device)
    steps = quantisation_table(quality).view(n, 1, 1, 1, 8, 8)
    steps = steps * (_blackest(x).view(n, 1, 1, 1, 1, 1) / 255)
    amounts = waves @ blocks @ waves.T
    blocks = waves.T @ ((amounts / steps).round() * steps) @ waves
    spread = blocks.transpose(3, 4).reshape(n, channels, 8 * n_down, 8 * n_right)

    rows = torch.arange(height, device=x.device) + top.view(n, 1)
    columns = torch.arange(width, device=x.device) + left.view(n, 1)
    found = spread.permute(0, 2, 3, 1)[each, rows.unsqueeze(2), columns.unsqueeze(1)]
    return found.permute(0, 3, 1, 2)


def _blackest(x: torch.Tensor) -> torch.Tensor:
    """Return the darkest ink of each image, ``(n, 1, 1, 1)``."""
    return x.amax((1, 2, 3), keepdim=True).clamp(min=_BLACK)


def _cosines(device) -> torch.Tensor:
    """Return the orthonormal matrix of the discrete cosine transform, 8 x 8."""
    k = torch.arange(8, dtype=torch.float64).view(8, 1)
    i = torch.arange(8, dtype=torch.float64)
    waves = torch.cos(math.pi * (2 * i + 1) * k / 16) / 2
    waves[0] /= math.sqrt(2)
    return waves.float().to(device)
