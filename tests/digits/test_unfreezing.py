"""Layers that learn at rates of their own, and layers that are released one by one."""

import pickle

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from sktally import CNNClassifier, load_model, save_model
from sktally.digits._layers import parameter_groups
from sktally.exceptions import TallyError

LAYERS = ["conv1", "conv2", "dense1", "dense2", "output"]


@pytest.fixture(scope="module")
def normed(digits, small):
    """Five weight layers with batch norm, trained on the first digits."""
    X, y = digits
    settings = {**small, "batch_norm": True, "hidden": (32, 16)}
    return CNNClassifier(**settings).fit(X[:500], y[:500])


@pytest.fixture
def tuned(normed):
    """The same, to be trained on from there."""
    return clone(normed).set_params(pretrained=FrozenEstimator(normed), max_epochs=1)


def moved(source, model):
    """Return the layers of which any tensor differs, and those of which all do."""
    before, after = (m.net_.module_.state_dict() for m in (source, model))
    changes = {layer: set() for layer in LAYERS}
    # batch norm takes these out: they move by errors of rounding or not at all
    idle = {f"{layer}.bias" for layer in LAYERS[:-1]}
    for name in before:
        if "num_batches" not in name and name not in idle:
            layer = name.split(".")[0].removesuffix("_norm")
            changes[layer].add(not torch.equal(before[name], after[name]))
    some = [layer for layer in LAYERS if True in changes[layer]]
    return some, [layer for layer in LAYERS if changes[layer] == {True}]


# ---- rates by layer


def test_groups_hold_every_parameter_once():
    module = nn.Sequential(
        nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)
    )
    module.append(nn.Linear(4, 4, bias=False))
    module[4].weight = module[1].weight  # tied
    for decay, n_groups in ((1.0, 2), (0.5, 4)):
        groups = parameter_groups(module, decay)
        found = [id(w) for group in groups for w in group["params"]]
        assert sorted(found) == sorted(map(id, module.parameters()))
        assert len(groups) == n_groups
        for group in groups:
            vectors = {w.dim() < 2 for w in group["params"]}
            assert vectors == {"weight_decay" in group}
    shares = {id(w): group["share"] for group in groups for w in group["params"]}
    assert shares[id(module[0].bias)] == shares[id(module[1].weight)] == 0.25
    assert shares[id(module[2].weight)] == 0.25 and shares[id(module[3].bias)] == 0.5


@pytest.mark.parametrize(
    "penalty", [{}, {"l2": 0.02}, {"l1": 0.01}, {"sample_weight": True}], ids=str
)
def test_a_step_is_shorter_by_the_decay_for_each_layer_down(digits, normed, penalty):
    # one step of SGD from the same weights: steps are proportional to the rates
    X, y = digits
    options = dict(penalty)
    params = {}
    if options.pop("sample_weight", False):
        params["sample_weight"] = np.arange(1, 101)
    options |= {"optimizer": "sgd", "learning_rate": 0.1, "dropout": 0.0}
    options |= {"batch_size": 100, "max_epochs": 1, "precision": "float32"}
    options["pretrained"] = FrozenEstimator(normed)
    steps = []
    for decay in (1.0, 0.5):
        model = clone(normed).set_params(**options, layer_decay=decay)
        model.fit(X[500:600], y[500:600], **params)
        parts = [m.net_.module_ for m in (normed, model)]
        pairs = zip(*(part.named_parameters() for part in parts))
        steps.append({name: (new - old).detach() for (name, old), (_, new) in pairs})
    for name, step in steps[0].items():
        depth = LAYERS[::-1].index(name.split(".")[0].removesuffix("_norm"))
        assert torch.allclose(steps[1][name], step * 0.5**depth, atol=1e-6), name
    assert steps[0]["conv1.weight"].abs().max() > 1e-4


