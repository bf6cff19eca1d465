"""Class activation maps: feature maps weighted by what they add to a class.

Comes in: a classifier, its log-odds, images and codes of classes. Goes out: a map of
the size of each image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sktally.inspection._network import layer_of, reach_of

__all__ = ["conductance", "grad_cam"]

_BATCH = 128  # images in the network at a time


def conductance(
    classifier: Any,
    log_odds: Any,
    x: Any,
    codes: Any,
    layer: int | str,
    base: Any,
    n_steps: int,
) -> Any:
    """Return what each place of a convolution adds on the way from `base` to `x`.

    ReLU need not be applied first: what does not pass it has no slope.
    """
    import torch
    from captum.attr import LayerConductance

    def with_slopes(*given: Any) -> Any:  # else quick blocks pass the hooks by
        with torch.enable_grad():
            return log_odds(*given)

    module = classifier.net_.module_
    part = module.get_submodule(layer_of(classifier, layer).last)
    with _seen_by_first(classifier) as seen:
        maps = LayerConductance(with_slopes, part).attribute(
            x.requires_grad_(),
            baselines=base,
            additional_forward_args=(codes,),
            n_steps=n_steps,
            method="riemann_trapezoid",  # the only one whose steps reach both ends
            internal_batch_size=max(_BATCH, 2 * len(x)),
        )
    return _placed(classifier, maps.sum(1, keepdim=True), layer, seen[0], x.shape[2:])


def grad_cam(
    classifier: Any, log_odds: Any, x: Any, codes: Any, layer: int | str
) -> Any:
    """Return the maps of a convolution, after ReLU, weighted by their mean slopes."""
    from captum.attr import LayerGradCam

    chosen = layer_of(classifier, layer)
    part = classifier.net_.module_.get_submodule(chosen.last)
    hooks = []
    if chosen.relu:  # the network applies it again, which changes nothing
        hooks.append(part.register_forward_hook(lambda _, given, y: y.relu()))
    try:
        with _seen_by_first(classifier) as seen:
            maps = LayerGradCam(log_odds, part).attribute(
                x.requires_grad_(),
                additional_forward_args=(codes,),
                relu_attributions=True,
            )
    finally:
        for hook in hooks:
            hook.remove()
    return _placed(classifier, maps, layer, seen[0], x.shape[2:])


@contextmanager
def _seen_by_first(classifier: Any) -> Iterator[list[tuple[int, int]]]:
    """Give a list for the sizes of images that reach the first convolution."""
    seen: list[tuple[int, int]] = []
    first = classifier.net_.module_.get_submodule(layer_of(classifier, 0).name)
    hook = first.register_forward_pre_hook(
        lambda _, given: seen.append(tuple(given[0].shape[2:]))
    )
    try:
        yield seen
    finally:
        hook.remove()


def _placed(
    classifier: Any,
    maps: Any,
    layer: int | str,
    seen: tuple[int, int],
    size: tuple[int, int],
) -> Any:
    """Return maps laid over the cells that were padded to what the network saw.

    Pixels share the value of a place, and between the middles of places values are
    interpolated. Where no place is, as along the edges of convolutions without padding,
    they are 0.
    """
    import torch
    from torch.nn import functional

    axes, area = [], 1.0
    for i in (0, 1):
        n = maps.shape[2 + i]
        full = max(seen[i], size[i])
        start, unit = reach_of(classifier, layer, i) or (0.0, full / n)
        area *= unit
        pixels = torch.arange(size[i], device=maps.device) + 0.5
        pixels = pixels + (full - size[i]) // 2
        axes.append(2 * (pixels - start) / (unit * n) - 1)
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([columns, rows], -1).to(maps.dtype)
    there = (grid.abs() <= 1).all(-1)
    places = grid.expand(len(maps), *grid.shape)
    found = functional.grid_sample(
        maps, places, padding_mode="border", align_corners=False
    )
    return found * there / area
