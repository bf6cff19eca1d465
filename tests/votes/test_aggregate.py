"""VoteCountAggregator with classifiers of every kind, on known answers."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.ensemble import (
    BaggingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import get_tags

from sktally.exceptions import TallyError
from sktally.votes import CLASSES, VoteCountAggregator, boxes_to_counts, place_weights
from sktally.votes._fitting import check_classifier


def neighbours():
    return KNeighborsClassifier(1)


class Images(ClassifierMixin, BaseEstimator):
    """Nearest mean of images (n, h, w): stands for a network in what it accepts."""

    def __init__(
        self,
        classes=None,
        early_stopping=False,
        freeze_layers=0,
        validation_fraction=0.1,
        random_state=None,
    ):
        self.classes = classes
        self.early_stopping = early_stopping
        self.freeze_layers = freeze_layers
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(
        self,
        X,
        y,
        *,
        label_sets=None,
        validation_split=None,
        freeze_layers=None,
        sample_weight=None,
    ):
        assert X.ndim == 3 and not np.isnan(X).any()
        self.y_, self.label_sets_, self.split_ = y, label_sets, validation_split
        self.frozen_, self.weights_ = freeze_layers, sample_weight
        self.classes_ = np.asarray(self.classes)
        one_hot = y[:, None] == self.classes_
        weights = one_hot if label_sets is None else label_sets
        weights = weights / weights.sum(axis=1, keepdims=True)
        for _ in range(5):  # expectation maximisation over the sets
            means = weights.T @ X.reshape(len(X), -1)
            self.means_ = means / np.maximum(weights.sum(axis=0), 1e-9)[:, None]
            if label_sets is None:
                break
            weights = self.predict_proba(X) * label_sets
            weights = weights / weights.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, X):
        assert X.ndim == 3
        gap = X.reshape(len(X), 1, -1) - self.means_
        weights = np.exp(-10 * (gap**2).sum(axis=2)) + 1e-12
        return weights / weights.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class ImageStep(FunctionTransformer):
    """Does nothing, to images (n, h, w): stands for a normalizer of cells."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


CLASSIFIERS = [
    SVC(),
    LinearSVC(),
    RandomForestClassifier(20, random_state=0),
    LogisticRegression(),
    neighbours(),
    Images(),
]


@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=lambda c: type(c).__name__)
def test_every_classifier_reads_the_known_counts(classifier, tallies):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(classifier).fit(cells[:30], boxes[:30])
    counts = votes.predict(cells)
    assert counts.dtype == np.int64 and counts.shape == (40, 2)
    assert (counts[:30] == boxes_to_counts(boxes[:30])[0]).all()
    assert votes.score(cells[30:], boxes[30:]) >= 0.9
    read = votes.predict_boxes(cells[:30])
    assert read.dtype == object and (read == boxes[:30]).all()
    assert votes.n_cells_ == 30 * 2 * 3


@pytest.mark.parametrize(
    "wrapped",
    [
        GridSearchCV(Images(list(CLASSES)), {"freeze_layers": [0, 1]}, cv=2),
        CalibratedClassifierCV(Images(list(CLASSES)), cv=2),
        CalibratedClassifierCV(LinearSVC(), cv=2),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(ImageStep(), Images(list(CLASSES))),
        BaggingClassifier(neighbours(), 3, random_state=0),
    ],
    ids=["search", "calibrated", "calibrated-svm", "scaled", "images", "bag"],
)
def test_classifiers_inside_others(wrapped, tallies):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(wrapped).fit(cells, boxes)
    assert votes.score(cells, boxes) > 0.9
    assert np.isfinite(votes.predict_tallies(cells).confidence).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_absent_cells_and_an_unread_page(padded_tallies, dtype):
    cells, labels, boxes = padded_tallies
    votes = VoteCountAggregator(neighbours()).fit(cells.astype(dtype), boxes)
    assert votes.n_cells_ == 39 * 5
    result = votes.predict_tallies(cells.astype(dtype))
    read = np.arange(40) != 3
    assert (result.counts[read] == boxes_to_counts(boxes[read])[0]).all()
    assert (result.boxes[read] == boxes[read]).all()
    assert result.counts[3].tolist() == [-1, -1]
    assert result.boxes[3].tolist() == ["", ""]
    assert result.status[3].tolist() == ["unread", "unread"]
    assert np.isnan(result.confidence[3]).all() and np.isnan(result.tally_quality[3])
    assert not result.high_quality[3] and result.high_quality[read].all()
    assert result.digit_proba.shape == (40, 2, 3, 12)
    assert result.digit_proba.dtype == np.float32
    absent = np.isnan(cells).all(axis=(3, 4))
    assert (np.isnan(result.digit_proba).all(axis=-1) == absent).all()
    assert result.digit_proba[~absent].sum(axis=-1) == pytest.approx(1)


