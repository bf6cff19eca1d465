"""Text of form files: mistakes in words, and plain data as TOML."""

from __future__ import annotations

import json

from pydantic import BaseModel, ValidationError

__all__ = ["all_mistakes", "write_toml"]


def all_mistakes(error: ValidationError, source: str) -> str:
    """Say every mistake that pydantic found, one a line, with its place."""
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
            f"[{part + 1}]" if isinstance(part, int) else f".{part}"
            for part in item["loc"]
        ).lstrip(".")
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "unknown key; is it misspelt?"
        elif item["type"] == "missing":
            message = "missing"
        elif not isinstance(item["input"], dict | list | tuple | BaseModel):
            message += f" (got {item['input']!r})"
        for part in message.split("\n") if item["type"] == "value_error" else [message]:
            lines.append(f"  {place or 'form'}: {part}")
    count = f"{len(lines)} mistake{'s' if len(lines) > 1 else ''}"
    return "\n".join([f"{source}: {count} (entries are counted from 1)", *lines])


def write_toml(content: dict) -> str:
    """Write plain data as TOML: scalars first, tables of a list as [[blocks]]."""

    def inline(value: object) -> str:
        if isinstance(value, dict):
            pairs = [f"{json.dumps(k)} = {inline(v)}" for k, v in value.items()]
            return "{ " + ", ".join(pairs) + " }"
        if isinstance(value, list | tuple):
            return f"[{', '.join(inline(v) for v in value)}]"
        return json.dumps(value, ensure_ascii=False)

    blocks, scalars = [], []
    for key, value in content.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                body = "\n".join(f"{k} = {inline(v)}" for k, v in entry.items())
                blocks.append(f"[[{key}]]\n{body}\n")
        else:
            scalars.append(f"{key} = {inline(value)}")
    return "\n".join([*scalars, "", *blocks])
