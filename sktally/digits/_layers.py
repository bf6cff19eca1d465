"""The weight layers of any network: found, drawn anew, and held still."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = [
    "ExactLinear",
    "SteppingConv2d",
    "draw_weights",
    "freeze",
    "hold_still",
    "parameter_groups",
    "weight_layers",
]


def weight_layers(module: nn.Module) -> list[list[str]]:
    """Return the names of the modules of each weight layer, in order of definition.

    A module that owns a tensor of two or more dimensions, such as a convolution,
    begins a layer. What owns only vectors, such as batch norm, belongs to the layer
    before it.

    Examples
    --------
    >>> from torch import nn
    >>> weight_layers(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2),
    ...                             nn.ReLU(), nn.Linear(2, 2)))
    [['0', '1'], ['3']]
    """
    layers: list[list[str]] = []
    early: list[str] = []
    for name, part in module.named_modules():
        own = list(part.parameters(recurse=False))
        if any(tensor.dim() > 1 for tensor in own):
            layers.append([name, *early])
            early = []
        elif own or any(True for _ in part.buffers(recurse=False)):
            (layers[-1] if layers else early).append(name)
    return layers


def draw_weights(module: nn.Module, activation: str = "relu") -> None:
    """Draw new weights by He's rule for `activation`; biases and output layer zero."""
    layers = [module.get_submodule(names[0]) for names in weight_layers(module)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity=activation)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    nn.init.zeros_(layers[-1].weight)  # so that training starts from even odds


def freeze(module: nn.Module, n_layers: int) -> list[str]:
    """Keep the first `n_layers` from learning and return the names of their modules.

    `hold_still` must do the rest in every training step.
    """
    layers = weight_layers(module)
    for i, names in enumerate(layers):
        for name in names:
            for tensor in module.get_submodule(name).parameters(recurse=False):
                tensor.requires_grad_(i >= n_layers)
    return [name for names in layers[:n_layers] for name in names]


def hold_still(module: nn.Module, names: list[str]) -> None:
    """Take frozen modules out of training mode: batch norm then learns nothing."""
    for name in names:
        module.get_submodule(name).training = False


def parameter_groups(module: nn.Module, layer_decay: float = 1.0) -> list[dict]:
    """Return groups of parameters for an optimizer, with their ``share`` of its rate.

    Matrices and kernels decay; biases, norms and pooling shares do not. With a
    `layer_decay` below 1 each weight layer has groups of its own.
    """
    layers = [[name for names in weight_layers(module) for name in names]]
    if layer_decay < 1:
        layers = weight_layers(module)
    groups: list[dict] = []
    seen: set[int] = set()  # a tensor that two layers share learns with the first
    for i, names in enumerate(layers):
        share = layer_decay ** (len(layers) - 1 - i)
        weights = []
        for name in names:
            own = module.get_submodule(name).parameters(recurse=False)
            weights += [w for w in own if id(w) not in seen]
            seen.update(map(id, weights))
        matrices = [w for w in weights if w.dim() > 1]
        vectors = [w for w in weights if w.dim() < 2]
        groups.append({"params": matrices, "share": share})
        groups.append({"params": vectors, "share": share, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


class ExactLinear(nn.Linear):
    """An output layer whose logits are float32 or better.

    bfloat16 would leave 8 bits to each logit: ties and coarse probabilities.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits ``(n, n_classes)``."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if self.training or x.device.type != "cpu":
                return super().forward(x)
            # in float32 a row's place in the batch shows in the last bit
            return functional.linear(
                x.double(), self.weight.double(), self.bias.double()
            )


class SteppingConv2d(nn.Conv2d):
    """A convolution of 1 x 1 that steps over pixels, which are left out beforehand.

    Given them, torch 2.13 on CPUs writes beside its memory in training: where channels
    are last and few, oneDNN's gradient of such convolutions ends the process. What is
    computed is the same.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return images of a pixel for each step."""
        (down, right), (top, left) = self.stride, self.padding
        if top or left:
            x = functional.pad(x, (left, left, top, top))
        return functional.conv2d(x[:, :, ::down, ::right], self.weight, self.bias)
