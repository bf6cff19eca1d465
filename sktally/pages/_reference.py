"""Find a form that has no printed anchors in view, by its learnt reference.

Comes in: a page and a form with a `[reference]`. Goes out: a `Registration`, or an
error that says what was found and what was needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from sktally.exceptions import FormError, FormMismatchError, RegistrationError
from sktally.form import TallyForm
from sktally.pages._features import (
    WORKING_SIZE,
    Reference,
    even_out,
    find_features,
    fit_homography,
    is_plausible,
    match_features,
    read_reference,
)
from sktally.pages._registration import (
    Registration,
    apply_homography,
    check_in_view,
    form_quads,
    turn_page,
)
from sktally.pages._snap import snap_fields

__all__ = ["like_shifts", "register_by_reference"]

# Between the worst field of pages in place, and of pages taken one row, column or box
# off (benchmarks/one_off.py, pages 121-250 of indonesia-2024). Other forms score less.
_GATE = 0.6
_SURE = 0.75  # below it other starts are tried, and the best is taken
_CHANCE = 12  # as many features agree with some place on a page of another form
_FEW = 20  # a page with fewer features has no print to speak of
_OTHER_SIZES = (350, 700)
_IN_VIEW = 0.4  # of the form; photos of indonesia-2024 show 0.8 and more
_MOST_SHIFTS = 3
_SOFT = 1.4  # the median is softer than a page: places that are right correlate 0.6
_AGAIN = 2  # how often a place that fits half is snapped again from where it got to


@dataclass(frozen=True)
class _Start:
    """One place where the form may lie."""

    homography: np.ndarray
    agree: int


@dataclass(frozen=True)
class _Place:
    """A start after snapping, with its scores."""

    homography: np.ndarray
    agree: int
    quads: np.ndarray
    field_scores: np.ndarray
    score: float


def register_by_reference(
    page: np.ndarray, form: TallyForm, *, min_score: float = _GATE
) -> Registration:
    """Locate a form by features of its print, learnt from filled pages.

    The form may be turned by any angle, cropped inside its edges, folded and in
    shadow, as long as enough print is in view. Features of the page are matched
    with those of the reference, a homography is fitted, and every field is snapped
    to its printed frames. How well the worst field's frames fit is the score; where
    it is poor other starts are tried: one row, column or box on, since they look
    alike, the second-best fit, other working sizes, and a form that just fills the
    page, in all four turns.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8 grey page, dark ink on light paper.
    form : TallyForm
        A form with a reference.
    min_score : float, default=0.6
        Pages whose score is lower are refused.

    Returns
    -------
    Registration
        With ``method="reference"``, no anchors, and NaN as residual.

    Raises
    ------
    FormMismatchError
        If the print on the page is not that of the form.
    RegistrationError
        If there is hardly any print on the page, a part of the form with boxes is
        not on it, or the form was found but its fields do not fit: folded away,
        blurred.
    FormError
        If the reference is missing or damaged.

    See Also
    --------
    sktally.pages.register_page : The same for any form.
    sktally.pages.learn_form : Make a reference.

    Notes
    -----
    SIFT features [1]_ at a long side of 500 pixels, mutual nearest neighbours, and
    MAGSAC [2]_. The number of features that agree does not tell right places from
    wrong ones; the frames do.

    References
    ----------
    .. [1] D. G. Lowe, "Distinctive image features from scale-invariant keypoints",
       International Journal of Computer Vision 60, 2004.
    .. [2] D. Barath et al., "MAGSAC: marginalizing sample consensus", CVPR 2019.
    """
    reference = read_reference(form)
    best: _Place | None = None
    most_features = most_agree = 0
    for start, n_features in _starts(page, form, reference):
        most_features = max(most_features, n_features)
        if start is None:
            continue
        most_agree = max(most_agree, start.agree)
        place = _settle(page, form, reference, start)
        if best is None or place.score > best.score:
            best = place
        if best.score >= _SURE:
            break
    if best is None or best.score < min_score:
        raise _refusal(form, best, most_features, most_agree, min_score)
    check_in_view(form, best.quads, page.shape)
    return Registration(
        homography=best.homography,
        quads=best.quads,
        turn=_turn(best.homography, form),
        score=best.score,
        residual=float("nan"),
        method="reference",
        field_scores=best.field_scores,
    )


def _starts(
    page: np.ndarray, form: TallyForm, reference: Reference
) -> Iterator[tuple[_Start | None, int]]:
    """Yield places to try, likeliest first, each with the page's feature count."""
    if min(page.shape) < 16:
        yield None, 0
        return
    found: list[_Start] = []
    for size in (WORKING_SIZE, *_OTHER_SIZES):
        points, descriptors = find_features(page, size)
        pairs = match_features(reference.descriptors, descriptors)
        for _ in range(2):  # the second from what does not agree with the first
            source, target = reference.points[pairs[:, 0]], points[pairs[:, 1]]
            pixel = max(page.shape) / size
            matrix, agree = fit_homography(source, target, pixel=pixel)
            width, height = form.page.width, form.page.height
            if (
                matrix is None
                or not is_plausible(matrix, width, height)
                or _share_in_view(page, form, matrix) < _IN_VIEW
            ):
                yield None, len(points)
                break
            found.append(_Start(matrix, int(agree.sum())))
            yield found[-1], len(points)
            pairs = pairs[~agree]
        if size == WORKING_SIZE:
            for start in found[:1]:
                for shift in like_shifts(form):
                    yield _Start(start.homography @ shift, start.agree), 0
    for turn in (0, 180, 90, 270):
        turned, back = turn_page(page, turn)
        height, width = turned.shape
        fill = np.diag([width / form.page.width, height / form.page.height, 1.0])
        yield _Start(back @ fill, 0), 0


def _share_in_view(page: np.ndarray, form: TallyForm, homography: np.ndarray) -> float:
    """Return which share of the form's page is in view."""
    x, y = np.meshgrid(*(np.linspace(0, 1, 21),) * 2)
    points = np.stack([x * form.page.width, y * form.page.height], axis=-1)
    mapped = apply_homography(homography, points)
    inside = (mapped >= 0) & (mapped <= np.array(page.shape[::-1]))
    return float(inside.all(axis=-1).mean())


def like_shifts(form: TallyForm) -> list[np.ndarray]:
    """Return moves by one row, column or box after which the form looks alike."""
    boxes = [np.array(field.rectangles) for field in form.fields]
    pairs = [(own[:1], own[1:2]) for own in boxes if len(own) > 1]
    pairs += list(zip(boxes, boxes[1:], strict=False))
    steps: list[np.ndarray] = []
    for one, other in pairs:
        if one.shape != other.shape or not np.allclose(one[:, 2:], other[:, 2:], 0.1):
            continue
        step = other[0, :2] - one[0, :2]
        near = 0.2 * one[0, 2:].min()
        if not any(np.abs(step - known).max() < near for known in steps):
            steps.append(step)
    shifts = []
    for step in steps[:_MOST_SHIFTS]:
        for sign in (-1, 1):
            shift = np.eye(3)
            shift[:2, 2] = sign * step
            shifts.append(shift)
    return shifts


def _settle(
    page: np.ndarray, form: TallyForm, reference: Reference, start: _Start
) -> _Place:
    """Snap the fields at one start and score it by its worst field."""
    matrix = start.homography
    quads, scores = snap_fields(page, form, matrix)
    if np.isfinite(scores).any():
        score = float(np.nanmin(scores))
        flat = form_quads(form).reshape(-1, 2)
        known = np.isfinite(flat[:, 0])
        for _ in range(_AGAIN):
            if score >= _SURE or np.nanmax(scores) < _GATE:
                break
            again, _ = cv2.findHomography(flat[known], quads.reshape(-1, 2)[known])
            if again is None:
                break
            closer, rescored = snap_fields(page, form, again)
            if np.nanmin(rescored) <= score:
                break
            matrix, quads, scores = again, closer, rescored
            score = float(np.nanmin(scores))
    elif reference.median is not None:
        score = _SOFT * _likeness(page, form, reference.median, matrix)
    else:
        raise FormError(
            f"form {form.name!r}: no field has a printed `frame` and its reference "
            "keeps no median page, so that no registration can be verified; state "
            "`frame` or make the reference anew with `sktally form learn FORM PAGE...`"
        )
    if not _in_view(page, quads[np.isnan(scores)]):
        score = 0.0
    return _Place(matrix, start.agree, quads, scores, min(score, 1.0))


