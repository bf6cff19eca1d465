"""
Which pixels decided: saliency
==============================

"Validate, validate, validate": a network may read a digit right for a wrong reason,
such as a remnant of the frame. :func:`sktally.inspection.saliency` maps what spoke for
a class and what spoke against it. It needs ``pip install 'sktally[explain]'``.
"""

# %%
# Four ways to ask. Occlusion hides one square after the other. Integrated gradients
# share out what cell and empty background differ by among the pixels, and CAM, a class
# activation map, among the places of a convolution. Grad-CAM weighs each map of the
# last convolution as a whole, and is coarse.
import matplotlib.pyplot as plt
import numpy as np

from sktally import load_model, make_digit_cells
from sktally.inspection import SaliencyDisplay

pipeline = load_model("default")
made = make_digit_cells(10, classes="0123456789", random_state=1)
cells = pipeline[:-1].transform(made.images)
methods = ["occlusion", "integrated-gradients", "cam", "grad-cam"]
shown = SaliencyDisplay.from_estimator(pipeline, cells, method=methods, n_steps=32)

# %%
# Why *not* another digit? ``target`` asks for the evidence for a class that was not
# read: here for an 8. Purple is what keeps the cell from being one.
SaliencyDisplay.from_estimator(pipeline, cells, target="8")

# %%
# With the background for a baseline, only ink can speak. Against a blurred cell, which
# is grey throughout, missing ink speaks too: the gaps that make a 3 no 8.
SaliencyDisplay.from_estimator(
    pipeline, cells, method="integrated-gradients", baseline="blur", n_steps=32
)

# %%
# Do maps show what the network used? Hide the tenth of the squares of 4 x 4 pixels that
# a map puts first: the probability must fall further than where chance chooses.
# Grad-CAM fails that, as networks with fully connected layers defeat it; so ``"all"``
# leaves it out. ``benchmarks/saliency.py`` does this with many cells.
classifier = pipeline[-1]
labels = classifier.predict(cells)
codes = np.searchsorted(classifier.classes_, labels)
rng = np.random.default_rng(0)


def after_hiding(values):
    """Return the probability of the label where the five first squares are hidden."""
    sums = values.reshape(-1, 7, 4, 7, 4).sum(axis=(2, 4)).reshape(-1, 49)
    first = np.zeros(sums.shape, bool)
    np.put_along_axis(first, np.argsort(-sums, axis=1)[:, :5], True, axis=1)
    first = first.reshape(-1, 7, 7).repeat(4, axis=1).repeat(4, axis=2)
    hidden = np.where(first, 0, cells).astype(np.float32)
    return hidden, classifier.predict_proba(hidden)[np.arange(len(cells)), codes]


ways = {**shown.maps, "by chance": rng.random(cells.shape)}
figure, axes = plt.subplots(
    len(ways), len(cells), figsize=(9, 5.6), layout="constrained"
)
for row, (name, values) in zip(axes, ways.items(), strict=True):
    hidden, proba = after_hiding(values)
    print(f"{name}: mean probability of what was read, {proba.mean():.3f}")
    for ax, image, p in zip(row, hidden, proba, strict=True):
        ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(f"{p:.2f}", fontsize=8)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name.replace("-gra", "\ngra"), fontsize=8, rotation=0, ha="right")
figure.suptitle("What was read, with its most telling tenth hidden", fontsize=10)
plt.show()
