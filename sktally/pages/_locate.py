"""Locate a form by its printed anchors.

Comes in: a grey page and a form with anchors. Goes out: the best map from form to
page in any of the four turns, with what speaks for it; no verdict yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from sktally.form import TallyForm
from sktally.pages._anchors import Mark, draw_mark, find_mark, form_marks, match_mark
from sktally.pages._fit import (
    Guess,
    fit_marks,
    fit_residual,
    guess_affine,
    is_plausible,
    jacobian,
)
from sktally.pages._print import PageEvidence
from sktally.pages._registration import apply_homography, turn_page
from sktally.pages._view import View, reduce_page

__all__ = ["Attempt", "locate_form"]

# A candidate of the search must correlate at least so well; refinement in an
# upright window at a finer scale then decides.
_CANDIDATE = 0.40
# Marks this good are believed wherever they are; on indonesia-2019-c1 sound marks
# score 0.85 and more, damaged ones and strokes that look like them 0.61 to 0.69.
_STRONG = 0.75
# A weak mark must lie within this share of the longer page side of where the
# others predict it (true ones: 0.5 %, false ones: 2.8 %).
_NEAR = 0.012
# Affine misfit, as a share of the longer side, of a page that lies flat; 0.1 % at
# most on indonesia-2019-c1.
_FLAT = 0.002
# Sure enough not to look further: pages of other forms, halves of pages and wrong
# turns reach 0.15 at most, right ones 0.31 (bent, photographed) to 0.96.
_SURE = 0.35
_FILLED = (0.72, 1.3, 1.25, 14.0)  # scale, scale, ratio of scales, degrees
_LOOSE = (0.75, 1.35, 1.4, 30.0)
# How far a candidate may lie from where an affine map puts it, as a share of the
# longer side: a page held at an angle is no affine picture.
_AGREE = 0.07
_AGREE_LOOSELY = 0.12
# Pixels of the arms of a corner that are used in the search: short arms stand skew.
_ARM = 14.0


@dataclass(frozen=True)
class Attempt:
    """Record one way the form may lie on the page.

    Attributes
    ----------
    homography : ndarray of shape (3, 3)
        Form units to page pixels; all NaN if too few marks were found.
    turn : int
        0, 90, 180 or 270 degrees, see `Registration`.
    owners : ndarray of shape (n_marks,)
        Index of the anchor that each mark belongs to.
    scores, used : ndarray of shape (n_marks,)
        Correlation of each mark, and whether the map was fitted to it.
    xy : ndarray of shape (n_marks, 2)
        Places of the marks in page pixels.
    agreement : float or None
        Correlation with the printed lines; None where none are described.
    residual : float
        Misfit in form units.
    mirrored : bool
        Whether the mirror image of the form agrees better.
    """

    homography: np.ndarray
    turn: int
    owners: np.ndarray
    scores: np.ndarray
    used: np.ndarray
    xy: np.ndarray
    agreement: float | None
    residual: float
    mirrored: bool = False

    @property
    def rank(self) -> tuple[bool, float, float]:
        """By what the better of two attempts is chosen."""
        enough = bool(np.isfinite(self.homography).all())
        total = float(np.sum(self.scores * self.used)) if enough else 0.0
        best = float(np.sort(self.scores)[-3:].sum())
        if self.agreement is None or not enough:
            return enough, total, best
        return enough, self.agreement, total


def _expected(
    form: TallyForm, shape: tuple[int, ...], zoom: float | None
) -> np.ndarray:
    """Return the map of a form that fills an image, or lies in its middle."""
    height, width = shape[:2]
    sx, sy = width / form.page.width, height / form.page.height
    if zoom is not None or max(sx, sy) > 1.3 * min(sx, sy):
        sx = sy = min(sx, sy) * (zoom or 1.0)
    left = (width - sx * form.page.width) / 2 - 0.5
    top = (height - sy * form.page.height) / 2 - 0.5
    return np.array([[sx, 0, left], [0, sy, top], [0, 0, 1]])


def _rotate(image: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotate an image about its middle; also return the map back."""
    height, width = image.shape
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, angle, 1.0)
    turned = cv2.warpAffine(
        image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return turned, np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))


@dataclass(frozen=True)
class _Plan:
    """Say how to search.

    Attributes
    ----------
    scales : tuple of float
        Sizes of the marks relative to the expected ones.
    angle : float
        Degrees by which the page is turned before the search.
    zoom : float or None
        Size of the form relative to the image when it is sought all over it; None
        to search each mark in its own window only.
    """

    scales: tuple[float, ...]
    angle: float = 0.0
    zoom: float | None = None


