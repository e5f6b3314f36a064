"""Clients: connections, what each is subscribed to, and what it has been told.

A client holds no queue: it has a place in the journal, and reads on from there whenever its connection takes more. One
that falls too far behind gets a new snapshot of each agent that changed meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentmon.views.serve.changes import Mark
from agentmon.views.serve.live import Key

if TYPE_CHECKING:
    from agentmon.views.serve.hub import Hub

MOST_NAMES = 256  # in one subscription
LONGEST_NAME = 256
_LATE_S = 5.0  # behind by more than this: what is newest is worth more than what was missed
_CHUNK = 256 << 10  # bytes given to a connection at once


class Refused(ValueError):
    """Something that a client may not ask; the text is for it to read."""


@dataclass(slots=True)
class Subscription:
    """What a client wants to hear of: any of these. only_team: it may hear of nothing else, whatever it asks."""

    only_team: str | None = None
    all: bool = True
    teams: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    implied: bool = True  # nobody has asked for anything yet

    def wants(self, key: Key) -> bool:
        """Whether messages about this agent go to the client."""
        run_id, team_id, agent_id = key
        if self.only_team is not None and team_id != self.only_team:
            return False
        return self.all or team_id in self.teams or agent_id in self.agents or run_id in self.runs

    def add(self, every: bool, teams: Iterable[str], agents: Iterable[str], runs: Iterable[str]) -> None:
        """Subscribe to more; what is asked first takes the place of what was implied. Raises Refused."""
        wanted = Subscription(self.only_team, every, {*teams}, {*agents}, {*runs}, implied=False)
        if not self.implied:
            wanted.all |= self.all
            wanted.teams |= self.teams
            wanted.agents |= self.agents
            wanted.runs |= self.runs
        if wanted.teams and self.only_team is not None and wanted.teams != {self.only_team}:
            raise Refused("this connection is for one team only")
        if len(wanted.teams) + len(wanted.agents) + len(wanted.runs) > MOST_NAMES:
            raise Refused(f"more than {MOST_NAMES} names in one subscription")
        if any(len(name) > LONGEST_NAME for names in (teams, agents, runs) for name in names):
            raise Refused(f"a name of more than {LONGEST_NAME} characters")
        self.all, self.teams, self.agents, self.runs = wanted.all, wanted.teams, wanted.agents, wanted.runs
        self.implied = False

    def remove(self, every: bool, teams: Iterable[str], agents: Iterable[str], runs: Iterable[str]) -> None:
        """Subscribe to less. Raises Refused: of all there is no less by name."""
        if every:
            self.all = False
        elif self.all:
            raise Refused("it is subscribed to all: subscribe to names, or unsubscribe from all")
        self.teams.difference_update(teams)
        self.agents.difference_update(agents)
        self.runs.difference_update(runs)
        self.implied = False

    def visible(self, teams: Iterable[str]) -> list[str]:
        """Of these teams, those that the client hears of by their name."""
        if self.only_team is not None:
            return [self.only_team]
        return [team for team in teams if self.all or team in self.teams]


class Client:
    """One connection."""

    def __init__(self, hub: "Hub", subscription: Subscription) -> None:
        self.subscription = subscription
        self.woken = asyncio.Event()
        self.replies: deque[bytes] = deque()
        self._hub = hub
        self._place = hub.journal.head  # in the journal: what came before is known, or of no interest
        self._resuming_to = 0  # in the journal: what was missed before it is asked for, however late it is
        self._unknown: deque[Key] = deque()  # agents that a snapshot is due of
        self._known: set[Key] = set()
        self._marks: dict[Key, tuple[int, Mark | None]] = {}  # the journal's head at the snapshot, and its mark

    def begin(self, since: int | None) -> bool:
        """Begin after a message that it has, as far as the journal goes back; whether it does. Else begin anew."""
        if since is not None and self._hub.journal.covers(since):
            self._place, self._resuming_to = since, self._hub.journal.head
            self._known = {a.key for a in self._hub.agents() if a.seq and self.subscription.wants(a.key)}
            return True
        self._want([agent.key for agent in self._hub.agents()])
        return False

    def resubscribed(self, before: set[Key]) -> None:
        """The subscription has changed. before: the agents that it was about."""
        self._known = {key for key in self._known if self.subscription.wants(key)}
        self._unknown = deque(key for key in self._unknown if self.subscription.wants(key))
        self._want([agent.key for agent in self._hub.agents() if agent.key not in before])

    def subjects(self) -> set[Key]:
        """The agents that the subscription is about."""
        return {agent.key for agent in self._hub.agents() if self.subscription.wants(agent.key)}

    def next(self, now: float) -> list[bytes]:
        """What to send now, about as much as a connection takes at once; nothing where it knows all."""
        given: list[bytes] = [*self.replies]
        self.replies.clear()
        held = sum(map(len, given))
        self._skip_if_late(now, given)
        while self._unknown:
            if held > _CHUNK:
                return given
            agent = self._hub.agent(self._unknown.popleft())
            if agent is not None and agent.seq and (payload := self._hub.snapshot(agent)) is not None:
                given.append(payload)
                held += len(given[-1])
                self._known.add(agent.key)
                self._marks[agent.key] = (self._hub.journal.head, self._hub.mark(agent))
        for frame in self._hub.journal.after(self._place):
            if held > _CHUNK:
                break
            self._place = frame.seq
            if not self.subscription.wants(frame.key):
                continue
            payload = frame.payload
            if frame.key in self._marks:
                head, mark = self._marks[frame.key]
                if frame.seq <= head:
                    continue
                del self._marks[frame.key]
                payload = frame.variants.get(mark, payload) if mark is not None else payload
            if not frame.removal:
                self._known.add(frame.key)
            elif frame.key in self._known:
                self._known.discard(frame.key)
            else:
                continue
            given.append(payload)
            held += len(payload)
        return given

    def _skip_if_late(self, now: float, given: list[bytes]) -> None:
        journal = self._hub.journal
        if journal.covers(self._place):
            oldest = next(journal.after(self._place), None)
            if oldest is None or oldest.seq <= self._resuming_to or now - oldest.at <= _LATE_S:
                return
        missed = [agent for agent in self._hub.agents() if agent.seq > self._place]
        gone = [key for key in self._known if self._hub.agent(key) is None]
        for key in gone:
            given.append(self._hub.farewell(key, self._place))
            self._known.discard(key)
        self._place = journal.head
        self._want([agent.key for agent in missed])

    def _want(self, keys: list[Key]) -> None:
        """Have snapshots of these, those that changed last in the end: whoever has one has all before it."""
        wanted = {*self._unknown, *(key for key in keys if self.subscription.wants(key))}
        agents = [agent for key in wanted if (agent := self._hub.agent(key)) is not None]
        self._unknown = deque(agent.key for agent in sorted(agents, key=lambda agent: agent.seq))


class Clients:
    """All connections."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self.joined = asyncio.Event()
        self.frames_sent = 0

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, client: Client) -> None:
        """One more."""
        self._clients.add(client)
        self.joined.set()

    def remove(self, client: Client) -> None:
        """One less."""
        self._clients.discard(client)

    def wake(self) -> None:
        """There is something new."""
        for client in self._clients:
            client.woken.set()
