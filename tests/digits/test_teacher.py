"""Distillation: learn from what another network answers."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.nn import functional

from sktally import CNNClassifier, load_model
from sktally.digits._teacher import TEMPERATURE, make_teacher
from sktally.exceptions import TallyError


def apart(model, teacher, X):
    """Return the mean divergence of a model's probabilities from a teacher's."""
    told, said = teacher.predict_proba(X), model.predict_proba(X)
    return (told * np.log((told + 1e-9) / (said + 1e-9))).sum(1).mean()


def test_a_teacher_alone_teaches_what_labels_do_not_say(digits, small, fitted):
    """Its labels are noise, so the student knows the digits from the teacher only."""
    X, y = digits
    noise = np.random.default_rng(0).permutation(y[:1000]).astype(str)
    student = CNNClassifier(**{**small, "max_epochs": 8})
    student.fit(X[:1000], noise, teacher=fitted, teacher_share=1)
    assert student.score(X[1000:], y[1000:].astype(str)) > 0.85
    alone = clone(student).fit(X[:1000], noise)
    assert alone.score(X[1000:], y[1000:].astype(str)) < 0.3


def test_students_answer_more_as_their_teacher_does(digits, small, fitted):
    X, y = digits
    y = y.astype(str)
    labels = CNNClassifier(**small).set_params(random_state=1).fit(X[:1000], y[:1000])
    taught = clone(labels).fit(X[:1000], y[:1000], teacher=fitted)
    assert apart(taught, fitted, X[1000:]) < apart(labels, fitted, X[1000:])


def test_a_share_of_nothing_is_no_teacher(digits, small, fitted):
    X, y = digits[0][:200], digits[1][:200].astype(str)
    settings = {**small, "augment": "tally", "max_epochs": 2, "batch_norm": True}
    models = [
        CNNClassifier(**settings).fit(X, y, **given)
        for given in ({}, {"teacher": fitted, "teacher_share": 0})
    ]
    answers = [model.predict_proba(X) for model in models]
    if not models[0].net_.bfloat16:
        assert np.array_equal(*answers)


def test_the_loss_is_the_divergence_at_a_temperature(digits, fitted):
    X, _ = digits
    student = clone(fitted).fit(X[:50], fitted.predict(X[:50]))
    teacher = make_teacher(fitted, 0.5, student)
    offset, scale = student.pixel_offset_, student.pixel_scale_
    seen = torch.from_numpy((X[:20] - offset) / scale).float()[:, None]
    teacher.see(seen, offset, scale)
    told = functional.softmax(teacher.answers, 1).float().numpy()
    assert told == pytest.approx(fitted.predict_proba(X[:20]), abs=1e-5)
    logits = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    p = functional.softmax(teacher.answers.float() / TEMPERATURE, 1)
    q = functional.softmax(logits / TEMPERATURE, 1)
    expected = TEMPERATURE**2 * (p * (p / q).log()).sum(1)
    assert teacher.each(logits).numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert teacher.each(teacher.answers).abs().max() < 1e-6


def test_teacher_and_student_see_the_same_augmented_cells(digits, small, fitted):
    """So a student that is the teacher has nothing to learn, whatever is drawn."""
    X, y = digits[0][:200], fitted.predict(digits[0][:200])
    settings = {**small, "augment": "tally", "dropout": 0, "max_epochs": 1}
    same = CNNClassifier(**settings, warm_start=True).fit(X, y)
    other = clone(same).set_params(random_state=1).fit(X, y)
    same.set_params(learning_rate=0)
    losses = [
        same.fit(X, y, teacher=teacher, teacher_share=1).history_.train_loss.iloc[-1]
        for teacher in (pickle.loads(pickle.dumps(same)), other)
    ]
    assert losses[0] < 1e-6 < 1e-3 < losses[1]


def test_sample_weights_hold_for_the_teacher_too(digits, small, fitted):
    X, y = digits[0][:300], digits[1][:300].astype(str)
    settings = {**small, "max_epochs": 1}
    heavy = np.where(y == "3", 50.0, 1.0)
    tilted = CNNClassifier(**settings).fit(
        X, y, sample_weight=heavy, teacher=fitted, teacher_share=1
    )
    plain = CNNClassifier(**settings).fit(X, y, teacher=fitted, teacher_share=1)
    threes = digits[0][1000:][digits[1][1000:] == 3]
    assert apart(tilted, fitted, threes) < apart(plain, fitted, threes)


def test_a_fitted_net_holds_no_teacher(digits, small, fitted):
    X, y = digits[0][:100], digits[1][:100].astype(str)
    model = CNNClassifier(**small).fit(X, y, teacher=fitted)
    assert model.net_.teacher is None
    with pytest.raises(TallyError, match="became nan|became inf"):
        broken = {**small, "learning_rate": 1e3, "optimizer": "sgd"}
        model.set_params(**broken).fit(X * 1e3, y, teacher=fitted)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda fitted: CNNClassifier(), "expected a fitted CNNClassifier, got CNNC"),
        (lambda fitted: load_model("default"), r"got Pipeline; fit it, or take the"),
        (lambda fitted: "default", "expected a fitted CNNClassifier, got str"),
        (lambda fitted: load_model("default")[-1], "expected classes .* got .*'x'"),
    ],
)
def test_no_teacher(digits, small, fitted, make, message):
    X, y = digits
    with pytest.raises(TallyError, match=message):
        CNNClassifier(**small).fit(X[:50], y[:50].astype(str), teacher=make(fitted))


def test_a_teacher_of_other_images(digits, small, fitted):
    X, y = digits
    with pytest.raises(TallyError, match=r"expected images \(8, 4\), got \(8, 8\)"):
        CNNClassifier(**small).fit(X[:300, :, :4], y[:300].astype(str), teacher=fitted)


@pytest.mark.parametrize("share", [-0.1, 1.1, "half"])
def test_a_share_out_of_range(digits, small, fitted, share):
    X, y = digits
    with pytest.raises(TallyError, match="teacher_share"):
        CNNClassifier(**small).fit(
            X[:50], y[:50].astype(str), teacher=fitted, teacher_share=share
        )
