"""What `CNNClassifier.fit` needs: settings checked, device, seed, the net."""

from __future__ import annotations

import torch
from torch import nn

from sktally._validate import check_choice, check_range
from sktally.digits._augment import make_augmentation
from sktally.digits._callbacks import SCHEDULES, Freezing
from sktally.digits._layers import weight_layers
from sktally.digits._muon import Muon
from sktally.digits._net import DigitNet, has_bfloat16
from sktally.exceptions import TallyError

__all__ = [
    "check_batches",
    "check_freeze",
    "check_settings",
    "choose_device",
    "make_net",
    "use_bfloat16",
]

#: AdamW is Adam itself where weight_decay is 0.
_OPTIMIZERS = {
    "adamw": (torch.optim.AdamW, {}),
    "muon": (Muon, {}),
    "adam": (torch.optim.Adam, {}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9}),
    "adagrad": (torch.optim.Adagrad, {}),
}
_DECAYING = ("adamw", "muon")


def check_settings(classifier) -> None:
    """Raise unless all constructor arguments that training needs are sane."""
    c = classifier
    check_range("max_epochs", c.max_epochs, 1, 10**6, integer=True)
    check_range("learning_rate", c.learning_rate, 0, 1e3)
    least = 2 if c.batch_norm else 1  # batch norm has no variance of one sample
    check_range("batch_size", c.batch_size, least, 10**7, integer=True)
    check_range("weight_decay", c.weight_decay, 0, 1e3)
    check_choice("output", c.output, ("softmax", "sigmoid"))
    check_choice("schedule", c.schedule, (None, *SCHEDULES))
    check_choice("optimizer", c.optimizer, tuple(_OPTIMIZERS))
    for name in ("l1", "l2"):
        check_range(name, getattr(c, name), 0, 1e3)
    if c.weight_decay and c.optimizer not in _DECAYING:
        raise TallyError(
            f"weight_decay: expected 0 with optimizer={c.optimizer!r}, got "
            f"{c.weight_decay!r}: decay apart from the gradient is for "
            f"{' and '.join(_DECAYING)}; use l2"
        )
    check_choice("precision", c.precision, ("auto", "float32", "bfloat16"))
    check_choice("sampling", c.sampling, (None, "balanced"))
    check_choice("warm_start", c.warm_start, (True, False))
    check_choice("early_stopping", c.early_stopping, (True, False))
    check_range("validation_fraction", c.validation_fraction, 1e-6, 0.99)
    check_range("patience", c.patience, 1, 10**6, integer=True)
    check_range("layer_decay", c.layer_decay, 0.001, 1)
    if c.unfreeze_epochs is not None:
        check_range("unfreeze_epochs", c.unfreeze_epochs, 1, 10**6, integer=True)
    make_augmentation(c.augment)


def check_freeze(
    n_layers: int, module: nn.Module, trained: bool, unfreeze_epochs: int | None = None
) -> None:
    """Raise unless `n_layers` can be frozen in `module`, and unfrozen if asked for."""
    check_range("freeze_layers", n_layers, 0, 10**6, integer=True)
    if n_layers and not trained:
        raise TallyError(
            f"freeze_layers={n_layers}: frozen layers need trained weights, and "
            "pretrained is None; give pretrained= a saved model, the name of a bundled "
            "one, or FrozenEstimator(fitted classifier)"
        )
    if unfreeze_epochs is not None and not n_layers:
        raise TallyError(
            f"unfreeze_epochs={unfreeze_epochs}: expected layers to release, and "
            "freeze_layers=0 freezes none; set freeze_layers to 1 or more, in the "
            "constructor or in fit, or unfreeze_epochs=None"
        )
    layers = [names[0] for names in weight_layers(module)]
    if n_layers >= len(layers):
        shown = layers if len(layers) < 9 else [*layers[:4], "...", *layers[-2:]]
        raise TallyError(
            f"freeze_layers={n_layers}: the network has {len(layers)} weight layers "
            f"({', '.join(shown)}), and the last must stay free to learn; expected 0 "
            f"to {len(layers) - 1}"
        )


def choose_device(device: str, *, fallback: str | None = None) -> str:
    """Return a device that is there.

    Raises
    ------
    TallyError
        If `device` is not there and no fallback is given.
    """
    present = ["cpu"]
    present += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        present.append("mps")
    if device == "auto":
        return present[1] if len(present) > 1 and "cuda" in present[1] else "cpu"
    wanted = "cuda:0" if device == "cuda" else device
    if wanted in present:
        return wanted
    if fallback is not None:
        return fallback
    raise TallyError(
        f"device: expected 'auto' or one of {', '.join(present)} on this machine, got "
        f"{device!r}"
    )


def use_bfloat16(precision: str, device: str) -> bool:
    """Tell whether to compute in bfloat16."""
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


def check_batches(n_rows: int, batch_size: int, module: nn.Module, frozen) -> None:
    """Raise if a batch would hold one sample, which batch norm cannot digest."""
    smallest = n_rows // -(-n_rows // batch_size)
    norms = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and name not in frozen
    ]
    if smallest < 2 and norms:
        raise TallyError(
            f"batch_size: {n_rows} samples in batches of up to {batch_size} leave a "
            f"batch of one, of which batch norm ({norms[0]!r}) knows no variance; "
            "expected at least 2 in each: add samples, or set another batch_size"
        )


def make_net(
    classifier,
    module: nn.Module,
    *,
    training: bool,
    freezing: Freezing | None = None,
    endless: bool = False,
) -> DigitNet:
    """Return the initialised skorch net around `module`, with no training done.

    An `endless` one is made for one more epoch at a constant learning rate.
    """
    c = classifier
    # flips depend on the classes, which a loaded model does not ask about again
    augmentation = make_augmentation(c.augment, c.classes_.tolist() if training else ())
    optimizer, settings = _OPTIMIZERS[c.optimizer]
    settings = {f"optimizer__{name}": value for name, value in settings.items()}
    if c.optimizer in _DECAYING:
        settings["optimizer__weight_decay"] = c.weight_decay
    net = DigitNet(
        module,
        callbacks=[] if freezing is None else [("freezing", freezing)],
        offset=c.pixel_offset_,
        scale=c.pixel_scale_,
        bfloat16=use_bfloat16(c.precision, c.device_),
        augmentation=augmentation if training else None,
        schedule=None if endless else c.schedule,
        layer_decay=c.layer_decay,
        l1=c.l1,
        l2=c.l2,
        patience=c.patience if c.early_stopping and not endless else None,
        progress=bool(c.verbose),
        lr=c.learning_rate,
        optimizer=optimizer,
        **settings,
        max_epochs=1 if endless else c.max_epochs,
        batch_size=c.batch_size,
        device=c.device_,
    )
    return net.initialize()
