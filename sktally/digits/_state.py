"""What a model file keeps of a fitted `CNNClassifier`, and the way back."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sktally._validate import check_range
from sktally.digits._build import build_network
from sktally.digits._fit import choose_device, make_net
from sktally.digits._sources import weights_of
from sktally.exceptions import ModelFormatError

__all__ = ["joined", "rebuild", "restore", "state_of"]

_REQUIRED = ("classes_", "n_features_in_", "image_shape_", "pixel_offset_")
_REQUIRED += ("pixel_scale_", "n_epochs_", "input_ndim", "history", "network")
_REQUIRED += ("weights", "transfer_report_")
_LARGE = 10**9


def state_of(classifier) -> dict:
    """Return plain values and arrays that `restore` makes a classifier of."""
    kept = [name for name in _REQUIRED if name.endswith("_")]
    kept += ["feature_names_in_"]
    state = {n: getattr(classifier, n) for n in kept if hasattr(classifier, n)}
    state["input_ndim"] = classifier._input_ndim
    state["history"] = classifier.history_.to_dict("list")
    state["network"] = classifier._network
    state["weights"] = weights_of(classifier.net_.module_)
    return state


def restore(classifier, state: dict, architecture=None) -> None:
    """Make `classifier` the fitted one that `state_of` described.

    Raises
    ------
    ModelFormatError
        If a value is missing, wrong, or does not fit the others.
    """
    place = type(classifier).__name__
    missing = sorted(set(_REQUIRED) - set(state))
    unknown = sorted(set(state) - {*_REQUIRED, "feature_names_in_"})
    if missing or unknown:
        raise ModelFormatError(
            f"{place}: expected fitted values {', '.join(_REQUIRED)}; missing "
            f"{missing}, unknown {unknown[:5]}; save the model again"
        )
    _check(state, place)
    classifier._network = state["network"]
    classifier._input_ndim = state["input_ndim"]
    classifier.history_ = pd.DataFrame(state["history"])
    for name in (*_REQUIRED, "feature_names_in_"):
        if name.endswith("_") and name in state:
            setattr(classifier, name, state[name])
    classifier._architecture = architecture
    if architecture is not None and "architecture" in classifier._network:
        classifier.architecture = architecture  # a class, which no file can hold
    rebuild(classifier, state["weights"])


def joined(history: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Return a history with that of the epochs which followed."""
    table = pd.concat([history, more], ignore_index=True)
    table["epoch"] = range(1, len(table) + 1)
    if "frozen_layers" in table:
        table["frozen_layers"] = table.frozen_layers.fillna(0).astype(int)
    return table


def rebuild(classifier, weights: dict) -> None:
    """Make the net of a classifier whose other fitted values are in place."""
    module = build_network(
        classifier._network,
        weights,
        place=type(classifier).__name__,
        architecture=classifier._architecture,
    )
    classifier.device_ = choose_device(classifier.device, fallback="cpu")
    classifier.net_ = make_net(classifier, module, training=False)


def _check(state: dict, place: str) -> None:
    network, classes = state["network"], state["classes_"]
    for name, low, high in (
        ("pixel_offset_", -_LARGE, _LARGE),
        ("pixel_scale_", 1e-30, _LARGE),
    ):
        check_range(f"{place}.{name}", state[name], low, high)
    for name, low, high in (
        ("n_features_in_", 1, _LARGE),
        ("n_epochs_", 0, _LARGE),
        ("input_ndim", 2, 4),
    ):
        check_range(f"{place}.{name}", state[name], low, high, integer=True)
    if not isinstance(network, dict) or not isinstance(state["weights"], dict):
        raise ModelFormatError(f"{place}: expected network and weights to be dicts")
    shape = (network.get("height"), network.get("width"))
    shape += (3,) if network.get("channels") == 3 else ()
    if state["image_shape_"] != shape:
        raise ModelFormatError(
            f"{place}.image_shape_: expected {shape} as in its network, got "
            f"{state['image_shape_']!r}"
        )
    n_classes = network.get("n_classes")
    n_classes = 2 if n_classes == 1 else n_classes  # told apart by one sigmoid
    if (
        not isinstance(classes, np.ndarray)
        or classes.ndim != 1
        or len(classes) != n_classes
        or len(set(classes.tolist())) != len(classes)
    ):
        raise ModelFormatError(
            f"{place}.classes_: expected {n_classes} different labels "
            f"as in its network, got {classes!r}"
        )
