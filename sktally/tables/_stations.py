"""Join pages to polling stations: by the name of the file, a pattern, or a code.

Comes in: a table of counts and a table of stations. Goes out: the table with the
columns of the stations, and what did not fit: pages without a station, stations with
several pages, stations without one, pages known by the name of a copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from sktally._validate import check_page
from sktally._words import number
from sktally.exceptions import PageReadError, TallyError
from sktally.pages import read_page
from sktally.tables._station_list import KEY, few, read_stations

__all__ = [
    *("StationReport", "join_stations", "match_stations", "read_codes"),
    "read_stations",
]

# OpenCV finds bars of some widths only, which depend on the size of the page.
_SHRINK = (1, 2, 4)


@dataclass(frozen=True)
class StationReport:
    """What did not fit.

    Attributes
    ----------
    unmatched : list of str
        Pages without a station in the list.
    double : dict of str to list of str
        Stations with several pages, and which.
    missing : list of str
        Stations without a page.
    copied : dict of str to str
        Pages that took their station from the name of a copy of their file, and which.
    unopened : list of str
        Pages without a station, by code, that are not known to have no code: their
        file is gone or cannot be opened.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktally.tables import join_stations
    >>> table = pd.DataFrame({"file": ["a/7.jpg", "a/9.jpg"], "page": 1, "count": 3})
    >>> stations = pd.DataFrame({"station": ["7", "8"]})
    >>> report = join_stations(table, stations)[1]
    >>> report.unmatched, report.missing
    (['a/9.jpg'], ['8'])
    """

    unmatched: list[str]
    double: dict[str, list[str]]
    missing: list[str]
    copied: dict[str, str] = field(default_factory=dict)
    unopened: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Say it in a line each; empty if everything fits."""
        double = [f"{key} ({', '.join(pages)})" for key, pages in self.double.items()]
        copied = [f"{page} ({copy})" for page, copy in self.copied.items()]
        parts = {
            ("page", "without a station"): self.unmatched,
            (
                "page",
                "whose code was not read, as the file is gone or cannot be opened",
            ): self.unopened,
            ("station", "with several pages"): double,
            ("station", "without a page"): self.missing,
            ("page", "whose station a copy of the file names"): copied,
        }
        return "\n".join(
            f"{number(len(names), what)} {fault}: {few(names)}"
            for (what, fault), names in parts.items()
            if names
        )


def join_stations(
    table: pd.DataFrame,
    stations: str | Path | pd.DataFrame,
    *,
    by: str = "stem",
    copies: Mapping[str, Sequence[str]] | None = None,
) -> tuple[pd.DataFrame, StationReport]:
    """Add the columns of each page's station to a table of counts.

    Parameters
    ----------
    table : DataFrame
        With columns ``file`` and ``page``, from `read_tallies` or `store_table`.
    stations : str, path or DataFrame
        A CSV file or table with a column ``station``, each value once, and any others:
        district, registered voters.
    by : str, default="stem"
        Where a page says which station it is of. "stem": the name of its file without
        folder and ending. "code": a QR or bar code on the page, for which its file is
        read again: a page whose scan was deleted has no station. Anything else is a
        regular expression with one group, searched for in the path of the file, such as
        ``"station_([0-9]+)"``.
    copies : dict of str to list of str, optional
        Other names of the same files, as `file_copies` returns of a store. A page
        whose own name is that of no station takes the one that its copies name, if
        they name one only.

    Returns
    -------
    joined : DataFrame
        `table` with the columns of the stations, missing where a page has none.
    report : StationReport

    Raises
    ------
    TallyError
        If the list has no column ``station``, one twice, or a column of the table's;
        if `by` is no regular expression with a group.

    See Also
    --------
    read_codes : Reads the codes on a page.
    file_copies : Which files of a store are copies.

    Notes
    -----
    Stations are compared as text: "0017" is not "17". Which of several pages of a
    station counts is not decided here; they are all in the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktally.tables import join_stations
    >>> table = pd.DataFrame({"file": ["a/7.jpg", "a/9.jpg"], "page": 1, "count": 3})
    >>> stations = pd.DataFrame({"station": ["7", "8"], "district": ["N", "S"]})
    >>> joined, report = join_stations(table, stations)
    >>> joined["district"].fillna("?").tolist()
    ['N', '?']
    >>> print(report.text)
    1 page without a station: a/9.jpg
    1 station without a page: 8
    """
    pages, report = match_stations(
        table[["file", "page"]], stations, table, by=by, copies=copies
    )
    joined = table.merge(pages, on=["file", "page"], how="left")
    joined.index = table.index
    return joined, report


