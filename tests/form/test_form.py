import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktally import FormError, TallyForm, list_forms, load_form

MINIMAL = {
    "name": "tiny",
    "page": {"width": 100, "height": 50},
    "anchors": [
        {"name": n, "kind": "square", "center": c, "size": [4, 4]}
        for n, c in {"a": [5, 5], "b": [95, 5], "c": [5, 45]}.items()
    ],
    "fields": [
        {"name": "x", "start": [10, 10], "box": [5, 8], "places": 3},
        {"name": "y", "boxes": [[40, 10, 5, 8], [46, 10, 5, 8]]},
    ],
}


def with_changes(**changes):
    return {**copy.deepcopy(MINIMAL), **changes}


@pytest.mark.parametrize("name", list_forms())
def test_shipped_forms_load_and_round_trip(name, tmp_path):
    form = load_form(name)
    form.to_toml(tmp_path / "copy.toml")
    again = load_form(tmp_path / "copy.toml")
    assert again.model_dump() == form.model_dump()
    assert again.fingerprint() == form.fingerprint()
    assert form.name == name


def test_box_array_pads_shorter_fields_on_the_left():
    boxes = TallyForm.from_dict(MINIMAL).box_array()
    assert boxes.shape == (2, 3, 4) and boxes.dtype == np.float64
    np.testing.assert_array_equal(boxes[0, :, 0], [10, 15, 20])
    assert np.isnan(boxes[1, 0]).all()
    np.testing.assert_array_equal(boxes[1, 1], [40, 10, 5, 8])


@pytest.mark.parametrize(
    ("pitch", "xs", "ys"),
    [(7, [10, 17, 24], [10] * 3), ([0, 9], [10] * 3, [10, 19, 28])],
)
def test_pitch_is_a_step_along_x_or_a_vector(pitch, xs, ys):
    content = with_changes()
    content["fields"][0]["pitch"] = pitch
    boxes = TallyForm.from_dict(content).box_array()
    np.testing.assert_array_equal(boxes[0, :, 0], xs)
    np.testing.assert_array_equal(boxes[0, :, 1], ys)


def test_fingerprint_changes_with_geometry_only(tmp_path):
    form = TallyForm.from_dict(MINIMAL)
    path = tmp_path / "spaced.toml"
    path.write_text("\n\n# a comment\n" + form.to_toml())
    assert TallyForm.from_toml(path).fingerprint() == form.fingerprint()
    content = with_changes()
    content["fields"][0]["start"] = [10.5, 10]
    assert TallyForm.from_dict(content).fingerprint() != form.fingerprint()


def test_copies_are_equal():
    form = load_form("example")
    assert copy.deepcopy(form) == form == pickle.loads(pickle.dumps(form))
    assert repr(form) == "TallyForm('example', 6 fields, 4 anchors)"


def test_five_mistakes_are_reported_at_once_with_their_places(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        """
name = "bad"
page = { width = -1, height = 50 }
sums = { x = "y" }
[[anchors]]
name = "a"
kind = "sqare"
center = [5, 5]
size = [4, 4]
[[fields]]
name = "x"
start = [10, 10]
box = [5, 8]
[[fields]]
name = "y"
boxxes = [[1, 2, 3, 4]]
boxes = [[1, 2, 3, 4]]
"""
    )
    with pytest.raises(FormError) as caught:
        load_form(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: 5 mistakes")
    for part in (
        "page.width: Input should be greater than 0 (got -1)",
        "anchors[1].kind",
        "sums.x",
        "fields[1]: missing places (or explicit `boxes`)",
        "fields[2].boxxes: unknown key",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anchors": MINIMAL["anchors"][:2]}, r"2 anchors: at least 3 are needed"),
        ({"sums": {"x": ["z"]}}, r"sums.x: no field 'z'; fields are x, y"),
        ({"sums": {"x": ["x"]}}, r"needs parts other than itself"),
        ({"sums": {"x": []}}, r"needs parts other than itself"),
        ({"sums": {"x": ["y", "y"]}}, r"sums.x: needs parts .* each once, got y, y"),
        ({"sums": {"x": ["y"], "y": ["x"]}}, r"part of its own parts, as in [xy] of"),
        (
            {"fields": [*MINIMAL["fields"], MINIMAL["fields"][0]]},
            r"field name 'x' is used 2x",
        ),
        (
            {"fields": [{"name": "x", "boxes": [[98, 10, 5, 8]]}]},
            r"field 'x', box 1: x 98..103, y 10..18 is not on the 100 x 50 page",
        ),
        (
            {
                "fields": [
                    {"name": "x", "boxes": [[1, 1, 5, 8]], "places": 2, "box": [1, 1]}
                ]
            },
            r"either `boxes` or",
        ),
        ({"format": 2}, r"format: Input should be 1 \(got 2\)"),
        ({"folder": "/etc"}, r"folder: unknown key"),
        ({"blank_right": "guess"}, r"blank_right"),
        (
            {"printed": [{"kind": "line", "at": [1, 2, 3]}]},
            r"`at` of a line needs 4 numbers, got 3",
        ),
        ({"page": {"width": float("nan"), "height": 5}}, r"page.width"),
    ],
)
def test_each_mistake_has_its_message(changes, message):
    with pytest.raises(FormError, match=message):
        TallyForm.from_dict(with_changes(**changes))


