"""agentmon tail"""

import os
import re
import select
import time
from collections import deque
from collections.abc import Iterator
from typing import cast

import click

from agentmon import runs
from agentmon.commands import candidates
from agentmon.commands.access import access, from_server
from agentmon.commands.output import say, unwritten
from agentmon.commands.words import Moment
from agentmon.events import PAYLOADS, Level
from agentmon.replay import Record, follow_records, records
from agentmon.views.figures import clock
from agentmon.views.tail import Lines, Wanted
from agentmon.views.text import Ink, wants_colour

_POLL_MS = 200
_CONTROLS = re.compile("[\x7f-\x9f]")  # JSON lets them through, terminals may obey them


@click.command("tail")
@click.argument("run", required=False, shell_complete=candidates.run_names)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on with what comes, until the run ends.")
@from_server
@click.option("--team", help="With --from: only this team's.")
@click.option("--event", "kinds", multiple=True, type=click.Choice(sorted(PAYLOADS)), metavar="EVENT",
              help=f"Only these events: {', '.join(sorted(PAYLOADS))}; may be given several times.")  # fmt: skip
@click.option("--agent", shell_complete=candidates.indexed("agent_id"), help="Only this agent's.")
@click.option("--level", type=click.Choice(["info", "warning", "error"]),
              help="Only log entries of this level or worse (with --event: besides the other events).")  # fmt: skip
@click.option("--since", type=Moment(), help="Only what is newer: 10m, 2h, or a time.")
@click.option("-n", "--lines", "last", type=click.IntRange(0), metavar="N", help="Begin with the last N events.")
@click.option("--json", "as_json", is_flag=True, help="The events as they are recorded, one JSON object a line.")
def command(
    run: str | None, follows: bool, source: str | None, creds: str | None, tls_ca: str | None, tls_cert: str | None,
    tls_key: str | None, team: str | None, kinds: tuple[str, ...], agent: str | None, level: str | None,
    since: float | None, last: int | None, as_json: bool,
) -> int:  # fmt: skip
    """The stream of a run, for people.

    RUN is a run id or a unique prefix of one, a file, - for stdin, or nothing for the newest run. With --from, the
    stream of a fleet: of the runs whose ids begin with RUN, or of all, from an hour ago on (--since, -n).

    \b
    Examples:
      agentmon tail -f
      agentmon tail --level warning --since 10m
      agentmon tail -f --json --event llm_call | jq .data.token_usage.cost_usd
      agentmon tail -f --from nats://nats.example.org --team web --event alert
    """
    if team is not None and source is None:
        raise click.UsageError("--team goes with --from")
    wanted = Wanted(frozenset(kinds), agent, cast("Level | None", level), since)
    terminal = os.isatty(1)
    lines = Lines(Ink(wants_colour(terminal)), clock(time.time(), "%Y-%m-%d"))
    wants = None if wanted.everything else wanted.entry
    # one of the lines may be cut; with filters, which are the last is known only once all were looked at
    lines_back = last + 1 if wanted.everything and last is not None else None
    if source is not None:
        from agentmon.feeds.stream import stream_records

        where = access(source, creds, tls_ca, tls_cert, tls_key)
        batches = stream_records(where, say, wants, wanted.kinds, team, agent, run or "", since, lines_back, follows)
    else:
        path = "-" if run == "-" else str(runs.find(run))
        follows = follows and os.path.isfile(path)  # a pipe is read to its end in any case
        batches = (follow_records if follows else records)(path, say, wants, lines_back)
    try:
        for found in _from_last(batches, wanted, last, follows):
            if as_json:
                data = b"".join(_json(line, terminal) for _, line in found)
            else:
                data = "".join(f"{text}\n" for event, _ in found for text in lines.of(event)).encode("utf-8", "replace")
            if data:
                _write(data)
            elif follows and not _wait():
                return 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141
    return 0


def _from_last(
    batches: Iterator[list[Record]], wanted: Wanted, last: int | None, follows: bool
) -> Iterator[list[Record]]:
    """The wanted events, of those that are there already only the last ones."""
    if last is not None:
        kept: deque[Record] = deque(maxlen=last)
        for found in batches:
            if not found and follows:  # all that was there was read
                break
            kept.extend(record for record in found if wanted(record[0]))
        yield [*kept]
    for found in batches:
        yield [record for record in found if wanted(record[0])]


def _json(line: bytes, terminal: bool) -> bytes:
    if not terminal:
        return line + b"\n"
    text = line.decode("utf-8", "replace")
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() + b"\n"


def _write(data: bytes) -> None:
    """To stdout, all of it, and past Python's buffer: a reader that is gone is noticed here and not at exit."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(1, rest) :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritten(error) from None


def _wait() -> bool:
    """Wait for more; False once nobody reads any more."""
    poll = select.poll()
    poll.register(1, 0)
    return not any(what & (select.POLLERR | select.POLLNVAL) for _, what in poll.poll(_POLL_MS))
