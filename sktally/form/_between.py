"""What the parts of a form say of each other: names, anchors, sums, and the page.

Comes in: parts that are sound by themselves. Goes out: what is wrong between them,
in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from sktally.form._parts import Anchor, Name, Page, TallyField
from sktally.form._sums import sum_problems

__all__ = ["problems_among", "problems_between"]

Sums = Mapping[str, Sequence[str]]


def problems_between(
    page: Page, fields: Sequence[TallyField], anchors: Sequence[Anchor], sums: Sums
) -> list[str]:
    """Say what is wrong between parts of a form, each of which is sound.

    Parameters
    ----------
    page : Page
        Width and height in form units.
    fields, anchors : sequence of TallyField, of Anchor
        Parts of the form.
    sums : mapping of str to sequence of str
        Names of sum fields and of their parts.

    Returns
    -------
    list of str
        A line for each fault; none if all is well.
    """
    names = [field.name for field in fields]
    return [
        *_twice("field", names),
        *_twice("anchor", [anchor.name for anchor in anchors]),
        *_unspread(anchors),
        *sum_problems(sums, names),
        *_outside(page, fields, anchors),
    ]


def problems_among(content: dict[str, Any]) -> list[str]:
    """Say what is wrong between the parts that are sound, where others are not.

    Parameters
    ----------
    content : dict
        A form as its file would give it, in which some parts have mistakes.

    Returns
    -------
    list of str
        As `problems_between`, of what can be told without the parts with mistakes.
    """
    raw = [content.get(key) for key in ("fields", "anchors")]
    entries = [part if isinstance(part, list | tuple) else [] for part in raw]
    fields = list(chain.from_iterable(_sound(TallyField, part) for part in entries[0]))
    anchors = list(chain.from_iterable(_sound(Anchor, part) for part in entries[1]))
    found = [
        *_twice("field", [field.name for field in fields]),
        *_twice("anchor", [anchor.name for anchor in anchors]),
        *_unspread(anchors),
    ]
    given = [part.get("name") for part in entries[0] if isinstance(part, dict)]
    names = list(chain.from_iterable(_sound(Name, name) for name in given))
    # a field without a sound name may be the one that a sum seems to lack
    if names and len(names) == len(entries[0]):
        for sums in _sound(dict[str, tuple[str, ...]], content.get("sums", {})):
            found += sum_problems(sums, names)
    for page in _sound(Page, content.get("page")):
        found += _outside(page, fields, anchors)
    return found


def _sound(kind: Any, value: object) -> Iterator[Any]:
    """Yield a part of that kind, or nothing where it has mistakes."""
    try:
        yield TypeAdapter(kind).validate_python(value)
    except ValidationError:  # told elsewhere
        return


def _twice(what: str, names: Sequence[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{what} name {name!r} is used {names.count(name)}x"


def _unspread(anchors: Sequence[Anchor]) -> list[str]:
    """Say which anchors lie in one place, or that all lie on one line."""
    if len(anchors) < 3:
        return []
    centers = [anchor.center for anchor in anchors]
    found = [
        f"anchor {anchor.name!r}: its center is that of another anchor"
        for i, anchor in enumerate(anchors)
        if anchor.center in centers[:i]
    ]
    along, across = np.linalg.svd(
        np.array(centers) - np.mean(centers, axis=0), compute_uv=False
    )
    # Across that line, the error of a mark would grow more than fiftyfold.
    if not found and across < along / 50:
        found.append(
            "anchors: all lie on one line and say nothing across it; describe one "
            "that lies off it"
        )
    return found


def _outside(
    page: Page, fields: Sequence[TallyField], anchors: Sequence[Anchor]
) -> Iterator[str]:
    """Say which boxes and anchors do not lie on the page."""
    on = f"the {page.width:g} x {page.height:g} page"
    for field in fields:
        for i, (x, y, w, h) in enumerate(field.rectangles):
            if x < 0 or y < 0 or x + w > page.width or y + h > page.height:
                yield (
                    f"field {field.name!r}, box {i + 1}: x {x:g}..{x + w:g}, "
                    f"y {y:g}..{y + h:g} is not on {on}"
                )
        places = field.bubbles.centers(field.rectangles) if field.bubbles else []
        for i, (x, y) in enumerate(chain(*places)):
            if not (0 <= x <= page.width and 0 <= y <= page.height):
                yield (
                    f"field {field.name!r}, box {i // 10 + 1}: its bubble of {i % 10} "
                    f"at {x:g}, {y:g} is not on {on}"
                )
                break  # the others are off with it
    for anchor in anchors:
        ax, ay = anchor.center
        if not (0 <= ax <= page.width and 0 <= ay <= page.height):
            yield f"anchor {anchor.name!r}: centre {ax:g}, {ay:g} is not on {on}"
