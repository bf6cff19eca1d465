"""A full disk ends reading with a clear error; what was read stays, and goes on."""

import shutil
import subprocess
import sys

import pytest

from sktally.tables import Store, store_table, verify


@pytest.fixture
def tiny(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if (
        mount is None
        or subprocess.run([mount, *options], capture_output=True).returncode
    ):
        pytest.skip("a small file system cannot be mounted here: that takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_full_disk(scans, tiny, tmp_path):
    path = tiny / "votes.sqlite"
    start = [sys.executable, "-m", "sktally.cli", "read", str(scans)]
    start += ["--form", "example", "--quiet", "--out"]
    found = subprocess.run([*start, str(path)], capture_output=True, text=True)
    assert found.returncode == 2
    assert "disk" in found.stderr and "what was committed is kept" in found.stderr
    assert "Traceback" not in found.stderr
    larger = tmp_path / "votes.sqlite"
    for file in tiny.iterdir():
        shutil.copy(file, tmp_path / file.name)
    with Store(larger) as store:  # opens, and what is in it is whole
        n = store.ask("SELECT COUNT(*) FROM pages")[0][0]
        assert 0 < n < len(list(scans.iterdir()))
        assert list(verify(store)) == []
    subprocess.run([*start, str(larger)], check=True)
    fresh = tmp_path / "fresh.sqlite"
    subprocess.run([*start, str(fresh)], check=True)
    tables = []
    for file in (larger, fresh):
        with Store(file) as store:
            tables.append(store_table(store).to_csv())
    assert tables[0] == tables[1]
