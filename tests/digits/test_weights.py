import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from sktally.digits._build import build_network
from sktally.digits._codec import decode, encode
from sktally.digits._options import check_network
from sktally.digits._weights import bundled_models, find_model, read_model, write_model
from sktally.exceptions import ModelFormatError, TallyError

NETWORK = {
    "channels": 1,
    "height": 4,
    "width": 4,
    "n_classes": 2,
    "filters": (2,),
    "kernel_size": 3,
    "hidden": (),
    "dropout": 0.1,
    "batch_norm": True,
}
SHAPES = {
    "conv1.weight": (2, 1, 3, 3),
    "conv1.bias": (2,),
    "conv1_norm.weight": (2,),
    "conv1_norm.bias": (2,),
    "conv1_norm.running_mean": (2,),
    "conv1_norm.running_var": (2,),
    "output.weight": (2, 8),
    "output.bias": (2,),
}


def weights():
    return {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plain)
def test_plain_values_come_back(value):
    text = json.dumps(encode(value, {}, "value"), allow_nan=False)
    assert decode(json.loads(text), {}, "value") == value


@pytest.mark.parametrize(
    "array",
    [
        np.array(["0", "x", "_"]),
        np.array([2, 5, 9]),
        np.array([2, 5], dtype=np.int32),
        np.array([True, False]),
        np.array([1.5, 2.5]),
        np.array(["a", 3], dtype=object),
        np.array([7], dtype=np.uint8),
        np.zeros((2, 3), np.float32),
        np.float16([1]),
    ],
)
def test_arrays_come_back_with_their_dtype(array):
    tensors = {}
    node = json.loads(json.dumps(encode(array, tensors, "a.b")))
    again = decode(node, tensors, "a.b")
    assert again.dtype.kind == array.dtype.kind and (again == array).all()
    assert set(tensors) == (
        {"a.b"} if array.dtype.itemsize in (2, 4) and array.dtype.kind == "f" else set()
    )


def test_odd_numbers_and_paths():
    assert encode(np.int64(3), {}, "v") == 3
    assert encode(Path("a") / "b", {}, "v") == str(Path("a") / "b")
    weights = {0: 1.5, np.int64(1): 2, True: (3,), "a": None}
    assert decode(encode(weights, {}, "v"), {}, "v") == weights
    assert math.isnan(decode(encode(math.nan, {}, "v"), {}, "v"))
    assert decode(encode((math.inf, -math.inf), {}, "v"), {}, "v")[1] == -math.inf


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {(1,): 2},
        {None: 2},
        {3, 4},
        np.array([object()]),
        np.zeros(2, complex),
    ],
)
def test_what_cannot_be_written(value):
    with pytest.raises(ModelFormatError, match=r"^here: .* cannot be saved"):
        encode(value, {}, "here")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({}, r"expected a value as save_model writes them, got an object with keys \["),
        ({"tuple": 3}, r"got an object with keys \['tuple'\]"),
        ({"number": "many"}, r"got an object with keys \['number'\]"),
        ({"number": ["nan"]}, r"got an object with keys \['number'\]"),
        ({"tensor": "none"}, "tensor 'none' is not in the weights file"),
        ({"array": [1], "dtype": "U1000000000"}, "got an object with keys"),
        ({"array": ["a"], "dtype": "int64"}, "expected an array of int64, got other"),
        ({"array": [[1], [1, 2]], "dtype": "int64"}, "expected an array of int64"),
        ({"array": [2**80], "dtype": "int64"}, "expected an array of int64"),
        ({"array": [2, 1.5], "dtype": "int64"}, "got other values .1.5."),
        ({"array": [True], "dtype": "int64"}, "got other values .True."),
        ({"array": [[0], [2]], "dtype": "bool"}, "expected an array of bool, got"),
        ({"array": [1, "a"], "dtype": "str"}, "expected an array of str, got"),
        ({"dict": [1]}, "got an object with keys"),
        ({"items": [1]}, r"got an object with keys .'items'"),
        ({"items": [[1]]}, r"got an object with keys .'items'"),
        ({"items": [[[1], 2]]}, r"got an object with keys .'items'"),
    ],
)
def test_what_cannot_be_read(node, message):
    with pytest.raises(ModelFormatError, match=f"^here: .*{message}"):
        decode(node, {}, "here")


def test_pair_comes_back(tmp_path):
    target = write_model(tmp_path / "my.v1", {"model": {"a": 1}}, weights())
    assert target == tmp_path / "my.v1.json"
    for name in ("my.v1", "my.v1.json", "my.v1.safetensors"):
        path, content, tensors = read_model(str(tmp_path / name))
        assert path == target and content["model"] == {"a": 1}
        assert content["format"] == 1 and set(content["versions"]) == {
            "sktally",
            "python",
            "numpy",
            "scikit-learn",
            "torch",
        }
        assert all((tensors[n] == w).all() for n, w in weights().items())


def test_folder_must_exist(tmp_path):
    with pytest.raises(ModelFormatError, match="no such folder to save the model in"):
        write_model(tmp_path / "a" / "b", {}, {})


