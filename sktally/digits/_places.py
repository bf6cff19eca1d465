"""Where to look in an image for each pixel of a turned, moved or bent one."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["affine_places", "bicubic_weights"]


def affine_places(x: torch.Tensor, turn, slant, size, move) -> torch.Tensor:
    """Return where in each image to look for each pixel of a turned or moved one.

    As `grid_sample` wants it. A number for each image: angle that the ink is turned by,
    counter-clockwise, in radians; tangent of the slant; zoom; and a pair, ``(n, 2)``,
    of how far to the left and up the ink goes, in half sides.
    """
    n, _, height, width = x.shape
    cos, sin = turn.cos() / size, turn.sin() / size
    theta = torch.empty(n, 2, 3, device=x.device)
    # in units of half a side, as grid_sample counts; pixels stay square
    theta[:, 0, 0], theta[:, 0, 1] = cos, (cos * slant - sin) * height / width
    theta[:, 1, 0], theta[:, 1, 1] = sin * width / height, sin * slant + cos
    theta[:, :, 2] = move
    return functional.affine_grid(theta, [n, 1, height, width], align_corners=False)


def bicubic_weights(side: int, device) -> torch.Tensor:
    """Return the weights ``(side, 4)`` of four knots in the pixels between them."""
    knots = torch.eye(4, device=device).view(1, 4, 4, 1)
    pixels = functional.interpolate(
        knots, (side, 1), mode="bicubic", align_corners=True
    )
    return pixels.view(4, side).T
