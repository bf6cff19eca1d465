"""Build the network that a classifier asks for, or that a model file describes.

A description is a dict, see `sktally.digits._options`; where the layers are not those
of `DigitNetwork`, its key ``architecture`` names a published network or says how the
user's own class is called.
"""

from __future__ import annotations

import inspect

import torch
from torch import nn

from sktally.digits._architectures import VGG16, ResNet18
from sktally.digits._layers import weight_layers
from sktally.digits._network import DigitNetwork
from sktally.digits._options import (
    IMAGES,
    LAYERS,
    NETWORKS,
    all_filters,
    check_images,
    check_network,
    check_sizes,
    differs,
    plain,
    without_later_defaults,
)
from sktally.digits._seed import seeded
from sktally.exceptions import ModelFormatError, TallyError

__all__ = ["build_network", "check_unchanged", "describe_network", "new_network"]

_PUBLISHED = {"vgg16": VGG16, "resnet18": ResNet18}


def describe_network(classifier) -> dict:
    """Return the description of the network that `classifier` asks for, checked.

    Raises
    ------
    TallyError
        If an option is wrong, leaves no pixel of the images, or cannot go with the
        architecture.
    """
    c = classifier
    height, width, *colours = c.image_shape_
    images = {"channels": colours[0] if colours else 1, "height": height}
    images |= {"width": width, "n_classes": _n_outputs(c)}
    layers = {name: plain(getattr(c, name)) for name in LAYERS}
    layers["filters"] = all_filters(layers["filters"], c.n_blocks, c.filter_growth)
    chosen = {n: v for n, v in layers.items() if differs(v, LAYERS[n])}
    if c.architecture is None:
        network = {**images, **without_later_defaults(layers)}
        check_network(network, "CNNClassifier")
        check_sizes(network)
        return network
    if isinstance(c.architecture, type) and issubclass(c.architecture, nn.Module):
        return _describe_own(c.architecture, images, layers, chosen)
    names = [*NETWORKS, *_PUBLISHED]
    if not isinstance(c.architecture, str) or c.architecture not in names:
        raise TallyError(
            f"architecture: expected None, one of {', '.join(map(repr, names))}, or a "
            f"class of torch.nn.Module, got {c.architecture!r}"
        )
    if chosen:
        raise TallyError(
            f"architecture={c.architecture!r} says what the layers are, and so do "
            f"{chosen}; leave one at its default"
        )
    if c.architecture in _PUBLISHED:
        return {"architecture": c.architecture, **images}
    return {**images, **without_later_defaults(NETWORKS[c.architecture])}


def check_unchanged(made: dict, asked: dict) -> None:
    """Raise if options ask for another network than the one that was made."""
    made = {name: plain(value) for name, value in made.items()}
    names = [n for n in sorted({*asked, *made}) if asked.get(n) != made.get(n)]
    if names:
        raise TallyError(
            f"warm_start: {', '.join(names)} changed since the network was made "
            f"({names[0]}: {made.get(names[0])!r} to {asked.get(names[0])!r}); "
            "training cannot go on from it: put it back, or fit anew with "
            "warm_start=False"
        )


def _n_outputs(classifier) -> int:
    n_classes = len(classifier.classes_)
    if classifier.output == "softmax":
        return n_classes
    if n_classes != 2:
        raise TallyError(
            "output='sigmoid': one sigmoid tells 2 classes apart, got "
            f"{n_classes} classes; use output='softmax'"
        )
    return 1


def _describe_own(kind: type, images: dict, layers: dict, chosen: dict) -> dict:
    taken = _arguments_of(kind)
    unknown = [name for name in chosen if name not in taken]
    if unknown:
        raise TallyError(
            f"architecture: the constructor of {kind.__name__} has no argument "
            f"{unknown[0]!r}, which was set to {chosen[unknown[0]]!r}; add it there, "
            "or leave it at its default"
        )
    check_network({**images, **without_later_defaults(layers)}, "CNNClassifier")
    layers = {name: value for name, value in layers.items() if name in taken}
    return {"architecture": kind.__name__, **images, **layers}