def test_rates_of_the_optimizer(digits, small):
    X, y = digits
    model = CNNClassifier(**small, layer_decay=0.1, weight_decay=0.3)
    model.fit(X[:100], y[:100])
    rates = [(g["lr"], g["weight_decay"]) for g in model.net_.optimizer_.param_groups]
    expected = [(0.01 * 0.1**k, d) for k in (3, 2, 1, 0) for d in (0.3, 0.0)]
    assert np.allclose(rates, expected)
    model.set_params(learning_rate=0.1, layer_decay=0.5).partial_fit(X[:100], y[:100])
    rates = [group["lr"] for group in model.net_.optimizer_.param_groups]
    assert np.allclose(rates, np.repeat([0.0125, 0.025, 0.05, 0.1], 2))
    weight = model.net_.module_.conv1.weight
    steps = 4 * 2 + 2  # two batches in each of four epochs, and in one more
    assert model.net_.optimizer_.state[weight]["step"] == steps


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "linear"])
def test_schedules_scale_every_layer(digits, small, schedule):
    X, y = digits
    model = CNNClassifier(**small, layer_decay=0.5, schedule=schedule)
    model.fit(X[:800], y[:800])
    assert model.score(X[800:1200], y[800:1200]) > 0.5
    rates = [group["lr"] for group in model.net_.optimizer_.param_groups]
    assert np.allclose(rates, 0, atol=1e-9) and len(rates) == 8


def test_layer_decay_in_warm_start_pickle_and_file(digits, small, tmp_path):
    X, y = digits
    model = CNNClassifier(**small, layer_decay=0.3, warm_start=True)
    model.fit(X[:300], y[:300])
    again = [
        pickle.loads(pickle.dumps(model)),
        load_model(save_model(model, tmp_path / "m")),
    ]
    for one in (model, *again):
        assert one.layer_decay == 0.3
        one.fit(X[:300], y[:300])
        assert one.n_epochs_ == 8
    proba = [one.predict_proba(X[300:320]) for one in (model, *again)]
    assert (proba[0] == proba[1]).all() and (proba[0] == proba[2]).all()


# ---- gradual unfreezing


@pytest.mark.parametrize(
    ("n_frozen", "every", "n_epochs", "expected"),
    [
        (3, 1, 1, [3]),
        (3, 1, 2, [3, 2]),
        (3, 1, 5, [3, 2, 1, 0, 0]),
        (4, 2, 5, [4, 4, 3, 3, 2]),
        (2, None, 3, [2, 2, 2]),
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "sgd", "l1": 1e-3, "l2": 1e-3},
        {"optimizer": "adagrad", "schedule": "one-cycle", "layer_decay": 0.5},
        {"weight_decay": 0.1, "layer_decay": 0.5},
    ],
    ids=str,
)
def test_layers_are_bit_equal_until_released(
    digits, normed, tuned, n_frozen, every, n_epochs, expected, options
):
    X, y = digits
    tuned.set_params(freeze_layers=n_frozen, unfreeze_epochs=every, **options)
    tuned.set_params(max_epochs=n_epochs).fit(X[500:700], y[500:700])
    assert tuned.history_.frozen_layers.tolist() == expected
    # batch norm's weights and statistics count among the tensors of a layer
    assert moved(normed, tuned) == (LAYERS[expected[-1] :],) * 2


def test_a_released_layer_begins_with_a_fresh_step_of_full_length(digits, tuned):
    X, y = digits
    part = X[500:600], y[500:600]
    tuned.set_params(optimizer="adagrad", dropout=0.0, batch_size=100)
    tuned.set_params(precision="float32", freeze_layers=1, max_epochs=2)
    one = clone(tuned).set_params(unfreeze_epochs=1).fit(*part)
    rest = clone(tuned).fit(*part)
    assert one.history_.train_loss[0] == rest.history_.train_loss[0]
    step = one.net_.module_.conv1.weight - rest.net_.module_.conv1.weight
    # a first step of Adagrad is the sign of the gradient times the rate
    assert torch.allclose(step.abs(), torch.full_like(step, 0.01), atol=1e-4)


def test_fit_argument_wins_and_a_warm_start_freezes_again(digits, normed, tuned):
    X, y = digits
    part = X[500:600], y[500:600]
    tuned.set_params(unfreeze_epochs=1, warm_start=True, max_epochs=2)
    tuned.fit(*part, freeze_layers=3).fit(*part, freeze_layers=1)
    tuned.set_params(unfreeze_epochs=None).fit(*part)
    assert tuned.history_.frozen_layers.tolist() == [3, 2, 1, 0, 0, 0]
    assert tuned.history_.columns[-1] == "frozen_layers"
    assert tuned.history_.frozen_layers.dtype == int
    tuned.set_params(warm_start=False, pretrained=None).fit(*part)
    assert "frozen_layers" not in tuned.history_


