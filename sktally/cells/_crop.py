"""Cut the digit boxes of a form out of scans: paths or pages in, uint8 cells out."""

from __future__ import annotations

import warnings
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from sktally._validate import check_choice, check_page, check_range
from sktally.cells._as_pages import as_pages
from sktally.cells._bubbled import with_bubbles
from sktally.cells._bubbles import DIGITS, read_bubbles
from sktally.cells._output import ImageOutputMixin
from sktally.cells._report import PageReport, summary
from sktally.cells._sample import sample_cells, sample_step
from sktally.cells._shape import box_step, cell_shape
from sktally.exceptions import FormError, RegistrationError, TallyError, TallyWarning
from sktally.form import TallyForm, load_form
from sktally.pages import Registration, read_page, read_reduced, register_page

__all__ = ["TallyCropper"]

# Pixels of a reduced page along a cell pixel: registration sees finer than cells show.
# With less than the second, the form fills less of the page than expected.
_STEP, _LEAST_STEP = 1.5, 1.35
# Pixels of pages that are opened before the first of them is looked at.
_AT_ONCE = 8_000_000
# What costs the page it is raised for, and no other.
_ONE_PAGE = (TallyError, cv2.error, MemoryError)


class TallyCropper(ImageOutputMixin, TransformerMixin, BaseEstimator):
    """Cut the digit boxes of a form out of scanned pages.

    Each page is read, the form is located on it, and only its boxes are sampled,
    straight from the scan and by one resampling call a page. It assumes dark ink
    on light paper and one form a page; turned pages are righted. The number of
    samples never changes: a page that cannot be read or on which the form is not
    found gives absent cells, which are 0 everywhere.

    Parameters
    ----------
    form : str, path or TallyForm
        Name of a shipped form, path of a form file, or a form.
    cell_size : int, default=34
        Side in pixels, 8 to 512, of a square as large as a cell. Cells take the
        shape of the form's boxes (the geometric mean of height to width, at most
        3 to 1), so that digits are stretched only where a form mixes shapes: boxes
        twice as high as wide give cells of 48 x 24.
    margin : float, default=0.15
        What is shown around each box, as a share of its size, 0 to 1. It leaves
        room for strokes that overshoot and for a frame found a little off.
    on_error : {"absent", "raise"}, default="absent"
        What `transform` does with a page that is not read: absent cells and one
        warning a call, or raise the first error.
    n_jobs : int, optional
        Threads that share the pages; None is one, -1 all cores.

    Attributes
    ----------
    form_ : TallyForm
        The form, loaded and checked.
    cell_shape_ : tuple of int
        Height and width of a cell in pixels.

    See Also
    --------
    CellNormalizer : Next stage, cells to clean digit images.
    sktally.read_page : What reads a page.
    sktally.register_page : What locates the form.

    Notes
    -----
    A JPEG file that is finer than needed is decoded smaller by 2, 4 or 8, which is
    quicker, if that divides both of its sides and 1.5 of its pixels remain for each of
    a cell; only where the form has anchors. If it is then not found or fills but a part
    of the page, the file is read again as it is.

    ``benchmarks/cleaning.py`` compares values of `cell_size`.

    Fields with fewer places than the longest are padded on the left with absent
    cells. A cell that exists is never 0 everywhere: a black one comes out as 1.
    Memory holds one page a thread, or a few small ones, and all cells.

    Examples
    --------
    >>> from sktally import TallyCropper, make_tally_pages
    >>> tallies = make_tally_pages(2, form="example", random_state=0)
    >>> cropper = TallyCropper("example").fit(tallies.pages)
    >>> cells = cropper.transform(tallies.pages)
    >>> cells.shape  # pages, fields, places, height, width
    (2, 6, 3, 38, 31)
    """

    def __init__(
        self,
        form: str | Path | TallyForm,
        *,
        cell_size: int = 34,
        margin: float = 0.15,
        on_error: str = "absent",
        n_jobs: int | None = None,
    ) -> None:
        self.form = form
        self.cell_size = cell_size
        self.margin = margin
        self.on_error = on_error
        self.n_jobs = n_jobs

    def fit(self, X: Any = None, y: Any = None) -> TallyCropper:
        """Load the form and check the parameters; no page is read.

        Parameters
        ----------
        X : list of path or of ndarray, optional
            Pages, as for `transform`; only checked to be one entry a page.
        y : object, optional
            Ignored.

        Returns
        -------
        TallyCropper
            This estimator.

        Raises
        ------
        FormError
            If there is no such form, or its file has mistakes.
        TallyError
            If a parameter is out of range, or `X` is not one entry a page.
        """
        self._check_params()
        if X is not None:
            as_pages(X)
        self.form_ = load_form(self.form)
        self.cell_shape_ = cell_shape(self.form_, self.cell_size)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the cells of all pages.

        Parameters
        ----------
        X : list of path or of ndarray
            One entry a page: the path of a scan, or a uint8 array
            ``(height, width)`` or ``(height, width, 3)``, dark ink on light paper.
            A Series or an array of either will do, and they may be mixed.

        Returns
        -------
        cells : ndarray of shape (n_tallies, n_fields, n_places, height, width)
            uint8, dark ink on light paper; 0 everywhere where absent. If the form has
            bubbles, they carry what these say, as ``cells.bubbles`` of shape
            (n_tallies, n_fields, n_places, 10).

        Raises
        ------
        TallyError
            If `X` is not one entry a page; with ``on_error="raise"`` also the
            error of the first page that is not read.

        Warns
        -----
        TallyWarning
            Once, if pages were not read and ``on_error="absent"``.
        """
        cells, reports = self.crop(X)
        bad = [report for report in reports if report.status != "ok"]
        if bad:
            warnings.warn(summary(bad, len(reports)), TallyWarning, stacklevel=2)
        return cells

    def crop(self, X: Any) -> tuple[np.ndarray, list[PageReport]]:
        """Return the cells of all pages and a report on each, without a warning.

        Parameters
        ----------
        X : list of path or of ndarray
            As for `transform`.

        Returns
        -------
        cells : ndarray of shape (n_tallies, n_fields, n_places, height, width)
            As of `transform`.
        reports : list of PageReport
            One a page, in order: status, message, where the form was found.

        Raises
        ------
        TallyError
            As `transform`.
        """
        check_is_fitted(self)
        self._check_params()  # those set since `fit`
        pages = as_pages(X)
        names = [
            f"X[{i}]" if isinstance(page, np.ndarray) else fspath(page)
            for i, page in enumerate(pages)
        ]
        form = self.form_
        cells = np.zeros(
            (len(pages), form.n_fields, form.n_places, *self.cell_shape_),
            dtype=np.uint8,
        )
        bubbles = None
        if form.bubble_array() is not None:
            shape = (*cells.shape[:3], DIGITS)
            bubbles = np.full(shape, 1 / DIGITS, dtype=np.float32)
        said = [None] * len(pages) if bubbles is None else bubbles
        calls = list(zip(pages, names, cells, said, strict=True))
        if effective_n_jobs(self.n_jobs) == 1:
            reports = self._crop_some(calls)
        else:
            # threads fill one array, whatever backend joblib is told to use
            parallel = Parallel(n_jobs=self.n_jobs, require="sharedmem")
            each = parallel(delayed(self._crop_some)([call]) for call in calls)
            reports = [report for some in each for report in some]
        return with_bubbles(cells, bubbles), reports

    def _check_params(self) -> None:
        check_range("cell_size", self.cell_size, 8, 512, integer=True)
        check_range("margin", self.margin, 0, 1)
        check_choice("on_error", self.on_error, ("absent", "raise"))
        if self.n_jobs is not None:
            check_range("n_jobs", self.n_jobs, -512, 512, integer=True)
            if self.n_jobs == 0:
                raise TallyError(
                    "n_jobs: expected 1 or more, or -1 for all cores, got 0; None is "
                    "one thread"
                )

    def _crop_some(self, calls: list[tuple]) -> list[PageReport]:
        """Fill the cells and the bubbles of some pages and report on each.

        Small pages are opened a few at a time: a decoder runs through the caches of the
        processor, and what comes after it is slow at first.
        """
        reports, opened = [], []
        for i, (page, name, *_) in enumerate(calls):
            opened.append(self._opened(page, name))
            held = [one[0].size for one in opened if isinstance(one, tuple)]
            if sum(held) > _AT_ONCE or i == len(calls) - 1:
                first = i + 1 - len(opened)
                some = zip(calls[first : i + 1], opened, strict=True)
                reports += [self._crop_one(one, *call) for call, one in some]
                opened.clear()
        return reports

    def _crop_one(
        self,
        opened: tuple[np.ndarray, int] | Exception,
        page: str | PathLike | np.ndarray,
        name: str,
        out: np.ndarray,
        bubbles: np.ndarray | None,
    ) -> PageReport:
        """Fill the cells `out` and the `bubbles` of one page and report on it."""
        status = "failed"
        try:
            if isinstance(opened, Exception):
                raise opened
            image, factor = opened
            status = "rejected"
            small = self._found_small(image) if factor > 1 else None
            if factor > 1 and small is None:
                image, factor = read_page(page), 1
            found = small or register_page(image, self.form_)
            out[...] = sample_cells(
                image, found.quads, cell_size=self.cell_shape_, margin=self.margin
            )
            if bubbles is not None:
                where = found.homography, found.quads
                bubbles[...] = read_bubbles(image, self.form_, *where)
        except FormError:
            raise  # the form is at fault, not this page: all others would fail too
        except _ONE_PAGE as error:
            # The last two are no expected end, but they too cost this page only.
            # With more memory the page may be read: nobody shall take it for one of
            # another form.
            foreseen = isinstance(error, TallyError)
            status = status if foreseen else "failed"
            message = str(error)
            if not foreseen and "memory" in f"{type(error).__name__} {error}".lower():
                message = "not enough memory for this page; free some or use fewer jobs"
            if not message.startswith(name):
                message = f"{name}: {message}"
            if self.on_error == "raise":
                kind = type(error) if isinstance(error, TallyError) else TallyError
                raise kind(message) from error
            return PageReport(name, status, message, error=error)
        return PageReport(name, "ok", registration=found.enlarged(factor))

    def _opened(
        self, page: str | PathLike | np.ndarray, name: str
    ) -> tuple[np.ndarray, int] | Exception:
        """Return what `_open` does, or what keeps the page from being read."""
        try:
            return self._open(page, name)
        except _ONE_PAGE as error:
            return error

    def _open(
        self, page: str | PathLike | np.ndarray, name: str
    ) -> tuple[np.ndarray, int]:
        """Return a page and by what it is reduced: a scan finer than cells may be."""
        if isinstance(page, np.ndarray):
            return check_page(page, name), 1
        if len(self.form_.anchors) < 3:
            return read_page(page), 1  # it need not show all of the form
        step = (1 + 2 * self.margin) * box_step(self.form_, self.cell_shape_)
        page_size = self.form_.page
        long_side = _STEP * max(page_size.width, page_size.height) / step
        return read_reduced(page, long_side)

    def _found_small(self, image: np.ndarray) -> Registration | None:
        """Return where the form lies on a reduced page, if that is enough of it."""
        try:
            found = register_page(image, self.form_)
        except RegistrationError:
            return None
        step = sample_step(found.quads, self.cell_shape_, self.margin)
        return found if step > _LEAST_STEP else None

    def _fitted_state(self) -> dict:
        """Return what `fit` learnt as plain data: nothing beyond the parameters."""
        return {}

    def _set_fitted_state(self, state: dict) -> TallyCropper:
        """Put back what `_fitted_state` returned."""
        return self.fit()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags
