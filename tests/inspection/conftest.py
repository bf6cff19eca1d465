"""Pages read by a classifier that knows their cells by heart, and no open figures."""

import matplotlib
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

from sktally import TallyCropper, VoteCountAggregator, make_tally_pages

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@pytest.fixture(scope="session")
def made():
    return make_tally_pages(
        3, form="example", scale=0.5, degrade="none", random_state=0
    )


@pytest.fixture(scope="session")
def reader(made):
    """Read the made pages without a mistake: each cell is its own nearest neighbour."""
    steps = [
        ("crop", TallyCropper("example", cell_size=12)),
        ("votes", VoteCountAggregator(KNeighborsClassifier(1))),
    ]
    return Pipeline(steps).fit(made.pages, made.boxes)


@pytest.fixture
def cells():
    """Ten cells of which each has its own grey, from dark to light."""
    return np.repeat(np.arange(10, 110, 10), 12).reshape(10, 4, 3).astype(np.uint8)
