"""From a long table, or a store, to one row for each sheet.

Comes in: rows of pages and fields, as `read_tallies` and `store_table` give them. Goes
out: counts as an array, what people decided, and probabilities sheet by sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally.exceptions import StoreError, TallyError
from sktally.form import TallyForm, load_form
from sktally.tables import Run, Store, file_copies, store_parts
from sktally.tables._origin import form_of
from sktally.totals._proba import store_proba
from sktally.votes import CLASSES, labels_to_boxes

__all__ = ["Sheets", "open_sheets"]

PAGE = ["file", "page"]
_OF_FIELDS = {"field", "boxes", "count", "reconciled", "final", "confidence"}
_OF_FIELDS |= {"status", "message", "certain", "reconciled_proba"}
_MOST = 10**15  # votes; floats hold their sums exactly


@dataclass(frozen=True)
class Sheets:
    """Counts of sheets.

    Parameters
    ----------
    pages : DataFrame
        A row for each sheet: ``file``, ``page`` and all that the table says of it.
    fields : list of str
        Names of the columns of `counts`.
    counts : ndarray of int64, shape (n_sheets, n_fields)
        -1 where there is none.
    certain : ndarray of bool, shape (n_sheets, n_fields)
        Whether people decided it.
    n_places : int
        Boxes of the longest field, 0 if that is not known.
    differ : dict of str to str
        Columns of `pages` that say several things of a sheet, and of which.
    form : TallyForm or None
        Where it is known.
    proba : callable or None
        Returns an iterator of the probabilities of the sheets, each of shape
        (n_fields, n_places, 12), or None for a sheet that was not read.
    copies : dict of str to list of str
        Other names of files, as `file_copies` returns.
    """

    pages: pd.DataFrame
    fields: list[str]
    counts: npt.NDArray[np.int64]
    certain: npt.NDArray[np.bool_]
    n_places: int
    differ: dict[str, str]
    form: TallyForm | None = None
    proba: Callable[[], Iterator[npt.NDArray | None]] | None = None
    copies: dict[str, list[str]] = field(default_factory=dict)

    def one_each(self, columns: Iterable[str | None]) -> None:
        """Raise if a column does not say the same in all rows of a sheet."""
        for name in columns:
            if name in self.differ:
                raise TallyError(
                    f"table: column {name!r}: expected one value for each sheet, got "
                    f"several for {self.differ[name]}; correct its rows"
                )

    def columns_of(self, names: Iterable[str]) -> list[int]:
        """Return the numbers of some fields."""
        if not len(self.pages):
            raise TallyError(
                "table: expected rows of sheets, got none; did reading find no pages?"
            )
        names = [names] if isinstance(names, str) else list(names)
        wrong = [str(name) for name in names if name not in self.fields]
        if wrong or not names or len({*names}) < len(names):
            raise TallyError(
                f"fields: expected some of {', '.join(self.fields)}, each once, got "
                f"{', '.join(wrong or map(str, names)) or 'none'}"
            )
        return [self.fields.index(name) for name in names]

    def most(self) -> npt.NDArray[np.float64]:
        """Return what the count of each field cannot exceed; infinite if not known."""
        most = np.full(len(self.fields), np.inf)
        if self.n_places:
            most[:] = 10.0**self.n_places - 1
        for part in self.form.fields if self.form is not None else ():
            if part.largest is not None and part.name in self.fields:
                j = self.fields.index(part.name)
                most[j] = min(most[j], part.largest)
        return most

    def parties(self, names: Iterable[str] | None) -> list[int]:
        """Return the numbers of some fields, by default of what sums of votes add up.

        That is all fields that are no sums, less what is added to a sum, such as
        invalid votes to the valid ones.
        """
        if names is None:
            sums = self.form.sums if self.form is not None else {}
            beside = {
                part
                for parts in sums.values()
                if any(other in sums for other in parts)
                for part in parts
            }
            names = [name for name in self.fields if name not in {*sums, *beside}]
        return self.columns_of(names)


@contextmanager
def open_sheets(
    source: pd.DataFrame | str | Path | Store,
    *,
    form: str | Path | TallyForm | None = None,
    digit_proba: npt.ArrayLike | None = None,
    counts: str | None = None,
    run: Run | int | None = None,
) -> Iterator[Sheets]:
    """Return the sheets of a table or store, while it is open."""
    if isinstance(source, pd.DataFrame):
        if run is not None:
            raise TallyError("run: a table has none; leave it out, or pass the store")
        yield _of_table(source, form, digit_proba, counts)
        return
    if form is not None or digit_proba is not None:
        raise TallyError(
            "form, digit_proba: a store has its own; leave them out, or pass the "
            "table of `store_table`"
        )
    if isinstance(source, Store):
        with source.reading():
            yield _of_store(source, counts, run)
    elif isinstance(source, str | Path):
        with Store(source) as store, store.reading():
            yield _of_store(store, counts, run)
    else:
        raise TallyError(
            "source: expected a table of `read_tallies` or `store_table`, or a store, "
            f"got {type(source).__name__}"
        )


def _of_table(
    table: pd.DataFrame,
    form: str | Path | TallyForm | None,
    digit_proba: npt.ArrayLike | None,
    column: str | None,
) -> Sheets:
    described = None if form is None else load_form(form)
    if described is not None:
        fields = list(described.field_names)
    elif "field" in table:
        fields = list(pd.unique(table["field"]))
    else:
        fields = []
    sheets = _wide([table], fields, column)
    if described is not None:
        sheets = replace(sheets, form=described, n_places=described.n_places)
    if digit_proba is None:
        return sheets
    if described is None:
        raise TallyError(
            "form: expected the form that the pages were read with, which says what "
            "digit_proba means, got none"
        )
    proba = np.asarray(digit_proba, dtype=np.float64)
    expected = (len(sheets.pages), len(fields), described.n_places, len(CLASSES))
    if proba.shape != expected:
        raise TallyError(
            f"digit_proba: expected shape {expected}, the sheets of the table and the "
            f"fields, places and classes of form {described.name!r}, got {proba.shape}"
        )
    _check_same(table, proba, fields)
    return replace(sheets, proba=lambda: iter(proba))


def _check_same(table: pd.DataFrame, proba: npt.NDArray, fields: list[str]) -> None:
    """Raise if most boxes are not what the probabilities say: other pages, perhaps."""
    if "boxes" not in table:
        return
    at, _ = _numbered(table)
    known = ~np.isnan(proba).any(axis=-1)
    best = np.where(known, np.where(np.isnan(proba), 0, proba).argmax(axis=-1), -1)
    said = labels_to_boxes(best)[
        at, pd.Index(fields).get_indexer(pd.Index(table["field"]))
    ]
    boxes = table["boxes"].fillna("").to_numpy(object)
    read = (boxes != "") & (said != "")
    if read.any() and (said[read] == boxes[read]).mean() < 0.5:
        raise TallyError(
            "digit_proba: expected what the table was read from, sheet by sheet in its "
            f"order, but {(said != boxes)[read].sum()} of {read.sum()} fields read "
            "otherwise; pass digit_proba of the same pages in the same order"
        )


def _of_store(store: Store, column: str | None, number: Run | int | None) -> Sheets:
    run = store.run(number)
    form = form_of(run)
    fields = list(form.field_names)
    sheets = _wide(store_parts(store, run), fields, column)
    if column in (None, "final"):
        known = (sheet.edited for sheet in store_proba(store, run))
        certain = np.zeros_like(sheets.certain)
        for i, edited in enumerate(known):
            certain[i] = edited & (sheets.counts[i] >= 0)
        sheets = replace(sheets, certain=certain)

    def proba() -> Iterator[npt.NDArray | None]:
        n = 0
        for sheet in store_proba(store, run):
            if sheet.file != sheets.pages["file"].iat[n]:
                raise StoreError(f"{store.path}: was written to meanwhile; try again")
            n += 1
            yield sheet.digit_proba
        yield from (None for _ in range(len(sheets.pages) - n))

    sheets = replace(sheets, form=form, n_places=form.n_places, proba=proba)
    return replace(sheets, copies=file_copies(store, run))


def _wide(
    parts: Iterable[pd.DataFrame], fields: list[str], column: str | None
) -> Sheets:
    """Return one row for each sheet from parts of whole sheets."""
    done = [_wide_part(part, fields, column) for part in parts]
    pages, counts, certain, n_places, differ = zip(*done, strict=True)
    return Sheets(
        pd.concat(pages, ignore_index=True),
        fields,
        np.concatenate(counts),
        np.concatenate(certain),
        max(n_places),
        {name: sheet for some in reversed(differ) for name, sheet in some.items()},
    )


def _wide_part(part: pd.DataFrame, fields: list[str], column: str | None) -> tuple:
    column = column or ("final" if "final" in part else "count")
    absent = [name for name in (*PAGE, "field", column) if name not in part]
    if absent:
        raise TallyError(
            f"table: expected columns file, page, field and {column}, as `read_tallies`"
            f" and `store_table` give them, got none named {', '.join(absent)}"
        )
    twice = part.columns[part.columns.duplicated()]
    if len(twice):
        raise TallyError(f"table: expected one column {twice[0]!r}, got several")
    at, first = _numbered(part)
    where = pd.Index(fields).get_indexer(pd.Index(part["field"]))
    _check_rows(part, fields, at, where)
    counts = np.full((len(first), len(fields)), -1, np.int64)
    values = _counts(part, column)
    counts[at, where] = values
    certain = np.zeros(counts.shape, bool)
    certain[at, where] = _certain(part, column) & (values >= 0)
    of_page = [name for name in part if name not in _OF_FIELDS]
    n_places = 0
    if "boxes" in part and len(part):
        n_places = int(part["boxes"].fillna("").str.len().max())
    pages = part[of_page].iloc[first].reset_index(drop=True)
    differ = {name: _differing(part, str(name), at, first) for name in of_page}
    differ = {name: sheet for name, sheet in differ.items() if sheet}
    return pages, counts, certain, n_places, differ


def _differing(
    part: pd.DataFrame, column: str, at: npt.NDArray, first: npt.NDArray
) -> str:
    """Return a sheet of which a column says several things; "" if there is none."""
    own = part[column].reset_index(drop=True)
    other = own.iloc[first[at]].reset_index(drop=True)
    same = ((own == other).fillna(False) | (own.isna() & other.isna())).to_numpy(bool)
    if same.all():
        return ""
    row = part.iloc[int((~same).argmax())]
    return f"{row['file']}, page {row['page']}"


def _numbered(part: pd.DataFrame) -> tuple[npt.NDArray, npt.NDArray]:
    """Return the number of each row's sheet, in order, and its first row."""
    at = part.groupby(PAGE, sort=False, dropna=False).ngroup().to_numpy()
    return at, np.unique(at, return_index=True)[1]


