"""Read any number of pages into a store, and survive what happens on the way.

Pages are cropped by processes of their own, in order and a few at a time; the network
reads the cells of each few together; rows go to the store at once. So memory does not
grow with the number of pages, and whatever ends the process costs those under way.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from sktally._validate import check_range
from sktally.cells._as_pages import as_pages
from sktally.exceptions import PageReadError, TallyError
from sktally.tables._cluster import Cluster
from sktally.tables._files import (
    image_of,
    note_known,
    note_unreadable,
    read_before,
)
from sktally.tables._find import is_copy
from sktally.tables._gone import forget_gone
from sktally.tables._image import FileState, PageName
from sktally.tables._origin import identify
from sktally.tables._progress import Progress
from sktally.tables._records import PageRecord, Run
from sktally.tables._rows import PageResult, check_reader, page_results
from sktally.tables._store import Store
from sktally.tables._workers import Workers

__all__ = ["read_to_store"]

_TOGETHER = 16  # pages cropped and read at once: fills the batches of the network


def read_to_store(
    reader: Pipeline,
    pages: Sequence[str | PathLike[str]],
    path: str | Path,
    *,
    origin: dict[str, Any] | None = None,
    n_jobs: int = 1,
    cluster: str | None = None,
    rehash: bool = False,
    drop_gone: bool = False,
    progress: Callable[[Progress], object] | None = None,
) -> Progress:
    """Read pages into a result store, going on where an earlier reading ended.

    A page is known by the SHA-256 of its file and its number in it: what was read by
    the same reader is not read again, under whatever name it comes. Each page is
    written whole or not at all.

    Parameters
    ----------
    reader : Pipeline
        A fitted reader, for example from `load_reader`.
    pages : sequence of str or path
        Pages, as `list_pages` names them.
    path : str or path
        The store, a SQLite file; made if there is none.
    origin : dict, optional
        What the model is: "name", "path", "sha256", as `sktally.persist.model_origin`
        says of a file. Readers of other origin are other runs, kept side by side. By
        default it is a hash of the fitted steps.
    n_jobs : int, default=1
        Processes that crop pages. With 1 all is done in this one, and a file that
        brings a process down ends the reading.
    cluster : str, optional
        Address of the scheduler of a Dask cluster, such as "tcp://10.0.0.5:8786". Its
        workers read pages whole; the paths must lead to the same files there, and
        sktally must be installed. This process hashes and writes.
    rehash : bool, default=False
        Whether to hash every file anew rather than to believe size, time and inode.
    drop_gone : bool, default=False
        Whether pages whose file is gone, and is nowhere else, no longer count. They
        do once the file is read again.
    progress : callable, optional
        Called with a `Progress` after each few pages.

    Returns
    -------
    Progress

    Raises
    ------
    StoreError
        If the store cannot be opened or written; what is in it stays.
    TallyError
        If `reader` or `pages` are something else.

    See Also
    --------
    read_tallies : Reads a few pages into a data frame.

    Notes
    -----
    Ctrl-C ends the reading after the pages under way. A worker process that dies, for
    want of memory say, costs the page that kills it twice. The network uses one thread.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktally import load_reader, make_tally_pages
    >>> from sktally.tables import read_to_store
    >>> folder = tempfile.TemporaryDirectory()
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> scan = Path(folder.name, "scan.png")
    >>> Image.fromarray(made.pages[0]).save(scan)
    >>> store = folder.name + "/votes.sqlite"
    >>> read_to_store(load_reader("example"), [scan], store).read
    1
    >>> read_to_store(load_reader("example"), [scan], store).before
    1
    >>> folder.cleanup()
    """
    check_reader(reader)
    check_range("n_jobs", n_jobs, 1, 512, integer=True)
    names = _named(pages)
    key, content = identify(reader, origin)
    told = Progress(len(names))
    with Store(path, make=True) as store, threadpool_limits(1), _interruptible() as ask:
        run, session = store.begin(key, content)
        todo = _Pending(store, run, session, names, told, rehash, ask)
        # closed whatever happens, so that no process goes on
        with closing(_read(reader, _few(todo, ask), n_jobs, cluster)) as read:
            for lot, results in read:
                _keep(store, run, session, lot, results, told)
                todo.under_way.difference_update(
                    (record.sha256, record.page.number) for record in lot
                )
                if progress is not None:
                    progress(told)
        told.stopped = ask()
        if not told.stopped or told.done == told.pages:
            told.gone, replaced = forget_gone(store, session, drop=drop_gone)
            told.replaced += replaced
    if progress is not None:
        progress(told)
    return told


def _named(pages: Sequence[str | PathLike[str]]) -> list:
    if isinstance(pages, list | tuple) and not pages:
        return []
    pages = as_pages(pages, "pages")
    for i, page in enumerate(pages):
        if not isinstance(page, str | PathLike):
            raise TallyError(
                f"pages[{i}]: expected the path of a file, got an array: a store knows "
                "pages by their files; read arrays with read_tallies"
            )
    return pages


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C be asked for; a second one raises."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def note(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


class _Pending:
    """The pages that are not in the store, as records without rows."""

    def __init__(
        self,
        store: Store,
        run: Run,
        session: int,
        names: list[str | PathLike[str]],
        told: Progress,
        rehash: bool,
        stopped: Callable[[], bool],
    ) -> None:
        self.store = store
        self.run = run
        self.session = session
        self.names = names
        self.told = told
        self.rehash = rehash
        self.stopped = stopped
        self.under_way: set[tuple[str, int]] = set()
        self.twins: list[PageRecord] = []

    def __iter__(self) -> Iterator[PageRecord]:
        for name in self.names:  # parsed as they come: there may be very many
            if self.stopped():
                return
            page = PageName.parse(name)
            try:
                sha256, state = image_of(self.store, page.path, rehash=self.rehash)
            except (OSError, ValueError, PageReadError):
                # the reader of pages says what is wrong with it
                yield PageRecord(page, "", FileState(-1, -1, -1))
                continue
            record = PageRecord(page, sha256, state)
            key = (sha256, page.number)
            if key in self.under_way:
                self.twins.append(record)
            elif not self._is_known(record):
                self.under_way.add(key)
                yield record

    def late(self) -> Iterator[PageRecord]:
        """Yield those that came while the same page was read, if it was not read."""
        for record in self.twins:
            if not self._is_known(record):
                yield record

    def _is_known(self, record: PageRecord) -> bool:
        """Tell whether the store holds a page, and count it if so."""
        page, sha256 = record.page, record.sha256
        status = self.store.has_page(self.run, sha256, page.number)
        if status:
            self.told.done += 1
            self.told.before += 1
            if status != "ok":
                self.told.add_problem(
                    self.store.message_of(self.run, sha256, page.number)
                )
            self._note_copy(page, sha256, record.state)
        return bool(status)

    def _note_copy(self, page: PageName, sha256: str, state: FileState) -> None:
        """Remember a file whose page is known, if it is not known itself."""
        self.told.copies += is_copy(self.store, self.run, page, sha256)
        known = sha256, state, self.session
        self.told.note(note_known(self.store, self.run, page, *known))


def _few(pending: _Pending, stopped: Callable[[], bool]) -> Iterator[list[PageRecord]]:
    """Yield a few pages at a time, until there are none or reading is to stop."""
    for records in (pending, pending.late()):
        few: list[PageRecord] = []
        for record in records:
            if stopped():
                return
            few.append(record)
            if len(few) == _TOGETHER:
                yield few
                few = []
        if few and not stopped():
            yield few


def _read(
    reader: Pipeline,
    lots: Iterable[list[PageRecord]],
    n_jobs: int,
    cluster: str | None,
) -> Generator[tuple[list[PageRecord], list[PageResult]], None, None]:
    """Yield each lot of pages with what was read of it, in order."""
    if cluster is not None:
        with Cluster(reader, cluster) as machines:
            yield from machines.read(lots)
        return
    with Workers(reader.steps[:-1], n_jobs) as workers:
        for lot, cells, reports in workers.cropped(lots):
            yield lot, page_results(reader, cells, reports)


def _keep(
    store: Store,
    run: Run,
    session: int,
    lot: list[PageRecord],
    results: list[PageResult],
    told: Progress,
) -> None:
    """Write all that is known of a few pages."""
    good, bad = [], []
    for record, result in zip(lot, results, strict=True):
        told.done += 1
        report = result.report
        problem = _changed(record)
        if report.status == "failed" or not record.sha256:
            # perhaps not for what its bytes are: it is tried again next time
            problem = report.message or problem
        if problem:
            if not record.sha256 and (status := read_before(store, run, record.page)):
                told.before += 1  # it cannot be looked at now, but was read
                told.not_read += status != "ok"
                continue
            told.add_problem(problem)
            bad.append((record, problem))
            continue
        if store.has_page(run, record.sha256, record.page.number):
            told.before += 1  # a twin, or another process was quicker
            good.append(record)
            continue
        is_read = report.status == "ok"
        told.read += is_read
        if not is_read:
            told.add_problem(report.message)
        told.doubtful += is_read and any(row["status"] != "ok" for row in result.rows)
        said: dict[str, Any] = {"status": report.status, "message": report.message}
        said |= {"rows": result.rows, "proba": result.proba}
        good.append(replace(record, registration=report.registration, **said))
    for noted in store.add_pages(run, session, good):
        told.note(noted)
    for record, problem in bad:  # last, when it is known what the file holds now
        told.note(note_unreadable(store, run, record, problem, session))


def _changed(record: PageRecord) -> str:
    """Say if a file is no longer what was hashed; it was read after that."""
    try:
        same = FileState.of(record.page.path) == record.state
    except (OSError, PageReadError):
        same = False
    if same:
        return ""
    return (
        f"{record.page.name}: the file changed while it was read; give the same "
        "command again once nothing writes to it"
    )
