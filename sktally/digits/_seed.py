"""Seed torch for a while, one thread after the other."""

from __future__ import annotations

from contextlib import contextmanager
from threading import RLock

import torch

__all__ = ["seeded"]

_GENERATORS = RLock()


@contextmanager
def seeded(seed: int, device: str):
    """Seed torch inside the block and put its generators back afterwards.

    All threads share the generators: one block waits for the other.
    """
    cuda = [torch.device(device).index or 0] if device.startswith("cuda") else []
    with _GENERATORS, torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(cuda[0]):
                torch.cuda.manual_seed(seed)
        yield
