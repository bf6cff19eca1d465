"""What the layers of a `DigitNetwork` may be: defaults, named settings, checks, sizes.

A network is described by a dict: the images (`channels`, `height`, `width`), the
number of outputs (`n_classes`) and the layers. Options that came after model format 1
stand in it only where they are not at their default.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sktally._validate import check_choice, check_range
from sktally.exceptions import TallyError

__all__ = [
    "IMAGES",
    "LAYERS",
    "NETWORKS",
    "Block",
    "all_filters",
    "blocks_of",
    "check_images",
    "check_network",
    "check_sizes",
    "differs",
    "smallest_side",
    "without_later_defaults",
]

IMAGES = ("channels", "height", "width", "n_classes")
_FIRST = ("filters", "kernel_size", "hidden", "dropout", "batch_norm")
_LATER = {
    "stride": 1,
    "padding": "same",
    "activation": "relu",
    "pool": "max",
    "pool_size": 2,
    "pool_stride": None,
    "conv_dropout": None,
}
#: Every layer option and its default: the tuned network of Torres and Cantú (2022).
LAYERS = {"filters": (64, 96, 112), "kernel_size": 3, "hidden": (150, 70)}
LAYERS |= {"dropout": 0.1, "batch_norm": False, **_LATER}
#: Named settings of the layers; `CNNClassifier` says where they come from.
NETWORKS = {
    "paper-base": {**LAYERS, "filters": (32, 64), "hidden": (128, 64), "dropout": 0.0},
    "paper-tuned": LAYERS,
    "lenet5": {
        **LAYERS,
        "filters": (6, 16),
        "kernel_size": 5,
        "padding": (2, 0),
        "activation": "tanh",
        "pool": "mean",
        "hidden": (120, 84),
        "dropout": 0.0,
    },
}
_ACTIVATIONS = ("relu", "tanh", "sigmoid")
_POOLS = ("max", "mean", "min", "mixed", None)
_POOLING = ("pool", "pool_size", "pool_stride")
_MAX_SIDE = 4096  # pixels; a digit cell is some 20 to 60 wide


def differs(value, default) -> bool:
    """Tell whether an option was set to anything but its default."""
    return type(value) is not type(default) or value != default


def plain(value):
    """Return an option without NumPy's types, and lists as tuples."""
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return value.item() if isinstance(value, np.generic) else value


def without_later_defaults(layers: dict) -> dict:
    """Return layer options as they stand in a description."""
    return {
        name: value
        for name, value in layers.items()
        if name not in _LATER or differs(value, _LATER[name])
    }


def all_filters(filters, n_blocks, growth) -> object:
    """Return the filters of all blocks where `filters` is that of the first."""
    if isinstance(filters, (list, tuple)):
        if n_blocks is not None:
            raise TallyError(
                f"n_blocks: expected None, as filters={filters!r} says how many blocks "
                f"there are, got {n_blocks!r}"
            )
        return filters
    if n_blocks is None:
        return filters  # refused with the other checks
    check_range("filters", filters, 1, 65536, integer=True)
    check_range("n_blocks", n_blocks, 1, 10, integer=True)
    check_range("filter_growth", growth, 0.1, 10)
    return tuple(max(1, round(filters * growth**i)) for i in range(n_blocks))


@dataclass(frozen=True)
class Block:
    """One convolution and its pooling, sizes in pixels."""

    filters: int
    kernel: int
    stride: int
    padding: int
    pool: str | None
    pool_size: int
    pool_stride: int

    def sides(self, side: int) -> tuple[int, int]:
        """Return the side of the image after convolution and after pooling."""
        conv = (side - self.kernel + 2 * self.padding) // self.stride + 1
        if self.pool is None or conv < self.pool_size:
            return conv, conv if self.pool is None else 0
        return conv, (conv - self.pool_size) // self.pool_stride + 1


