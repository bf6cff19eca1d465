"""What was read with what: form, model, settings, versions, times, the chain.

Comes in: a store. Goes out: names and hashes, as the store keeps them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sktally.tables import Run, Store
from sktally.tables._origin import form_of
from sktally.tables._schema import VERSION
from sktally.tables._sheets import reconciled_by, shown_reconciliation

__all__ = ["Provenance", "Session", "find_provenance"]

_SHOWN = 20  # kinds of sessions


@dataclass(frozen=True)
class Session:
    """Commands that read with the same versions.

    Parameters
    ----------
    first, last : str
        When the first and the last of them began, in UTC.
    n : int
        How many.
    software : str
        Versions and kind of machine.
    """

    first: str
    last: str
    n: int
    software: str


@dataclass(frozen=True)
class Provenance:
    """Where the numbers of a run come from.

    Parameters
    ----------
    store : str
        Name of its file.
    title : str
        Of the form, or its name.
    run, n_runs : int
        Which run of how many.
    rows : list of (str, str)
        What is known of form, model, settings, reconciliation and chain.
    sessions : list of Session
        When it was read, and by which versions.
    first, last : str
        When the first and the last page were read, in UTC; empty if none was.
    """

    store: str
    title: str
    run: int
    n_runs: int
    rows: list[tuple[str, str]]
    sessions: list[Session]
    first: str
    last: str


def find_provenance(store: Store, run: Run) -> Provenance:
    """Return where the numbers of a run come from."""
    described = form_of(run)
    form, model = run.content["form"], run.content["model"]
    settings = run.content["settings"]
    rows = [
        ("Form", described.name),
        ("SHA-256 of the form", form["sha256"]),
        ("SHA-256 of its reference", form.get("reference")),
        ("Model", str(model.get("name", "fitted in Python"))),
        ("SHA-256 of the model", model["sha256"]),
        ("Settings", ", ".join(f"{k} = {_plain(v)}" for k, v in settings.items())),
        *_reconciled(store, run),
    ]
    links, end = store.end()
    rows += [
        ("Version of the store", str(VERSION)),
        ("Links of its chain", f"{links:,}"),
        ("Hash that ends it", end),
    ]
    ask = "SELECT MIN(read_at), MAX(read_at) FROM pages WHERE run = ?"
    first, last = store.ask(ask, run.id)[0]
    return Provenance(
        store.path.name,
        described.title or described.name,
        run.id,
        len(store.runs()),
        [(name, text) for name, text in rows if text],
        _sessions(store, run),
        first or "",
        last or "",
    )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _reconciled(store: Store, run: Run) -> list[tuple[str, str]]:
    """Say by which slips the counts were reconciled, if they were."""
    number = shown_reconciliation(store, run)
    if number is None:
        return []
    content = reconciled_by(store, number)
    slips = ", ".join(
        f"{name} {share:.3g}"
        for name, share in content["slips"].items()
        if isinstance(share, int | float)
    )
    audited = content.get("audited")
    learnt = "told" if audited is None else f"learnt from {audited:,} audited sheets"
    ask = "SELECT COUNT(*) FROM sheets WHERE reconciliation = ?"
    done = store.ask(ask, number)[0][0]
    return [
        ("Reconciliation", f"number {number}, of {done:,} sheets"),
        ("Shares of clerks' slips", f"{slips} ({learnt})"),
    ]


def _sessions(store: Store, run: Run) -> list[Session]:
    """Return the sessions of a run, those of the same versions as one."""
    found: dict[str, list[str]] = {}
    for (number,) in store.ask("SELECT id FROM sessions WHERE run = ?", run.id):
        content = store.circumstances(number)
        software = ", ".join(f"{k} {v}" for k, v in content["versions"].items())
        if machine := content.get("machine"):
            software += f", on {machine}"
        found.setdefault(software, []).append(str(content.get("started", "")))
    sessions = [
        Session(min(times), max(times), len(times), software)
        for software, times in found.items()
    ]
    return sessions[-_SHOWN:]
