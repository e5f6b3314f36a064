"""Hub: the live state of all runs, read as it grows, and the frames that tell clients of it.

All of it happens in one event loop thread, in small steps: reading a long log gives way to clients again and again.
"""

import asyncio
import contextlib
import functools
import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence

from agentmon import ndjson
from agentmon.errors import AgentmonError
from agentmon.feeds.apart import Apart, Claims
from agentmon.feeds.beginning import Beginning
from agentmon.feeds.feed import Feed, Feeds
from agentmon.views.board import Board, RunWatch
from agentmon.views.serve import frames
from agentmon.views.serve.changes import Frame, Journal, Mark, Taken
from agentmon.views.serve.clients import Clients
from agentmon.views.serve.live import AgentState, Key, LiveRun

TICK_S = 0.05
_QUIET_TICK_S = 0.25  # while no run goes on
_ALONE_TICK_S = 1.0  # while nobody looks on
FRAME_S = 1.0  # at most one frame of an agent in this time
_LATE_S = 0.1  # a frame that was so late does not delay the ones after it
_JITTER_S = 0.01  # between two ticks
_STEP_S = 0.01  # of work, and then others have their turn
_STATUS_S = 1.0  # a run that neither prints nor works stalls by the clock
_BEHIND_BYTES = 32 << 10  # read in one step: there is more of it
_SILENT_S = 2.0  # a log that takes longer to read is shown as far as it goes
_JOURNAL_BYTES = 16 << 20


