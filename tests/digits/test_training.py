"""How the network learns: optimizer, schedule, penalties, weights, going on."""

import numpy as np
import pytest
import torch

from sktally import CNNClassifier
from sktally.digits._callbacks import Schedule
from sktally.exceptions import TallyError


class Net:
    """What a schedule needs of a net: ten epochs of ten steps."""

    lr = 0.5
    max_epochs = 10

    class optimizer_:
        param_groups = [{"lr": 0, "share": 1}, {"lr": 0, "share": 0.1}]

    def get_iterator(self, X, training):
        return range(10)


def rates_of(name):
    net, rates = Net(), []
    schedule = Schedule(name)
    schedule.on_train_begin(net, X=None)
    for _ in range(100):
        rates.append(net.optimizer_.param_groups[0]["lr"])
        assert net.optimizer_.param_groups[1]["lr"] == pytest.approx(rates[-1] / 10)
        schedule.on_batch_end(net, training=True)
    return rates


def test_one_cycle_rises_and_falls():
    rates = rates_of("one-cycle")
    assert rates[0] == pytest.approx(0.02) and max(rates) == pytest.approx(0.5)
    assert int(np.argmax(rates)) == 30 and rates[-1] < 0.001


def test_cosine_and_linear_fall_from_the_start():
    cosine, linear = rates_of("cosine"), rates_of("linear")
    assert cosine[0] == linear[0] == 0.5 and max(cosine[-1], linear[-1]) < 0.01
    assert cosine[50] == pytest.approx(0.25) and linear[50] == pytest.approx(0.25)
    assert cosine[25] > linear[25] == pytest.approx(0.375)


def test_weight_decay_shrinks_weights_not_biases(digits, small):
    X, y = digits
    model = CNNClassifier(**small, weight_decay=0.5).fit(X[:100], y[:100])
    groups = model.net_.optimizer_.param_groups
    sizes = {group["weight_decay"]: len(group["params"]) for group in groups if group}
    assert sizes[0.5] == 4
    free = CNNClassifier(**small).fit(X[:100], y[:100])
    modules = [m.net_.module_ for m in (model, free)]
    norm = [m.conv1.weight.detach().norm().item() for m in modules]
    assert norm[0] < norm[1]


@pytest.mark.parametrize("name", ["adamw", "muon", "adam", "sgd", "adagrad"])
def test_optimizer_is_the_one_named(digits, small, name):
    X, y = digits
    model = CNNClassifier(**{**small, "max_epochs": 1}, optimizer=name)
    assert type(model.fit(X[:50], y[:50]).net_.optimizer_).__name__.lower() == name


def test_adamw_without_decay_is_adam(digits, small):
    X, y = digits
    answers = [
        CNNClassifier(**{**small, "max_epochs": 1}, optimizer=name)
        .fit(X[:100], y[:100])
        .predict_proba(X[:20])
        for name in ("adamw", "adam")
    ]
    assert np.allclose(*answers, atol=1e-5)


def test_penalties_are_gradients_of_what_they_say(digits, small):
    X, y = digits
    settings = {**small, "max_epochs": 1, "batch_size": 100, "precision": "float32"}
    settings |= {"optimizer": "sgd", "learning_rate": 0.1, "dropout": 0.0}
    models = [
        CNNClassifier(**settings, **penalty).fit(X[:100], y[:100])
        for penalty in ({}, {"l1": 0.01}, {"l2": 0.02})
    ]
    plain, lasso, ridge = (m.net_.module_ for m in models)
    # one step from the same weights w: the differences are the gradients at w
    step = (plain.conv1.weight - lasso.conv1.weight) / 0.1
    assert torch.allclose(step.abs(), torch.full_like(step, 0.01), atol=1e-5)
    step = (plain.conv1.weight - ridge.conv1.weight) / 0.1
    before = plain.conv1.weight + 0  # a step moves it by little
    assert (
        torch.nn.functional.cosine_similarity(step.flatten(), before.flatten(), 0) > 0.9
    )
    assert torch.equal(plain.conv1.bias, ridge.conv1.bias)
    losses = [m.history_.train_loss[0] for m in models]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "lion"}, "optimizer: expected one of 'adamw', 'muon', 'adam', "),
        ({"l1": -1}, "l1: expected a number in"),
        ({"l2": "much"}, "l2: expected a number, got 'much'"),
        (
            {"optimizer": "sgd", "weight_decay": 0.1},
            "weight_decay: expected 0 with optimizer='sgd', got 0.1: .* use l2",
        ),
    ],
)
def test_wrong_settings(digits, options, message):
    X, y = digits
    with pytest.raises(TallyError, match=message):
        CNNClassifier(**options).fit(X[:20], y[:20])


def test_loss_that_explodes_stops(digits):
    X, y = digits
    model = CNNClassifier(
        filters=(8, 8, 8),
        hidden=(32,) * 10,
        learning_rate=1e3,
        max_epochs=20,
        precision="float32",
    )
    with pytest.raises(
        TallyError, match=r"training loss became .* Lower learning_rate"
    ):
        model.fit(X[:300], y[:300])
