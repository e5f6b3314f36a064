"""agentmon export"""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from agentmon import runs
from agentmon.commands import candidates
from agentmon.commands.output import say
from agentmon.errors import AgentmonError
from agentmon.views.export import FORMATS, export
from agentmon.views.tables import COLUMNS

_HELP = """Run logs as tables, one file for each table.

RUN is a run id or a unique prefix of one, a file, - for stdin, or nothing for the newest run.

\b
Examples:
  agentmon export --all --format csv --table runs -o tables
  agentmon export 20261122T10 --format jsonl -o tables

`runs` has one row a run, with everything counted once: add up that. `llm` has the events as they were told, by all
sources and in both scopes: for a look at single calls, not for sums. Times are Unix seconds, sizes MiB, percents of one
core. What is not known is empty in CSV and null in JSON; columns are only ever added, at the end.

""" + "".join(f"Columns of {name}: {', '.join(columns)}.\n\n" for name, columns in COLUMNS.items())


@click.command("export", help=_HELP)
@click.argument("run", nargs=-1, shell_complete=candidates.run_names)
@click.option("--all", "all_runs", is_flag=True, help="All runs of this machine.")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="csv", show_default=True, help="Of the files.")
@click.option("--table", "tables", type=click.Choice([*COLUMNS]), multiple=True, metavar="TABLE",
              help="Only this one: metrics, git, llm, logs or runs; may be given several times.")  # fmt: skip
@click.option("-o", "--output", "folder", required=True, metavar="DIR", shell_complete=candidates.folders,
              help="Where the files go; made if missing.")  # fmt: skip
def command(run: tuple[str, ...], all_runs: bool, kind: str, tables: tuple[str, ...], folder: str) -> None:
    """Run logs as tables."""
    if all_runs and run:
        raise click.UsageError("either RUN or --all")
    logs = [str(p) for p in runs.all_logs()] if all_runs else [_path(r) for r in run or ("",)]
    if not logs:
        raise AgentmonError("there is no run yet; start one with `agentmon run -- COMMAND`")
    with _progress(logs) as progress:
        counts = export(logs, tables or tuple(COLUMNS), Path(folder), kind, say, progress, strict=not all_runs)
    if sys.stderr.isatty():
        for name, count in counts.items():
            click.echo(f"{os.path.join(folder, f'{name}.{kind}')}: {count:,} rows", err=True)


def _path(run: str) -> str:
    return "-" if run == "-" else str(runs.find(run))


def _progress(logs: list[str]) -> AbstractContextManager[Callable[[int], None] | None]:
    """A bar on stderr where that is a terminal and there is something to wait for."""
    if not sys.stderr.isatty() or "-" in logs:
        return nullcontext()
    return _Bar(sum(os.stat(path).st_size for path in logs if os.path.exists(path)))


class _Bar(AbstractContextManager[Callable[[int], None]]):
    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

        columns: tuple[Any, ...] = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Callable[[int], None]:
        self._progress.start()
        return lambda size: self._progress.advance(self._task, size)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