class Hub:
    """One per server. now: monotonic seconds; wall: Unix seconds."""

    def __init__(
        self, sources: Sequence[Feeds], say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        claims = Claims()
        self.board = Board([Apart(feeds, claims, say) for feeds in sources], say, self._watched)
        self.stream = secrets.token_hex(8)
        self.journal = Journal(_JOURNAL_BYTES)
        self.clients = Clients()
        self.frames_made = 0
        self._say, self.now, self._wall = say, now, wall
        self._agents: dict[Key, AgentState] = {}
        self._marks: dict[Key, set[Mark]] = {}
        self._said: set[str] = set()
        self._aside: Callable[[Callable[[], None]], object] | None = None
        self._waiting: dict[Key, AgentState] = {}  # those that have something to tell
        self._snapshots: dict[Key, tuple[int, bytes]] = {}  # as of this tick, with the run's version

    @property
    def clients_connected(self) -> int:
        """How many there are."""
        return len(self.clients)

    @property
    def frames_sent(self) -> int:
        """Messages given to clients."""
        return self.clients.frames_sent

    def watch(self, run_id: str) -> RunWatch | None:
        """A live or recently ended run."""
        for watch in self.board.watches():
            if watch.state.run_id == run_id:
                return watch
        return None

    def agents(self) -> list[AgentState]:
        """Every agent of a live or recently ended run."""
        return [*self._agents.values()]

    def agent(self, key: Key) -> AgentState | None:
        """One of them."""
        return self._agents.get(key)

    def teams(self) -> list[str]:
        """The teams of all of them."""
        return sorted({agent.team_id for agent in self._agents.values()})

    async def run(self) -> None:
        """Go on until cancelled."""
        loop = asyncio.get_running_loop()
        self._aside = functools.partial(loop.run_in_executor, None)
        at = self.now()
        while True:
            busy = False
            began = self.now()
            for more in self.steps():
                busy |= more
                if self.now() - began > _STEP_S:
                    await asyncio.sleep(0)
                    began = self.now()
            self.flush()
            now = self.now()
            pause = self._pause()
            at += pause * max(1, math.ceil((now - at) / pause))  # late or not, in step: frames fall due in it
            if busy:
                at = now
            self.clients.joined.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.clients.joined.wait(), max(0.0, at - now))
                at = self.now()  # somebody has come, and is not to wait

    def _pause(self) -> float:
        """How long nothing is read."""
        if not len(self.clients):
            return _ALONE_TICK_S
        return TICK_S if any(watch.over_at is None for watch in self.board.watches()) else _QUIET_TICK_S

    def tick(self) -> bool:
        """Read what has come, and make the frames that are due; whether there is more to read at once."""
        more = any([*self.steps()])
        self.flush()
        return more

    def steps(self) -> Iterator[bool]:
        """Read what has come, one run at a time; whether there is more of it at once."""
        try:
            gone = self.board.refresh()
        except Exception as error:  # no home any more, say: what is there goes on
            gone = []
            if repr(error) not in self._said:
                self._said.add(repr(error))
                self._say(str(error) if isinstance(error, AgentmonError) else repr(error))
        for watch in gone:
            self._remove(watch)
        yield False
        for watch in self.board.watches():
            assert isinstance(watch, LiveRun)
            try:
                more = self._poll(watch)
            except Exception as error:  # a fault in one run must not take the others with it
                self._give_up(watch, error)
                more = False
            yield more

    def flush(self) -> None:
        """Make the frames that are due, and wake the clients that they are for."""
        now, head = self.now(), self.journal.head
        self._snapshots.clear()
        for key, agent in [*self._waiting.items()]:
            if agent.due_at <= now:
                try:
                    self._make(agent, now)
                except Exception as error:
                    self._give_up(agent.run, error)
                if not agent.changes:
                    self._waiting.pop(key, None)
        if self.journal.head != head:
            self.clients.wake()

    def snapshot(self, agent: AgentState) -> bytes | None:
        """All that is known of an agent, for one client; it goes on with what comes after its mark. None where a fault
        is in the way."""
        cached = self._snapshots.get(agent.key)
        if cached is None or cached[0] != agent.run.version:
            now = self._wall()
            try:
                payload = frames.snapshot(agent.telemetry(now), agent.seq, self.stream, now)
            except Exception as error:
                self._give_up(agent.run, error)
                return None
            cached = agent.run.version, payload
            self._snapshots[agent.key] = cached
        return cached[1]

    def mark(self, agent: AgentState) -> Mark | None:
        """Where the changes of an agent stand that wait for its next frame; None where none are waiting."""
        if not agent.changes:
            return None
        mark = agent.changes.mark
        self._marks.setdefault(agent.key, set()).add(mark)
        return mark

    def farewell(self, key: Key, seq: int) -> bytes:
        """An agent that has left, told once more to a client that missed it. seq: of the newest frame that it has."""
        return frames.removed(key, seq, self.stream)

    def close(self) -> None:
        """Let the feeds go."""
        self.board.close()

    def _watched(self, feed: Feed, say: Callable[[str], None]) -> LiveRun:
        if len(self.clients):  # they hear of a run from its beginning
            feed = Beginning(feed)
        run = LiveRun(feed, say, self.now())
        run.aside = self._aside
        return run

    def _poll(self, run: LiveRun) -> bool:
        """Read on in one run; whether it is far behind."""
        if run.is_summing or (run.over_at is not None and run.version == run.version_told):
            return False
        run.poll()
        behind = run.bytes_taken >= _BEHIND_BYTES
        now, changed = self.now(), run.version != run.version_told
        run.version_told = run.version
        if not run.is_live:
            if run.state.run_id is None or (behind and now - run.found_at < _SILENT_S):
                return behind
            run.is_live = not behind
            for agent in run.agents.values():
                agent.changes.whole = True
        elif not changed and now < run.status_at:
            return False
        run.status_at = now + _STATUS_S
        status = run.status(self._wall())
        if status != run.told:
            run.told = status
            run.touch()
        for agent in run.agents.values():
            if agent.changes and agent.key not in self._waiting:
                self._agents[agent.key] = self._waiting[agent.key] = agent
        return behind

    def _make(self, agent: AgentState, now: float) -> None:
        """One frame of what has changed; of a new agent, of all that is known."""
        seq, changes, wall = self.journal.head + 1, agent.changes, self._wall()
        marks = self._marks.pop(agent.key, ())
        variants: dict[Mark, bytes] = {}
        is_first, agent.seq = agent.seq == 0, seq
        if changes.whole:
            changes.clear()
            payload = frames.snapshot(agent.telemetry(wall), seq, self.stream, wall)
        else:
            beside = changes.touched
            taken = changes.take()
            usage = ndjson.dumps(agent.token_usage(wall))

            def encode(part: Taken) -> bytes:
                return frames.changed(part, agent.key, agent.run.told, usage, seq, self.stream, wall, beside)

            payload = encode(taken)
            variants = {mark: encode(taken.after(mark)) for mark in marks}
        self.journal.add(Frame(seq, agent.key, payload, now, variants=variants))
        self.frames_made += 1
        if not is_first:  # what has happened since the snapshot is not to wait for it
            slack = _LATE_S if agent.due_at > now - FRAME_S else _JITTER_S
            agent.due_at = max(agent.due_at + FRAME_S, now + FRAME_S - slack)

    def _give_up(self, run: LiveRun, error: Exception) -> None:
        what = error.message if isinstance(error, AgentmonError) else repr(error)
        self._say(f"{run.name}: {what}; it is not shown any more")
        self.board.drop(run)
        self._remove(run)

    def _remove(self, run: RunWatch) -> None:
        """The run has left the board: say so of each of its agents that was shown."""
        assert isinstance(run, LiveRun)
        for agent in run.agents.values():
            self._waiting.pop(agent.key, None)
            self._marks.pop(agent.key, None)
            if self._agents.get(agent.key) is agent:
                del self._agents[agent.key]
                seq = self.journal.head + 1
                payload = frames.removed(agent.key, seq, self.stream)
                self.journal.add(Frame(seq, agent.key, payload, self.now(), removal=True))
        self.clients.wake()
