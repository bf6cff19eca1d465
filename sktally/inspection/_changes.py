"""Change images by a stated amount: the changes that augmentation draws at random.

Images come and go as they are, ink dark or bright; pixels stay in their range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from sktally.exceptions import TallyError

__all__ = ["CHANGES", "Change", "changed", "check_changes"]


@dataclass(frozen=True)
class Change:
    """A way of changing images.

    Attributes
    ----------
    unit : str
        Of amounts.
    amounts : tuple of float
        Usual ones, from none to much.
    low, high : float
        What amounts are possible.
    """

    unit: str
    amounts: tuple[float, ...]
    low: float
    high: float


CHANGES = {
    "rotation": Change(
        "degrees, counter-clockwise", (0, 15, 30, 45, 60, 90, 120, 150, 180), -360, 360
    ),
    "shift": Change("pixels, any way", (0, 1, 2, 3, 4, 6, 8, 10), 0, 1000),
    "light": Change("share that a shadow takes", (0, 0.2, 0.4, 0.6, 0.75, 0.9), 0, 1),
    "contrast": Change("share left", (1, 0.8, 0.6, 0.4, 0.2, 0.1, 0.05), 0, 10),
    "blur": Change("sd in pixels", (0, 0.5, 1, 1.5, 2, 3, 4), 0, 1000),
    "noise": Change("sd, in sd of pixels", (0, 0.25, 0.5, 1, 1.5, 2, 3), 0, 100),
}


def check_changes(changes: Any) -> dict[str, tuple[float, ...]]:
    """Return amounts by name of change, all checked; None asks for the usual ones."""
    listed = ", ".join(CHANGES)
    if changes is None:
        return {name: change.amounts for name, change in CHANGES.items()}
    if isinstance(changes, str):
        changes = [changes]
    if not isinstance(changes, dict):
        names = list(changes) if np.iterable(changes) else [changes]
        changes = {n: CHANGES[n].amounts if n in CHANGES else () for n in names}
    if not changes or set(changes) - set(CHANGES):
        raise TallyError(
            f"changes: expected names among {listed}, or a dict of them and amounts, "
            f"got {list(changes)}"
        )
    found = {}
    for name, amounts in changes.items():
        change = CHANGES[name]
        values = np.atleast_1d(np.asarray(amounts))
        good = values.dtype.kind in "buif" and values.ndim == 1 and len(values)
        if not good or not ((values >= change.low) & (values <= change.high)).all():
            raise TallyError(
                f"changes[{name!r}]: expected numbers in [{change.low}, {change.high}] "
                f"({change.unit}), got {amounts!r}"
            )
        found[name] = tuple(values.tolist())
    return found


def changed(
    images: npt.NDArray[Any], name: str, amount: float, seed: int
) -> npt.NDArray[Any]:
    """Return images ``(n, height, width)`` or ``(n, height, width, 3)``, changed.

    Seeds decide which way images are shifted, where shadows lie and what noise there
    is, the same for all amounts.
    """
    if amount == (1 if name == "contrast" else 0):
        return images
    if name == "blur":
        sides = (0, amount, amount, 0)[: images.ndim]
        new = gaussian_filter(images.astype(np.float32), sides, mode="nearest")
        return _in_range(new, images)
    import torch

    from sktally.digits._input import pixel_range
    from sktally.digits._net import images_to_tensor

    offset, scale = pixel_range(images)
    with torch.no_grad():
        x = images_to_tensor(torch.tensor(images), offset, scale)
        sign = torch.where(x.mean((1, 2, 3), keepdim=True) < 0, -1.0, 1.0)
        new = _apply(x * sign, name, amount, np.random.default_rng(seed)) * sign
    pixels = new.permute(0, 2, 3, 1).numpy() * scale + offset
    return _in_range(pixels.reshape(images.shape), images)


def _apply(x: Any, name: str, amount: float, rng: np.random.Generator) -> Any:
    """Return changed tensors ``(n, channels, height, width)``, ink above 0."""
    import torch
    from torch.nn import functional

    from sktally.digits._defects import in_shadow
    from sktally.digits._places import affine_places

    n, _, height, width = x.shape
    if name == "contrast":
        return x * amount
    if name == "noise":
        drawn = rng.standard_normal(x.shape, np.float32)
        return x + amount * torch.from_numpy(drawn)
    if name == "light":
        draws = torch.from_numpy(rng.random((3, n, 1, 1, 1), np.float32))
        return in_shadow(x, draws, torch.full((n, 1, 1, 1), amount))
    turn, none, move = torch.zeros(n), torch.zeros(n), torch.zeros(n, 2)
    if name == "rotation":
        turn = turn + np.deg2rad(amount)
    else:  # left, right, up or down, by half sides
        way = torch.from_numpy(rng.integers(4, size=n))
        sides = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])[way]
        move = sides * (2 * amount / torch.tensor([width, height]))
    grid = affine_places(x, turn, none, 1 + none, move)
    return functional.grid_sample(x, grid, align_corners=False)


def _in_range(new: npt.NDArray[Any], old: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return pixels of the old type, in the range that old ones have."""
    if old.dtype.kind == "f":
        return np.clip(new, old.min(), old.max()).astype(old.dtype)
    kind = np.iinfo(old.dtype)
    return np.clip(np.round(new), kind.min, kind.max).astype(old.dtype)
