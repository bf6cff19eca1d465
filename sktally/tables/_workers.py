"""Crop pages in processes of their own, in order, a bounded number ahead.

A process that dies takes only its own pages along: they are cropped again one by one,
and a page on which the process dies twice is given up. Each process has a pipe of its
own, so that one which is killed in the midst of an answer keeps nobody waiting.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from sktally.cells import PageReport
from sktally.exceptions import TallyError
from sktally.tables._records import PageRecord
from sktally.tables._rows import crop_and_clean

__all__ = ["Workers", "names_of", "unexpected", "without_errors"]

_AHEAD = 2  # lots for each process, waiting or done

logger = logging.getLogger(__name__)

Cropped = tuple[np.ndarray, list[PageReport]]


class _Died(Exception):
    """The process that cropped some pages is no more."""


@dataclass(eq=False)
class _Task:
    """Pages to crop, and what became of them."""

    names: list[str]
    answer: Cropped | Exception | None = None


class _Process:
    """A process that crops, and this side of the pipe to it."""

    def __init__(self) -> None:
        # a fork of a process with threads may hang
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _deaf():
            self.process.start()
        theirs.close()  # or the end of the process would not be seen
        self.ready = False
        self.task: _Task | None = None

    def give(self, task: _Task) -> None:
        """Let it crop some pages; if it is dead, `Workers` hears so from its pipe."""
        self.task = task
        self._send(task.names)

    def begin(self, steps: bytes) -> None:
        """Let it have the steps, now that it listens."""
        self.ready = True
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


class Workers:
    """Processes that crop and clean pages; a context manager that ends them.

    Parameters
    ----------
    steps : list of (str, transformer)
        The reader without its last step.
    n_jobs : int
        Processes; with 1 this process does it itself.
    """

    def __init__(self, steps: list[tuple[str, Any]], n_jobs: int) -> None:
        self.steps = steps
        self.n_jobs = n_jobs
        self.processes: list[_Process] = []
        self.waiting: deque[_Task] = deque()

    def __enter__(self) -> Workers:
        if self.n_jobs > 1:
            self.content = pickle.dumps(self.steps)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
        self.processes.clear()

    def cropped(
        self, lots: Iterable[list[PageRecord]]
    ) -> Iterator[tuple[list[PageRecord], np.ndarray, list[PageReport]]]:
        """Yield each lot of pages with its cells and reports, in order."""
        if self.n_jobs == 1:
            for lot in lots:
                yield lot, *self._crop_here(lot)
            return
        ahead: deque[tuple[list[PageRecord], _Task]] = deque()
        for lot in lots:
            ahead.append((lot, self._ask(names_of(lot))))
            if len(ahead) >= _AHEAD * self.n_jobs:
                yield self._next(*ahead.popleft())
        while ahead:
            yield self._next(*ahead.popleft())

    def _ask(self, names: list[str]) -> _Task:
        if not self.processes:
            self.processes = [_Process() for _ in range(self.n_jobs)]
        task = _Task(names)
        self.waiting.append(task)
        self._attend(0)
        return task

    def _answer(self, task: _Task) -> Cropped:
        """Wait for what became of a task."""
        while task.answer is None:
            self._attend(None)
        if isinstance(task.answer, Exception):
            raise task.answer
        return task.answer

    def _attend(self, seconds: float | None) -> None:
        """Hear what processes have to say, and give those that are idle work."""
        ready = wait([process.pipe for process in self.processes], seconds)
        for process in [one for one in self.processes if one.pipe in ready]:
            self._hear(process)
        for process in self.processes:
            if self.waiting and process.ready and process.task is None:
                process.give(self.waiting.popleft())

    def _hear(self, process: _Process) -> None:
        try:
            said = process.pipe.recv_bytes()
        except (EOFError, OSError):  # perhaps in the midst of a sentence
            self._bury(process)
            return
        if process.task is None:
            process.begin(self.content)
        else:
            process.task.answer = pickle.loads(said)
            process.task = None

    def _bury(self, process: _Process) -> None:
        """Put another in the place of a process that died, if it had begun."""
        process.kill()
        self.processes.remove(process)
        if process.task is not None:
            process.task.answer = _Died()
        if process.ready:
            self.processes.append(_Process())
        if not self.processes:
            raise TallyError(
                f"n_jobs={self.n_jobs}: expected processes that start, but they end at "
                'once; put the call below `if __name__ == "__main__":` in a script, '
                "free some memory, or give n_jobs=1"
            )

    def _next(self, lot: list[PageRecord], task: _Task) -> tuple:
        try:
            return lot, *self._answer(task)
        except TallyError:  # of the form: no other page would fare better
            raise
        except Exception:
            logger.debug(
                "a lot failed, its pages are cropped one by one", exc_info=True
            )
        single = [self._one(record) for record in lot]
        cells = np.concatenate([cells for cells, _ in single])
        return lot, cells, [reports[0] for _, reports in single]

    def _one(self, record: PageRecord) -> Cropped:
        """Crop a page alone, twice if the process dies."""
        for _ in range(2):
            try:
                return self._answer(self._ask(names_of([record])))
            except _Died:
                pass
            except TallyError:
                raise
            except Exception as error:
                return self._nothing(record, unexpected(error))
        return self._nothing(
            record,
            "the process that read it died, twice; expected a page that fits into "
            "memory: look at the file, or free some memory",
        )

    def _crop_here(self, lot: list[PageRecord]) -> Cropped:
        """Crop in this process, page by page if that fails."""
        try:
            return _crop(self.steps, names_of(lot))
        except TallyError:
            raise
        except Exception as error:
            if len(lot) == 1:
                return self._nothing(lot[0], unexpected(error))
        single = [self._crop_here([record]) for record in lot]
        cells = np.concatenate([cells for cells, _ in single])
        return cells, [reports[0] for _, reports in single]

    def _nothing(self, record: PageRecord, why: str) -> Cropped:
        message = f"{record.page.name}: {why}"
        cropper = self.steps[0][1]
        blank = np.zeros((1, *cropper.form_.box_array().shape[:2]), np.uint8)
        cells = np.zeros((*blank.shape, *cropper.cell_shape_), np.uint8)
        for _, step in self.steps[1:]:
            cells = step.transform(cells)
        return cells, [PageReport(record.page.name, "failed", message)]


def unexpected(error: Exception) -> str:
    """Say what happened to a page that was not foreseen."""
    if isinstance(error, MemoryError):
        return "not enough memory to read it; free some, or read fewer pages at a time"
    text = f"{type(error).__name__}: {error}"
    return f"an error that sktally did not expect, please report it ({text})"


def names_of(lot: list[PageRecord]) -> list[str]:
    """Return the names of some pages."""
    return [record.page.name for record in lot]


def _crop(steps: list[tuple[str, Any]], names: list[str]) -> Cropped:
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
        pipe.send_bytes(b"")  # ready
        steps = pickle.loads(pipe.recv())
        while True:
            pipe.send_bytes(_tried(steps, pipe.recv()))
    except (EOFError, OSError):  # the parent has gone
        os._exit(1)


def _tried(steps: list[tuple[str, Any]], names: list[str]) -> bytes:
    """Return cells and reports of some pages, or the error in their place, pickled."""
    try:
        return pickle.dumps(_crop(steps, names), pickle.HIGHEST_PROTOCOL)
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
