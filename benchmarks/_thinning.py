"""Leave filters out of a network, such that what it computes changes least.

Of what the next layer sees, the channels go one by one whose loss costs its answers
least once the weights of the others are put right by least squares: the optimal brain
surgeon [1]_ for whole channels, as ThiNet [2]_ chooses them by the next layer.

.. [1] B. Hassibi and D. Stork (1992). "Second order derivatives for network pruning:
   optimal brain surgeon". NIPS 5.
.. [2] J.-H. Luo, J. Wu and W. Lin (2017). "ThiNet: a filter level pruning method for
   deep neural network compression". ICCV.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

__all__ = ["thinned_weights"]


@torch.no_grad()
def thinned_weights(classifier, filters, X: np.ndarray) -> dict[str, torch.Tensor]:
    """Return a state dict of a fitted `CNNClassifier` with fewer filters.

    All convolutions but the last may lose filters. `X` are some cells to compute on.
    """
    module = classifier.net_.module_.eval()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    cells = torch.from_numpy((X - classifier.pixel_offset_) / classifier.pixel_scale_)
    x = cells.float()[:, None]
    for i, n in enumerate(filters[:-1], 1):
        x = block(x, state, f"conv{i}")
        left, weight, shift = thin(x, state[f"conv{i + 1}.weight"], n)
        for name in [k for k in state if k.startswith((f"conv{i}.", f"conv{i}_norm."))]:
            if state[name].dim():
                state[name] = state[name][left]
        state[f"conv{i + 1}.weight"] = weight
        state[f"conv{i + 1}.bias"] += shift
        x = x[:, left]
    return state


def block(x: torch.Tensor, state: dict, name: str) -> torch.Tensor:
    """Return what a block of convolution, norm, pool and ReLU answers."""
    x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
    names = ("running_mean", "running_var", "weight", "bias")
    x = functional.batch_norm(x, *[state[f"{name}_norm.{key}"] for key in names])
    return functional.max_pool2d(x, 2).relu()


def thin(x: torch.Tensor, weight: torch.Tensor, n: int):
    """Return the `n` channels of `x` that stay, and weight and shift for them."""
    n_out, n_in, *kernel = weight.shape
    size = kernel[0] * kernel[1]
    mean, gram = moments(x, kernel)
    left, w = list(range(n_in)), weight.flatten(1).T.double()
    answer = mean @ w
    spread, lost = float(((gram @ w) * w).sum()), 0.0
    while len(left) > n:
        inverse = torch.linalg.inv(gram)
        own = inverse.view(len(left), size, len(left), size)
        own = own.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        mine = w.view(len(left), size, n_out)
        repair = torch.linalg.solve(own, mine)
        costs = (mine * repair).sum((1, 2))
        i = int(costs.argmin())
        lost += float(costs[i])
        w = w - inverse[:, i * size : (i + 1) * size] @ repair[i]
        stay = torch.arange(len(w)) // size != i
        w, mean, gram = w[stay], mean[stay], gram[stay][:, stay]
        del left[i]
    print(f"{n} of {n_in} channels explain {1 - lost / spread:.4f} of the next layer")
    shift = (answer - mean @ w).float()
    return left, w.T.reshape(n_out, n, *kernel).float(), shift


def moments(x: torch.Tensor, kernel) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and covariance of what a filter sees of images."""
    mean, gram, count = 0.0, 0.0, 0
    for part in x.split(50):
        seen = functional.unfold(part, kernel, padding=1).mT.flatten(0, 1)
        gram = gram + (seen.T @ seen).double()
        mean = mean + seen.double().sum(0)
        count += len(seen)
    mean, gram = mean / count, gram / count
    gram = gram - torch.outer(mean, mean)
    # what is constant, such as dead filters, has no inverse
    return mean, gram + 1e-6 * gram.diagonal().mean() * torch.eye(len(gram))
