"""Faults of the machine around a reading: memory, clock, locks, disks, odd files."""

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import pandas as pd
import pytest

from sktally import (
    StoreError,
    list_pages,
    read_to_store,
)
from sktally.persist import model_origin
from sktally.tables import (
    Store,
    import_edits,
    show_page,
    store_status,
    store_table,
    verify,
)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def some(scans, tmp_path):
    """Three scans in a folder of their own."""
    folder = tmp_path / "some"
    folder.mkdir()
    for scan in sorted(scans.iterdir())[:3]:
        shutil.copy(scan, folder)
    return folder


def pdf_file(path, scan, n_pages, trailer=b""):
    """Write a file whose pages all show one scan."""
    height, width = cv2.imread(str(scan), cv2.IMREAD_GRAYSCALE).shape
    data, draw = scan.read_bytes(), b"612 0 0 792 0 0 cm /Im Do"
    picture = b"<< /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray "
    picture += b"/BitsPerComponent 8 /Filter /DCTDecode /Length %d >>\nstream\n"
    kids = b" ".join(b"%d 0 R" % (5 + i) for i in range(n_pages))
    sheet = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (n_pages, kids),
        picture % (width, height, len(data)) + data + b"\nendstream",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(draw), draw),
        *[sheet + b"/Resources << /XObject << /Im 3 0 R >> >> >>"] * n_pages,
    ]
    content, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(bodies, 1):
        places.append(b"%010d 00000 n \n" % len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, size = len(content), len(bodies) + 1
    content += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, b"".join(places))
    content += b"trailer << /Size %d /Root 1 0 R %s >>\n" % (size, trailer)
    path.write_bytes(content + b"startxref\n%d\n%%%%EOF\n" % start)


def test_pdf_with_a_password_is_a_row(reader, some, tmp_path):
    scan = sorted(some.iterdir())[0]
    key = b"/ID [<00> <00>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> "
    key = key % (b"17" * 32) + b"/U <%s> >>" % (b"23" * 32)
    pdf_file(some / "locked.pdf", scan, 2, key)
    path = tmp_path / "votes.sqlite"
    told = read_to_store(reader, list_pages(some), path)
    assert (told.read, told.not_read) == (3, 1)
    with Store(path) as store:
        (message,) = store.ask("SELECT message FROM unreadable")[0]
    assert "locked.pdf: expected a PDF file that opens, got one protected" in message


@LINUX
@pytest.mark.slow
def test_pdf_of_10_000_pages(reader, scans, sizes, tmp_path):
    """Names of all pages; the first and last are read, in full all of them."""
    folder = tmp_path / "long"
    folder.mkdir()
    pdf_file(folder / "long.pdf", sorted(scans.iterdir())[0], 10_000)
    pages = list_pages(folder)
    assert len(pages) == 10_000 and pages[-1].endswith("long.pdf#page=10000")
    path = tmp_path / "votes.sqlite"
    read_to_store(reader, pages[:8], path)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chosen = pages if sizes.pages > 100 else pages[:16] + pages[-8:]
    told = read_to_store(reader, chosen, path)
    assert (told.done, told.read, told.before) == (len(chosen), len(chosen) - 8, 8)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base
    assert grown < 200 * 1024  # KiB
    with Store(path) as store:
        assert store.ask("SELECT MAX(number), COUNT(DISTINCT sha256) FROM pages") == [
            (10_000, 1)
        ]


def memory_of_workers():
    """Return the bytes of address space of each worker that this process started."""
    found = {}
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
            found[int(pid)] = pages * resource.getpagesize()
    return found