def test_partial_fit_counts_all_epochs(digits, normed, tuned, tmp_path):
    X, y = digits
    tuned.set_params(unfreeze_epochs=2, freeze_layers=2)
    released = []
    for epoch in range(5):
        if epoch == 3:  # the count travels
            tuned = load_model(
                save_model(pickle.loads(pickle.dumps(tuned)), tmp_path / "m")
            )
        tuned.partial_fit(X[500:600], y[500:600], classes=range(10))
        released.append(moved(normed, tuned)[0])
    assert tuned.history_.frozen_layers.tolist() == [2, 2, 1, 1, 0]
    assert released == [LAYERS[2:]] * 2 + [LAYERS[1:]] * 2 + [LAYERS]


def test_one_sample_batches_will_meet_a_released_norm(digits, normed, tuned):
    X, y = digits
    own = clone(tuned).set_params(freeze_layers=4, batch_size=2)
    own.fit(X[:3], y[:3])  # all norms are frozen
    with pytest.raises(TallyError, match="batch_size: 3 samples in batches of up to 2"):
        own.set_params(unfreeze_epochs=1).fit(X[:3], y[:3])


def test_early_stopping_restores_weights_of_a_frozen_epoch(digits, normed, tuned):
    X, y = digits
    tuned.set_params(freeze_layers=4, unfreeze_epochs=1, early_stopping=True)
    tuned.set_params(max_epochs=4, learning_rate=0.3, patience=2)
    tuned.fit(X[500:800], y[500:800])
    best = tuned.history_.valid_loss.idxmin()
    frozen = tuned.history_.frozen_layers[best]
    assert moved(normed, tuned)[0] == LAYERS[frozen:]


def test_search_pipeline_and_routing_reach_both(digits, normed, tuned):
    X, y = digits
    part = X[500:700], y[500:700]
    piped = Pipeline([("same", FunctionTransformer()), ("cnn", tuned)])
    grid = {"cnn__unfreeze_epochs": [1, None], "cnn__layer_decay": [0.3, 1.0]}
    piped.set_params(cnn__freeze_layers=2, cnn__max_epochs=2)
    search = GridSearchCV(piped, grid, cv=2).fit(*part)
    best = search.best_estimator_["cnn"]
    first = 2 if best.unfreeze_epochs is None else 1
    assert len(search.cv_results_["params"]) == 4
    assert moved(normed, best)[0] == LAYERS[first:]
    with config_context(enable_metadata_routing=True):
        asked = clone(tuned).set_fit_request(freeze_layers=True)
        asked.set_params(unfreeze_epochs=1, max_epochs=2)
        routed = Pipeline([("same", FunctionTransformer()), ("cnn", asked)])
        routed.fit(*part, freeze_layers=3)
    assert routed["cnn"].history_.frozen_layers.tolist() == [3, 2]
    again = clone(pickle.loads(pickle.dumps(asked)))
    assert (again.unfreeze_epochs, again.layer_decay) == (1, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_decay": 0}, r"layer_decay: expected a number in \[0.001, 1\], got 0"),
        (
            {"layer_decay": 1.1},
            r"layer_decay: expected a number in \[0.001, 1\], got 1",
        ),
        ({"layer_decay": None}, "layer_decay: expected a number, got None"),
        (
            {"unfreeze_epochs": 0, "freeze_layers": 1},
            r"unfreeze_epochs: expected an integer in \[1, 1000000\], got 0",
        ),
        (
            {"unfreeze_epochs": 1.5, "freeze_layers": 1},
            "unfreeze_epochs: expected an integer, got 1.5",
        ),
        (
            {"unfreeze_epochs": 2},
            "unfreeze_epochs=2: expected layers to release, and freeze_layers=0 "
            "freezes none; set freeze_layers to 1 or more, .* or unfreeze_epochs=None",
        ),
        (
            {"unfreeze_epochs": 2, "freeze_layers": 1, "pretrained": None},
            "freeze_layers=1: frozen layers need trained weights, and pretrained is",
        ),
        (
            {"unfreeze_epochs": 2, "freeze_layers": 5},
            "freeze_layers=5: the network has 5 weight layers .* expected 0 to 4",
        ),
    ],
)
def test_wrong_settings(digits, tuned, options, message):
    X, y = digits
    with pytest.raises(TallyError, match=message):
        tuned.set_params(**options).fit(X[:30], y[:30])


def test_nothing_to_release_when_going_on(digits, tuned):
    X, y = digits
    tuned.fit(X[:30], y[:30]).set_params(unfreeze_epochs=1)
    with pytest.raises(TallyError, match="expected layers to release, and freeze_lay"):
        tuned.partial_fit(X[:30], y[:30])
