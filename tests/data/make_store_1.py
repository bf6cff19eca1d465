"""Make the store of version 1 that `tests/tables/test_migration.py` opens.

Run once, by the sktally that wrote version 1. Later versions get a store of their own,
and this one stays as it is.
"""

from pathlib import Path

import numpy as np

from sktally import TallyForm
from sktally.tables import Store
from sktally.tables._image import FileState, PageName
from sktally.tables._records import PageRecord

HERE = Path(__file__).parent
READ = [("x12", "x30", "x42"), ("x12", "x30", "x48"), ("x12", "x31", "x42")]

if __name__ == "__main__":
    form = TallyForm.from_dict(
        {
            "name": "sums",
            "page": {"width": 600, "height": 600},
            "fields": [
                {"name": n, "start": [100, y], "box": [40, 50], "places": 3}
                for n, y in (("a", 100), ("b", 200), ("all", 300))
            ],
            "sums": {"all": ["a", "b"]},
        }
    )
    content = {
        "form": {
            "name": form.name,
            "sha256": form.fingerprint(),
            "fields": list(form.field_names),
            "toml": form.to_toml(),
        },
        "model": {"sha256": "0" * 64, "name": "made"},
        "settings": {"blank_right": "missing"},
    }
    records = []
    for i, boxes in enumerate(READ):
        labels = [["0123456789x_".index(c) for c in text] for text in boxes]
        proba = 0.99 * np.eye(12)[labels] + 0.01 / 12
        if i == 1:  # perhaps a 2
            proba[2, 2, [2, 8]] = 0.3, 0.69
        proba /= proba.sum(axis=-1, keepdims=True)
        rows = [
            {"field": n, "boxes": text, "count": int(text[1:]), "confidence": 0.9}
            | {"status": "ok", "message": "", "tally_quality": 0.9}
            for n, text in zip(form.field_names, boxes)
        ]
        page = PageName.parse(f"/scans/station_{i}.png")
        state = FileState(1, 1, 1)
        records.append(PageRecord(page, f"{i:064x}", state, rows=rows, proba=proba))
    with Store(HERE / "store_1.sqlite", make=True) as store:
        run, session = store.begin("made", content)
        store.add_pages(run, session, records)
        said = {"sha256": f"{2:064x}", "number": 1, "field": "b", "boxes": None}
        said |= {"purpose": "correction", "count": 30, "who": "ana", "why": "a 0"}
        with store.writing():
            store.add_edit(**said, file="/scans/station_2.png")
        print(store.end())
