"""The network inside an estimator: found, fed with cells, and asked for evidence.

Comes in: a classifier, or what holds one, and cells. Goes out: tensors, log-odds of a
class, and the names of the convolutions. torch is imported when something is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from sktally.exceptions import TallyError
from sktally.inspection._inside import held_by

__all__ = [
    "Layer",
    "cells_for",
    "conv_layers",
    "evidence",
    "layer_of",
    "network_in",
    "reach_of",
    "to_tensor",
]


@dataclass(frozen=True)
class Layer:
    """A convolution of a network.

    Attributes
    ----------
    name : str
        Of the convolution.
    last : str
        Of what ends it before its activation: the convolution or its norm; of the last
        convolution in a residual block, the block, with its activation.
    relu : bool
        Whether nothing but ReLU, and pools that commute with it, follows.
    """

    name: str
    last: str
    relu: bool


def network_in(estimator: Any) -> Any:
    """Return the fitted `CNNClassifier` in an estimator.

    Raises
    ------
    TallyError
        If there is none.
    NotFittedError
        If it is not fitted.
    """
    from sktally.digits import CNNClassifier

    for inner in held_by(estimator):
        if isinstance(inner, CNNClassifier):
            check_is_fitted(inner)
            return inner
    raise TallyError(
        "estimator: expected a fitted CNNClassifier, or a Pipeline or "
        f"VoteCountAggregator around one, got {type(estimator).__name__} around "
        f"{type(inner).__name__}; only convolutional networks can be looked into"
    )


def cells_for(classifier: Any, X: Any) -> npt.NDArray[Any]:
    """Return `X` as images of the size that the network was fitted on, or raise."""
    from sktally.digits._input import images_for_predict

    cells: npt.NDArray[Any] = images_for_predict(classifier, X)
    return cells


def to_tensor(classifier: Any, cells: npt.NDArray[Any]) -> Any:
    """Return cells as the network sees them, ``(n, channels, height, width)``."""
    import torch

    from sktally.digits._net import images_to_tensor

    offset, scale = classifier.pixel_offset_, classifier.pixel_scale_
    x = images_to_tensor(torch.tensor(cells), offset, scale)
    return x.contiguous().to(classifier.device_)


@contextmanager
def evidence(classifier: Any) -> Iterator[Any]:
    """Give a function of images and class codes: the log-odds ``(n,)`` of the class.

    The network is in evaluation mode meanwhile, in float32: norms use what they learnt,
    nothing is dropped, and nothing is rounded to bfloat16.
    """
    from torch.nn import functional

    module = classifier.net_.module_
    trains = {part: part.training for part in module.modules()}
    module.eval()

    def log_odds(x: Any, target: Any) -> Any:
        logits = module(x).double()
        if logits.shape[1] == 1:  # one sigmoid: the logit of the second class
            logits = functional.pad(logits, (1, 0))
        this = functional.one_hot(target, logits.shape[1]).bool()
        others = logits.masked_fill(this, -float("inf")).logsumexp(1)
        return logits.gather(1, target[:, None])[:, 0] - others

    try:
        yield log_odds
    finally:
        for part, was in trains.items():
            part.training = was


def conv_layers(classifier: Any) -> list[Layer]:
    """Return the convolutions of a network in the order of its definition.

    Raises
    ------
    TallyError
        If there is none.
    """
    import torch
    from torch import nn

    from sktally.digits import DigitNetwork
    from sktally.digits._architectures import VGG16, ResNet18
    from sktally.digits._layers import weight_layers

    module = classifier.net_.module_
    own = isinstance(module, DigitNetwork) and module.activation is torch.relu
    layers = []
    for name, *norms in weight_layers(module):
        if not isinstance(module.get_submodule(name), nn.Conv2d):
            continue
        last = [name, *norms][-1]
        block, _, inner = name.rpartition(".")
        if isinstance(module, ResNet18) and inner == "conv2":
            last = block
        layers.append(Layer(name, last, own or isinstance(module, VGG16)))
    if not layers:
        raise TallyError(
            f"estimator: {type(module).__name__} has no convolution (torch.nn.Conv2d) "
            "to look at"
        )
    return layers


def layer_of(classifier: Any, layer: int | str) -> Layer:
    """Return the convolution of a number or a name, or raise."""
    layers = conv_layers(classifier)
    for found in layers:
        if layer == found.name:
            return found
    if isinstance(layer, (int, np.integer)) and not isinstance(layer, bool):
        if -len(layers) <= layer < len(layers):
            return layers[layer]
    raise TallyError(
        f"layer: expected the number of a convolution, 0 to {len(layers) - 1} (or -1 "
        f"for the last), or one of {', '.join(repr(x.name) for x in layers)}, got "
        f"{layer!r}"
    )


def reach_of(
    classifier: Any, layer: int | str, axis: int
) -> tuple[float, float] | None:
    """Return where the map of a convolution begins on the image, and a place's side.

    In pixels of what the first convolution sees, along rows (0) or columns (1); None
    of a network that is not a `DigitNetwork`, whose maps fill the image.
    """
    from sktally.digits import DigitNetwork

    module = classifier.net_.module_
    if not isinstance(module, DigitNetwork):
        return None
    name = layer_of(classifier, layer).name
    start, unit = 0.0, 1.0
    for step in module.steps:
        conv, pool = (module.get_submodule(part) for part in (step[0], step[-1]))
        size, stride = conv.kernel_size[axis], conv.stride[axis]
        start += unit * ((size - stride) / 2 - conv.padding[axis])
        unit *= stride
        if step[0] == name:
            break
        if pool.kind is not None:
            start += unit * (pool.size - pool.stride) / 2
            unit *= pool.stride
    return start, unit
