"""One process that crops pages: this side of the pipe to it, and what it does.

It says that it listens, is sent the steps of the reader, says that it is ready or what
kept it from loading them, and answers each list of pages with their cells or an error.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from sktally.cells import PageReport
from sktally.tables._rows import crop_and_clean

__all__ = ["Cropped", "Process", "Task", "crop", "without_errors"]

logger = logging.getLogger(__name__)

Cropped = tuple[np.ndarray, list[PageReport]]


@dataclass(eq=False)
class Task:
    """Pages to crop, and what became of them."""

    names: list[str]
    answer: Cropped | Exception | None = None


class Process:
    """A process that crops, and this side of the pipe to it."""

    def __init__(self) -> None:
        # a fork of a process with threads may hang
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _deaf():
            self.process.start()
        theirs.close()  # or the end of the process would not be seen
        self.listens = False
        self.ready = False
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        """Let it crop some pages; if it is dead, `Workers` hears so from its pipe."""
        self.task = task
        self._send(task.names)

    def begin(self, steps: bytes) -> None:
        """Let it have the steps, now that it listens."""
        self.listens = True
        self._send(steps)

    def _send(self, what: Any) -> None:
        try:
            self.pipe.send(what)
        except OSError:
            logger.debug("a process ended before it was told what to do")

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def crop(steps: list[tuple[str, Any]], names: list[str]) -> Cropped:
    cells, reports = crop_and_clean(steps, names)
    return cells, without_errors(reports)


def without_errors(reports: list[PageReport]) -> list[PageReport]:
    """Return reports without exceptions, which other processes may not know."""
    return [replace(report, error=None) for report in reports]


@contextmanager
def _deaf() -> Iterator[None]:
    """Let what is started now never hear of Ctrl-C, which is for its parent."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection) -> None:
    """Crop what the parent asks for, until it is gone."""
    import cv2
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Pillow warns of damaged tags; the message of the page says what is wrong
    warnings.filterwarnings("ignore", module="PIL")
    cv2.setNumThreads(1)
    threadpool_limits(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        pipe.send_bytes(b"")  # it listens
        content = pipe.recv()
        try:
            steps = pickle.loads(content)
        except MemoryError:  # others may have enough
            os._exit(1)
        except Exception as error:
            pipe.send_bytes(f"{type(error).__name__}: {error}".encode())
            return
        pipe.send_bytes(b"")  # it is ready
        while True:
            pipe.send_bytes(_tried(steps, pipe.recv()))
    except (EOFError, OSError):  # the parent has gone
        os._exit(1)


def _tried(steps: list[tuple[str, Any]], names: list[str]) -> bytes:
    """Return cells and reports of some pages, or the error in their place, pickled."""
    try:
        return pickle.dumps(crop(steps, names), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        try:
            content = pickle.dumps(error)
            pickle.loads(content)
            return content
        except Exception:  # an error of others that does not travel
            return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
