"""Collector: everything that can be slow or can fail, in a process of its own.

It reads the relay's frames, parses, samples, and feeds the sinks. When the relay disappears it writes the closing event
and ends; nothing that happens here reaches the child.
"""

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from agentmon.collect.intake import Prepared, Reader
from agentmon.collect.launch import Description
from agentmon.collect.plain import Plain
from agentmon.collect.recorder import Price, Recorder
from agentmon.collect.sampler import ProcessReader, Sampler
from agentmon.events import Alert, Finding, Gap, Lifecycle, ProcessMetrics
from agentmon.piece import Piece
from agentmon.relay import channel as frames
from agentmon.relay.channel import Channel, Frame, FrameReader
from agentmon.relay.interests import LONGEST_MS
from agentmon.relay.stop import END_NOTE
from agentmon.sinks import Listening, Sink, SinkBroken

if TYPE_CHECKING:
    from agentmon.collect.pipeline import Pipeline
    from agentmon.collect.viewed import Viewed
    from agentmon.collect.watch import Limits
    from agentmon.collect.watchdog import Watchdog

_READ = 1 << 20
_JOIN = 256 << 10
_OFFERED = 1 << 20  # bytes after which the sinks get their turn: well below what a sink's backlog takes
_RETRY_MS = 50
_OPTIONAL_IDLE_S = 0.25
_INTAKE_S = 0.5


