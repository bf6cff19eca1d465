"""Show in a picture what augmentation makes of cells."""

from __future__ import annotations

import numpy as np

from sktally._validate import check_range
from sktally.digits._augment import augment_cells
from sktally.digits._input import as_images
from sktally.exceptions import TallyError

__all__ = ["plot_augmentation"]

_ROWS = 50  # a taller picture is no preview


def plot_augmentation(images, *, augment="tally", n_variants=8, random_state=0):
    """Draw cells beside random variants of them, to judge a setting by eye.

    A digit must stay what it is to a human reader; if it does not, the network learns
    wrong labels.

    Parameters
    ----------
    images : array-like ``(n, height, width)`` or ``(n, height, width, 3)``
        1 to 50 cells, in any range of pixels, ink bright or dark.
    augment : str, dict or Augmentation, default="tally"
        As in `CNNClassifier`.
    n_variants : int, default=8
        Variants of each cell, 1 to 50.
    random_state : int, RandomState or None, default=0
        Seed. Other variants are drawn with another one.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each cell: itself, then its variants. Grey values run from the
        lowest to the highest of `images`, so that what goes beyond is cut off. One of
        pyplot's figures: ``plt.show()`` shows it.

    Raises
    ------
    TallyError
        If the setting or a number is out of range, `images` are no images, or
        matplotlib is not installed.

    See Also
    --------
    sktally.digits.augment_cells : The variants as an array.
    sktally.digits.Augmentation : What can be set.

    Examples
    --------
    >>> from sktally import make_digit_cells
    >>> from sktally.digits import plot_augmentation
    >>> cells = make_digit_cells(3, random_state=0).images
    >>> figure = plot_augmentation(cells, augment={"shadow": 0.6}, n_variants=4)
    >>> figure.savefig("preview.png")  # doctest: +SKIP
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise TallyError(
            "plot_augmentation needs the [plot] extra: pip install 'sktally[plot]'; "
            "without it, augment_cells gives the variants as an array"
        ) from None
    check_range("n_variants", n_variants, 1, 50, integer=True)
    images = as_images(images)
    if len(images) > _ROWS:
        raise TallyError(
            f"images: expected 1 to {_ROWS} cells, a row of the picture for each, got "
            f"{len(images)}; choose some, such as images[:5]"
        )
    repeated = np.repeat(images, n_variants, axis=0)
    variants = augment_cells(repeated, augment=augment, random_state=random_state)
    variants = variants.reshape(len(images), n_variants, *images.shape[1:])
    low, high = float(images.min()), float(images.max())
    spread = high - low or 1.0
    shape = len(images), n_variants + 1
    tall = images.shape[1] / images.shape[2]
    figure, axes = plt.subplots(
        *shape,
        figsize=(0.9 * shape[1], 0.9 * tall * shape[0] + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for i, row in enumerate(axes):
        for ax, cell in zip(row, [images[i], *variants[i]], strict=True):
            ax.imshow(np.clip((cell - low) / spread, 0, 1), cmap="gray", vmin=0, vmax=1)
            ax.set_axis_off()
    axes[0, 0].set_title("original", fontsize="small")
    axes[0, 1].set_title("variants", fontsize="small", loc="left")
    return figure