@LINUX
@pytest.mark.slow
def test_worker_out_of_memory_costs_its_page_only(reader, scans, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    names = sorted(scans.iterdir())[:56]
    for scan in names:  # more than two workers are given ahead
        shutil.copy(scan, folder)
        twin = folder / f"{scan.stem}_again.jpg"
        twin.write_bytes(scan.read_bytes() + b"\1")
    large = cv2.imread(str(names[0]), cv2.IMREAD_GRAYSCALE)
    large = cv2.resize(large, (11_000, 13_000))
    cv2.imwrite(str(folder / "page_9998.png"), large)  # the last but one lot and
    cv2.imwrite(str(folder / "page_9999.jpg"), large)
    (folder / "page_99999.jpg").write_bytes(names[1].read_bytes() + bytes(70))
    limited = []

    def limit(told):
        """Leave the workers what they have once they have begun, and a little more."""
        if limited:
            return
        sizes, before = memory_of_workers(), {}
        while sizes != before or len(sizes) < 2:
            time.sleep(1)
            sizes, before = memory_of_workers(), sizes
        for pid, size in sizes.items():
            most = size + 120 * 2**20
            resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
            limited.append(pid)

    path = tmp_path / "votes.sqlite"
    told = read_to_store(reader, list_pages(folder), path, n_jobs=2, progress=limit)
    assert len(limited) == 2
    assert (told.done, told.read + told.not_read) == (115, 115)
    with Store(path) as store:
        found = dict(store.ask("SELECT file, message FROM unreadable"))
    # one that took its worker along may be read by the next, which is not limited
    assert found and {Path(file).stem for file in found} <= {"page_9998", "page_9999"}
    assert all("memory" in message for message in found.values()), found
    again = read_to_store(reader, list_pages(folder), path)  # there is memory now
    assert (again.before, again.read, again.not_read) == (told.read, told.not_read, 0)


# A clock ten years late, and at each look a minute later than before.
LATE = """
import datetime, itertools, sys, time
import sktally.tables._circumstances as circumstances
real, looks = time.time, itertools.count()
time.time = lambda: real() - 3.2e8 - 60 * next(looks)
class Late:
    @staticmethod
    def now(zone):
        return datetime.datetime.fromtimestamp(time.time(), zone)
circumstances.datetime = Late
from sktally.cli import main
for line in sys.stdin:
    try:
        main(line.split())
    except SystemExit as end:
        assert not end.code, line
"""


def test_clock_set_back(reader, some, tmp_path):
    path, scans = tmp_path / "votes.sqlite", sorted(some.iterdir())
    command = f"read {some} --form example --quiet --out {path}"
    read_to_store(reader, scans[:1], path, origin=model_origin("default"))
    os.utime(scans[1], (0, 0))  # a scan that was set back too
    lines = [command]
    for count in (5, 6, 7):
        row = {"file": [scans[0].name], "field": "01", "who": "ana", "count": count}
        pd.DataFrame(row).to_csv(tmp_path / f"{count}.csv", index=False)
        lines.append(f"edits import {path} {tmp_path / str(count)}.csv")
    with Store(path) as store:
        assert import_edits(store, tmp_path / "5.csv") == (1, 0)
    lines += [command, f"verify {path}"]
    found = subprocess.run(
        [sys.executable, "-c", LATE],
        input="\n".join(lines),
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("1 edit added") == 2
    assert found.stdout.count("as it was written") == 1
    with Store(path) as store:
        ask = "SELECT json_extract(content, '$.started') FROM sessions ORDER BY id"
        began = [when for (when,) in store.ask(ask)]
        assert began == sorted(began, reverse=True) and began[-1] < began[0]
        assert store.ask("SELECT COUNT(*) FROM pages") == [(3,)]
        table = store_table(store)
        row = table[(table["file"] == str(scans[0])) & (table["field"] == "01")]
        assert row["final"].tolist() == [7]  # what was said last, whatever the time
        assert list(verify(store)) == []


HOLD = """
import sqlite3, sys, time
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("BEGIN IMMEDIATE")
told = (1, sys.argv[1].encode(), "held", 1, "", "", "")
base.execute("INSERT INTO unreadable VALUES (?, ?, ?, ?, ?, ?, ?)", told)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
base.execute("COMMIT")
"""


@pytest.mark.parametrize("ends", ["by itself", "by kill -9"])
def test_reading_waits_for_another_process(reader, some, tmp_path, at_most, ends):
    path = tmp_path / "votes.sqlite"
    scans = sorted(some.iterdir())
    read_to_store(reader, scans[:1], path)
    wait = "1.5" if ends == "by itself" else "600"
    command = [sys.executable, "-c", HOLD, str(path), wait]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        if wait == "600":
            threading.Timer(1.0, holder.kill).start()
        started = time.monotonic()
        with at_most(25):
            assert read_to_store(reader, scans, path).read == 2
        assert time.monotonic() - started > 0.5  # it was locked
    with Store(path) as store:
        held = store.ask("SELECT COUNT(*) FROM unreadable WHERE file = 'held'")
        assert held == [(int(ends == "by itself"),)]
        assert list(verify(store)) == []


@pytest.fixture
def read_only(tmp_path):
    """Return a function that makes a folder one that nobody can write to."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount") or "mount"
    if (
        os.geteuid()
        or subprocess.run(
            [mount, "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True
        ).returncode
    ):
        pytest.skip("a file system cannot be mounted here: that takes root")
    options = ["-o", "remount,ro", str(folder)]
    yield folder, lambda: subprocess.run([mount, *options], check=True)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_target_that_cannot_be_written(reader, some, read_only, tmp_path):
    disk, lock = read_only
    path, scans = disk / "votes.sqlite", sorted(some.iterdir())
    read_to_store(reader, scans[:2], path)
    lock()
    before = {file: file.read_bytes() for file in disk.iterdir()}
    with Store(path) as store:
        assert "pages: 2 read" in store_status(store)
        assert len(store_table(store)) == 12 and list(verify(store)) == []
        assert "SHA-256" in show_page(store, scans[0].name).text
        edit = {"file": [scans[0].name], "field": "01", "who": "ana", "count": "5"}
        with pytest.raises(StoreError, match="it cannot be written to; copy it to"):
            import_edits(store, pd.DataFrame(edit))
    for name in ("votes.sqlite", "new.sqlite"):
        with pytest.raises(StoreError, match=rf"{name}: it cannot be (written|opened)"):
            read_to_store(reader, scans, disk / name)
    assert {file: file.read_bytes() for file in disk.iterdir()} == before