def _arguments_of(kind: type) -> set[str]:
    """Return the parts of a description that a network class takes."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return {*IMAGES, *LAYERS}
    names = {p.name for p in parameters}
    if "n_classes" not in names:
        raise TallyError(
            f"architecture: expected a class whose constructor takes n_classes, and "
            f"which of {', '.join([*IMAGES[:3], *LAYERS])} it needs, got "
            f"{kind.__name__}{inspect.signature(kind)}"
        )
    return names & {*IMAGES, *LAYERS}


def new_network(network: dict, architecture: type | None = None) -> nn.Module:
    """Return the network of a description, its weights drawn from torch's generator.

    Raises
    ------
    TallyError
        If a network class of the user does not turn images into logits.
    """
    kind = architecture or _PUBLISHED.get(network.get("architecture"), DigitNetwork)
    taken = _arguments_of(kind)
    module = kind(**{n: v for n, v in network.items() if n in taken})
    if architecture is not None and not issubclass(architecture, DigitNetwork):
        _try(module, network)
    return module


def _try(module: nn.Module, network: dict) -> None:
    """Raise unless `module` turns images of the right size into logits."""
    name = type(module).__name__
    shape = tuple(network[n] for n in IMAGES[:3])
    images = torch.zeros(2, *shape)
    images = images.to(next(module.parameters(), images).device)
    training = module.training
    try:
        with torch.no_grad():
            logits = module.eval()(images)
    except (RuntimeError, ValueError, TypeError) as error:
        raise TallyError(
            f"architecture: {name} cannot take images (channels, height, width) = "
            f"{shape}: {error}"
        ) from error
    module.train(training)
    got = tuple(getattr(logits, "shape", ()))
    if got != (2, network["n_classes"]):
        raise TallyError(
            f"architecture: expected {name} to return logits (n_samples, n_classes) = "
            f"(2, {network['n_classes']}), got {got or type(logits).__name__}"
        )
    if not weight_layers(module):
        raise TallyError(f"architecture: {name} has no weights to train")


def check_description(network: object, place: str, architecture: type | None) -> None:
    """Raise unless a description from a model file is sane and can be built."""
    name = network.get("architecture") if isinstance(network, dict) else None
    if name is None:
        check_network(network, place)
        return
    if set(network) - {"architecture", *IMAGES, *LAYERS} or set(IMAGES) - set(network):
        raise TallyError(
            f"{place}: expected 'architecture', {', '.join(IMAGES)} and options of "
            f"layers, got {sorted(network)}"
        )
    check_images(network, place)
    if architecture is None and name not in _PUBLISHED:
        raise TallyError(
            f"{place}.architecture: {name!r} is a class of whoever saved the model; "
            "give the class, load_model(path, architecture=...)"
        )


def build_network(
    network: dict, weights: dict, *, place: str, architecture: type | None = None
) -> nn.Module:
    """Return a network with the given weights; memory is bounded by the weights'.

    But for classes of the user's own that cannot be built without numbers.

    Raises
    ------
    ModelFormatError
        If the arguments or the tensors do not make a network.
    """
    try:
        check_description(network, f"{place}.network", architecture)
        module = _without_memory(network, architecture)
    except (TallyError, TypeError, RuntimeError) as error:
        raise ModelFormatError(f"{place}: no network can be built: {error}") from None
    if module is not None:
        _check_weights(module, weights, place)
    if architecture is not None:  # it may compute what is not among the weights
        try:
            module = _computed(network, architecture)
        except Exception as error:  # the user's own code may raise anything
            raise ModelFormatError(
                f"{place}: no network can be built: {error}"
            ) from None
        _check_weights(module, weights, place)
    state = {name: torch.tensor(weights[name]).float() for name in _wanted(module)}
    module.load_state_dict(state, strict=False, assign=architecture is None)
    for part in module.modules():  # counters, which nothing reads, are not stored
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.num_batches_tracked = torch.zeros((), dtype=torch.int64)
    return module


def _without_memory(network: dict, architecture: type | None) -> nn.Module | None:
    """Return the network without its numbers; None of a class that needs numbers."""
    try:
        with torch.device("meta"):
            return new_network(network, architecture)
    except Exception:
        if architecture is None:
            raise
        return None  # with numbers it may do, or say better why not


def _computed(network: dict, architecture: type) -> nn.Module:
    """Return a network of the user's class, all of it there but for the weights.

    What its constructor draws at random and a model does not hold is lost, which two
    draws tell.
    """
    drawn = []
    for seed in range(2):
        with seeded(seed, "cpu"):
            drawn.append(new_network(network, architecture))
    one, other = (_unsaved(module) for module in drawn)
    lost = [n for n in one if n not in other or not torch.equal(one[n], other[n])]
    if lost:
        raise TallyError(
            f"{architecture.__name__} draws {', '.join(map(repr, lost[:3]))} at "
            "random, which is no parameter and no floating-point buffer, and so is "
            "not kept; register it as such a buffer, or draw it from a generator of "
            "its own"
        )
    return drawn[0]


def _unsaved(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of a network that its weights leave out, by name."""
    saved, found = _wanted(module), {}
    for place, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            continue
        held = {**dict(part.named_buffers(recurse=False)), **vars(part)}
        for name, value in held.items():
            full = f"{place}.{name}" if place else name
            if isinstance(value, torch.Tensor) and full not in saved:
                found[full] = value.detach()
    return found


def _wanted(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights that a network needs, by name."""
    return {
        name: tuple(value.shape)
        for name, value in module.state_dict().items()
        if value.is_floating_point()
    }


def _check_weights(module: nn.Module, weights: dict, place: str) -> None:
    """Raise unless weights are those of a network."""
    wanted = _wanted(module)
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
