"""Ink is placed the same wherever it is looked for."""

import numpy as np
import pytest

from sktally.cells._place import place_ink


@pytest.mark.parametrize("padding", [0, 4])
def test_sampling_only_where_ink_is_leaves_none_out(padding):
    rng = np.random.default_rng(0)
    ink = np.zeros((60, 38, 31), np.float32)
    box = np.zeros((60, 4), int)
    for one, edges in zip(ink, box, strict=True):
        top, left = rng.integers(0, (30, 24))
        edges[:] = top, left, top + rng.integers(4, 9), left + rng.integers(2, 8)
        one[top : edges[2], left : edges[3]] = rng.random(
            (edges[2] - top, edges[3] - left)
        )
    ink[0, 20, 3] = 1  # ink beside its box
    # A trace of ink in two corners makes every cell be looked at from end to end.
    whole = ink.copy()
    whole[:, 0, 0] += 1e-6
    whole[:, -1, -1] += 1e-6
    placed = [place_ink(cells, box, 28, padding) for cells in (ink, whole)]
    assert np.allclose(*placed, atol=1e-3)
    assert placed[0].max(axis=(1, 2)).min() > 0.3
