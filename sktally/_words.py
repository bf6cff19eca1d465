"""Numbers of things in words."""

from __future__ import annotations

__all__ = ["are", "number"]


def number(n: int, what: str, many: str | None = None) -> str:
    """Return a number and its noun, such as ``1 page`` or ``1,200 pages``."""
    return f"{n:,} {what if n == 1 else many or what + 's'}"


def are(n: int, one: str = "is", many: str = "are") -> str:
    """Return the verb that goes with a number of things."""
    return one if n == 1 else many
