"""Crop pages in processes of their own, in order, a bounded number ahead.

A process that dies takes only its own pages along: they are cropped again one by one,
and a page on which the process dies twice is given up.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from sktally.cells import PageReport
from sktally.exceptions import TallyError
from sktally.tables._records import PageRecord
from sktally.tables._rows import crop_and_clean

__all__ = ["Workers", "names_of", "unexpected", "without_errors"]

_AHEAD = 2  # lots for each process, waiting or done
_steps: list[tuple[str, Any]] = []

logger = logging.getLogger(__name__)

Cropped = tuple[np.ndarray, list[PageReport]]


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
        self.pool: ProcessPoolExecutor | None = None
        self.others = set(multiprocessing.active_children())

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt:  # not even after the pages under way
            for process in set(multiprocessing.active_children()) - self.others:
                process.kill()
        self._end()

    def _end(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.pool = None

    def cropped(
        self, lots: Iterable[list[PageRecord]]
    ) -> Iterator[tuple[list[PageRecord], np.ndarray, list[PageReport]]]:
        """Yield each lot of pages with its cells and reports, in order."""
        if self.n_jobs == 1:
            for lot in lots:
                yield lot, *self._crop_here(lot)
            return
        ahead: deque[tuple[list[PageRecord], Future]] = deque()
        for lot in lots:
            ahead.append((lot, self._submit(names_of(lot))))
            if len(ahead) >= _AHEAD * self.n_jobs:
                yield self._next(ahead)
        while ahead:
            yield self._next(ahead)

    def _submit(self, names: list[str]) -> Future:
        if self.pool is None:
            self._start()
        assert self.pool is not None
        try:
            return self.pool.submit(_work, names)
        except BrokenProcessPool as error:
            broken: Future = Future()
            broken.set_exception(error)
            return broken

    def _start(self) -> None:
        """Start processes, and wait until one is ready: else no page is to blame."""
        self.pool = ProcessPoolExecutor(
            self.n_jobs,
            # a fork of a process with threads may hang
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(self.steps,),
        )
        try:
            self.pool.submit(os.getpid).result()
        except BrokenProcessPool:
            self._end()
            raise TallyError(
                f"n_jobs={self.n_jobs}: expected processes that start, but they end at "
                'once; put the call below `if __name__ == "__main__":` in a script, '
                "free some memory, or give n_jobs=1"
            ) from None

    def _next(self, ahead: deque) -> tuple:
        lot, future = ahead.popleft()
        broken = False
        try:
            return lot, *future.result()
        except BrokenProcessPool:
            self._end()
            broken = True
        except TallyError:  # of the form: no other page would fare better
            raise
        except Exception:
            logger.debug(
                "a lot failed, its pages are cropped one by one", exc_info=True
            )
        single = [self._one(record) for record in lot]
        # whatever else was under way in that pool
        for i, (other, old) in enumerate(ahead):
            if broken and (not old.done() or old.exception() is not None):
                ahead[i] = (other, self._submit(names_of(other)))
        cells = np.concatenate([cells for cells, _ in single])
        return lot, cells, [reports[0] for _, reports in single]

    def _one(self, record: PageRecord) -> Cropped:
        """Crop a page alone, twice if the process dies."""
        for _ in range(2):
            try:
                return self._submit(names_of([record])).result()
            except BrokenProcessPool:
                self._end()
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


def _prepare(steps: list[tuple[str, Any]]) -> None:
    """Make a worker ready: one thread, deaf to Ctrl-C, not to outlive its parent."""
    import cv2
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Pillow warns of damaged tags; the message of the page says what is wrong
    warnings.filterwarnings("ignore", module="PIL")
    cv2.setNumThreads(1)
    threadpool_limits(1)
    _steps[:] = steps
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(names: list[str]) -> Cropped:
    return _crop(_steps, names)
