"""The skorch net: batches in, in bfloat16 where the processor has it."""

from __future__ import annotations

import math
from copy import deepcopy
from threading import get_ident

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer, PassthroughScoring
from torch import nn
from torch.nn import functional

from sktally.digits._callbacks import (
    Accuracy,
    BestWeights,
    Penalty,
    Progress,
    Schedule,
    Stop,
)
from sktally.digits._feed import CellBatches, CellDataset
from sktally.digits._layers import hold_still, parameter_groups, weight_layers
from sktally.exceptions import TallyError

__all__ = ["DigitNet", "LabelSetLoss", "has_bfloat16", "images_to_tensor"]

#: Predictions run in batches of exactly this size, the last one filled up: kernels
#: are chosen by shape, so a cell's probabilities do not depend on its company.
PREDICT_BATCH = 48


def has_bfloat16(device: str) -> bool:
    """Tell whether `device` multiplies bfloat16 in hardware.

    Emulated bfloat16 is slower than float32, so nothing less counts.
    """
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


def images_to_tensor(images: torch.Tensor, offset: float, scale: float) -> torch.Tensor:
    """Return float32 ``(n, channels, height, width)``, background 0, spread 1."""
    x = images.to(torch.float32, copy=True).sub_(offset).div_(scale)
    x = x.unsqueeze(-1) if x.dim() == 3 else x
    return x.permute(0, 3, 1, 2)  # a view: channels stay last in memory


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return `x` with channels last in memory, and strides that say so.

    Of one channel torch cannot tell, and later layers would take it for first.
    """
    n, channels, height, width = x.shape
    flat = x.permute(0, 2, 3, 1).flatten()
    return flat.view(n, height, width, channels).permute(0, 3, 1, 2)


class LabelSetLoss(nn.Module):
    """Cross-entropy, or ``-log`` of the summed probability of a set of labels."""

    def forward(self, logits: torch.Tensor, target) -> torch.Tensor:
        """Return the mean loss for class codes ``(n,)`` or sets ``(n, n_classes)``.

        A pair of targets and weights is weighed; weights have a mean of 1 over all
        samples, not over those of a batch.
        """
        if isinstance(target, (list, tuple)):
            target, weight = target
            return (self.each(logits, target) * weight).mean()
        if target.dim() == 1:
            return functional.cross_entropy(logits, target)
        return self.each(logits, target).mean()

    @staticmethod
    def each(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of each sample."""
        if target.dim() == 1:
            return functional.cross_entropy(logits, target, reduction="none")
        allowed = logits.masked_fill(~target, -torch.inf)
        return logits.logsumexp(1) - allowed.logsumexp(1)


