"""Muon: what a step is, and that all that trains trains with it."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from sktally import CNNClassifier
from sktally.digits._muon import Muon, orthogonal


def _matrix(rows, columns, smallest):
    """Return a matrix and its factors, singular values from 1 down to `smallest`."""
    draw = torch.Generator().manual_seed(rows)
    n = min(rows, columns)
    u, v = (
        torch.linalg.qr(torch.randn(side, n, generator=draw, dtype=torch.float64))[0]
        for side in (rows, columns)
    )
    s = torch.logspace(0, np.log10(smallest), n, dtype=torch.float64)
    return (u * s @ v.T).float(), u.float(), v.float()


@pytest.mark.parametrize("shape", [(64, 9), (10, 70), (96, 576), (40, 40)])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_orthogonal_turns_without_stretching(shape, size):
    matrix, u, v = _matrix(*shape, smallest=0.03)
    found = u.T @ orthogonal(size * matrix) @ v
    stretch = found.diagonal()
    assert 0.65 < stretch.min() < stretch.max() < 1.25
    assert (found - torch.diag(stretch)).abs().max() < 0.02


def test_orthogonal_leaves_only_little_directions_below():
    matrix, u, v = _matrix(96, 576, smallest=1e-5)
    share = (u.T @ matrix @ v).diagonal() / matrix.norm()
    stretch = (u.T @ orthogonal(matrix) @ v).diagonal()
    assert stretch[share >= 2e-3].min() > 0.65
    assert stretch[share < 1e-4].max() < 0.65


def test_orthogonal_of_little_and_nothing():
    matrix, _, _ = _matrix(30, 200, smallest=1e-9)
    found = torch.linalg.svdvals(orthogonal(matrix))
    assert torch.isfinite(found).all() and found.max() < 1.25
    assert not orthogonal(torch.zeros(4, 9)).any()


def _moved(digits, small, **settings):
    """Return the weights before and after one step."""
    X, y = digits
    settings = {**small, "max_epochs": 1, "batch_size": 100, "dropout": 0.0} | settings
    rest = {**settings, "learning_rate": 0.0, "weight_decay": 0.0}
    return [
        CNNClassifier(**how).fit(X[:100], y[:100]).net_.module_.state_dict()
        for how in (rest, settings)
    ]


def test_a_step_is_as_long_as_those_of_adamw_and_goes_all_ways():
    draw = torch.Generator().manual_seed(0)
    shapes = [(16, 8, 3, 3), (150, 400), (10, 70), (16,)]
    start = [torch.randn(shape, generator=draw) for shape in shapes]
    slopes = [torch.randn(shape, generator=draw) ** 3 for shape in shapes]
    moved = []
    for kind in (Muon, torch.optim.AdamW):
        weights = [torch.nn.Parameter(w.clone()) for w in start]
        for weight, slope in zip(weights, slopes, strict=True):
            weight.grad = slope.clone()
        kind(weights, lr=0.01, weight_decay=0.0).step()
        pairs = zip(weights, start, strict=True)
        moved.append([(new - old).detach() for new, old in pairs])
    *steps, vector = moved[0]
    assert torch.equal(vector, moved[1][-1])
    for step, slope in zip(steps, slopes[:-1], strict=True):
        flat = step.flatten(1)
        stretch = torch.linalg.svdvals(flat) / (0.01 * 0.2 * max(flat.shape) ** 0.5)
        assert 0.65 < stretch.min() < stretch.max() < 1.25
        assert 0.1 < step.square().mean().sqrt() / 0.01 < 0.25  # 0.2, give or take
        assert (step * slope).sum() < 0


def test_decay_is_apart_from_the_gradient(digits, small):
    settings = {"optimizer": "muon", "learning_rate": 0.01}
    before, after = _moved(digits, small, **settings)
    _, shrunk = _moved(digits, small, **settings, weight_decay=0.5)
    for name, weight in before.items():
        lost = 0.005 * weight if weight.ndim > 1 else torch.zeros_like(weight)
        assert torch.allclose(after[name] - shrunk[name], lost, atol=1e-6)


def test_frozen_layers_stay(digits, small):
    X, y = digits
    first = CNNClassifier(**small, batch_norm=True).fit(X[:200], y[:200])
    moved = CNNClassifier(
        **small,
        batch_norm=True,
        optimizer="muon",
        pretrained=FrozenEstimator(first),
        freeze_layers=2,
    ).fit(X[200:400], y[200:400])
    pairs = zip(
        first.net_.module_.state_dict().items(),
        moved.net_.module_.state_dict().values(),
        strict=True,
    )
    same = {name for (name, old), new in pairs if torch.equal(old, new)}
    names = set(first.net_.module_.state_dict())
    names = {name for name in names if not name.endswith("num_batches_tracked")}
    assert same & names == {name for name in names if name.startswith("conv")}


def test_a_closure_is_called_and_its_loss_returned():
    weight = torch.nn.Parameter(torch.eye(3))
    optimizer = Muon([weight], lr=0.1, weight_decay=0.0)

    def closure():
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3
    assert closure().item() < 3
