"""Whatever is altered is found."""

import os
import shutil

import cv2
import pandas as pd
import pytest

from sktally import (
    StoreError,
    TallyForm,
    learn_form,
    load_form,
    load_reader,
    make_tally_pages,
    read_to_store,
)
from sktally.digits._weights import find_model
from sktally.persist import model_origin, reader_of_run
from sktally.tables import (
    Store,
    edits_table,
    import_edits,
    show_page,
    store_table,
    verify,
)
from sktally.tables._chain import add_link


@pytest.fixture
def path(scans, tmp_path):
    for end in (".json", ".safetensors"):
        shutil.copy(find_model("default").with_suffix(end), tmp_path / f"mine{end}")
    model = tmp_path / "mine"
    reader = load_reader("example", model=model)
    path = tmp_path / "votes.sqlite"
    read_to_store(reader, scans[:3], path, origin=model_origin(model))
    rows = {"file": [scans[0]], "field": ["01"], "who": ["ana"], "count": ["7"]}
    with Store(path) as store:
        import_edits(store, pd.DataFrame(rows).astype(str))
    return path


def problems(path):
    with Store(path) as store:
        return list(verify(store))


def test_nothing_is_wrong_with_an_untouched_store(path):
    assert problems(path) == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE fields SET count = 1 WHERE page = 2 AND place = 0", "pages: row 2"),
        ("UPDATE fields SET proba = zeroblob(144) WHERE page = 3", "pages: row 3"),
        ("UPDATE fields SET proba = lower(hex(proba)) WHERE page = 1", "pages: row 1"),
        ("UPDATE pages SET status = 'rejected' WHERE id = 1", "pages: row 1"),
        ("UPDATE edits SET count = 8", "edits: row 1"),
        ("UPDATE runs SET content = '{}'", "runs: row 1"),
        ("DELETE FROM fields WHERE page = 2 AND place = 1", "pages: row 2"),
        ("DELETE FROM pages WHERE id = 2", "pages: row 2 was deleted"),
        ("DELETE FROM edits", "edits: row 1 was deleted"),
        ("DELETE FROM chain WHERE id = 3", "link 3 is missing"),
        (
            "INSERT INTO edits VALUES (9, 'a', 1, '01', 'audit', NULL, 3, 'me', '', "
            "'station.png', 'today')",
            "edits: row 9 (station.png) was put in from outside",
        ),
    ],
)
def test_rows_that_were_altered(path, statement, found, tamper):
    tamper(path, statement)
    with Store(path) as store:
        told = list(verify(store, images=False))
    assert any(text.startswith(found) or found in text for text in told), told


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE fields SET count = 'many' WHERE page = 2 AND place = 1",
            "station_1.png, field 02: count: expected a whole number, got 'many'",
        ),
        (
            "UPDATE fields SET confidence = x'00' WHERE page = 1 AND place = 0",
            r"station_0.png, field 01: confidence: expected a number, got b'\\x00'",
        ),
        (
            "UPDATE fields SET message = x'00' WHERE page = 1 AND place = 0",
            r"station_0.png, field 01: message: expected text, got b'\\x00'",
        ),
        (
            "UPDATE edits SET count = 'seven'",
            "station_0.png, field 01: count: expected a whole number, got 'seven'",
        ),
    ],
)
def test_values_of_types_that_are_never_written(path, statement, told, tamper):
    tamper(path, statement)
    with Store(path) as store:
        with pytest.raises(StoreError, match=told) as error:
            store_table(store)
        assert f"`sktally verify {path}` tells" in str(error.value)
        if "edits" in statement:
            with pytest.raises(StoreError, match=told):
                edits_table(store)


def test_a_swapped_image(path, scans):
    shutil.copy(scans[4], scans[1])
    assert problems(path) == [f"image: {scans[1]} is not the file that was read"]
    scans[1].unlink()
    (found,) = problems(path)
    assert found.startswith(f"image: {scans[1]} cannot be read")
    os.mkfifo(scans[1])  # would keep a reader waiting
    (found,) = problems(path)
    assert found.startswith(f"image: {scans[1]} cannot be read")


def test_a_swapped_image_that_was_read_again(path, scans, tmp_path):
    shutil.copy(scans[4], scans[1])
    model = tmp_path / "mine"
    reader = load_reader("example", model=model)
    told = read_to_store(reader, scans[:3], path, origin=model_origin(model))
    assert (told.read, told.before) == (1, 2)
    (found,) = problems(path)
    assert (
        found == f"image: the file that was read as {scans[1]} is gone or was replaced"
    )


def test_a_moved_image_is_still_the_image(path, scans):
    shutil.copy(scans[1], scans[1].with_name("moved.png"))
    reader = load_reader("example", model=path.with_name("mine"))
    origin = model_origin(path.with_name("mine"))
    read_to_store(reader, [scans[1].with_name("moved.png")], path, origin=origin)
    scans[1].unlink()
    assert problems(path) == []


def test_a_changed_model(path):
    model = path.with_name("mine.json")
    model.write_text(model.read_text() + "\n")
    (found,) = problems(path)
    assert found.startswith(f"model of run 1: {model} is another now; put back")
    path.with_name("mine.safetensors").unlink()
    (found,) = problems(path)
    assert "cannot be read" in found


