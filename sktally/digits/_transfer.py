"""Take over the weights of another network, and build networks from stored ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from sktally._validate import check_range
from sktally.digits._codec import decode
from sktally.digits._network import DigitNetwork
from sktally.digits._weights import read_model
from sktally.exceptions import ModelFormatError, TallyError

__all__ = [
    "Source",
    "build_network",
    "check_network",
    "load_source",
    "transfer",
    "weights_of",
]

_MAX_SIDE = 4096  # pixels; a digit cell is some 20 to 60 wide


@dataclass
class Source:
    """A trained network to take weights from."""

    name: str
    classes: list
    weights: dict[str, np.ndarray]


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    """Return the floating-point tensors of a network as NumPy arrays."""
    return {
        name: value.detach().cpu().numpy().copy()
        for name, value in module.state_dict().items()
        if value.is_floating_point()
    }


def check_network(network: dict, place: str) -> None:
    """Raise unless `network` holds sane arguments of `DigitNetwork`."""
    names = ("channels", "height", "width", "n_classes", "filters")
    names += ("kernel_size", "hidden", "dropout", "batch_norm")
    if not isinstance(network, dict) or set(network) != set(names):
        got = sorted(network) if isinstance(network, dict) else network
        raise TallyError(f"{place}: expected {sorted(names)}, got {got!r}")
    check_range(f"{place}.channels", network["channels"], 1, 3, integer=True)
    for name in ("height", "width"):
        check_range(f"{place}.{name}", network[name], 1, _MAX_SIDE, integer=True)
    check_range(f"{place}.n_classes", network["n_classes"], 2, 10**5, integer=True)
    check_range(f"{place}.kernel_size", network["kernel_size"], 1, 31, integer=True)
    check_range(f"{place}.dropout", network["dropout"], 0, 0.99)
    if not isinstance(network["batch_norm"], (bool, np.bool_)):
        raise TallyError(
            f"{place}.batch_norm: expected True or False, got {network['batch_norm']!r}"
        )
    if network["kernel_size"] % 2 == 0:
        raise TallyError(
            f"{place}.kernel_size: expected an odd number, got "
            f"{network['kernel_size']}: an even filter has no middle pixel"
        )
    for name, least, most in (("filters", 1, 10), ("hidden", 0, 10)):
        sizes = network[name]
        if not isinstance(sizes, (list, tuple)) or not least <= len(sizes) <= most:
            raise TallyError(
                f"{place}.{name}: expected a tuple of {least} to {most} integers, got "
                f"{sizes!r}"
            )
        for i, size in enumerate(sizes):
            check_range(f"{place}.{name}[{i}]", size, 1, 65536, integer=True)


def build_network(
    network: dict, weights: dict, *, place: str, architecture=DigitNetwork
) -> nn.Module:
    """Return a network with the given weights; memory is bounded by the weights'.

    Raises
    ------
    ModelFormatError
        If the arguments or the tensors do not make a network.
    """
    try:
        check_network(network, f"{place}.network")
        with torch.device("meta"):
            module = architecture(**network)
    except (TallyError, TypeError, RuntimeError) as error:
        raise ModelFormatError(f"{place}: no network can be built: {error}") from None
    wanted = {
        name: tuple(value.shape)
        for name, value in module.state_dict().items()
        if value.is_floating_point()
    }
    for name, shape in wanted.items():
        got = tuple(weights[name].shape) if name in weights else "none"
        if got != shape:
            raise ModelFormatError(
                f"{place}: tensor {name!r}: expected shape {shape}, got {got}; the "
                "weights are not of this network"
            )
        if name.endswith("running_var") and (weights[name] < 0).any():
            raise ModelFormatError(f"{place}: tensor {name!r}: a variance is negative")
    extra = sorted(set(weights) - set(wanted))
    if extra:
        raise ModelFormatError(f"{place}: unexpected tensors {extra[:5]}")
    state = {name: torch.tensor(weights[name]).float() for name in wanted}
    module.load_state_dict(state, strict=False, assign=True)
    for part in module.modules():  # counters, which nothing reads, are not stored
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.num_batches_tracked = torch.zeros((), dtype=torch.int64)
    return module


def load_source(pretrained) -> Source:
    """Return the weights that `pretrained` stands for.

    Raises
    ------
    TallyError
        If it is nothing that weights can be taken from.
    """
    if isinstance(pretrained, (str, Path)):
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
        "pretrained: expected the path of a saved model, the name of a bundled one, or "
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
        f"{place}: holds no fitted CNNClassifier to take weights from"
    )


def transfer(
    module: DigitNetwork, source: Source, classes: list, freeze_layers: int
) -> dict:
    """Copy what fits from `source` into `module`, freeze layers, report.

    Tensors are matched by name and shape. In the output layer, the rows of classes
    that both know (compared as text: 7 is "7") are copied, the others stay new.

    Returns
    -------
    dict
        ``source`` and lists of tensor names: ``loaded``, ``partly_loaded``,
        ``reinitialized``, ``skipped`` (of the source, without a place here).
    """
    report = {"source": source.name, "loaded": [], "partly_loaded": []}
    report |= {"reinitialized": [], "skipped": []}
    same_classes = [str(c) for c in source.classes] == [str(c) for c in classes]
    with torch.no_grad():
        for name, target in module.state_dict().items():
            if not target.is_floating_point():
                continue
            given = source.weights.get(name)
            if name.startswith("output.") and given is not None and not same_classes:
                kind = _copy_rows(target, given, source.classes, classes)
            elif given is not None and given.shape == tuple(target.shape):
                target.copy_(torch.tensor(given))
                kind = "loaded"
            else:
                kind = "reinitialized"
            report[kind].append(name)
    used = {*report["loaded"], *report["partly_loaded"]}
    report["skipped"] = sorted(set(source.weights) - used)
    if not any(name.endswith(".weight") for name in used):
        raise TallyError(
            f"pretrained: no tensor of {source.name} fits this network by name and "
            f"shape (it has {_shapes(source.weights)}; needed "
            f"{_shapes(weights_of(module))}); use the same filters, kernel_size and "
            "hidden as in the pretrained model"
        )
    _check_frozen(module, report, freeze_layers)
    return report


def _copy_rows(target: torch.Tensor, given: np.ndarray, theirs: list, ours: list):
    row = {str(label): i for i, label in enumerate(theirs)}
    pairs = [(i, row[str(c)]) for i, c in enumerate(ours) if str(c) in row]
    if given.shape[1:] != tuple(target.shape[1:]) or len(given) != len(theirs):
        return "reinitialized"
    for i, j in pairs:
        target[i] = torch.tensor(given[j])
    return "partly_loaded" if pairs else "reinitialized"


def _check_frozen(module: DigitNetwork, report: dict, freeze_layers: int) -> None:
    for block in module.blocks[:freeze_layers]:
        for name in report["reinitialized"]:
            if name.rpartition(".")[0] in block:
                raise TallyError(
                    f"freeze_layers={freeze_layers}: layer {block[0]!r} would be "
                    f"frozen with random weights: {name!r} does not fit the pretrained "
                    "model; freeze fewer layers, or use its settings and image size"
                )


def _shapes(weights: dict) -> str:
    shapes = [f"{n} {tuple(v.shape)}" for n, v in weights.items() if "weight" in n]
    return ", ".join(shapes[:3]) + (", ..." if len(shapes) > 3 else "")
