"""Models, forms and stores made to attack: no code run, nothing touched, no flood.

Each is opened by a process of its own, which may not use more memory than a reader
takes, and which would leave a file behind if anything in what it opens were run.
"""

import json
import os
import pickle
import resource
import shutil
import sqlite3
import struct
import subprocess
import sys

import numpy as np
import pytest

from sktally import load_form
from sktally.digits._weights import find_model
from sktally.tables import Store

ADDRESSES = 8 * 2**30  # bytes; torch alone maps some
LIMIT = 60  # seconds
OPEN = """
import sys
from sktally import TallyError, load_form, load_model, load_reader
from sktally.tables import Store, verify, store_table
import resource
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def form(name):
    load_reader(load_form(name))
def store(name):
    with Store(name) as opened:
        list(verify(opened))
        store_table(opened)
kinds = {"model": load_model, "form": form, "store": store}
for line in sys.stdin:
    kind, name = line.rstrip("\\n").split(" ", 1)
    try:
        kinds[kind](name)
        print("opened", name, flush=True)
    except TallyError as error:
        print("refused", repr(str(error))[:300], flush=True)
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
print("MiB", used / 1024, flush=True)
"""


class Payload:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def safetensors(header, body=b""):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return struct.pack("<Q", len(text)) + text + body


def model_files(rng, marker):
    """Return .json and .safetensors of one hostile model."""
    source = find_model("default")
    text = source.read_text()
    weights = source.with_suffix(".safetensors").read_bytes()
    content = json.loads(text)
    n = struct.unpack("<Q", weights[:8])[0]
    header = json.loads(weights[8 : 8 + n])
    body = weights[8 + n :]
    names = [name for name in header if name != "__metadata__"]
    name = names[rng.integers(len(names))]
    evil = pickle.dumps(Payload(marker))
    how = int(rng.integers(0, 14))
    if how == 0:
        return text, evil
    if how == 1:
        return evil.decode("latin-1"), weights
    if how == 2:  # more than there is
        header[name]["data_offsets"] = [0, 2**50]
    elif how == 3:
        header[name]["shape"] = [2**40, 2**20]
    elif how == 4:
        header[name]["dtype"] = str(rng.choice(["F64", "BOOL", "I8", "X", "F8_E4M3"]))
    elif how == 5:
        return text, struct.pack("<Q", 2**62) + b"{}"
    elif how == 6:
        deep = "[" * 100_000
        return text.replace("{", '{"a": ' + deep, 1), weights
    elif how == 7:
        return text.replace("CNNClassifier", "os.system"), weights
    elif how == 8:
        return text.replace("default", f"../../{marker.name}"), weights
    elif how == 9:
        big = json.dumps(content).replace("12", "1" + "0" * int(rng.integers(5, 400)))
        return big, weights
    elif how == 10:
        flat = json.dumps(content)
        at = int(rng.integers(0, len(flat)))
        return flat[:at] + flat[at + int(rng.integers(1, 30)) :], weights
    elif how == 11:
        damaged = bytearray(weights)
        at = int(rng.integers(0, min(len(damaged), 4000)))
        damaged[at : at + 16] = rng.bytes(16)
        return text, bytes(damaged)
    elif how == 12:
        return text, weights[: int(rng.integers(0, len(weights)))]
    else:
        header[name]["shape"] = [-1]
    return text, safetensors(header, body)


def form_text(rng, marker):
    """Return the text of one hostile form."""
    text = load_form("example").to_toml()
    how = int(rng.integers(0, 11))
    if how == 0:
        return "a = " + "[" * 200_000
    if how == 1:
        return "[" + ".".join(["a"] * 50_000) + "]\n"
    if how == 2:
        return text.replace("width = ", "width = 1e308 #", 1)
    if how == 3:
        return text.replace(
            "width = ", f"width = {10 ** int(rng.integers(5, 18))} #", 1
        )
    if how == 4:
        return text + '\n[reference]\nfile = "../../../../etc/passwd"\n'
    if how == 5:
        return text + f'\n[reference]\nfile = "{marker.parent / "x.npz"}"\n'
    if how == 6:
        return text + "\n".join(f"[[fields]]\nname = '{i}'" for i in range(20_000))
    if how == 7:
        return "!!python/object/apply:os.mkdir ['" + str(marker) + "']"
    if how == 8:
        return text.replace("0.", "nan #", 1)
    if how == 9:
        at = int(rng.integers(0, len(text)))
        return text[:at] + text[at + int(rng.integers(1, 60)) :]
    return text.replace("1", "-" + "9" * int(rng.integers(1, 400)))


def store_file(rng, path):
    """Make one hostile store."""
    Store(path, make=True).close()
    how = int(rng.integers(0, 5))
    if how == 0:
        path.write_bytes(path.read_bytes()[: int(rng.integers(0, 9000))])
        return
    if how == 1:
        data = bytearray(path.read_bytes())
        for _ in range(20):
            data[int(rng.integers(0, len(data)))] = int(rng.integers(256))
        path.write_bytes(bytes(data))
        return
    base = sqlite3.connect(path)
    if how == 2:
        base.execute("CREATE VIEW files2 AS SELECT load_extension('x')")
    elif how == 3:
        base.execute("INSERT INTO runs VALUES (1, 'a', ?)", ("[" * 100_000,))
    else:
        base.execute("INSERT INTO runs VALUES (1, 'a', '{}')")
        base.execute("INSERT INTO sessions VALUES (1, 1, '{}')")
    base.commit()
    base.close()


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as POSIX does")
def test_hostile_files_are_refused(sizes, tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "hostile"
    folder.mkdir()
    marker = tmp_path / "was_here"
    lines = []
    for i in range(sizes.hostile):
        path = folder / f"m{i}.json"
        text, weights = model_files(rng, marker)
        path.write_text(text, errors="surrogateescape")
        path.with_suffix(".safetensors").write_bytes(weights)
        lines.append(f"model {path}")
        path = folder / f"f{i}.toml"
        path.write_text(form_text(rng, marker))
        lines.append(f"form {path}")
        if i % 4 == 0:
            store_file(rng, folder / f"s{i}.sqlite")
            lines.append(f"store {folder / f's{i}.sqlite'}")
    before = {p.name for p in tmp_path.iterdir()}
    found = subprocess.run(
        [sys.executable, "-c", OPEN],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        preexec_fn=limited,
        timeout=LIMIT + len(lines),
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    *answers, memory = found.stdout.splitlines()
    assert len(answers) == len(lines)
    # some damage is none: a renamed field, a byte of a weight
    refused = sum(answer.startswith("refused") for answer in answers)
    assert refused > 0.6 * len(lines), answers
    assert {p.name for p in tmp_path.iterdir()} == before and not marker.exists()
    assert float(memory.split()[1]) < 500, memory
    shutil.rmtree(folder)
