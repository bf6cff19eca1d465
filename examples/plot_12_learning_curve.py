"""
Watch a network learn, and see by which cells to judge it
=========================================================

The loss in training always falls. Whether the network learns digits, or the hands that
it is shown, is told by cells held out: but only if they are of other hands.
"""

# %%
# Cells of few writers, as from a few polling stations, and of many others.
import matplotlib.pyplot as plt

from sktally import CellNormalizer, CNNClassifier, TrainingDisplay, make_digit_cells

few = make_digit_cells(800, degrade="photo", n_writers=25, random_state=0)
others = make_digit_cells(600, degrade="photo", n_writers=300, random_state=1)
cleaner = CellNormalizer(size=20)
cells, cells_of_others = map(cleaner.fit_transform, (few.images, others.images))

# %%
# The same network twice, a fifth of the cells held out. In the first those are cells of
# the writers that it trains on. In the second, told which `groups` belong together,
# they are of other writers.
options = {
    "filters": (16, 32),
    "hidden": (64,),
    "learning_rate": 0.003,
    "max_epochs": 25,
    "early_stopping": True,
    "patience": 25,
    "validation_fraction": 0.2,
    "random_state": 0,
}
by_cell = CNNClassifier(**options).fit(cells, few.target)
by_writer = CNNClassifier(**options).fit(cells, few.target, groups=few.writer)

# %%
# What validation promised at the best epoch, and what comes true with other writers.
networks = {"held out by cell": by_cell, "held out by writer": by_writer}
for name, network in networks.items():
    promised = network.history_.valid_accuracy[network.history_.valid_loss.idxmin()]
    came_true = network.score(cells_of_others, others.target)
    print(f"{name}: promised {promised:.3f}, of others {came_true:.3f}")

# %%
# Held out by cell, validation follows training: the network knows the hands, and
# promises too much. Held out by writer, loss soon stops falling, while in training it
# goes on: from there on hands are learnt by heart. Early stopping puts back the weights
# of the star.
figure = plt.figure(figsize=(9, 7), layout="constrained")
for part, (name, network) in zip(
    figure.subfigures(2, 1), networks.items(), strict=True
):
    TrainingDisplay.from_estimator(network, figure=part)
    part.suptitle(name)
plt.show()
