"""Turn estimator parameters and fitted values into JSON and back, nothing executed.

Numbers, strings, None and lists stand as they are; everything else is an object
with one telling key: ``tuple``, ``dict``, ``items`` (of a dict whose keys are not all
strings), ``number`` (not finite), ``array`` with its ``dtype``, ``tensor``
(floating-point arrays, by name in the weights file), and whatever the `special` hooks
of the caller add.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sktally.exceptions import ModelFormatError

__all__ = ["decode", "encode"]

_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_DTYPES = ("bool", *_INTEGERS, "float64", "str", "object")
# What arrays of other types than integers hold as JSON.
_ITEMS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "float64": (int, float),
    "str": (str,),
    "object": (str, int, float, bool, type(None)),
}
_KEYS = (str, int, float, bool, np.generic)
_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode(value, tensors: dict, place: str, special: Callable | None = None):
    """Return `value` as JSON; floating-point arrays go into `tensors`.

    Parameters
    ----------
    value : object
        What to encode.
    tensors : dict
        Filled with float arrays under their place.
    place : str
        Where the value stands, for messages and for tensor names.
    special : callable, optional
        ``special(value, place)`` returns a dict for values that it knows, or None.

    Raises
    ------
    ModelFormatError
        If `value` cannot be written.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": str(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        items = [
            encode(item, tensors, f"{place}.{i}", special)
            for i, item in enumerate(value)
        ]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {
            "dict": {
                key: encode(item, tensors, f"{place}.{key}", special)
                for key, item in value.items()
            }
        }
    if isinstance(value, dict) and all(isinstance(key, _KEYS) for key in value):
        pairs = [list(pair) for pair in value.items()]
        return {"items": encode(pairs, tensors, place, special)}
    if isinstance(value, np.ndarray):
        return _encode_array(value, tensors, place)
    found = special(value, place) if special else None
    if found is None:
        raise ModelFormatError(
            f"{place}: a {type(value).__name__} cannot be saved; expected numbers, "
            "strings, None, lists, tuples, dicts, arrays, a TallyForm or an estimator "
            "of sktally. Pickle the model instead, for your own use only"
        )
    return found


def _encode_array(value: np.ndarray, tensors: dict, place: str) -> dict:
    if value.dtype in (np.float32, np.float16):
        tensors[place] = value
        return {"tensor": place}
    name = "str" if value.dtype.kind == "U" else value.dtype.name
    plain = all(isinstance(v, (str, int, float, type(None))) for v in value.flat)
    if name not in _DTYPES or (name == "object" and not plain):
        raise ModelFormatError(
            f"{place}: an array of {value.dtype} cannot be saved; expected bool, "
            "integers, floats or strings"
        )
    return {"array": value.tolist(), "dtype": name}


def decode(node, tensors: dict, place: str, special: Callable | None = None):
    """Return the value that `encode` wrote.

    Parameters
    ----------
    node : object
        From JSON.
    tensors : dict
        Arrays by name.
    place : str
        For messages.
    special : callable, optional
        ``special(node, place)`` for objects with any other key.

    Raises
    ------
    ModelFormatError
        If `node` is nothing that `encode` writes.
    """
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    if isinstance(node, list):
        return _decode_items(node, tensors, place, special)
    if "tuple" in node and isinstance(node["tuple"], list):
        return tuple(_decode_items(node["tuple"], tensors, place, special))
    if "dict" in node and isinstance(node["dict"], dict):
        return {
            key: decode(item, tensors, f"{place}.{key}", special)
            for key, item in node["dict"].items()
        }
    if isinstance(node.get("items"), list):
        return _decode_dict(node, tensors, place, special)
    if isinstance(node.get("number"), str) and node["number"] in _NUMBERS:
        return _NUMBERS[node["number"]]
    if isinstance(node.get("tensor"), str):
        if node["tensor"] not in tensors:
            raise ModelFormatError(
                f"{place}: tensor {node['tensor']!r} is not in the weights file"
            )
        return tensors[node["tensor"]]
    if isinstance(node.get("array"), list) and node.get("dtype") in _DTYPES:
        return _decode_array(node, place)
    if special is None:
        raise _unknown(node, place)
    return special(node, place)


def _decode_items(items: list, tensors, place, special) -> list:
    return [
        decode(item, tensors, f"{place}.{i}", special) for i, item in enumerate(items)
    ]


def _decode_dict(node: dict, tensors, place, special) -> dict:
    pairs = _decode_items(node["items"], tensors, place, special)
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) not in _KEYS:
            raise _unknown(node, place)
    return dict(pairs)


def _decode_array(node: dict, place: str) -> np.ndarray:
    expected = _ITEMS.get(node["dtype"], (int,))
    try:
        items = np.array(node["array"], dtype=object).flat
        # NumPy would cut 1.5 to 1, and take any number for True
        other = next((v for v in items if type(v) not in expected), None)
        if other is not None:
            raise ValueError(f"{other!r:.60}")
        return np.array(node["array"], dtype=node["dtype"])
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelFormatError(
            f"{place}: expected an array of {node['dtype']}, got other values ({error})"
        ) from None


def _unknown(node: dict, place: str) -> ModelFormatError:
    return ModelFormatError(
        f"{place}: expected a value as save_model writes them, got an object with "
        f"keys {sorted(node)[:5]}"
    )
