"""A hub on a clock of the test's own, and clients of it without a network."""

import json
from pathlib import Path
from typing import Any

from run_logs import START, Log

from agentmon.feeds.logs import Named
from agentmon.views.serve.clients import Client, Subscription
from agentmon.views.serve.hub import TICK_S, Hub

Message = dict[str, Any]


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    """Run logs in the making, and the hub that reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.said: list[str] = []
        self.paths: list[str] = []
        self._named = Named([])
        self.hub = Hub([self._named], self.said.append, self.clock, lambda: START + self.clock.now - 1000.0)

    def log(self, name: str = "r1", agent: str = "crew", team: str = "blue") -> Log:
        """A run that has begun."""
        log = Log(self.folder / f"{name}.ndjson", agent=agent, team=team)
        log.started()
        self._named._paths = (str(log.path),)
        self.hub.tick()
        return log

    def pass_time(self, seconds: float = TICK_S) -> None:
        """Let so many seconds pass, tick by tick."""
        for _ in range(round(seconds / TICK_S)):
            self.clock.now += TICK_S
            self.hub.tick()

    def read_for(self, reader: "Reader", seconds: float) -> list[Message]:
        """Let time pass while a client reads."""
        messages: list[Message] = []
        for _ in range(round(seconds / TICK_S)):
            self.pass_time()
            messages += reader.read()
        return messages

    def client(self, team: str | None = None, since: int | None = None, **wanted: list[str]) -> "Reader":
        """A client that has just connected."""
        subscription = Subscription(team)
        if wanted:
            lists = (wanted.get(kind, []) for kind in ("teams", "agents", "runs"))
            subscription.add(False, *lists)
        client = Client(self.hub, subscription)
        self.hub.clients.add(client)
        return Reader(self, client, client.begin(since))


class Reader:
    """What a client reads."""

    def __init__(self, stage: Stage, client: Client, resumed: bool) -> None:
        self._stage = stage
        self.client, self.resumed = client, resumed
        self.bytes = b""

    def read(self) -> list[Message]:
        """All that is there for it."""
        messages: list[Message] = []
        while given := self.client.next(self._stage.clock.now):
            self.bytes += b"\n".join(given)
            messages += map(json.loads, given)
        return messages


def events_of(messages: list[Message]) -> list[Message]:
    """The events in frames, batches taken apart; no snapshots."""
    events: list[Message] = []
    for message in messages:
        if message["event"] == "batch":
            events += message["data"]["events"]
        elif message["event"] != "snapshot":
            events.append(message)
    return events


def logs_of(messages: list[Message]) -> list[str]:
    """What log entries say, in frames and in snapshots."""
    said: list[str] = []
    for message in messages:
        if message["event"] == "snapshot":
            said += [entry["message"] for entry in message["data"]["agent_telemetry"]["activity_logs"]]
        else:
            events = [event for event in events_of([message]) if event["event"] == "log_entry"]
            said += [event["data"]["activity_log"]["message"] for event in events]
    return said
