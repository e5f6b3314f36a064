"""Run logs by name: which one is meant."""

import os
from pathlib import Path

import pytest
from run_logs import START, Log

from agentmon import runs
from agentmon.errors import AgentmonError

MADE = ["20270115T080000000Z-00000001", "20270115T090000000Z-00000002"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "agentmon" / "runs"


def run(folder: Path, name: str, began: float, changed: float | None = None) -> None:
    log = Log(folder / f"{name}.ndjson")
    log.now = began - 0.5
    log.started()
    log.release()
    os.utime(log.path, (changed or began + 10,) * 2)


@pytest.mark.parametrize(
    ("named", "newest"),
    [
        ([], MADE[1]),
        ([("zeta", START - 5)], MADE[1]),  # comes after all others by its name, and began before them
        ([("zeta", START + 7200), ("alpha", START + 9000)], "alpha"),
        ([("alpha", START + 7200, START + 50_000), ("zeta", START + 9000, START + 9010)], "zeta"),
        ([("2027", START + 9000), ("nightly", START - 9, START + 90_000)], "2027"),
    ],
)
def test_the_newest_run_is_the_one_that_began_last(folder: Path, named: list[tuple], newest: str) -> None:
    for name, began in zip(MADE, (START, START + 3600), strict=True):
        run(folder, name, began)
    for one in named:
        run(folder, *one)
    assert runs.find(None).stem == newest


def test_the_newest_of_runs_that_people_named(folder: Path) -> None:
    run(folder, "b", START)
    run(folder, "a", START + 100)
    (folder / "c.ndjson").write_bytes(b"no event\n")
    os.utime(folder / "c.ndjson", (START - 50,) * 2)
    assert runs.find("").stem == "a"


def test_beginnings_of_names(folder: Path) -> None:
    for name in ("build-1", "build-10", "other"):
        run(folder, name, START)
    assert runs.find("o").stem == "other"
    assert runs.find("build-1").stem == "build-1"
    with pytest.raises(AgentmonError, match="2 runs begin so"):
        runs.find("build")
