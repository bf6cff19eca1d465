"""Feed images and labels in whole batches, with no copy of the data set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset

__all__ = ["CellBatches", "CellDataset"]


class CellDataset(Dataset):
    """Images and targets, and the rows of them that belong to this set.

    Parameters
    ----------
    images : ndarray ``(n, height, width)`` or ``(n, height, width, 3)``
        May be read-only, such as a memory map.
    targets : ndarray
        int64 ``(n,)`` class codes or bool ``(n, n_classes)`` label sets.
    rows : ndarray of int, optional
        Which rows; all by default.
    """

    def __init__(self, images, targets=None, rows=None):
        self.images = images
        self.targets = targets
        self.rows = np.arange(len(images)) if rows is None else np.asarray(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int):
        images, targets = self.__getitems__([i])
        return images[0], targets[0]

    def __getitems__(self, which) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a batch of images and of targets (zeros where there are none)."""
        rows = self.rows[np.asarray(which)]
        images = torch.from_numpy(self.images[rows])
        if self.targets is None:
            return images, torch.zeros(len(rows), dtype=torch.int64)
        return images, torch.from_numpy(self.targets[rows])


class CellBatches:
    """Iterate over a `CellDataset` batch by batch, as skorch wants an iterator.

    Batches differ in size by one sample at most, so that none holds a single
    sample, which batch norm cannot digest.

    Parameters
    ----------
    dataset : CellDataset
        What to feed.
    batch_size : int
        Largest number of samples in a batch.
    shuffle : bool, default=False
        Draw a new order for every pass, from torch's generator.
    """

    def __init__(self, dataset: CellDataset, *, batch_size: int, shuffle: bool = False):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        n = len(self.dataset)
        order = torch.randperm(n).numpy() if self.shuffle else np.arange(n)
        for rows in np.array_split(order, len(self)):
            yield self.dataset.__getitems__(rows)
