"""Scans of the example form, and a reader of them."""

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