def test_uint8_cells_that_are_0_all_over_are_absent(padded_tallies):
    cells, _, boxes = padded_tallies
    pixels = np.nan_to_num(1 + 200 * cells.clip(0, 1)).astype(np.uint8)
    votes = VoteCountAggregator(neighbours()).fit(pixels, boxes)
    assert votes.n_cells_ == 39 * 5
    assert votes.predict(pixels)[3].tolist() == [-1, -1]
    assert (votes.predict(pixels)[4:] == boxes_to_counts(boxes[4:])[0]).all()


def test_all_pages_unread(padded_tallies):
    cells, _, boxes = padded_tallies
    votes = VoteCountAggregator(neighbours()).fit(cells, boxes)
    result = votes.predict_tallies(np.full_like(cells[:2], np.nan))
    assert (result.counts == -1).all() and (result.status == "unread").all()


def test_confidence_is_the_weighted_mean_of_the_labels_read(padded_tallies):
    cells, _, boxes = padded_tallies
    forest = RandomForestClassifier(10, random_state=0)
    votes = VoteCountAggregator(forest, high_quality=0.8).fit(cells, boxes)
    result = votes.predict_tallies(cells)
    best = result.digit_proba.max(axis=-1)
    assert result.confidence[0, 0] == pytest.approx(best[0, 0] @ [0.5, 0.35, 0.15])
    assert result.confidence[0, 1] == pytest.approx(best[0, 1, 1:] @ place_weights(2))
    assert result.tally_quality == pytest.approx(
        result.confidence.mean(axis=1), nan_ok=True
    )
    assert (result.high_quality == (result.tally_quality > 0.8)).all()
    assert 0 < result.high_quality.mean() < 1


def test_misfits_are_less_sure_and_marked(padded_tallies):
    cells, _, boxes = padded_tallies
    votes = VoteCountAggregator(RandomForestClassifier(10, random_state=0))
    votes.fit(cells, boxes)
    misfit = np.zeros(cells.shape[:2], bool)
    misfit[:, 0] = True
    plain, marked = (votes.predict_tallies(cells, misfit=m) for m in (None, misfit))
    np.testing.assert_array_equal(marked.counts, plain.counts)
    read = plain.status != "unread"
    assert (marked.status[read & misfit] == "misfit").all()
    others = ~(read & misfit)
    np.testing.assert_array_equal(marked.status[others], plain.status[others])
    best = marked.digit_proba.max(axis=-1)
    assert marked.confidence[0, 0] == pytest.approx(best[0, 0] @ [0.5, 0.35, 0.15])
    np.testing.assert_allclose(np.nansum(marked.digit_proba, -1).max(), 1, rtol=1e-6)
    sure, less = (r.digit_proba[:, 0].max(axis=-1) for r in (plain, marked))
    assert (less < sure)[~np.isnan(sure)].all()
    np.testing.assert_array_equal(marked.digit_proba[:, 1:], plain.digit_proba[:, 1:])
    assert marked.tally_quality == pytest.approx(
        marked.confidence.mean(axis=1), nan_ok=True
    )
    right = [votes.predict_count_proba(cells, misfit=m) for m in (None, misfit)]
    assert (right[1] < right[0])[read & misfit].all()
    np.testing.assert_array_equal(right[1][:, 1:], right[0][:, 1:])


@pytest.mark.parametrize("misfit", [[True], np.zeros((3, 2))])
def test_misfits_are_of_each_field(misfit, padded_tallies):
    cells, _, boxes = padded_tallies
    votes = VoteCountAggregator(neighbours()).fit(cells, boxes)
    with pytest.raises(TallyError, match=r"misfit: expected True or False for each"):
        votes.predict_tallies(cells, misfit=misfit)


