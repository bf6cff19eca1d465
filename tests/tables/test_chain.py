"""Hashes of stores stay what they are, whatever columns come later."""

import pytest

from sktally.tables import Store
from sktally.tables._chain import add_link, broken_links, chain_end

FIELDS = (
    "(1, 1, '02', 'x1_', NULL, 0.5, 'ok', '', NULL, NULL)",
    "(1, 0, '01', '123', 123, 0.75, 'ok', 'so', x'00ff', x'10')",
)
ROWS = {
    "runs": "(1, 'key', '{}')",
    "sessions": "(1, 1, '{}')",
    "pages": (
        "(1, 1, 1, 'abc', 1, 'a.png', 'a.png', 'ok', '', 0.5, 'anchors', 0, 0.25, "
        "NULL, '[1.0]', 'today')"
    ),
    "edits": ("(1, 'abc', 1, '02', 'entry', NULL, 12, 'ana', '', 'a.png', 'today')"),
}
# computed by the first version that made stores
END = "7a840378972e9a22e7d9264eb24505ab9d4dde51ec974fc62768c06f35ceb35a"
RECONCILED = (
    "INSERT INTO reconciled VALUES (1, 1, NULL, NULL, NULL), (1, 0, 123, 0.5, 0.25)"
)
LATER = {
    "reconciliations": "(1, 1, '{}', 'today')",
    "sheets": "(1, 1, 1, 'today')",
}
# computed by version 2
LATER_END = "d6a98c3dedfe3d60d34575d3a6851d6e8011bd4f407147849076e5bc204b6712"


@pytest.fixture
def base(tmp_path):
    with Store(tmp_path / "votes.sqlite", make=True) as store:
        store.base.execute("PRAGMA foreign_keys = OFF")  # fields before their page
        for values in FIELDS:
            store.base.execute(f"INSERT INTO fields VALUES {values}")
        for kind, values in ROWS.items():
            store.base.execute(f"INSERT INTO {kind} VALUES {values}")
            add_link(store.base, kind, 1)
        yield store.base


def test_the_hash_is_what_it_always_was(base):
    assert chain_end(base) == (4, END)
    assert list(broken_links(base)) == []


def test_the_hash_of_what_was_reconciled_is_what_it_always_was(base):
    base.execute(RECONCILED)
    for kind, values in LATER.items():
        base.execute(f"INSERT INTO {kind} VALUES {values}")
        add_link(base, kind, 1)
    assert chain_end(base) == (6, LATER_END)
    assert list(broken_links(base)) == []


def test_columns_of_a_later_version_leave_hashes_alone(base):
    for table in (*ROWS, "fields", "chain"):
        base.execute(f"ALTER TABLE {table} ADD COLUMN later TEXT DEFAULT 'new'")
    assert list(broken_links(base)) == []
    assert chain_end(base) == (4, END)
