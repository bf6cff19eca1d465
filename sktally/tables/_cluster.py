"""Read pages on the workers of a Dask cluster, in order, a bounded number ahead.

Each worker is given form and model once. One that dies costs its pages a retry on
another; a page on which workers keep dying is given up.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from sktally.cells import PageReport
from sktally.exceptions import TallyError
from sktally.tables._process import without_errors
from sktally.tables._records import PageRecord
from sktally.tables._rows import PageResult, crop_and_clean, page_results
from sktally.tables._workers import names_of, unexpected

__all__ = ["Cluster"]

_AHEAD = 3  # lots for each thread of the cluster, waiting or done
_PATIENCE = "20s"


class Cluster:
    """Workers of a Dask cluster; a context manager that leaves the cluster alone.

    Parameters
    ----------
    reader : Pipeline
        A fitted reader.
    address : str
        Of the scheduler.

    Raises
    ------
    TallyError
        If Dask is not installed, or no scheduler with workers answers.
    """

    def __init__(self, reader: Pipeline, address: str) -> None:
        self.reader = reader
        self.address = address
        self.client = _connect(address)

    def __enter__(self) -> Cluster:
        # as a task, not as data: it can be made again if all who hold it die
        content = pickle.dumps(self.reader)
        self.shared = self.client.submit(pickle.loads, content, pure=False)
        try:
            self.client.submit(_is_there, self.shared, pure=False).result()
        except Exception as error:
            self.client.close()
            raise TallyError(
                f"cluster: expected workers of {self.address} that can read, got "
                f"{type(error).__name__}: {error}; install the same sktally there"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def read(
        self, lots: Iterable[list[PageRecord]]
    ) -> Iterator[tuple[list[PageRecord], list[PageResult]]]:
        """Yield each lot of pages with what was read of it, in order."""
        n_ahead = _AHEAD * max(1, sum(self.client.nthreads().values()))
        ahead: deque[tuple[list[PageRecord], Any]] = deque()
        for lot in lots:
            ahead.append((lot, self._submit(lot)))
            if len(ahead) >= n_ahead:
                yield self._next(ahead)
        while ahead:
            yield self._next(ahead)

    def _submit(self, lot: list[PageRecord]) -> Any:
        return self.client.submit(_work, self.shared, names_of(lot), pure=False)

    def _next(self, ahead: deque) -> tuple[list[PageRecord], list[PageResult]]:
        lot, future = ahead.popleft()
        try:
            return lot, future.result()
        except TallyError:  # of the form: no other page would fare better
            raise
        except Exception:  # KilledWorker, or what nobody expected
            return lot, [self._one(record) for record in lot]

    def _one(self, record: PageRecord) -> PageResult:
        """Read a page alone; give it up if workers keep dying."""
        from distributed import KilledWorker

        try:
            return self._submit([record]).result()[0]
        except TallyError:
            raise
        except KilledWorker:
            why = (
                "every worker that read it died; expected a page that fits into "
                "memory: look at the file, or give the workers more"
            )
        except Exception as error:
            why = unexpected(error)
        message = f"{record.page.name}: {why}"
        report = PageReport(record.page.name, "failed", message)
        names = self.reader[0].form_.field_names
        rows = [{"field": n, "status": "failed", "message": message} for n in names]
        return PageResult(report, rows, None)


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise TallyError(
            "cluster: reading on a cluster needs Dask: pip install 'sktally[dask]'"
        ) from None
    try:
        client = Client(address, timeout=_PATIENCE)
        client.wait_for_workers(1, timeout=_PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise TallyError(
            f"cluster: expected the address of a Dask scheduler with workers, such as "
            f"tcp://10.0.0.5:8786, got {address!r} ({error}); start one with `dask "
            "scheduler` and `dask worker ADDRESS`"
        ) from None
    return client


def _is_there(reader: Pipeline) -> bool:
    return reader is not None


def _work(reader: Pipeline, names: list[str]) -> list[PageResult]:
    """Crop and read a few pages, on a worker, with one thread."""
    import cv2

    cv2.setNumThreads(1)  # for good: other cores have tasks of their own, as of OpenMP
    with threadpool_limits(1):
        cells, reports = crop_and_clean(reader, names)
        return page_results(reader, cells, without_errors(reports))
