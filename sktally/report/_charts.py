"""Where the marks of a chart stand, in units of its drawing.

Comes in: numbers. Goes out: places, which `templates/charts.html` draws as SVG, so
that whatever is written in a chart is escaped where all else is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["bars", "ends", "reliability", "segments"]

WIDTH = 440.0
_ROW = 24.0
_LETTER = 6.6  # width of one, about
_LONGEST = 24  # letters of a name
_SIDE = 320.0
_TOP = 26.0  # of the square of a reliability diagram


def segments(parts: Sequence[tuple[str, int, str]]) -> dict[str, Any]:
    """Return one bar of parts: name, number and kind of each."""
    whole = sum(n for _, n, _ in parts) or 1
    x, found = 0.0, []
    for name, n, kind in parts:
        width = WIDTH * n / whole
        if n:  # what is there is seen, however little it is
            shown = max(width, 2.0)
            found.append({"x": min(x, WIDTH - shown), "width": shown, "kind": kind})
        x += width
        del name
    return {"width": WIDTH, "parts": found}


def bars(rows: Iterable[tuple[str, float, str]]) -> dict[str, Any]:
    """Return horizontal bars: name, number, and what is written at its end."""
    rows = list(rows)
    names = [_short(name) for name, _, _ in rows]
    left = _LETTER * max(map(len, names), default=0) + 10
    right = _LETTER * max((len(text) for *_, text in rows), default=0) + 10
    most = max((value for _, value, _ in rows), default=0) or 1
    room = WIDTH - left - right
    found = [
        {
            "name": name,
            "y": i * _ROW,
            "width": max(room * value / most, 1.5 if value else 0),
            "text": text,
        }
        for i, (name, (_, value, text)) in enumerate(zip(names, rows, strict=True))
    ]
    return {"width": WIDTH, "height": len(rows) * _ROW, "left": left, "rows": found}


def ends(table: pd.DataFrame) -> dict[str, Any]:
    """Return shares of parties: as read, interval, and bounds with all not read."""
    names = [_short(str(name)) for name in table["field"]]
    left = _LETTER * max(map(len, names), default=0) + 12
    room = WIDTH - left - 14
    columns = ["share", "share_upper", "share_highest"]
    most = float(np.nanmax(table[columns].to_numpy(np.float64, na_value=np.nan)))
    step = _step(most)
    top = step * max(1, math.ceil(most / step - 1e-9)) if most > 0 else 1.0

    def place(value: Any) -> float | None:
        return None if pd.isna(value) else left + room * float(value) / top

    rows = [
        {
            "name": name,
            "y": (i + 0.5) * _ROW,
            "at": place(row["share"]),
            "low": place(row["share_lower"]),
            "high": place(row["share_upper"]),
            "lowest": place(row["share_lowest"]),
            "highest": place(row["share_highest"]),
        }
        for i, (name, row) in enumerate(
            zip(names, table.to_dict("records"), strict=True)
        )
    ]
    return {
        "width": WIDTH,
        "height": len(rows) * _ROW,
        "rows": rows,
        "ticks": [(place(value), text) for value, text in _ticks(0, top, step)],
    }


def reliability(curve: pd.DataFrame) -> dict[str, Any]:
    """Return points of a reliability diagram, in a square that holds them all."""
    least = float(curve[["mean_proba", "low"]].to_numpy().min())
    bottom = max(0.0, math.floor(least * 10 - 1e-9) / 10)
    step = _step(1 - bottom)
    edge, room = 44.0, _SIDE - 54

    def right(value: float) -> float:
        return edge + room * (value - bottom) / (1 - bottom)

    def up(value: float) -> float:
        return _TOP + room - room * (max(value, bottom) - bottom) / (1 - bottom)

    points = [
        {
            "x": right(row["mean_proba"]),
            "y": up(row["accuracy"]),
            "low": up(row["low"]),
            "high": up(row["high"]),
        }
        for row in curve.to_dict("records")
    ]
    ticks = _ticks(bottom, 1, step)
    return {
        "side": _SIDE,
        "edge": edge,
        "top": _TOP,
        "room": room,
        "points": points,
        "x": [(right(value), text) for value, text in ticks],
        "y": [(up(value), text) for value, text in ticks],
    }


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else "…" + name[1 - _LONGEST :]


def _step(length: float) -> float:
    """Return a step that makes about four parts."""
    if not length > 1e-9:  # no share is told so exactly
        return 1.0
    scale = 10 ** math.floor(math.log10(length / 4))
    return scale * min((1, 2, 5, 10), key=lambda part: abs(length / 4 - part * scale))


def _ticks(low: float, high: float, step: float) -> list[tuple[float, str]]:
    n = round((high - low) / step)
    digits = max(0, -math.floor(math.log10(step * 100)))
    values = [low + i * step for i in range(n + 1) if low + i * step <= high + 1e-9]
    return [(value, f"{100 * value:.{digits}f}\u00a0%") for value in values]
