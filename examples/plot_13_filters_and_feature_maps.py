"""
What a network looks for: filters and feature maps
==================================================

A convolution compares each spot of a cell with its filters, and hands the answers on as
maps: the next layer sees no pixels, only where the filters before it found something.
"""

# %%
# The bundled network, and cells as they leave `CellNormalizer`: what the network is
# given.
import matplotlib.pyplot as plt

from sktally import CNNClassifier, load_model, make_digit_cells
from sktally.inspection import FeatureMapsDisplay, FiltersDisplay

pipeline = load_model("default")
made = make_digit_cells(300, classes="0123456789", random_state=1)
cells = pipeline[:-1].transform(made.images)

# %%
# The first layer: filters of 3 x 3 pixels. Orange is where a filter wants ink, and
# purple where it wants none: edges, corners and ends of strokes.
FiltersDisplay.from_estimator(pipeline)

# %%
# Filters of later layers see maps rather than pixels, one part of a filter for each
# map. To people they say little; what they make of a cell says more.
FiltersDisplay.from_estimator(pipeline, layer=1, max_inputs=8)

# %%
# A cell on its way through the layers. Maps become smaller, and there are more of them:
# from where ink is, over pieces of strokes, to parts of digits.
FeatureMapsDisplay.from_estimator(pipeline, cells[0])

# %%
# A network that learns for a moment only, with filters of 5 x 5: they still look much
# like the noise that they began as, and most of what it can do is the choice of maps.
small = CNNClassifier(
    filters=(12, 24),
    kernel_size=5,
    hidden=(32,),
    max_epochs=10,
    learning_rate=0.005,
    random_state=0,
)
small.fit(cells, made.target)
_, axes = plt.subplots(
    2, figsize=(8.5, 4), height_ratios=(1, 2.6), layout="constrained"
)
FiltersDisplay.from_estimator(small, ax=axes[0])
FeatureMapsDisplay.from_estimator(small, cells[1], max_maps=10, ax=axes[1])
plt.show()
