"""agentmon parse"""

import sys
import time
from collections.abc import Iterable
from typing import BinaryIO, get_args

import click

from agentmon.collect import prices
from agentmon.collect.parsers import pattern_files
from agentmon.collect.parsers.all import builtin, standard
from agentmon.collect.pipeline import Pipeline
from agentmon.collect.plain import Plain
from agentmon.collect.recorder import Recorder
from agentmon.commands import candidates
from agentmon.commands.explain import Explainer
from agentmon.commands.output import say
from agentmon.errors import AgentmonError
from agentmon.events import Finding, Stream

_CHUNK = 64 * 1024


@click.command("parse")
@click.argument("file", required=False, shell_complete=candidates.files)
@click.option(
    "--stdout", "stdout_file", metavar="F", shell_complete=candidates.files, help="What the command wrote to stdout."
)
@click.option(
    "--stderr", "stderr_file", metavar="F", shell_complete=candidates.files, help="What the command wrote to stderr."
)
@click.option(
    "--tty", "tty_file", metavar="F", shell_complete=candidates.files, help="What the command wrote to a terminal."
)
@click.option("--start-time", type=float, metavar="T", help="Time stamp of the events, Unix seconds [default: now].")
@click.option("--team", default="default", show_default=True, help="team_id of the events.")
@click.option("--agent", default="default", show_default=True, help="agent_id of the events.")
@click.option("--prices", "price_file", metavar="FILE", shell_complete=candidates.files,
              help="Own prices (TOML), before the built-in ones.")  # fmt: skip
@click.option("--no-logs", is_flag=True, help="Leave the log entries out.")
@click.option("--no-redact", is_flag=True, help="Do not mask secrets in messages.")
@click.option("--patterns", "own_files", metavar="FILE", multiple=True, shell_complete=candidates.files,
              help="Own patterns, a TOML file.")  # fmt: skip
@click.option("--list-patterns", is_flag=True, help="Print the built-in patterns as such a file, and end.")
@click.option("--explain", is_flag=True, help="Instead of events: which pattern matched on which line, what it took.")
def command(
    file: str | None, stdout_file: str | None, stderr_file: str | None, tty_file: str | None, start_time: float | None,
    team: str, agent: str, price_file: str | None, no_logs: bool, no_redact: bool, own_files: tuple[str, ...],
    list_patterns: bool, explain: bool,
) -> None:  # fmt: skip
    """The parsers of `run` over a saved log; events to stdout.

    FILE is read as stdout; without any file, stdin is.

    \b
    Examples:
      agentmon parse saved.log | jq -c 'select(.event == "llm_call")'
      python crew.py 2>&1 | agentmon parse --no-logs
      agentmon parse --explain saved.log
      agentmon parse --list-patterns > patterns.toml
    """
    if list_patterns:
        sys.stdout.write(pattern_files.toml(builtin()))
        return
    own = [pattern for path in own_files for pattern in pattern_files.load(path)]
    named: list[tuple[Stream, str | None]] = [
        ("stdout", file), ("stdout", stdout_file), ("stderr", stderr_file), ("tty", tty_file),
    ]  # fmt: skip
    inputs = [(stream, path) for stream, path in named if path is not None] or [(get_args(Stream)[0], "-")]
    if explain:
        _explain(inputs, Explainer(own))
        return
    now = time.time() if start_time is None else start_time
    pipeline = Pipeline(standard(own, notice=say), logs=not no_logs, redacted=not no_redact)
    pricer = prices.Pricer(prices.load(price_file) if price_file else (), say)
    recorder = Recorder("parse", agent, team, pricer.price)
    out = sys.stdout.buffer
    for stream, path in inputs:
        with _open(path) as source:
            while data := source.read1(_CHUNK):  # type: ignore[attr-defined]
                _write(out, recorder, pipeline.feed(stream, data, now), now)
    _write(out, recorder, pipeline.close(now), now)
    out.flush()


def _explain(inputs: Iterable[tuple[Stream, str]], explainer: Explainer) -> None:
    for stream, path in inputs:
        with _open(path) as source:
            while data := source.read1(_CHUNK):  # type: ignore[attr-defined]
                for text in explainer.feed(stream, data):
                    click.echo(text)
    for text in explainer.close():
        click.echo(text)


def _write(out: BinaryIO, recorder: Recorder, items: Iterable[Plain | Finding], now: float) -> None:
    for piece in recorder.record(items, now):
        out.write(piece.data)


def _open(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None
