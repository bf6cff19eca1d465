"""A store with everything that a report shows, and names made to break it."""

import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from sktally import load_reader, make_tally_pages, read_to_store
from sktally.tables import Store, import_edits, reconcile_store

EVIL = "\"><script>alert(1)<script> & 'x'.png"
VOID = {"meta", "link", "img", "rect", "line", "circle", "br"}


@pytest.fixture(scope="session")
def made():
    return make_tally_pages(12, form="example", random_state=5)


@pytest.fixture(scope="session")
def whole(tmp_path_factory, made):
    """Twelve sheets in two folders; one more without a form, one damaged, one copy."""
    folder = tmp_path_factory.mktemp("report")
    scans, names = folder / "scans", []
    for i, page in enumerate(made.pages):
        part = scans / ("north" if i < 6 else "<b>south & 'east'")
        part.mkdir(parents=True, exist_ok=True)
        names.append(part / (EVIL if i == 7 else f"station_{i}.png"))
        cv2.imwrite(str(part / "x.png"), page)
        (part / "x.png").rename(names[-1])
    cv2.imwrite(str(scans / "north" / "blank.png"), np.full((900, 700), 255, np.uint8))
    (scans / "north" / "damaged.png").write_bytes(b"no picture")
    shutil.copy(names[0], scans / "north" / "station_0 again.png")
    extra = ["blank.png", "damaged.png", "station_0 again.png"]
    pages = [*map(str, names), *(str(scans / "north" / name) for name in extra)]
    store = folder / "votes.sqlite"
    read_to_store(load_reader("example"), pages, store)
    return SimpleNamespace(store=store, scans=scans, names=names)


@pytest.fixture
def store(tmp_path, whole):
    """A copy of that store, to be changed."""
    return shutil.copy(whole.store, tmp_path / "votes.sqlite")


@pytest.fixture(scope="session")
def full(tmp_path_factory, whole, made):
    """The same reconciled, with audits, a correction and a disagreement."""
    path = tmp_path_factory.mktemp("full") / "votes.sqlite"
    shutil.copy(whole.store, path)
    fields = made.form.field_names
    audit = {
        "file": np.repeat([str(name) for name in whole.names], len(fields)),
        "field": np.tile(fields, len(whole.names)),
        "who": "ana",
        "count": made.counts.ravel().astype(str),
    }
    entry = {"file": [str(whole.names[1])], "field": ["01"], "count": ["999"]}
    with Store(path) as opened:
        import_edits(opened, pd.DataFrame(audit), purpose="audit")
        evil = pd.DataFrame(entry).assign(who="<script>alert(2)</script>")
        import_edits(opened, evil, purpose="entry")
    reconcile_store(path)
    return path


@pytest.fixture(scope="session")
def stations(tmp_path_factory, whole):
    """A list of stations, two of them without a sheet."""
    path = tmp_path_factory.mktemp("list") / "stations.csv"
    names = [name.stem for name in whole.names] + ["<i>gone</i>", "lost"]
    table = pd.DataFrame({"station": names, "voters": 900})
    table["district"] = ["<script>alert(3)</script>", "N"] * 7
    table.to_csv(path, index=False)
    return path


class Page(HTMLParser):
    """What a report is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.texts, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open[-1:]):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def all(self, tag):
        return [found for name, found in self.tags if name == tag]


@pytest.fixture(scope="session")
def parsed():
    return lambda path: Page(path.read_text(encoding="utf-8"))
