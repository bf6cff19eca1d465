"""Say in a few lines what a store holds."""

from __future__ import annotations

from sktally._words import number
from sktally.tables._files import name_now
from sktally.tables._records import Run
from sktally.tables._sheets import reconciled_by, shown_reconciliation
from sktally.tables._store import Store, with_name
from sktally.tables._values import disagreements

__all__ = ["store_status"]

_SHOWN = 5  # pages not read


def store_status(store: Store) -> str:
    """Count pages, fields and edits of a store by state, run by run.

    Parameters
    ----------
    store : Store
        An open store.

    Returns
    -------
    str
        Lines of text; the last is the hash at the end of the chain, to be noted
        elsewhere.

    See Also
    --------
    verify : Tells whether it is as it was written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sktally import load_reader, make_tally_pages, read_to_store
    >>> folder = tempfile.TemporaryDirectory()
    >>> scan, path = Path(folder.name, "scan.png"), folder.name + "/votes.sqlite"
    >>> made = make_tally_pages(1, form="example", random_state=0)
    >>> Image.fromarray(made.pages[0]).save(scan)
    >>> _ = read_to_store(load_reader("example"), [scan], path)
    >>> from sktally.tables import Store, store_status
    >>> with Store(path) as store:
    ...     print(store_status(store).splitlines()[1].strip().split(",")[0])
    pages: 1 read
    >>> folder.cleanup()
    """
    lines, runs = [], store.runs()
    last = store.ask("SELECT run FROM sessions ORDER BY id DESC LIMIT 1")
    for run in runs:
        found = _of_run(store, run)
        if len(runs) > 1 and last and run.id == last[0][0]:
            found[0] += "; shown, unless another is named"
        lines += found
    if not lines:
        lines.append("nothing was read into it yet")
    ask = "SELECT purpose, COUNT(*) FROM edits GROUP BY 1 ORDER BY 1"
    edits = ", ".join(f"{n:,} of purpose {purpose}" for purpose, n in store.ask(ask))
    lines.append(f"edits: {edits or 'none'}{_idle_edits(store, runs, last)}")
    links, end = store.end()
    lines.append(f"chain: {number(links, 'link')}, ends with {end}")
    return "\n".join(lines)


def _idle_edits(store: Store, runs: list[Run], last: list[tuple]) -> str:
    """Say how many edits change nothing: of pages, or fields, that do not count."""
    gone = "SELECT COUNT(*) FROM edits WHERE sha256 NOT IN (SELECT sha256 FROM files)"
    n = store.ask(gone)[0][0]
    told = [f"{n:,} of pages that no longer count"] if n else []
    for run in runs:
        if last and run.id == last[0][0]:
            places = ", ".join("?" for _ in run.fields)
            ask = f"SELECT COUNT(*) FROM edits WHERE field NOT IN ({places})"
            n = store.ask(ask, *run.fields)[0][0]
            told += [f"{n:,} of fields that run {run.id} does not have"] * bool(n)
    return f"; {', '.join(told)}" if told else ""


def _of_run(store: Store, run: Run) -> list[str]:
    form, model = run.content["form"], run.content["model"]
    counts = "p.run = ? AND p.sha256 IN (SELECT sha256 FROM files)"
    pages = _counts(store, f"SELECT status, COUNT(*) FROM pages p WHERE {counts}", run)
    fields = _counts(
        store,
        "SELECT f.status, COUNT(*) FROM fields f JOIN pages p ON p.id = f.page "
        f"WHERE {counts} AND p.status = 'ok'",
        run,
    )
    doubtful = store.ask(
        "SELECT COUNT(DISTINCT f.page) FROM fields f JOIN pages p ON p.id = f.page "
        f"WHERE {counts} AND p.status = 'ok' AND f.status != 'ok'",
        run.id,
    )[0][0]
    gone = store.ask("SELECT COUNT(*) FROM unreadable WHERE run = ?", run.id)[0][0]
    copies = store.ask(
        "SELECT COUNT(*) - COUNT(DISTINCT sha256) FROM files WHERE sha256 IN "
        "(SELECT sha256 FROM pages WHERE run = ?)",
        run.id,
    )[0][0]
    replaced = store.ask(
        "SELECT COUNT(*) FROM pages WHERE run = ? AND sha256 NOT IN "
        "(SELECT sha256 FROM files)",
        run.id,
    )[0][0]
    read = pages.pop("ok", 0)
    others = "".join(f", {n} {status}" for status, n in pages.items())
    lines = [
        f"run {run.id}: form {form['name']} ({form['sha256'][:12]}), model "
        f"{model.get('name', '')} ({model['sha256'][:12]})",
        f"  pages: {read} read, {doubtful} of them doubtful{others}, "
        f"{gone} that could not be opened, {replaced} replaced since, "
        f"{number(copies, 'copy of a page', 'copies of pages')}",
        *_first(_unread_pages(store, run)),
        "  fields of pages read: "
        + (", ".join(f"{n} {status}" for status, n in fields.items()) or "none"),
    ]
    split = len(disagreements(store, run))
    if split:
        lines.append(f"  fields on which entries disagree: {split}")
    return lines + _reconciliations(store, run, read)


def _unread_pages(store: Store, run: Run) -> list[str]:
    """Say of each page that was not read, and still lies there, why; by name."""
    ask = (
        f"SELECT {name_now('p')}, number, message FROM pages p "
        "WHERE run = ? AND status != 'ok' "
        "AND sha256 IN (SELECT sha256 FROM files) UNION ALL "
        "SELECT file, number, message FROM unreadable WHERE run = ? ORDER BY 1, 2"
    )
    return [
        with_name(str(file), str(message))  # altered stores hold anything
        for file, _, message in store.ask(ask, run.id, run.id)
    ]


def _first(told: list[str]) -> list[str]:
    """Return the first few of what was not read, and where the rest is."""
    lines = [f"    not read: {line}" for line in told[:_SHOWN]]
    if len(told) > _SHOWN:
        lines.append(
            f"    ... and {len(told) - _SHOWN:,} more: `sktally export` lists them "
            "with status rejected or failed"
        )
    return lines


def _reconciliations(store: Store, run: Run, read: int) -> list[str]:
    """Say by which slips how many pages were reconciled, and what is shown."""
    shown, lines = shown_reconciliation(store, run), []
    ask = (
        "SELECT r.id, COUNT(s.id) FROM reconciliations r LEFT JOIN sheets s "
        "ON s.reconciliation = r.id WHERE r.run = ? GROUP BY r.id"
    )
    for made, done in store.ask(ask, run.id):
        content = reconciled_by(store, made)
        slips = ", ".join(
            f"{name} {share:.3g}"
            for name, share in content["slips"].items()
            if isinstance(share, int | float)
        )
        audited = content.get("audited")
        learnt = "" if audited is None else f" (of {number(audited, 'audited sheet')})"
        lines.append(
            f"  reconciliation {made}: {done} of {number(read, 'page')}, "
            f"slips {slips}{learnt}" + ("; shown" if made == shown else "")
        )
    return lines


def _counts(store: Store, question: str, run: Run) -> dict[str, int]:
    rows = store.ask(f"{question} GROUP BY 1 ORDER BY 2 DESC, 1", run.id)
    return {str(status): int(n) for status, n in rows}
