"""The counts of a store, with how far each is to be doubted.

Comes in: a store. Goes out: a row for each field that people have not decided yet, with
the probability that its final count is right and the votes that it is expected to be
off by, given the whole sheet where the form has sums.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktally._words import number
from sktally.exceptions import TallyError
from sktally.form import TallyForm
from sktally.tables import Store
from sktally.totals._doubt import count_error
from sktally.totals._groups import warn
from sktally.totals._proba import store_proba
from sktally.totals._sheets import open_sheets
from sktally.votes import CountPosterior, SumSlips, read_jointly
from sktally.votes._alone import alone_of_sheet, within_largest
from sktally.votes._calibrate import check_calibrator

__all__ = ["undecided"]


def undecided(
    source: str | Path | Store, *, calibrator: Any = None, slips: SumSlips | None = None
) -> pd.DataFrame:
    """Return file, page, field, count, proba and expected_error of each open field."""
    check_calibrator(calibrator)
    if isinstance(source, Store):
        return _of_store(source, calibrator, slips)
    with Store(source) as store:
        return _of_store(store, calibrator, slips)


def _of_store(store: Store, calibrator: Any, slips: SumSlips | None) -> pd.DataFrame:
    with open_sheets(store) as sheets:
        assert sheets.form is not None
        shape = sheets.counts.shape
        right, error = np.full(shape, np.nan), np.full(shape, np.nan)
        open_, possible = np.ones(shape, bool), np.zeros(shape, bool)
        n_apart = 0
        for i, sheet in enumerate(store_proba(store)):
            open_[i] = ~sheet.edited
            known = np.where(sheet.edited, sheets.counts[i], -1)
            proba = sheet.digit_proba
            if calibrator is not None:
                proba = calibrator.transform(proba[None])[0]
            found, together = _posteriors(proba, known, sheets.form, slips)
            n_apart += not together
            for j, posterior in enumerate(found):
                if posterior is not None:
                    count = int(sheets.counts[i, j])
                    right[i, j] = posterior.of(count) if count >= 0 else np.nan
                    error[i, j] = count_error(posterior, count)
                    possible[i, j] = True
        if n_apart:
            warn(
                f"the sums of {number(n_apart, 'sheet')} leave too much to go through: "
                "fields were taken each by itself"
            )
        at, field = np.nonzero(open_)
        counts = pd.Series(sheets.counts[at, field], dtype="Int64")
        columns = {
            "file": sheets.pages["file"].to_numpy()[at],
            "page": sheets.pages["page"].to_numpy()[at],
            "field": np.array(sheets.fields, object)[field],
            # one above the largest that the form allows is as good as none
            "count": counts.where((counts >= 0) & possible[at, field]),
            "proba": np.minimum(right[at, field], 1.0),
            "expected_error": error[at, field],
        }
        if not len(at):
            raise TallyError(
                f"{store.path}: people have decided every field: nothing is left to "
                "look at"
                if shape[0]
                else f"{store.path}: no pages were read into it: nothing to look at"
            )
    return pd.DataFrame(columns)


def _posteriors(
    proba: npt.NDArray[Any],
    known: npt.NDArray[np.int64],
    form: TallyForm,
    slips: SumSlips | None,
) -> tuple[list[CountPosterior | None], bool]:
    """Return what each field may be, and False if sums could not be heeded."""
    read = within_largest(alone_of_sheet(proba, form.blank_right), form)
    alone = [
        own if count < 0 else CountPosterior(np.array([count]), np.ones(1))
        for own, count in zip(read, known, strict=True)
    ]
    if not form.sums or not any(alone):
        return alone, True
    n_places = np.isfinite(form.box_array()[..., 0]).sum(axis=1).tolist()
    how = {"slips": slips, "n_places": n_places}
    try:
        joint = read_jointly(alone, form.field_names, form.sums, **how).posteriors
    except TallyError:  # too many circles, or counts too large
        return alone, False
    bound = {n for total, parts in form.sums.items() for n in (total, *parts)}
    names = form.field_names
    each = zip(names, alone, joint, strict=True)
    return [given if name in bound else own for name, own, given in each], True
