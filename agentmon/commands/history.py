"""agentmon history"""

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import click

from agentmon import index, index_query, indexing
from agentmon.commands import candidates
from agentmon.commands.extras import extra
from agentmon.commands.output import say, write
from agentmon.commands.progress import Progress, say_around
from agentmon.commands.words import Amount, Duration, Label, Moment, Size
from agentmon.errors import AgentmonError
from agentmon.views import history as view
from agentmon.views.figures import size
from agentmon.views.text import Ink, wants_colour

_SHOWN = 20


class ExitWord(click.ParamType[str]):
    """`ok`, `failed`, or an exit status."""

    name = "N|ok|failed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).strip()
        if text not in ("ok", "failed") and not re.fullmatch("[0-9]{1,3}", text):
            self.fail(f"{value!r}: write ok, failed, or an exit status")
        return text


@click.group("history", invoke_without_command=True)
@click.option("--team", shell_complete=candidates.indexed("team_id"), help="Only this team's runs.")
@click.option("--agent", shell_complete=candidates.indexed("agent_id"),
              help="Only runs in which this agent took part.")  # fmt: skip
@click.option("--label", "labels", type=Label(), multiple=True, metavar="K=V", shell_complete=candidates.labels,
              help="Only runs with this label.")  # fmt: skip
@click.option("--since", type=Moment(), help="Only runs that began since then: 10m, 7d, or a date.")
@click.option("--until", type=Moment(), help="Only runs that began before.")
@click.option(
    "--exit",
    "exit_word",
    type=ExitWord(),
    metavar="N|ok|failed",
    shell_complete=candidates.exits,
    help="Only runs that ended so; lost ones have failed.",
)
@click.option("--min-cost", type=Amount(), metavar="USD", help="Only runs that cost at least this much.")
@click.option("--by", type=click.Choice(["day", "team", "model", "agent"]), help="Sums instead of single runs.")
@click.option("-n", "limit", type=click.IntRange(0), metavar="LIMIT",
              help=f"So many lines; 0 for all. [default: {_SHOWN} in a table of runs, else all]")  # fmt: skip
@click.option(
    "--db",
    metavar="URL",
    help="The runs of a fleet, from the database that `agentmon ingest` fills: postgresql://HOST/DATABASE.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values with a head.")
@click.pass_context
def command(
    ctx: click.Context, team: str | None, agent: str | None, labels: tuple[tuple[str, str], ...], since: float | None,
    until: float | None, exit_word: str | None, min_cost: float | None, by: index_query.By | None, limit: int | None,
    db: str | None, as_json: bool, as_csv: bool,
) -> int | None:  # fmt: skip
    """The runs of this machine so far, newest first.

    RUN, the last column, is as much of the run id as tells it apart: `agentmon report RUN`. Runs whose logs are gone
    stay in the history. With --db these are the runs of a fleet.

    \b
    Examples:
      agentmon history --team web --since 7d --exit failed
      agentmon history --by model
      agentmon history --json | jq 'map(.cost_usd // 0) | add'
      agentmon history --db postgresql://db.example/agents --by team
    """
    if ctx.invoked_subcommand is not None:
        if ctx.get_parameter_source("db") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--db is for reading; {ctx.invoked_subcommand} is about this machine's history")
        return None
    if as_json and as_csv:
        raise click.UsageError("one of --json and --csv at a time")
    wanted = index_query.Wanted(team, agent, tuple(labels), since, until, exit_word, min_cost)
    most = (limit or None) if limit is not None or by or as_json or as_csv else _SHOWN
    with _opened(db) as opened:
        rows = index_query.sums(opened, wanted, by, most) if by else index_query.runs(opened, wanted, most)
        if as_json:
            return write(view.as_json(rows))
        if as_csv:
            return write(view.as_csv(rows, index_query.names(by)))
        terminal = os.isatty(1)
        cells, ink = _cells(terminal), Ink(wants_colour(terminal))
        if not rows:
            say("no such run" if index_query.count(opened, index_query.Wanted()) else "there is no run yet")
            return 0
        if by:
            return write("".join(f"{line}\n" for line in view.bars(rows, by, cells, ink)))
        names = [row["run_id"] for row in rows]
        ids = [index_query.shortest(opened, name) for name in names] if terminal else names
        status = write("".join(f"{line}\n" for line in view.table(rows, ids, cells, ink)))
        more = index_query.count(opened, wanted) - len(rows)
    if more and limit is None:
        say(f"and {more:,} earlier; -n 0 shows all")
    return status


