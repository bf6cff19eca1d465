"""Sizes: small by default, in full with ``SKTALLY_RELIABILITY=full``."""

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import pytest

from sktally import load_reader, make_tally_pages


@dataclass(frozen=True)
class Sizes:
    pages: int
    kills: int
    mutated: int
    hostile: int


@pytest.fixture(scope="session")
def sizes():
    if os.environ.get("SKTALLY_RELIABILITY") == "full":
        return Sizes(pages=500, kills=100, mutated=10_000, hostile=200)
    return Sizes(pages=60, kills=4, mutated=200, hostile=40)


@pytest.fixture(scope="session")
def at_most():
    """Fail what takes more than so many seconds, such as what waits for ever."""

    @contextmanager
    def seconds(n):
        def late(*_):
            raise AssertionError(f"not done after {n} s")

        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(n)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    return seconds


@pytest.fixture(scope="session")
def reader():
    return load_reader("example")


@pytest.fixture(scope="session")
def scans(tmp_path_factory, sizes):
    """Pages that differ: twenty made, each repeated with other bytes at its end."""
    folder = tmp_path_factory.mktemp("pages") / "scans"
    folder.mkdir()
    made = make_tally_pages(20, form="example", random_state=5)
    files = []
    for page in made.pages:
        files.append(cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])
    for i in range(sizes.pages):
        content = files[i % len(files)].tobytes() + b"\0" * (i // len(files))
        (folder / f"page_{i:04d}.jpg").write_bytes(content)
    return folder
