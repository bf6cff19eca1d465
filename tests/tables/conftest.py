"""Scans of the example form, and a reader of them."""

import sqlite3

import cv2
import pytest

from sktally import load_reader, make_tally_pages


@pytest.fixture(scope="session")
def reader():
    return load_reader("example")


@pytest.fixture(scope="session")
def made():
    return make_tally_pages(6, form="example", random_state=3)


@pytest.fixture
def scans(tmp_path, made):
    """Six scans in a folder of their own."""
    folder = tmp_path / "scans"
    folder.mkdir()
    paths = [folder / f"station_{i}.png" for i in range(len(made.pages))]
    for path, page in zip(paths, made.pages, strict=True):
        cv2.imwrite(str(path), page)
    return paths


@pytest.fixture
def tamper():
    return _tamper


def _tamper(path, statement):
    """Change a store as somebody would who knows SQLite: triggers out and in again."""
    base = sqlite3.connect(path)
    ask = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    triggers = base.execute(ask).fetchall()
    for name, _ in triggers:
        base.execute(f"DROP TRIGGER {name}")
    base.execute(statement)
    for _, sql in triggers:
        base.execute(sql)
    base.commit()
    base.close()
