"""From what was found to one HTML file: templates filled in, everything escaped.

Comes in: plain values. Goes out: text that needs nothing but itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from sktally._words import number as many
from sktally.report._charts import bars, ends, reliability, segments
from sktally.report._words import percent

__all__ = ["render", "visible"]

_NOTHING = "–"
_PERCENT = "\u00a0%"
#: Control characters, and those that turn the direction of a line: in the name of a
#: file they would hide what it is.
_HIDDEN = {
    i: f"\\x{i:02x}" for i in (*range(0x20), *range(0x7F, 0xA0)) if chr(i) not in "\n\t"
} | {
    i: f"\\u{i:04x}"
    for i in (*range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def visible(value: Any) -> Any:
    r"""Return what is written for a value: a dash for nothing, no hidden characters.

    Examples
    --------
    >>> visible(None), visible("a\u202eb"), visible(3)
    ('–', 'a\\u202eb', 3)
    """
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace").decode()
        return text.translate(_HIDDEN)
    return _NOTHING if value is None or pd.isna(value) else value


def _whole(value: Any) -> str:
    return _NOTHING if value is None or pd.isna(value) else f"{round(value):,}"


def _share(value: Any, digits: int = 1) -> str:
    return _NOTHING if value is None or pd.isna(value) else percent(value, digits)


def _between(low: Any, high: Any, shares: bool = False) -> str:
    """Return an interval, of shares in per cent."""
    if pd.isna(low) or pd.isna(high):
        return _NOTHING
    if not shares:
        return f"{_whole(low)}–{_whole(high)}"
    ends = [percent(low), percent(high)]
    return f"{ends[0].removesuffix(_PERCENT)}–{ends[1]}"


def _decimal(value: Any, digits: int = 3) -> str:
    return _NOTHING if value is None or pd.isna(value) else f"{value:.{digits}f}"


def _moment(time: str) -> str:
    """Return a time in UTC as people write it."""
    return time.replace("T", " ").replace("+00:00", " UTC")


def _drawn(value: float) -> str:
    """Return a place in a drawing, with no more digits than can be seen."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("sktally.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    marks = {"bars": bars, "ends": ends, "segments": segments}
    made.globals["charts"] = marks | {"reliability": reliability}
    made.filters |= {
        "whole": _whole,
        "share": _share,
        "decimal": _decimal,
        "at": _drawn,
        "many": many,
        "between": _between,
        "moment": _moment,
        "rows": lambda table: table.to_dict("records"),
    }
    return made


def render(*, folder: str, **found: Any) -> str:
    """Return the report; names of files in a folder are written without it."""

    def short(name: object) -> str:
        return str(name).removeprefix(folder)

    text = (
        _environment()
        .get_template("report.html")
        .render(folder=folder, short=short, **found)
    )
    return f"{text}\n"
