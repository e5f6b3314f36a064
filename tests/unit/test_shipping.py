"""Shipping, killed and failed at any point: what the far end has in the end is each event once, in order per run.

The far end here knows no repeats: whatever is sent twice is there twice.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_logs import Log

from agentmon.errors import AgentmonError
from agentmon.fleet import shipping, spool
from agentmon.fleet.cursor import Cursor
from agentmon.fleet.outlet import Mark, Place, Record, Unreachable
from agentmon.fleet.shipping import Shipper
from agentmon.fleet.spool import Spool


class Killed(BaseException):
    """As if the process had ended here."""


class FarEnd:
    """What arrived; and what is to go wrong, call by call: after so many events, and whether it kills."""

    def __init__(self, faults: list[tuple[int, bool]]) -> None:
        self.stored: list[Record] = []
        self.faults = faults
        self.name, self.refused = "far end", 0

    def _fault(self) -> tuple[int, type[BaseException]] | None:
        if not self.faults:
            return None
        after, kills = self.faults.pop(0)
        return after, Killed if kills else Unreachable

    def mark(self) -> Mark:
        fault = self._fault()
        if fault is not None and fault[0] == 0:
            raise fault[1]("mark")
        return {"at": len(self.stored)}

    def arrived(self, mark: Mark, teams: Mapping[str, str]) -> Mapping[str, Place]:
        found: dict[str, Place] = {}
        for record in self.stored[mark.get("at", 0) :]:
            assert record.place > found.get(record.run_id, (-1, -1))
            if record.run_id in teams:
                found[record.run_id] = record.place
        return found

    def send(self, records: Sequence[Record]) -> None:
        fault = self._fault()
        self.stored += records if fault is None else records[: fault[0]]
        if fault is not None:
            raise fault[1]("send")

    def resume(self, mark):
        pass

    def idle(self):
        pass

    def close(self) -> None: ...


class Saves(Cursor):
    """A cursor whose process ends while it is saved: before or after it is on disk."""

    plan: list[int]

    def save(self, doubt: bool, mark: Mark | None = None) -> None:
        step = self.plan.pop(0) if self.plan else 0
        if step == 1:
            raise Killed
        super().save(doubt, mark)
        if step == 2:
            raise Killed


def write(folder: Path, name: str, seqs: list[int]) -> Log:
    made = Log(folder / "agentmon" / "runs" / f"{name}.ndjson", lock=False)
    for seq in seqs:
        made.seq = seq - 1
        made.said(f"{name} {seq} " + "x" * (seq * 37 % 400))
    return made


FAULTS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=8)
SAVES = st.lists(st.integers(0, 2), max_size=6)
SEQS = st.lists(st.integers(1, 30), max_size=60)  # any order: where seq falls, another process wrote on


@settings(max_examples=120, deadline=None)
@given(FAULTS, SAVES, st.lists(SEQS, min_size=1, max_size=3), st.sampled_from([300, 2000, 10**6]), st.booleans())
def test_killed_anywhere(faults, saves, logs, block, often):
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", folder)
        patch.setattr(shipping, "_SAVE_S", 0.0 if often else 1.0)
        patch.setattr(shipping, "_RETRY_S", 0.0)
        patch.setattr(spool, "_BLOCK", block)
        patch.setattr(spool, "_BATCH", 10)
        patch.setattr(shipping, "_MANY", 5)
        written = [write(Path(folder), f"run-{number}", seqs) for number, seqs in enumerate(logs)]
        far = FarEnd([*faults])
        plan = [*saves]
        for _ in range(len(faults) + len(saves) + 2):
            cursor = Saves("nats://there:4222")
            cursor.plan = plan
            store = Spool(cursor, lambda text: None)
            try:
                shipper = Shipper(far, store, cursor, lambda text: None, lambda seconds: None, lambda: False)
                shipper.ship(follow=False, patience=60)
                break
            except Killed:
                continue
            finally:
                store.close()
                cursor.close()
        else:
            raise AssertionError("it never ended")
        for made in written:
            arrived = [record.line for record in far.stored if record.run_id == made.run_id]
            assert arrived == made.path.read_bytes().splitlines()
            made.release()
        identities = [(record.run_id, record.place) for record in far.stored]
        assert len({*identities}) == len(identities)


def _ship(folder: Path, far: FarEnd, said: list[str]) -> Spool:
    cursor = Cursor("nats://there:4222")
    store = Spool(cursor, said.append)
    try:
        Shipper(far, store, cursor, said.append, lambda seconds: None, lambda: False).ship(False, 60)
        return store
    finally:
        store.close()
        cursor.close()


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_a_log_of_another_inode_is_the_same_run(state):
    """Restored from elsewhere, or edited: what was shipped of it stays shipped."""
    far, said = FarEnd([]), []
    made = write(state, "run", [1, 2, 3])
    _ship(state, far, said)
    content = made.path.read_bytes()
    made.path.unlink()
    made.path.write_bytes(content + content.splitlines(keepends=True)[0].replace(b'"seq":1', b'"seq":4'))
    _ship(state, far, said)
    assert [record.seq for record in far.stored] == [1, 2, 3, 4]


def test_a_log_that_was_cut_is_read_again_without_what_was_shipped(state):
    far, said = FarEnd([]), []
    made = write(state, "run", [1, 2, 3, 4])
    _ship(state, far, said)
    lines = made.path.read_bytes().splitlines(keepends=True)
    made.path.write_bytes(b"".join(lines[2:]))
    _ship(state, far, said)
    assert [record.seq for record in far.stored] == [1, 2, 3, 4]
    assert any("is shorter than what was shipped" in text for text in said)


@pytest.mark.parametrize("content", [b"", b"{", b'{"v":9}', b"[1]", b'{"v":1,"doubt":1,"mark":3,"logs":{}}', b"\xff"])
def test_a_cursor_that_cannot_be_read_is_said(content, state):
    cursor = Cursor("nats://there:4222")
    cursor.close()
    Path(cursor.path).write_bytes(content)
    with pytest.raises(AgentmonError, match="move it away"):
        Cursor("nats://there:4222")