def test_blank_right_of_a_digit_goes_by_the_rule(tallies):
    cells, labels, boxes = tallies
    pattern = {c: cells[labels == CLASSES.index(c)][0] for c in "32_x"}
    page = np.stack([[pattern[c] for c in text] for text in ("32_", "3x2")])[None]
    for rule, expected in (("missing", -1), ("zero", 320), ("shift", 32)):
        votes = VoteCountAggregator(neighbours(), blank_right=rule).fit(cells, boxes)
        result = votes.predict_tallies(page)
        assert result.counts.tolist() == [[expected, 302]]
        assert result.status.tolist() == [["ambiguous", "ambiguous"]]
        assert result.boxes.tolist() == [["32_", "3x2"]]


def test_without_predict_proba_there_is_no_confidence(tallies):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(LinearSVC()).fit(cells, boxes)
    result = votes.predict_tallies(cells)
    assert np.isnan(result.confidence).all() and np.isnan(result.digit_proba).all()
    assert (result.status == "ok").all() and not result.high_quality.any()
    assert not hasattr(votes, "predict_digit_proba")
    assert hasattr(VoteCountAggregator(neighbours()), "predict_digit_proba")


@pytest.mark.parametrize("classes", [list(range(12)), list(range(10))])
def test_classifier_with_integer_classes(tallies, classes):
    cells, labels, _ = tallies
    flat = cells.reshape(*labels.shape, -1)
    kept = np.isin(labels, classes)
    frozen = FrozenEstimator(neighbours().fit(flat[kept], labels[kept]))
    votes = VoteCountAggregator(frozen)
    proba = votes.predict_digit_proba(cells)
    assert proba.shape == (40, 2, 3, 12)
    assert (proba[..., len(classes) :] == 0).all()
    assert (proba.argmax(axis=-1)[kept] == labels[kept]).all()


def test_classes_of_the_classifier_may_come_in_any_order(tallies):
    cells, _, boxes = tallies
    shuffled = [CLASSES[i] for i in np.random.default_rng(0).permutation(12)]
    votes = VoteCountAggregator(Images(classes=shuffled)).fit(cells, boxes)
    assert votes.classes_.tolist() == list(CLASSES)
    assert (votes.predict_boxes(cells) == boxes).all()
    numbers = VoteCountAggregator(Images(classes=list(range(12)))).fit(cells, boxes)
    assert numbers.classifier_.y_.dtype.kind == "i"
    assert (numbers.predict_boxes(cells) == boxes).all()


def test_fold_without_a_class_keeps_its_column(tallies):
    cells, labels, boxes = tallies
    without = ~(labels == 7).any(axis=(1, 2))
    votes = VoteCountAggregator(Images()).fit(cells[without], boxes[without])
    assert votes.classifier_.classes_.tolist() == list(CLASSES)
    assert votes.classifier.classes is None


def test_fit_on_counts_alone_learns_from_label_sets(tallies):
    cells, labels, boxes = tallies
    counts = boxes_to_counts(boxes)[0]
    votes = VoteCountAggregator(Images()).fit(cells, counts)
    sets = votes.classifier_.label_sets_
    assert sets.shape == (240, 12) and sets.dtype == bool
    leading = sets.sum(axis=1) == 3
    assert (sets[leading] == np.isin(np.arange(12), [0, 10, 11])).all()
    assert sets[np.arange(240), labels.ravel()].all()
    assert not (votes.classifier_.y_[leading] == "0").any()
    assert (votes.predict(cells) == counts).mean() >= 0.9


def test_fit_on_counts_leaves_leading_zeros_out_without_label_sets(tallies):
    cells, labels, boxes = tallies
    counts = boxes_to_counts(boxes)[0]
    votes = VoteCountAggregator(neighbours()).fit(cells, counts)
    assert votes.n_cells_ == sum(len(str(count)) for count in counts.ravel())
    assert set(votes.classifier_.classes_) <= set("0123456789")
    boxed = VoteCountAggregator(Images()).fit(cells, boxes)
    assert boxed.classifier_.label_sets_ is None


def test_label_sets_come_in_the_order_of_the_classes_of_the_classifier(tallies):
    cells, _, boxes = tallies
    classes = ["_", "x", *"9876543210"]
    votes = VoteCountAggregator(Images(classes=classes))
    votes.fit(cells, boxes_to_counts(boxes)[0])
    straight = VoteCountAggregator(Images()).fit(cells, boxes_to_counts(boxes)[0])
    sets = votes.classifier_.label_sets_
    assert (sets[:, ::-1][:, :10] == straight.classifier_.label_sets_[:, :10]).all()