def blocks_of(network: dict) -> list[Block]:
    """Return the convolution blocks of a network that passed `check_network`."""
    full = {**_LATER, **network}
    n = len(full["filters"])
    each = {
        name: _per_block(full[name], n)
        for name in ("kernel_size", "stride", "padding", *_POOLING)
    }
    blocks = []
    for i, filters in enumerate(full["filters"]):
        kernel, stride, padding, pool, size, step = (each[name][i] for name in each)
        padding = {"same": kernel // 2, "valid": 0}.get(padding, padding)
        blocks.append(Block(filters, kernel, stride, padding, pool, size, step or size))
    return blocks


def _per_block(value, n: int) -> tuple:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * n


def smallest_side(blocks: list[Block]) -> int:
    """Return the side of the smallest image that leaves a pixel after all blocks."""
    side = 1
    for block in reversed(blocks):
        if block.pool is not None:
            side = (side - 1) * block.pool_stride + block.pool_size
        side = (side - 1) * block.stride + block.kernel - 2 * block.padding
        side = max(side, 1)
    return side


def check_sizes(network: dict) -> None:
    """Raise, naming the layer, where a chosen setting leaves no pixel of the images.

    With the default stride, padding and pooling, small images are padded instead.
    """
    chosen = [n for n in ("stride", "padding", *_POOLING[1:]) if n in network]
    blocks = blocks_of(network)
    smallest = smallest_side(blocks)
    sides = [network["height"], network["width"]]
    if not chosen or min(sides) >= smallest:
        return
    i, layer, sides, advice = _first_failure(blocks, sides)
    raise TallyError(
        f"{', '.join(chosen)}: in block {i} {layer} gets {sides[0]} x {sides[1]} "
        f"pixels, too few, from images of {network['height']} x {network['width']}. "
        f"Use {advice}, fewer blocks or smaller strides before it, or images of at "
        f"least {smallest} x {smallest}"
    )


def _first_failure(blocks: list[Block], sides: list[int]):
    """Return the number of the first block without output, its layer and advice."""
    for i, block in enumerate(blocks, 1):
        conv = [block.sides(side)[0] for side in sides]
        pooled = [block.sides(side)[1] for side in sides]
        if min(conv) < 1:
            layer = f"the convolution of {block.kernel} x {block.kernel}"
            advice = f"a kernel_size below {block.kernel} or padding='same' there"
            return i, layer, sides, advice
        if min(pooled) < 1:
            layer = f"the pooling of {block.pool_size} x {block.pool_size}"
            advice = f"a pool_size below {block.pool_size} or pool=None there"
            return i, layer, conv, advice
        sides = pooled
    raise AssertionError("every block leaves a pixel")


def check_network(network: dict, place: str) -> None:
    """Raise unless `network` holds sane arguments of `DigitNetwork`."""
    names = {*IMAGES, *_FIRST}
    extra = set(network) - names if isinstance(network, dict) else ()
    if not isinstance(network, dict) or names - set(network) or extra - set(_LATER):
        got = sorted(network) if isinstance(network, dict) else network
        raise TallyError(f"{place}: expected {sorted(names)}, got {got!r}")
    check_images(network, place)
    for name, least, most in (("filters", 1, 10), ("hidden", 0, 10)):
        sizes = network[name]
        if not isinstance(sizes, (list, tuple)) or not least <= len(sizes) <= most:
            raise TallyError(
                f"{place}.{name}: expected a tuple of {least} to {most} integers, got "
                f"{sizes!r}"
                + ("; one number needs n_blocks beside it" if least else "")
            )
        for i, size in enumerate(sizes):
            check_range(f"{place}.{name}[{i}]", size, 1, 65536, integer=True)
    check_range(f"{place}.dropout", network["dropout"], 0, 0.99)
    if network.get("conv_dropout") is not None:
        check_range(f"{place}.conv_dropout", network["conv_dropout"], 0, 0.99)
    if not isinstance(network["batch_norm"], (bool, np.bool_)):
        raise TallyError(
            f"{place}.batch_norm: expected True or False, got {network['batch_norm']!r}"
        )
    activation = network.get("activation", "relu")
    check_choice(f"{place}.activation", activation, _ACTIVATIONS)
    _check_blocks({**_LATER, **network}, place)


def check_images(network: dict, place: str) -> None:
    """Raise unless the images and the number of outputs are sane."""
    check_range(f"{place}.channels", network["channels"], 1, 3, integer=True)
    for name in ("height", "width"):
        check_range(f"{place}.{name}", network[name], 1, _MAX_SIDE, integer=True)
    check_range(f"{place}.n_classes", network["n_classes"], 1, 10**5, integer=True)


def _check_blocks(network: dict, place: str) -> None:
    """Raise unless what may differ from block to block is sane."""
    n = len(network["filters"])
    for name in ("kernel_size", "stride", "padding", *_POOLING):
        value = network[name]
        listed = isinstance(value, (list, tuple))
        if listed and len(value) != n:
            raise TallyError(
                f"{place}.{name}: expected one value, or {n}, one for each block of "
                f"filters, got {len(value)}: {value!r}"
            )
        for i, item in enumerate(_per_block(value, n)):
            where = f"{place}.{name}[{i}]" if listed else f"{place}.{name}"
            _check_item(name, item, where)
    paddings = _per_block(network["padding"], n)
    for kernel, padding in zip(
        _per_block(network["kernel_size"], n), paddings, strict=True
    ):
        if padding == "same" and kernel % 2 == 0:
            raise TallyError(
                f"{place}.kernel_size: expected an odd number, got {kernel}: an even "
                "filter has no middle pixel; or set padding to a number of pixels"
            )


def _check_item(name: str, item, where: str) -> None:
    if name == "pool":
        check_choice(where, item, _POOLS)
    elif name == "padding" and isinstance(item, str):
        check_choice(where, item, ("same", "valid"))
    elif name == "padding":
        check_range(where, item, 0, 15, integer=True)
    elif not (name == "pool_stride" and item is None):
        check_range(where, item, 1, 31, integer=True)
