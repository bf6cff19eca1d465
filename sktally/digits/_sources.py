"""Where the weights of another network come from: model files, classifiers, the web.

Published weights are state dicts in a .safetensors or .pth file, tensors by name; they
are read as tensors only, and nothing in a file is ever run.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from sktally.digits._codec import decode
from sktally.digits._weights import read_model
from sktally.exceptions import ModelFormatError, TallyError

__all__ = ["Source", "load_source", "weights_of"]

_PICKLES = (".pth", ".pt")


@dataclass
class Source:
    """A trained network to take weights from; its classes may be unknown."""

    name: str
    classes: list
    weights: dict[str, np.ndarray]


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    """Return the floating-point tensors of a network as NumPy arrays."""
    return _as_arrays(module.state_dict())


def _as_arrays(tensors: dict) -> dict[str, np.ndarray]:
    return {
        name: value.detach().cpu().float().numpy().copy()
        for name, value in tensors.items()
        if value.is_floating_point()
    }


def load_source(pretrained) -> Source:
    """Return the weights that `pretrained` stands for.

    Raises
    ------
    TallyError
        If it is nothing that weights can be taken from.
    """
    if isinstance(pretrained, (str, Path)):
        if _is_state_dict(Path(pretrained)):
            weights = _read_state_dict(Path(pretrained))
            return Source(str(pretrained), [], weights)
        path, content, tensors = read_model(pretrained)
        # As it was given: a report is saved with the model and must name no folder
        # that the user did not.
        name = str(pretrained)
        return Source(name, *_stored_classifier(content, tensors, str(path)))
    if isinstance(pretrained, FrozenEstimator):
        inner = pretrained.estimator
        if hasattr(inner, "net_") and hasattr(inner, "image_shape_"):
            weights = weights_of(inner.net_.module_)
            return Source("FrozenEstimator", inner.classes_.tolist(), weights)
        got = f"a FrozenEstimator of {type(inner).__name__} without a fitted network"
    else:
        got = repr(pretrained)
    raise TallyError(
        "pretrained: expected the path of a saved model or of published weights (.pth, "
        ".safetensors), the name of a bundled model, or "
        f"FrozenEstimator(fitted CNNClassifier), got {got}. FrozenEstimator keeps "
        "the weights when scikit-learn clones the classifier"
    )


def _stored_classifier(content: dict, tensors: dict, place: str) -> tuple[list, dict]:
    """Return classes and weights of the first CNNClassifier inside a model file."""
    queue = [content.get("model")]
    while queue:
        node = queue.pop(0)
        if isinstance(node, list):
            queue += node
        elif (
            isinstance(node, dict)
            and node.get("estimator") == "CNNClassifier"
            and "fitted" in node
        ):
            fitted = decode(node["fitted"], tensors, place)
            try:
                classes, weights = fitted["classes_"].tolist(), dict(fitted["weights"])
            except (KeyError, TypeError, ValueError, AttributeError):
                raise ModelFormatError(
                    f"{place}: the CNNClassifier in it holds no classes and weights; "
                    "it was saved before it was fitted, or is damaged"
                ) from None
            return classes, weights
        elif isinstance(node, dict):
            queue += node.values()
    raise ModelFormatError(
        f"{place}: holds no fitted CNNClassifier to take weights from; give "
        "pretrained= a model that was saved after fit"
    )


def _is_state_dict(path: Path) -> bool:
    if path.suffix == ".safetensors":
        return path.is_file() and not path.with_suffix(".json").is_file()
    return path.suffix in _PICKLES


def _read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Return the weights of a state dict in a file, or raise."""
    if not path.is_file():
        raise ModelFormatError(
            f"pretrained: {path} does not exist; give the path of a state dict, as "
            "torch.save(model.state_dict(), path) writes it"
        )
    try:
        if path.suffix in _PICKLES:
            found = torch.load(path, map_location="cpu", weights_only=True)
        else:
            found = safetensors.torch.load_file(path)
    except (
        pickle.UnpicklingError,
        safetensors.SafetensorError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        OSError,
    ) as error:
        reason = str(error).strip().split("\n")[0][:200]
        if isinstance(error, pickle.UnpicklingError):  # torch's advice is to trust it
            reason = "it holds more than tensors, or is damaged"
        raise ModelFormatError(
            f"{path}: cannot be read as tensors alone ({type(error).__name__}: "
            f"{reason}); expected a state dict, as torch.save(model.state_dict(), "
            "path) writes it. Nothing in the file was run"
        ) from None
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor)
        for name, value in found.items()
    ):
        keys = sorted(map(str, found))[:5] if isinstance(found, dict) else found
        raise ModelFormatError(
            f"{path}: expected a state dict, tensors by name, got "
            f"{type(found).__name__} {keys!r:.100}; save model.state_dict() alone"
        )
    weights = _as_arrays(found)
    broken = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if broken:
        raise ModelFormatError(
            f"{path}: tensor {broken[0]!r} holds NaN or infinity, of which nothing "
            "can be learnt; fetch the file again, or train with a lower learning rate"
        )
    return weights
