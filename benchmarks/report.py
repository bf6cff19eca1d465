"""Make a store of 100,000 made sheets, write its report, and say what that took.

Sheets are rows with made probabilities, counts and places of boxes, in --folders
folders; one in fifty has a count in doubt, one in two hundred was not read, one in a
hundred a clerk's slip. The twenty most doubtful ones are real files, pages from
`make_tally_pages`, so that pictures are cut out of them; a tenth of the sheets was read
for an audit. Printed for each number of --sheets, for reports without and with
intervals of the totals: bytes of the report, seconds and peak memory of a process that
does nothing else; and seconds and megabytes of the store.
--quick makes 300 and 600 sheets.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from common import arguments, print_versions

from sktally import load_reader, make_tally_pages, register_page
from sktally.report import write_report
from sktally.tables import Store, import_edits
from sktally.tables._image import FileState, PageName, file_sha256
from sktally.tables._origin import identify
from sktally.tables._records import PageRecord
from sktally.tables._sheets import add_sheets, begin_reconciliation, pages_left
from sktally.votes import CLASSES, ReconciledTallies

_REAL = 20  # sheets whose files are there
_AT_ONCE = 1000


def made_counts(n: int, form, rng: np.random.Generator) -> np.ndarray:
    """Return counts of sheets whose sums hold, but for slips of clerks."""
    column = {name: j for j, name in enumerate(form.field_names)}
    counts = rng.integers(0, 120, (n, form.n_fields))
    for total, parts in form.sums.items():
        slips = 10 * (rng.random(n) < 0.01)
        counts[:, column[total]] = counts[:, [column[p] for p in parts]].sum(1) + slips
    return np.minimum(counts, 999)


def sheet_rows(form, counts: np.ndarray, proba: np.ndarray, n_doubtful: int) -> list:
    """Return the rows of a sheet that was read, of which the first are in doubt."""
    rows = []
    for name, count, boxes in zip(form.field_names, counts.tolist(), proba):
        sure = float(boxes.max(axis=1).prod())
        row = {"field": name, "boxes": f"{count:03d}", "count": count, "message": ""}
        row |= {"confidence": sure, "tally_quality": sure, "status": "ok"}
        rows.append(row)
    for row in rows[:n_doubtful]:
        row |= {"count": None, "status": "ambiguous", "message": "look at the page"}
    return rows


def made_proba(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return probabilities that say a count with some doubt, (n_fields, 3, 12)."""
    digits = counts[:, None] // [100, 10, 1] % 10
    doubt = rng.beta(0.2, 12, digits.shape)
    proba = np.zeros((*digits.shape, len(CLASSES)), np.float32)
    other = (digits + rng.integers(1, 10, digits.shape)) % 10
    np.put_along_axis(proba, digits[..., None], 1 - doubt[..., None], -1)
    np.put_along_axis(proba, other[..., None], doubt[..., None], -1)
    return proba


