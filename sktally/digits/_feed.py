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
    weights : ndarray of float32, optional
        Of each image in the loss.
    chances : ndarray of float, optional
        Probability of each of the rows to be drawn, with replacement, when shuffled.
    """

    def __init__(self, images, targets=None, rows=None, *, weights=None, chances=None):
        self.images = images
        self.targets = targets
        self.rows = np.arange(len(images)) if rows is None else np.asarray(rows)
        self.weights = weights
        self.chances = None if chances is None else torch.from_numpy(chances)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int):
        images, targets = self.__getitems__([i])
        return images[0], targets[0]

    def __getitems__(self, which):
        """Return a batch of images and of targets, or of targets and weights.

        Targets are zeros where there are none.
        """
        rows = self.rows[np.asarray(which)]
        images = torch.from_numpy(self.images[rows])
        if self.targets is None:
            return images, torch.zeros(len(rows), dtype=torch.int64)
        targets = torch.from_numpy(self.targets[rows])
        if self.weights is None:
            return images, targets
        return images, (targets, torch.from_numpy(self.weights[rows]))

    def order(self, *, shuffle: bool) -> np.ndarray:
        """Return the order of one pass over the rows, from torch's generator."""
        n = len(self)
        if not shuffle:
            return np.arange(n)
        if self.chances is None:
            return torch.randperm(n).numpy()
        return torch.multinomial(self.chances, n, replacement=True).numpy()


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

    def __iter__(self) -> Iterator[tuple]:
        order = self.dataset.order(shuffle=self.shuffle)
        for rows in np.array_split(order, len(self)):
            yield self.dataset.__getitems__(rows)