def rewrite(path, tamper):
    """Make the whole chain anew after a change, as whoever can write could."""
    tamper(path, "UPDATE fields SET count = 1 WHERE page = 2 AND place = 0")
    with Store(path) as store:
        links = store.ask("SELECT kind, ref FROM chain ORDER BY id")
        trigger = store.ask("SELECT sql FROM sqlite_master WHERE name='chain_delete'")
        store.base.execute("DROP TRIGGER chain_delete")
        store.base.execute("DELETE FROM chain")
        for kind, ref in links:
            add_link(store.base, kind, ref)
        store.base.execute(trigger[0][0])


def test_a_hash_noted_long_ago(path, scans, reader, tamper):
    with Store(path) as store:
        links, noted = store.end()
    read_to_store(reader, scans, path)
    with Store(path) as store:
        assert store.end()[0] > links
        assert list(verify(store, expect=f" {noted.upper()} ")) == []
        assert list(verify(store, expect="0" * 64)) == []  # when it was empty
        with pytest.raises(StoreError, match="expect: expected the 64 hexadecimal"):
            list(verify(store, expect=noted[:12]))
    rewrite(path, tamper)
    with Store(path) as store:
        assert list(verify(store)) == []  # the new chain is whole
        (found,) = verify(store, expect=noted)
        assert found.startswith(f"chain: no link has the hash {noted} that was")


def test_a_bundled_model_is_found_wherever_sktally_is(reader, scans, tmp_path):
    path = tmp_path / "votes.sqlite"
    read_to_store(reader, scans[:1], path, origin=model_origin("default"))
    with Store(path) as store:
        assert "path" not in store.run().content["model"]
        assert list(verify(store)) == []
        again = reader_of_run(store.run())
        shown = show_page(store, str(scans[0]), reader=again)
    assert "read again: the same" in shown.text


def test_a_bundled_model_whose_installation_moved(reader, scans, tmp_path):
    """Stores once noted the path of bundled models too."""
    origin = {**model_origin("default"), "path": "/gone/sktally/models/default.json"}
    del origin["bundled"]
    read_to_store(reader, scans[:1], tmp_path / "a.sqlite", origin=origin)
    assert problems(tmp_path / "a.sqlite") == []
    with Store(tmp_path / "a.sqlite") as store:
        assert reader_of_run(store.run())[0].form_.name == "example"


def test_a_bundled_model_that_is_another_now(reader, scans, tmp_path):
    origin = {**model_origin("default"), "sha256": "0" * 64}
    read_to_store(reader, scans[:1], tmp_path / "a.sqlite", origin=origin)
    (found,) = problems(tmp_path / "a.sqlite")
    assert "default.json is another now; put back the one that read" in found
    with (
        Store(tmp_path / "a.sqlite") as store,
        pytest.raises(StoreError, match="model of run 1: .* is another now"),
    ):
        reader_of_run(store.run())


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Pages of a form that is found by a reference learnt from them, and the form."""
    content = load_form("example").model_dump(
        mode="json", exclude_none=True, exclude_defaults=True
    )
    del content["anchors"]
    content |= {"name": "mine", "reference": {"file": "mine.reference.safetensors"}}
    form = TallyForm.from_dict(content)
    folder = tmp_path_factory.mktemp("learnt")
    made = make_tally_pages(6, form=form, random_state=1)
    for i, page in enumerate(made.pages):
        cv2.imwrite(str(folder / f"{i}.png"), page)
    scans = sorted(folder.glob("*.png"))
    return scans, learn_form(form, scans, out=folder, keep_median=False)


@pytest.fixture
def mine(learnt, tmp_path):
    """A store read with that form, and the form's file."""
    scans, form = learnt
    folder = tmp_path / "form"
    folder.mkdir()
    form.to_toml(folder / "mine.toml")
    shutil.copy(form.reference_path, folder)
    path = tmp_path / "votes.sqlite"
    reader = load_reader(folder / "mine.toml")
    read_to_store(reader, scans[:1], path, origin=model_origin("default"))
    return path, folder / "mine.reference.safetensors"


def test_a_changed_reference(mine):
    path, reference = mine
    assert problems(path) == []
    reference.write_bytes(reference.read_bytes() + b" ")
    (found,) = problems(path)
    assert found.startswith(f"reference of run 1: {reference} is another now; put back")
    reference.unlink()
    (found,) = problems(path)
    assert found.startswith(f"reference of run 1: {reference} cannot be read (No such")


def test_a_form_with_a_reference_reads_again(mine, learnt, monkeypatch):
    path, reference = mine
    (scan, *_), _ = learnt
    monkeypatch.chdir("/")
    with Store(path) as store:
        again = reader_of_run(store.run())
        shown = show_page(store, str(scan), reader=again)
        assert "read again: the same; probabilities differ by 0" in shown.text
        reference.unlink()
        with pytest.raises(StoreError, match="reference of run 1: .* cannot be read"):
            reader_of_run(store.run())


def test_the_reference_of_a_bundled_form_is_found_wherever_sktally_is(tmp_path):
    path = tmp_path / "votes.sqlite"
    reader = load_reader("indonesia-2024")
    read_to_store(reader, [], path, origin=model_origin("default"))
    assert problems(path) == []
    with Store(path) as store:
        run = store.run()
    run.content["form"]["folder"] = "/gone/sktally/forms"
    assert reader_of_run(run)[0].form_.reference_path == (
        load_form("indonesia-2024").reference_path
    )
