"""agentmon report"""

import sys
from collections.abc import Iterator

import click
import orjson

from agentmon import ndjson
from agentmon.errors import AgentmonError
from agentmon.events import Event
from agentmon.telemetry import fold, telemetry_dict


@click.command("report")
@click.argument("run", required=False, default="-")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(run: str, as_json: bool) -> None:
    """One run summed up."""
    state = fold(_events(run))
    sys.stdout.buffer.write(orjson.dumps(telemetry_dict(state), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _events(path: str) -> Iterator[Event]:
    try:
        source = sys.stdin.buffer if path == "-" else open(path, "rb")
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None
    with source:
        for number, line in enumerate(source, 1):
            try:
                yield ndjson.decode(line)
            except ndjson.NotAnEvent as error:
                print(f"agentmon: {path}:{number}: not an event: {error}", file=sys.stderr)
