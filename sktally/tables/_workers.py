"""Crop pages in processes of their own, in order, a bounded number ahead.

A process that dies takes only its own pages along: they are cropped again one by one,
and a page on which the process dies twice is given up. Each process has a pipe of its
own, so that one which is killed in the midst of an answer keeps nobody waiting.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any

import numpy as np

from sktally.cells import PageReport
from sktally.cells._bubbled import join_cells
from sktally.exceptions import TallyError
from sktally.tables._process import Cropped, Process, Task, crop
from sktally.tables._records import PageRecord

__all__ = ["Workers", "names_of", "unexpected"]

_AHEAD = 2  # lots for each process, waiting or done
# Windows waits for 63 pipes at once, and no more
_MOST = 60 if os.name == "nt" else 512

logger = logging.getLogger(__name__)


class _Died(Exception):
    """The process that cropped some pages is no more."""


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
        self.n_jobs = min(n_jobs, _MOST)
        self.n_started = 0
        self.processes: list[Process] = []
        self.waiting: deque[Task] = deque()

    def __enter__(self) -> Workers:
        if self.n_jobs > 1:
            try:
                self.content = pickle.dumps(self.steps)
            except Exception as error:  # pickles of others raise what they like
                raise TallyError(
                    "reader: expected steps that other processes can be sent, got one "
                    f"that cannot be pickled ({error}); put its functions into a "
                    "module, or give n_jobs=1"
                ) from error
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
        ahead: deque[tuple[list[PageRecord], Task]] = deque()
        for lot in lots:
            ahead.append((lot, self._ask(names_of(lot))))
            if len(ahead) >= _AHEAD * self.n_jobs:
                yield self._next(*ahead.popleft())
        while ahead:
            yield self._next(*ahead.popleft())

    def _ask(self, names: list[str]) -> Task:
        if self.n_started < self.n_jobs:  # no more than there is work for
            self.n_started += 1
            self._start()
        task = Task(names)
        self.waiting.append(task)
        self._attend(0)
        return task

    def _start(self) -> None:
        try:
            self.processes.append(Process())
        except OSError as error:
            n = len(self.processes)
            raise TallyError(
                f"n_jobs={self.n_jobs}: the system starts no more than {n} processes "
                f"({error}); give n_jobs={max(n, 1)}, or raise its limits"
            ) from error

    def _answer(self, task: Task) -> Cropped:
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

    def _hear(self, process: Process) -> None:
        try:
            said = process.pipe.recv_bytes()
        except (EOFError, OSError):  # perhaps in the midst of a sentence
            self._bury(process)
            return
        if process.task is not None:
            process.task.answer = pickle.loads(said)
            process.task = None
        elif not process.listens:
            process.begin(self.content)
        elif not said:
            process.ready = True
        else:
            raise TallyError(
                f"n_jobs={self.n_jobs}: other processes cannot load a step of the "
                f"reader ({said.decode()}); put its class into a module that they can "
                "import, or give n_jobs=1"
            )

    def _bury(self, process: Process) -> None:
        """Put another in the place of a process that died, if it had begun."""
        process.kill()
        self.processes.remove(process)
        if process.task is not None:
            process.task.answer = _Died()
        if process.ready:
            self._start()
        if not self.processes:
            raise TallyError(
                f"n_jobs={self.n_jobs}: expected processes that start, but they end at "
                'once; put the call below `if __name__ == "__main__":` in a script, '
                "free some memory, or give n_jobs=1"
            )

    def _next(self, lot: list[PageRecord], task: Task) -> tuple:
        try:
            return lot, *self._answer(task)
        except TallyError:  # of the form: no other page would fare better
            raise
        except Exception:
            logger.debug(
                "a lot failed, its pages are cropped one by one", exc_info=True
            )
        single = [self._one(record) for record in lot]
        cells = join_cells([cells for cells, _ in single])
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
            return crop(self.steps, names_of(lot))
        except TallyError:
            raise
        except Exception as error:
            if len(lot) == 1:
                return self._nothing(lot[0], unexpected(error))
        single = [self._crop_here([record]) for record in lot]
        cells = join_cells([cells for cells, _ in single])
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