def _check_rows(
    part: pd.DataFrame, fields: list[str], at: npt.NDArray, where: npt.NDArray
) -> None:
    if (where < 0).any():
        other = pd.unique(part["field"][where < 0])
        raise TallyError(
            f"table: expected fields {', '.join(fields)} of the form, got "
            f"{', '.join(map(str, other[:5]))}; was it read with another form?"
        )
    twice = pd.Series(at * len(fields) + where).duplicated().to_numpy()
    if twice.any():
        row = part.iloc[int(twice.argmax())]
        raise TallyError(
            f"table: expected one row for each page and field, got {row['file']}, page "
            f"{row['page']}, field {row['field']} more than once; its votes would be "
            "counted twice"
        )


def _counts(part: pd.DataFrame, column: str) -> npt.NDArray[np.int64]:
    """Return a column of counts, -1 where there is none."""
    values: Any = pd.to_numeric(part[column], errors="coerce").astype("Float64")
    wrong = (part[column].notna() & values.isna()) | (values < 0) | (values % 1 != 0)
    wrong |= values > _MOST
    wrong = wrong.fillna(False).to_numpy(bool)
    if wrong.any():
        row = part.iloc[int(wrong.argmax())]
        raise TallyError(
            f"table: {row['file']}, field {row['field']}: {column}: expected a whole "
            f"number of 0 or more, got {row[column]}; leave it missing where no "
            "count was read"
        )
    return values.fillna(-1).to_numpy(np.int64)


def _certain(part: pd.DataFrame, column: str) -> npt.NDArray[np.bool_]:
    """Return which final counts people decided, as far as a table tells."""
    found = np.zeros(len(part), bool)
    if "certain" in part:
        found |= part["certain"].fillna(False).to_numpy(bool)
    if column == "final" and "count" in part:
        by_machine = _counts(part, "count")
        if "reconciled" in part:
            reconciled = _counts(part, "reconciled")
            by_machine = np.where(reconciled >= 0, reconciled, by_machine)
        found |= by_machine != _counts(part, "final")
    return found