class DigitNet(NeuralNet):
    """A skorch net over any network of images to logits, fed by `CellDataset`.

    Parameters
    ----------
    frozen : sequence of str
        Modules that must not change in training.
    offset, scale : float
        Pixels enter the network as ``(pixel - offset) / scale``.
    bfloat16 : bool
        Compute in bfloat16, logits and loss in float32.
    augmentation : callable or None
        Applied to each training batch, ``(n, channels, height, width)``.
    schedule : str or None
        How the learning rate changes.
    layer_decay : float
        Rate of each weight layer over that of the next one.
    l1, l2 : float
        Weights of the penalties.
    patience : int or None
        Stop after so many epochs without a lower validation loss.
    progress : bool
        Show a bar.
    """

    def __init__(
        self,
        module,
        *,
        frozen=(),
        offset=0.0,
        scale=1.0,
        bfloat16=False,
        augmentation=None,
        schedule=None,
        layer_decay=1.0,
        l1=0.0,
        l2=0.0,
        patience=None,
        progress=False,
        **kw,
    ):
        self.frozen = frozen
        self.offset = offset
        self.scale = scale
        self.bfloat16 = bfloat16
        self.augmentation = augmentation
        self.schedule = schedule
        self.layer_decay = layer_decay
        self.l1 = l1
        self.l2 = l2
        self.patience = patience
        self.progress = progress
        self.valid_cells = None
        self.teacher = None
        settings = {
            "criterion": LabelSetLoss,
            "iterator_train": CellBatches,
            "iterator_train__shuffle": True,
            "iterator_valid": CellBatches,
            "train_split": None,
            "verbose": 0,
        }
        super().__init__(module, **settings, **kw)

    @property
    def _default_callbacks(self):
        scores = [
            (f"{kind}_{what}", PassthroughScoring(f"{kind}_{what}", on_train=on))
            for kind, on in (("train", True), ("valid", False))
            for what in ("loss", "accuracy")
        ]
        found = [("timer", EpochTimer()), ("accuracy", Accuracy()), *scores]
        if self.schedule is not None:
            found.append(("schedule", Schedule(self.schedule)))
        if self.l1 or self.l2:
            found.append(("penalty", Penalty(self.l1, self.l2)))
        if self.progress:
            found.append(("progress", Progress()))
        if self.patience is not None:
            found.append(("best_weights", BestWeights(self.patience)))
        return found

    def initialize_optimizer(self, *args, **kwargs):
        """Decay matrices and kernels, not biases, norms and pooling shares."""
        groups = parameter_groups(self.module_, self.layer_decay)
        for group in groups:
            group["lr"] = self.lr * group["share"]
        settings = self.get_params_for("optimizer")
        if issubclass(self.optimizer, (torch.optim.Adam, torch.optim.AdamW)):
            settings["fused"] = torch.device(self.device).type in ("cpu", "cuda")
        self.optimizer_ = self.optimizer(groups, **{"lr": self.lr, **settings})
        return self

    def get_split_datasets(self, X, y=None, **fit_params):
        """Return the training cells and those that `run` was given to validate."""
        return X, self.valid_cells

    def infer(self, x, **fit_params):
        """Return logits, float32 or better, of a batch of raw images.

        A single output z is the logit of the second of two classes: the softmax of
        (0, z) is the sigmoid of z.
        """
        module = self.module_
        if module.training:
            hold_still(module, self.frozen)
        x = images_to_tensor(x.to(self.device), self.offset, self.scale)
        if self.augmentation is not None and module.training:
            x = _channels_last(self.augmentation(x))
        if self.teacher is not None and module.training:
            self.teacher.see(x, self.offset, self.scale)
        kind = torch.device(self.device).type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.bfloat16):
            logits = module(x)
        logits = logits.float() if logits.element_size() < 4 else logits
        return functional.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits

    def train_step(self, batch, **fit_params):
        """Take one step and stop with a clear error where the loss is not finite."""
        step = super().train_step(batch, **fit_params)
        if not math.isfinite(step["loss"].item()):
            raise TallyError(
                f"the training loss became {step['loss'].item()} in epoch "
                f"{len(self.history)}: expected a finite number. Lower learning_rate "
                f"(now {self.lr:g}), or check X for extreme values"
            )
        return step

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the loss of a batch; in training, a teacher has its share in it."""
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        if self.teacher is None or not training:
            return loss
        apart = self.teacher.each(y_pred)
        if isinstance(y_true, (list, tuple)):
            apart = apart * y_true[1].to(apart.device)
        return torch.lerp(loss, apart.mean(), self.teacher.share)

    def run(self, images, targets, balance, valid_rows=None, teacher=None) -> None:
        """Train from where the weights stand, validating on other rows.

        Validation knows neither weights nor teacher.
        """
        self.teacher = teacher
        train = CellDataset(
            images,
            targets,
            balance.rows,
            weights=balance.weights,
            chances=balance.chances,
        )
        if valid_rows is not None:
            self.valid_cells = CellDataset(images, targets, valid_rows)
        self.notify("on_train_begin", X=train)
        try:
            self.fit_loop(train)
        except Stop:
            pass
        finally:
            # a fitted net must hold neither data nor teacher
            self.valid_cells = self.teacher = None
            self.notify("on_train_end", X=train)

    def go_on_from(self, net: DigitNet) -> None:
        """Take over the optimizer's running means from the last net of this module."""
        if type(net.optimizer_) is type(self.optimizer_):
            # copies: where this training fails the last net is to be as it was
            for weight, means in net.optimizer_.state.items():
                self.optimizer_.state[weight] = deepcopy(means)

    def table(self) -> pd.DataFrame:
        """Return the history, one row per epoch that is through."""
        names = ["epoch", "train_loss", "train_accuracy"]
        names += ["valid_loss", "valid_accuracy", "dur", "frozen_layers"]
        through = [row for row in self.history if "train_loss" in row]
        names = [n for n in names if through and n in through[-1]]
        rows = [{name: row[name] for name in names} for row in through]
        return pd.DataFrame(rows).rename(columns={"dur": "seconds"})

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return float32 ``(n, n_classes)`` in batches of one fixed size."""
        return self._in_batches(images, lambda batch: self.infer(batch).softmax(1))

    def hidden_features(self, images: np.ndarray) -> np.ndarray:
        """Return float32 ``(n, n_features)``, what the last weight layer is given."""
        last = self.module_.get_submodule(weight_layers(self.module_)[-1][0])
        seen: list[torch.Tensor] = []
        own = get_ident()

        def note(_, given) -> None:
            if get_ident() == own:  # other threads may ask the same network
                seen.append(given[0])

        hook = last.register_forward_pre_hook(note)

        def answer(batch: torch.Tensor) -> torch.Tensor:
            seen.clear()
            self.infer(batch)
            if len(seen) != 1 or len(seen[0]) != len(batch):
                raise TallyError(
                    f"hidden_features: expected {type(self.module_).__name__} to call "
                    f"its last weight layer, a {type(last).__name__}, once for each "
                    f"batch of images, got {len(seen)} calls; define the output layer "
                    "last in the network"
                )
            return seen[0].flatten(1)

        try:
            return self._in_batches(images, answer)
        finally:
            hook.remove()

    def _in_batches(self, images: np.ndarray, answer) -> np.ndarray:
        """Return `answer` of all images, float32, in batches of one fixed size."""
        answers = []
        for start in range(0, len(images), PREDICT_BATCH):
            chunk = np.array(images[start : start + PREDICT_BATCH])
            n = len(chunk)
            if n < PREDICT_BATCH:
                filler = np.zeros((PREDICT_BATCH - n, *chunk.shape[1:]), chunk.dtype)
                chunk = np.concatenate([chunk, filler])
            with torch.inference_mode():
                self.module_.eval()
                answers.append(
                    answer(torch.from_numpy(chunk))[:n].float().cpu().numpy()
                )
        return np.concatenate(answers)
