"""The report in a real browser: Debian's Chromium, driven by playwright.

`.ci/run` installs what is needed and names it: SKTALLY_CHROMIUM, the browser, and
SKTALLY_AXE, axe-core's script. Where these are set, nothing is skipped. A report of
one's own is tested so too: SKTALLY_REPORT=report.html pytest -m browser tests/report.
"""

import os
import re
import shutil
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sktally.report import write_report

CHROMIUM = os.environ.get("SKTALLY_CHROMIUM") or shutil.which("chromium")
AXE = os.environ.get("SKTALLY_AXE")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
)
WIDTHS = (1280, 390)
_TABBABLE = "a[href], summary, [tabindex='0']"


@pytest.fixture(scope="module")
def browser():
    if "SKTALLY_CHROMIUM" not in os.environ:
        pytest.importorskip("playwright", reason="needs pip install 'sktally[browser]'")
        if CHROMIUM is None:
            pytest.skip("needs Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def report(request, tmp_path_factory):
    if "SKTALLY_REPORT" in os.environ:
        return Path(os.environ["SKTALLY_REPORT"]).resolve()
    full, stations = map(request.getfixturevalue, ("full", "stations"))
    out = tmp_path_factory.mktemp("browser") / "report.html"
    return write_report(full, out, stations=stations, by="district", scans=True)


@pytest.fixture
def opened(browser, report):
    """Return a function that opens the report, and all that it asked and said."""
    contexts = []

    def open_at(width, scheme="light", **how):
        view = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
        contexts.append(browser.new_context(**view, **how))
        page = contexts[-1].new_page()
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(report.as_uri(), wait_until="networkidle")
        return page

    yield open_at
    for context in contexts:
        context.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_offline_and_fits_the_window(opened, report, width):
    page = opened(width, offline=True)
    assert [url for url in page.asked if not url.startswith("data:")] == [
        report.as_uri()
    ]
    assert page.said == []
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    for image in page.locator("img").all():
        assert image.evaluate("image => image.complete && image.naturalWidth > 0")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_serious(opened, width, scheme):
    if AXE is None:
        pytest.skip("needs axe-core; SKTALLY_AXE names its axe.min.js")
    page = opened(width, scheme, bypass_csp=True)
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    # axe measures no text on pictures; the test of colors does, by the darkest
    page.add_style_tag(content=".scroll { background: none }")
    page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    wrong = [
        (rule["id"], rule["impact"], [node["target"] for node in rule["nodes"]][:3])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
    assert wrong == []
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}


def _edges(scroller):
    """Return the first and last column of an element's pixels, from 0 to 1."""
    shot = Image.open(BytesIO(scroller.screenshot())).convert("L")
    pixels = np.asarray(shot) / 255
    return np.median(pixels[:, 0]), np.median(pixels[:, -1])


@pytest.mark.browser
def test_tables_that_go_on_show_it_where_they_do(opened):
    page = opened(390)
    scroller = page.locator("#totals .scroll").first
    assert scroller.evaluate("node => node.scrollWidth > node.clientWidth + 100")
    left, right = _edges(scroller)
    assert left > 0.95 and right < 0.5
    scroller.evaluate("node => node.scrollLeft = 50")
    assert max(_edges(scroller)) < 0.5
    scroller.evaluate("node => node.scrollLeft = node.scrollWidth")
    left, right = _edges(scroller)
    assert left < 0.5 and right > 0.95
    wide = opened(1280).locator("#t-status").locator("xpath=../..")
    assert min(_edges(wide)) > 0.8  # no line where all of it is seen


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_all_that_can_be_used_is_reached_by_tab_and_seen_to_be(opened, width):
    page = opened(width)
    number = f"""[...document.querySelectorAll("{_TABBABLE}")]
        .filter(node => node.checkVisibility()).map((node, i) => node.place = i).length
    """
    expected = set(range(page.evaluate(number)))
    reached = set()
    for _ in range(3 * len(expected)):
        page.keyboard.press("Tab")
        place, outline = page.evaluate(
            "[document.activeElement.place, "
            "getComputedStyle(document.activeElement).outlineStyle]"
        )
        if place in reached:
            break
        if place is not None:
            assert outline != "none"
            reached.add(place)
    assert reached == expected


@pytest.mark.browser
def test_details_open_by_keyboard_and_the_skip_link_leads_to_the_report(opened):
    page = opened(390)
    page.keyboard.press("Tab")
    assert page.locator(".skip").evaluate("link => link.getBoundingClientRect().x") == 0
    page.keyboard.press("Enter")
    page.wait_for_url("**/*#main")  # told some time after the key is
    closed = page.query_selector("details:not([open]) > summary")
    closed.focus()
    page.keyboard.press("Enter")
    assert closed.evaluate("summary => summary.parentElement.open")


@pytest.mark.browser
def test_it_prints_all_of_it_on_a4(opened, tmp_path):
    pypdfium2 = pytest.importorskip("pypdfium2")
    page = opened(1280)
    page.pdf(path=str(tmp_path / "report.pdf"), prefer_css_page_size=True)
    document = pypdfium2.PdfDocument(tmp_path / "report.pdf")
    sizes = {tuple(round(side) for side in sheet.get_size()) for sheet in document}
    texts = [sheet.get_textpage().get_text_range() for sheet in document]
    document.close()
    assert sizes == {(595, 842)}
    assert "Skip to the report" not in "".join(texts)
    # in a list that is folded on the screen
    assert "Counts read for sure, by confidence" in " ".join("".join(texts).split())
    assert f"1 / {len(texts)}" in texts[0]


def _luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a, b):
    """Return the ratio of WCAG 2.2, from 1 to 21."""
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_known_where_it_is_known():
    assert _contrast("#ffffff", "#000000") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_colors_of_text_and_charts_have_the_contrast_of_wcag_aa():
    style = files("sktally.report").joinpath("templates/style.css").read_text("utf-8")
    schemes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(schemes) == 3  # light, dark and print
    for scheme in schemes:
        colors = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", scheme))
        colors = {
            name: c if len(c) == 7 else "#" + "".join(2 * x for x in c[1:])
            for name, c in colors.items()
        }
        for text in ("ink", "soft", "accent"):
            for ground in {"paper", "fold"} & {*colors}:  # nothing folds in print
                assert _contrast(colors[text], colors[ground]) >= 4.5
        assert _contrast(colors["soft"], colors["paper"]) >= 3  # the line at a fold
        for text in ("ink", "alert"):
            assert _contrast(colors[text], colors["alert-shade"]) >= 4.5
        for mark in ("good", "fair", "bad", "lost", "accent"):
            assert _contrast(colors[mark], colors["paper"]) >= 3
