"""What happens between the batches and epochs of a training run."""

from __future__ import annotations

import math

from skorch.callbacks import Callback
from tqdm import tqdm

from sktally.digits._layers import freeze

__all__ = [
    "SCHEDULES",
    "Accuracy",
    "BestWeights",
    "Freezing",
    "Penalty",
    "Progress",
    "Schedule",
    "Stop",
]


class Stop(Exception):
    """Raised by a callback to end training early."""


class Accuracy(Callback):
    """Record the share of right answers of each batch."""

    def on_batch_end(self, net, batch, training, y_pred, **kwargs):
        target = batch[1][0] if isinstance(batch[1], tuple) else batch[1]
        target = target.to(y_pred.device)
        guess = y_pred.detach().argmax(1)
        if target.dim() == 1:
            right = guess == target
        else:
            right = target.gather(1, guess[:, None])[:, 0]
        prefix = "train" if training else "valid"
        net.history.record_batch(f"{prefix}_accuracy", right.float().mean().item())


def _one_cycle(t: float) -> float:
    """L. N. Smith and N. Topin, Super-convergence, arXiv:1708.07120."""
    if t < 0.3:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * t / 0.3)) / 2
    return (1 + math.cos(math.pi * (t - 0.3) / 0.7)) / 2


#: Share of the learning rate after a share of the training steps, by name.
SCHEDULES = {
    "one-cycle": _one_cycle,
    "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
    "linear": lambda t: 1 - t,
}


class Schedule(Callback):
    """Change the learning rate from step to step."""

    def __init__(self, name: str):
        self.factor = SCHEDULES[name]

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.total = net.max_epochs * len(net.get_iterator(X, training=True))
        self.step = 0
        self._set(net)

    def on_batch_end(self, net, training=True, **kwargs):
        if training:
            self.step += 1
            self._set(net)

    def _set(self, net):
        factor = self.factor(min(self.step / self.total, 1.0))
        for group in net.optimizer_.param_groups:
            group["lr"] = net.lr * factor * group["share"]


class Freezing(Callback):
    """Keep the first layers frozen and record how many; release them one by one.

    Parameters
    ----------
    n_layers : int
        Frozen at first.
    every : int or None
        After so many epochs one more layer, the last frozen one, learns.
    n_epochs : int
        Epochs that count as run before this training.
    """

    def __init__(self, n_layers: int, every: int | None = None, n_epochs: int = 0):
        self.n_layers, self.every, self.n_epochs = n_layers, every, n_epochs

    def on_epoch_begin(self, net, **kwargs):
        frozen = self.n_layers
        if self.every is not None:
            epochs = self.n_epochs + len(net.history) - 1  # this one has a row
            frozen = max(frozen - epochs // self.every, 0)
        net.frozen = freeze(net.module_, frozen)
        net.history.record("frozen_layers", frozen)


class Penalty(Callback):
    """Pull weights towards 0: gradients of ``l1 * sum(|w|) + l2 * sum(w ** 2)``.

    Of matrices and kernels that learn, not of biases and norms. Histories keep the
    plain loss, so that settings can be compared.
    """

    def __init__(self, l1: float, l2: float):
        self.l1, self.l2 = l1, l2

    def on_grad_computed(self, net, named_parameters=(), **kwargs):
        for weight in net.module_.parameters():
            if weight.dim() > 1 and weight.grad is not None:
                weight.grad.add_(weight.detach().sign(), alpha=self.l1)
                weight.grad.add_(weight.detach(), alpha=2 * self.l2)


class BestWeights(Callback):
    """Stop after `patience` epochs without a lower loss; restore the best weights."""

    def __init__(self, patience: int):
        self.patience = patience

    def on_train_begin(self, net, **kwargs):
        self.best, self.weights, self.since = math.inf, None, 0

    def on_epoch_end(self, net, **kwargs):
        loss = net.history[-1, "valid_loss"]
        self.since += 1
        if loss < self.best:
            self.best, self.since = loss, 0
            state = net.module_.state_dict()
            self.weights = {name: value.clone() for name, value in state.items()}
        if self.since >= self.patience:
            raise Stop

    def on_train_end(self, net, **kwargs):
        if self.weights is not None:
            net.module_.load_state_dict(self.weights)
            self.weights = None


class Progress(Callback):
    """Show a bar over epochs, with the losses, on standard error."""

    def on_train_begin(self, net, **kwargs):
        self.bar = tqdm(total=net.max_epochs, unit="epoch", desc="fit")

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        names = ("train_loss", "train_accuracy", "valid_loss", "valid_accuracy")
        self.bar.set_postfix({n: f"{row[n]:.4f}" for n in names if n in row})
        self.bar.update()

    def on_train_end(self, net, **kwargs):
        self.bar.close()
        self.bar = None
