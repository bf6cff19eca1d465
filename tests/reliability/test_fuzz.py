"""Any bytes, names, forms, models, lists, stores: read, or refused in words of ours.

A few examples, always the same, or very many others with SKTALLY_RELIABILITY=full.
"""

import copy
import csv
import hashlib
import io
import json
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sktally import (
    CNNClassifier,
    TallyError,
    TallyForm,
    list_pages,
    load_form,
    load_model,
    load_reader,
    make_tally_pages,
    read_page,
    read_to_store,
    save_model,
)
from sktally.pages._read import read_reduced, split_name
from sktally.tables import Store, import_edits, join_stations, store_table
from sktally.tables._image import PageName, printable

FULL = os.environ.get("SKTALLY_RELIABILITY") == "full"
LONGEST = 10.0  # seconds for one example on a busy machine; a hang is longer


def fuzz(few):
    """Run `few` examples in CI, and twenty times as many in full."""
    return settings(
        max_examples=few * 20 if FULL else few,
        derandomize=not FULL,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def in_our_words(file):
    """Let errors of ours pass if they name the file; no other may come out."""
    started = time.perf_counter()
    try:
        yield
    except TallyError as error:
        assert Path(file).name in str(error), error
        assert len(str(error)) < 10_000
    assert time.perf_counter() - started < LONGEST


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def picture_files():
    """Return a small page in every kind of file that is read."""
    page = np.random.default_rng(0).integers(0, 256, (60, 45), dtype=np.uint8)
    found = []
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "PDF"):
        stream = io.BytesIO()
        Image.fromarray(page).save(stream, kind)
        found.append(stream.getvalue())
    return found


FILES = picture_files()
HEADS = st.sampled_from(FILES).flatmap(
    lambda file: st.integers(2, 700).map(lambda n: file[:n])
)
TAILS = st.sampled_from(FILES).flatmap(
    lambda file: st.integers(0, 700).map(lambda n: file[-n:] if n else b"")
)


@fuzz(300)
@given(
    head=st.one_of(HEADS, HEADS, st.just(b"")),
    middle=st.binary(max_size=2000),
    tail=st.one_of(TAILS, st.just(b"")),
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow, of damaged tags
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_any_bytes_are_a_page_or_told(folder, head, middle, tail):
    path = folder / "page.bin"
    path.write_bytes(head + middle + tail)
    for read in (read_page, lambda name: read_reduced(name, 100)[0]):
        with in_our_words(path):
            page = read(path)
            assert page.dtype == np.uint8 and page.ndim == 2 and min(page.shape) >= 32
    assert all(name.startswith(str(path)) for name in list_pages(path))


# no slash: the examples stay in the folder
LETTERS = st.characters(blacklist_characters="/", blacklist_categories=())
PARTS = st.sampled_from(["a.pdf", "#page=", "#", "0", "12", "0" * 5000, "*", "\0", "~"])


@fuzz(200)
@given(st.lists(st.one_of(PARTS, st.text(LETTERS, max_size=300)), max_size=6))
def test_any_name_is_of_a_page_or_told(folder, monkeypatch, parts):
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    monkeypatch.chdir(empty)
    name = "x" + "".join(parts)
    page = PageName.parse(name)
    assert page.number >= 1 and page.file.encode()
    assert printable(name).encode()
    with pytest.raises(TallyError):  # there is no such file
        read_page(name)
    with suppress(TallyError):
        assert list_pages(name) == [name]


@fuzz(50)
@given(st.text(LETTERS, min_size=1, max_size=50), st.integers(1, 10**9 - 1))
def test_the_number_behind_a_name_is_found(folder, file, number):
    path = folder / "nowhere" / file.replace("#page=", "")
    assert split_name(f"{path}#page={number:03d}") == (path, number)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(5, 4000).map(lambda n: 10**n),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["../../etc/passwd", "\x7f", "n" * 5000, [], {}, [[]], [1e308]]),
    st.lists(st.floats(), max_size=5),
)


def replaced(content, data):
    """Return plain data with some of its values taken out or put in the place of."""
    content = copy.deepcopy(content)
    for _ in range(data.draw(st.integers(1, 3))):
        node = content
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = data.draw(st.sampled_from(keys))
            inner = node[key]
            if (
                not isinstance(inner, dict | list)
                or not inner
                or data.draw(st.sampled_from([False, False, True]))
            ):
                break
            node = inner
        if len(node) > 1 and data.draw(st.sampled_from([False, False, True])):
            del node[key]
        else:
            node[key] = copy.deepcopy(data.draw(VALUES))
    return content


EXAMPLE = load_form("example").model_dump(mode="json", exclude_none=True)


def plain(form):
    return form.model_dump(mode="json")


@fuzz(80)
@given(st.data())
def test_any_content_is_a_form_or_told(folder, data):
    path = folder / "form.toml"
    with in_our_words("form"):
        form = TallyForm.from_dict(replaced(EXAMPLE, data))
        form.to_toml(path)
        assert plain(load_form(path)) == plain(form)
        load_reader(form)


def test_a_number_of_thousands_of_digits_is_told():
    page = {"width": 10**5000, "height": 100}
    with pytest.raises(TallyError, match=r"page.width: .*a number of thousands of"):
        TallyForm.from_dict(EXAMPLE | {"page": page})


