"""agentmon run"""

import contextlib
import os

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from agentmon import __version__, runs
from agentmon.descriptors import closed_standard, same_file
from agentmon.errors import AgentmonError
from agentmon.relay import child
from agentmon.relay.channel import Channel
from agentmon.relay.relay import Collector as CollectorEnd
from agentmon.relay.relay import Relay
from agentmon.relay.signals import Inherited, detached_fork, hold
from agentmon.sinks import Sink
from agentmon.sinks.open import open_sink

if TYPE_CHECKING:
    from agentmon.collect.collector import Description

NICE = 5
INTERPRETERS = ("python", "python3", "node", "bun", "deno", "ruby", "perl", "sh", "bash", "zsh", "uv", "uvx", "npx", "bunx", "pipx")


class Interval(click.ParamType):
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
        return self.fail(f"{text!r} is no duration of at least 50ms (try 2s, 500ms, 1m)")  # type: ignore[no-any-return]


class Label(click.ParamType):
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
    unbuffered: bool, quiet: bool, argv: Sequence[str],
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
    sinks = [open_sink(word) for word in outputs]
    stdout_fd = 1
    if "-" in outputs:
        if 1 in closed or 2 in closed or same_file(1, 2):
            raise AgentmonError("-o -: stdout and stderr are the same file, so the command's output has nowhere to go")
        stdout_fd = 2
    complaint = None
    if not no_run_log:
        from agentmon.sinks.file import RunLog

        try:
            sinks.append(RunLog(*runs.create(run_id)))
        except AgentmonError as error:
            if os.path.exists(_log_path(run_id)):
                raise
            complaint = error.message
    parent = environment.get(b"AGENTMON_RUN_ID")
    environment[b"AGENTMON_RUN_ID"] = os.fsencode(run_id)
    if unbuffered:
        environment[b"PYTHONUNBUFFERED"] = b"1"
    try:
        collector = None
        if sinks:
            about = (run_id, agent or name_of(argv), team, tuple(argv), dict(labels), interval, parent)
            collector = _start_collector(sinks, about, logs=not no_logs, redacted=not no_redact)
        wiring = child.wire(pty, stdout_fd, closed)
    except OSError as error:
        raise AgentmonError(f"cannot start: {error.strerror}") from None
    if complaint and not quiet:
        click.echo(f"agentmon: {complaint}; the run goes on without", err=True)
    Relay(child.Command(child.argv_of(argv), environment), wiring, inherited, collector, quiet=quiet).run()


def name_of(argv: Sequence[str]) -> str:
    """The agent's default name: the command's own, the script's behind an interpreter."""
    words = [os.path.basename(word) or word for word in argv]
    for place, word in enumerate(words):
        if word.rstrip("0123456789.") not in INTERPRETERS:
            return word.encode("utf-8", "replace").decode()
        rest = [w for w in argv[place + 1 :] if w not in ("run", "exec")]
        if not rest or rest[0].startswith("-") and rest[0] != "-m":
            return word
        if rest[0] == "-m" and len(rest) > 1:
            return rest[1]
        return name_of(rest)
    return "command"


def _valid(word: str) -> str:
    """A word of the command line as text that JSON can carry."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _log_path(run_id: str) -> str:
    try:
        return str(runs.runs_dir() / (run_id + runs.SUFFIX))
    except AgentmonError:
        return ""


def _plain_exec(command: child.Command, inherited: Inherited) -> None:
    inherited.restore()
    try:
        command.execute()
    except OSError as error:
        line, code = child.failure(command.argv[0], error.errno or 0)
        raise AgentmonError(line, code) from None


def _start_collector(
    sinks: list[Sink], about: tuple[str, str, str, tuple[str, ...], dict[str, str], float, bytes | None],
    *, logs: bool, redacted: bool,
) -> CollectorEnd:  # fmt: skip
    channel = Channel()
    notes_read, notes_write = os.pipe()
    keep = {channel.read_fd, notes_write} | {fd for sink in sinks for fd in sink.descriptors()}
    if channel.spool.fd is not None:
        keep.add(channel.spool.fd)
    if detached_fork(keep):
        try:
            channel.counters.set("collector_pid", os.getpid())
            _collect(sinks, about, channel, notes_write, logs=logs, redacted=redacted)
        except BaseException as error:  # noqa: BLE001 - the user is to know why there is no telemetry
            with contextlib.suppress(OSError):
                os.write(notes_write, f"collector: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(0)
    for fd in {channel.read_fd, notes_write} | {fd for sink in sinks for fd in sink.descriptors()} - {0, 1, 2}:
        os.close(fd)
    return CollectorEnd(channel, notes_read)


def _collect(
    sinks: list[Sink], about: tuple[str, str, str, tuple[str, ...], dict[str, str], float, bytes | None],
    channel: Channel, notes_fd: int, *, logs: bool, redacted: bool,
) -> None:  # fmt: skip
    """The collector's process: deaf to terminals and to signals, and modest."""
    os.setsid()
    with contextlib.suppress(OSError):
        os.nice(NICE)
    cwd = None
    with contextlib.suppress(OSError):
        cwd = os.getcwd()
    with contextlib.suppress(OSError):
        os.chdir("/")  # nobody's directory is to be busy because of us
    from agentmon import redact
    from agentmon.collect.collector import Collector, Description
    from agentmon.collect.parsers.all import standard
    from agentmon.collect.pipeline import Pipeline

    run_id, agent, team, argv, labels, interval, parent = about
    words = tuple(map(_valid, argv))
    description = Description(
        run_id, _valid(agent), _valid(team), tuple(map(redact.mask, words)) if redacted else words,
        None if cwd is None else _valid(cwd), _valid(os.uname().nodename), __version__, interval,
        {_valid(key): _valid(text) for key, text in labels.items()},
        None if parent is None else parent.decode("utf-8", "replace"),
    )  # fmt: skip
    Collector(description, Pipeline(standard(), logs=logs, redacted=redacted), sinks, channel, notes_fd).run()
    runs.prune()


assert sys.platform != "win32"