def test_missing_y_is_dropped_in_every_spelling(tallies):
    pd = pytest.importorskip("pandas")
    cells, _, boxes = tallies
    counts = boxes_to_counts(boxes)[0]
    y = np.array(boxes, dtype=object)
    y[0], y[1, 0], y[2, 1], y[3, 0], y[4, 1] = "", None, np.nan, pd.NA, -1
    y[5, 0] = int(counts[5, 0])
    fitted = [
        VoteCountAggregator(neighbours()).fit(cells, value)
        for value in (y, y.tolist(), pd.DataFrame(y))
    ]
    assert {votes.n_cells_ for votes in fitted} == {
        40 * 6 - 6 * 3 - (3 - len(str(counts[5, 0])))
    }
    floats = counts.astype(float)
    floats[0] = np.nan
    frame = pd.DataFrame(counts).astype("Int64")
    frame.iloc[0] = pd.NA
    lengths = sum(len(str(count)) for count in counts[1:].ravel())
    for value in (floats, frame):
        assert VoteCountAggregator(neighbours()).fit(cells, value).n_cells_ == lengths


def test_short_strings_are_aligned_to_the_right(tallies):
    cells, labels, boxes = tallies
    short = np.array([[text[1:] for text in row] for row in boxes], dtype=object)
    votes = VoteCountAggregator(Images()).fit(cells, short)
    assert votes.n_cells_ == 40 * 2 * 2
    expected = [CLASSES[label] for label in labels[..., 1:].ravel()]
    assert votes.classifier_.y_.tolist() == expected


def test_early_stopping_splits_by_page(padded_tallies):
    cells, _, boxes = padded_tallies
    votes = VoteCountAggregator(
        Images(early_stopping=True), validation_fraction=0.25, random_state=3
    ).fit(cells, boxes)
    train, valid = votes.classifier_.split_
    page = np.repeat(np.delete(np.arange(40), 3), 5)
    assert len(np.unique(page[valid])) == 10  # a quarter of 39, rounded
    assert not set(page[train]) & set(page[valid])
    assert sorted([*train, *valid]) == list(range(39 * 5))
    again = clone(votes).fit(cells, boxes).classifier_.split_
    assert (again[1] == valid).all()
    other = clone(votes).set_params(random_state=4).fit(cells, boxes).classifier_
    assert other.split_[1].tolist() != valid.tolist()
    own = Images(early_stopping=True, validation_fraction=0.5, random_state=3)
    first, second = (
        VoteCountAggregator(own).fit(cells, boxes).classifier_.split_[1]
        for _ in range(2)
    )
    assert len(np.unique(page[first])) == 20  # half of 39, rounded to even
    assert (first == second).all()
    plain = VoteCountAggregator(Images()).fit(cells, boxes)
    assert plain.classifier_.split_ is None


def test_frozen_classifier_predicts_without_fit(tallies):
    cells, labels, boxes = tallies
    inner = Images(classes=list(CLASSES)).fit(
        cells.reshape(-1, 6, 5), np.array(CLASSES)[labels.ravel()]
    )
    votes = VoteCountAggregator(FrozenEstimator(inner))
    assert votes.__sklearn_is_fitted__()
    assert (votes.predict_boxes(cells) == boxes).all()
    assert clone(votes).score(cells, boxes) == 1
    assert votes.fit(cells, boxes).classifier_.estimator is inner
    assert votes.n_cells_ == 0


@pytest.mark.parametrize("classifier", [Images(), FrozenEstimator(Images())])
def test_unfitted_says_so(classifier, tallies):
    with pytest.raises(NotFittedError, match="not fitted yet.*or give a FrozenEst"):
        VoteCountAggregator(classifier).predict(tallies[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Ridge(), r"got Ridge\(\) \(regressor\); pass an instance of one, such as CNN"),
        (make_pipeline(StandardScaler(), Ridge()), r"got Pipeline\(.* \(regressor\)"),
        (GridSearchCV(Ridge(), {}), r"got GridSearchCV\(.* \(regressor\)"),
        (FrozenEstimator(Ridge()), r"got FrozenEstimator\(.* \(regressor\)"),
        (KMeans(), r"got KMeans\(\) \(clusterer\)"),
        (IsolationForest(), r"got IsolationForest\(\) \(outlier detector\)"),
        (StandardScaler(), r"got StandardScaler\(\); pass an instance of one"),
        (SVC, r"got the class SVC; pass an instance of one, with brackets: SVC\(\)"),
        (None, "got None; pass an instance of one, such as CNNClassifier"),
        ("knn", "got 'knn'; pass an instance"),
    ],
)
def test_what_is_no_classifier(given, message, tallies):
    cells, _, boxes = tallies
    message = f"(?s)classifier: expected a scikit-learn classifier .*{message}"
    with pytest.raises(TallyError, match=message):
        VoteCountAggregator(given).fit(cells, boxes)


