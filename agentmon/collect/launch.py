"""Launch: the collector's process, forked before the child. What is imported before the fork is light."""

import contextlib
import gc
import os
import select
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from agentmon.relay.channel import Channel
from agentmon.relay.reporter import Reporter
from agentmon.relay.signals import detached_fork
from agentmon.sinks import Sink

if TYPE_CHECKING:
    from agentmon.collect.intake import Prepared
    from agentmon.collect.parsers.patterns import Pattern
    from agentmon.collect.pipeline import Pipeline
    from agentmon.collect.prices import OwnPrice, Pricer
    from agentmon.collect.watch import Limits
    from agentmon.events import Finding

NICE = 5
_NONE: Mapping[str, str] = MappingProxyType({})
_COLLECT_EVERY = 20_000  # objects made and not gone; 700 is the default


class Reading(NamedTuple):
    """How a run is read and watched. use_output: whether output is parsed for numbers; patterns, prices: people's own;
    limits: what the run may use."""

    use_output: bool = True
    patterns: tuple["Pattern", ...] = ()
    prices: tuple["OwnPrice", ...] = ()
    limits: "Limits | None" = None


class Description(NamedTuple):
    """What is known of a run before it starts. interval: seconds between two samples. logs, redacted: whether lines
    become log entries, and whether secrets in them are masked. summary: whether a line at the end sums the run up.
    traceparent, tracestate: as they stand in the environment."""

    run_id: str
    agent_id: str
    team_id: str
    argv: tuple[str, ...]
    cwd: str | None
    host: str
    version: str
    interval: float
    labels: Mapping[str, str] = _NONE
    parent_run_id: str | None = None
    logs: bool = True
    redacted: bool = True
    summary: bool = False
    traceparent: str | None = None
    tracestate: str | None = None


def start_collector(
    about: Description, reading: Reading, sinks: list[Sink], sources: Sequence["Prepared"], folder: str | None
) -> Reporter:
    """Fork the collector; what the relay has of it. sources: the exact ones, whose files lie in `folder`, which is
    removed at the end. Raises OSError."""
    channel = Channel()
    notes_read, notes_write = os.pipe()
    theirs = {fd for sink in sinks for fd in sink.descriptors()} | {fd for s in sources for fd in s.descriptors}
    keep = {channel.read_fd, notes_write} | theirs | ({channel.spool.fd} if channel.spool.fd is not None else set())
    if detached_fork(keep):
        try:
            channel.counters.set("collector_pid", os.getpid())
            _collect(about, reading, sinks, sources, folder, channel, notes_write)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(notes_write, f"collector: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(0)
    for fd in ({channel.read_fd, notes_write} | theirs) - {1, 2}:
        os.close(fd)
    return Reporter(channel, notes_read, folder)


def _collect(
    about: Description, reading: Reading, sinks: list[Sink], sources: Sequence["Prepared"], folder: str | None,
    channel: Channel, notes_fd: int,
) -> None:  # fmt: skip
    """The collector's process: deaf to terminals and to signals, and modest."""
    os.setsid()
    with contextlib.suppress(OSError):
        os.nice(NICE)
    select.select([channel.read_fd], [], [])  # the child goes first: what follows costs more than its start
    gc.set_threshold(_COLLECT_EVERY)  # a block of lines makes many objects, none of them in a circle
    with _loading():
        from agentmon import redact, runs, tracecontext
        from agentmon.collect.collector import Collector
        from agentmon.collect.intake import remove_folder

    words = map(_valid, about.argv)
    traceparent, tracestate = tracecontext.recorded(about.traceparent, about.tracestate)
    about = about._replace(
        agent_id=_valid(about.agent_id), team_id=_valid(about.team_id), host=_valid(about.host),
        argv=tuple(redact.mask_words(words) if about.redacted else words),
        cwd=None if about.cwd is None else _valid(about.cwd),
        labels={_valid(key): _valid(text) for key, text in about.labels.items()},
        parent_run_id=None if about.parent_run_id is None else _valid(about.parent_run_id),
        traceparent=traceparent, tracestate=tracestate,
    )  # fmt: skip

    def notice(text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(notes_fd, text.encode("utf-8", "replace") + b"\n")

    def pipeline() -> "Pipeline":  # as much to load as all else; many a run prints nothing
        with _loading():
            from agentmon.collect.parsers.all import standard
            from agentmon.collect.pipeline import Pipeline

            parsers = standard(reading.patterns, notice=notice) if reading.use_output else ()
            return Pipeline(parsers, logs=about.logs, redacted=about.redacted, notice=notice)

    pricers: list[Pricer] = []

    def price(finding: "Finding", at: float) -> "Finding":
        if not pricers:
            from agentmon.collect.prices import Pricer

            pricers.append(Pricer(reading.prices, notice))
        return pricers[0].price(finding, at)

    Collector(about, pipeline, price, sinks, channel, notice, sources, reading.limits).run()
    os.close(notes_fd)  # the relay need not wait for what follows
    if folder is not None:
        remove_folder(folder)
    runs.prune()


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """What comes to be here stays, and no garbage is looked for among it, as in our own start."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


def _valid(word: str) -> str:
    """A word of the command line as text that JSON can carry."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
