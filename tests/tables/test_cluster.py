"""A real Dask cluster reads what this process reads, and workers may die."""

import os
import signal

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sktally import TallyError, load_reader, read_to_store
from sktally.tables import Store, store_table

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as made:
        yield made


def rows(path):
    with Store(path) as store:
        return store_table(store).to_csv()


def test_results_are_those_of_this_process(reader, scans, tmp_path, cluster):
    torn = scans[0].with_name("torn.png")
    torn.write_bytes(scans[0].read_bytes()[:2000])
    pages = [*scans, torn, scans[0].with_name("none.png")]
    local, remote = tmp_path / "local.sqlite", tmp_path / "remote.sqlite"
    read_to_store(reader, pages, local)
    told = read_to_store(reader, pages, remote, cluster=cluster.scheduler_address)
    assert (told.read, told.not_read) == (6, 2)
    assert rows(local) == rows(remote)


def test_a_worker_killed_half_way_costs_nothing(reader, scans, tmp_path, cluster):
    pages = []
    for i in range(6):
        for scan in scans:
            pages.append(scan.with_name(f"{i}_{scan.name}"))
            pages[-1].write_bytes(scan.read_bytes() + b"\0" * i)
    workers = {w.process.pid for w in cluster.workers.values()}
    victims = []

    def kill(told):
        if not victims:
            victims.append(workers.pop())
            os.kill(victims[0], signal.SIGKILL)

    local, remote = tmp_path / "local.sqlite", tmp_path / "remote.sqlite"
    read_to_store(reader, pages, local)
    address = cluster.scheduler_address
    told = read_to_store(reader, pages, remote, cluster=address, progress=kill)
    assert victims and told.read == len(pages)
    assert rows(local) == rows(remote)


def test_nobody_answers(reader, scans, tmp_path, monkeypatch):
    monkeypatch.setattr("sktally.tables._cluster._PATIENCE", "1s")
    with pytest.raises(TallyError, match="cluster: expected the address of a Dask"):
        read_to_store(reader, scans, tmp_path / "a.sqlite", cluster="tcp://127.0.0.1:9")
    with pytest.raises(TallyError, match="got 'nonsense://'"):
        read_to_store(reader, scans, tmp_path / "a.sqlite", cluster="nonsense://")


def test_search_and_reading_inside_joblib(reader, scans, made, cluster):
    grid = {"votes__blank_right": ["missing", "zero"]}
    names = np.array([str(scan) for scan in scans])
    expected = reader.predict(names)
    with cluster.get_client(), joblib.parallel_config(backend="dask", n_jobs=2):
        threads = type(reader)(reader.steps)
        threads[0].set_params(n_jobs=2)
        try:
            assert (threads.predict(names) == expected).all()
        finally:
            threads[0].set_params(n_jobs=None)
        search = GridSearchCV(reader, grid, cv=2, scoring=_share_read)
        search.fit(names, made.boxes)
    assert search.best_score_ > 0.9


def _share_read(estimator, X, y):
    return float((estimator.predict(X) >= 0).mean())


def test_workers_that_do_not_know_the_reader(scans, tmp_path, cluster, monkeypatch):
    (tmp_path / "elsewhere.py").write_text(
        "from sktally import TallyCropper\nclass Mine(TallyCropper):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)  # here, not where the workers are
    from elsewhere import Mine

    mine = load_reader("example")
    mine.steps[0] = ("crop", Mine("example").fit())
    path, address = tmp_path / "a.sqlite", cluster.scheduler_address
    with pytest.raises(TallyError, match="that can read, got ModuleNotFoundError"):
        read_to_store(mine, scans, path, cluster=address)