def make_store(path: Path, n: int, n_folders: int, seed: int) -> None:
    """Write sheets through the store's own methods."""
    rng = np.random.default_rng(seed)
    reader = load_reader("example")
    form = reader[0].form_
    pages = make_tally_pages(_REAL, form=form, random_state=seed).pages
    found = register_page(pages[0], form)
    counts = made_counts(n, form, rng)
    with Store(path, make=True) as store:
        run, session = store.begin(*identify(reader, None))
        for start in range(0, n, _AT_ONCE):
            records = []
            for i in range(start, min(start + _AT_ONCE, n)):
                folder = path.parent / "scans" / f"district {i % n_folders:03d}"
                page = PageName.parse(folder / f"station_{i:06d}.png")
                sha256, state = f"{i:064x}", FileState(i, i, i)
                record = PageRecord(page, sha256, state, registration=found)
                if i < _REAL:
                    folder.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(page.path), pages[i])
                    record.sha256 = file_sha256(page.path)
                    record.registration = register_page(pages[i], form)
                if i % 200 == 199:
                    record.status, record.message = "rejected", f"{page.name}: no form"
                    record.registration = None
                    nothing = {"status": "rejected", "message": record.message}
                    record.rows = [{"field": f} | nothing for f in form.field_names]
                else:
                    record.proba = made_proba(counts[i], rng)
                    n_doubtful = form.n_fields if i < _REAL else int(i % 50 == 49)
                    record.rows = sheet_rows(form, counts[i], record.proba, n_doubtful)
                records.append(record)
            store.add_pages(run, session, records)
        audited = [i for i in range(0, n, 10) if i % 200 != 199]
        names = [
            str(path.parent / "scans" / f"district {i % n_folders:03d}")
            + f"/station_{i:06d}.png"
            for i in audited
        ]
        seen = np.where(rng.random(len(audited)) < 0.01, 7, counts[audited, 1])
        edits = {"file": names, "field": form.field_names[1], "who": "ana"}
        table = pd.DataFrame(edits | {"count": seen.astype(str)})
        import_edits(store, table, purpose="audit")
        reconcile(store, run, form, counts)


def reconcile(store: Store, run, form, counts: np.ndarray) -> None:
    """Write down that each sheet was reconciled as it was made."""
    number = begin_reconciliation(store, run, {"slips": {}, "versions": {}})
    totals = [form.field_names.index(total) for total in form.sums]
    parts = [[form.field_names.index(p) for p in some] for some in form.sums.values()]
    for few, _ in pages_left(store, run, number, _AT_ONCE):
        own = counts[np.array(few) - 1]  # pages are numbered from 1, as they were made
        off = [own[:, t] != own[:, p].sum(axis=1) for t, p in zip(totals, parts)]
        holds = np.where(np.transpose(off), 0.1, 0.99)
        sure = np.full(own.shape, 0.999)
        nothing = np.full(len(own), np.nan)
        found = ReconciledTallies(own, sure, sure, holds, holds < 0.5, own, nothing)
        add_sheets(store, number, few, found, totals)


def report_once(store: str, out: str, intervals: str) -> None:
    """Write a report and print what it took as one line of JSON."""
    started = time.perf_counter()
    how = {"intervals": intervals == "with"}
    size = write_report(store, out, **how).stat().st_size
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 2**10
    print(json.dumps({"bytes": size, "seconds": seconds, "peak": peak}))


def main() -> None:
    """Write reports of ever more sheets."""
    args = arguments(
        __doc__,
        sheets={"type": int, "nargs": "+", "default": [1000, 10_000, 100_000]},
        intervals={"nargs": "+", "default": ["without", "with"]},
        folders={"type": int, "default": 120},
        work={"type": Path, "default": None, "help": "where to make stores"},
        out={"type": Path, "default": None, "help": "where to keep the last report"},
        quick={"action": "store_true"},
    )
    if args.quick:
        args.sheets, args.folders = [300, 600], 12
    print_versions(args.seed)
    print("  sheets  intervals  report: bytes   seconds  peak MiB")
    for n in args.sheets:
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            store = Path(folder, "votes.sqlite")
            started = time.perf_counter()
            make_store(store, n, args.folders, args.seed)
            made = time.perf_counter() - started
            size = store.stat().st_size / 1e6
            print(f"{n:8,d}  store made in {made:.1f} s, {size:.1f} MB", flush=True)
            out = str(args.out or Path(folder, "report.html"))
            for intervals in args.intervals:
                command = [sys.executable, __file__, "--once", store, out, intervals]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                found = json.loads(done.stdout.splitlines()[-1])
                print(f"{n:8,d}{intervals:>11}{found['bytes']:15,d}", end="")
                print(f"{found['seconds']:10.1f}{found['peak']:10.0f}", flush=True)
                if found["bytes"] >= 10e6:
                    sys.exit("a report is to stay below 10 MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        report_once(*sys.argv[2:])
    else:
        main()