class Collector:
    """Collects one run. pipeline: makes it, at the first output. say: a line for the user, printed by the relay."""

    def __init__(
        self, about: Description, pipeline: Callable[[], "Pipeline"], price: Price, sinks: Sequence[Sink],
        channel: Channel, say: Callable[[str], None], intakes: Sequence[Prepared] = (),
        limits: "Limits | None" = None,
    ) -> None:  # fmt: skip
        self._about, self._channel, self._say = about, channel, say
        self._make_pipeline = pipeline
        self._pipeline: Pipeline | None = None
        self._to_open = tuple(intakes)
        self._intakes: list[Reader] = []
        self._intake_at = float("inf")
        self._sinks = list(sinks)
        self._recorder = Recorder(about.run_id, about.agent_id, about.team_id, price)
        listening = [sink for sink in self._sinks if isinstance(sink, Listening)]
        self._viewed = _viewed() if listening or about.summary else None
        self._dog = _watchdog(about, limits, self._alert, say) if limits is not None else None
        for sink in self._sinks:
            sink.attach(self._gap_line)
        for sink in listening:
            sink.snapshot = self._snapshot
        self._sampler: Sampler | None = None
        self._tick_at = float("inf")
        self._pid: int | None = None
        self._exit: dict[str, object] | None = None
        self._received = 0
        self._sources: dict[str, dict[str, int]] = {}
        self._started = time.monotonic()

    def run(self) -> None:
        """Until the relay has told the end, or is gone."""
        reader = FrameReader()
        poll = select.poll()
        fd = self._channel.read_fd
        while True:
            interests = {fd: select.POLLIN}
            for sink in self._sinks:
                interests |= sink.interests()
            for intake in self._intakes:
                interests |= intake.interests()
            for wanted, mask in interests.items():
                poll.register(wanted, mask)
            events = poll.poll(self._timeout_ms())
            for wanted in interests:
                poll.unregister(wanted)
            if any(ready == fd for ready, _ in events):
                data = os.read(fd, _READ)
                if not data:
                    break
                self._take(self._channel.frames(reader, data))
            if len(events) > any(ready == fd for ready, _ in events):
                self._intake_at = 0.0  # a sink or an intake has something
            self._rest_of_turn()
        self._end()

    # ------------------------------------------------------------------ frames

    def _take(self, arrived: Iterable[Frame]) -> None:
        for frame in _joined(arrived):
            match frame.kind:
                case frames.DATA:
                    self._data(frame)
                case frames.START:
                    self._pid = frame.fields()["pid"]
                    self._start(frame.time)
                case frames.EXEC:
                    self._event(Lifecycle("running", pid=self._pid), frame.time)
                    self._tick_at = 0.0
                    self._open_intakes()
                    if self._to_open or self._intakes:
                        self._intake_at = time.monotonic() + _INTAKE_S
                case frames.LOST:
                    lost = int.from_bytes(frame.data, "little")
                    stream = frames.STREAMS[frame.stream]
                    self._source(stream)["lost_bytes"] += lost
                    self._event(Gap(lost, None, "the collector was too far behind", stream=stream), time.time())
                case frames.EXIT:
                    self._exit = frame.fields()
            if self._exit is None:
                self._rest_of_turn()

    def _open_intakes(self) -> None:
        """Open the sources that have something to tell, or that must be open to hear of it."""
        ready = [source for source in self._to_open if source.told]
        self._to_open = tuple(source for source in self._to_open if source not in ready)
        self._intakes += [source.open() for source in ready]

    def _start(self, at: float) -> None:
        about = self._about
        self._event(
            Lifecycle(
                "started", argv=about.argv, cwd=about.cwd, pid=self._pid, host=about.host, version=about.version,
                labels=dict(about.labels) or None, parent_run_id=about.parent_run_id,
                traceparent=about.traceparent, tracestate=about.tracestate,
            ),
            at,
        )  # fmt: skip
        assert self._pid is not None
        self._sampler = Sampler(self._pid, _system_reader, time.monotonic)

    def _data(self, frame: Frame) -> None:
        stream, data = frames.STREAMS[frame.stream], bytes(frame.data)
        seen = self._source(stream)
        seen["bytes"] += len(data)
        seen["lines"] += len(data) - len(data.replace(b"\n", b""))  # half of what bytes.count takes
        self._received += len(data)
        if self._dog is not None:
            self._dog.watch.saw_output()
        if self._pipeline is None:
            self._pipeline = self._make_pipeline()
        self._record(self._pipeline.feed(stream, data, frame.time), frame.time)

    def _source(self, stream: str) -> dict[str, int]:
        return self._sources.setdefault(stream, {"bytes": 0, "lines": 0, "lost_bytes": 0})

    # ------------------------------------------------------------------ events

    def _event(self, payload: Lifecycle | ProcessMetrics | Gap | Alert, at: float) -> None:
        self._offer((self._recorder.event(payload, at),))

    def _alert(self, alert: Alert) -> None:
        self._event(alert, time.time())

    def _offer(self, pieces: Iterable[Piece]) -> None:
        offered = 0
        viewed, dog, sinks = self._viewed, self._dog, self._sinks
        for piece in pieces:
            if viewed is not None:
                viewed.add(piece)
            if dog is not None and piece.event is not None:
                dog.watch.see(piece.event)
            for sink in sinks:
                sink.offer(piece)
            offered += len(piece.data)
            if offered > _OFFERED:  # empty lines become three hundred times as much
                self._pump(time.monotonic())
                offered = 0

    def _record(self, items: Iterable[Plain | Finding], at: float) -> None:
        self._offer(self._recorder.record(items, at))

    def _gap_line(self, first_seq: int, events: int, size: int, reason: str, sink: str) -> bytes:
        return self._recorder.gap(first_seq, events, size, reason, sink, time.time())

    def _snapshot(self) -> bytes:
        assert self._viewed is not None
        return self._recorder.snapshot(self._viewed.telemetry(), time.time())

    def _rest_of_turn(self) -> None:
        """After every step: a sample if one is due, and the sinks."""
        now = time.monotonic()
        if now >= self._intake_at:
            self._intake_at = now + _INTAKE_S
            self._take_in()
        if now >= self._tick_at and self._sampler is not None:
            due = self._tick_at + self._about.interval
            self._tick_at = due if due > now else now + self._about.interval  # what was missed is not made up for
            sample = self._sampler.sample()
            if sample is None:
                self._tick_at = float("inf")
            else:
                self._event(sample, time.time())
                if self._dog is not None:
                    for verdict in self._dog.watch.sampled(sample):
                        self._dog.act(verdict)
        if self._dog is not None:
            for verdict in self._dog.watch.judge():
                self._dog.act(verdict)
        self._pump(now)

    def _take_in(self) -> None:
        if self._to_open:
            self._open_intakes()
        for intake in self._intakes:
            self._record(intake.read(), time.time())

    def _pump(self, now: float) -> None:
        moved = False
        for sink in tuple(self._sinks):
            try:
                moved |= sink.pump(now)
            except SinkBroken as broken:
                self._sinks.remove(sink)
                self._say(f"{broken}; this sink gets no more events")
                with contextlib.suppress(OSError):
                    sink.close()
        if moved:
            self._channel.counters.add("progress")

    def _timeout_ms(self) -> int | None:
        wait = min(self._tick_at, self._intake_at) - time.monotonic()
        if any(not sink.idle and not sink.interests() for sink in self._sinks):
            wait = min(wait, _RETRY_MS / 1000)
        return None if wait == float("inf") else min(max(0, round(wait * 1000)), LONGEST_MS)

    # ------------------------------------------------------------------ the end

    def _end(self) -> None:
        if self._exit is None:
            self._take(self._channel.rest())
        if self._to_open:
            self._open_intakes()
        now = time.time()
        if self._pipeline is not None:
            self._record(self._pipeline.close(now), now)
        for intake in self._intakes:
            self._record(intake.close(), now)
        if self._dog is not None:
            for verdict in self._dog.watch.judge():  # many a tool tells at its end what it used
                self._dog.act(verdict.too_late)
        missing = (
            self._channel.counters.get("sent_bytes")
            - self._received
            - sum(s["lost_bytes"] for s in self._sources.values())
        )
        if self._exit is None and missing > 0:
            self._event(Gap(missing, None, "the relay was killed"), now)
        if self._sampler is not None:
            told = self._exit or {}
            peak = told.get("max_rss_kb")
            cpu = told.get("cpu_time_s")
            self._event(
                self._sampler.final(
                    cpu if isinstance(cpu, float) else None, round(peak / 1024, 3) if isinstance(peak, int) else None
                ),
                now,
            )
        self._event(self._closing(), now)
        if self._viewed is not None and self._about.summary:
            self._say(END_NOTE + self._viewed.one_line())
        self._drain()
        for sink in self._sinks:
            with contextlib.suppress(OSError):
                sink.close()
        self._channel.counters.set("complete", 1)

    def _closing(self) -> Lifecycle:
        sources = self._sources or None
        if self._exit is None:
            return Lifecycle(
                "error", pid=self._pid, duration_s=round(time.monotonic() - self._started, 6), sources=sources,
                reason="the relay was killed; the child was sent SIGTERM",
            )  # fmt: skip
        told = self._exit
        code, peak = told["exit_code"], told["max_rss_kb"]
        return Lifecycle(
            "stopped" if code == 0 else "error", pid=self._pid, exit_code=code, signal=told["signal"],  # type: ignore[arg-type]
            duration_s=round(told["duration_s"], 6), cpu_time_s=told["cpu_time_s"],  # type: ignore[call-overload, arg-type]
            max_rss_mb=round(peak / 1024, 3) if isinstance(peak, int) else None,
            reason=told["reason"], sources=sources,  # type: ignore[arg-type]
        )  # fmt: skip

    def _drain(self) -> None:
        """Sinks that the user asked to be whole are waited for as long as it takes (the relay leaves after 5 s);
        the others only while they make progress."""
        moved_at = time.monotonic()
        progress = self._channel.counters.get("progress")
        while True:
            now = time.monotonic()
            self._pump(now)
            waiting = [sink for sink in self._sinks if not sink.idle]
            if not waiting:
                return
            if self._channel.counters.get("progress") != progress:
                progress, moved_at = self._channel.counters.get("progress"), now
            if not any(sink.must for sink in waiting):
                self._channel.counters.set("phase", 1)
                if now - moved_at > _OPTIONAL_IDLE_S:
                    return
            poll = select.poll()
            for sink in waiting:
                for fd, mask in sink.interests().items():
                    poll.register(fd, mask & ~select.POLLIN)
            poll.poll(_RETRY_MS)


def _watchdog(
    about: Description, limits: "Limits", record: Callable[[Alert], None], say: Callable[[str], None]
) -> "Watchdog":
    from agentmon.collect.watchdog import Watchdog

    return Watchdog(about, limits, record, say)


def _viewed() -> "Viewed":
    from agentmon.collect.viewed import Viewed

    return Viewed()


def _system_reader() -> ProcessReader:
    from agentmon.collect.processes import SystemReader

    return SystemReader()


def _joined(arrived: Iterable[Frame]) -> Iterator[Frame]:
    """Neighbours of one stream as one frame: a child that writes byte by byte costs no more than its bytes."""
    held: list[Frame] = []
    size = 0
    for frame in arrived:
        if held and (frame.kind != frames.DATA or frame.stream != held[0].stream or size > _JOIN):
            yield _one(held)
            held, size = [], 0
        if frame.kind != frames.DATA:
            yield frame
            continue
        held.append(frame)
        size += len(frame.data)
    if held:
        yield _one(held)


def _one(held: list[Frame]) -> Frame:
    first = held[0]
    return first if len(held) == 1 else Frame(first.kind, first.stream, first.time, b"".join(f.data for f in held))