@contextmanager
def _opened(url: str | None) -> Iterator[index_query.Store]:
    """The history of a fleet, or of this machine, brought up to date."""
    if url is not None:
        with extra("postgres"):
            from agentmon.fleet.history import open_fleet
        with open_fleet(url, "--db") as fleet:
            yield fleet
        return
    path = index.index_path()
    with index.faults(path), closing(index.open_index(say)) as opened:
        _update(opened)
        yield opened


@command.command("rebuild")
@click.option("--from-scratch", is_flag=True, help="Forget the runs whose logs are gone.")
def rebuild(from_scratch: bool) -> None:
    """Read all run logs anew.

    What is known of runs whose logs are gone is kept, unless --from-scratch. A damaged history is renamed, not
    removed, and a new one is made.

    \b
    Examples:
      agentmon history rebuild
      agentmon history rebuild --from-scratch
    """
    path = index.index_path()
    try:
        opened = _checked(path)
    except index.Damaged as error:
        aside = index.set_aside(path)
        say(f"{error.message.split(';')[0]}; kept as {aside}; runs whose logs are gone are only in there")
        opened = index.open_index(say)
    with index.faults(path), closing(opened):
        if not opened.stored:
            raise AgentmonError(f"{path}: cannot be written; nothing was rebuilt")
        gone = indexing.forget(opened, from_scratch)
        progress = Progress(os.isatty(2), "reading run logs")
        indexing.bring_up_to_date(opened, say, progress)
        progress.clear()
        total = index_query.count(opened, index_query.Wanted())
    kept = f", {gone:,} whose logs are gone {'forgotten' if from_scratch else 'kept'}" if gone else ""
    click.echo(f"{total:,} runs in the history{kept}")


@command.command("prune")
@click.option("--older-than", type=Duration(), metavar="TIME", help="Logs last written longer ago (30d).")
@click.option("--max-size", type=Size(), metavar="SIZE", help="The oldest logs, until the rest takes less (2GB).")
@click.option("--yes", is_flag=True, help="Do it; without, only say what would go.")
def prune(older_than: float | None, max_size: float | None, yes: bool) -> None:
    """Remove old run logs.

    Their runs stay in the history, with metrics per minute. A log that is being written is never removed, nor one that
    `agentmon ship` has still to ship.

    \b
    Examples:
      agentmon history prune --older-than 30d --max-size 2GB
      agentmon history prune --older-than 30d --yes
    """
    from agentmon import pruning
    from agentmon.fleet import cursor

    if older_than is None and max_size is None:
        raise click.UsageError("give --older-than, --max-size or both")
    going = pruning.plan(older_than, None if max_size is None else max_size * (1 << 20))
    behind = cursor.behind({old.name: old.size for old in going})
    for destination, path in sorted({*behind.values()}):
        count = sum(told == (destination, path) for told in behind.values())
        say(f"{count:,} run logs stay: {destination} does not have them yet; `agentmon ship` brings them there "
            f"(nobody ships there any more? remove {path})")  # fmt: skip
    going = [old for old in going if old.name not in behind]
    if yes and going:
        path = index.index_path()
        with index.faults(path), closing(index.open_index(say)) as opened:
            if not opened.stored:
                raise AgentmonError("the logs stay: what they hold cannot be kept in the history")
            _update(opened)
            going = pruning.remove(opened, going, say)
    for old in going:
        click.echo(f"{size(old.size):>8}  {old.name}")
    what = f"{len(going):,} run logs, {size(sum(old.size for old in going))}"
    click.echo(f"removed: {what}" if yes else f"would go: {what}" + (" (--yes removes them)" if going else ""))


def _checked(path: str) -> index.Index:
    """The index, each page of it looked at. Raises Damaged."""
    opened = index.open_index(say)
    try:
        with index.faults(path):
            found = opened.db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise index.Damaged(path, str(found).splitlines()[-1])
    except index.Damaged:
        opened.close()
        raise
    return opened


def _update(opened: index.Index) -> None:
    progress = Progress(os.isatty(2), "reading run logs")
    try:
        indexing.bring_up_to_date(opened, say_around(progress, say), progress)
    finally:
        progress.clear()


def _cells(terminal: bool) -> int | None:
    if not terminal:
        return None
    import shutil

    return max(40, shutil.get_terminal_size().columns)