def match_stations(
    pages: pd.DataFrame,
    stations: str | Path | pd.DataFrame,
    columns: Iterable,
    *,
    by: str,
    copies: Mapping[str, Sequence[str]] | None = None,
) -> tuple[pd.DataFrame, StationReport]:
    """Return the pages that have a station, with its columns, and what did not fit.

    Parameters
    ----------
    pages : DataFrame
        Columns ``file`` and ``page``.
    stations, by, copies : object
        As of `join_stations`.
    columns : iterable of str
        Of the table that they will be joined to.
    """
    listed = read_stations(stations)
    name = "stations" if isinstance(stations, pd.DataFrame) else stations
    clash = sorted(set(map(str, listed)) & set(map(str, columns)))
    if clash:
        raise TallyError(
            f"{name}: expected columns that the table has not, got "
            f"{', '.join(clash)}; rename them"
        )
    pages = pages.drop_duplicates().reset_index(drop=True)
    keys = _keys(pages, by, set(listed[KEY]))
    copied = _name_by_copies(pages, keys, by, set(listed[KEY]), copies or {})
    pages[KEY] = pd.array(keys, dtype="string")
    known = pages[KEY].isin(listed[KEY])
    named = [_name(*row) for row in pages[["file", "page"]].itertuples(index=False)]
    groups: dict[str, list[str]] = {}
    for name, key in zip(named, pages[KEY], strict=True):
        groups.setdefault(key, []).append(name)
    report = StationReport(
        [name for name, good in zip(named, known, strict=True) if not good],
        {key: groups[key] for key in listed[KEY] if len(groups.get(key, [])) > 1},
        [key for key in listed[KEY] if key not in groups],
        copied,
        [name for name, key in zip(named, keys, strict=True) if key is None]
        if by == "code"
        else [],
    )
    return pages[known].merge(listed, on=KEY, how="left"), report


def _keys(pages: pd.DataFrame, by: str, known: set[str]) -> list[str | None]:
    if by == "stem":
        return [Path(file).stem for file in pages["file"]]
    if by == "code":
        named = pages[["file", "page"]].itertuples(index=False)
        return [_code(file, page, known) for file, page in named]
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise TallyError(
            f"by: expected 'stem', 'code' or a regular expression, got {by!r} ({error})"
        ) from None
    if pattern.groups != 1:
        raise TallyError(
            f"by: expected a regular expression with one group, such as "
            f"'station_([0-9]+)', got {by!r} with {pattern.groups}"
        )
    found = [pattern.search(file) for file in pages["file"]]
    return [None if match is None else match[1] for match in found]


def _name_by_copies(
    pages: pd.DataFrame,
    keys: list[str | None],
    by: str,
    known: set[str],
    copies: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """Give pages without a station that of their copies; return which page, which copy.

    A code on the page is the same on its copies, and asked for once.
    """
    copied: dict[str, str] = {}
    if by == "code":
        return copied
    for i, (file, page) in enumerate(pages[["file", "page"]].to_numpy(object)):
        others = list(copies.get(file, ())) if keys[i] not in known else []
        named = _keys(pd.DataFrame({"file": others}), by, known) if others else []
        found = dict(zip(named, others, strict=True))
        stations = sorted(key for key in found if key in known)
        if len(stations) == 1:
            keys[i] = stations[0]
            copied[_name(file, page)] = found[stations[0]]
    return copied


def _code(file: str, page: int, known: set[str]) -> str | None:
    """Return the station that a code on the page names, or what a code says, if any.

    That is nothing on a page without a code, None where the page cannot be opened.
    """
    codes: list[str] | None = None
    for name in (file, f"{file}#page={page}"):
        try:
            codes = read_codes(read_page(name))
            break
        except PageReadError:  # the table says why
            continue
    if codes is None:
        return None
    return next((code for code in codes if code in known), "".join(codes[:1]))


def read_codes(page: np.ndarray) -> list[str]:
    """Read the QR codes and bar codes on a page.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8, grey.

    Returns
    -------
    list of str
        What they say, QR codes first, each once; those that cannot be decoded are left
        out.

    See Also
    --------
    join_stations : Joins pages to stations by them.

    Notes
    -----
    OpenCV finds and decodes: QR codes, and of bar codes EAN-8, EAN-13 and UPC-A, whose
    thinnest bars should be 3 pixels wide or more.

    Examples
    --------
    >>> import cv2
    >>> import numpy as np
    >>> from sktally.tables import read_codes
    >>> code = cv2.QRCodeEncoder.create().encode("station 17")
    >>> code = cv2.resize(code, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    >>> page = np.full((400, 300), 255, np.uint8)
    >>> page[20 : 20 + len(code), 20 : 20 + len(code)] = code
    >>> read_codes(page)
    ['station 17']
    """
    page = check_page(page)
    found: list[str] = []
    for detector in (cv2.QRCodeDetector(), cv2.barcode.BarcodeDetector()):
        for shrink in _SHRINK:
            part = 1 / shrink
            small = cv2.resize(
                page, None, fx=part, fy=part, interpolation=cv2.INTER_AREA
            )
            texts = [text for text in detector.detectAndDecodeMulti(small)[1] if text]
            found += texts
            if texts:
                break
    return list(dict.fromkeys(found))


def _name(file: str, page: int) -> str:
    return file if page == 1 else f"{file}#page={page}"
