"""Board: the runs that are looked at, each folded from its feed as it grows, and the agents in them."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agentmon.events import Alert, Event, ProcessMetrics, TokenUsage, Tree
from agentmon.feeds.feed import Feed, Feeds
from agentmon.replay import Decoder, Entries, Fold
from agentmon.telemetry import AgentTelemetry, RunTelemetry
from agentmon.usage import Ledger, Sums

Status = Literal["running", "stopped", "error", "stalled", "lost"]

SAMPLES_KEPT = 240
STALLED_S = 120.0  # neither output nor work
_BUSY_PERCENT = 1.0
_COST_WINDOW_S = 600.0
_MIN_RATE_S = 30.0  # a cost per hour from less than this says nothing
_SUMS_SHARE = 0.02  # of the time, at most, goes into summing up usage
_ENDED_KEPT_S = 300.0
_ENDED: dict[str, Status] = {"stopped": "stopped", "lost": "lost"}


@dataclass(slots=True)
class Samples:
    """The last samples of a run's process tree, for curves."""

    cpu: deque[float | None] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))
    memory: deque[float | None] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))
    processes: deque[float | None] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))
    threads: deque[float | None] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))

    def take(self, metrics: ProcessMetrics) -> None:
        """Add one sample; the last of a run, when nothing is left to measure, is none."""
        if metrics.status == "dead":
            return
        self.cpu.append(metrics.tree.cpu_percent)
        self.memory.append(metrics.tree.memory_mb)
        self.processes.append(metrics.tree.processes)
        self.threads.append(metrics.tree.threads)


class RunWatch:
    """One run: its feed read, its state, and what only a viewer needs."""

    def __init__(self, feed: Feed, say: Callable[[str], None], entries: Entries | None = None) -> None:
        self.name = feed.name
        self.samples = Samples()
        self.models: dict[str, str] = {}  # agent_id -> the model it used last
        self.version = 0  # counts up with every change
        self.bytes_taken = 0  # at the last poll
        self.over_at: float | None = None
        self.sums: dict[str, Sums] = {}
        self.by_model: dict[str, Sums] = {}
        self.totals = Sums()
        self.calls_unknown = 0
        self._feed = feed
        self._decoder = Decoder(feed.name, say)
        self._fold = Fold(self._decoder, self._see, entries=entries)
        self._folded = self._fold.state  # asking the fold each time decodes log entries that nobody looks at
        self._busy_at: float | None = None
        self._stall_told_at: float | None = None
        self._sums_due = False
        self._sums_after = self._sums_cost = 0.0
        self._costs: deque[tuple[float, float]] = deque()

    @property
    def state(self) -> RunTelemetry:
        """The run so far."""
        return self._fold.state

    def is_main(self, agent_id: str) -> bool:
        """Whether it bears this agent's name."""
        return agent_id == self._folded.agent_id

    def is_whole(self, agent_id: str) -> bool:
        """Whether this agent stands for the whole run: the run bears its name, or it is alone."""
        return self.is_main(agent_id) or len(self._folded.agents) == 1

    @property
    def tree(self) -> Tree | None:
        """What its processes use now; None where there are none any more, or none yet."""
        metrics = self.state.process_metrics
        return metrics.tree if metrics and metrics.status != "dead" and self.over_at is None else None

    def poll(self) -> bool:
        """Read what has come; whether there was anything."""
        if self.over_at is not None:
            return False
        lines = self._feed.poll()
        self.bytes_taken = sum(map(len, lines))
        if lines:
            self._take(lines)
            self.version += 1
        elif self._feed.over(self._decoder.closed):
            self._fold.end(self._feed.rest)
            self._feed.close()
            self.over_at = time.monotonic()
            self.version += 1
            self._sums_after = 0.0  # these are the last ones
        self._sum_up()
        return bool(lines)

    def status(self, now: float) -> Status:
        """now: Unix seconds. A run is lost where its log has no end and nobody writes it."""
        state = self.state
        if state.end is not None and (self._decoder.closed or self.over_at is not None):
            return _ENDED.get(state.fate or "", "error")
        if self.over_at is not None:
            return "lost"
        active = self.active_at()
        if self._stall_told_at is not None and (active is None or active <= self._stall_told_at):
            return "stalled"
        return "stalled" if active is not None and now - active >= STALLED_S else "running"

    def active_at(self) -> float | None:
        """When it was last seen to print or to work."""
        state = self.state
        told = [agent.last_updated for agent in state.agents.values() if agent.last_updated is not None]
        times = [*told, self._busy_at] if self._busy_at is not None else told
        return max(times, default=None)

    def lasted(self, now: float) -> float | None:
        """Seconds from the start to the end, or to now."""
        state = self.state
        if state.end is not None and state.end.duration_s is not None:
            return state.end.duration_s
        if state.started_at is None:
            return None
        until = state.last_updated if self.over_at is not None else now
        return max(0.0, (until or now) - state.started_at)

    def cost_per_hour(self, now: float) -> float | None:
        """What it costs at the pace of the last ten minutes; of the whole run once it is over."""
        cost, lasted = self.totals.cost_usd, self.lasted(now)
        if cost is None or lasted is None or lasted < _MIN_RATE_S:
            return None
        if self.over_at is None and self._costs and now - self._costs[0][0] >= _MIN_RATE_S:
            at, before = self._costs[0]
            return max(0.0, cost - before) / (now - at) * 3600
        return cost / lasted * 3600

    def close(self) -> None:
        """Let the feed go."""
        self._feed.close()

    def _take(self, lines: list[bytes]) -> None:
        self._fold.take(lines)

    def _see(self, event: Event) -> None:
        match event.payload:
            case ProcessMetrics() as metrics:
                self.samples.take(metrics)
                if (metrics.tree.cpu_percent or 0.0) >= _BUSY_PERCENT:
                    self._busy_at = event.timestamp
            case TokenUsage() as usage:
                self._sums_due = True
                if usage.model:
                    self.models[event.agent_id] = usage.model
            case Alert(rule="stall"):
                self._stall_told_at = event.timestamp

    def _sum_up(self) -> None:
        """Sums over many calls take a moment: not more often than their cost allows."""
        began = time.monotonic()
        if not self._sums_due or began < self._sums_after:
            return
        self._sums_due = False
        state = self.state
        self._take_sums(state.usage)
        self._sums_cost = time.monotonic() - began
        self._sums_after = began + self._sums_cost / _SUMS_SHARE
        self.version += 1
        if self.totals.cost_usd is not None and state.last_updated is not None:
            if not self._costs and state.started_at is not None:
                self._costs.append((state.started_at, 0.0))
            self._costs.append((state.last_updated, self.totals.cost_usd))
            while len(self._costs) > 2 and self._costs[1][0] < state.last_updated - _COST_WINDOW_S:
                self._costs.popleft()

    def _take_sums(self, usage: Ledger) -> None:
        self.totals, self.sums, self.by_model = usage.totals(), usage.by_agent(), usage.by_model()
        self.calls_unknown = usage.calls_unknown()


