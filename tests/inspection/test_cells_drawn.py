import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from sktally import TallyError
from sktally.inspection import (
    CellsDisplay,
    ConfusionCropsDisplay,
    MisreadDisplay,
    ReadCells,
)
from sktally.inspection._tiles import as_shown, mosaic, shortened, spelled

LABELS = list("0011x__111")
_LABEL = st.sampled_from("017x_")


def greys(ax):
    """Return the grey of each image drawn, and where its centre stands."""
    found = {}
    for image in ax.images:
        left, right, bottom, top = image.get_extent()
        place = round((left + right) / 2, 6), round((top + bottom) / 2, 6)
        found[place] = round(255 * float(image.get_array()[0, 0]))
    return found


def test_a_row_for_each_label_with_how_many_there_are(cells):
    display = CellsDisplay.from_predictions(cells, LABELS, n_columns=3)
    ax = display.ax_
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["0 (2)", "1 (5)", "x (1)", "empty (2)"]
    assert ax.get_yticks().tolist() == [0, 1, 2, 3]
    assert display.shown_.tolist() == [0, 1, 2, 3, 7, 4, 5, 6]
    assert greys(ax) == {
        **{(0, 0): 10, (1, 0): 20},
        **{(0, 1): 30, (1, 1): 40, (2, 1): 80},
        **{(0, 2): 50, (0, 3): 60, (1, 3): 70},
    }
    assert display.figure_ is ax.figure


def test_more_rows_of_each_label_and_the_least_sure_first(cells):
    proba = np.linspace(1, 0.1, 10)
    display = CellsDisplay.from_predictions(
        cells, LABELS, proba=proba, n_columns=3, n_rows=2
    )
    assert display.shown_.tolist() == [1, 0, 9, 8, 7, 3, 2, 4, 6, 5]
    assert display.ax_.get_yticks().tolist() == [0, 1, 3, 4]


def test_cells_in_doubt_come_first_with_what_they_were_read_as(cells):
    proba = [0.5, 0.9, 0.2, 0.8, 0.7, 0.35, *[1.0] * 4]
    _, ax = plt.subplots()
    display = CellsDisplay.from_predictions(
        cells, LABELS, proba=proba, order="doubt", n_columns=2, n_rows=2, ax=ax
    )
    assert display.ax_ is ax
    assert display.shown_.tolist() == [2, 5, 0, 4]
    told = [text.get_text() for text in ax.texts]
    assert told == ["1  0.20", "empty  0.35", "0  0.50", "x  0.70"]
    assert ax.get_title() == "4 of 10 cells, least sure first"
    everything = CellsDisplay(display.read).plot(order="doubt")
    assert everything.ax_.get_title() == "10 cells, least sure first"


def test_contact_sheet_of_pages(reader, made):
    display = CellsDisplay.from_estimator(reader, made.pages, order="doubt")
    assert len(display.ax_.images) == 54  # three pages, six fields, three places


def test_contact_sheets_refuse_what_they_cannot_draw(cells):
    with pytest.raises(TallyError, match="order: expected probabilities for 'doubt'"):
        CellsDisplay.from_predictions(cells, LABELS, order="doubt")
    with pytest.raises(TallyError, match="order: expected one of 'label', 'doubt'"):
        CellsDisplay.from_predictions(cells, LABELS, order="class")
    with pytest.raises(TallyError, match="n_columns: expected an integer"):
        CellsDisplay.from_predictions(cells, LABELS, n_columns=0)
    with pytest.raises(TallyError, match="n_rows: expected an integer"):
        CellsDisplay.from_predictions(cells, LABELS, n_rows=1.5)


def test_confusions_show_their_cells_and_counts(cells):
    truth = list("0011111177")
    read = list("0711111111")
    proba = np.linspace(0.1, 1, 10)
    display = ConfusionCropsDisplay.from_predictions(
        cells, truth, read, proba=proba, n_examples=1
    )
    ax = display.ax_
    assert display.labels_ == ["0", "1", "7"]
    assert display.confusion_matrix_.tolist() == [[1, 0, 1], [0, 6, 0], [0, 2, 0]]
    counts = {text.get_text(): text.get_position() for text in ax.texts[:]}
    assert counts["6"] == (1, 1) and counts["2"] == pytest.approx((1, 2.47))
    drawn = greys(ax)
    drawn.pop((1, 1))  # the shades of all
    assert drawn == {(2, -0.1): 20, (1, 1.9): 100}  # of two sevens the surer
    assert [text.get_text() for text in ax.get_xticklabels()] == display.labels_
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("read", "written")
    assert ax.get_title() == "7 of 10 cells read as they are"


def test_several_examples_are_one_mosaic(cells):
    _, ax = plt.subplots()
    display = ConfusionCropsDisplay.from_predictions(
        cells, ["1"] * 10, ["_"] * 10, ax=ax
    )
    assert display.ax_ is ax
    assert [text.get_text() for text in ax.get_yticklabels()] == ["1", "empty"]
    tile = ax.images[-1].get_array()
    assert tile.shape == (2 * 4 + 1, 2 * 3 + 1)
    assert np.unique(np.round(255 * tile)).tolist() == [10, 20, 30, 40, 255]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("017x_"), st.sampled_from("017x_")), min_size=1)
)
def test_confusions_are_those_of_scikit_learn(pairs):
    truth, read = map(list, zip(*pairs))
    display = ConfusionCropsDisplay.from_predictions(
        np.zeros((len(pairs), 2, 2)), truth, read, ax=plt.figure().subplots()
    )
    plt.close("all")
    order = [name for name in "017x_" if name in truth + read]
    assert display.labels_ == order
    found = confusion_matrix(truth + ["?"], read + ["?"], labels=[*order, "?"])
    found = found[:-1, :-1]
    assert (display.confusion_matrix_ == found).all()
    off = found - np.diag(np.diag(found))
    assert len(display.ax_.images) == 1 + np.count_nonzero(off)


