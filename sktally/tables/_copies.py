"""Other names of the files that pages were read from: copies of the same bytes."""

from __future__ import annotations

from pathlib import Path

from sktally.tables._files import name_now
from sktally.tables._records import Run
from sktally.tables._store import Store, opened

__all__ = ["file_copies"]


def file_copies(
    store: Store | str | Path, run: Run | int | None = None
) -> dict[str, list[str]]:
    """Return the copies of each file that pages were read from.

    Of files of the same bytes one is read, the first that comes, and its name stands
    in all tables.

    Parameters
    ----------
    store : Store, str or path
        An open store, or the path of one.
    run : Run or int, optional
        By default the one last read in.

    Returns
    -------
    copies : dict of str to list of str
        Other names under which the bytes of a file were seen; files without copies are
        left out.

    See Also
    --------
    join_stations : Takes a station from the name of a copy, given these.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktally import load_reader, make_tally_pages, read_to_store
    >>> from sktally.tables import file_copies
    >>> folder = tempfile.TemporaryDirectory()
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> scans = [Path(folder.name, name) for name in ("1 copy.png", "1.png")]
    >>> for scan in scans:
    ...     Image.fromarray(made.pages[0]).save(scan)
    >>> path = folder.name + "/votes.sqlite"
    >>> read_to_store(load_reader("example"), scans, path).copies
    1
    >>> [[Path(name).name for name in names] for names in file_copies(path).values()]
    [['1.png']]
    >>> folder.cleanup()
    """
    ask = (
        f"SELECT DISTINCT {name_now('p')} AS lies, f.file FROM pages p JOIN files f "
        "ON f.sha256 = p.sha256 WHERE p.run = ? AND f.file != lies ORDER BY 1, 2"
    )
    copies: dict[str, list[str]] = {}
    with opened(store) as source:
        for file, other in source.ask(ask, source.run(run).id):
            copies.setdefault(file, []).append(other)
    return copies
