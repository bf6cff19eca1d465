"""Change training cells at random, as pens, hands, cameras and frames do."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch.nn import functional

from sktally._validate import check_range
from sktally.digits._defects import compressed, shaded
from sktally.digits._input import as_images, label_text, pixel_range
from sktally.digits._places import affine_places, bicubic_weights
from sktally.exceptions import TallyError

__all__ = ["PRESETS", "Augmentation", "augment_cells", "make_augmentation"]

#: Named settings. "tally" was chosen by eye on normalised cells of 28 x 28: digits
#: stay what they are for a human reader, with the wear of boxes on forms.
PRESETS = {
    "tally": {
        "rotation": 10,
        "shift": 0.07,
        "zoom": 0.12,
        "shear": 10,
        "elastic": 0.03,
        "stroke": 0.5,
        "contrast": 0.25,
        "brightness": 0.1,
        "noise": 0.1,
        "blur": 0.6,
        "lines": 0.15,
        "gaps": 0.1,
    }
}

_LIMITS = {"rotation": 45, "shear": 45, "shift": 0.5, "zoom": 0.5, "elastic": 0.2}
_LIMITS |= {"contrast": 4, "brightness": 4, "noise": 4}
_LIMITS |= {"shadow": 0.9}  # all others: 1


@dataclass(frozen=True)
class Augmentation:
    """Draw a new random variant of each image of a batch.

    Every number is the largest change; a value is drawn evenly between none and it,
    either way, for each image. Background is 0 and pixels are in units of the
    standard deviation, as `CNNClassifier` scales them; ink may be bright or dark.
    Draws come from torch's generator.

    Parameters
    ----------
    rotation : float, default=0
        Degrees, up to 45.
    shift : float, default=0
        Share of the side, up to 0.5, along both axes.
    zoom : float, default=0
        0.1 means between 1/1.1 and 1.1 times the size; up to 0.5.
    shear : float, default=0
        Slant in degrees, up to 45.
    elastic : float, default=0
        Standard deviation, in shares of the side up to 0.2, of smooth local shifts.
    stroke : float, default=0
        Thicker or thinner strokes: 1 adds or takes one pixel on both sides.
    contrast : float, default=0
        0.25 means between 1/1.25 and 1.25 times the contrast.
    brightness : float, default=0
        Height of a random slope of light across the image, in standard deviations.
    noise : float, default=0
        Largest standard deviation of white noise, in standard deviations.
    blur : float, default=0
        Largest share, up to 1, of a copy blurred over 5 x 5 pixels.
    lines : float, default=0
        Probability of a remnant of a box frame along a side.
    gaps : float, default=0
        Probability of a thin erased line, as frame removal leaves in strokes.
    shadow : float, default=0
        Largest share of the light, up to 0.9, that a shadow takes on one side of a
        soft straight edge. It leaves a plateau of that share of the darkest ink.
    jpeg : float, default=0
        Compression, up to 1: the quality of the file is drawn evenly between 100 and
        ``100 - 95 * jpeg``, at the pixels of the cell. The 8 x 8 squares begin
        anywhere.
    flip_horizontal, flip_vertical : float, default=0
        Probability of exchanging left and right, top and bottom. Not for digits:
        `CNNClassifier` refuses them where a label is a number.

    See Also
    --------
    augment_cells : Shows what a setting does to cells.

    Notes
    -----
    A mirrored 2 is no digit, and a 6 turned over is a 9: flips are for other images.
    Geometry is one bilinear resampling. JPEG is the quantisation of Annex K [2]_
    without the lossless coding, colours each like grey.

    References
    ----------
    .. [1] P. Simard, D. Steinkraus and J. Platt (2003). "Best practices for
       convolutional neural networks applied to visual document analysis". ICDAR.
    .. [2] ITU-T Recommendation T.81 (1992). "Digital compression and coding of
       continuous-tone still images", Annex K.

    Examples
    --------
    >>> import torch
    >>> from sktally.digits import Augmentation
    >>> change = Augmentation(rotation=10, shadow=0.5)
    >>> change(torch.randn(4, 1, 28, 28)).shape
    torch.Size([4, 1, 28, 28])
    """

    rotation: float = 0
    shift: float = 0
    zoom: float = 0
    shear: float = 0
    elastic: float = 0
    stroke: float = 0
    contrast: float = 0
    brightness: float = 0
    noise: float = 0
    blur: float = 0
    lines: float = 0
    gaps: float = 0
    shadow: float = 0
    jpeg: float = 0
    flip_horizontal: float = 0
    flip_vertical: float = 0

    def __post_init__(self):
        for field in fields(self):
            most = _LIMITS.get(field.name, 1)
            check_range(f"augment[{field.name!r}]", getattr(self, field.name), 0, most)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return a changed copy of `x`, float32 ``(n, channels, height, width)``."""
        sign = torch.where(x.mean((1, 2, 3), keepdim=True) < 0, -1.0, 1.0)
        x = (x * sign).contiguous()  # ink is above 0 from here on
        for probability, axis in ((self.flip_horizontal, 3), (self.flip_vertical, 2)):
            if probability:
                x = torch.where(_even(x, 0, 1) < probability, x.flip(axis), x)
        if self.stroke:
            x = self._strokes(x)
        if self.rotation or self.shift or self.zoom or self.shear or self.elastic:
            grid = self._grid(x)
            x = functional.grid_sample(x, grid, align_corners=False)
        if self.gaps:
            x = x * (1 - _line(x, self.gaps, across=True))
        if self.lines:
            ink = x.amax((1, 2, 3), keepdim=True).clamp(min=1)
            line = _line(x, self.lines, across=False)
            x = torch.maximum(x, line * ink * _even(x, 0.3, 1))
        if self.blur:
            x = torch.lerp(x, _blurred(x), _even(x, 0, self.blur))
        if self.contrast:
            most = math.log1p(self.contrast)
            x = x * _even(x, -most, most).exp()
        if self.brightness:
            x = x + self._light(x)
        if self.shadow:
            x = shaded(x, self.shadow)
        if self.noise:
            x = x + torch.randn_like(x) * _even(x, 0, self.noise)
        if self.jpeg:
            x = compressed(x, self.jpeg)
        return x * sign

    def _grid(self, x: torch.Tensor) -> torch.Tensor:
        n, _, height, width = x.shape
        turn = torch.deg2rad(_even(x, -self.rotation, self.rotation)).view(n)
        slant = torch.deg2rad(_even(x, -self.shear, self.shear)).view(n).tan()
        most = math.log1p(self.zoom)
        size = _even(x, -most, most).view(n).exp()
        move = (torch.rand(n, 2, device=x.device) * 4 - 2) * self.shift
        grid = affine_places(x, turn, slant, size, move)
        if self.elastic:
            # knots four to a side: waves as long as a digit's bows
            knots = torch.randn(n, 2, 4, 4, device=x.device) * (2 * self.elastic)
            field = (
                bicubic_weights(height, x.device)
                @ knots
                @ bicubic_weights(width, x.device).T
            )
            grid = grid + field.permute(0, 2, 3, 1)
        return grid

    def _strokes(self, x: torch.Tensor) -> torch.Tensor:
        amount = _even(x, -self.stroke, self.stroke)
        thick = _of_neighbours(x, torch.maximum)
        thin = _of_neighbours(x, torch.minimum)
        return torch.lerp(x, torch.where(amount > 0, thick, thin), amount.abs())

    def _light(self, x: torch.Tensor) -> torch.Tensor:
        down = torch.linspace(-1, 1, x.shape[2], device=x.device).view(1, 1, -1, 1)
        right = torch.linspace(-1, 1, x.shape[3], device=x.device).view(1, 1, 1, -1)
        slope = down * _even(x, -1, 1) + right * _even(x, -1, 1) + _even(x, -1, 1)
        return slope * (self.brightness / 3)