def test_cells_of_unknown_truth_are_not_counted(cells, reader, made):
    display = ConfusionCropsDisplay.from_predictions(cells, ["1", None] * 5, ["1"] * 10)
    assert display.confusion_matrix_.tolist() == [[5]]
    of_pages = ConfusionCropsDisplay.from_estimator(reader, made.pages, made.boxes)
    assert of_pages.confusion_matrix_.trace() == 54
    for kind in (ConfusionCropsDisplay, MisreadDisplay):
        with pytest.raises(TallyError, match="truth: expected what is written in one"):
            kind.from_predictions(cells, [None] * 10, ["1"] * 10)
    with pytest.raises(TallyError, match="n_examples: expected an integer"):
        display.plot(n_examples=0)


def test_misread_cells_with_place_and_probabilities(cells):
    where = pd.DataFrame(
        {"page": [f"{i}.png" for i in range(10)], "field": "01", "place": "tens"}
    )
    table = np.tile([0.6, 0.4], (10, 1))
    table[4] = [0.9, 0.1]
    gallery = MisreadDisplay.from_predictions(
        cells,
        ["_"] * 2 + ["1"] * 8,
        ["1"] * 4 + ["_"] + ["1"] * 5,
        proba=table,
        classes=["1", "_"],
        where=where,
    )
    assert gallery.table_["page"].tolist() == ["0.png", "1.png", "4.png"]
    assert gallery.table_["proba"].tolist() == [0.6, 0.6, 0.1]
    assert gallery.table_["truth_proba"].tolist() == [0.4, 0.4, 0.9]
    told = [[text.get_text() for text in ax.texts] for ax in gallery.axes_]
    assert told[0] == ["empty read as 1", "1: 0.60   empty: 0.40\n0.png\n01, tens"]
    assert told[2][0] == "1 read as empty"
    assert [list(greys(ax).values()) for ax in gallery.axes_] == [[10], [20], [50]]
    title = gallery.figure_.get_suptitle()
    assert title == "3 of 10 cells misread, surest first"


def test_galleries_have_room_for_so_many(cells):
    read = ReadCells.from_predictions(cells, ["1"] * 10, truth=["7"] * 10)
    gallery = MisreadDisplay(read).plot(n_cells=7)
    assert len(gallery.axes_) == 7 and len(gallery.table_) == 10
    assert len(gallery.figure_.axes) == 12  # two rows of six, five empty
    assert not any(ax.axison for ax in gallery.figure_.axes[7:])
    assert gallery.figure_.get_suptitle() == "10 of 10 cells misread, 7 shown"
    assert gallery.axes_[0].texts[1].get_text() == ""
    own = plt.figure()
    assert gallery.plot(order="given", n_cells=1, figure=own).figure_ is own
    with pytest.raises(TallyError, match="order: expected one of 'sure', 'given'"):
        gallery.plot(order="doubt")
    with pytest.raises(TallyError, match="n_cells: expected an integer"):
        gallery.plot(n_cells=0)


def test_a_gallery_of_nothing_says_so(reader, made):
    gallery = MisreadDisplay.from_estimator(reader, made.pages, made.boxes)
    assert gallery.figure_.get_suptitle() == "0 of 54 cells misread"
    assert len(gallery.axes_) == len(gallery.table_) == len(gallery.figure_.axes) == 0


def test_ink_is_dark_whatever_its_sign():
    assert as_shown(np.array([[[0, 255]]], np.uint8)).tolist() == [[[0, 1]]]
    assert as_shown(np.array([[[0.0, 16.0]]])).tolist() == [[[1, 0]]]
    assert as_shown(np.zeros((1, 2, 2))).min() == 1  # without ink: white


@given(st.integers(1, 9), st.integers(1, 5), st.sampled_from([(), (3,)]))
def test_mosaics_hold_every_image(n, n_columns, color):
    images = np.arange(n).reshape(n, 1, 1, *[1] * len(color)) / 10
    images = np.broadcast_to(images, (n, 20, 10, *color))
    whole = mosaic(images, n_columns)
    for i in range(n):
        row, column = divmod(i, n_columns)
        part = whole[21 * row : 21 * row + 20, 11 * column : 11 * column + 10]
        assert (part == images[i]).all()
    assert whole.shape[2:] == color


@given(st.text(), st.integers(3, 30))
def test_long_names_lose_their_middle(text, most):
    short = shortened(text, most)
    assert len(short) <= most
    assert short == text or (len(text) > most and short[0] == text[0])
    assert (
        shortened("station_of_a_long_name_017.jpg", 15)
        == "station\N{HORIZONTAL ELLIPSIS}017.jpg"
    )


def test_empty_boxes_have_a_name():
    assert [spelled(label) for label in "1x_"] == ["1", "x", "empty"]
