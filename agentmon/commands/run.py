"""agentmon run"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from agentmon import __version__, runs
from agentmon.collect import intake
from agentmon.collect.launch import Description, Reading, start_collector
from agentmon.descriptors import closed_standard, same_file
from agentmon.errors import AgentmonError
from agentmon.relay import child
from agentmon.relay.relay import Relay
from agentmon.relay.signals import Inherited, hold
from agentmon.sinks.open import open_sink

if TYPE_CHECKING:
    from agentmon.collect.parsers.patterns import Pattern
    from agentmon.collect.prices import OwnPrice

INTERPRETERS = (
    "python", "python3", "node", "bun", "deno", "ruby", "perl", "sh", "bash", "zsh", "uv", "uvx", "npx", "bunx", "pipx",
)  # fmt: skip


class Interval(click.ParamType[float]):
    """Seconds: `2`, `2s`, `500ms`, `1m`; at least 0.05."""

    name = "interval"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        for suffix, unit in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)):
            if text.endswith(suffix):
                try:
                    seconds = float(text[: len(text) - len(suffix)]) * unit
                except ValueError:
                    continue
                if 0.05 <= seconds < float("inf"):
                    return seconds
        return self.fail(f"{text!r} is no duration of at least 50ms (try 2s, 500ms, 1m)")


class Label(click.ParamType[tuple[str, str]]):
    """KEY=VALUE."""

    name = "k=v"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r}: write KEY=VALUE")
        return key, text


@click.command("run", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False})
@click.option("-o", "--output", "outputs", multiple=True, metavar="SINK",
              help="Where events go: a file or named pipe, - (stdout; the command's stdout moves to stderr), fd:N, "
                   "unix:PATH (listens), unix-connect:PATH. May be given several times.")  # fmt: skip
@click.option("--team", default="default", show_default=True, help="team_id of the events.")
@click.option("--agent", help="agent_id of the events [default: the command's name].")
@click.option("--label", "labels", multiple=True, type=Label(), help="A label of the run; may be given several times.")
@click.option("--run-id", envvar=None, help="Name of the run [default: made from the time].")
@click.option("--interval", type=Interval(), default="2s", show_default=True, help="Time between two samples.")
@click.option("--pty", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
              help="Whether the command gets a pseudo-terminal.")  # fmt: skip
@click.option("--meter", "meter_text", default="auto", show_default=True, metavar="SOURCES",
              help="Where numbers come from: output, sdk, otlp, trace2; auto takes what fits, +NAME and -NAME change it.")  # fmt: skip
@click.option("--patterns", "pattern_files", multiple=True, metavar="FILE", help="Own patterns (TOML).")
@click.option("--prices", "price_file", metavar="FILE", help="Own prices (TOML), before the built-in ones.")
@click.option("--dry-run", is_flag=True, help="Say what would be run and what the environment gets, and stop.")
@click.option("--no-logs", is_flag=True, help="No log entries.")
@click.option("--no-redact", is_flag=True, help="Do not mask secrets in messages.")
@click.option("--no-run-log", is_flag=True, help="No run log in the state directory.")
@click.option("--unbuffered", is_flag=True, help="Set PYTHONUNBUFFERED=1 for the command.")
@click.option("-q", "--quiet", is_flag=True, help="No notices of agentmon's own.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARG]...")
@click.pass_obj
def command(
    inherited: Inherited | None, outputs: Sequence[str], team: str, agent: str | None, labels: Sequence[tuple[str, str]],
    run_id: str | None, interval: float, pty: child.PtyMode, no_logs: bool, no_redact: bool, no_run_log: bool,
    unbuffered: bool, quiet: bool, argv: Sequence[str], meter_text: str, dry_run: bool,
    pattern_files: Sequence[str], price_file: str | None,
) -> None:  # fmt: skip
    """Run COMMAND exactly as if it had been started bare, and write what it does.

    \b
    agentmon run -- claude -p "fix the tests"
    agentmon run -o - -- python crew.py | jq -c 'select(.event == "git_activity")'
    """
    inherited = inherited or hold()
    environment = child.own_environment()
    if os.environ.get("AGENTMON_DISABLE") == "1":
        _plain_exec(child.Command(child.argv_of(argv), environment), inherited)
    closed = closed_standard()
    run_id = run_id or runs.new_run_id()
    if "/" in run_id or run_id.startswith(".") or not run_id.isprintable():
        raise AgentmonError(f"--run-id {run_id!r}: letters, digits, - and _ make a run id")
    chosen = intake.meter(meter_text)
    reading = _reading(chosen, pattern_files, price_file)
    notices: list[str] = []
    sinks = [] if dry_run else [open_sink(word) for word in outputs]
    stdout_fd = 1
    if "-" in outputs and not dry_run:
        if 1 in closed or 2 in closed or same_file(1, 2):
            raise AgentmonError("-o -: stdout and stderr are the same file, so the command's output has nowhere to go")
        stdout_fd = 2
    if not no_run_log and not dry_run:
        from agentmon.sinks.file import RunLog

        try:
            sinks.append(RunLog(*runs.create(run_id)))
        except runs.RunIdTaken:
            raise
        except AgentmonError as error:
            notices.append(f"{error.message}; the run goes on without")
    about = Description(
        run_id, agent or name_of(argv), team, tuple(argv), _cwd(), os.uname().nodename, __version__, interval, dict(labels),
        os.environ.get("AGENTMON_RUN_ID"), logs=not no_logs, redacted=not no_redact,
    )  # fmt: skip
    before = dict(environment)
    environment[b"AGENTMON_RUN_ID"] = os.fsencode(run_id)
    if unbuffered:
        environment[b"PYTHONUNBUFFERED"] = b"1"
    folder, sources = None, []
    try:
        if (sinks or dry_run) and chosen.names - {"output"}:
            folder = intake.make_folder(run_id)
            sources = intake.prepare(chosen, folder, environment, argv)
    except OSError as error:
        notices.append(f"no exact sources: {error}")
    for source in sources:
        environment.update(source.environment)
        notices.extend(source.notices)
    extra = tuple(word for source in sources for word in source.arguments)
    words = child.argv_of(argv)
    to_run = child.Command((words[0], *extra, *words[1:]), environment)
    if dry_run:
        if folder is not None:
            intake.remove_folder(folder)
        _dry_run(to_run, sources, {k: v for k, v in environment.items() if before.get(k) != v})
        return
    try:
        collector = start_collector(about, reading, sinks, sources, folder) if sinks else None
        wiring = child.wire(pty, stdout_fd, closed)
    except OSError as error:
        raise AgentmonError(f"cannot start: {error.strerror}") from None
    for notice in notices if not quiet else ():
        click.echo(f"agentmon: {notice}", err=True)
    Relay(to_run, wiring, inherited, collector, quiet=quiet).run()


def _reading(chosen: intake.Meter, pattern_files: Sequence[str], price_file: str | None) -> Reading:
    """What people brought is read before anything is forked: a mistake in it is theirs to see."""
    patterns: tuple[Pattern, ...] = ()
    prices: tuple[OwnPrice, ...] = ()
    if pattern_files:
        from agentmon.collect.parsers.pattern_files import load as load_patterns

        patterns = tuple(pattern for path in pattern_files for pattern in load_patterns(path))
    if price_file:
        from agentmon.collect.prices import load as load_prices

        prices = load_prices(price_file)
    return Reading("output" in chosen.names, patterns, prices)


def name_of(argv: Sequence[str]) -> str:
    """The agent's default name: the command's own, the script's behind an interpreter."""
    words = [os.path.basename(word) or word for word in argv]
    for place, word in enumerate(words):
        if word.rstrip("0123456789.") not in INTERPRETERS:
            return word.encode("utf-8", "replace").decode()
        rest = [w for w in argv[place + 1 :] if w not in ("run", "exec")]
        if not rest or (rest[0].startswith("-") and rest[0] != "-m"):
            return word
        if rest[0] == "-m" and len(rest) > 1:
            return rest[1]
        return name_of(rest)
    return "command"


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _plain_exec(command: child.Command, inherited: Inherited) -> None:
    inherited.restore()
    try:
        command.execute()
    except OSError as error:
        line, code = child.failure(command.argv[0], error.errno or 0)
        raise AgentmonError(line, code) from None


def _dry_run(command: child.Command, sources: Sequence[intake.Prepared], added: Mapping[bytes, bytes]) -> None:
    """What would be run, and all that its environment would get."""
    import shlex

    click.echo("command      " + shlex.join(map(os.fsdecode, command.argv)))
    click.echo("sources      " + ", ".join(("output", *(source.name for source in sources))))
    for name, value in sorted(added.items()):
        click.echo(f"environment  {os.fsdecode(name)}={os.fsdecode(value)}")
    for source in sources:
        for notice in source.notices:
            click.echo(f"note         {notice}")
