"""When, with which versions and on what kind of machine something is done."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import sktally

__all__ = ["circumstances", "now", "versions"]

_READING = ("numpy", "opencv-python-headless", "scikit-learn", "torch")


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of sktally, Python and distributions that are installed."""
    found = {"sktally": sktally.__version__, "python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def circumstances() -> dict[str, Any]:
    """Return time, versions and kind of machine of a reading."""
    return {
        "started": now(),
        "versions": versions(*_READING),
        "machine": platform.machine(),
    }
