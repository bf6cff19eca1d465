"""What registration finds: where the form lies on one page.

Comes in: nothing. Goes out: `Registration`, the record that `register_page`
returns, that `TallyCropper` samples by and that overlays draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sktally.exceptions import RegistrationError
from sktally.form import TallyForm
from sktally.form._kept import kept

__all__ = [
    "MISFIT",
    "AnchorHit",
    "Registration",
    "apply_homography",
    "check_in_view",
    "field_shifts",
    "form_quads",
    "turn_page",
]

#: Score below which the printed frames of a field fit badly; see benchmarks/misfits.py.
MISFIT = 0.6


@dataclass(frozen=True)
class AnchorHit:
    """Record one anchor looked for on a page.

    Attributes
    ----------
    name : str
        Name of the anchor in the form.
    score : float
        Best match score, 0 to 1 (1 is perfect).
    found : bool
        Whether it was used to locate the form.
    page_xy : tuple of float
        Where it is, x, y in page pixels (centre of the top left pixel is 0, 0).

    Examples
    --------
    >>> from sktally import make_tally_pages, register_page
    >>> made = make_tally_pages(1, form="example", degrade="none", random_state=0)
    >>> hit = register_page(made.pages[0], "example").anchors[0]
    >>> hit.name, hit.found, [round(place) for place in hit.page_xy]
    ('top-left', True, [44, 44])
    """

    name: str
    score: float
    found: bool
    page_xy: tuple[float, float]


@dataclass(frozen=True)
class Registration:
    """Record where a form lies on a page.

    Attributes
    ----------
    homography : ndarray of shape (3, 3)
        float64; maps form units to page pixels of the page as it came in.
    quads : ndarray of shape (n_fields, n_places, 4, 2)
        float64; corners of every box in page pixels after snapping, in the order
        top left, top right, bottom right, bottom left of the FORM. NaN where a
        field has no such place (padding on the left).
    turn : {0, 90, 180, 270}
        Degrees by which the page would have to be turned counter-clockwise to
        stand upright; already contained in `homography` and `quads`.
    score : float
        The gate's score, 0 to 1: correlation with the printed lines or, where the
        form describes none, the mean score of the anchors used.
    residual : float
        Root mean square distance in form units of the marks used, and of the last box
        of each field that fits its frames, from their places by the projective map that
        suits all of them best: small on flat paper, at whatever angle it was taken,
        and larger where it is bent. NaN where the form has no anchors. Where these
        are four or fewer it is that of the marks alone: of four by the affine map, of
        three by the map without shear, as an exactly determined fit has no misfit.
    method : {"anchors", "reference"}
        How the form was found.
    anchors : tuple of AnchorHit
        Every anchor of the form; empty by reference.
    field_scores : ndarray of shape (n_fields,)
        How well the printed frames of each field fit where they were snapped to,
        -1 to 1; NaN where a field has no printed frame.

    Examples
    --------
    >>> from sktally import make_tally_pages, register_page
    >>> made = make_tally_pages(1, form="example", turn=180, random_state=0)
    >>> found = register_page(made.pages[0], "example")
    >>> found.method, found.turn, found.quads.shape
    ('anchors', 180, (6, 3, 4, 2))
    """

    homography: np.ndarray
    quads: np.ndarray
    turn: int
    score: float
    residual: float
    method: str
    anchors: tuple[AnchorHit, ...] = ()
    field_scores: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def misfits(self) -> np.ndarray:
        """Tell of which fields the printed frames fit badly, ``(n_fields,)`` bool.

        That is, with a score below 0.6: they may have been cut beside their boxes. Of a
        field without a printed frame nothing tells.

        Examples
        --------
        >>> from sktally import make_tally_pages, register_page
        >>> made = make_tally_pages(1, form="example", random_state=0)
        >>> register_page(made.pages[0], made.form).misfits.any()
        np.False_
        """
        return np.asarray(self.field_scores < MISFIT)

    def enlarged(self, factor: int) -> Registration:
        """Return the same on a page of which this one's pixels are averages.

        Parameters
        ----------
        factor : int
            Pixels of that page along each side of one of this.

        Returns
        -------
        Registration
        """
        if factor == 1:
            return self
        shift = (factor - 1) / 2
        onto = np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1.0]])
        anchors = []
        for anchor in self.anchors:
            x, y = (factor * value + shift for value in anchor.page_xy)
            anchors.append(AnchorHit(anchor.name, anchor.score, anchor.found, (x, y)))
        return replace(
            self,
            homography=onto @ self.homography,
            quads=factor * self.quads + shift,
            anchors=tuple(anchors),
        )


def apply_homography(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points of shape ``(..., 2)`` through a 3 x 3 homography."""
    points = np.asarray(points, dtype=np.float64)
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped[..., :2] / mapped[..., 2:]


@kept
def form_quads(form: TallyForm) -> np.ndarray:
    """Return the corners of all boxes in form units, ``(n_fields, n_places, 4, 2)``.

    Order: top left, top right, bottom right, bottom left; NaN for padding.
    """
    boxes = form.box_array()[..., None, :]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    quads = boxes[..., :2] + boxes[..., 2:] * corners
    quads.flags.writeable = False
    return quads


def check_in_view(form: TallyForm, quads: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse a page of which boxes lie outside, by a tenth of their diagonal."""
    height, width = shape[:2]
    across = quads[..., 2, :] - quads[..., 0, :]
    slack = 0.1 * np.hypot(across[..., 0], across[..., 1])
    beyond = np.maximum(-quads, quads - np.array([width, height])).max(axis=(2, 3))
    outside = beyond > slack
    if outside.any():
        lost = np.flatnonzero(outside.any(axis=1)).tolist()
        names = ", ".join(repr(form.fields[i].name) for i in lost[:6])
        raise RegistrationError(
            f"the page is cut off: boxes of field {names} lie outside the "
            f"{width} x {height} image. Scan the whole page"
        )


def field_shifts(
    form: TallyForm, homography: np.ndarray, quads: np.ndarray
) -> np.ndarray:
    """Return how far the boxes of each field are off their mapped places.

    Parameters
    ----------
    form : TallyForm
        The form.
    homography : ndarray of shape (3, 3)
        From form units to pixels of the page.
    quads : ndarray of shape (n_fields, n_places, 4, 2)
        Corners of the boxes on the page, NaN for padding.

    Returns
    -------
    ndarray of shape (n_fields, 2)
        In pixels, x and y; NaN for a field without any box on the page.
    """
    off = quads - apply_homography(homography, form_quads(form))
    known = np.isfinite(off)
    total, n = np.where(known, off, 0).sum(axis=(1, 2)), known.sum(axis=(1, 2))
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def turn_page(page: np.ndarray, turn: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn a page counter-clockwise by 0, 90, 180 or 270 degrees.

    Returns
    -------
    turned : ndarray
        The turned page.
    back : ndarray of shape (3, 3)
        Homography from pixels of the turned page to pixels of `page`.
    """
    if turn == 0:
        return np.ascontiguousarray(page), np.eye(3)
    height, width = page.shape[:2]
    back = {
        90: [[0, -1, width - 1], [1, 0, 0], [0, 0, 1]],
        180: [[-1, 0, width - 1], [0, -1, height - 1], [0, 0, 1]],
        270: [[0, 1, 0], [-1, 0, height - 1], [0, 0, 1]],
    }[turn]
    return np.ascontiguousarray(np.rot90(page, turn // 90)), np.array(back, float)
