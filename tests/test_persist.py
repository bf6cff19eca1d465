import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC

from sktally import (
    CellNormalizer,
    CNNClassifier,
    TallyCropper,
    TallyForm,
    VoteCountAggregator,
    load_form,
    load_model,
    load_reader,
    save_model,
)
from sktally.datasets import make_digit_cells, make_tally_pages
from sktally.digits import DigitNetwork
from sktally.exceptions import FormError, ModelFormatError

torch.set_num_threads(1)  # see tests/digits/conftest.py
DATA = Path(__file__).parent / "data"
TINY = {"filters": (4, 8), "hidden": (16,), "max_epochs": 4, "random_state": 0}


@pytest.fixture(scope="module")
def cells():
    return make_digit_cells(300, random_state=0)


@pytest.fixture(scope="module")
def pipeline(cells):
    """Normalizer and classifier, fitted on synthetic cells of twelve classes."""
    model = make_pipeline(CellNormalizer(), CNNClassifier(**TINY, learning_rate=0.01))
    return model.fit(cells.images, cells.target)


@pytest.fixture(scope="module")
def tallies():
    return make_tally_pages(4, random_state=0)


@pytest.fixture(scope="module")
def reader(tallies):
    """A whole reader, fitted on pages."""
    votes = VoteCountAggregator(CNNClassifier(**{**TINY, "max_epochs": 1}))
    model = Pipeline(
        [
            ("crop", TallyCropper(load_form("example"))),
            ("normalize", CellNormalizer(size=20)),
            ("votes", votes),
        ]
    )
    return model.fit(tallies.pages, tallies.boxes)


@pytest.fixture
def saved(pipeline, tmp_path):
    return save_model(pipeline, tmp_path / "model")


