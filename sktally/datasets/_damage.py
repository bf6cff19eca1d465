"""What scanners and telephones do to ink on paper: light, blur, noise, compression.

Comes in: coverage by print and by pen, 0..1. Goes out: uint8 pixels, dark ink on light
paper. `Damage` is drawn once a page and shared by all its cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sktally._validate import check_choice, check_range

__all__ = ["DEGRADE", "Damage", "check_degrade", "draw_damage", "expose"]

DEGRADE = ("none", "scan", "photo", "fax", "mixed")


@dataclass(frozen=True)
class Damage:
    """How one page was taken.

    Attributes
    ----------
    kind : {"none", "scan", "photo", "fax"}
        Flatbed, telephone, or one bit a pixel.
    paper : float
        Grey of bare paper, 0 to 255.
    black : float
        Grey of perfect black, 0 to 255.
    detail : float
        Pixels of the original over pixels of the result: below 1 it was enlarged.
    blur : float
        Standard deviation of the blur in pixels of the original.
    motion : tuple of float
        Camera shake x, y in pixels of the original.
    noise : float
        Standard deviation of the noise in grey levels.
    slope : float
        Relative fall of the light across the image.
    shadow : float
        Relative darkness of cast shadows, 0 to 1.
    mottle : float
        Relative unevenness of the paper.
    quality : int
        JPEG quality 1 to 95; 0 for none.
    threshold : float
        Where one-bit scans cut, between black 0 and paper 1.
    """

    kind: str
    paper: float
    black: float
    detail: float
    blur: float
    motion: tuple[float, float]
    noise: float
    slope: float
    shadow: float
    mottle: float
    quality: int
    threshold: float


_NONE = Damage("none", 255, 0, 1, 0, (0, 0), 0, 0, 0, 0, 0, 0.5)


def check_degrade(degrade: str | float) -> None:
    """Raise unless `degrade` is a kind or a severity in [0, 1]."""
    if isinstance(degrade, str):
        check_choice("degrade", degrade, DEGRADE)
    else:
        check_range("degrade", degrade, 0, 1)


def draw_damage(rng: np.random.Generator, degrade: str | float) -> Damage:
    """Return damage drawn at random.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    degrade : str or float
        Kind, or a severity from 0 (none) to 1 of a mixture of kinds.
    """
    if degrade == "none" or degrade == 0:
        return _NONE
    severity = float(rng.beta(1.4, 1.6)) if isinstance(degrade, str) else float(degrade)
    kind = degrade
    if not isinstance(degrade, str) or degrade == "mixed":
        kind = str(rng.choice(["scan", "photo", "fax"], p=[0.3, 0.55, 0.15]))
    if kind == "photo":
        return _draw_photo(rng, severity)
    low = 245 - 40 * severity * rng.random()
    return Damage(
        kind=str(kind),
        paper=255.0 if rng.random() < 0.3 else float(low),
        black=float(60 * severity * rng.random()),
        detail=float(1.5 - 0.9 * severity * rng.random()),
        blur=float(0.8 * severity * rng.random()),
        motion=(0.0, 0.0),
        noise=float(7 * severity * rng.random()),
        slope=float(0.06 * severity * rng.normal()),
        shadow=0.0,
        mottle=float(0.05 * severity * rng.random()),
        quality=int(90 - 60 * severity * rng.random()) if rng.random() < 0.6 else 0,
        threshold=float(0.62 + 0.3 * severity * (rng.random() - 0.4)),
    )


def _draw_photo(rng: np.random.Generator, severity: float) -> Damage:
    paper = 235 - 170 * severity * rng.random() ** 1.5
    shake = severity * max(rng.normal(0, 1.2), 0) * (rng.random() < 0.3)
    angle = rng.uniform(0, np.pi)
    return Damage(
        kind="photo",
        paper=float(paper),
        black=float(paper * (0.1 + 0.4 * severity * rng.random())),
        detail=float(np.exp(-1.15 * severity * rng.random() ** 0.8)) * 1.15,
        blur=float(1.5 * severity * rng.random() ** 1.5),
        motion=(float(shake * np.cos(angle)), float(shake * np.sin(angle))),
        noise=float(9 * severity * rng.random() ** 2),
        slope=float(0.25 * severity * rng.normal()),
        shadow=float(0.6 * severity * rng.random()) if rng.random() < 0.4 else 0.0,
        mottle=float(0.12 * severity * rng.random()),
        quality=int(92 - 72 * severity * rng.random()) if rng.random() < 0.8 else 0,
        threshold=0.5,
    )


@lru_cache(maxsize=128)
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of all pixels, from -0.5 to 0.5."""
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    return x, y


def _light(
    shape: tuple[int, int], damage: Damage, rng: np.random.Generator, near: bool
) -> np.ndarray:
    """Return the relative brightness of the paper; `near` sees little of the page."""
    x, y = _grid(*shape)
    angle = rng.uniform(0, 2 * np.pi)
    reach = 0.4 if near else 1.0
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    light = 1 + np.float32(reach * damage.slope) * (cos * x + sin * y)
    if damage.shadow and (not near or rng.random() < 0.3):
        edge = rng.uniform(-0.5, 0.5)
        soft = rng.uniform(0.02, 0.3)
        across = (sin * x - cos * y - np.float32(edge)) / np.float32(soft)
        light = light * (1 - damage.shadow * (0.5 + 0.5 * np.tanh(across)))
    if damage.mottle:
        size = 4 if near else 12
        spots = (
            rng.standard_normal((size, size), dtype=np.float32) * damage.mottle * 0.5
        )
        light = light + cv2.resize(spots, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return light


def _motion_kernel(dx: float, dy: float) -> np.ndarray:
    reach = max(int(np.ceil(max(abs(dx), abs(dy)))), 1)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for t in np.linspace(-1, 1, 4 * reach + 1):
        kernel[round(reach + t * dy), round(reach + t * dx)] += 1
    return kernel / kernel.sum()


def expose(
    coverage: np.ndarray, damage: Damage, rng: np.random.Generator, *, near: bool
) -> np.ndarray:
    """Turn ink coverage into the pixels that a camera or scanner gives.

    Parameters
    ----------
    coverage : ndarray of shape (height, width)
        float32; 0 is bare paper, 1 perfect black.
    damage : Damage
        How the page was taken.
    rng : numpy.random.Generator
        For noise and the place of shadows.
    near : bool
        Whether this is a single cell rather than a whole page.

    Returns
    -------
    ndarray of shape (height, width)
        uint8, dark ink on light paper, never 0 everywhere.
    """
    shape = (coverage.shape[0], coverage.shape[1])
    if damage.blur > 0.15:
        coverage = cv2.GaussianBlur(coverage, (0, 0), damage.blur)
    if damage.motion != (0.0, 0.0):
        coverage = cv2.filter2D(coverage, -1, _motion_kernel(*damage.motion))
    image = damage.paper - np.float32(damage.paper - damage.black) * coverage
    if damage.slope or damage.shadow or damage.mottle:
        image *= _light(shape, damage, rng, near)
    if damage.noise > 0.5:
        image += rng.standard_normal(shape, dtype=np.float32) * np.float32(damage.noise)
    if damage.kind == "fax":
        cut = damage.black + damage.threshold * (damage.paper - damage.black)
        image = np.where(image > cut, np.float32(255), np.float32(0))
    pixels = np.clip(image, 1, 255).astype(np.uint8)
    if damage.quality:
        options = [cv2.IMWRITE_JPEG_QUALITY, damage.quality]
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, options)[1], 0)
    return pixels
