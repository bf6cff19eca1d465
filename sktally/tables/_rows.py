"""From what was read of a page to its rows, one for each field.

Comes in: a fitted reader and pages; then what cropper and aggregator say of one page.
Goes out: rows as plain data, in which a count that was not read is None, never -1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from sktally.cells import PageReport
from sktally.exceptions import TallyError
from sktally.form import TallyForm
from sktally.pages._registration import MISFIT
from sktally.votes import TallyPrediction

__all__ = [
    "PageResult",
    "check_reader",
    "crop_and_clean",
    "page_results",
    "page_rows",
    "read_cropped",
]


@dataclass(frozen=True)
class PageResult:
    """What a reader says of one page.

    Attributes
    ----------
    report : PageReport
        What the cropper says of it.
    rows : list of dict
        One for each field, see `page_rows`.
    proba : ndarray of shape (n_fields, n_places, n_classes) or None
        Probabilities of the classes; None unless it was read.
    """

    report: PageReport
    rows: list[dict[str, Any]]
    proba: np.ndarray | None


def check_reader(reader: Any) -> None:
    """Raise unless `reader` is a Pipeline of cropper, normalizer and aggregator."""
    ends = (reader[0], reader[-1]) if hasattr(reader, "steps") else (None, None)
    if not (hasattr(ends[0], "crop") and hasattr(ends[1], "predict_tallies")):
        raise TallyError(
            "reader: expected a Pipeline of TallyCropper, CellNormalizer and "
            f"VoteCountAggregator, got {type(reader).__name__}; make one with "
            "load_reader(form)"
        )


def crop_and_clean(
    reader: Pipeline | Sequence[tuple[str, Any]], pages: list
) -> tuple[np.ndarray, list[PageReport]]:
    """Return what the aggregator is given, and a report of each page."""
    steps = [step for _, step in getattr(reader, "steps", reader)]
    cells, reports = steps[0].crop(pages)
    for step in steps[1:]:
        if not hasattr(step, "predict_tallies"):
            cells = step.transform(cells)
    return cells, reports


def read_cropped(
    reader: Pipeline, cells: np.ndarray, reports: Sequence[PageReport]
) -> TallyPrediction:
    """Read cells that were cropped, in the light of how their fields fit."""
    misfit = np.zeros((len(reports), reader[0].form_.n_fields), dtype=bool)
    for i, report in enumerate(reports):
        if report.registration is not None:
            misfit[i] = report.registration.misfits
    return reader[-1].predict_tallies(cells, misfit=misfit)


def page_results(
    reader: Pipeline, cells: np.ndarray, reports: Sequence[PageReport]
) -> list[PageResult]:
    """Read cells that were cropped, and return a result for each page."""
    read = read_cropped(reader, cells, reports)
    form = reader[0].form_
    return [
        PageResult(
            report,
            list(page_rows(form, report, read, i)),
            read.digit_proba[i] if report.status == "ok" else None,
        )
        for i, report in enumerate(reports)
    ]


def page_rows(
    form: TallyForm, report: PageReport, read: TallyPrediction, i: int
) -> Iterator[dict[str, Any]]:
    """Yield field, boxes, count, confidence, status and message of each field.

    Parameters
    ----------
    form : TallyForm
        Form of the page.
    report : PageReport
        What the cropper says of it.
    read : TallyPrediction
        What was read of it and others.
    i : int
        Which of the tallies read it is.

    Yields
    ------
    dict
        Of a page that was not read, only field, status and message.
    """
    if report.status != "ok":
        for name in form.field_names:
            yield {"field": name, "status": report.status, "message": report.message}
        return
    broken = _broken_sums(form, read.counts[i])
    for j, name in enumerate(form.field_names):
        count, status = int(read.counts[i, j]), str(read.status[i, j])
        # On a page that was located, a field without all its cells.
        status = "failed" if status == "unread" else status
        said = read.handwriting[i, j], read.bubbles[i, j]
        why = _why(status, read.boxes[i, j], *said)
        if status == "misfit" and report.registration is not None:
            why = _why_misfit(report.registration.field_scores[j])
        largest = form.fields[j].largest
        above = "" if largest is None or count <= largest else _above(count, largest)
        if above and status == "ok":
            status = "ambiguous"
        texts = (why, above, *broken.get(name, ()))
        yield {
            "field": name,
            "boxes": read.boxes[i, j],
            "count": count if count >= 0 else None,
            "confidence": float(read.confidence[i, j]),
            "tally_quality": float(read.tally_quality[i]),
            "status": status,
            "message": "; ".join(text for text in texts if text),
        }


def _why(status: str, boxes: str, handwriting: str, bubbles: str) -> str:
    if status == "failed":
        return "a box of this field lies outside the page; look at the page"
    if status == "ambiguous" and _differ(handwriting, bubbles):
        return (
            f"the boxes look like {handwriting!r} but the bubbles say {bubbles!r}; "
            "look at the page"
        )
    if status == "ambiguous" and not any(box.isdigit() for box in boxes):
        return f"no digit and an empty last box in {boxes!r}; look at the page"
    if status == "ambiguous":
        return f"empty or crossed box right of a digit in {boxes!r}; look at the page"
    return ""


def _above(count: int, largest: int) -> str:
    return f"{count} is more than the {largest} that the form allows; look at the page"


def _why_misfit(score: float) -> str:
    return (
        f"its printed frames fit badly, {score:.2f} (needed {MISFIT:.2f}), so that its "
        "boxes may have been cut beside their place; look at the page"
    )


def _differ(handwriting: str, bubbles: str) -> bool:
    """Tell whether bubbles say another digit than the boxes; empty ones say nothing."""
    digits = handwriting.replace("x", "0").replace("_", "0")
    return any(b not in ("_", d) for d, b in zip(digits, bubbles, strict=bool(bubbles)))


def _broken_sums(form: TallyForm, counts: np.ndarray) -> dict[str, list[str]]:
    """Say for each field which sums it takes part in do not hold as read."""
    value = dict(zip(form.field_names, counts.tolist(), strict=True))
    broken: dict[str, list[str]] = {}
    for total, parts in form.sums.items():
        values = [value[name] for name in parts]
        if min([value[total], *values]) < 0 or sum(values) == value[total]:
            continue
        text = f"{total} reads {value[total]} but {' + '.join(parts)} = {sum(values)}"
        for name in (total, *parts):
            broken.setdefault(name, []).append(text)
    return broken
