"""Which pixels speak for a class: a network and cells in, a map for each cell out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sktally._validate import check_choice, check_range
from sktally.exceptions import TallyError
from sktally.inspection._cam import conductance, grad_cam
from sktally.inspection._network import cells_for, evidence, network_in, to_tensor

__all__ = ["METHODS", "saliency", "target_codes"]

METHODS = ("occlusion", "integrated-gradients", "cam", "grad-cam")

_CHUNK = 16  # cells at a time
_BATCH = 128  # images in the network at a time: more fall out of the cache


def saliency(
    estimator: Any,
    X: Any,
    *,
    method: str = "occlusion",
    target: Any = None,
    baseline: Any = None,
    window: int = 4,
    stride: int = 2,
    n_steps: int = 64,
    layer: int | str | None = None,
) -> npt.NDArray[np.float32]:
    """Map the pixels that speak for a class in each cell, and those that speak against.

    All methods explain the same number: the log-odds of the class, ``log(p / (1 -
    p))``, which goes on rising where the probability is 1 to all visible digits.

    Parameters
    ----------
    estimator : CNNClassifier, Pipeline or VoteCountAggregator
        Fitted; of the others, the `CNNClassifier` inside is explained.
    X : array-like ``(n, height, width)`` or ``(n, height, width, 3)``
        Cells as the network is given them: behind other steps of a Pipeline, what
        ``pipeline[:-1].transform`` returns.
    method : {"occlusion", "integrated-gradients", "cam", "grad-cam"}
        How to find out, see Notes; "occlusion" by default. The last fails its test on
        networks with fully connected layers, as most here are.
    target : label or array-like ``(n,)``, optional
        The class to explain, or one for each cell; by default the one that the network
        finds most probable.
    baseline : {"background", "blur"}, float or array-like, optional
        What stands for nothing to see, not for Grad-CAM: bare background, the pixel
        value that `fit` found most common (the default); the cell out of focus; any
        pixel value; or images of the shape of `X` or of one cell.
    window : int, default=4
        For occlusion: side of the square that is hidden, in pixels.
    stride : int, default=2
        For occlusion: step from square to square, in pixels, at most `window`. 1 takes
        four times as long as 2 and shows finer maps.
    n_steps : int, default=64
        For integrated gradients and CAM: steps from the baseline to the cell.
    layer : int or str, optional
        For CAM and Grad-CAM: which convolution, by number (-1 for the last) or by name.
        By default the first for CAM and the last for Grad-CAM.

    Returns
    -------
    ndarray of float32 ``(n, height, width)``
        Above 0 where pixels speak for the class, below 0 where they speak against it;
        Grad-CAM shows no pixels against. The unit is log-odds (natural logarithm): for
        occlusion, what is lost when a square on the pixel is hidden, in the mean over
        all squares; for integrated gradients and CAM, the share of the pixel in what
        cell and baseline differ by, so that a map sums up to that (of CAM, roughly).
        Grad-CAM has no unit.

    Raises
    ------
    TallyError
        If there is no network, an option is wrong, or captum is not installed.

    See Also
    --------
    SaliencyDisplay : Draws the maps.

    Notes
    -----
    Occlusion [1]_ hides each square in turn. Integrated gradients [2]_ add up slopes on
    the straight way from the baseline to the cell (Gauss-Legendre).

    CAM, a class activation map, does so with the maps of a convolution: on the same
    way, each place of a map is weighted by its slope as it changes, and what the maps
    add there is summed. This is the layer conductance of [3]_; of a last convolution
    whose maps a network takes the mean of, it is the CAM of [4]_, less that of the
    baseline. The first convolution has the finest maps; those of later ones are
    coarser, and a place there sees far around it, so that pixels are named less well.

    Grad-CAM [5]_ weighs each map as a whole, by its mean slope. Fully connected layers
    weigh each place of a map by itself, and mean slopes leave that out: hiding the
    pixels that it puts first lowers the probability hardly more than hiding any. It is
    here to be compared with, and for networks without such layers.

    A pixel that is as the baseline has no weight in occlusion and integrated gradients:
    with the background for baseline, missing ink, such as what would make a 3 an 8, is
    not seen.

    Cells smaller than the network's smallest side are padded by it; maps are those of
    the cell itself. Maps of colour cells are sums over channels. Results do not depend
    on chance. The cost is a pass of the network for each place of the window
    (occlusion), `n_steps` passes (integrated gradients, CAM) or one (Grad-CAM).

    Maps tell what the network used and not whether that is right. Before you trust
    those of a network of your own, test them as ``benchmarks/saliency.py`` does [6]_.

    References
    ----------
    .. [1] M. D. Zeiler and R. Fergus (2014). "Visualizing and understanding
       convolutional networks". ECCV.
    .. [2] M. Sundararajan, A. Taly and Q. Yan (2017). "Axiomatic attribution for deep
       networks". ICML.
    .. [3] K. Dhamdhere, M. Sundararajan and Q. Yan (2019). "How important is a
       neuron?". ICLR.
    .. [4] B. Zhou et al. (2016). "Learning deep features for discriminative
       localization". CVPR.
    .. [5] R. R. Selvaraju et al. (2017). "Grad-CAM: visual explanations from deep
       networks via gradient-based localization". ICCV.
    .. [6] J. Adebayo et al. (2018). "Sanity checks for saliency maps". NeurIPS.

    Examples
    --------
    >>> from sktally import CellNormalizer, load_model, make_digit_cells
    >>> from sktally.inspection import saliency
    >>> cells = make_digit_cells(2, random_state=0)
    >>> pipeline = load_model("default")
    >>> images = pipeline[:-1].transform(cells.images)
    >>> saliency(pipeline, images, method="cam", n_steps=8).shape
    (2, 28, 28)
    """
    _check_options(method, baseline, window, stride, n_steps)
    _need_captum()
    classifier = network_in(estimator)
    cells = cells_for(classifier, X)
    codes = target_codes(classifier, cells, target)
    if method == "occlusion" and window > min(cells.shape[1:3]):
        raise TallyError(
            f"window: expected at most the side of the cells, {min(cells.shape[1:3])} "
            f"pixels, got {window}"
        )
    bases = baseline_images(classifier, cells, baseline)
    maps = []
    with evidence(classifier) as log_odds:
        for start in range(0, len(cells), _CHUNK):
            part = slice(start, start + _CHUNK)
            x, base = (to_tensor(classifier, y[part]) for y in (cells, bases))
            task = (log_odds, x, _codes_tensor(codes[part], x))
            if method == "occlusion":
                found = _occlusion(*task, base, window, stride)
            elif method == "integrated-gradients":
                found = _integrated(*task, base, n_steps)
            elif method == "cam":
                chosen = 0 if layer is None else layer
                found = conductance(classifier, *task, chosen, base, n_steps)
            else:
                chosen = -1 if layer is None else layer
                found = grad_cam(classifier, *task, chosen)
            maps.append(found.detach().sum(1).float().cpu().numpy())
    return np.concatenate(maps)


def _check_options(
    method: str, baseline: Any, window: int, stride: int, n_steps: int
) -> None:
    check_choice("method", method, METHODS)
    check_range("window", window, 1, 512, integer=True)
    check_range("stride", stride, 1, window, integer=True)
    check_range("n_steps", n_steps, 2, 10_000, integer=True)
    if method == "grad-cam" and baseline is not None:
        raise TallyError(
            f"baseline: Grad-CAM has none, got {baseline!r}; leave it out, or use "
            "another method"
        )


def _need_captum() -> None:
    try:
        import captum.attr  # noqa: F401
    except ImportError:
        raise TallyError(
            "saliency needs captum, which is not installed; pip install "
            "'sktally[explain]'"
        ) from None


def target_codes(
    classifier: Any, cells: npt.NDArray[Any], target: Any
) -> npt.NDArray[np.int64]:
    """Return the code of the class to explain in each cell."""
    if target is None:
        best = classifier.net_.probabilities(cells).argmax(axis=1)
        return np.asarray(best, np.int64)
    labels = np.asarray(target)
    if labels.ndim not in (0, 1) or (labels.ndim == 1 and len(labels) != len(cells)):
        raise TallyError(
            f"target: expected one label, or one for each of {len(cells)} cells, got "
            f"shape {labels.shape}"
        )
    known = classifier.classes_.tolist()
    places = {label: i for i, label in enumerate(known)}
    given = np.broadcast_to(labels, len(cells)).tolist()
    unknown = [label for label in given if label not in places]
    if unknown:
        raise TallyError(
            f"target: expected labels among {known}, got {unknown[0]!r} "
            f"({type(unknown[0]).__name__})"
        )
    return np.array([places[label] for label in given], np.int64)


def baseline_images(
    classifier: Any, cells: npt.NDArray[Any], baseline: Any
) -> npt.NDArray[np.float32]:
    """Return what stands for nothing to see, an image for each cell."""
    shape = cells.shape
    if baseline is None or (isinstance(baseline, str) and baseline == "background"):
        return np.full(shape, classifier.pixel_offset_, np.float32)
    if isinstance(baseline, str) and baseline == "blur":
        from scipy.ndimage import gaussian_filter

        # a quarter of the side: strokes are smeared into a spot
        sides = [0.0, *(side / 4 for side in shape[1:3]), *[0.0] * (len(shape) - 3)]
        blurred = gaussian_filter(cells.astype(np.float32), sides, mode="nearest")
        return np.asarray(blurred, np.float32)
    values = np.asarray(baseline)
    fits = values.dtype.kind in "buif" and values.shape in {(), shape[1:], shape}
    if not fits or not np.isfinite(values).all():
        raise TallyError(
            "baseline: expected 'background', 'blur', a finite number, or an array of "
            f"shape {shape} or {shape[1:]}, got {_short(baseline)}"
        )
    return np.broadcast_to(values.astype(np.float32), shape).copy()


def _short(value: Any) -> str:
    return f"an array {np.shape(value)}" if np.ndim(value) else repr(value)


def _codes_tensor(codes: npt.NDArray[np.int64], x: Any) -> Any:
    import torch

    return torch.tensor(codes, device=x.device)


def _occlusion(
    log_odds: Any, x: Any, codes: Any, base: Any, window: int, stride: int
) -> Any:
    import torch
    from captum.attr import Occlusion

    with torch.no_grad():
        return Occlusion(log_odds).attribute(
            x,
            (x.shape[1], window, window),
            strides=(x.shape[1], stride, stride),
            baselines=base,
            additional_forward_args=(codes,),
            perturbations_per_eval=max(_BATCH // len(x), 1),
        )


def _integrated(log_odds: Any, x: Any, codes: Any, base: Any, n_steps: int) -> Any:
    from captum.attr import IntegratedGradients

    return IntegratedGradients(log_odds).attribute(
        x.requires_grad_(),
        baselines=base,
        additional_forward_args=(codes,),
        n_steps=n_steps,
        internal_batch_size=max(_BATCH, len(x)),
    )
