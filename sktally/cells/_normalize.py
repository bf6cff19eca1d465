"""Turn raw cells into clean digit images: any cells in, float32 ink on 0 out."""

from __future__ import annotations

from math import ceil, isqrt
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from sktally._validate import check_choice, check_range
from sktally.cells._bubbled import BubbledCells, bubbles_of, with_bubbles
from sktally.cells._output import ImageOutputMixin
from sktally.cells._range import check_same_range, full_scale
from sktally.cells._steps import Steps, normalize_cells
from sktally.exceptions import TallyError

__all__ = ["CellNormalizer"]

_LAYOUTS = (
    "(n_tallies, n_fields, n_places, height, width), (n_samples, height, width), "
    "(n_samples, height, width, 3) or flat (n_samples, n_pixels)"
)
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
# Cells worked on at a time, at most: bounds memory, and the sides of the stacked image.
_CHUNK = 600


class CellNormalizer(ImageOutputMixin, TransformerMixin, BaseEstimator):
    """Clean cells, then centre and scale what the pen left in them.

    The paper is flattened, box frames and guide dots are taken out, and the ink is
    centred by its mass and scaled as MNIST's digits are, so that a classifier of
    digits meets the same kind of image whatever the form. It assumes cells that
    stand upright, with one character each, and any frame near the edges, as
    `TallyCropper` gives them.

    Parameters
    ----------
    size : int, default=28
        Height and width of the images that come out, 8 to 512.
    padding : int, default=4
        Border of zeros in pixels. With `center` the ink is scaled to fit inside
        it, and may reach into it when its mass lies off the middle.
    square : {"pad", "squash", "crop"}, default="pad"
        How cells that are not square become so: zeros on the short sides,
        stretched, or cut to the middle.
    scaling : {"ink", "unit", "standard"}, default="ink"
        ``"ink"``: the darkness of each cell's stroke is 1. ``"unit"``: full scale
        is 1 (8-bit pixels are divided by 255). ``"standard"``: as unit, then the
        image's own mean is subtracted and the standard deviation of the data seen
        in fit divides.
    polarity : {"dark-on-light", "light-on-dark"}, default="dark-on-light"
        What comes in. Scans are dark on light; MNIST, USPS and scikit-learn's
        digits are light on dark. What goes out is ink bright on 0 always.
    background : {"flatten"} or None, default="flatten"
        Whether to subtract the paper: uneven light, shadows, watermarks.
    remove_frame : bool, default=True
        Whether to take out box frames and all that lies beyond them. Turn it off
        where there are none: a large angular 0 looks like one.
    remove_dots : bool, default=True
        Whether to take out guide dots and other small pieces.
    center : bool, default=True
        Whether to centre the ink by its mass and scale it to fit. If not, the cell
        as a whole is scaled.

    Attributes
    ----------
    range_ : float
        Full scale of input that is not uint8 (255) or bool (1): the smallest of
        1, 16 and 255 that holds all values seen in fit, else their maximum.
    sd_ : float
        Standard deviation of the pixels seen in fit, each image's own mean
        subtracted; 1 unless ``scaling="standard"``.
    n_features_in_ : int
        Number of pixels of flat input.

    See Also
    --------
    TallyCropper : Stage before, scans to cells.
    CNNClassifier : Stage after, digit images to digit probabilities.

    Notes
    -----
    Cells are cleaned in 8 bits at a side of 64 pixels or less. Cells with a side
    under 12 pixels are too small to tell a frame from a stroke: frames and dots
    stay. ``CellNormalizer(padding=0, scaling="unit", background=None,
    remove_frame=False, remove_dots=False, center=False)`` does no more than
    resize and divide by 255.

    ``benchmarks/read_speed.py`` prints what it costs.

    References
    ----------
    .. [1] Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten
       digits", http://yann.lecun.com/exdb/mnist/ (size and centring of digits).

    Examples
    --------
    >>> import numpy as np
    >>> from sktally import CellNormalizer
    >>> cell = np.full((40, 40), 190, np.uint8)
    >>> cell[4:36, 4:6] = cell[4:36, 34:36] = 60  # a printed frame
    >>> cell[4:6, 4:36] = cell[34:36, 4:36] = 60
    >>> empty = cell.copy()
    >>> cell[10:30, 12:15] = 90  # a 1, off centre
    >>> clean = CellNormalizer().fit_transform(np.stack([cell, empty]))
    >>> clean.shape, clean.dtype
    ((2, 28, 28), dtype('float32'))
    >>> round(float(clean[0, :, 13:16].mean()), 1), float(clean[1].max())
    (0.7, 0.0)
    """

    def __init__(
        self,
        *,
        size: int = 28,
        padding: int = 4,
        square: str = "pad",
        scaling: str = "ink",
        polarity: str = "dark-on-light",
        background: str | None = "flatten",
        remove_frame: bool = True,
        remove_dots: bool = True,
        center: bool = True,
    ) -> None:
        self.size = size
        self.padding = padding
        self.square = square
        self.scaling = scaling
        self.polarity = polarity
        self.background = background
        self.remove_frame = remove_frame
        self.remove_dots = remove_dots
        self.center = center

    def fit(self, X: Any, y: Any = None) -> CellNormalizer:
        """Check the parameters and learn the full scale and the sd of the data.

        Parameters
        ----------
        X : array-like
            Cells, as for `transform`.
        y : object, optional
            Ignored.

        Returns
        -------
        CellNormalizer
            This estimator.

        Raises
        ------
        TallyError
            If a parameter is out of range or `X` is not an array of cells.
        """
        self._check_params()
        X = self._check_cells(X, reset=True)
        self.range_ = full_scale(X)
        self.sd_ = 1.0
        if self.scaling == "standard":
            images = self._images(X)
            sd = float(np.nanstd(images)) if images.size else 0.0
            self.sd_ = sd if sd > 0 and np.isfinite(sd) else 1.0
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return clean images, ink bright on 0.

        Parameters
        ----------
        X : array-like
            Cells of any number type: ``(n_tallies, n_fields, n_places, height,
            width)``, ``(n_samples, height, width)``, ``(n_samples, height, width,
            3)``, or flat ``(n_samples, n_pixels)``, where a square number of pixels
            is taken as a square image and any other as one row.

        Returns
        -------
        images : ndarray of shape (..., size, size)
            float32 with the leading axes of `X`; ``(n_samples, size * size)`` for
            flat input. In 5-D input a cell that is 0 everywhere is absent and
            becomes NaN, and no other does. A clean empty box is 0 everywhere. What
            bubbles say of cells from TallyCropper is handed on.

        Raises
        ------
        TallyError
            If `X` has another rank, is ragged, holds NaN or is not numeric; or if its
            pixels are evidently of another range than in fit, such as 0 to 1 after
            0 to 255.
        """
        check_is_fitted(self)
        bubbles = bubbles_of(X)
        X = self._check_cells(X, reset=False)
        check_same_range(X, self.range_)
        images = self._images(X)
        if self.scaling == "standard":
            images /= np.float32(self.sd_)
        return with_bubbles(images, bubbles)

    def _images(self, X: np.ndarray) -> np.ndarray:
        """Return images of checked `X`, not yet divided by the sd."""
        if X.ndim == 2:
            side = isqrt(X.shape[1])
            shape = (side, side) if side * side == X.shape[1] else (1, X.shape[1])
            return self._stack(X.reshape(-1, *shape)).reshape(len(X), -1)
        if X.ndim == 4:
            return self._stack(_to_grey(X))
        images = self._stack(X.reshape(-1, *X.shape[-2:]))
        if X.ndim == 5:
            absent = ~X.any(axis=(-2, -1))
            images[absent.ravel()] = np.nan
        return images.reshape(*X.shape[:-2], self.size, self.size)

    def _stack(self, cells: np.ndarray) -> np.ndarray:
        """Normalise ``(n, height, width)`` in chunks."""
        full = {np.dtype(np.uint8): 255.0, np.dtype(bool): 1.0}.get(
            cells.dtype, self.range_
        )
        steps = Steps(
            size=self.size,
            padding=self.padding,
            square=self.square,
            scaling=self.scaling,
            inverted=self.polarity == "dark-on-light",
            flatten=self.background == "flatten",
            remove_frame=self.remove_frame,
            remove_dots=self.remove_dots,
            center=self.center,
        )
        out = np.empty((len(cells), self.size, self.size), dtype=np.float32)
        # In even parts: a small one left over would take nearly as long as a full one.
        size = ceil(len(cells) / max(1, ceil(len(cells) / _CHUNK)))
        for start in range(0, len(cells), max(1, size)):
            part = cells[start : start + size]
            out[start : start + size] = normalize_cells(part, full, steps)
        return out

    def _check_params(self) -> None:
        check_range("size", self.size, 8, 512, integer=True)
        check_range("padding", self.padding, 0, (self.size - 4) // 2, integer=True)
        check_choice("square", self.square, ("pad", "squash", "crop"))
        check_choice("scaling", self.scaling, ("ink", "unit", "standard"))
        check_choice("polarity", self.polarity, ("dark-on-light", "light-on-dark"))
        check_choice("background", self.background, ("flatten", None))
        for name in ("remove_frame", "remove_dots", "center"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise TallyError(
                    f"{name}: expected True or False, got {getattr(self, name)!r}"
                )

    def _check_cells(self, X: Any, *, reset: bool) -> np.ndarray:
        """Return `X` as a finite numeric array of a known layout, or raise."""
        if isinstance(X, BubbledCells):
            X = np.asarray(X)
        try:
            ndim = np.asarray(X).ndim
        except ValueError as error:
            raise TallyError(
                f"X: expected cells of one size, {_LAYOUTS}; got a ragged list "
                f"({error}). Resize the cells, or normalise each size by itself"
            ) from None
        if ndim <= 2:
            return validate_data(self, X, reset=reset, dtype="numeric")
        if ndim not in (3, 4, 5) or (ndim == 4 and np.shape(X)[-1] != 3):
            raise TallyError(f"X: expected {_LAYOUTS}; got shape {np.shape(X)}")
        if type(X) is np.ndarray and X.dtype == np.uint8 and len(X):
            return X  # nothing that can be wrong with these, and the check is slow
        try:
            return check_array(X, allow_nd=True, input_name="X", dtype="numeric")
        except ValueError as error:
            raise TallyError(
                f"X: expected numeric cells, {_LAYOUTS}. {error}"
            ) from None

    def _fitted_state(self) -> dict:
        """Return what `fit` learnt as plain data."""
        names = ("range_", "sd_", "n_features_in_")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def _set_fitted_state(self, state: dict) -> CellNormalizer:
        """Put back what `_fitted_state` returned."""
        self._check_params()
        self.range_ = float(state["range_"])
        self.sd_ = float(state["sd_"])
        if "n_features_in_" in state:
            self.n_features_in_ = int(state["n_features_in_"])
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _to_grey(X: np.ndarray) -> np.ndarray:
    """Return the luminance of colour cells, of the same type."""
    grey = X @ _LUMINANCE
    if X.dtype.kind in "iu":
        grey = grey.round()
    return grey.astype(X.dtype)
