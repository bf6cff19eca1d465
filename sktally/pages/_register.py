"""Register a page: say where the form lies on it, or refuse and say why.

Comes in: a decoded page and a form. Goes out: a `Registration`. Forms with
printed anchors are found by them; all others by their learnt reference.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sktally._validate import check_page, check_range
from sktally.exceptions import (
    FormError,
    FormMismatchError,
    RegistrationError,
)
from sktally.form import TallyField, TallyForm, load_form
from sktally.form._kept import kept
from sktally.pages._attempt import Attempt
from sktally.pages._bent import FAR_REACH, GAIN, STEP, snap_bent
from sktally.pages._locate import locate_form
from sktally.pages._marks import mark_places
from sktally.pages._reference import like_shifts, register_by_reference
from sktally.pages._registration import (
    MISFIT,
    AnchorHit,
    Registration,
    check_in_view,
    form_quads,
)
from sktally.pages._residual import joint_residual
from sktally.pages._snap import SHARP, snap_fields
from sktally.pages._view import Views
from sktally.pages._which_way import break_tie, check_mirrored

__all__ = ["register_page"]

# Half of the fields must show their frames so well; on indonesia-2019-c1 the median
# field scores 0.7 and more, 0.5 at a third of its resolution, 0.3 at most elsewhere.
_FRAMES = 0.4
# Marks that score so well are no accident; see `_locate._STRONG`.
_SOUND = 0.75
# How much less a page need agree of which all marks are sound and each field fits its
# frames: made pages with creases, all of whose boxes are in place, fall to 0.07.
_BENT = 0.2
# Largest misfit, as a share of the longer side, of three anchors where the form
# describes nothing else; 0.07 % at most on indonesia-2019-c1.
_BARE_RESIDUAL = 0.004


def register_page(
    page: np.ndarray,
    form: str | Path | TallyForm,
    *,
    min_score: float = 0.6,
    min_agreement: float = 0.25,
    max_residual: float = 0.05,
) -> Registration:
    """Locate a form on a page, or refuse the page.

    The page should show the form once and roughly fill the scan; it may be turned
    by any multiple of 90 degrees, skewed by about 10 degrees, scanned at any
    resolution, or photographed at an angle. Ink is dark on light paper.

    Parameters
    ----------
    page : ndarray of shape (height, width) or (height, width, 3)
        uint8 or bool pixels, as `read_page` returns them.
    form : str, path or TallyForm
        Name of a shipped form, path of a form file, or a form.
    min_score : float, default=0.6
        Normalised correlation, 0 to 1, that an anchor needs to be used; for a form
        found by its reference, how well the frames of its worst field must fit.
    min_agreement : float, default=0.25
        Correlation of the page with the printed frames and lines that the form
        describes, below which it counts as another form; only for anchors. Where all
        of them are sound and each field fits its frames, 0.2 less will do: paper
        that is folded agrees with no flat print.
    max_residual : float, default=0.05
        Largest root mean square misfit of the anchors, as a share of the longer
        side of the form's page.

    Returns
    -------
    Registration
        Map from form units to pixels of `page`, the boxes on the page, and what
        speaks for it. Its ``score`` is the correlation with the printed lines or,
        where the form describes none, the mean score of the anchors used.

    Raises
    ------
    RegistrationError
        If too few anchors are found, they contradict each other, or a part of the
        form with boxes is not on the page.
    FormMismatchError
        If anchors are in place but the printed lines of the form are not.
    TallyError
        If `page` is not an image of 8 bits.
    FormError
        If there is no such form or its files are damaged.

    Warns
    -----
    TallyWarning
        If nothing tells upright from upside down: the page is taken as it lies.

    See Also
    --------
    sktally.read_page : Open a scan.
    sktally.cells.TallyCropper : Sample the boxes of registered pages.

    Notes
    -----
    Each anchor is matched by normalised correlation in a window on a reduced page,
    and again in a small upright window on a finer one, to a fraction of a pixel.
    Three marks give an affine map, four or more a projective one. Where marks
    disagree or one is missing, the printed lines decide. Each field is then moved
    onto its own frame, unless it lies there. Only when this fails are other scales
    and the whole page searched. ``benchmarks/read_speed.py`` prints what it costs.

    Examples
    --------
    >>> import numpy as np
    >>> from sktally import RegistrationError, register_page
    >>> try:
    ...     register_page(np.full((1100, 850), 255, np.uint8), "example")
    ... except RegistrationError as error:
    ...     print(str(error)[:21])
    0 of 4 anchors found
    """
    image = check_page(page)
    form = load_form(form)
    check_range("min_score", min_score, 0, 1)
    check_range("min_agreement", min_agreement, -1, 1)
    check_range("max_residual", max_residual, 0, 1)
    if not form.anchors and form.reference is None:
        raise FormError(
            f"form {form.name!r} has neither anchors nor a reference to be found by; "
            "describe three or more [[anchors]], or learn a reference from filled "
            "pages with `sktally form learn`"
        )
    if len(form.anchors) < 3:  # a form with fewer has a reference
        return register_by_reference(image, form, min_score=min_score)
    views = Views(image)
    attempts = locate_form(views, form, min_score=min_score)
    try:
        _check_anchors(form, attempts[0], min_score)
        snapped = snap_bent(views, form, attempts[0].homography)
        _check_fit(form, attempts[0], snapped[1], min_agreement, max_residual)
        check_mirrored(views, form, attempts[0], snapped[1])
        best, (quads, field_scores) = break_tie(views, form, attempts, snapped)
        _check_boxes(form, quads, field_scores, image.shape)
        _check_steps(views, form, best.homography, field_scores)
    except RegistrationError as error:
        error.anchors = _hits(form, attempts[0])
        raise
    return Registration(
        homography=best.homography,
        quads=quads,
        turn=best.turn,
        score=min(max(best.evidence, 0.0), 1.0),
        residual=_residual(form, best, quads, field_scores),
        method="anchors",
        anchors=_hits(form, best),
        field_scores=field_scores,
    )


def _residual(
    form: TallyForm, best: Attempt, quads: np.ndarray, scores: np.ndarray
) -> float:
    """Return how far marks and boxes, all snapped, are from lying on flat paper."""
    sound = np.flatnonzero(scores >= MISFIT)  # none where nothing is framed
    if int(best.used.sum()) + len(sound) <= 4:  # four points fit any map
        return best.residual
    both = np.concatenate([best.used, scores >= MISFIT])
    page_xy = np.concatenate([best.xy, quads[:, -1].mean(axis=1)])
    return joint_residual(_marks_and_boxes(form)[both], page_xy[both])


@kept
def _marks_and_boxes(form: TallyForm) -> np.ndarray:
    """Return where marks are, and the middle of the last box of each field."""
    return np.concatenate([mark_places(form), form_quads(form)[:, -1].mean(axis=1)])


def _hits(form: TallyForm, attempt: Attempt) -> tuple[AnchorHit, ...]:
    known = np.column_stack([attempt.xy, attempt.scores, attempt.used])
    means = known
    if len(known) > len(form.anchors):  # an anchor has several marks: the mean of each
        means = np.zeros((len(form.anchors), known.shape[1]))
        np.add.at(means, attempt.owners, known)
        means /= np.bincount(attempt.owners)[:, None]
    hits = zip(form.anchors, means.tolist(), strict=True)
    return tuple(
        AnchorHit(anchor.name, min(max(score, 0.0), 1.0), used > 0.5, (x, y))
        for anchor, (x, y, score, used) in hits
    )


def _hint(form: TallyForm) -> str:
    return (
        f"Is this page of form {form.name!r}? Try `sktally form check FORM PAGE "
        "--out DIR` to see what was found"
    )


def _check_anchors(form: TallyForm, best: Attempt, min_score: float) -> None:
    """Refuse a page with too few anchors."""
    enough = max(3, (len(best.used) + 1) // 2)
    if best.is_placed and best.used.sum() >= enough:
        return
    scores = sorted((hit.score for hit in _hits(form, best)), reverse=True)
    good = sum(score >= min_score for score in scores)
    listed = ", ".join(f"{score:.2f}" for score in scores[:8])
    in_place = ""
    if good >= 3:
        in_place = (
            ", but not where the form has them: cut off, mirrored, or another form"
        )
    raise RegistrationError(
        f"{good} of {len(scores)} anchors found{in_place} (best scores {listed}; "
        f"needed {min_score:.2f}). {_hint(form)}"
    )


def _check_fit(
    form: TallyForm,
    best: Attempt,
    frames: np.ndarray,
    min_agreement: float,
    max_residual: float,
) -> None:
    """Refuse a page whose anchors contradict each other or whose print is missing."""
    long = max(form.page.width, form.page.height)
    if best.agreement is None and best.used.sum() == 3:
        # Three anchors cannot correct a page seen at an angle, and nothing printed
        # would show the damage, so the page must lie flat.
        max_residual = min(max_residual, _BARE_RESIDUAL)
    sound = bool(best.used.all() and best.scores.min() >= _SOUND)
    # Bent paper agrees with no flat print, but its fields fit one by one.
    if sound and np.fmin.reduce(frames) >= SHARP:  # NaN, and so not, without frames
        min_agreement -= _BENT
    if best.agreement is not None and best.agreement < min_agreement:
        message = (
            f"the printed frames and lines of form {form.name!r} are not where its "
            f"anchors would have them (agreement {best.agreement:.2f}, needed "
            f"{min_agreement:.2f}). {_hint(form)}"
        )
        if sound:
            raise FormMismatchError(f"all anchors found, but {message}")
        raise RegistrationError(
            f"{int(best.used.sum())} of {len(best.used)} marks may be found, but "
            f"{message}"
        )
    if best.residual > max_residual * long:
        raise RegistrationError(
            f"the anchors contradict each other or the page is seen at an angle: "
            f"residual {best.residual:.1f} form units, at most "
            f"{max_residual * long:.1f} allowed. {_hint(form)}"
        )


def _check_boxes(
    form: TallyForm, quads: np.ndarray, scores: np.ndarray, shape: tuple[int, ...]
) -> None:
    """Refuse a page that does not show all boxes, or not their frames."""
    check_in_view(form, quads, shape)
    framed = scores[np.isfinite(scores)]
    # The median takes long, and mostly no field is below.
    if (framed < _FRAMES).any() and np.median(framed) < _FRAMES:
        listed = ", ".join(f"{score:.2f}" for score in framed[:8])
        raise FormMismatchError(
            "the box frames of the fields are not where the anchors would have them "
            f"(scores {listed}; needed {_FRAMES:.2f} in most). {_hint(form)}"
        )


def _check_steps(
    page: Views, form: TallyForm, homography: np.ndarray, scores: np.ndarray
) -> None:
    """Refuse a page whose frames fit better one box, row or column further on."""
    doubtful = scores < SHARP  # never where nothing is framed
    if not doubtful.any():
        return
    framed = np.isfinite(scores)
    for shift in like_shifts(form):
        onto = homography @ shift
        _, there = snap_fields(page, form, onto, reach=FAR_REACH, step=STEP)
        off = np.array([_is_step(field, shift[:2, 2]) for field in form.fields]) & (
            there >= np.maximum(scores + 2 * GAIN, SHARP)
        )
        if np.median(there[framed] - scores[framed]) > GAIN or (off & doubtful).any():
            worst = int(np.nanargmax(there - scores))
            x, y = shift[:2, 2].round().astype(int).tolist()
            raise FormMismatchError(
                f"the box frames of field {form.fields[worst].name!r} fit better "
                f"{x:+d}, {y:+d} form units (x, y) from where the anchors have it "
                f"({there[worst]:.2f} against {scores[worst]:.2f}), one box or row "
                f"off. Is each anchor of form {form.name!r} measured where it is "
                "printed? "
                f"{_hint(form)}"
            )


def _is_step(field: TallyField, move: np.ndarray) -> bool:
    """Tell whether a move leads from one box of a field to the next."""
    boxes = np.array(field.rectangles[:2])
    if len(boxes) < 2:
        return False
    step = boxes[1, :2] - boxes[0, :2]
    return bool(np.abs(np.abs(move) - np.abs(step)).max() < 0.2 * boxes[0, 2])
