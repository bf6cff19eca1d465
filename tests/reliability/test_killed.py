"""Kill -9 at random moments costs nothing but time."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sktally.tables import Store, store_table, verify


def command(scans, path, *, jobs):
    arguments = ["read", str(scans), "--form", "example", "--out", str(path)]
    start = [sys.executable, "-m", "sktally.cli", *arguments]
    return [*start, "--jobs", str(jobs), "--quiet"]


def rows(path):
    with Store(path) as store:
        return store_table(store).drop(columns="file").to_csv(index=False)


def workers_of(pid):
    """Return the processes whose parent is `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found


def alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def all_end(pids):
    """Tell whether all processes end within some seconds."""
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(alive, pids))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_and_resumed_is_as_undisturbed(scans, sizes, tmp_path, jobs):
    undisturbed = tmp_path / "undisturbed.sqlite"
    started = time.perf_counter()
    subprocess.run(command(scans, undisturbed, jobs=jobs), check=True)
    whole = time.perf_counter() - started
    path, draw = tmp_path / "killed.sqlite", random.Random(jobs)
    n_kills, orphans = sizes.kills // 2, []
    for i in range(n_kills):
        process = subprocess.Popen(command(scans, path, jobs=jobs))
        # over the first reading and, ever more often, what is left of it
        time.sleep(draw.uniform(0.2, whole * max(0.3, 1 - i / n_kills)))
        orphans += workers_of(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if i % 3 == 2:  # begin anew now and then, to be killed early too
            for file in tmp_path.glob("killed.sqlite*"):
                file.unlink()
    subprocess.run(command(scans, path, jobs=jobs), check=True)
    assert rows(path) == rows(undisturbed)
    with Store(path) as store:
        assert list(verify(store)) == []
    assert all_end(orphans)  # no worker outlives its parent


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="signals of POSIX")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_ends_cleanly_and_goes_on(scans, tmp_path, jobs, times):
    path = tmp_path / "votes.sqlite"
    process = subprocess.Popen(command(scans, path, jobs=jobs), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # until the first pages are in
        time.sleep(0.05)
        if path.exists():
            with Store(path) as store:
                if store.ask("SELECT COUNT(*) FROM pages")[0][0]:
                    break
    workers = workers_of(process.pid)
    for _ in range(times):  # the second does not wait for the pages under way
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert b"the same command goes on" in told
    assert b"Traceback" not in told
    assert all_end(workers)
    assert subprocess.run(command(scans, path, jobs=1)).returncode == 0
    with Store(path) as store:
        n = len(list(scans.iterdir()))
        assert store.ask("SELECT COUNT(*) FROM pages") == [(n,)]