@pytest.mark.parametrize(
    ("anchor", "message"),
    [
        ({"kind": "corner", "opens": "top-left"}, r"corner anchor needs `thickness`"),
        ({"kind": "corner", "thickness": 2}, r"corner anchor needs `opens`"),
        ({"kind": "frame"}, r"frame anchor needs `thickness`"),
        ({"kind": "patch"}, r"patch anchor needs `file`"),
        ({"kind": "square", "center": [500, 5]}, r"anchor 'a': centre 500, 5"),
    ],
)
def test_incomplete_anchors(anchor, message):
    content = with_changes()
    content["anchors"][0] = {
        "name": "a",
        "center": [5, 5],
        "size": [4, 4],
        **anchor,
    }
    with pytest.raises(FormError, match=message):
        TallyForm.from_dict(content)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(FormError, match=r"no form 'nope': shipped forms are example"):
        load_form("nope")
    with pytest.raises(FormError, match=r"cannot be read \(No such file"):
        load_form(tmp_path / "gone.toml")
    with pytest.raises(FormError, match=r"cannot be read \(Is a directory"):
        load_form(tmp_path)
    path = tmp_path / "torn.toml"
    path.write_text("name = [")
    with pytest.raises(FormError, match="not a TOML file"):
        load_form(path)
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(FormError, match="not a TOML file"):
        load_form(path)
    path.write_text("x = " + "[" * 5000)
    with pytest.raises(FormError, match="not a TOML file"):
        load_form(path)


def test_a_form_cannot_name_files_outside_its_folder(tmp_path):
    content = with_changes(anchors=[], reference={"file": "../../secret.safetensors"})
    TallyForm.from_dict(content).to_toml(tmp_path / "f.toml")
    form = load_form(tmp_path / "f.toml")
    with pytest.raises(FormError, match="points outside the folder"):
        _ = form.reference_path
    assert form.beside("ok.png") == tmp_path.resolve() / "ok.png"


def test_printed_marks_repeat_in_a_grid():
    content = with_changes(
        printed=[{"kind": "circle", "at": [1, 2, 3], "repeat": [[2, 10, 0], [3, 0, 5]]}]
    )
    places = TallyForm.from_dict(content).printed[0].places()
    assert places == [
        (1, 2, 3),
        (1, 7, 3),
        (1, 12, 3),
        (11, 2, 3),
        (11, 7, 3),
        (11, 12, 3),
    ]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_a_form_or_a_form_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "form.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(FormError):
        load_form(path)


LONG = f'"{9000 * "x"}"'


@pytest.mark.parametrize(
    "wrong",
    [
        "{key} = 0x" + 5000 * "f",  # Python writes no number of so many digits as text
        "{key} = 1e999",
        "{key} = [[]]",
        f"{{key}} = {LONG}",
        f"{LONG} = 1",
    ],
)
def test_any_mistake_is_told_shortly(tmp_path, wrong):
    lines = load_form("example").to_toml().splitlines()
    path, n_told = tmp_path / "form.toml", 0
    for i, line in enumerate(lines):
        key, equals, _ = line.partition(" = ")
        if not equals:
            continue
        changed = [*lines[:i], wrong.replace("{key}", key), *lines[i + 1 :]]
        path.write_text("\n".join(changed))
        try:
            load_form(path)
        except FormError as error:
            assert len(str(error)) < 2000
            n_told += 1
    assert n_told > 30


def test_sums_tell_the_first_names_of_many():
    content = with_changes(sums={LONG: ["x", "z"]})
    content["fields"] = [
        {"name": f"x{i}", "start": [10, 10], "box": [5, 8], "places": 3}
        for i in range(30)
    ]
    with pytest.raises(FormError, match="x8, x9 and 20 more") as error:
        TallyForm.from_dict(content)
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize("form", [None, 3, {"name": "x"}])
def test_what_names_no_form_is_refused(form):
    with pytest.raises(FormError, match="form: expected the name of a shipped form"):
        load_form(form)


@pytest.mark.parametrize(
    ("centers", "mistake"),
    [
        ([(45, 45), (805, 45), (45, 45)], "anchor 'c': its center is that of another"),
        ([(45, 45), (400, 46), (805, 45)], "anchors: all lie on one line"),
    ],
)
def test_anchors_that_fix_no_place_are_mistakes(tmp_path, centers, mistake):
    anchors = "".join(
        f'[[anchors]]\nname = "{name}"\nkind = "square"\ncenter = [{x}, {y}]\n'
        "size = [20, 20]\n"
        for name, (x, y) in zip("abc", centers, strict=True)
    )
    path = tmp_path / "form.toml"
    path.write_text(
        'name = "f"\npage = { width = 850, height = 1100 }\n'
        + anchors
        + '[[fields]]\nname = "v"\nstart = [600, 250]\nbox = [50, 60]\nplaces = 3\n'
    )
    with pytest.raises(FormError, match=mistake):
        load_form(path)