@dataclass(frozen=True, slots=True)
class Shown:
    """One agent of one run, as a card shows it."""

    run: RunWatch
    agent: AgentTelemetry

    @property
    def key(self) -> tuple[str, str]:
        """What tells this card from others."""
        return self.run.name, self.agent.agent_id

    @property
    def is_main(self) -> bool:
        """Whether the run bears its name."""
        return self.run.is_main(self.agent.agent_id)

    @property
    def is_whole(self) -> bool:
        """Whether it stands for the whole run: it bears the run's name, or is alone."""
        return self.run.is_whole(self.agent.agent_id)

    @property
    def sums(self) -> Sums:
        """Its own usage; that of the whole run where it stands for that."""
        return self.run.totals if self.is_whole else self.run.sums.get(self.agent.agent_id, Sums())


class Board:
    """The runs of some feeds; those that ended are let go after a while, unless their feeds keep them.

    watched: makes the RunWatch of a feed.
    """

    def __init__(
        self, feeds: Feeds | Sequence[Feeds], say: Callable[[str], None],
        watched: Callable[[Feed, Callable[[str], None]], RunWatch] = RunWatch,
    ) -> None:  # fmt: skip
        self._say = say
        self._feeds: Sequence[Feeds] = feeds if isinstance(feeds, Sequence) else (feeds,)
        self._watched = watched
        self._watches: dict[str, RunWatch] = {}
        self._kept: set[str] = set()

    def poll(self) -> bool:
        """Read what has come everywhere; whether there is more at once."""
        self.refresh()
        moved = [watch.poll() for watch in [*self._watches.values()]]
        return any(moved)

    def refresh(self) -> list[RunWatch]:
        """Take up the runs that are new, and let old ones go: those are given back."""
        gone = self._let_go()
        for feeds in self._feeds:
            for feed in feeds.found():
                before = self._watches.get(feed.name)
                if before is not None:  # its name was used once more
                    before.close()
                    gone.append(before)
                self._watches[feed.name] = self._watched(feed, self._say)
                if feeds.keeps:
                    self._kept.add(feed.name)
        return gone

    def watches(self) -> list[RunWatch]:
        """All runs, those that are over last."""
        return sorted(self._watches.values(), key=self._order)

    def shown(self, team: str | None = None) -> Iterator[Shown]:
        """The agents, the run's own first; of a team."""
        for watch in self.watches():
            state = watch.state
            if state.run_id is None or (team is not None and state.team_id != team):
                continue
            for agent in sorted(state.agents.values(), key=lambda a: (a.agent_id != state.agent_id, a.agent_id)):
                yield Shown(watch, agent)

    def drop(self, watch: RunWatch) -> None:
        """Let one run go."""
        watch.close()
        if self._watches.get(watch.name) is watch:
            del self._watches[watch.name]
            self._kept.discard(watch.name)

    def close(self) -> None:
        """Let the feeds go."""
        for watch in self._watches.values():
            watch.close()
        for feeds in self._feeds:
            feeds.close()

    def _order(self, watch: RunWatch) -> tuple[bool, str]:
        return watch.over_at is not None and watch.name not in self._kept, watch.name

    def _let_go(self) -> list[RunWatch]:
        now = time.monotonic()
        old = [
            watch for name, watch in self._watches.items()
            if watch.over_at is not None and now - watch.over_at > _ENDED_KEPT_S and name not in self._kept
        ]  # fmt: skip
        for watch in old:
            self.drop(watch)
        return old
