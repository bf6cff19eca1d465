"""Muon: steps that turn all directions of a matrix of weights by as much.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon; the size of a step is that of J. Liu et al.,
"Muon is Scalable for LLM Training", arXiv:2502.16982, so that learning rate and weight
decay mean what they mean to AdamW.
"""

from __future__ import annotations

import torch

__all__ = ["Muon"]

_MOMENTUM = 0.95
_ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of a quintic, steep at 0
_RMS = 0.2  # of AdamW's steps, about


class Muon(torch.optim.AdamW):
    """Momentum made orthogonal for filters and matrices, AdamW for vectors.

    `torch.optim.Muon` knows matrices alone, and iterates in bfloat16, which few CPUs
    have.
    """

    @torch.no_grad()
    def step(self, closure=None):
        """Take one step and let go of the gradients of what it moved."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.ndim > 1:
                    self._turn(weight, group)
                    weight.grad = None  # AdamW passes over it
        super().step()
        return loss

    def _turn(self, weight: torch.Tensor, group: dict) -> None:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        mean = state["momentum_buffer"].lerp_(weight.grad, 1 - _MOMENTUM)
        ahead = weight.grad.lerp(mean, _MOMENTUM).flatten(1)
        turned = orthogonal(ahead).view_as(weight)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        size = _RMS * max(ahead.shape) ** 0.5
        weight.add_(turned, alpha=-group["lr"] * size)


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Return about U V' of a matrix U S V': singular values from 0.7 to 1.2.

    What Newton and Schulz iterate on the matrix is done on its smaller Gram matrix.
    Singular values under 2e-3 of the Frobenius norm may be left below.
    """
    if len(matrix) > matrix.shape[1]:
        return orthogonal(matrix.T).T
    gram = matrix @ matrix.T
    total = gram.trace().clamp(min=torch.finfo(gram.dtype).tiny)
    gram /= total
    a, b, c = _COEFFICIENTS
    product = None
    for i in range(_ITERATIONS):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        product = factor if product is None else factor @ product
        if i + 1 < _ITERATIONS:
            gram = factor @ gram @ factor
    return (product / total.sqrt()) @ matrix
