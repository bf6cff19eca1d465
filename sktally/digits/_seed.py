"""Seed torch for a while, one thread after the other."""

from __future__ import annotations

import os
from contextlib import contextmanager
from threading import RLock

import torch

__all__ = ["seeded"]

_GENERATORS = RLock()


def _renew() -> None:
    """Make a new lock in a forked process: who held the old one is not in it."""
    global _GENERATORS
    _GENERATORS = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


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