def test_what_parts_say_of_each_other_is_told_with_the_mistakes_of_parts(tmp_path):
    path = tmp_path / "form.toml"
    path.write_text(
        """
        name = "f"
        page = { width = 100, height = 100 }
        [sums]
        total = ["one", "twoo"]
        [[fields]]
        name = "one"
        start = [10, 10]
        box = [10, 10]
        places = 12
        [[fields]]
        name = "two"
        start = [10, 30]
        [[fields]]
        name = "total"
        start = [10, 50]
        box = [10, 10]
        places = 3
        """
    )
    with pytest.raises(FormError) as error:
        TallyForm.from_toml(path)
    message = str(error.value)
    assert "fields[2]: missing box, places (or explicit `boxes`)" in message
    assert "form: sums.total: no field 'twoo'; fields are one, two, total" in message
    assert "form: field 'one', box 10: x 100..110" in message
    assert message.startswith(f"{path}: 5 mistakes")  # of them three boxes
    # a field without a name may be the one that is looked for
    path.write_text(path.read_text().replace('name = "two"', ""))
    with pytest.raises(FormError) as error:
        TallyForm.from_toml(path)
    assert "fields[2].name: missing" in str(error.value)
    assert "twoo" not in str(error.value)


BUBBLES = {"start": [12, 22], "step": 2.5, "radius": 1}


def with_bubbles(**changes):
    content = with_changes()
    content["fields"][0]["bubbles"] = {**BUBBLES, **changes}
    return content


def test_bubbles_lie_as_far_apart_as_their_boxes():
    form = TallyForm.from_dict(with_bubbles(digits="1234567890"))
    places = form.bubble_array()
    assert places.shape == (2, 3, 10, 3)
    np.testing.assert_array_equal(
        places[0, :, 1], [[12, 22, 1], [17, 22, 1], [22, 22, 1]]
    )
    np.testing.assert_array_equal(places[0, 0, 0], [12, 22 + 9 * 2.5, 1])  # 0 is last
    assert np.isnan(places[1]).all()
    assert TallyForm.from_dict(MINIMAL).bubble_array() is None


def test_bubbles_are_part_of_the_fingerprint_where_there_are_any(tmp_path):
    plain, form = TallyForm.from_dict(MINIMAL), TallyForm.from_dict(with_bubbles())
    assert "bubbles" not in plain.to_toml() + str(plain.model_dump())
    assert form.fingerprint() != plain.fingerprint()
    # stores of the first versions know the form by this
    assert load_form("example").fingerprint().startswith("62afe59c4430db9f")
    form.to_toml(tmp_path / "form.toml")
    again = TallyForm.from_toml(tmp_path / "form.toml")
    assert again.fingerprint() == form.fingerprint()


def test_the_largest_count_is_kept_and_is_none_by_default(tmp_path):
    plain = TallyForm.from_dict(MINIMAL)
    assert "largest" not in plain.to_toml() + str(plain.model_dump())
    content = plain.model_dump(mode="json")
    content["fields"][0]["largest"] = 300
    form = TallyForm.from_dict(content)
    form.to_toml(tmp_path / "form.toml")
    again = TallyForm.from_toml(tmp_path / "form.toml")
    assert again.fields[0].largest == 300 and again.fields[1].largest is None
    assert again.fingerprint() == form.fingerprint() != plain.fingerprint()
    for wrong in (-1, 2.5, "many"):
        content["fields"][0]["largest"] = wrong
        with pytest.raises(FormError, match=r"largest"):
            TallyForm.from_dict(content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 1.9}, r"with step 1.9 they overlap, as radius is 1; measure both"),
        ({"digits": "0123"}, r"digits '0123' should hold each of 0123456789 once"),
        ({"digits": "01234567899"}, r"should hold each of 0123456789 once"),
        ({"step": 5}, r"field 'x', box 1: its bubble of 6 at 12, 52 is not on the 100"),
        ({"radius": 0}, r"fields\[1\].bubbles.radius: Input should be greater than 0"),
    ],
)
def test_mistakes_in_bubbles_are_told(changes, message):
    with pytest.raises(FormError, match=message):
        TallyForm.from_dict(with_bubbles(**changes))


def test_bubbles_may_run_aslant():
    slanted = TallyForm.from_dict(with_bubbles(step=[1.5, 1.5]))
    assert slanted.bubble_array()[0, 0, 9].tolist() == [25.5, 35.5, 1]