def edit(path, change):
    """Apply `change` to the JSON of a model."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def classifier_of(content):
    return content["model"]["params"]["steps"][1]["tuple"][1]


def test_classifier_comes_back(tmp_path):
    X, y = load_digits(return_X_y=True)
    settings = {
        **TINY,
        "batch_norm": True,
        "classes": list(range(11)),
        "augment": {"rotation": 5},
        "schedule": "one-cycle",
    }
    model = CNNClassifier(**settings).fit(X[:300], y[:300])
    path = save_model(model, tmp_path / "digits.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "digits.json",
        "digits.safetensors",
    ]
    again = load_model(path)
    assert again.get_params() == model.get_params()
    assert (again.predict_proba(X) == model.predict_proba(X)).all()
    assert again.classes_.dtype == model.classes_.dtype
    assert again.history_.equals(model.history_)
    for name in ("n_features_in_", "image_shape_", "n_epochs_", "pixel_scale_"):
        assert getattr(again, name) == getattr(model, name)
    assert (pickle.loads(pickle.dumps(again)).predict(X) == model.predict(X)).all()
    again.set_params(max_epochs=1).fit(X[:50], y[:50])  # goes on as an estimator


SINCE_FORMAT_1 = {
    "filters": 4,
    "n_blocks": 2,
    "filter_growth": 1.5,
    "stride": (1, 2),
    "padding": (1, "same"),
    "activation": "tanh",
    "pool": ("mixed", None),
    "pool_size": [3, 2],
    "pool_stride": 2,
    "conv_dropout": 0.05,
    "output": "sigmoid",
    "optimizer": "sgd",
    "l1": 1e-6,
    "l2": 1e-6,
    "class_weight": {False: 2.0},
    "sampling": "balanced",
    "warm_start": True,
    "layer_decay": 0.5,
}


def test_later_parameters_are_written_where_they_are_set(tmp_path):
    X, y = load_digits(return_X_y=True)
    plain = CNNClassifier(**TINY).fit(X[:60], y[:60])
    rich = clone(plain).set_params(**SINCE_FORMAT_1)
    rich.fit(X[:60], y[:60] > 4).set_params(unfreeze_epochs=2)
    named = clone(plain).set_params(architecture="lenet5", filters=(64, 96, 112))
    named.set_params(hidden=(150, 70)).fit(X[:60], y[:60])
    format_1 = json.loads((DATA / "format_1.json").read_text())["model"]
    for model in (plain, rich, named):
        path = save_model(model, tmp_path / "m")
        again = load_model(path)
        assert again.get_params() == model.get_params()
        assert (again.predict_proba(X) == model.predict_proba(X)).all()
        content = json.loads(path.read_text())["model"]
        if model is plain:  # an older sktally reads what needs no newer parameter
            assert set(content["params"]) == set(format_1["params"])
            ours, theirs = (c["fitted"]["dict"]["network"] for c in (content, format_1))
            assert set(ours["dict"]) == set(theirs["dict"])
        if model is rich:
            assert set(SINCE_FORMAT_1) <= set(content["params"])
    every = set(CNNClassifier().get_params()) - set(format_1["params"])
    assert every == set(CNNClassifier._since_format_1)
    apart = {"architecture", "unfreeze_epochs"}
    assert every | {"filters"} == {*SINCE_FORMAT_1, *apart}


def test_labels_as_text_objects_and_names_of_columns(tmp_path):
    pd = pytest.importorskip("pandas")
    X, y = load_digits(return_X_y=True, as_frame=True)
    model = CNNClassifier(**TINY).fit(X[:100], y[:100].astype(str).astype(object))
    again = load_model(save_model(model, tmp_path / "m"))
    assert again.predict(X[:9]).tolist() == model.predict(X[:9]).tolist()
    assert again.feature_names_in_.tolist() == list(X.columns)
    assert isinstance(X, pd.DataFrame)


def test_pretrained_and_generators_are_not_saved(pipeline, cells, tmp_path):
    base = pipeline[-1]
    clean = pipeline[0].transform(cells.images[:80])
    model = CNNClassifier(**{**TINY, "random_state": np.random.RandomState(0)})
    model.set_params(pretrained=FrozenEstimator(base), freeze_layers=1)
    model.fit(clean, cells.target[:80])
    again = load_model(save_model(model, tmp_path / "m"))
    assert again.pretrained is None and again.random_state is None
    assert again.transfer_report_ == model.transfer_report_
    assert (again.predict_proba(clean) == model.predict_proba(clean)).all()


def test_pipeline_comes_back(pipeline, cells, saved):
    again = load_model(saved)
    assert [name for name, _ in again.steps] == [name for name, _ in pipeline.steps]
    expected = pipeline.predict_proba(cells.images)
    assert (again.predict_proba(cells.images) == expected).all()


def test_reader_comes_back(reader, tallies, tmp_path):
    again = load_model(save_model(reader, tmp_path / "reader"))
    assert (again.predict(tallies.pages) == reader.predict(tallies.pages)).all()
    expected = load_form("example").fingerprint()
    assert again["crop"].form.fingerprint() == expected
    assert again["votes"].classifier_.n_epochs_ == 1


@pytest.fixture(scope="module")
def calibrated(reader):
    """A copy of the reader with a place prior, calibrated on pages."""
    made = make_tally_pages(20, random_state=1)
    model = pickle.loads(pickle.dumps(reader))
    model["votes"].set_params(place_prior=True)
    model["votes"].calibrate(model[:-1].transform(made.pages), made.counts)
    return model


def test_calibrators_and_priors_come_back(calibrated, tallies, tmp_path):
    path = save_model(calibrated, tmp_path / "reader")
    cells = calibrated[:-1].transform(tallies.pages)
    proba = calibrated["votes"].predict_count_proba(cells)
    for again in (load_model(path), load_reader("example", model=path)):
        found = again["votes"].calibrator_
        expected = calibrated["votes"].calibrator_
        assert found.temperature_ == expected.temperature_
        assert found.log_loss_ == expected.log_loss_
        assert found.n_pages_ == expected.n_pages_ == 20
        cells = again[:-1].transform(tallies.pages)
        assert (again["votes"].predict_count_proba(cells) == proba).all()


@pytest.mark.parametrize("value", [[], [0.0], [[1.0]]])
def test_damaged_calibrators_are_told(calibrated, tmp_path, value):
    damaged = pickle.loads(pickle.dumps(calibrated))
    damaged["votes"].calibrator_.temperature_ = np.array(value)
    path = save_model(damaged, tmp_path / "reader")
    with pytest.raises(ModelFormatError, match="temperature_: expected numbers above"):
        load_model(path)


def test_a_matrix_comes_back_and_a_damaged_one_is_told(calibrated, tallies, tmp_path):
    model = pickle.loads(pickle.dumps(calibrated))
    made = make_tally_pages(20, random_state=1)
    cells = model[:-1].transform(made.pages)
    model["votes"].calibrate(cells, made.counts, by="place", method="matrix")
    path = save_model(model, tmp_path / "reader")
    cells = model[:-1].transform(tallies.pages)
    proba = model["votes"].predict_count_proba(cells)
    again = load_model(path)["votes"]
    assert again.calibrator_.intercept_.shape == (3, 12)
    assert (again.predict_count_proba(cells) == proba).all()
    model["votes"].calibrator_.matrix_ = np.eye(3)
    path = save_model(model, tmp_path / "damaged")
    with pytest.raises(ModelFormatError, match=r"matrix_: expected finite .* \(3, 3\)"):
        load_model(path)


def test_shared_parts_are_written_once(pipeline, tallies, tmp_path):
    votes = VoteCountAggregator(FrozenEstimator(pipeline[-1]))
    model = Pipeline(
        [
            ("crop", TallyCropper("example")),
            ("normalize", pipeline[0]),
            ("votes", votes),
        ]
    ).fit(tallies.pages, tallies.boxes)
    path = save_model(model, tmp_path / "reader")
    sizes = [
        p.with_suffix(".safetensors").stat().st_size
        for p in (path, save_model(pipeline, tmp_path / "alone"))
    ]
    assert sizes[0] < 1.2 * sizes[1]
    again = load_model(path)
    assert again["votes"].classifier_ is again["votes"].classifier
    assert again["crop"].form == "example"  # shipped forms stand as names
    assert (again.predict(tallies.pages) == model.predict(tallies.pages)).all()


def test_form_of_ones_own_travels_with_the_reader(reader, tallies, tmp_path):
    text = load_form("example").to_toml().replace('"example"', '"mine"', 1)
    anchor = load_form("example").anchors[0].name
    assert anchor
    form_file = tmp_path / "mine.toml"
    form_file.write_text(text, encoding="utf-8")
    crop = TallyCropper(str(form_file)).fit()
    model = Pipeline([("crop", crop), *reader.steps[1:]])
    (tmp_path / "out").mkdir()
    path = save_model(model, tmp_path / "out" / "reader")
    form_file.unlink()
    again = load_model(path)
    assert isinstance(again["crop"].form, TallyForm)
    assert again["crop"].form.name == "mine"
    assert (again.predict(tallies.pages) == model.predict(tallies.pages)).all()


def test_files_beside_a_form_travel_too(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for path in Path(load_form("indonesia-2024").reference_path).parent.glob("*2024*"):
        (source / path.name).write_bytes(path.read_bytes())
    (source / "indonesia-2024.toml").rename(source / "mine.toml")
    target = tmp_path / "target"
    target.mkdir()
    path = save_model(TallyCropper(source / "mine.toml").fit(), target / "crop")
    again = load_model(path)
    assert again.form.reference_path.parent == target
    reference = load_form(source / "mine.toml").reference_path
    assert again.form.reference_path.read_bytes() == reference.read_bytes()
    again.form.reference_path.write_bytes(b"another")
    with pytest.raises(
        ModelFormatError, match="another file of that name is in the way"
    ):
        save_model(TallyCropper(source / "mine.toml").fit(), target / "crop")


@pytest.mark.parametrize("source", ["pipeline", "reader", "classifier"])
def test_reader_from_any_model(source, pipeline, reader, tallies, tmp_path):
    model = {"pipeline": pipeline, "reader": reader, "classifier": pipeline[-1]}
    path = save_model(model[source], tmp_path / "m")
    ready = load_reader("example", model=path)
    assert [name for name, _ in ready.steps] == ["crop", "normalize", "votes"]
    counts = ready.predict(tallies.pages)
    assert counts.shape == (4, 6)
    assert ready["votes"].blank_right == load_form("example").blank_right
    if source == "reader":
        assert (counts == reader.predict(tallies.pages)).all()
        assert ready["normalize"].size == 20
    if source == "classifier":
        assert ready["normalize"].get_params() == CellNormalizer().get_params()


def test_reader_cuts_cells_as_the_saved_one_did(reader, tmp_path):
    cropper = TallyCropper("example", cell_size=30, margin=0.2).fit()
    saved = Pipeline([("crop", cropper), *reader.steps[1:]])
    ready = load_reader("indonesia-2024", model=save_model(saved, tmp_path / "m"))
    assert (ready["crop"].cell_size, ready["crop"].margin) == (30, 0.2)
    assert ready["crop"].form_.name == "indonesia-2024"


def test_cache_folders_are_not_saved(pipeline, tmp_path):
    model = Pipeline(pipeline.steps, memory=str(tmp_path / "cache"))
    assert load_model(save_model(model, tmp_path / "m")).memory is None


def test_patches_in_a_folder_beside_the_form_travel_too(tmp_path):
    content = load_form("example").model_dump(mode="json", exclude_none=True)
    content["anchors"][0] |= {"kind": "patch", "file": "patches/mark.png"}
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "mark.png").write_bytes(b"picture")
    TallyForm.from_dict(content).to_toml(tmp_path / "mine.toml")
    (tmp_path / "out").mkdir()
    save_model(TallyCropper(tmp_path / "mine.toml").fit(), tmp_path / "out" / "m")
    assert (tmp_path / "out" / "patches" / "mark.png").read_bytes() == b"picture"


def test_reader_follows_the_forms_rule(pipeline, tmp_path):
    path = save_model(pipeline, tmp_path / "m")
    form = load_form("example").model_copy(update={"blank_right": "zero"})
    assert load_reader(form, model=path)["votes"].blank_right == "zero"


def test_reader_errors(pipeline, tmp_path):
    with pytest.raises(FormError, match="no form 'none'"):
        load_reader("none", model="none")
    for name in ("none", "", "."):
        with pytest.raises(ModelFormatError, match=f"no model '{re.escape(name)}'"):
            load_reader("example", model=name)
    for model in (CellNormalizer(), CNNClassifier(), VoteCountAggregator(SVC)):
        if isinstance(model, VoteCountAggregator):
            model = VoteCountAggregator(CNNClassifier())
        path = save_model(model, tmp_path / "m")
        with pytest.raises(ModelFormatError, match="expected a fitted CNNClassifier"):
            load_reader("example", model=path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (SVC(), "model: a SVC cannot be saved; expected one of CNNClassifier, Cell"),
        (VoteCountAggregator(SVC()), "model.classifier: a SVC cannot be saved"),
        (CNNClassifier(classes=object()), "model.classes: a object cannot be saved"),
        (type("CNNClassifier", (SVC,), {})(), "a CNNClassifier cannot be saved"),
    ],
)
def test_what_cannot_be_saved(model, message, tmp_path):
    with pytest.raises(ModelFormatError, match=message):
        save_model(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_unfitted_models_come_back_unfitted(tmp_path):
    again = load_model(save_model(CNNClassifier(filters=[3]), tmp_path / "m"))
    assert again.filters == [3] and not hasattr(again, "net_")


class Doubled(DigitNetwork):
    def forward(self, x):
        return 2 * super().forward(x)


class Wider(DigitNetwork):
    def __init__(self, **settings):
        super().__init__(**{**settings, "filters": (5, 8)})


def test_architecture_of_ones_own(pipeline, cells, saved):
    again = load_model(saved, architecture=Doubled)
    proba = np.log(pipeline.predict_proba(cells.images[:40]).astype(float))
    doubled = np.exp(2 * proba)
    doubled /= doubled.sum(1, keepdims=True)
    got = again.predict_proba(cells.images[:40])
    assert np.allclose(got, doubled, atol=1e-5)
    assert type(again[-1].net_.module_) is Doubled
    with pytest.raises(
        ModelFormatError, match=r"'conv1.weight': expected shape \(5, 1"
    ):
        load_model(saved, architecture=Wider)
    with pytest.raises(ModelFormatError, match="no network can be built"):
        load_model(saved, architecture=torch.nn.ReLU)


def test_device_of_the_saver_need_not_exist(pipeline, cells, saved):
    def change(content):
        classifier_of(content)["params"]["device"] = "cuda:7"

    edit(saved, change)
    again = load_model(saved)
    assert again[-1].device_ == "cpu" and again[-1].device == "cuda:7"
    assert len(again.predict(cells.images[:2])) == 2


def fitted(content):
    return classifier_of(content)["fitted"]["dict"]


HOSTILE = [
    (lambda c: c.pop("model"), "holds no estimator under 'model'"),
    (lambda c: c.update(model=[1]), "holds no estimator under 'model'"),
    (lambda c: c["model"].update(estimator="os.system"), "got estimator 'os.system'"),
    (lambda c: c["model"].update(estimator=["SVC"]), "nothing else is loaded"),
    (lambda c: c["model"].update(params=3), "expected an object under 'params', got 3"),
    (lambda c: c["model"]["params"].update(run="x"), r"unknown parameters \['run'\]"),
    (lambda c: c["model"]["params"].update(steps=3), "make no estimator .TypeError"),
    (lambda c: c["model"]["params"].update(steps=[3]), "make no estimator .TypeError"),
    (
        lambda c: c["model"]["params"].update(steps=[["a", "b"]]),
        "make no estimator .TypeError: step 'a' is str",
    ),
    (
        lambda c: c["model"].update(parts={"__class__": {}}),
        "expected fitted parts such as 'classifier_', got '__class__'",
    ),
    (lambda c: c["model"].update(parts={"a_": "b"}), "make no estimator .KeyError"),
    (lambda c: c["model"].update(parts=[1]), "make no estimator"),
    (
        lambda c: c["model"]["params"].update(memory={"estimator": "Memory"}),
        "got estimator 'Memory'",
    ),
    (
        lambda c: c["model"]["params"].update(memory="cache"),
        "memory: expected null, got 'cache'",
    ),
    (
        lambda c: c.update(
            model={"estimator": "TallyCropper", "params": {"form": "/dev/zero"}}
        ),
        "form: expected a form, or the name of a shipped one",
    ),
    (lambda c: classifier_of(c).update(fitted=3), "make no estimator|missing"),
    (lambda c: fitted(c).pop("weights"), r"missing \['weights'\], unknown \[\]"),
    (lambda c: fitted(c).update(predict="x"), r"missing \[\], unknown \['predict'\]"),
    (lambda c: fitted(c).update(pixel_scale_=0), "pixel_scale_: expected a number in"),
    (lambda c: fitted(c).update(pixel_offset_="1"), "pixel_offset_: expected a number"),
    (
        lambda c: fitted(c).update(pixel_offset_={"number": "nan"}),
        "pixel_offset_: expected a number, got nan",
    ),
    (lambda c: fitted(c).update(input_ndim=9), "input_ndim: expected an integer in"),
    (lambda c: fitted(c).update(classes_=[1, 2]), "classes_: expected 12 different"),
    (
        lambda c: fitted(c).update(image_shape_=[9]),
        r"image_shape_: expected \(28, 28\)",
    ),
    (lambda c: fitted(c).update(network=3), "expected network and weights to be dicts"),
    (
        lambda c: fitted(c)["network"]["dict"].update(filters={"tuple": [10**12]}),
        r"filters\[0\]: expected an integer in",
    ),
    (
        lambda c: fitted(c)["weights"]["dict"].pop("conv1.bias"),
        r"tensor 'conv1.bias': expected shape \(4,\), got none",
    ),
    (
        lambda c: fitted(c)["weights"]["dict"].update({"conv1.bias": "text"}),
        "make no estimator .AttributeError",
    ),
    (lambda c: fitted(c).update(history=3), "make no estimator"),
    (lambda c: classifier_of(c)["params"].update(learning_rate="x"), "make no estim"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE)
def test_hostile_files(saved, change, message):
    edit(saved, change)
    with pytest.raises(ModelFormatError, match=message) as caught:
        load_model(saved)
    assert "model" in str(caught.value)


def test_nested_beyond_reason(saved):
    text = saved.read_text()
    deep = '{"tuple": [' * 3000 + "1" + "]}" * 3000
    saved.write_text(re.sub('"memory": null', f'"memory": {deep}', text, count=1))
    with pytest.raises(ModelFormatError, match="nested too deeply|not JSON"):
        load_model(saved)


def test_edited_form(reader, tmp_path):
    path = save_model(reader, tmp_path / "m")
    text = path.read_text()
    path.write_text(text.replace('"blank_right": "missing"', '"blank_right": "zero"'))
    with pytest.raises(
        ModelFormatError, match="form 'example' is not the one that was"
    ):
        load_model(path)


def test_model_of_format_1_still_reads():
    """Made once by `python tests/data/make_format_1.py`; never made again."""
    model = load_model(DATA / "format_1")
    expected = np.load(DATA / "format_1_expected.npz")
    assert model.classes_.tolist() == expected["classes"].tolist()
    model.set_params(precision="float32")  # as it was saved on any machine
    proba = model.predict_proba(expected["cells"])
    assert np.allclose(proba, expected["proba"], atol=1e-4)
    assert (model.predict(expected["cells"]) == expected["labels"]).all()
