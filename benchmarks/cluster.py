"""Read the pages of indonesia-2024 with 1 job, 2 jobs and Dask, and compare.

First a reading each into a store of its own, and one on two Dask workers of which one
is killed half-way: are the exported tables equal byte by byte? Then one Dask worker
of one thread against two, alternating --rounds times, on --timed pages: median seconds
and ratio. Without the real pages, made ones stand in. --quick reads 40.
"""

import os
import signal
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
from common import arguments, print_versions
from distributed import LocalCluster, __version__

from sktally import list_pages, load_reader, make_tally_pages, read_to_store
from sktally.tables import Store, store_table


def pages_of(data: Path, work: str, n: int, seed: int) -> tuple[str, list[str]]:
    """Return the form and the names of the pages."""
    folder = data / "indonesia-2024" / "pages"
    if folder.is_dir():
        return "indonesia-2024", list_pages(folder)[:n]
    print(f"no folder {folder}: made pages stand in")
    made = make_tally_pages(n, form="example", random_state=seed)
    for i, page in enumerate(made.pages):
        cv2.imwrite(f"{work}/page_{i:03d}.png", page)
    return "example", list_pages(work)


def workers(n: int) -> LocalCluster:
    """Start workers of one thread each, in processes of their own."""
    return LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=":0")


def table(store: str) -> bytes:
    """Return what is exported, as CSV."""
    with Store(store) as opened:
        return store_table(opened).to_csv(index=False).encode()


def compare(reader, pages: list[str], work: str) -> None:
    """Print whether all ways of reading give the same table."""
    tables = {}

    def read(name: str, **how) -> None:
        started = time.perf_counter()
        store = f"{work}/{name.replace(' ', '_')}.sqlite"
        read_to_store(reader, pages, store, **how)
        tables[name] = table(store)
        same = tables[name] == tables["1 job"]
        print(
            f"{name:28s}{time.perf_counter() - started:7.1f} s, "
            f"{len(tables[name])} bytes, {'equal' if same else 'NOT EQUAL'}",
            flush=True,
        )

    read("1 job")
    read("2 jobs", n_jobs=2)
    with workers(2) as cluster:
        read("Dask 2 workers", cluster=cluster.scheduler_address)
    with workers(2) as cluster:
        victims = [worker.process.pid for worker in cluster.workers.values()]

        def kill(told) -> None:
            if told.done >= len(pages) // 2 and len(victims) == 2:
                os.kill(victims.pop(), signal.SIGKILL)

        address = cluster.scheduler_address
        read("Dask one of 2 killed", cluster=address, progress=kill)
        print(f"workers killed: {2 - len(victims)}")


def time_workers(reader, pages: list[str], work: str, rounds: int) -> None:
    """Print the seconds of one and of two workers."""
    seconds = {1: [], 2: []}
    with workers(1) as one, workers(2) as two:
        for i in range(rounds + 1):
            for n, cluster in ((1, one), (2, two))[:: 1 if i % 2 else -1]:
                store = f"{work}/timed_{n}_{i}.sqlite"
                # the first round makes the workers ready
                part = pages if i else pages[: len(pages) // 8]
                started = time.perf_counter()
                read_to_store(reader, part, store, cluster=cluster.scheduler_address)
                if i:
                    seconds[n].append(time.perf_counter() - started)
    medians = {n: float(np.median(found)) for n, found in seconds.items()}
    for n, found in seconds.items():
        each = ", ".join(f"{s:.1f}" for s in found)
        print(f"{n} worker{'s' * (n > 1)}: median {medians[n]:.1f} s ({each})")
    print(f"2 workers read {medians[1] / medians[2]:.2f} times as fast as 1")


def main() -> None:
    """Compare, then time."""
    args = arguments(
        __doc__,
        pages={"type": int, "default": 500},
        timed={"type": int, "default": 200},
        rounds={"type": int, "default": 3},
        quick={"action": "store_true"},
    )
    if args.quick:
        args.pages, args.timed, args.rounds = 40, 20, 1
    print_versions(args.seed)
    print(f"distributed {__version__}")
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as made:
        form, pages = pages_of(args.data, made, args.pages, args.seed)
        reader = load_reader(form)
        print(f"{len(pages)} pages of form {form}")
        compare(reader, pages, work)
        time_workers(reader, pages[: args.timed], work, args.rounds)


if __name__ == "__main__":
    main()
