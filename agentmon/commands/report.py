"""agentmon report"""

import sys
from collections.abc import Iterator

import click
import orjson

from agentmon import ndjson, runs
from agentmon.errors import AgentmonError
from agentmon.events import Event
from agentmon.telemetry import fold, telemetry_dict
from agentmon.views.summary import summary


@click.command("report")
@click.argument("run", required=False)
@click.option("--json", "as_json", is_flag=True, help="One AgentTelemetry object.")
def command(run: str | None, as_json: bool) -> None:
    """One run summed up.

    RUN is a run id or a unique prefix of one, a file, - for stdin, or nothing for the newest run.
    """
    state = fold(_events(run))
    if as_json:
        text = orjson.dumps(telemetry_dict(state), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        sys.stdout.buffer.write(text)
        return
    for line in summary(state):
        click.echo(line)


def _events(run: str | None) -> Iterator[Event]:
    """The events of a run; what is none is named with its line, and the rest is read."""
    path = "-" if run == "-" else str(runs.find(run))
    try:
        source = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None
    with source:
        for number, line in enumerate(source, 1):
            try:
                yield ndjson.decode(line)
            except ndjson.NotAnEvent as error:
                click.echo(f"agentmon: {path}:{number}: not an event: {error}", err=True)
