import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sktally import CNNClassifier

# Networks this small gain nothing from threads, and lose much where other test
# processes share the cores.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits():
    """Cells (1797, 8, 8) of real handwriting, values 0..16, and their labels."""
    X, y = load_digits(return_X_y=True)
    return X.reshape(-1, 8, 8).astype(np.float32), y


@pytest.fixture(scope="session")
def small():
    """Settings that train in a moment."""
    return {
        "filters": (8, 16),
        "hidden": (32,),
        "learning_rate": 0.01,
        "max_epochs": 4,
        "batch_size": 64,
        "random_state": 0,
    }


@pytest.fixture(scope="session")
def fitted(digits, small):
    """A classifier of the ten digits as text; never refit it."""
    X, y = digits
    return CNNClassifier(**small).fit(X[:1000], y[:1000].astype(str))
