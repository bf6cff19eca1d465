"""Read digit images in the idx format of MNIST from a local folder."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sktally._validate import check_choice
from sktally.exceptions import TallyError

__all__ = ["load_mnist"]

_PREFIX = {"train": "train", "test": "t10k"}


def _read_bytes(folder: Path, stem: str) -> tuple[Path, bytes]:
    """Return the content of `stem`, gzipped or plain."""
    for name in (f"{stem}.gz", stem):
        path = folder / name
        if not path.exists():
            continue
        try:
            content = path.read_bytes()
            return path, gzip.decompress(content) if name.endswith(".gz") else content
        except (OSError, EOFError, zlib.error) as error:
            raise TallyError(
                f"{path}: damaged or unreadable gzip file ({error}); download it again"
            ) from None
    raise TallyError(
        f"{folder}: no {stem}.gz; expected the four files of MNIST as published, "
        "train-images-idx3-ubyte.gz and so on"
    )


def _read_idx(folder: Path, stem: str, n_dims: int) -> np.ndarray:
    path, content = _read_bytes(folder, stem)
    expected = bytes([0, 0, 8, n_dims])  # two zeros, unsigned byte, rank
    if content[:4] != expected:
        raise TallyError(
            f"{path}: not an idx file of unsigned bytes with {n_dims} axes: expected "
            f"magic {expected.hex()}, got {content[:4].hex() or 'nothing'}"
        )
    header = 4 + 4 * n_dims
    if len(content) < header:
        raise TallyError(f"{path}: torn inside its header; download it again")
    shape = tuple(np.frombuffer(content[4:header], ">u4").astype(int).tolist())
    n_bytes = math.prod(shape)
    if len(content) - header != n_bytes:
        raise TallyError(
            f"{path}: torn: its header announces {shape}, {n_bytes} bytes, and "
            f"{len(content) - header} follow; download it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def load_mnist(folder: str | Path, *, subset: str = "train") -> Bunch:
    """Load MNIST, or a set in the same format, from a folder on this machine.

    Nothing is downloaded. Both gzipped (``.gz``) and plain files are read.

    Parameters
    ----------
    folder : str or path
        Where ``train-images-idx3-ubyte.gz`` and its three companions lie.
    subset : {"train", "test"}, default="train"
        Training or test part.

    Returns
    -------
    Bunch
        images : ndarray of shape (n_samples, height, width)
            uint8, BRIGHT ink on black, 0 to 255; 28 x 28 for MNIST.
        target : ndarray of shape (n_samples,)
            str labels ``"0"`` to ``"9"``.

    Raises
    ------
    TallyError
        If a file is missing, damaged, not idx, or the two files disagree.

    See Also
    --------
    embed_digits : Paste such digits into tally-like cells.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to
    document recognition. Proceedings of the IEEE 86(11).

    Examples
    --------
    >>> from sktally.datasets import load_mnist
    >>> load_mnist("no/such/folder")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    TallyError: no/such/folder: no train-images-idx3-ubyte.gz; ...
    """
    check_choice("subset", subset, ("train", "test"))
    prefix = _PREFIX[subset]
    images = _read_idx(Path(folder), f"{prefix}-images-idx3-ubyte", 3)
    labels = _read_idx(Path(folder), f"{prefix}-labels-idx1-ubyte", 1)
    if len(images) != len(labels):
        raise TallyError(
            f"{folder}: {len(images)} images but {len(labels)} labels in subset "
            f"{subset!r}; the files do not belong together"
        )
    return Bunch(images=images, target=labels.astype(str))
