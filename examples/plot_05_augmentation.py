"""
Change training cells at random, and look at what that does
===========================================================

Labels are few; pens, cameras and forms are many. `augment=` draws a new variant of each
training cell in each epoch. A setting is right where a person still reads the digit, so
look before you train: :func:`sktally.digits.plot_augmentation` draws the picture.
"""

# %%
# Some cells as they leave `CellNormalizer`, and the preset ``"tally"``: the first
# column is the cell itself.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from sktally import CellNormalizer, CNNClassifier, TallyError, make_digit_cells
from sktally.digits import AUGMENT_PRESETS, augment_cells, plot_augmentation

cleaner = CellNormalizer(size=28)
made = make_digit_cells(5, degrade="scan", classes="0123456789", random_state=7)
cells = cleaner.fit_transform(made.images)
plot_augmentation(cells, augment="tally", random_state=0)

# %%
# The preset is a dict of ranges, to be changed at will. Here shadows and JPEG are added
# to it, and the cells are raw: what cleaning takes out, nothing has to be learnt about.
print(AUGMENT_PRESETS["tally"])
more = {**AUGMENT_PRESETS["tally"], "shadow": 0.5, "jpeg": 0.7}
plot_augmentation(made.images, augment=more, random_state=0)

# %%
# Every setting by itself, on one cell, at a strength that shows.
strong = {
    "rotation": 25,
    "shift": 0.2,
    "zoom": 0.4,
    "shear": 25,
    "elastic": 0.05,
    "stroke": 1,
    "contrast": 1,
    "brightness": 2,
    "noise": 0.6,
    "blur": 1,
    "lines": 1,
    "gaps": 1,
    "shadow": 0.7,
    "jpeg": 1,
}
_, axes = plt.subplots(7, 2, figsize=(8, 7), layout="constrained")
eight = np.repeat(cells[:1], 8, axis=0)
for ax, (name, value) in zip(axes.T.ravel(), strong.items(), strict=True):
    variants = augment_cells(eight, augment={name: value}, random_state=0)
    ax.imshow(np.hstack(variants), cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"{name}={value}", fontsize="small", loc="left")
    ax.set_axis_off()

# %%
# Flips are refused where a label is a number. They are for other images, whose classes
# have names.
flips = {"flip_horizontal": 0.5}
network = CNNClassifier(filters=(4,), hidden=(), max_epochs=1, augment=flips)
try:
    network.fit(cells, made.target)
except TallyError as error:
    print(error)
print(network.fit(cells, ["stamp", "photo"] * 2 + ["stamp"]).n_epochs_, "epoch run")

# %%
# What is it worth? Networks learn 150 cells of clean scans and read 400 photographed
# ones, which are more worn than anything they saw.
geometry = ("rotation", "shift", "zoom", "shear", "elastic")
ways = {
    "none": None,
    "geometry": {name: AUGMENT_PRESETS["tally"][name] for name in geometry},
    "tally": "tally",
    "tally, shadow, jpeg": more,
}
SEEDS = range(3)
scores = pd.DataFrame(index=list(SEEDS), columns=list(ways), dtype=float)
small = CellNormalizer(size=20, padding=2)
for seed in SEEDS:
    options = {"classes": "0123456789", "random_state": seed}
    train = make_digit_cells(150, degrade="scan", **options)
    options["random_state"] = 100 + seed
    test = make_digit_cells(400, degrade="photo", **options)
    X_train, X_test = small.fit_transform(train.images), small.transform(test.images)
    for way, augment in ways.items():
        model = CNNClassifier(
            filters=(16, 32),
            hidden=(64,),
            max_epochs=20,
            learning_rate=0.01,
            schedule="one-cycle",
            batch_size=50,
            augment=augment,
            random_state=seed,
        )
        model.fit(X_train, train.target)
        scores.loc[seed, way] = model.score(X_test, test.target)
print("accuracy on photographed cells, a row for each seed")
print(scores.round(3).to_string())

# %%
# Compare the columns row by row, and by how much rows differ, before you believe in
# one. Geometry is what cleaning leaves as it is. Shadows it takes out, so that there is
# little to gain from learning about them here, and more to learn in as many epochs.
_, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for seed in SEEDS:
    ax.plot(scores.columns, scores.loc[seed], marker="o", label=f"seed {seed}")
ax.set_ylabel("accuracy")
ax.legend()
plt.show()
