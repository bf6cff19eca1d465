"""Four sets: known answers, what never stands on two sides, every mistake."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from sktally import domain_cv, train_validation_test_target_split
from sktally.exceptions import PageReadError, TallyError

SIDES = ("train", "validation", "test")


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (n, 3, 3), dtype=np.uint8)


X, X_TARGET = images(40), images(10, seed=1)
Y, Y_TARGET = np.arange(40) % 4, np.arange(10) % 4


def split(X=X, y=Y, X_target=X_TARGET, y_target=Y_TARGET, **more):
    return train_validation_test_target_split(
        X, y, X_target, y_target, **{"random_state": 0, **more}
    )


def test_known_answers():
    sets = split(validation_size=0.2, test_size=4)
    assert [len(sets[side]) for side in SIDES] == [28, 8, 4]
    assert sorted(np.concatenate([sets[s] for s in SIDES])) == list(range(40))
    assert sets.target.tolist() == list(range(40, 50))
    for side in SIDES:
        assert np.array_equal(sets[f"X_{side}"], X[sets[side]])
        assert np.array_equal(sets[f"y_{side}"], Y[sets[side]])
        assert (np.diff(sets[side]) > 0).all()
        assert len(set(np.bincount(sets[f"y_{side}"]))) == 1  # classes spread evenly
    assert np.array_equal(sets.X_target, X_TARGET)
    assert np.array_equal(sets.y_target, Y_TARGET)
    again, other = split(validation_size=0.2, test_size=4), split(random_state=1)
    assert np.array_equal(sets.test, again.test)
    assert not np.array_equal(split().test, other.test)


def test_whole_groups_and_defaults():
    pages = np.repeat(np.arange(20), 2)
    sets = split(groups=pages, target_groups=np.arange(20, 30))
    assert [len(sets[side]) for side in SIDES] == [28, 6, 6]
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        assert not set(pages[sets[SIDES[a]]]) & set(pages[sets[SIDES[b]]])


def test_identical_images_join_their_groups():
    twins = X.astype(float)
    twins[::8] = twins[0]  # on pages 0, 2, 4, 6, 8
    twins[1::8] = 0.0  # empty boxes join nothing
    pages = np.repeat(np.arange(10), 4)
    for seed in range(20):
        sets = split(twins, groups=pages, validation_size=8, test_size=4,
                     random_state=seed)  # fmt: skip
        assert len({tuple(np.isin([0, 8, 16, 24, 32], sets[s])) for s in SIDES}) == 2
        assert len(sets.train) == 28 and len(sets.validation) == 8
    twins = np.concatenate([X, X])  # and where no groups are named
    sets = split(twins, np.tile(Y, 2))
    assert sorted(sets.test % 40)[::2] == sorted(sets.test % 40)[1::2]


def test_a_set_never_stays_empty():
    for seed in range(20):
        sets = split(
            X, groups=np.repeat([0, 1, 2], [36, 2, 2]), random_state=seed,
            validation_size=1, test_size=1,
        )  # fmt: skip
        assert min(len(sets[side]) for side in SIDES) == 2


def test_shapes_and_kinds(tmp_path):
    frame = pd.DataFrame(X.reshape(40, -1))
    sets = split(frame, pd.Series(Y.astype(str)), X_TARGET.reshape(10, -1), None)
    assert sets.X_test.shape == (6, 9) and sets.y_target is None
    sets = split(list(X), np.stack([Y, Y], axis=1))  # pages with two fields
    assert sets.X_test.shape == (6, 3, 3) and sets.y_test.shape == (6, 2)
    pages = [np.full((i, 2), i) + np.arange(2) for i in range(1, 13)]
    sets = split(pages, ["x12"] * 12, X_TARGET)
    assert isinstance(sets.X_train, list) and len(sets.X_train) == 8
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(b"%d" % (i // 2))
    paths = [str(tmp_path / f"{i}.png") for i in range(8)]
    for seed in range(5):
        sets = split(paths, range(8), X_TARGET, random_state=seed)
        assert (sets.test % 2).tolist() == [0, 1]  # copies of a file stay together
    named = [f"{paths[0]}#page={i}" for i in range(1, 7)]
    assert len(split(named, range(6), paths[2:4], None).train) == 4


@pytest.mark.parametrize("name", ["validation", "target"])
def test_as_stock_cv(name):
    sets = split()
    both = np.concatenate([X, X_TARGET]).reshape(50, -1)
    y = np.concatenate([Y, Y_TARGET])
    cv = [(sets.train, sets[name])]
    search = GridSearchCV(
        KNeighborsClassifier(), {"n_neighbors": [1, 3]}, cv=cv, refit=False
    ).fit(both, y)
    model = KNeighborsClassifier(n_neighbors=1).fit(
        sets.X_train.reshape(-1, 9), sets.y_train
    )
    score = model.score(sets[f"X_{name}"].reshape(-1, 9), sets[f"y_{name}"])
    assert search.cv_results_["mean_test_score"][0] == score


def test_domain_cv_trains_on_one_and_scores_on_the_other():
    both = np.concatenate([X, X_TARGET]).reshape(50, -1)
    y = np.concatenate([Y, Y_TARGET])
    model = KNeighborsClassifier(n_neighbors=1)
    scores = cross_val_score(model, both, y, cv=domain_cv(40, 10))
    assert scores.tolist() == [model.fit(both[:40], Y).score(both[40:], Y_TARGET)]


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_properties(data):
    n = data.draw(st.integers(8, 60))
    pool = images(n)
    X = pool[data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))]
    pages = np.array(
        data.draw(st.lists(st.integers(0, 15), min_size=n, max_size=n))
    )  # fmt: skip
    y = data.draw(st.lists(st.sampled_from("0123x_"), min_size=n, max_size=n))
    shares = {
        f"{side}_size": data.draw(st.floats(0.05, 0.45)) for side in SIDES[1:]
    }  # fmt: skip
    groups = data.draw(st.sampled_from([None, pages]))
    seed = data.draw(st.integers(0, 99))
    try:
        sets = split(X, y, groups=groups, random_state=seed, **shares)
    except TallyError as error:
        assert re.search("expected at least 3|leave none to train", str(error))
        return
    rows = np.concatenate([sets[side] for side in SIDES])
    assert sorted(rows) == list(range(n))
    side = np.empty(n, dtype=int)
    for i, name in enumerate(SIDES):
        assert len(sets[name]) > 0
        side[sets[name]] = i
    for key in (X.reshape(n, -1), None if groups is None else groups[:, None]):
        if key is not None:
            _, code = np.unique(key, axis=0, return_inverse=True)
            both = set(zip(code.ravel().tolist(), side.tolist()))
            assert len(both) == code.max() + 1  # one side for each
    largest = _largest_unit(X, groups)
    wanted = [max(1, round(share * n)) for share in shares.values()]
    for want, name in zip([n - sum(wanted), *wanted], SIDES):
        assert abs(len(sets[name]) - want) <= (3 * largest if largest > 1 else 0)


def _largest_unit(X, groups):
    """Size of the largest set of samples held together, found by waves."""
    n = len(X)
    flat = X.reshape(n, -1)
    near = (flat[:, None] == flat[None]).all(axis=-1)
    if groups is not None:
        near |= groups[:, None] == groups[None]
    for _ in range(n):
        near = near @ near
    return near.sum(axis=1).max()


def with_nan(values):
    values = np.array(values, dtype=float)
    values.flat[9] = np.nan
    return values


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": Y[:-1]}, "y: expected 40 labels, one for each sample of X, got shape "
                        "(39,)"),
        ({"y": None}, "y: expected 40 labels, one for each sample of X, got None"),
        ({"y": with_nan(Y)}, "y: expected no missing values, got 1 (None or NaN; "
                             "first: sample 9); label those samples"),
        ({"y_target": Y}, "y_target: expected 10 labels, one for each sample of "
                          "X_target, got shape (40,)"),
        ({"y_target": with_nan(Y_TARGET)}, "y_target: expected no missing values"),
        ({"X": with_nan(X)}, "X: expected pixels without NaN, got NaN in sample 1; "
                             "leave absent cells out"),
        ({"X_target": with_nan(X_TARGET)}, "X_target: expected pixels without NaN"),
        ({"X": X[:, :0]}, "X: expected pixels without NaN, got none in sample 0"),
        ({"X": X[:0]}, "X: expected at least one sample, got none"),
        ({"X": "folder"}, "X: expected an array of images or a list of images or "
                          "paths, got str"),
        ({"X": 7}, "X: expected an array of images or a list of images or paths, got "
                   "int"),
        ({"X": [["a"]] * 40}, "X: expected images of numbers or paths, got ndarray in "
                              "sample 0"),
        ({"X": ["no.png"] * 40}, "X: no.png: cannot be read (No such file or "
                                 "directory); expected the path of a scan"),
        ({"groups": Y[:3]}, "groups: expected 40 of them, one for each sample, got "
                            "shape (3,)"),
        ({"groups": with_nan(Y)}, "groups: expected no missing values, got 1 (None or "
                                  "NaN; first: sample 9); name a group of its own"),
        ({"target_groups": [None] * 10}, "target_groups: expected no missing values, "
                                         "got 10"),
        ({"target_groups": Y}, "target_groups: expected 10 of them"),
        ({"groups": Y, "target_groups": Y_TARGET + 3}, "groups: 1 stand in "
            "target_groups too (first: 3); leave them out of one domain, or rename"),
        ({"groups": Y % 2}, "groups: expected at least 3 to train, validate and test, "
                            "got 2; give more, or finer groups"),
        ({"X": X[[0, 1, 2, 2]], "y": Y[:4], "groups": [5, 6, 7, 5]},
         "groups: expected at least 3 to train, validate and test, got 3, 2 after "
         "those with identical images are joined (first: X[2] = X[3])"),
        ({"X": X[[0, 1, 1]], "y": Y[:3]}, "samples: expected at least 3 to train, "
            "validate and test, got 3, 2 after"),
        ({"X_target": X[[7, 3]], "y_target": None}, "X: 2 images stand in the target "
            "domain too, pixel for pixel: X[3] = X_target[1], X[7] = X_target[0]; "
            "leave them out of one domain"),
        ({"X_target": X.astype(float), "y_target": None}, "X: 40 images stand in the "
            "target domain too, pixel for pixel: X[0] = X_target[0], X[1] = "
            "X_target[1], X[2] = X_target[2], ...; leave"),
        ({"validation_size": 0.6, "test_size": 0.4}, "validation_size=0.6 and "
            "test_size=0.4 take 24 + 16 of 40 samples and leave none to train on"),
        ({"validation_size": 39}, "validation_size=39 and test_size=0.15 take 39 + 6"),
        ({"validation_size": 0}, "validation_size: expected an integer in [1, 40], "
                                 "got 0"),
        ({"test_size": 41}, "test_size: expected an integer in [1, 40], got 41"),
        ({"test_size": 1.0}, "test_size: expected a share above 0 and below 1, got "
                             "1.0; a number of samples is an int"),
        ({"test_size": -0.1}, "test_size: expected a number in [0, 1], got -0.1"),
        ({"test_size": np.nan}, "test_size: expected a number, got nan"),
        ({"test_size": True}, "test_size: expected a number, got True"),
        ({"validation_size": "0.1"}, "validation_size: expected a number, got '0.1'"),
    ],
)  # fmt: skip
def test_mistakes(arguments, message):
    with pytest.raises(TallyError, match=re.escape(message)):
        split(**arguments)


def test_page_names_are_checked():
    with pytest.raises(PageReadError, match="expected a page number 1, 2, "):
        split(["a.pdf#page=0"] * 40)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 3), "n_source: expected an integer in [1, "),
        ((3, 2.0), "n_target: expected an integer, got 2.0"),
        ((X, 3), "n_source: expected an integer, got array("),
    ],
)
def test_mistakes_of_domain_cv(numbers, message):
    with pytest.raises(TallyError, match=re.escape(message)):
        domain_cv(*numbers)
