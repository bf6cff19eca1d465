import pytest

from sktally.form import TallyForm

CORNERS = {
    "top-left": [20, 20],
    "top-right": [580, 20],
    "bottom-left": [20, 380],
    "bottom-right": [580, 380],
}


@pytest.fixture(scope="session")
def wide_form():
    """Landscape form: L corners, 4-digit and shorter fields, dots, no frames in one."""
    return TallyForm.from_dict(
        {
            "name": "wide",
            "page": {"width": 600, "height": 400},
            "anchors": [
                {
                    "name": place,
                    "kind": "corner",
                    "opens": place,
                    "center": center,
                    "size": [30, 24],
                    "thickness": 6,
                }
                for place, center in CORNERS.items()
            ],
            "fields": [
                {
                    "name": "a",
                    "start": [380, 60],
                    "box": [36, 48],
                    "places": 4,
                    "pitch": 44,
                    "frame": 2,
                    "guide_dots": True,
                },
                {"name": "b", "start": [424, 140], "box": [36, 48], "places": 3},
                {
                    "name": "sum",
                    "boxes": [[380 + 46 * i, 220 + 4 * i, 36, 48] for i in range(4)],
                    "frame": 3,
                },
                {"name": "spoilt", "start": [500, 300], "box": [24, 40], "places": 1},
            ],
            "sums": {"sum": ["a", "b"]},
            "printed": [
                {"kind": "circle", "at": [200, 200, 20], "thickness": 2},
                {"kind": "fill", "at": [100, 100, 40, 20]},
                {"kind": "line", "at": [50, 300, 150, 350], "thickness": 2},
                {"kind": "rect", "at": [60, 150, 30, 30], "repeat": [[2, 40, 0]]},
            ],
        }
    )