_PLANS = (
    _Plan((1.0,)),
    _Plan((0.87, 1.0, 1.15)),
    _Plan((0.93, 1.07), angle=7.0),
    _Plan((0.93, 1.07), angle=-7.0),
    _Plan((0.9, 1.05), zoom=0.95),
    _Plan((0.85, 1.0, 1.15), zoom=0.72),
    _Plan((0.85, 1.0, 1.15), zoom=0.5),
)


def _search(
    image: np.ndarray, drawn: list, window: tuple, plan: _Plan
) -> tuple[np.ndarray, np.ndarray]:
    """Search for a mark in several sizes and merge what is found."""
    count = 4 if plan.zoom is None else 8
    found = [find_mark(image, ink, window=window, count=count) for ink in drawn]
    xy = np.concatenate([places for places, _ in found])
    scores = np.concatenate([values for _, values in found])
    kept: list[int] = []
    for i in np.argsort(-scores):
        if scores[i] > _CANDIDATE and len(kept) < count:
            if all(np.linalg.norm(xy[i] - xy[k]) > 3 for k in kept):
                kept.append(int(i))
    return xy[kept], scores[kept]


class _Locator:
    """Hold one page, one form and the reduced views while the form is sought."""

    def __init__(self, page: np.ndarray, form: TallyForm, min_score: float) -> None:
        self.form = form
        self.marks = form_marks(form)
        self.form_xy = np.array([mark.xy for mark in self.marks], float)
        self.owners = np.array([mark.anchor for mark in self.marks])
        self.min_score = min_score
        self.long = max(form.page.width, form.page.height)
        resolve = self.long / min(mark.grain for mark in self.marks)
        self.resolve = float(np.clip(resolve, 400, 900))
        self.fine = reduce_page(page, float(np.clip(3 * resolve, 900, 1800)))
        self.from_page = np.linalg.inv(self.fine.to_page)
        self.coarse = self._coarse(1.0)
        self.evidence = PageEvidence(self.fine.image, form)

    def _coarse(self, zoom: float) -> View:
        """Return the page at search scale; maps lead to pixels of the fine view."""
        return reduce_page(self.fine.image, min(self.resolve / zoom, 1200.0))

    def attempts(self, turn: int, plan: _Plan) -> list[Attempt]:
        """Return ways the form may lie, for one turn of the page."""
        view = self.coarse if plan.zoom is None else self._coarse(plan.zoom)
        image, back = turn_page(view.image, turn)
        expected = _expected(self.form, image.shape, plan.zoom)
        if plan.angle:
            image, straight = _rotate(image, plan.angle)
            back = back @ straight
        found = self._candidates(image.astype(np.float32), expected, plan)
        guesses = guess_affine(
            self.form_xy,
            found,
            expected=expected,
            tolerance=(_AGREE if plan.zoom is None else _AGREE_LOOSELY)
            * max(image.shape),
            limits=_FILLED if plan.zoom is None else _LOOSE,
            count=2,
        )
        to_fine = view.to_page @ back
        attempts = []
        for guess in guesses:
            attempts.append(self._settle(guess, found, turn, to_fine))
            if _is_sure(attempts[-1]):
                break
        return attempts or [self._nothing(turn, found, to_fine)]

    def _candidates(
        self,
        image: np.ndarray,
        expected: np.ndarray,
        plan: _Plan,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Search every mark in its window, or all over the page if zoomed."""
        sx, sy = expected[0, 0], expected[1, 1]
        shared: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}
        found = []
        for mark, at in zip(
            self.marks, apply_homography(expected, self.form_xy), strict=True
        ):
            reach = self.form.anchors[mark.anchor].search or 0.1 * self.long
            far = np.array([reach * sx, reach * sy])
            window = (*(at - far).tolist(), *(at + far).tolist())
            if plan.zoom is not None:
                window = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
            drawn = [draw_mark(mark, (sx * s, sy * s), _ARM) for s in plan.scales]
            # Marks that look alike in the same window have the same candidates.
            key = (window, *(part.tobytes() for ink in drawn for part in ink))
            if key not in shared:
                shared[key] = _search(image, drawn, window, plan)
            found.append(shared[key])
        return found

    def _nothing(self, turn: int, found: list, to_fine: np.ndarray) -> Attempt:
        n = len(self.marks)
        scores = np.array([s[0] if len(s) else 0.0 for _, s in found])
        xy = np.array([p[0] if len(p) else [np.nan, np.nan] for p, _ in found])
        xy = apply_homography(self.fine.to_page @ to_fine, xy.reshape(n, 2))
        none = np.zeros(n, bool)
        empty = np.full((3, 3), np.nan)
        return Attempt(empty, turn, self.owners, scores, none, xy, None, np.nan)

    def _settle(
        self, guess: Guess, found: list, turn: int, to_fine: np.ndarray
    ) -> Attempt:
        """Refine the marks of a guess at the finer scale and fit them."""
        rough = to_fine @ guess.matrix
        pixel = float(np.sqrt(1 / np.linalg.det(guess.matrix[:2, :2])))
        xy = apply_homography(rough, self.form_xy)
        scores = np.zeros(len(xy))
        sought = guess.chosen >= 0
        for i in np.flatnonzero(sought):
            at = apply_homography(to_fine, found[i][0][guess.chosen[i]])
            xy[i], scores[i] = self._match(i, at, rough, 2.5 * pixel)
        best = None
        for least in (_STRONG, self.min_score, _CANDIDATE):
            if (scores >= least).sum() >= 3:
                best = self._best_fit(turn, xy, scores, scores >= least)
                break
        if best is None or not best.rank[0]:
            return self._nothing(turn, found, to_fine)
        flat = best.residual < _FLAT * self.long
        if flat and best.used.all() and scores.min() >= self.min_score:
            return best
        # With the map known better, look again for what is missing or was
        # matched in a window that did not stand quite upright.
        matrix = np.linalg.inv(self.fine.to_page) @ best.homography
        for i in range(len(xy)):
            if flat and best.used[i] and scores[i] >= self.min_score:
                continue
            at = apply_homography(matrix, self.form_xy[i])
            far = 4.0 * pixel if best.used[i] else _NEAR * self.long
            xy[i], scores[i] = self._match(i, at, matrix, far)
            if scores[i] < self.min_score:
                # Further off, as in a photo, only a strong mark is believed.
                place, score = self._match(i, at, matrix, 3 * _NEAR * self.long)
                if score >= _STRONG:
                    xy[i], scores[i] = place, score
        return self._best_fit(turn, xy, scores, scores >= self.min_score)

    def _to_page(self, xy: np.ndarray) -> np.ndarray:
        return apply_homography(self.fine.to_page, xy)

    def _match(
        self, index: int, at: np.ndarray, matrix: np.ndarray, radius: float
    ) -> tuple[np.ndarray, float]:
        mark = self.marks[index]
        local = jacobian(matrix, self.form_xy[index])
        scale = float(np.sqrt(abs(np.linalg.det(local))))
        return match_mark(
            self.fine.image, mark, xy=at, jacobian=local, scale=scale, radius=radius
        )

    def _best_fit(
        self, turn: int, xy: np.ndarray, scores: np.ndarray, used: np.ndarray
    ) -> Attempt:
        """Fit the marks; where they disagree, let the printed lines decide."""
        form, where = self.form, np.flatnonzero(used)
        tolerance = _NEAR * max(self.fine.image.shape)
        best = None
        for matrix, inside in fit_marks(
            self.form_xy[used], xy[used], tolerance=tolerance
        ):
            if not is_plausible(matrix, form.page.width, form.page.height):
                continue
            mask = np.zeros_like(used)
            mask[where[inside]] = True
            attempt = Attempt(
                self.fine.to_page @ matrix,
                turn,
                self.owners,
                scores,
                mask,
                self._to_page(xy),
                self.agreement(self.fine.to_page @ matrix),
                fit_residual(self.form_xy[mask], xy[mask], matrix),
            )
            # Fewer marks must fit clearly better to be preferred.
            if best is None or (attempt.agreement or 0) > (best.agreement or 0) + 0.03:
                best = attempt
        if best is not None:
            return best
        none, empty = np.zeros_like(used), np.full((3, 3), np.nan)
        xy = self._to_page(xy)
        return Attempt(empty, turn, self.owners, scores, none, xy, None, np.nan)


    def agreement(self, homography: np.ndarray) -> float | None:
        """Return how well the printed lines agree with a map to page pixels."""
        return self.evidence.agreement(self.from_page @ homography)

    def seen_as(self, attempt: Attempt, *, flip: tuple[int, int]) -> float:
        """Return how well the print agrees when the form is flipped on its marks."""
        middle = self.form_xy.min(axis=0) + self.form_xy.max(axis=0)
        matrix = np.diag([*flip, 1.0])
        matrix[:2, 2] = np.where(np.array(flip) < 0, middle, 0.0)
        return self.agreement(attempt.homography @ matrix) or 0.0

    def is_oriented(self, attempt: Attempt) -> bool:
        """Return whether the print tells upright from upside down."""
        if attempt.agreement is None:
            return False
        return self.seen_as(attempt, flip=(-1, -1)) < 0.5 * attempt.agreement

    def is_mirrored(self, attempt: Attempt) -> bool:
        """Return whether the mirrored form agrees better."""
        if attempt.agreement is None:
            return False
        mirrored = (self.seen_as(attempt, flip=f) for f in ((-1, 1), (1, -1)))
        return max(mirrored) > attempt.agreement + 0.05

    def finish(self, attempts: list[Attempt]) -> list[Attempt]:
        """Give the best attempt its last touch."""
        best = self.complete(attempts[0])
        if self.is_mirrored(best):
            best = replace(best, mirrored=True)
        return [best, *attempts[1:]]

    def complete(self, attempt: Attempt) -> Attempt:
        """Replace an affine map of three marks by the projective one of the print.

        The page corner furthest from the marks is moved until the printed lines
        agree best: with one mark torn off, that corner is where the map is worst.
        """
        if attempt.used.sum() != 3 or not attempt.agreement:
            return attempt
        form_xy, page_xy = self.form_xy[attempt.used], attempt.xy[attempt.used]
        w, h = self.form.page.width, self.form.page.height
        corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
        away = np.linalg.norm(corners[:, None] - form_xy, axis=2).min(axis=1)
        form_xy = np.vstack([form_xy, corners[away.argmax()]])
        centre = apply_homography(attempt.homography, form_xy[-1])
        unit = np.linalg.norm(attempt.homography[:2, :2], axis=0).mean() * self.long
        best = attempt
        for step in (0.02, 0.01, 0.01, 0.005, 0.005, 0.0025):
            tried = [best]
            for dx, dy in np.ndindex(3, 3):
                moved = centre + np.array([dx - 1, dy - 1]) * step * unit
                matrix = fit_marks(form_xy, np.vstack([page_xy, moved]), tolerance=np.inf)
                if not matrix or not is_plausible(matrix[0][0], w, h):
                    continue
                agreement = self.agreement(matrix[0][0])
                tried.append(
                    replace(best, homography=matrix[0][0], agreement=agreement)
                )
            best = max(tried, key=lambda one: one.rank)
            centre = apply_homography(best.homography, form_xy[-1])
        # A map with two more free numbers always agrees a little better.
        return best if best.rank[1] > attempt.rank[1] + 0.02 else attempt


def _turns(form: TallyForm, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the turns of a page in pairs, the likelier pair first."""
    upright = (shape[1] > shape[0]) == (form.page.width > form.page.height)
    pairs = [(0, 180), (90, 270)]
    return pairs if upright else pairs[::-1]


def locate_form(
    page: np.ndarray, form: TallyForm, *, min_score: float
) -> list[Attempt]:
    """Return ways the form may lie on a page, the best first.

    First each mark is sought in its window, in the turns that suit the page's
    shape, then in the others, then at other scales, then all over the page.

    Parameters
    ----------
    page : ndarray of shape (height, width)
        uint8 grey page.
    form : TallyForm
        A form with anchors.
    min_score : float
        Correlation that a mark needs to be used.

    Returns
    -------
    list of Attempt
    """
    locator = _Locator(page, form, min_score)
    attempts: list[Attempt] = []
    for plan in _PLANS:
        for pair in _turns(form, page.shape):
            for turn in pair:
                attempts += locator.attempts(turn, plan)
                if _is_sure(attempts[-1]) and locator.is_oriented(attempts[-1]):
                    attempts.insert(0, attempts.pop())
                    return locator.finish(attempts)
            attempts.sort(key=lambda attempt: attempt.rank, reverse=True)
            if _is_sure(attempts[0]):
                return locator.finish(attempts)
    return locator.finish(attempts)


def _is_sure(attempt: Attempt) -> bool:
    if not attempt.rank[0]:
        return False
    if attempt.agreement is None:
        return bool(attempt.used.all())
    return attempt.agreement > _SURE
