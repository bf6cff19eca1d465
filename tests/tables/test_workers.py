"""Processes that crop: what keeps them from beginning is said, and no page blamed."""

import os
import sys

import pytest
from sklearn.preprocessing import FunctionTransformer

from sktally import load_reader, read_to_store
from sktally.exceptions import TallyError
from sktally.tables import Store, store_table
from sktally.tables._workers import Workers


def with_step(step):
    reader = load_reader("example")
    reader.steps.insert(1, ("own", step))
    return reader


def test_steps_that_cannot_be_sent(scans, tmp_path):
    reader = with_step(FunctionTransformer(lambda cells: cells).fit([[0]]))
    path = tmp_path / "votes.sqlite"
    origin = {"name": "own", "path": "own", "sha256": "0" * 64}
    with pytest.raises(TallyError, match=r"cannot be pickled.*or give n_jobs=1"):
        read_to_store(reader, scans, path, n_jobs=2, origin=origin)
    assert read_to_store(reader, scans[:1], path, origin=origin).read == 1


def test_steps_that_others_cannot_load(scans, tmp_path, monkeypatch):
    (tmp_path / "local.py").write_text(
        "from sktally import CellNormalizer\n"
        "class Local(CellNormalizer):\n"
        "    def __setstate__(self, state):\n"
        "        raise ImportError('no such library')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    from local import Local

    path = tmp_path / "votes.sqlite"
    with pytest.raises(TallyError, match=r"cannot load .* \(ImportError: no such lib"):
        read_to_store(with_step(Local()), scans, path, n_jobs=2)
    with Store(path) as store:
        assert store_table(store).empty


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of a process")
def test_more_processes_than_the_system_starts(reader):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with Workers(reader.steps[:-1], 300) as workers:
            with pytest.raises(TallyError, match=r"n_jobs=300: the system starts no"):
                list(workers.cropped([[]]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_no_more_processes_than_lots(reader):
    with Workers(reader.steps[:-1], 300) as workers:
        cropped = workers.cropped([[]])
        with pytest.raises(TallyError):  # no page at all
            next(cropped)
        assert len(workers.processes) == 1
