"""agentmon ship"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import click

from agentmon.commands.access import Name, access, reached
from agentmon.commands.extras import extra
from agentmon.commands.output import say
from agentmon.commands.progress import Progress, say_around
from agentmon.commands.words import Duration, Size

if TYPE_CHECKING:
    from agentmon.fleet.outlet import Outlet

Say = Callable[[str], None]
OTLP = ("otlp", "otlps", "http", "https")


@click.command("ship")
@click.option("--to", metavar="URL", help="nats://[USER:PASSWORD@]HOST[:PORT], tls://…; several servers "
              "of one cluster are parted by commas. OpenTelemetry: otlp://HOST[:4318], otlps://…, a base URL "
              "(http://…), or otlp: for what the variables OTEL_EXPORTER_OTLP_* say, which is also taken where "
              "one of them names an endpoint and there is no --to.")  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until stopped: as a service.")
@click.option("--anew", is_flag=True, help="Look at all run logs again, and ship what the stream does not have (it was "
              "emptied, or made anew). OpenTelemetry gets everything again.")  # fmt: skip
@reached
@click.option(
    "--stream", type=Name(), default="AGENTMON", metavar="NAME", help="NATS: the stream to make. [default: AGENTMON]"
)
@click.option("--max-age", type=Duration(), default="7d", metavar="TIME",
              help="NATS, a stream that we make: how long it keeps events. [default: 7d]")  # fmt: skip
@click.option("--max-bytes", type=Size(), metavar="SIZE", help="… how much it keeps (50GB). [default: no limit]")
@click.option("--max-msgs", type=click.IntRange(1), metavar="N", help="… how many events. [default: no limit]")
@click.option(
    "--replicas", type=click.IntRange(1, 5), default=1, metavar="N", help="… on how many servers. [default: 1]"
)
@click.option("--duplicate-window", type=Duration(), default="2m", metavar="TIME",
              help="… for how long it knows repeats by their ids. [default: 2m]")  # fmt: skip
@click.option("--otlp-semconv", "semconv", type=click.Choice(["new", "old"]), default="new", show_default=True,
              help="OpenTelemetry: names of the current GenAI conventions, or the former ones (gen_ai.system, "
                   "gen_ai.usage.prompt_tokens).")  # fmt: skip
@click.option("--patience", type=Duration(), default="1m", metavar="TIME",
              help="Without --follow: give up after so long without progress. [default: 1m]")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Only say what went wrong.")
def command(
    to: str | None, follow: bool, anew: bool, creds: str | None, tls_ca: str | None, tls_cert: str | None,
    tls_key: str | None, stream: str, max_age: float, max_bytes: float | None, max_msgs: int | None, replicas: int,
    duplicate_window: float, semconv: str, patience: float, quiet: bool,
) -> int:  # fmt: skip
    """Publish the run logs of this machine, live and past, to a fleet's server.

    Each event gets there once, in the order of its run; what was not acknowledged is sent when the server is there
    again. One shipper serves a machine and a destination. A stream that is there is used as it is; else one is made.

    To OpenTelemetry the runs go as spans, metrics and log records, at least once: after a crash the last second is sent
    again, with the same ids. OTEL_LOGS_EXPORTER=none (TRACES, METRICS) leaves a signal out.

    \b
    Examples:
      agentmon ship --to nats://nats.example.org
      agentmon ship --follow --to tls://nats.example.org --creds agentmon.creds
      agentmon ship --follow --to otlp://collector.example.org:4318
    """
    to = to or _by_variables()
    stop = _Stop()
    progress = Progress(os.isatty(2) and not follow, "shipping")
    tell = say_around(progress, say)
    if to.partition(":")[0].lower() in OTLP:
        with extra("otlp"):
            from agentmon.fleet.otel_endpoint import endpoint
            from agentmon.fleet.otel_names import SEMCONV
            from agentmon.fleet.otel_outlet import OtlpOutlet

        place = endpoint(to)
        return ship(
            place.name, lambda: OtlpOutlet(place, SEMCONV[semconv], tell), follow, anew, patience, quiet, stop, tell,
            progress,
        )  # fmt: skip
    where = access(to, creds, tls_ca, tls_cert, tls_key)
    from agentmon.fleet.jetstream import Limits

    size = None if max_bytes is None else int(max_bytes * (1 << 20))
    limits = Limits(max_age, size, max_msgs, replicas, min(duplicate_window, max_age), stream)

    def outlet() -> "Outlet":
        from agentmon.fleet.publishing import JetStreamOutlet

        return JetStreamOutlet(where, limits, tell, stop.is_set)

    return ship(where.name, outlet, follow, anew, patience, quiet, stop, tell, progress)


def _by_variables() -> str:
    """Where to, if nobody said: to OpenTelemetry, if its variables say where that is. Raises click.UsageError."""
    names = ("", "TRACES_", "METRICS_", "LOGS_")
    if not any(os.environ.get(f"OTEL_EXPORTER_OTLP_{name}ENDPOINT") for name in names):
        raise click.UsageError("Missing option '--to' (and OTEL_EXPORTER_OTLP_ENDPOINT is not set).")
    return "otlp:"


class _Stop:
    """SIGTERM and SIGINT, heard. It ends a wait, and is asked by those who wait elsewhere."""

    def __init__(self) -> None:
        self.signal = 0
        self._event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def is_set(self) -> bool:
        """Whether we were told to stop."""
        return self.signal != 0

    def wait(self, seconds: float) -> None:
        """Sleep, at most until we are told to stop."""
        self._event.wait(seconds)

    def _hear(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        self._event.set()


def ship(
    destination: str, outlet: "Callable[[], Outlet]", follow: bool, anew: bool, patience: float, quiet: bool,
    stop: _Stop, say: Say, progress: Progress,
) -> int:  # fmt: skip
    """Ship to one destination through the outlet that is made once the place is ours; the exit status."""
    from agentmon.fleet.cursor import Cursor
    from agentmon.fleet.shipping import Shipper
    from agentmon.fleet.spool import Spool

    cursor = Cursor(destination)
    if anew:
        cursor.forget()
    spool = Spool(cursor, say)
    out = outlet()
    try:
        if follow and not quiet:
            say(f"shipping to {destination}")
        Shipper(out, spool, cursor, say, stop.wait, stop.is_set, progress).ship(follow, patience)
    finally:
        progress.clear()
        out.close()
        spool.close()
        cursor.close()
        if not quiet:
            none = out.refused if out.units == "events" else 0
            say(f"{spool.shipped - none:,} events shipped to {destination}")
        for count, what in (
            (spool.bad, "lines were no events"),
            (out.refused, f"{out.units} were left out"),
            (spool.lost, f"logs were removed before they were shipped, with at least {spool.lost_bytes:,} bytes"),
        ):
            if count:
                say(f"{count:,} {what}")
    if stop.signal and not (follow and stop.signal == signal.SIGTERM):
        return 128 + stop.signal
    return 0
