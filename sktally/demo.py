"""Show the whole path on pages with known answers: make, read, compare, draw.

Comes in: a folder to make. Goes out: pages, a table, overlay pictures, and text
that says how many counts were right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from sktally.datasets import make_tally_pages
from sktally.exceptions import TallyError
from sktally.pages import draw_registration, read_page, register_page
from sktally.persist import load_reader
from sktally.tables import read_tallies, write_table

__all__ = ["DemoResult", "run_demo"]


@dataclass(frozen=True)
class DemoResult:
    """Record what the demo did.

    Attributes
    ----------
    table : DataFrame
        What was read, with the truth in column ``true_count``.
    n_counts, n_exact, n_pages, n_exact_pages, n_unread : int
        Fields and pages made, those read exactly, and pages not read.
    text : str
        The same for people, with the folders.

    Examples
    --------
    >>> import tempfile
    >>> from sktally.demo import run_demo
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = run_demo(folder + "/demo", n_pages=1)
    >>> result.n_counts, len(result.table)
    (6, 6)
    """

    table: pd.DataFrame
    n_counts: int
    n_exact: int
    n_pages: int
    n_exact_pages: int
    n_unread: int
    text: str


def run_demo(
    out: str | Path = "sktally-demo", *, n_pages: int = 20, random_state: int = 0
) -> DemoResult:
    """Make tally sheets with known answers, read them, and compare.

    Parameters
    ----------
    out : str or path
        Folder to make; pages, pictures and the table go there.
    n_pages : int, default=20
        Pages to make.
    random_state : int, default=0
        Seed of all that is random.

    Returns
    -------
    DemoResult

    Raises
    ------
    TallyError
        If the folder cannot be made, or `n_pages` is below 1.

    Examples
    --------
    >>> import tempfile
    >>> from sktally.demo import run_demo
    >>> run_demo(tempfile.mkdtemp(), n_pages=1).n_counts
    6
    """
    if n_pages < 1:
        raise TallyError(f"n_pages: expected at least 1, got {n_pages}")
    folder = Path(out)
    try:
        for part in ("pages", "pictures"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TallyError(f"{folder}: cannot be made ({error.strerror})") from None
    made = make_tally_pages(n_pages, form="example", random_state=random_state)
    paths = []
    for i, page in enumerate(made.pages):
        paths.append(str(folder / "pages" / f"station_{i + 1:03d}.jpg"))
        cv2.imwrite(paths[-1], page, [cv2.IMWRITE_JPEG_QUALITY, 85])
    table = read_tallies(load_reader(made.form), paths)
    table["true_count"] = made.counts.ravel()
    write_table(table, folder / "votes.csv")
    _draw(folder / "pictures", paths, made, table)
    return _compare(table, folder, n_pages)


def _draw(folder: Path, paths: list[str], made: object, table: pd.DataFrame) -> None:
    for path, rows in table.groupby("file", sort=False):
        page = read_page(str(path))
        try:
            found, why = register_page(page, made.form), None  # type: ignore[attr-defined]
        except TallyError as error:
            found, why = None, error
        texts = [
            f"{count} (true {true})"
            for count, true in zip(rows["count"], rows["true_count"], strict=True)
        ]
        drawn = draw_registration(page, made.form, found, error=why, texts=texts)  # type: ignore[attr-defined]
        cv2.imwrite(str(folder / f"{Path(str(path)).stem}.png"), drawn[..., ::-1])


def _compare(table: pd.DataFrame, folder: Path, n_pages: int) -> DemoResult:
    exact = (table["count"] == table["true_count"]).fillna(False).to_numpy(bool)
    pages = exact.reshape(n_pages, -1).all(axis=1)
    unread = table["status"].isin(["rejected", "failed"]).to_numpy()
    n_unread = int(np.sum(unread.reshape(n_pages, -1)[:, 0]))
    shown = table[["file", "field", "boxes", "count", "true_count", "confidence"]]
    shown = shown.assign(file=[Path(f).name for f in shown["file"]])
    text = (
        f"{shown.head(12).to_string(index=False)}\n"
        f"({len(table)} rows in {folder / 'votes.csv'})\n\n"
        f"counts exactly right: {exact.sum()} of {exact.size} ({exact.mean():.1%})\n"
        f"pages exactly right:  {pages.sum()} of {n_pages} ({pages.mean():.1%}); "
        f"not read: {n_unread}\n"
        f"pages in {folder / 'pages'}, pictures of what was seen in "
        f"{folder / 'pictures'}"
    )
    return DemoResult(
        table, exact.size, int(exact.sum()), n_pages, int(pages.sum()), n_unread, text
    )
