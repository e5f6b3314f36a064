"""Past runs: brought up to date once at a time and aside of the event loop, and kept within bounds."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from run_logs import Log

from agentmon import index_query, indexing
from agentmon.errors import AgentmonError
from agentmon.index_query import Wanted
from agentmon.views.serve import past
from agentmon.views.serve.past import Past, log_at, log_of
from agentmon.views.serve.reading import Reading


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(past, "_REST_S", 0.0)
    monkeypatch.setattr(past, "_REST_SHARE", 0)
    return tmp_path / "agentmon" / "runs"


def finished(runs: Path, name: str, calls: int = 1) -> Log:
    log = Log(runs / f"{name}.ndjson")
    log.started()
    for _ in range(calls):
        log.called()
    log.ended()
    log.release()
    return log


def within(work: Callable[[Past], Awaitable[None]]) -> list[str]:
    """Do it in an event loop; what was said."""
    said: list[str] = []

    async def whole() -> None:
        of = Past(said.append)
        try:
            await work(of)
        finally:
            of.close()

    asyncio.run(whole())
    return said


async def asked(of: Past) -> tuple[list[dict], object]:
    """All runs, once the index is up to date: however long that takes."""
    return await of.ask(lambda index: index_query.runs(index, Wanted()), 60.0)


def names(rows: list[dict]) -> set[str]:
    return {row["run_id"] for row in rows}


def test_many_ask_and_one_reads(runs: Path, monkeypatch: pytest.MonkeyPatch):
    at_once, most, threads = 0, 0, set()
    plain = indexing.bring_up_to_date

    def counted(*words) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        threads.add(threading.get_ident())
        plain(*words)
        at_once -= 1

    monkeypatch.setattr(indexing, "bring_up_to_date", counted)
    for n in range(5):
        finished(runs, f"run-{n}")

    async def work(of: Past) -> None:
        told = await asyncio.gather(*(asked(of) for _ in range(40)))
        assert all(names(rows) == {f"run-{n}" for n in range(5)} for rows, _ in told)
        assert all(progress is None for _, progress in told)
        finished(runs, "later")
        rows, _ = await asked(of)
        assert "later" in names(rows)

    assert within(work) == []
    assert most == 1
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_answer_does_not_wait_for_all_logs(runs: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the index takes its time, the answer is what it knows by then, and says so."""
    go_on = threading.Event()
    plain = indexing.bring_up_to_date

    def slow(index, say, progress) -> None:
        progress(0, 1)
        assert go_on.wait(60)
        plain(index, say, progress)

    monkeypatch.setattr(indexing, "bring_up_to_date", slow)
    finished(runs, "one")

    async def work(of: Past) -> None:
        rows, progress = await of.ask(lambda index: index_query.runs(index, Wanted()), 0.05)
        assert rows == []
        assert progress is not None
        go_on.set()
        rows, progress = await asked(of)
        assert (names(rows), progress) == ({"one"}, None)

    within(work)


def test_an_index_that_goes_is_made_anew(runs: Path):
    finished(runs, "one")

    async def work(of: Past) -> None:
        for _ in range(2):
            rows, _ = await asked(of)
            assert names(rows) == {"one"}
            for path in runs.parent.glob("history.sqlite3*"):
                path.unlink()

    within(work)


def test_a_damaged_index_is_an_error_until_it_is_mended(runs: Path):
    finished(runs, "one")
    damaged = runs.parent / "history.sqlite3"
    damaged.write_bytes(b"nothing" * 500)

    async def work(of: Past) -> None:
        for _ in range(2):
            with pytest.raises(AgentmonError, match="damaged"):
                await asked(of)
        damaged.unlink()
        rows, _ = await asked(of)
        assert names(rows) == {"one"}

    within(work)


def test_logs_that_grow_are_read_by_many(runs: Path, monkeypatch: pytest.MonkeyPatch):
    """Each answer is of a whole state, in whatever order they come; no file stays open beyond the bounds."""
    monkeypatch.setattr(past, "_KEPT_READINGS", 3)
    finished(runs, "there")
    logs = [Log(runs / f"run-{n}.ndjson") for n in range(8)]
    for log in logs:
        log.started()
    threads = set()

    def calls(reading: Reading) -> tuple[int, float]:
        threads.add(threading.get_ident())
        last = reading.series.usage.figures[0]
        return reading.calls, last[-1] if last else 0.0

    async def work(of: Past) -> None:
        await asked(of)
        before = len(os.listdir("/proc/self/fd"))
        for turn in range(1, 5):
            for log in logs:
                log.called()
            found = [log_of(log.run_id) for log in logs * 4]
            told = await asyncio.gather(*(of.read(log, calls) for log in found if log is not None))
            assert told == [(turn, 1000.0 * turn)] * len(logs) * 4
        assert len(os.listdir("/proc/self/fd")) <= before + 3 + 1

    within(work)
    assert threading.get_ident() not in threads
    for log in logs:
        log.release()


@pytest.mark.parametrize("how", ["replaced", "cut", "gone"])
def test_a_log_that_is_not_what_it_was(runs: Path, how: str):
    log = finished(runs, "one", calls=3)

    async def work(of: Past) -> None:
        found = log_of("one")
        assert found is not None
        assert await of.read(found, lambda reading: reading.calls) == 3
        if how == "gone":
            log.path.unlink()
            assert log_of("one") is None
            with pytest.raises(OSError):
                await of.read(found, lambda reading: reading.calls)
            return
        if how == "replaced":
            log.path.rename(log.path.with_suffix(".old"))
        else:
            os.truncate(log.path, 0)
        finished(runs, "one", calls=1)
        assert await of.read(found, lambda reading: reading.calls) == 1

    within(work)


def test_an_end_waits_for_no_log(runs: Path):
    """What is being read when the server ends is left."""
    log = Log(runs / "one.ndjson")
    log.started()

    async def work(of: Past) -> None:
        found = log_of("one")
        assert found is not None
        await of.read(found, lambda reading: None)
        log.called()
        of.close()
        assert await of.read(found, lambda reading: reading.calls) == 0

    within(work)
    log.release()


def test_only_what_is_a_file_is_a_log(runs: Path, tmp_path: Path):
    named = tmp_path / "named.ndjson"
    named.touch()
    finished(runs, "one")
    assert log_at(str(runs / "one.ndjson"), "one", "blue").run is None
    assert log_at(str(named), "r/1", "blue").run == "r/1"
    assert log_at(f"{named} (run r/1 of blue)", "r/1", "blue").path == str(named)
    assert log_at("unix:/run/x.sock", "r", "blue") is None
    assert log_of("two") is None
