"""
Sure, and wrong: what happens to confidence where images get worse
==================================================================

Section 4 of Torres and Cantú (2022) warns that networks know nothing of what they never
saw. Turn a digit on its side: a network reads it all the same, and is nearly as sure.
"""

# %%
# Cells are turned, moved, shaded, bleached, blurred and covered with noise, ever more.
# Above each step stands the first cell, and what was read on it. What is shaded orange
# is confidence without ground.
import matplotlib.pyplot as plt

from sktally import CellNormalizer, CNNClassifier, load_model, make_digit_cells
from sktally.inspection import StressDisplay

pipeline = load_model("default")
made = make_digit_cells(50, classes="0123456789", degrade="scan", random_state=3)
shown = StressDisplay.from_estimator(pipeline, made.images, made.target)

# %%
# The same as a table. `CellNormalizer` takes out shadows and stretches contrast, so
# that these cost little before it is too late.
table = shown.curves
print(table.groupby("change", sort=False)[["accuracy", "confidence"]].min().round(3))

# %%
# A network can learn about what it may meet. Two alike learn the same cells, one of
# them turned by up to 45 degrees: it stays right where the other one fails. Beyond what
# it has seen, it too is sure and wrong. Nothing but checked pages of the kind that is
# to be read tells what confidence is worth.
cleaner = CellNormalizer(size=20, padding=2)
train = make_digit_cells(400, classes="0123456789", degrade="scan", random_state=0)
learnt = cleaner.fit_transform(train.images)
read = cleaner.transform(made.images)
turns = {"rotation": [0, 10, 20, 30, 45, 60, 90]}
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), sharey=True, layout="constrained")
ways = {"as they are": None, "turned by up to 45 degrees": {"rotation": 45}}
for ax, (name, augment) in zip(axes, ways.items(), strict=True):
    network = CNNClassifier(
        filters=(16, 32),
        hidden=(64,),
        max_epochs=14,
        learning_rate=0.01,
        schedule="one-cycle",
        batch_size=50,
        augment=augment,
        random_state=0,
    )
    network.fit(learnt, train.target)
    turned = StressDisplay.from_estimator(
        network, read, made.target, changes=turns, axes=[ax]
    )
    ax.set_xlabel(f"degrees; learnt from cells {name}")
    print(name)
    print(turned.curves[["amount", "accuracy", "confidence"]].round(2).to_string())
plt.show()
