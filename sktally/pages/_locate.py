"""Locate a form by its printed anchors.

Comes in: a grey page and a form with anchors. Goes out: the best map from form to
page in any of the four turns, with what speaks for it; no verdict yet.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from sktally.form import TallyForm
from sktally.pages._anchors import match_marks
from sktally.pages._attempt import Attempt, is_sure
from sktally.pages._fit import Guess, fit_marks, is_plausible, jacobian
from sktally.pages._marks import form_marks, mark_places
from sktally.pages._print import PageEvidence
from sktally.pages._registration import apply_homography
from sktally.pages._residual import fit_residual
from sktally.pages._search import (
    CANDIDATE,
    NEAR,
    PLANS,
    Found,
    Plan,
    likely_turns,
    search_page,
)
from sktally.pages._view import View, Views, as_views

__all__ = ["locate_form"]

# Marks this good are believed wherever they are; on indonesia-2019-c1 sound marks
# score 0.85 and more, damaged ones and strokes that look like them 0.61 to 0.69.
_STRONG = 0.75
# A weak mark must lie within this share of the longer page side of where the
# others predict it (true ones: 0.5 %, false ones: 2.8 %).
_NEAR = 0.012
# Affine misfit, as a share of the longer side, of a page that lies flat; 0.1 % at
# most on indonesia-2019-c1.
_FLAT = 0.002
# The fine view may be so much smaller than asked for, as with any whole factor.
_HALVED = 4 / 3
# Steps and reach, in steps, by which the corner without a mark is sought, as shares of
# the longer side; the first where nothing agrees yet.
_CLIMB = (
    (0.02, 4),
    (0.02, 1),
    (0.01, 1),
    (0.01, 1),
    (0.005, 1),
    (0.005, 1),
    (0.0025, 1),
)
# As it is, upside down, and mirrored either way.
_FLIPS = np.array([(1, 1), (-1, -1), (-1, 1), (1, -1)])


class _Locator:
    """Hold one page, one form and the reduced views while the form is sought."""

    def __init__(self, page: Views, form: TallyForm, min_score: float) -> None:
        self.form = form
        self.marks = form_marks(form)
        self.form_xy = mark_places(form)
        self.owners = np.array([mark.anchor for mark in self.marks])
        self.min_score = min_score
        self.long = max(form.page.width, form.page.height)
        resolve = self.long / min(mark.grain for mark in self.marks)
        self.resolve = min(max(resolve, 400.0), 900.0)
        most = max(page.page.shape) / min(max(3 * resolve, 900.0), 1800.0)
        self.fine = page.halved(_HALVED * most)
        self.from_page = self.fine.from_page
        self.views = Views(self.fine.image)
        self.evidence = PageEvidence(self.views, form)
        self._seen: dict[tuple[Attempt, bool], np.ndarray] = {}

    def _coarse(self, zoom: float) -> View:
        """Return the page at search scale; maps lead to pixels of the fine view."""
        return self.views.reduced(min(self.resolve / zoom, 1200.0))

    def _search(self, turn: int, plan: Plan) -> Found:
        """Search the page for the marks; maps lead to pixels of the fine view."""
        view = self._coarse(plan.zoom or 1.0)
        found = search_page(view.image, self.form, turn, plan)
        return replace(found, back=view.to_page @ found.back)

    def beyond_doubt(self, turn: int) -> Attempt | None:
        """Return how the form lies if all marks are sound, and near, and so is print.

        Who looks further finds the same on such pages, and takes longer.
        """
        found = self._search(turn, NEAR)
        guess = next(found.guesses, None)
        if guess is None or guess.chosen.min() < 0:
            return None
        settled = self._settle(guess, found, turn)
        sound = settled.used.all() and settled.scores.min() >= _STRONG
        if sound and is_sure(settled) and self.is_oriented(settled):
            return settled
        return None

    def attempts(self, turn: int, plan: Plan) -> list[Attempt]:
        """Return ways the form may lie, for one turn of the page."""
        found = self._search(turn, plan)
        attempts = []
        for guess in found.guesses:
            settled = self._settle(guess, found, turn)
            sound = settled.scores[settled.used].min(initial=1.0) >= _STRONG
            if sound and not is_sure(settled):
                # Seen at an angle, three sound marks agree with no print before it.
                settled = self.complete(settled)
            attempts.append(settled)
            if is_sure(attempts[-1]):
                break
        return attempts or [self._nothing(found, turn)]

    def _nothing(self, found: Found, turn: int) -> Attempt:
        """Record the best candidates of a search that led nowhere."""
        scores = [s[0] if len(s) else 0.0 for _, s in found.candidates]
        xy = [p[0] if len(p) else [np.nan] * 2 for p, _ in found.candidates]
        fine_xy = apply_homography(found.back, np.array(xy))
        return self._failure(turn, fine_xy, np.array(scores))

    def _failure(self, turn: int, xy: np.ndarray, scores: np.ndarray) -> Attempt:
        none, empty = np.zeros(len(scores), bool), np.full((3, 3), np.nan)
        page_xy = apply_homography(self.fine.to_page, xy)
        return Attempt(empty, turn, self.owners, scores, none, page_xy, None, np.nan)

    def _settle(self, guess: Guess, found: Found, turn: int) -> Attempt:
        """Match the marks of a guess at the finer scale and fit them."""
        rough = found.back @ guess.matrix
        pixel = cv2.determinant(guess.matrix[:2, :2]) ** -0.5
        xy = apply_homography(rough, self.form_xy)
        scores = np.zeros(len(xy))
        seen = np.flatnonzero(guess.chosen >= 0)
        at = np.array([found.candidates[i][0][guess.chosen[i]] for i in seen])
        at = apply_homography(found.back, at)
        xy[seen], scores[seen] = self._match(seen, at, rough, 2.5 * pixel)
        best = None
        for least in (_STRONG, self.min_score, CANDIDATE):
            if (scores >= least).sum() >= 3:
                best = self._best_fit(turn, xy, scores, scores >= least)
                break
        if best is None or not best.is_placed:
            return self._nothing(found, turn)
        flat = best.residual < _FLAT * self.long
        good = best.used & (scores >= self.min_score)
        if flat and good.all():
            return best
        # With the map known better, look again for what is missing or was
        # matched in a window that did not stand quite upright.
        matrix = self.from_page @ best.homography
        again = np.flatnonzero(~(flat & good))
        far = np.where(best.used[again], 4.0 * pixel, _NEAR * self.long)
        for radius in np.unique(far):
            some = again[far == radius]
            xy[some], scores[some] = self._look_again(some, matrix, radius)
        return self._best_fit(turn, xy, scores, scores >= self.min_score)

    def _look_again(
        self, which: np.ndarray, matrix: np.ndarray, radius: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Match marks where a map puts them, and further off if they are strong."""
        at = apply_homography(matrix, self.form_xy[which])
        places, scores = self._match(which, at, matrix, radius)
        weak = np.flatnonzero(scores < self.min_score)
        if weak.size:
            wide = 3 * _NEAR * self.long
            others, found = self._match(which[weak], at[weak], matrix, wide)
            strong = found >= _STRONG
            places[weak[strong]], scores[weak[strong]] = others[strong], found[strong]
        return places, scores

    def _match(
        self, which: np.ndarray, at: np.ndarray, matrix: np.ndarray, radius: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Match marks near places on the fine view; the map says how they stand."""
        local = jacobian(matrix, self.form_xy[which])
        cross = local[:, 0, 0] * local[:, 1, 1] - local[:, 0, 1] * local[:, 1, 0]
        return match_marks(
            self.fine.image,
            [self.marks[i] for i in which.tolist()],
            xy=at,
            jacobians=local,
            scales=np.sqrt(np.abs(cross)).tolist(),
            radius=radius,
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
                apply_homography(self.fine.to_page, xy),
                self.agreement(self.fine.to_page @ matrix),
                fit_residual(self.form_xy[mask], xy[mask], matrix),
            )
            # Fewer marks must fit clearly better to be preferred.
            if best is None or (attempt.agreement or 0) > (best.agreement or 0) + 0.03:
                best = attempt
        return best or self._failure(turn, xy, scores)

    def agreement(self, homography: np.ndarray) -> float | None:
        """Return how well the printed lines agree with a map to page pixels."""
        return self.evidence.agreement(self.from_page @ homography)

    def flips(self) -> np.ndarray:
        """Return the maps of the form onto itself: as it is, upside down, mirrored."""
        middle = self.form_xy.min(axis=0) + self.form_xy.max(axis=0)
        flips = np.zeros((len(_FLIPS), 3, 3))
        flips[:, (0, 1), (0, 1)], flips[:, 2, 2] = _FLIPS, 1.0
        flips[:, :2, 2] = np.where(_FLIPS < 0, middle, 0.0)
        return flips

    def seen_as(self, attempt: Attempt, thorough: bool = False) -> np.ndarray:
        """Return how the print agrees: as it is, upside down, mirrored either way."""
        if (attempt, thorough) not in self._seen:
            maps = self.from_page @ attempt.homography @ self.flips()
            # To choose among four, half of the points do as well.
            seen = self.evidence.agreements(maps, thorough=thorough, every=2)
            self._seen[attempt, thorough] = np.zeros(4) if seen is None else seen
        return self._seen[attempt, thorough]

    def is_oriented(self, attempt: Attempt) -> bool:
        """Return whether the print tells upright from upside down."""
        if attempt.agreement is None:
            return False
        upright, upside_down, *_ = self.seen_as(attempt)
        return bool(upside_down < 0.5 * upright)

    def mirror(self, attempt: Attempt) -> np.ndarray | None:
        """Return the map of the mirrored form, if that agrees better."""
        if attempt.agreement is None:
            return None
        # With all marks in place the coarse scale is enough to tell.
        seen = self.seen_as(attempt, thorough=not attempt.used.all())
        best = 2 + int(seen[2:].argmax())
        if seen[best] <= seen[0] + 0.05:
            return None
        return np.asarray(attempt.homography @ self.flips()[best])

    def finish(self, attempts: list[Attempt]) -> list[Attempt]:
        """Give the best attempt its last touch."""
        best = self.complete(attempts[0])
        return [replace(best, mirror=self.mirror(best)), *attempts[1:]]

    def complete(self, attempt: Attempt) -> Attempt:
        """Replace an affine map of three marks by the projective one of the print.

        The page corner furthest from the marks is moved until the printed lines
        agree best: with one mark torn off, that corner is where the map is worst.
        """
        if attempt.used.sum() != 3 or attempt.agreement is None:
            return attempt
        form_xy, page_xy = self.form_xy[attempt.used], attempt.xy[attempt.used]
        w, h = self.form.page.width, self.form.page.height
        corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
        away = np.linalg.norm(corners[:, None] - form_xy, axis=2).min(axis=1)
        form_xy = np.vstack([form_xy, corners[away.argmax()]])
        centre = apply_homography(attempt.homography, form_xy[-1])
        unit = np.linalg.norm(attempt.homography[:2, :2], axis=0).mean() * self.long
        best = attempt
        for step, reach in _CLIMB[is_sure(attempt) :]:
            grid = np.array([*np.ndindex(2 * reach + 1, 2 * reach + 1)]) - reach
            fits = [
                fit_marks(form_xy, np.vstack([page_xy, at]), tolerance=np.inf)
                for at in centre + grid * step * unit
            ]
            maps = [fit[0][0] for fit in fits if fit and is_plausible(fit[0][0], w, h)]
            tried = [
                replace(best, homography=matrix, agreement=self.agreement(matrix))
                for matrix in maps
            ]
            best = max([best, *tried], key=lambda one: one.rank)
            centre = apply_homography(best.homography, form_xy[-1])
        # A map with two more free numbers always agrees a little better.
        return best if best.rank[1] > attempt.rank[1] + 0.02 else attempt


def locate_form(
    page: np.ndarray | Views, form: TallyForm, *, min_score: float
) -> list[Attempt]:
    """Return ways the form may lie on a page, the best first.

    First each mark is sought near its place, then all over its window, in the turns
    that suit the page's shape, then in the others, then at other scales, then all over
    the page.

    Parameters
    ----------
    page : ndarray of shape (height, width) or Views
        uint8 grey page.
    form : TallyForm
        A form with anchors.
    min_score : float
        Correlation that a mark needs to be used.

    Returns
    -------
    list of Attempt
    """
    views = as_views(page)
    locator = _Locator(views, form, min_score)
    turns = likely_turns(form, views.page.shape)
    first = locator.beyond_doubt(turns[0][0])
    if first is not None:
        return locator.finish([first])
    attempts: list[Attempt] = []
    for plan in PLANS:
        for pair in turns:
            for turn in pair:
                attempts += locator.attempts(turn, plan)
                if is_sure(attempts[-1]) and locator.is_oriented(attempts[-1]):
                    attempts.insert(0, attempts.pop())
                    return locator.finish(attempts)
            attempts.sort(key=lambda attempt: attempt.rank, reverse=True)
            if is_sure(attempts[0]):
                return locator.finish(attempts)
    return locator.finish(attempts)
