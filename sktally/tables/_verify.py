"""Prove that a store is as it was written, and its scans, models and references."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from sktally.exceptions import StoreError, TallyError
from sktally.tables._chain import broken_links, link_with
from sktally.tables._image import file_sha256
from sktally.tables._origin import form_with_files, model_file
from sktally.tables._schema import explained
from sktally.tables._store import Store, check_open

__all__ = ["verify"]


def verify(
    store: Store, *, images: bool = True, expect: str | None = None
) -> Iterator[str]:
    """Yield what is wrong, in words; nothing if all is as it was written.

    Parameters
    ----------
    store : Store
        An open store.
    images : bool, default=True
        Whether to hash the scans, models and references of forms anew.
    expect : str, optional
        Hash that once ended the chain. If the chain is whole and still has it, no row
        before it was changed, taken out or put in since.

    Yields
    ------
    str
        Altered, deleted or foreign rows; scans, models and references that changed or
        are gone.

    Raises
    ------
    StoreError
        If `expect` is no hash.

    Notes
    -----
    Whoever can write the file could make all hashes anew. Note the hash at the end of
    the chain, which `sktally status` prints, where nobody else can write, and give it
    as `expect` later.

    See Also
    --------
    store_status : Prints the hash at the end of the chain.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktally import load_reader, make_tally_pages, read_to_store
    >>> folder = tempfile.TemporaryDirectory()
    >>> scan, path = Path(folder.name, "scan.png"), folder.name + "/votes.sqlite"
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> Image.fromarray(made.pages[0]).save(scan)
    >>> _ = read_to_store(load_reader("example"), [scan], path)
    >>> from sktally.tables import Store, verify
    >>> with Store(path) as store:
    ...     print(list(verify(store)))
    ...     scan.write_bytes(scan.read_bytes() + b"x") and len(list(verify(store)))
    []
    1
    >>> folder.cleanup()
    """
    check_open(store)
    noted = None if expect is None else expect.strip().lower()
    if noted is not None and not re.fullmatch("[0-9a-f]{64}", noted):
        raise StoreError(
            f"expect: expected the 64 hexadecimal digits of a hash, got {expect!r}; "
            "give the hash that `sktally status` or `verify` printed last"
        )
    with explained(store.path):
        damage = store.base.execute("PRAGMA integrity_check(5)").fetchall()
        if damage != [("ok",)]:
            yield from (f"file: {text}" for (text,) in damage)
        yield from broken_links(store.base)
        if noted is not None and link_with(store.base, noted) is None:
            yield (
                f"chain: no link has the hash {noted} that was expected; rows before "
                "it were rewritten or taken out, or it is of another store"
            )
    if images:
        yield from _images(store)
        yield from _origins(store)


def _images(store: Store) -> Iterator[str]:
    """Yield the pages of which no file with the bytes that were read is left."""
    good: set[str] = set()
    wrong: dict[str, list[str]] = {}
    ask = "SELECT path, file, sha256 FROM files ORDER BY path"
    for key, file, sha256 in store.ask(ask):
        try:
            same = file_sha256(Path(os.fsdecode(key))) == sha256
            found = "" if same else f"image: {file} is not the file that was read"
        except (OSError, ValueError, TypeError) as error:
            found = f"image: {file} cannot be read ({_reason(error)})"
        if found:
            wrong.setdefault(sha256, []).append(found)
        else:
            good.add(sha256)
    pages = "SELECT sha256, MIN(file) FROM pages GROUP BY sha256 ORDER BY MIN(id)"
    for sha256, file in store.ask(pages):
        if sha256 not in good:
            gone = f"image: the file that was read as {file} is gone or was replaced"
            yield from dict.fromkeys(wrong.get(sha256, [gone]))


def _origins(store: Store) -> Iterator[str]:
    """Yield which models and references of forms are gone or changed."""
    for run in store.runs():
        for find in (form_with_files, model_file):
            try:
                find(run)
            except TallyError as error:
                yield str(error)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
