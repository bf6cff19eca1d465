"""Keep what is written readable, so that the label of a cell stays true.

Comes in: a writer and the damage of a page, both drawn at random. Goes out: the same,
with a firmer pen or milder damage where a person could not read the result.
"""

from __future__ import annotations

from dataclasses import replace

from sktally.datasets._damage import Damage
from sktally.datasets._strokes import Writer

__all__ = ["keep_legible"]


def _contrast(writer: Writer, damage: Damage, height: float) -> float:
    """Return the grey levels by which a stroke stands out after blur."""
    pen = writer.pen * height
    spread = damage.blur + max(map(abs, damage.motion))
    ink = writer.ink * (1 - 0.5 * writer.swell)
    return ink * (damage.paper - damage.black) * pen / (pen + 2.5 * spread)


def _needed(damage: Damage) -> float:
    """Return the contrast that noise and compression leave readable (set by eye)."""
    packed = max(40 - damage.quality, 0) if damage.quality else 0
    return 14 + 2.5 * damage.noise + 0.5 * packed


def keep_legible(
    writer: Writer, damage: Damage, height: float
) -> tuple[Writer, Damage]:
    """Return writer and damage, changed no more than reading needs.

    Parameters
    ----------
    writer : Writer
        Who writes.
    damage : Damage
        How the page is taken.
    height : float
        Height of a box in pixels of the original.

    Returns
    -------
    tuple of Writer and Damage
    """
    if damage.kind == "fax":  # fainter ink is lost where one bit is kept
        pen, ink = max(writer.pen, 0.045), max(writer.ink, 0.8)
        writer = replace(writer, pen=pen, ink=ink, swell=0.4 * writer.swell)
    if _contrast(writer, damage, height) < _needed(damage):
        pen, ink = max(writer.pen, 0.06), max(writer.ink, 0.85)
        writer = replace(writer, pen=pen, ink=ink, swell=0.5 * writer.swell)
    for _ in range(4):
        if _contrast(writer, damage, height) >= _needed(damage):
            break
        damage = replace(
            damage,
            black=0.6 * damage.black,
            blur=0.6 * damage.blur,
            motion=(0.6 * damage.motion[0], 0.6 * damage.motion[1]),
            noise=0.6 * damage.noise,
            quality=max(damage.quality, 50) if damage.quality else 0,
        )
    return writer, damage
