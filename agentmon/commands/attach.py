"""agentmon attach"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Sequence

import click
import psutil

from agentmon import __version__, redact, runs
from agentmon.collect.processes import SystemReader
from agentmon.collect.recorder import Recorder
from agentmon.collect.sampler import Sampler
from agentmon.collect.viewed import Viewed
from agentmon.commands import candidates
from agentmon.commands.words import Duration, Label
from agentmon.errors import AgentmonError
from agentmon.events import Lifecycle, ProcessMetrics
from agentmon.relay.interests import LONGEST_MS
from agentmon.sinks import Listening, Sink, SinkBroken
from agentmon.sinks.open import open_sinks

_LOOK_S = 0.25  # how often to look after a process whose end no descriptor tells, and sinks that nobody can wait for
_LAST_WORDS_S = 5.0


@click.command("attach")
@click.option("-o", "--output", "outputs", multiple=True, metavar="SINK", shell_complete=candidates.sinks,
              help="As in `agentmon run` [default: -].")  # fmt: skip
@click.option("--team", default="default", show_default=True, shell_complete=candidates.indexed("team_id"),
              help="team_id of the events.")  # fmt: skip
@click.option("--agent", shell_complete=candidates.indexed("agent_id"),
              help="agent_id of the events [default: the process's name].")  # fmt: skip
@click.option("--label", "labels", multiple=True, type=Label(), shell_complete=candidates.labels,
              help="A label of the run; may be given several times.")  # fmt: skip
@click.option("--interval", type=Duration(0.05), default="2s", show_default=True, help="Time between two samples.")
@click.option("--no-run-log", is_flag=True, help="No run log in the state directory.")
@click.argument("pid", type=int, shell_complete=candidates.processes)
def command(
    pid: int, outputs: Sequence[str], team: str, agent: str | None, labels: Sequence[tuple[str, str]], interval: float,
    no_run_log: bool,
) -> None:  # fmt: skip
    """Metrics of a process that already runs, and of its tree, until it ends or Ctrl-C.

    \b
    Examples:
      agentmon attach 4711
      agentmon attach --interval 500ms --agent crew -o metrics.ndjson 4711
    """
    try:
        process = psutil.Process(pid)
        name, argv = process.name(), tuple(redact.mask_words(process.cmdline()))
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        raise AgentmonError(f"{pid}: no such process") from None
    except psutil.AccessDenied:
        raise AgentmonError(f"{pid}: it belongs to another user; attach as that user or as root") from None
    run_id = runs.new_run_id()
    sinks = open_sinks(outputs or ("-",))
    log = None
    if not no_run_log:
        from agentmon.sinks.file import RunLog

        try:
            log = RunLog(*runs.create(run_id))
        except AgentmonError as error:
            click.echo(f"agentmon: {error.message}; the events go on without", err=True)
    stream = _Stream(Recorder(run_id, agent or name, team), sinks, log)
    end = _End(process)
    begun = time.monotonic()
    stream.event(
        Lifecycle(
            "started", argv=argv, pid=pid, host=os.uname().nodename, version=__version__, labels=dict(labels) or None
        )
    )
    sampler = Sampler(pid, SystemReader, time.monotonic)
    while not end.asked and stream.wanted and (sample := sampler.sample()) is not None:
        stream.event(sample)
        if sample.status == psutil.STATUS_ZOMBIE:
            break
        stream.wait(interval, end)
    detached = end.asked or not stream.wanted
    reason = "detached" if detached else "the process ended; its exit status is not ours to see"
    stream.event(Lifecycle("stopped", pid=pid, duration_s=round(time.monotonic() - begun, 6), reason=reason))
    stream.close()
    if not stream.wanted:
        raise AgentmonError("no sink is left", 1)


class _End:
    """What ends it: the process's own end, or a signal to us. fds: readable when there is something to look at."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.asked = False
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self._ask)
        self.fds = [woken]
        self._ended = select.poll()
        self.told = False  # whether a descriptor tells the end of the process
        with contextlib.suppress(AttributeError, OSError):  # not Linux; an old kernel; or it is gone
            pidfd = os.pidfd_open(process.pid)
            self.fds.append(pidfd)
            self._ended.register(pidfd, select.POLLIN)
            self.told = True

    def _ask(self, *_: object) -> None:
        self.asked = True

    @property
    def is_here(self) -> bool:
        """Whether one of them has come."""
        return self.asked or bool(self._ended.poll(0)) or not self._process.is_running()


class _Stream:
    """Events straight into sinks: here there is no child to keep waiting.

    wanted: whether a sink is left that was asked for; the run log alone is nobody's wish.
    """

    def __init__(self, recorder: Recorder, asked: Sequence[Sink], log: Sink | None) -> None:
        self._recorder, self._asked = recorder, list(asked)
        self._sinks = [*asked, *([log] if log is not None else ())]
        listening = [sink for sink in self._sinks if isinstance(sink, Listening)]
        self._viewed = Viewed() if listening else None
        for sink in self._sinks:
            sink.attach(self._gap_line)
        for sink in listening:
            sink.snapshot = self._snapshot

    @property
    def wanted(self) -> bool:
        return bool(self._asked)

    def event(self, payload: Lifecycle | ProcessMetrics) -> None:
        piece = self._recorder.event(payload, time.time())
        if self._viewed is not None:
            self._viewed.add(piece)
        for sink in self._sinks:
            sink.offer(piece)
        self._pump()

    def wait(self, seconds: float, end: _End) -> None:
        """Serve the sinks until the next sample is due, the process has ended, or a signal came."""
        due = time.monotonic() + seconds
        while self.wanted and not end.is_here and (left := due - time.monotonic()) > 0:
            self._poll(left if end.told else min(left, _LOOK_S), end.fds)

    def close(self) -> None:
        """What a slow reader has not taken yet gets some time."""
        until = time.monotonic() + _LAST_WORDS_S
        while any(not sink.idle and sink.must for sink in self._sinks) and time.monotonic() < until:
            self._poll(_LOOK_S, ())
        for sink in self._sinks:
            with contextlib.suppress(OSError):
                sink.close()

    def _poll(self, seconds: float, fds: Sequence[int]) -> None:
        poll = select.poll()
        for fd in fds:
            poll.register(fd, select.POLLIN)
        for sink in self._sinks:
            for fd, mask in sink.interests().items():
                poll.register(fd, mask)
            if not sink.idle and not sink.interests():
                seconds = min(seconds, _LOOK_S)
        poll.poll(min(int(seconds * 1000) + 1, LONGEST_MS))
        self._pump()

    def _pump(self) -> None:
        for sink in tuple(self._sinks):
            try:
                sink.pump(time.monotonic())
            except SinkBroken as broken:
                self._sinks.remove(sink)
                if sink in self._asked:
                    self._asked.remove(sink)
                click.echo(f"agentmon: {broken}; this sink gets no more events", err=True)

    def _gap_line(self, first_seq: int, events: int, size: int, reason: str, sink: str) -> bytes:
        return self._recorder.gap(first_seq, events, size, reason, sink, time.time())

    def _snapshot(self) -> bytes:
        assert self._viewed is not None
        return self._recorder.snapshot(self._viewed.telemetry(), time.time())