def test_missing_model_lists_the_bundled_ones(tmp_path):
    with pytest.raises(
        ModelFormatError, match=r"no model 'nothing': .* Bundled models: "
    ):
        find_model("nothing")
    for name in bundled_models():
        assert find_model(name).is_file()


def repack(path, raw):
    """Write weights that fit the description by their hash."""
    path.with_suffix(".safetensors").write_bytes(raw)
    content = json.loads(path.read_text())
    content["weights_sha256"] = hashlib.sha256(raw).hexdigest()
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[1, 2]", "expected a JSON object, got list"),
        (b"{}", "expected model format 1 to 1, got None; if it was written by a newer"),
        (b'{"format": 2}', "expected model format 1 to 1, got 2"),
        (b'{"format": true}', "expected model format 1 to 1, got True"),
        (b'{"format": 1}', "expected SHA-256 None as written"),
    ],
)
def test_damaged_description(tmp_path, text, message):
    path = write_model(tmp_path / "m", {}, weights())
    path.write_bytes(text)
    with pytest.raises(ModelFormatError, match=message):
        read_model(path)


def test_huge_description(tmp_path):
    path = write_model(tmp_path / "m", {}, {})
    with path.open("ab") as file:
        file.truncate(70 * 2**20)
    with pytest.raises(ModelFormatError, match="at most 67108864 bytes, got 73400320"):
        read_model(path)


def test_damaged_weights(tmp_path):
    path = write_model(tmp_path / "m", {}, weights())
    file = path.with_suffix(".safetensors")
    raw = file.read_bytes()
    file.write_bytes(raw[:-1] + b"\1")
    with pytest.raises(
        ModelFormatError, match="weights are damaged or of another model"
    ):
        read_model(path)
    for bad in (b"", raw[:40], b"\xff" * 64, (2**60).to_bytes(8, "little") + b"{}"):
        repack(path, bad)
        with pytest.raises(ModelFormatError, match="m.safetensors: not a safetensors"):
            read_model(path)
    header = b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}'
    repack(path, len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    with pytest.raises(ModelFormatError, match="not a safetensors"):
        read_model(path)
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    repack(path, len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    with pytest.raises(ModelFormatError, match=r"not a safetensors|floating point"):
        read_model(path)
    file.unlink()
    with pytest.raises(
        ModelFormatError, match="keep the two files of a model together"
    ):
        read_model(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([1, 2]), "tensor 'a': expected floating point, got int64"),
        (np.array([1, np.nan], np.float32), "tensor 'a' holds NaN or infinity"),
        (np.array([np.inf], np.float32), "tensor 'a' holds NaN or infinity"),
    ],
)
def test_wrong_tensors(tmp_path, value, message):
    path = write_model(tmp_path / "m", {}, {})
    repack(path, safetensors.numpy.save({"a": value}))
    with pytest.raises(ModelFormatError, match=message):
        read_model(path)


def test_network_of_stored_weights():
    module = build_network(NETWORK, weights(), place="m")
    assert not any(t.is_meta for t in module.state_dict().values())
    half = {name: value.astype(np.float16) for name, value in weights().items()}
    assert build_network(NETWORK, half, place="m").conv1.weight.element_size() == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filters": (10**9,)}, r"filters\[0\]: expected an integer in \[1, 65536\]"),
        ({"filters": (65536,) * 10}, "tensor 'conv1.weight': expected shape .65536, 1"),
        ({"filters": "conv"}, "filters: expected a tuple of 1 to 10 integers"),
        ({"filters": (True,)}, r"filters\[0\]: expected an integer, got True"),
        ({"height": 10**8}, r"height: expected an integer in \[1, 4096\]"),
        ({"n_classes": 3}, r"tensor 'output.weight': expected shape \(3, 8\), got \(2"),
        ({"hidden": (9,)}, r"tensor 'dense1.weight': expected shape .*, got none"),
        ({"batch_norm": False}, "unexpected tensors .'conv1_norm.bias'"),
        ({"batch_norm": 1}, "batch_norm: expected True or False, got 1"),
        ({"dropout": "0.1"}, "dropout: expected a number, got '0.1'"),
        ({"kernel_size": 2}, "kernel_size: expected an odd number, got 2"),
        ({"more": 1}, "network: expected .*, got .*'more'"),
    ],
)
def test_network_that_does_not_fit(change, message):
    with pytest.raises(ModelFormatError, match=f"^m: .*{message}"):
        build_network({**NETWORK, **change}, weights(), place="m")


def test_network_must_be_a_dict():
    with pytest.raises(TallyError, match="here: expected .* got 'net'"):
        check_network("net", "here")


def test_negative_variance():
    bad = weights() | {"conv1_norm.running_var": -np.ones(2, np.float32)}
    with pytest.raises(ModelFormatError, match="'conv1_norm.running_var': a variance"):
        build_network(NETWORK, bad, place="m")


@pytest.mark.parametrize("model", [None, 3, ["default"]])
def test_what_names_no_model_is_refused(model):
    with pytest.raises(ModelFormatError, match="model: expected the name of a bundled"):
        read_model(model)
