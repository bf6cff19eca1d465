"""What is kept: a run, which is one reader and all it read, and a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sktally.exceptions import StoreError
from sktally.pages import Registration
from sktally.tables._image import FileState, PageName

__all__ = ["PageRecord", "Run"]


@dataclass(frozen=True)
class Run:
    """One reader, with all that was read by it.

    Attributes
    ----------
    id : int
        Counted from 1 in the order in which readers were first used.
    reader : str
        SHA-256 that tells it from every other reader.
    content : dict
        Its form, model and settings.

    Examples
    --------
    >>> import tempfile
    >>> from sktally import load_reader, read_to_store
    >>> from sktally.tables import Store
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/votes.sqlite"
    >>> _ = read_to_store(load_reader("example"), [], path)
    >>> with Store(path) as store:
    ...     run = store.runs()[0]
    >>> run.id, run.fields
    (1, ['01', '02', '03', 'valid', 'invalid', 'total'])
    >>> folder.cleanup()
    """

    id: int
    reader: str
    content: dict[str, Any]

    @property
    def fields(self) -> list[str]:
        """Names of the fields of its form."""
        names = list(self.content["form"]["fields"])
        if not names or not all(isinstance(name, str) for name in names):
            raise StoreError(
                f"run {self.id}: expected names of fields, got {names!r:.60}; the "
                "store was altered: go back to an untouched copy"
            )
        return names


@dataclass
class PageRecord:
    """What is kept of one page.

    Attributes
    ----------
    page : PageName
        As it was named.
    sha256 : str
        Of the bytes of its file.
    state : FileState
        Of the file when it was hashed.
    status, message : str
        As the cropper reports them.
    registration : Registration or None
        Where the form lies on it.
    rows : list of dict
        One for each field.
    proba : ndarray of shape (n_fields, n_places, n_classes), optional
        Probabilities of the classes.
    """

    page: PageName
    sha256: str
    state: FileState
    status: str = "ok"
    message: str = ""
    registration: Registration | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    proba: np.ndarray | None = None
