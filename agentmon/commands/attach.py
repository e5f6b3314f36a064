"""agentmon attach"""

import os
import signal
import time
from collections.abc import Sequence
from types import FrameType

import click
import psutil

from agentmon import __version__, redact, runs
from agentmon.collect.processes import SystemReader
from agentmon.collect.recorder import Recorder
from agentmon.collect.sampler import Sampler
from agentmon.commands import candidates
from agentmon.commands.words import Duration, Label
from agentmon.errors import AgentmonError
from agentmon.events import Lifecycle, ProcessMetrics
from agentmon.sinks import Sink, SinkBroken
from agentmon.sinks.open import open_sink


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
    except psutil.NoSuchProcess:
        raise AgentmonError(f"{pid}: no such process") from None
    except psutil.AccessDenied:
        raise AgentmonError(f"{pid}: it belongs to another user; attach as that user or as root") from None
    run_id = runs.new_run_id()
    sinks = [open_sink(word) for word in outputs or ("-",)]
    if not no_run_log:
        from agentmon.sinks.file import RunLog

        try:
            sinks.append(RunLog(*runs.create(run_id)))
        except AgentmonError as error:
            click.echo(f"agentmon: {error.message}; the events go on without", err=True)
    recorder = Recorder(run_id, agent or name, team)
    stream = _Stream(recorder, sinks)
    ended: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(number)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    begun = time.monotonic()
    stream.event(
        Lifecycle(
            "started", argv=argv, pid=pid, host=os.uname().nodename, version=__version__, labels=dict(labels) or None
        )
    )
    sampler = Sampler(pid, SystemReader, time.monotonic)
    while not ended and (sample := sampler.sample()) is not None:
        stream.event(sample)
        if sample.status == psutil.STATUS_ZOMBIE:
            break
        _wait(process, interval)
    reason = "detached" if ended else "the process ended; its exit status is not ours to see"
    stream.event(Lifecycle("stopped", pid=pid, duration_s=round(time.monotonic() - begun, 6), reason=reason))
    stream.close()


def _wait(process: psutil.Process, seconds: float) -> None:
    """Until the next sample is due, or the process has ended, or a signal came."""
    try:
        process.wait(timeout=seconds)
    except (psutil.TimeoutExpired, psutil.NoSuchProcess, InterruptedError):
        return


class _Stream:
    """Events straight into sinks: here there is no child to keep waiting."""

    def __init__(self, recorder: Recorder, sinks: Sequence[Sink]) -> None:
        self._recorder, self._sinks = recorder, list(sinks)
        for sink in self._sinks:
            sink.attach(self._gap_line)

    def _gap_line(self, first_seq: int, events: int, size: int, reason: str, sink: str) -> bytes:
        return self._recorder.gap(first_seq, events, size, reason, sink, time.time())

    def event(self, payload: Lifecycle | ProcessMetrics) -> None:
        piece = self._recorder.event(payload, time.time())
        for sink in tuple(self._sinks):
            sink.offer(piece)
            try:
                sink.pump(time.monotonic())
            except SinkBroken as broken:
                self._sinks.remove(sink)
                click.echo(f"agentmon: {broken}; this sink gets no more events", err=True)
        if not self._sinks:
            raise AgentmonError("no sink is left", 1)

    def close(self) -> None:
        for sink in self._sinks:
            try:
                sink.pump(time.monotonic())
                sink.close()
            except (SinkBroken, OSError):
                continue