def test_classifier_without_tags_is_taken():
    class Plain:
        """Of no library, with what is asked of it."""

        get_params = fit = predict = None

    check_classifier(Plain())  # does not raise


@pytest.mark.parametrize("kind", [csr_matrix, csr_array])
def test_sparse_labels_are_refused(kind, tallies):
    cells = tallies[0]
    y = kind(np.ones((40, 2), dtype=int))
    votes = VoteCountAggregator(neighbours())
    with pytest.raises(
        TallyError, match=r"y: expected a dense .* csr_.* y.toarray\(\)"
    ):
        votes.fit(cells, y)
    with pytest.raises(TallyError, match=r"pass y.toarray\(\)"):
        votes.fit(cells, y.toarray()).score(cells, y)


def test_sample_weight_of_a_tally_is_spread_over_its_cells(tallies):
    cells, _, boxes = tallies
    weights = np.arange(40.0)
    votes = VoteCountAggregator(Images()).fit(cells, boxes, sample_weight=weights)
    assert (votes.classifier_.weights_ == np.repeat(weights, 6)).all()
    with pytest.raises(TallyError, match=r"one weight per tally, shape \(40,\)"):
        votes.fit(cells, boxes, sample_weight=weights[:7])


def test_fit_params_reach_the_classifier(tallies):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(Images()).fit(cells, boxes, freeze_layers=1)
    assert votes.classifier_.frozen_ == 1
    with pytest.raises(TypeError, match="freeze_layers"):
        VoteCountAggregator(neighbours()).fit(cells, boxes, freeze_layers=1)


def test_params_clone_and_pickle(tallies):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(Images(), blank_right="zero", random_state=1)
    votes.set_params(classifier__freeze_layers=2, high_quality=0.8)
    copy = clone(votes)
    assert copy.get_params()["classifier__freeze_layers"] == 2
    assert copy.blank_right == "zero" and copy.high_quality == 0.8
    votes.fit(cells, boxes)
    back = pickle.loads(pickle.dumps(votes))
    assert (back.predict(cells) == votes.predict(cells)).all()
    assert not hasattr(clone(votes), "classifier_")


def test_predict_leaves_the_input_alone(padded_tallies):
    cells, _, boxes = padded_tallies
    before = cells.copy()
    VoteCountAggregator(neighbours()).fit(cells, boxes).predict(cells)
    assert np.array_equal(before, cells, equal_nan=True)


def test_other_layouts_can_be_read_after_fit(tallies):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(neighbours()).fit(cells, boxes)
    wide = cells[:, :1, [0, 1, 2, 2, 2]]
    assert [len(text) for text in votes.predict_boxes(wide).ravel()] == [5] * 40
    assert votes.predict(cells[:1]).shape == (1, 2)


def test_tags():
    votes = VoteCountAggregator(SVC())
    tags = get_tags(votes)
    assert not is_classifier(votes)
    assert not tags.input_tags.two_d_array and tags.input_tags.allow_nan
    assert tags.target_tags.required and tags.target_tags.multi_output
    assert not tags.non_deterministic


