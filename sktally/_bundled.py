"""Find the files that ship with sktally: forms and models."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

__all__ = ["bundled_files"]


def bundled_files(kind: str, ending: str) -> dict[str, Path]:
    """Return the files of a kind by their names without ending, sorted.

    Examples
    --------
    >>> "example" in bundled_files("forms", ".toml")
    True
    """
    folder = Path(str(resources.files("sktally"))) / "data" / kind
    files = sorted(folder.glob(f"*{ending}"))
    return {path.name.removesuffix(ending): path for path in files}