def _even(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return one evenly drawn number for each image, ``(n, 1, 1, 1)``."""
    return torch.rand(len(x), 1, 1, 1, device=x.device) * (high - low) + low


def _shifted(x: torch.Tensor, dim: int, reach: int) -> list[torch.Tensor]:
    """Return `x` moved along `dim` by up to `reach` pixels; edges are repeated."""
    sides = (reach, reach, 0, 0) if dim == 3 else (0, 0, reach, reach)
    x = functional.pad(x, sides, mode="replicate")
    n = x.shape[dim] - 2 * reach
    return [x.narrow(dim, i, n) for i in range(2 * reach + 1)]


def _of_neighbours(x: torch.Tensor, choose) -> torch.Tensor:
    """Return the extreme of 3 x 3 pixels; rows, then columns, beat a pooling."""
    for dim in (3, 2):
        before, same, after = _shifted(x, dim, 1)
        x = choose(choose(before, after), same)
    return x


def _blurred(x: torch.Tensor) -> torch.Tensor:
    for dim in (3, 2):
        a, b, c, d, e = _shifted(x, dim, 2)
        x = (a + e).add_(b + d, alpha=4).add_(c, alpha=6).div_(16)
    return x


def _line(x: torch.Tensor, probability: float, *, across: bool) -> torch.Tensor:
    """Return masks in [0, 1] of one soft line in some of the images.

    The line runs near one of the four sides, or anywhere with `across`.
    """
    height, width = x.shape[2:]
    down = torch.arange(height, device=x.device).view(1, 1, -1, 1) + 0.5
    right = torch.arange(width, device=x.device).view(1, 1, 1, -1) + 0.5
    upright, far = _even(x, 0, 1) < 0.5, _even(x, 0, 1) < 0.5
    depth, along = torch.where(upright, right, down), torch.where(upright, down, right)
    side = torch.where(upright, float(width), float(height))
    length = torch.where(upright, float(height), float(width))
    place = _even(x, 0.2, 0.8) if across else _even(x, 0, 0.12)
    depth = torch.where(far, side - depth, depth)
    half = _even(x, 0.4, 0.8) if across else _even(x, 0.5, 1.2)
    mask = (half + 0.5 - (depth - place * side).abs()).clamp(0, 1)
    start = _even(x, 0, 0.8) * length if across else _even(x, -0.3, 0.6) * length
    # a gap along a 1 must not take all of it
    share = (_even(x, 0.1, 0.4) if across else _even(x, 0.3, 1.2)) * length
    mask = mask * ((along > start) & (along < start + share))
    return mask * (_even(x, 0, 1) < probability)


def make_augmentation(augment, classes=()) -> Augmentation | None:
    """Return the augmentation for a preset's name, a dict of ranges, or None.

    Raises
    ------
    TallyError
        If the setting is unknown, out of range, or a flip and one of `classes` is a
        number.
    """
    known = [field.name for field in fields(Augmentation)]
    if isinstance(augment, str) and augment in PRESETS:
        augment = PRESETS[augment]
    if isinstance(augment, dict):
        for key in augment:
            if key not in known:
                raise TallyError(
                    f"augment: expected keys among {', '.join(known)}, got {key!r}"
                )
        augment = Augmentation(**augment)
    elif augment is not None and not isinstance(augment, Augmentation):
        raise TallyError(
            f"augment: expected None, one of {', '.join(map(repr, PRESETS))}, or a "
            f"dict with keys among {', '.join(known)}, got {augment!r}"
        )
    numbers = [label for label in classes if label_text(label).isdecimal()]
    for key in ("flip_horizontal", "flip_vertical"):
        if numbers and getattr(augment, key, 0):
            raise TallyError(
                f"augment: {key!r} is refused, as label {numbers[0]!r} is a number: a "
                "mirrored 2 is no digit, and a 6 turned over is a 9; use rotation and "
                "shear instead. If the images show no digits, give their classes names"
            )
    return augment


def augment_cells(images, *, augment="tally", random_state=None) -> np.ndarray:
    """Return a random variant of each cell, to see what a setting does.

    Parameters
    ----------
    images : array-like ``(n, height, width)`` or ``(n, height, width, 3)``
        Cells on a background that is their most common value.
    augment : str, dict or Augmentation, default="tally"
        As in `CNNClassifier`.
    random_state : int, RandomState or None, default=None
        Seed.

    Returns
    -------
    ndarray of float32
        As `images`, in its range of pixels (noise may leave it a little).

    Raises
    ------
    TallyError
        If the setting is unknown or out of range, or `images` are no images.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktally.digits import augment_cells
    >>> cells = load_digits().images[:4]
    >>> augment_cells(cells, augment={"rotation": 20}, random_state=0).shape
    (4, 8, 8)
    """
    from sktally.digits._net import images_to_tensor
    from sktally.digits._seed import seeded

    images = as_images(images)
    change = make_augmentation(augment) or Augmentation()
    offset, scale = pixel_range(images)
    seed = check_random_state(random_state).randint(2**31 - 1)
    with seeded(seed, "cpu"), torch.no_grad():
        x = change(images_to_tensor(torch.tensor(images), offset, scale))
    x = x.permute(0, 2, 3, 1) * scale + offset
    return np.ascontiguousarray(x.numpy().reshape(images.shape))