def _cells_with(value, place=(1, 0, 2, 3, 3)):
    cells = np.ones((4, 2, 3, 6, 5), dtype=np.float32)
    cells[place] = value
    return cells


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (
            np.zeros((4, 3)),
            r"expected cells \(n_tallies.*got shape \(4, 3\); put Tally",
        ),
        (np.zeros((4, 6, 5)), r"use the digit classifier alone"),
        (np.zeros((0, 2, 3, 6, 5)), "none of them 0"),
        (["a.jpg", "b.jpg"], r"got shape \(2,\); put TallyCropper and CellNormalizer"),
        (np.zeros((4, 2, 3, 6, 5), dtype=int), "got dtype int64"),
        (np.zeros((4, 2, 3, 6, 5), dtype=object), "got dtype object"),
        (np.zeros((4, 2, 3, 6, 5), dtype=complex), "Complex data not supported"),
        ([[[[[1.0]]]], [[[[1.0], [2.0]]]]], "got a ragged list"),
        (_cells_with(np.nan), r"cell \(1, 0, 2\) \(tally, field, place\) holds NaN"),
        (_cells_with(np.inf), r"cell \(1, 0, 2\)"),
        (_cells_with(np.nan, (1, 0, 2, 0, 0)), r"cell \(1, 0, 2\)"),
    ],
)
def test_bad_cells(X, message, tallies):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(neighbours()).fit(cells, boxes)
    with pytest.raises(TallyError, match=message):
        votes.predict(X)
    with pytest.raises(TallyError, match=message):
        VoteCountAggregator(neighbours()).fit(X, [["1", "2"]] * 4)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ([[1, 2]] * 3, r"\(n_tallies, n_fields\) = \(4, 2\) as in X, got \(3, 2\)"),
        ([[1, 2, 3]] * 4, r"one column per field"),
        ([1, 2, 3, 4], r"got shape \(4,\); for a single field use a column"),
        ([[1, 2], [1], [1, 2], [1, 2]], "rows of equal length, got a ragged list"),
        ([["1?3", "2"]] * 4, r"y\[0, 0\]: expected one of '0123456789x_'"),
        ([["1234", "2"]] * 4, r"y\[0, 0\] = '1234': expected at most 3 characters"),
        ([[1, 1234]] * 4, r"y\[0, 1\] = 1234: .* is this the form of the labels"),
        ([[1.5, 2]] * 4, r"y\[0, 0\]: expected a whole number, got 1.5"),
        ([[np.inf, 2]] * 4, r"y\[0, 0\]: expected a whole number, got inf"),
        ([[1, -2]] * 4, r"y\[0, 1\]: expected a count of 0 or more, or -1"),
        ([[True, 2]] * 4, r"y\[0, 0\]: expected a box string .* got True of type bool"),
        ([[b"1", 2]] * 4, r"got b'1' of type bytes"),
        (np.ones((4, 2), dtype=complex), "y: expected box strings or counts, got dt"),
        ([[-1, -1]] * 4, "no cell to fit on: 4 of 4 tallies were read, and y names"),
        ([["", None]] * 4, "y names the class of 0 boxes"),
    ],
)
def test_bad_y(y, message):
    with pytest.raises(TallyError, match=message):
        VoteCountAggregator(neighbours()).fit(_cells_with(1.0), y)


def test_label_longer_than_its_field(padded_tallies):
    cells, _, boxes = padded_tallies
    boxes[5, 1] = "x23"
    with pytest.raises(TallyError, match=r"y\[5, 1\] = 'x23': expected at most 2"):
        VoteCountAggregator(neighbours()).fit(cells, boxes)


def test_no_page_was_read():
    cells = np.full((4, 2, 3, 6, 5), np.nan)
    with pytest.raises(TallyError, match="0 of 4 tallies were read"):
        VoteCountAggregator(neighbours()).fit(cells, [["x23", "123"]] * 4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"blank_right": "no"}, "blank_right: expected one of 'missing', 'zero', 'sh"),
        ({"high_quality": 2}, r"high_quality: expected a number in \[0, 1\], got 2"),
        ({"validation_fraction": "a"}, "validation_fraction: expected a number, got"),
    ],
)
def test_bad_params(params, message, tallies):
    cells, _, boxes = tallies
    with pytest.raises(TallyError, match=message):
        VoteCountAggregator(neighbours(), **params).fit(cells, boxes)


def test_classifier_with_foreign_or_lacking_classes(tallies):
    cells, _, boxes = tallies
    flat = cells.reshape(240, -1)
    frozen = FrozenEstimator(neighbours().fit(flat, ["a", "b"] * 120))
    with pytest.raises(
        TallyError, match=r"integers 0..11 in that order, got class 'a'"
    ):
        VoteCountAggregator(frozen).predict(cells)
    with pytest.raises(TallyError, match=r"lacks \['_', 'x'\], which y holds"):
        VoteCountAggregator(Images(classes=list("0123456789"))).fit(cells, boxes)


def test_early_stopping_needs_two_pages(tallies):
    cells, _, boxes = tallies
    votes = VoteCountAggregator(Images(early_stopping=True))
    with pytest.raises(TallyError, match="needs 2 or more labelled pages, got 1"):
        votes.fit(cells[:1], boxes[:1])
