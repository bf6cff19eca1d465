"""Keep what was read in one SQLite file: pages whole or not at all, nothing changed.

Comes in: what a reader is, and rows of pages. Goes out: the same, whenever asked.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from sktally._words import number as words
from sktally.exceptions import StoreError, TallyWarning
from sktally.tables._base import Base
from sktally.tables._chain import add_link
from sktally.tables._circumstances import circumstances, now
from sktally.tables._files import Noted, forget_unreadable, name_now, note_file
from sktally.tables._image import printable
from sktally.tables._records import PageRecord, Run

__all__ = ["Store", "check_open", "chosen_run", "number_or_none", "opened", "with_name"]

# What a run says of itself, and of which type it is.
_RUN_CONTENT = {
    "form": {"name": str, "sha256": str, "toml": str, "fields": list},
    "model": {"sha256": str},
    "settings": dict,
}


class Store(Base):
    """A result store, open; a context manager that closes it.

    Parameters
    ----------
    path : str or path
        The SQLite file.
    make : bool, default=False
        Whether to make it where there is none.

    Attributes
    ----------
    path : Path
        The file.
    base : sqlite3.Connection
        For questions of one's own; write through the methods only.

    Raises
    ------
    StoreError
        If there is none, it is no store, of a newer version, damaged or locked.

    See Also
    --------
    read_to_store : Reads pages into one.

    Notes
    -----
    Tables ``runs`` (a reader: form, model, settings), ``sessions`` (a command, with
    versions and time), ``pages`` and ``fields`` (as read), ``edits`` (what people
    say), and ``reconciliations``, their ``sheets`` and what is ``reconciled`` on them
    only grow, which triggers see to, and each row of them is chained by hash to all
    before it. ``files`` remembers what was hashed, ``unreadable`` the files that could
    not be: neither is evidence.

    Examples
    --------
    >>> import tempfile
    >>> from sktally.tables import Store
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Store(folder.name + "/votes.sqlite", make=True) as store:
    ...     store.runs()
    []
    >>> folder.cleanup()
    """

    def runs(self) -> list[Run]:
        """Return all runs, oldest first."""
        rows = self.ask("SELECT id, reader, content FROM runs ORDER BY id")
        return [
            Run(i, reader, self.content(f"run {i}", content, _RUN_CONTENT))
            for i, reader, content in rows
        ]

    def circumstances(self, session: int) -> dict[str, Any]:
        """Return time, versions and kind of machine of a session."""
        rows = self.ask("SELECT content FROM sessions WHERE id = ?", session)
        text = rows[0][0] if rows else ""
        return self.content(f"session {session}", text, {"versions": dict})

    def content(self, name: str, text: str, expected: dict[str, Any]) -> dict:
        """Return what a row says as JSON, or raise if it is not what we wrote."""
        try:
            content = json.loads(text)
            good = _has(content, expected)
        except (ValueError, TypeError, RecursionError):
            good = False
        if not good:
            raise StoreError(
                f"{self.path}: {name} is not described as sktally does it: the store "
                "was damaged or altered; go back to an untouched copy"
            )
        return content

    def run(self, number: int | Run | None = None) -> Run:
        """Return a run by its number, or the one last read in; a run is itself.

        Raises
        ------
        StoreError
            If there is none, or it is of another store.

        Warns
        -----
        TallyWarning
            If no number is given and another run has more pages.
        """
        found = {run.id: run for run in self.runs()}
        if not found:
            raise StoreError(f"{self.path}: nothing was read into it yet")
        if isinstance(number, Run):
            if found.get(number.id) != number:
                raise StoreError(
                    f"run: expected a run of {self.path}, got run {number.id} of "
                    "another store; ask this one for its runs"
                )
            return number
        if number is not None and (
            isinstance(number, bool) or not isinstance(number, int | np.integer)
        ):
            raise StoreError(
                "run: expected the number of a run, or a Run as `Store.run` returns "
                f"it, got {number!r:.60} ({type(number).__name__})"
            )
        if number is None:
            ask = "SELECT run FROM sessions ORDER BY id DESC LIMIT 1"
            last = self.ask(ask)
            number = last[0][0] if last else None
            if len(found) > 1:
                self._compare(number)
        if number not in found:
            raise StoreError(
                f"{self.path}: expected a run of 1 to {max(found)}, got {number!r}"
            )
        return found[number]

    def _compare(self, number: int | None) -> None:
        """Warn if another run has more pages that count than one."""
        some = "FROM pages WHERE sha256 IN (SELECT sha256 FROM files)"
        pages = dict(self.ask(f"SELECT run, COUNT(*) {some} GROUP BY run"))
        most = max(pages, key=pages.__getitem__, default=number)
        if pages.get(number, 0) < pages.get(most, 0):
            own = words(pages.get(number, 0), "page")
            warnings.warn(
                f"{self.path}: run {number}, the one last read in, has {own}, and run "
                f"{most} has {pages[most]:,}; name the run that you mean, such as "
                f"run {most}",
                TallyWarning,
                stacklevel=3,
            )

    def begin(self, reader: str, content: Mapping[str, Any]) -> tuple[Run, int]:
        """Note that reading begins, and return the run and the session.

        A reader that was used before goes on with its run.
        """
        with self.writing():
            known = self.ask("SELECT id FROM runs WHERE reader = ?", reader)
            text = json.dumps(content, sort_keys=True)
            run = known[0][0] if known else self.add_row("runs", reader, text)
            session = self.add_row("sessions", run, json.dumps(circumstances()))
        return self.run(run), session

    def has_page(self, run: Run, sha256: str, number: int) -> str:
        """Return the status of a page that this run holds, or nothing."""
        ask = "SELECT status FROM pages WHERE run = ? AND sha256 = ? AND number = ?"
        found = self.ask(ask, run.id, sha256, number)
        return found[0][0] if found else ""

    def message_of(self, run: Run, sha256: str, number: int) -> str:
        """Return the name of a page of this run and why it was not read."""
        ask = (
            f"SELECT {name_now('p')}, message FROM pages p "
            "WHERE run = ? AND sha256 = ? AND number = ?"
        )
        file, message = self.ask(ask, run.id, sha256, number)[0]
        return with_name(str(file), str(message))

    def add_pages(
        self, run: Run, session: int, records: list[PageRecord]
    ) -> list[Noted]:
        """Write pages with their fields; all of them or, if that fails, none.

        One that another process has read in the meantime is left as it is.
        """
        noted = []
        with self.writing():
            for record in records:
                known = record.sha256, record.state
                forget_unreadable(self, run, record.page, record.sha256)
                noted.append(note_file(self, record.page, *known, session))
                if not self.has_page(run, record.sha256, record.page.number):
                    self._add_page(run, session, record)
        return noted

    def _add_page(self, run: Run, session: int, record: PageRecord) -> None:
        found = record.registration
        placed: tuple[Any, ...] = (None,) * 5
        if found is not None:
            transform = json.dumps(found.homography.ravel().tolist())
            numbers = (float(found.score), number_or_none(found.residual))
            placed = (found.method, int(found.turn), *numbers, transform)
        quality = record.rows[0].get("tally_quality") if record.rows else None
        made = self.insert(
            "pages",
            *(session, run.id, record.sha256, record.page.number),
            *(record.page.file, Path(record.page.file).name, record.status),
            printable(record.message),
            number_or_none(quality),
            *placed,
            now(),
        )
        for i, row in enumerate(record.rows):
            self.base.execute(
                f"INSERT INTO fields VALUES ({', '.join('?' * 10)})",
                (
                    *(made, i, row["field"], row.get("boxes"), row.get("count")),
                    *(number_or_none(row.get("confidence")), row["status"]),
                    printable(row["message"]),
                    None if found is None else _bytes(found.quads[i]),
                    None if record.proba is None else _bytes(record.proba[i]),
                ),
            )
        add_link(self.base, "pages", made)

    def add_edit(self, **values: Any) -> None:
        """Write what a person says of a field, in a transaction of the caller's."""
        names = ("sha256", "number", "field", "purpose", "boxes", "count", "who", "why")
        self.add_row("edits", *(values[name] for name in names), values["file"], now())


def opened(store: Store | str | Path) -> AbstractContextManager[Store]:
    """Return a store to be used in a ``with``: one that is open stays so."""
    return nullcontext(store) if isinstance(store, Store) else Store(store)


def check_open(store: object) -> None:
    """Raise for what is no `Store`, such as the path of one."""
    if not isinstance(store, Store):
        raise StoreError(
            f"store: expected an open Store, got {store!r:.200} "
            f"({type(store).__name__}); open it: `with Store(path) as store: ...`"
        )


def chosen_run(store: Store, run: Run | int | None) -> Run:
    """Return the run that a caller asks for, by default the one last read in."""
    check_open(store)
    return store.run(run)


def _has(content: Any, expected: Any) -> bool:
    if isinstance(expected, type):
        return isinstance(content, expected)
    return isinstance(content, dict) and all(
        name in content and _has(content[name], part) for name, part in expected.items()
    )


def number_or_none(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def with_name(file: str, message: str) -> str:
    """Return a message of a file that begins with its name."""
    return message if message.startswith(file) else f"{file}: {message}"
