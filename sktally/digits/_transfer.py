"""Take over the weights of another network."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import nn

from sktally.digits._input import label_text
from sktally.digits._layers import weight_layers
from sktally.digits._network import DigitNetwork
from sktally.digits._sources import Source, weights_of
from sktally.exceptions import TallyError, TallyWarning

__all__ = ["transfer"]

_NORMS = (
    nn.modules.batchnorm._NormBase,  # of batches and of instances
    nn.GroupNorm,
    nn.LayerNorm,
)


def transfer(
    module: nn.Module, source: Source, classes: list, freeze_layers: int
) -> dict:
    """Copy what fits from `source` into `module`, freeze layers, report.

    Tensors are matched by name and shape. In the output layer, the rows of classes
    that both know (compared as text: 7 and 7.0 are "7") are copied, the others stay
    new.

    Returns
    -------
    dict
        ``source`` and lists of tensor names: ``loaded``, ``partly_loaded``,
        ``reinitialized``, ``skipped`` (of the source, without a place here).

    Warns
    -----
    TallyWarning
        If the source normalises between its layers and `module` nowhere does.
    """
    report = {"source": source.name, "loaded": [], "partly_loaded": []}
    report |= {"reinitialized": [], "skipped": []}
    head = f"{weight_layers(module)[-1][0]}."
    same_classes = [*map(label_text, source.classes)] == [*map(label_text, classes)]
    with torch.no_grad():
        for name, target in module.state_dict().items():
            if not target.is_floating_point():
                continue
            given = source.weights.get(name)
            if name.startswith(head) and given is not None and not same_classes:
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
            f"{_shapes(weights_of(module))}); use the same architecture, filters, "
            "kernel_size and hidden as in the pretrained model"
        )
    _check_first(module, source, report)
    _check_frozen(module, report, freeze_layers)
    _warn_of_norms(module, report)
    return report


def _copy_rows(target: torch.Tensor, given: np.ndarray, theirs: list, ours: list):
    row = {label_text(label): i for i, label in enumerate(theirs)}
    known = {i: text for i, text in enumerate(map(label_text, ours)) if text in row}
    pairs = [(i, row[text]) for i, text in known.items()]
    if given.shape[1:] != tuple(target.shape[1:]) or len(given) != len(theirs):
        return "reinitialized"
    for i, j in pairs:
        target[i] = torch.tensor(given[j])
    return "partly_loaded" if pairs else "reinitialized"


def _check_first(module: nn.Module, source: Source, report: dict) -> None:
    """Raise where the first layer is there but of another shape.

    A first layer that the source lacks may be meant: a stem before a known network.
    """
    part = weight_layers(module)[0][0]
    for name, tensor in module.get_submodule(part).named_parameters(recurse=False):
        name = f"{part}.{name}" if part else name
        given = source.weights.get(name)
        if tensor.dim() > 1 and given is not None and name in report["reinitialized"]:
            raise TallyError(
                f"pretrained: the first layer does not fit: {name!r} is {given.shape} "
                f"in {source.name} and {tuple(tensor.shape)} here, and behind random "
                "weights the layers that fit are of no use; use the same filters, "
                "kernel_size and colours as in the pretrained model"
            )


def _check_frozen(module: nn.Module, report: dict, freeze_layers: int) -> None:
    for block in weight_layers(module)[:freeze_layers]:
        for name in report["reinitialized"]:
            if name.rpartition(".")[0] in block:
                raise TallyError(
                    f"freeze_layers={freeze_layers}: layer {block[0]!r} would be "
                    f"frozen with random weights: {name!r} does not fit the pretrained "
                    "model; freeze fewer layers, or use its settings and image size"
                )


def _warn_of_norms(module: nn.Module, report: dict) -> None:
    """Warn where a network without normalisation takes the weights of one with it.

    The weights that were loaded then work on numbers of another size than those they
    were trained for, and much of what they know is lost.
    """
    mark = ".running_mean"
    norms = [n.removesuffix(mark) for n in report["skipped"] if n.endswith(mark)]
    if not norms or any(isinstance(part, _NORMS) for part in module.modules()):
        return
    if isinstance(module, DigitNetwork):
        remedy = "pass batch_norm=True to CNNClassifier, without a named architecture"
    else:
        remedy = (
            "take weights that were trained without it, or an architecture with "
            "normalisation layers of these names"
        )
    warnings.warn(
        f"pretrained: {report['source']} has batch normalisation, and the network "
        f"being fitted has none: expected a place for {len(norms)} layers "
        f"({', '.join(norms)}), which were skipped, and the weights that were loaded "
        f"do much worse without; {remedy}",
        TallyWarning,
        stacklevel=6,
    )


def _shapes(weights: dict) -> str:
    shapes = [f"{n} {tuple(v.shape)}" for n, v in weights.items() if "weight" in n]
    return ", ".join(shapes[:3]) + (", ..." if len(shapes) > 3 else "")
