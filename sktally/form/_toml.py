"""Text of form files: mistakes in words, and plain data as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from sktally._words import number
from sktally.exceptions import FormError

__all__ = ["all_mistakes", "read_toml", "write_toml"]

_MAX_BYTES = 16 * 2**20  # the largest form that ships takes 5 KiB
_SHOWN = 80  # characters of a wrong value or key


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds, or raise what is wrong with it."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            # a pipe could keep the reader waiting for ever
            raise FormError(
                f"{path}: expected a form file, got a pipe or device; give the "
                "path of a .toml file"
            )
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise FormError(
                f"{path}: expected a form file of at most {_MAX_BYTES} bytes, got "
                f"{size}; give the path of the .toml file of a form"
            )
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FormError:
        raise
    except OSError as error:
        raise FormError(f"{path}: cannot be read ({error.strerror})") from None
    # so are wrong bytes, numbers of thousands of digits, and names with a NUL
    except (ValueError, RecursionError) as error:
        raise FormError(
            f"{path}: not a TOML file: {error}. A form file starts with "
            "`name = ...` and `page = {width = ..., height = ...}`"
        ) from None


def all_mistakes(error: ValidationError, source: str, more: Sequence[str] = ()) -> str:
    """Say every mistake that pydantic found, and more, one a line with its place."""
    lines = []
    places = [item["loc"] for item in error.errors()]
    for item in error.errors():
        # Entries that failed leave their list short: that is no mistake of its own.
        inside = len(item["loc"])
        if item["type"] == "too_short" and any(
            place[:inside] == item["loc"] and len(place) > inside for place in places
        ):
            continue
        place = "".join(
            f"[{part + 1}]" if isinstance(part, int) else f".{part:.{_SHOWN}}"
            for part in item["loc"]
        ).lstrip(".")
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key; is it misspelt?"
        elif item["type"] == "missing":
            message = "missing"
        elif not isinstance(item["input"], dict | list | tuple | BaseModel):
            message += f" (got {_shown(item['input'])})"
        for part in message.split("\n") if item["type"] == "value_error" else [message]:
            lines.append(f"  {place or 'form'}: {part}")
    lines += [f"  form: {problem}" for problem in more]
    count = number(len(lines), "mistake")
    return "\n".join([f"{source}: {count} (entries are counted from 1)", *lines])


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def write_toml(content: dict) -> str:
    """Write plain data as TOML: scalars first, tables of a list as [[blocks]]."""

    def inline(value: object) -> str:
        if isinstance(value, dict):
            pairs = [f"{inline(k)} = {inline(v)}" for k, v in value.items()]
            return "{ " + ", ".join(pairs) + " }"
        if isinstance(value, list | tuple):
            return f"[{', '.join(inline(v) for v in value)}]"
        # TOML wants the one control character escaped that JSON leaves as it is
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

    blocks, scalars = [], []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                body = "\n".join(f"{k} = {inline(v)}" for k, v in entry.items())
                blocks.append(f"[[{key}]]\n{body}\n")
        else:
            scalars.append(f"{key} = {inline(value)}")
    return "\n".join([*scalars, "", *blocks])