def _in_view(page: np.ndarray, quads: np.ndarray) -> bool:
    """Tell whether the middle of every box is on the page."""
    middle = quads.mean(axis=-2)
    limit = np.array(page.shape[::-1]) - 0.5
    return not ((middle < -0.5) | (middle > limit)).any()  # NaN is neither: padding


def _likeness(
    page: np.ndarray, form: TallyForm, median: np.ndarray, homography: np.ndarray
) -> float:
    """Correlate the page with the median page where the latter is in view."""
    height, width = median.shape
    stretch = np.diag([form.page.width / width, form.page.height / height, 1.0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix, size = homography @ stretch, (width, height)
    seen = cv2.warpPerspective(np.ones_like(page), matrix, size, flags=flags) > 0
    there = even_out(cv2.warpPerspective(page, matrix, size, flags=flags))
    soft = [cv2.GaussianBlur(image, (0, 0), 1.5)[seen] for image in (median, there)]
    if seen.mean() < 0.2 or min(values.std() for values in soft) < 1:
        return 0.0
    return float(np.corrcoef(*soft)[0, 1])


def _turn(homography: np.ndarray, form: TallyForm) -> int:
    """Return by how many degrees counter-clockwise the page has to be turned."""
    centre = np.array([form.page.width / 2, form.page.height / 2, 1.0])
    x, y, depth = homography @ centre
    dx = (homography[0, 0] * depth - homography[2, 0] * x) / depth**2
    dy = (homography[1, 0] * depth - homography[2, 0] * y) / depth**2
    return round(np.degrees(np.arctan2(dy, dx)) / 90) % 4 * 90


def _refusal(
    form: TallyForm, best: _Place | None, features: int, agree: int, needed: float
) -> RegistrationError:
    """Say why a page is refused, what was found, what was needed, what to do."""
    remedy = "Try `sktally form check` on it."
    if features < _FEW:
        return RegistrationError(
            f"hardly any print on the page: {features} features found, at least "
            f"{_FEW} needed to look for form {form.name!r}. Is the page blank, very "
            f"dark or out of focus? {remedy}"
        )
    if best is None or agree <= _CHANCE:
        score = "" if best is None else f" and the frames fit {best.score:.2f}"
        return FormMismatchError(
            f"the print is not that of form {form.name!r}: {agree} features agree"
            f"{score}; more than {_CHANCE} and {needed:.2f} are needed. Is this a page "
            f"of another form? {remedy}"
        )
    if best.score < needed / 2:
        return FormMismatchError(
            f"the print resembles form {form.name!r} ({agree} features agree) but its "
            f"frames are not there: {_field_scores(form, best)}; {needed:.2f} needed. "
            f"Is this a page of another form or only a part of the page? {remedy}"
        )
    return RegistrationError(
        f"form {form.name!r} was found ({agree} features agree) but not all fields: "
        f"{_field_scores(form, best)}; {needed:.2f} needed for each. Is a field cut "
        f"off, folded away or blurred? {remedy}"
    )


def _field_scores(form: TallyForm, place: _Place) -> str:
    """List the scores of the worst fields in words."""
    if not np.isfinite(place.field_scores).any():
        return f"likeness to the reference {place.score:.2f}"
    order = np.argsort(place.field_scores)[:5]
    named = [f"{form.field_names[i]} {place.field_scores[i]:.2f}" for i in order]
    return "frame scores " + ", ".join(named)
