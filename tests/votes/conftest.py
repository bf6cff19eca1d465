"""Tallies whose cells are noisy copies of twelve fixed patterns."""

import numpy as np
import pytest

from sktally.votes import CLASSES, labels_to_boxes

SHAPE = (6, 5)  # height, width: not square, so that a swap shows


def patterns():
    return np.random.default_rng(7).random((len(CLASSES), *SHAPE)).astype(np.float32)


def make_labels(rng, n_tallies, n_fields, n_places):
    """Draw digits, with the leading zeros written, crossed or left empty."""
    labels = rng.integers(0, 10, (n_tallies, n_fields, n_places))
    significant = rng.integers(0, n_places, (n_tallies, n_fields, 1))
    leading = np.arange(n_places) < significant
    labels[leading] = rng.choice([0, 10, 11], leading.sum())
    first = np.argmax(~leading, axis=-1)[..., None]
    drawn = np.take_along_axis(labels, first, axis=-1)
    # a first digit 0 after x or _ would make the following places ambiguous: none is
    np.put_along_axis(labels, first, np.maximum(drawn, 1), axis=-1)
    filler = labels >= 10
    after_zero = np.logical_or.accumulate(labels == 0, axis=-1)
    labels[filler & after_zero] = 0
    return labels


def make_cells(labels, rng, noise=0.05):
    cells = patterns()[labels]
    cells = cells + rng.normal(0, noise, cells.shape).astype(np.float32)
    cells[labels < 0] = np.nan
    return cells.astype(np.float32)


@pytest.fixture
def tallies():
    """Return cells of 40 tallies, 2 fields x 3 places, their labels and boxes."""
    rng = np.random.default_rng(0)
    labels = make_labels(rng, 40, 2, 3)
    return make_cells(labels, rng), labels, labels_to_boxes(labels)


@pytest.fixture
def padded_tallies():
    """Return tallies whose second field has two places and whose page 3 is unread."""
    rng = np.random.default_rng(1)
    labels = make_labels(rng, 40, 2, 3)
    labels[:, 1, 0] = -1
    boxes = labels_to_boxes(labels)
    cells = make_cells(labels, rng)
    cells[3] = np.nan
    return cells, labels, boxes
