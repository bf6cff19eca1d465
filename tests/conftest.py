"""Shared fixtures: where the real pages are, if they are there."""

from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real pages; tests that need it are skipped without it."""
    if not (REAL / "README.md").exists():
        pytest.skip(f"the real pages are not part of the repository (no {REAL})")
    return REAL
