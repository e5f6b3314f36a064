"""Watchdog: what is done about alerts: a notice, a command of the user's, and what the relay is asked for."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import orjson

from agentmon import checked, ndjson, runs
from agentmon.collect.launch import Description
from agentmon.collect.watch import Limits, Verdict, Watch
from agentmon.events import Alert, TokenUsage
from agentmon.ndjson import payload_dict
from agentmon.relay.stop import KILL_NOTE, STOP_NOTE
from agentmon.telemetry import figure
from agentmon.usage import Ledger

_USAGE = b'"event":"llm_call"'
_AGAIN_S = 30.0


class Watchdog:
    """Acts on verdicts. record: puts the alert into the stream; say: a note for the relay."""

    def __init__(
        self, about: Description, limits: Limits, record: Callable[[Alert], None], say: Callable[[str], None]
    ) -> None:  # fmt: skip
        self._about, self._limits, self._record, self._say = about, limits, record, say
        spent = SpentToday(about.team_id, about.run_id)
        self.watch = Watch(limits, time.monotonic, spent.dollars)
        self._started: list[subprocess.Popen[bytes]] = []

    def act(self, verdict: Verdict) -> None:
        """Do what a verdict says."""
        alert = verdict.alert
        self._record(alert)
        reached = "is reached" if alert.severity == "critical" else "is nearly reached"
        self._say(f"{alert.rule} {reached}: {_told(alert.value)} of {_told(alert.limit)}")
        if verdict.action == "stop":
            self._say(STOP_NOTE)
        elif verdict.action == "kill":
            self._say(KILL_NOTE)
        if self._limits.on_alert is not None:
            self._start(self._limits.on_alert, alert)

    def _start(self, command: str, alert: Alert) -> None:
        """Start the user's command; nobody waits for it."""
        self._started = [process for process in self._started if process.poll() is None]
        told = {"run_id": self._about.run_id, "agent_id": self._about.agent_id, "team_id": self._about.team_id}
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command], stdin=subprocess.PIPE, cwd=self._about.cwd, start_new_session=True,
                preexec_fn=_default_signals,
            )  # fmt: skip
            assert process.stdin is not None
            process.stdin.write(orjson.dumps(told | payload_dict(alert)) + b"\n")  # a pipe holds more than that
            process.stdin.close()
        except OSError as error:
            self._say(f"--on-alert: {error.strerror}")
        else:
            self._started.append(process)


def _told(value: float | None) -> str:
    return "?" if value is None else figure(value)


def _default_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.nice(0)


class SpentToday:
    """Dollars that the other runs of a team have cost since local midnight, as far as their run logs tell."""

    def __init__(self, team_id: str, run_id: str) -> None:
        self._team, self._own = team_id, run_id + runs.SUFFIX
        self._known: dict[str, tuple[int, float]] = {}
        self._looked_at = float("-inf")
        self._sum = 0.0

    def dollars(self) -> float:
        """The sum; logs that grew are read again at most every 30 s."""
        now = time.monotonic()
        if now - self._looked_at < _AGAIN_S:
            return self._sum
        self._looked_at = now
        day = time.localtime()
        midnight = time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))
        self._sum = 0.0
        for path in runs.all_logs():
            try:
                info = path.stat()
            except OSError:
                continue
            if info.st_mtime < midnight or path.name == self._own:
                continue
            size, spent = self._known.get(path.name, (-1, 0.0))
            if size != info.st_size:
                spent = self._cost(str(path), midnight)
                self._known[path.name] = (info.st_size, spent)
            self._sum += spent
        return self._sum

    def _cost(self, path: str, since: float) -> float:
        ledger = Ledger()
        process = last = 0
        try:
            with open(path, "rb") as file:
                for line in file:
                    if _USAGE not in line:
                        continue
                    try:
                        event = checked.decode(line)
                    except ndjson.NotAnEvent:
                        continue
                    process += event.seq <= last  # as in the fold: the events of another process were appended
                    last = event.seq
                    if (
                        event.team_id == self._team
                        and event.timestamp >= since
                        and isinstance(event.payload, TokenUsage)
                    ):
                        ledger.add(event.agent_id, event.payload, process)
        except OSError:
            return 0.0
        return ledger.totals().cost_usd or 0.0
