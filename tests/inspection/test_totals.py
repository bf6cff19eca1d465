import subprocess
import sys

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from sktally import TallyError
from sktally.inspection import PerTallyDisplay, VoteShareDisplay
from sktally.totals import compare_tallies

FIELDS = ["x", "y"]


@pytest.fixture
def shares():
    rows = [
        ("all", "x", 0.6, 0.55, 0.62),
        ("all", "y", 0.4, 0.38, 0.45),
        ("official", "x", 0.61, None, None),
        ("official", "y", 0.39, None, None),
    ]
    names = ["sheets", "field", "share", "share_lower", "share_upper"]
    types = dict.fromkeys(names[2:], "Float64")
    return pd.DataFrame(rows, columns=names).astype(types)


def test_shares_are_crosses_and_circles_with_intervals(shares):
    display = VoteShareDisplay.from_table(shares)
    ax = display.ax_
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert set(drawn) == {"official", "all sheets"}
    assert drawn["official"].get_marker() == "o"
    assert drawn["all sheets"].get_marker() == "x"
    assert drawn["all sheets"].get_ydata().tolist() == [0.6, 0.4]
    (bars,) = ax.collections
    assert [bar[:, 1].tolist() for bar in bars.get_segments()] == [
        [0.55, 0.62],
        [0.38, 0.45],
    ]
    assert [label.get_text() for label in ax.get_xticklabels()] == FIELDS
    assert display.figure_ is ax.figure


def test_axes_that_are_given_are_drawn_on(shares):
    _, ax = plt.subplots()
    assert VoteShareDisplay.from_table(shares, ax=ax).ax_ is ax
    assert VoteShareDisplay(shares).plot(ax=ax).ax_ is ax


def test_one_of_several_groups_is_named(shares):
    both = pd.concat([shares.assign(district="N"), shares.assign(district="S")])
    display = VoteShareDisplay.from_table(both, group={"district": "S"})
    assert display.shares["district"].eq("S").all()
    with pytest.raises(TallyError, match="group: expected one group of the table"):
        VoteShareDisplay.from_table(both)
    with pytest.raises(TallyError, match="got none named town"):
        VoteShareDisplay.from_table(both, group={"town": "S"})
    with pytest.raises(TallyError, match="of which there are 0 rows"):
        VoteShareDisplay.from_table(both, group={"district": "W"})


def test_tables_of_something_else_are_refused(shares):
    with pytest.raises(TallyError, match="got none named share_lower"):
        VoteShareDisplay.from_table(shares.drop(columns="share_lower"))


def test_single_tallies_are_points():
    table = pd.DataFrame(
        {
            "file": ["1.png", "1.png", "2.png", "2.png", "3.png", "3.png"],
            "page": 1,
            "field": FIELDS * 3,
            "count": pd.array([1, 2, 30, 4, 7, 7], "Int64"),
        }
    )
    official = table.assign(official=table["count"] + [0, 0, 1, 0, 0, 0])
    found = compare_tallies(table, official.drop(columns="count"), random_state=0)
    _, ax = plt.subplots()
    display = PerTallyDisplay.from_table(found, ax=ax)
    assert display.ax_ is ax
    points = [dots.get_offsets().tolist() for dots in ax.collections]
    assert points == [[[1, 1], [31, 30], [7, 7]], [[2, 2], [4, 4], [7, 7]]]
    assert ax.get_title().startswith("mean absolute error 0.17 (0.00-0.")


def test_matplotlib_is_not_imported_before_something_is_drawn():
    code = "import sys, sktally.inspection; print('matplotlib' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.strip() == "False"


def test_without_matplotlib_the_error_says_what_to_install(shares, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(TallyError, match=r"pip install 'sktally\[plot\]'"):
        VoteShareDisplay.from_table(shares)
