"""Model files: ``NAME.json`` says what it is, ``NAME.safetensors`` holds the weights.

Nothing here runs or imports what a file names. Every way a pair of files can be
damaged or hostile ends in a `ModelFormatError` that names the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import sklearn
import torch

import sktally
from sktally._bundled import bundled_files
from sktally._validate import is_there
from sktally.exceptions import ModelFormatError

__all__ = ["FORMAT", "bundled_models", "find_model", "read_model", "write_model"]

#: Number of the file format that is written; `read_model` knows all up to it.
FORMAT = 1
_MAX_JSON = 64 * 2**20  # bytes; a twelve-class model takes a few KiB
_REMEDY = "save the model again with save_model, or fetch the two files again"


def bundled_models() -> list[str]:
    """Return the names of the models that ship with sktally."""
    return list(bundled_files("models", ".json"))


def find_model(model: str | Path) -> Path:
    """Return the path of the .json of a bundled model or of a path, with or without
    its ending.

    Raises
    ------
    ModelFormatError
        If there is no such model.
    """  # noqa: D205
    if not isinstance(model, str | os.PathLike):
        raise ModelFormatError(
            "model: expected the name of a bundled model or the path of a saved one, "
            f"got {model!r:.60} ({type(model).__name__})"
        )
    path = _stem(model)
    bundled = bundled_files("models", ".json")
    if str(model) in bundled:
        return bundled[str(model)]
    found = path.with_name(path.name + ".json") if path.name else path
    if not (is_there(found) and found.is_file()):
        raise ModelFormatError(
            f"no model {str(model)!r}: {found} does not exist. Bundled models: "
            f"{', '.join(bundled) or 'none'}; for one of your own give the path that "
            "save_model was given"
        )
    return found


def _stem(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix in (".json", ".safetensors"):
        return path.with_suffix("")
    return path


def write_model(path: str | Path, content: dict, tensors: dict) -> Path:
    """Write `content` and `tensors` as a pair of files; return the .json's path.

    Parameters
    ----------
    path : str or path
        Where, with or without ending. The folder must exist.
    content : dict
        What JSON can hold.
    tensors : dict of str to ndarray
        Weights by name.
    """
    stem = _stem(path)
    if not (stem.name and is_there(stem.parent) and stem.parent.is_dir()):
        raise ModelFormatError(
            f"{stem.parent}: no such folder to save the model in; create it first"
        )
    weights = safetensors.numpy.save(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    )
    head = {
        "format": FORMAT,
        "versions": {
            "sktally": sktally.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "torch": torch.__version__,
        },
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps({**head, **content}, indent=1, allow_nan=False)
    target = stem.with_name(stem.name + ".json")
    try:
        stem.with_name(stem.name + ".safetensors").write_bytes(weights)
        target.write_text(text + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelFormatError(
            f"{target!s:.300}: cannot be written "
            f"({getattr(error, 'strerror', None) or error}); choose another name or "
            "folder, or free some space"
        ) from None
    return target


def read_model(model: str | Path) -> tuple[Path, dict, dict[str, np.ndarray]]:
    """Read a pair of model files.

    Parameters
    ----------
    model : str or path
        Name of a bundled model, or a path as given to `write_model`.

    Returns
    -------
    path : Path
        The .json file.
    content : dict
        As written, with ``format``, ``versions`` and ``weights_sha256``.
    tensors : dict of str to ndarray
        All finite, floating point.

    Raises
    ------
    ModelFormatError
        If a file is missing, damaged, of an unknown format, or the two do not
        belong together.
    """
    path = find_model(model)
    content = _read_json(path)
    number = content.get("format")
    if number != FORMAT or isinstance(number, bool):
        raise ModelFormatError(
            f"{path}: expected model format 1 to {FORMAT}, got {number!r}; if it was "
            "written by a newer sktally, upgrade sktally"
        )
    return path, content, _read_tensors(path, content)


def _read_json(path: Path) -> dict:
    size = path.stat().st_size
    if size > _MAX_JSON:
        raise ModelFormatError(
            f"{path}: expected a description of at most {_MAX_JSON} bytes, got {size}; "
            "this is no sktally model"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{path}: not JSON ({error}); {_REMEDY}") from None
    if not isinstance(content, dict):
        raise ModelFormatError(
            f"{path}: expected a JSON object, got {type(content).__name__}; {_REMEDY}"
        )
    return content


def _read_tensors(path: Path, content: dict) -> dict[str, np.ndarray]:
    file = path.with_suffix(".safetensors")
    try:
        if file.exists() and not file.is_file():  # a pipe would keep us waiting
            raise OSError(None, "no regular file")
        raw = file.read_bytes()
    except MemoryError:
        raise ModelFormatError(
            f"{file}: {file.stat().st_size} bytes do not fit into memory; {_REMEDY}"
        ) from None
    except OSError as error:
        raise ModelFormatError(
            f"{file}: the weights of {path.name} cannot be read ({error.strerror}); "
            "keep the two files of a model together under one name"
        ) from None
    digest = hashlib.sha256(raw).hexdigest()
    if digest != content.get("weights_sha256"):
        raise ModelFormatError(
            f"{file}: expected SHA-256 {content.get('weights_sha256')!r} as written in "
            f"{path.name}, got {digest!r}: the weights are damaged or of another "
            f"model; {_REMEDY}"
        )
    try:
        tensors = safetensors.numpy.load(raw)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ModelFormatError(
            f"{file}: not a safetensors file ({error}); {_REMEDY}"
        ) from None
    for name, value in tensors.items():
        if value.dtype.kind != "f":
            raise ModelFormatError(
                f"{file}: tensor {name!r}: expected floating point, got {value.dtype}; "
                f"{_REMEDY}"
            )
        if not np.isfinite(value).all():
            raise ModelFormatError(
                f"{file}: tensor {name!r} holds NaN or infinity; {_REMEDY}"
            )
    return tensors
