"""
Start from other digits: how many layers to freeze
==================================================

A network that has learnt digits elsewhere needs few labels of yours. Here the digits
of scikit-learn are the source, and cells of photographed forms the target. How deep to
freeze, and which layers may learn how fast, are settings like all others; what they do
is measured on cells that nothing was trained on.
"""

# %%
# Both kinds of images go through `CellNormalizer`, which brings them to one size and
# one range of ink.
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator

from sktally import CellNormalizer, CNNClassifier, make_digit_cells

X, y = load_digits(return_X_y=True)
settings = {"size": 16, "padding": 1, "remove_dots": False}
white_ink = CellNormalizer(**settings, polarity="light-on-dark", remove_frame=False)
source_cells = white_ink.fit_transform(X.reshape(-1, 8, 8))


def target_cells(seed):
    """Return 500 clean cells of ten digits and their labels, as text."""
    made = make_digit_cells(
        500, classes="0123456789", degrade="photo", random_state=seed
    )
    cleaner = CellNormalizer(**{**settings, "remove_dots": True})
    return cleaner.fit_transform(made.images), made.target


# %%
# Pretrain on the source, then look at what it makes of the target untouched.
layers = {"filters": (16, 32), "hidden": (64,)}


def pretrained(seed):
    """Return a network that has learnt the source."""
    network = CNNClassifier(
        **layers,
        max_epochs=6,
        learning_rate=0.03,
        batch_size=128,
        schedule="one-cycle",
        random_state=seed,
    )
    return network.fit(source_cells, y.astype(str))


SEEDS, N_LABELS = range(3), (30, 60)
sources = {seed: pretrained(seed) for seed in SEEDS}
cells, labels = target_cells(0)
print(f"accuracy on the target, untouched: {sources[0].score(cells, labels):.3f}")

# %%
# `pretrained=` takes the weights over, and a report says which. `freeze_layers` counts
# weight layers from the first on; `unfreeze_epochs` releases them again one by one, and
# `layer_decay` lets earlier layers learn more slowly. The history shows it.
fine = {**layers, "max_epochs": 10, "learning_rate": 0.005, "batch_size": 20}
network = CNNClassifier(
    **fine,
    pretrained=FrozenEstimator(sources[0]),
    freeze_layers=3,
    unfreeze_epochs=4,
    random_state=0,
)
network.fit(cells[:60], labels[:60])
for kind, names in network.transfer_report_.items():
    print(f"{kind}: {names}")
print(network.history_[["epoch", "train_loss", "frozen_layers"]].iloc[::3])

# %%
# From scratch, and fine-tuned in seven ways, with 30 and with 60 labels.
ways = {
    "from scratch": None,
    "freeze 0": {"freeze_layers": 0},
    "freeze 1": {"freeze_layers": 1},
    "freeze 2": {"freeze_layers": 2},
    "freeze 3": {"freeze_layers": 3},
    "layer_decay 0.4": {"layer_decay": 0.4},
    "unfreeze from 3": {"freeze_layers": 3, "unfreeze_epochs": 4},
    "both": {"freeze_layers": 3, "unfreeze_epochs": 4, "layer_decay": 0.4},
}
rows = []
for seed in SEEDS:
    cells, labels = target_cells(seed)
    for n in N_LABELS:
        for way, options in ways.items():
            model = CNNClassifier(**fine, random_state=seed)
            if options is not None:
                source = FrozenEstimator(sources[seed])
                model.set_params(pretrained=source, **options)
            model.fit(cells[:n], labels[:n])
            rows.append((way, n, seed, model.score(cells[100:], labels[100:])))
scores = pd.DataFrame(rows, columns=["way", "labels", "seed", "accuracy"])
table = scores.groupby(["way", "labels"], sort=False).accuracy
table = table.agg(["mean", "std"]).unstack("labels")
print(f"accuracy on 400 other cells, mean and deviation of {len(SEEDS)} seeds")
print(table.round(3).to_string())

# %%
# A source helps most where labels are few. Frozen too deep, layers that suit other
# pens and papers cannot adapt. Differences within a deviation or so say nothing: with
# data of your own, put the settings into a grid search.
_, (ax, each) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
depths = [way for way in ways if way.startswith("freeze")]
for n, color in zip(N_LABELS, ("tab:blue", "tab:orange"), strict=True):
    mean, deviation = table["mean"][n], table["std"][n]
    ax.errorbar(
        range(4), mean[depths], deviation[depths], marker="o", color=color, capsize=3
    )
    ax.axhline(mean["from scratch"], color=color, linestyle=":")
    ax.annotate(f"{n} labels", (0.05, mean[depths[0]] + 0.01), color=color)
    ax.annotate("from scratch", (0.8, mean["from scratch"] + 0.01), color=color)
ax.set_xticks(range(4))
ax.set_xlabel("layers frozen, of 4")
ax.set_ylabel("accuracy on other cells of the target")
mean, deviation = table["mean"][60], table["std"][60]
each.errorbar(mean, list(ways), xerr=deviation, fmt="o", capsize=3)
each.invert_yaxis()
each.set_xlabel(f"accuracy with 60 labels, mean and deviation of {len(SEEDS)} seeds")
plt.show()
