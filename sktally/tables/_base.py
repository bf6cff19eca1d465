"""The open file of a store: questions to it, and writing that is whole or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Self

from sktally.exceptions import StoreError
from sktally.tables._chain import add_link, chain_end
from sktally.tables._schema import connect, explained

__all__ = ["Base"]


class Base:
    """A SQLite file, open; a context manager that closes it.

    Parameters
    ----------
    path : str or path
        The file.
    make : bool, default=False
        Whether to make it where there is none.
    """

    def __init__(self, path: str | Path, *, make: bool = False) -> None:
        if not isinstance(path, str | PathLike):
            raise StoreError(
                "store: expected a Store, or its path as str or Path, got "
                f"{path!r:.60} ({type(path).__name__})"
            )
        self.path = Path(path)
        self.base = connect(path, make=make)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.base.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write all that the block writes, or nothing."""
        with explained(self.path):
            self.base.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.base.execute("COMMIT")
            except BaseException:
                if self.base.in_transaction:
                    self.base.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Show the block the store as it is now, whatever others write meanwhile.

        Within another such block it shows what that one does.
        """
        if self.base.in_transaction:
            yield
            return
        with explained(self.path):
            self.base.execute("BEGIN")
            try:
                yield
            finally:
                if self.base.in_transaction:
                    self.base.execute("ROLLBACK")

    def ask(self, question: str, *values: Any) -> list[tuple]:
        """Return the rows that answer a question in SQL."""
        with explained(self.path):
            return self.base.execute(question, values).fetchall()

    def add_row(self, kind: str, *values: Any) -> int:
        """Write a row with the next number, in a transaction, and chain it."""
        made = self.insert(kind, *values)
        add_link(self.base, kind, made)
        return made

    def insert(self, kind: str, *values: Any) -> int:
        """Write a row with the next number; to be chained once its parts are there."""
        places = ", ".join("?" * len(values))
        made = self.base.execute(
            f"INSERT INTO {kind} VALUES (NULL, {places})", values
        ).lastrowid
        assert made is not None
        return made

    def end(self) -> tuple[int, str]:
        """Return how many rows are chained, and the hash at the end of the chain."""
        with explained(self.path):
            return chain_end(self.base)
