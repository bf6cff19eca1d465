"""Read 1,000 to 100,000 small pages into a store, and see whether it stays as quick.

The pages are the ten real scans of indonesia-2019-c1, reduced to --width pixels; each
copy has other bytes at its end, so that it is another file to a store. Each reading has
a process of its own. Printed: median seconds a page, over hundreds of pages, in the
first and the last block of 1,000, peak memory of the process and of its workers, and
the seconds that the same command takes once all is read. --quick reads 200 and 400
pages; without the real scans, made ones stand in.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from common import arguments, print_versions

from sktally import list_pages, load_reader, make_tally_pages, read_page, read_to_store


def small_pages(data: Path, width: int, seed: int) -> tuple[str, list[bytes]]:
    """Return the form and some pages as JPEG files."""
    folder = data / "indonesia-2019-c1"
    if folder.is_dir():
        form = "indonesia-2019-c1"
        pages = [read_page(name) for name in list_pages(folder, recursive=True)]
    else:
        print(f"no folder {folder}: made pages stand in")
        form = "example"
        pages = make_tally_pages(10, form=form, random_state=seed).pages
    files = []
    for page in pages:
        scale = width / page.shape[1]
        small = cv2.resize(page, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        options = [cv2.IMWRITE_JPEG_QUALITY, 75]
        files.append(cv2.imencode(".jpg", small, options)[1].tobytes())
    return form, files


def write_copies(files: list[bytes], n: int, folder: Path) -> None:
    """Write so many files, no two alike, a thousand to a folder."""
    for i in range(n):
        part = folder / f"{i // 1000:03d}"
        part.mkdir(parents=True, exist_ok=True)
        mark = i.to_bytes(4, "big")
        (part / f"page_{i:06d}.jpg").write_bytes(files[i % len(files)] + mark)
    os.sync()  # or the disk is still at it while the first block is read


def peak(pid: int | str = "self") -> float:
    """Return the largest resident size of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def every(n: int, at: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the moments at which another `n` pages or more were done."""
    kept = at[:1]
    for moment in at:
        if moment[0] - kept[-1][0] >= n:
            kept.append(moment)
    return kept if len(kept) > 1 else [at[0], at[-1]]


def read_once(folder: str, form: str, store: str, n_jobs: str) -> None:
    """Read all pages of a folder and print what it took as one line of JSON."""
    import multiprocessing

    reader = load_reader(form)
    started = time.perf_counter()
    names = list_pages(folder, recursive=True)
    at = [(0, time.perf_counter())]
    workers = 0.0

    def note(told) -> None:
        nonlocal workers
        at.append((told.done, time.perf_counter()))
        if len(at) % 50 == 2:
            peaks = [peak(p.pid) for p in multiprocessing.active_children()]
            workers = max([workers, *peaks])

    told = read_to_store(reader, names, store, n_jobs=int(n_jobs), progress=note)
    at = every(100, at)  # lots of two workers come in pairs
    done, seconds = np.transpose(at)
    each = np.diff(seconds) / np.maximum(np.diff(done), 1)
    blocks = (done[1:] - 1) // 1000
    new = np.diff(done) > 0
    medians = [float(np.median(each[new & (blocks == b)])) for b in np.unique(blocks)]
    print(
        json.dumps(
            {
                "read": told.read,
                "before": told.before,
                "first": medians[0] if told.read else None,
                "last": medians[-1] if told.read else None,
                "seconds": time.perf_counter() - started,
                "main": peak(),
                "workers": workers,
            }
        )
    )


def measured(*arguments: object) -> dict:
    """Run `read_once` in a process of its own."""
    command = [sys.executable, __file__, "--once", *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=env)
    return json.loads(found.stdout.splitlines()[-1])


def main() -> None:
    """Read ever more pages and compare."""
    args = arguments(
        __doc__,
        pages={"type": int, "nargs": "+", "default": [1000, 10_000, 100_000]},
        width={"type": int, "default": 620, "help": "pixels of a page"},
        n_jobs={"type": int, "default": 2},
        work={"type": Path, "default": None, "help": "where to make pages"},
        quick={"action": "store_true"},
    )
    if args.quick:
        args.pages = [200, 400]
    print_versions(args.seed)
    form, files = small_pages(args.data, args.width, args.seed)
    size = np.mean([len(file) for file in files]) / 1000
    print(f"{len(files)} pages of form {form}, {args.width} pixels, {size:.0f} kB each")
    print(
        "pages   s/page: first block  last block  ratio   MiB: main  workers  seconds"
    )
    rows = {}
    for n in args.pages:
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            scans, store = Path(folder, "scans"), Path(folder, "votes.sqlite")
            write_copies(files, n, scans)
            found = rows[n] = measured(scans, form, store, args.n_jobs)
            again = measured(scans, form, store, args.n_jobs)
            megabytes = store.stat().st_size / 1e6
        print(
            f"{n:6d}{found['first']:21.5f}{found['last']:12.5f}"
            f"{found['last'] / found['first']:7.3f}{found['main']:12.0f}"
            f"{found['workers']:9.0f}{found['seconds']:9.1f}   {found['read']} read; "
            f"same command again {again['seconds']:.1f} s, {again['before']} known; "
            f"store {megabytes:.1f} MB",
            flush=True,
        )
    few, many = rows[min(args.pages)], rows[max(args.pages)]
    for who in ("main", "workers"):
        print(f"peak memory of {who}, most pages over fewest: ", end="")
        print(f"{many[who] / max(few[who], 1):.3f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        read_once(*sys.argv[2:])
    else:
        main()
