"""One source of chance for all generators here."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

from sktally.exceptions import TallyError

__all__ = ["RandomState", "as_generator"]

RandomState = int | np.random.RandomState | np.random.Generator | None


def as_generator(random_state: RandomState) -> np.random.Generator:
    """Return a Generator for any random_state that scikit-learn takes, or for itself.

    Raises
    ------
    TallyError
        If it is neither None, an integer, a RandomState nor a Generator.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    try:
        seed = check_random_state(random_state).randint(2**31 - 1)
    except ValueError:
        raise TallyError(
            "random_state: expected None, an integer in [0, 2**32 - 1], a RandomState "
            f"or a Generator of numpy, got {random_state!r}"
        ) from None
    return np.random.default_rng(seed)
