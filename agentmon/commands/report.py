"""agentmon report"""

import sys
from typing import TYPE_CHECKING, Any

import click
import orjson

from agentmon import ndjson, replay, runs
from agentmon.commands import candidates
from agentmon.commands.output import say
from agentmon.errors import AgentmonError
from agentmon.telemetry import several, telemetry_dict

if TYPE_CHECKING:
    from agentmon.views.report import Report

_JSON = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE


@click.command("report")
@click.argument("run", required=False, shell_complete=candidates.recorded_runs)
@click.option("--json", "as_json", is_flag=True, help="One AgentTelemetry object.")
@click.option("--md", "as_markdown", is_flag=True, help="Markdown.")
@click.option("--html", "html_file", metavar="FILE", shell_complete=candidates.files,
              help="One self-contained page with graphs, into FILE (- for stdout).")  # fmt: skip
def command(run: str | None, as_json: bool, as_markdown: bool, html_file: str | None) -> None:
    """One run summed up.

    RUN is a run id or a unique prefix of one, a file, - for stdin, or nothing for the newest run. Where its log is
    gone, this is what the history kept of it.

    \b
    Examples:
      agentmon report                         # the newest run, in the terminal
      agentmon report --json | jq .token_usage
      agentmon report 20261122T10 --html run.html
    """
    if as_json + as_markdown + (html_file is not None) > 1:
        raise click.UsageError("one of --json, --md and --html at a time")
    try:
        path = "-" if run == "-" else str(runs.find(run))
    except runs.NoSuchRun as error:
        report, minutes = _recall(run, error)
        path = ""
    if as_json and not path:
        told = telemetry_dict(report.state) | {"from_history": True, "minutes": minutes}
        sys.stdout.buffer.write(ndjson.dumps(told, _JSON))
        return
    if as_json:
        state = replay.fold_file(path, say)
        if (mixed := several(state)) is not None:
            say(f"{'stdin' if path == '-' else path}: {mixed}")
        sys.stdout.buffer.write(ndjson.dumps(telemetry_dict(state), _JSON))
        return
    if path:
        report = _report(path)
    if as_markdown:
        from agentmon.views.report_markdown import markdown

        click.echo(markdown(report), nl=False)
    elif html_file is not None:
        from agentmon.views.report_html import html

        _write(html_file, html(report))
    else:
        _show(report)


def _report(path: str) -> "Report":
    from pathlib import Path

    from agentmon.views.report import build

    report = build(path, say)
    report.alive = report.state.end is None and path != "-" and runs.is_written(Path(path))
    return report


def _recall(run: str | None, error: AgentmonError) -> "tuple[Report, list[dict[str, Any]]]":
    """What the history knows of a run that has no log, and its minutes. Raises the error where it knows nothing."""
    import os
    from contextlib import closing

    from agentmon import index, index_query
    from agentmon.views.recalled import GONE, recall

    if not os.path.exists(index.index_path()):
        raise error
    with index.faults(index.index_path()), closing(index.open_index(say)) as opened:
        found = index_query.recalled(opened, run)
        if found is None:
            raise error
        minutes = index_query.minutes(opened, found[0]["run_id"])
    say(f"{found[0]['run_id']}: its log is {GONE}")
    return recall(*found, minutes), minutes


def _show(report: "Report") -> None:
    from rich.console import Console

    from agentmon.views.report_text import show

    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    show(report, Console(highlight=False))


def _write(path: str, text: str) -> None:
    data = text.encode("utf-8", "replace")
    if path == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None
