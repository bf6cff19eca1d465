"""The list of stations, as people write it: codes stay text, numbers are numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sktally.exceptions import TallyError
from sktally.tables._csv import read_csv

__all__ = ["KEY", "few", "read_stations"]

#: The column that names a station.
KEY = "station"
_SHOWN = 5  # names
_NOTHING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "-")  # among numbers


def _typed(texts: pd.Series) -> pd.Series:
    """Return a column of a list as numbers if all are plain, else as text.

    Codes are names, though they look like numbers: with zeros in front, as of
    districts, with a sign or an exponent.
    """
    known = texts.mask(texts.isin(_NOTHING))
    plain = known.dropna().str.fullmatch(r"-?(0|[1-9][0-9]{0,14})([.][0-9]+)?")
    if texts.name != KEY and len(plain) and plain.all():
        return pd.to_numeric(known).convert_dtypes()
    return texts.mask(texts == "")


def read_stations(stations: str | Path | pd.DataFrame) -> pd.DataFrame:
    """Return the list of stations as text, columns of plain numbers as such."""
    if isinstance(stations, pd.DataFrame):
        listed, name = stations.copy(), "stations"
    else:
        name = str(stations)
        texts = read_csv(stations, dtype="string", keep_default_na=False)
        listed = pd.DataFrame({name: _typed(texts[name].str.strip()) for name in texts})
    if KEY not in listed:
        raise TallyError(
            f"{name}: expected a column {KEY!r}, got {', '.join(map(str, listed))}"
        )
    listed[KEY] = listed[KEY].astype("string").str.strip()
    empty = listed[KEY].isna() | (listed[KEY] == "")
    if empty.any():
        row = int(empty.to_numpy().argmax()) + 2  # the header is row 1
        raise TallyError(f"{name}: row {row} names no station")
    twice = listed[KEY][listed[KEY].duplicated()].unique()
    if len(twice):
        raise TallyError(
            f"{name}: expected each station once, got more than once: "
            f"{few(list(twice))}"
        )
    return listed


def few(names: Iterable[str]) -> str:
    """Return the first of some names, and how many more there are."""
    names = list(names)
    more = "" if len(names) <= _SHOWN else f" and {len(names) - _SHOWN} more"
    return ", ".join(names[:_SHOWN]) + more