LINES = load_form("example").to_toml().splitlines()
LITERALS = st.one_of(
    st.sampled_from(["nan", "-inf", "1e308", "9" * 5000, "0x" + "f" * 5000, "{a.b=1}"]),
    st.sampled_from(['"\\uffff"', "'''", "1979-05-27", "[" * 500, "{ x = " * 500]),
    st.floats().map(str),
    st.text(max_size=20),
)


@fuzz(200)
@given(st.data())
def test_any_text_is_a_form_or_told(folder, data):
    path = folder / "form.toml"
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        key = lines[at].partition("=")[0]
        lines[at] = data.draw(LITERALS.map(lambda text, key=key: f"{key}= {text}"))
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    with in_our_words(path):
        form = load_form(path)
        assert load_form(form).box_array().shape[0] == form.n_fields


@pytest.fixture(scope="module")
def model(folder):
    """Return description and weights of a small model."""
    X = np.random.default_rng(0).random((20, 8, 8), dtype=np.float32)
    fitted = CNNClassifier(filters=(2,), hidden=(4,), max_epochs=1, random_state=0)
    file = save_model(fitted.fit(X, np.arange(20) % 2), folder / "whole")
    weights = file.with_suffix(".safetensors").read_bytes()
    return json.loads(file.read_text()), weights


@fuzz(150)
@given(data=st.data(), what=st.sampled_from(["description", "header", "bytes"]))
def test_any_model_is_loaded_or_told(folder, model, data, what):
    content, weights = model
    if what == "description":
        content = replaced(content, data)
    elif what == "header":
        end = 8 + int.from_bytes(weights[:8], "little")
        header = replaced(json.loads(weights[8:end]), data)
        text = json.dumps(header).encode()
        weights = len(text).to_bytes(8, "little") + text + weights[end:]
    else:
        at = data.draw(st.integers(0, len(weights)))
        patch = data.draw(st.binary(max_size=40))
        weights = weights[:at] + patch + weights[at + len(patch) :]
    if what != "description":  # or the wrong hash would be all that is found
        content = content | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    path = folder / "model.json"
    path.write_text(json.dumps(content))
    path.with_suffix(".safetensors").write_bytes(weights)
    with in_our_words("model"):
        loaded = load_model(path)
        if loaded.__sklearn_is_fitted__():  # its fitted part may be gone
            assert len(loaded.predict(np.zeros((1, 8, 8), np.float32))) == 1


@pytest.fixture(scope="module")
def store(reader, folder):
    made = make_tally_pages(1, form="example", random_state=0)
    (folder / "scans").mkdir()
    Image.fromarray(made.pages[0]).save(folder / "scans" / "s.png")
    read_to_store(reader, [folder / "scans" / "s.png"], folder / "votes.sqlite")
    with Store(folder / "votes.sqlite") as opened:
        yield opened


RIGHT = {"file": "s.png", "field": "01", "who": "ana", "count": "5", "boxes": "005"}
ODD_CELLS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["\ufeff", '"', "a\nb", "a\0b", "x" * 200_000, "0" * 5000 + "7"]),
    st.sampled_from(["\u0661", "s.png#page=" + "0" * 5000 + "1", "1e5", "NaN", " 5 "]),
)


@st.composite
def lists(draw):
    """Return the bytes of a list of edits that is nearly right."""
    odd = st.sampled_from([*RIGHT, "page", "why", "purpose", "colour", "", "station"])
    names = [*RIGHT, *draw(st.lists(odd, max_size=2))]
    names = draw(st.one_of(st.just(names), st.permutations(names), st.lists(odd)))
    rows = [names]
    for _ in range(draw(st.integers(0, 3))):
        row = [draw(st.one_of(st.just(RIGHT.get(n, "")), ODD_CELLS)) for n in names]
        rows.append(row + draw(st.lists(ODD_CELLS, max_size=1)))
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    codec = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    content = stream.getvalue().encode(codec, "replace")
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.binary(max_size=3)) + content[at:]


@fuzz(100)
@given(content=lists(), ending=st.sampled_from([".csv", ".csv", ".zip", ".gz", ".xz"]))
def test_any_list_is_imported_whole_or_told(folder, store, content, ending):
    path = folder / f"list{ending}"
    path.write_bytes(content)
    count = "SELECT COUNT(*) FROM edits"
    before, added = store.ask(count)[0][0], 0
    with in_our_words(path):
        added, _ = import_edits(store, path)
    assert store.ask(count)[0][0] == before + added
    with in_our_words(path):
        join_stations(store_table(store), path)


def test_a_list_that_is_nearly_right_is_imported(folder, store):
    rows = pd.DataFrame([RIGHT | {"who": "right"}])
    path = folder / "right.zip"  # whatever its name
    path.write_text("\ufeff" + rows.to_csv(index=False), encoding="utf-8")
    assert import_edits(store, path) == (1, 0)
    path.write_text(rows.to_csv(index=False).replace("right", "r,i"), encoding="utf-8")
    with pytest.raises(TallyError, match="line 2: 6 cells in 5 columns"):
        import_edits(store, path)
