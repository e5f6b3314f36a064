"""agentmon run"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from agentmon import __version__, runs
from agentmon.collect import intake
from agentmon.collect.launch import Description, Reading, start_collector
from agentmon.commands import candidates
from agentmon.commands.words import Amount, Count, Duration, Label, Size
from agentmon.descriptors import closed_standard, same_file
from agentmon.errors import AgentmonError
from agentmon.relay import child
from agentmon.relay.relay import Relay
from agentmon.relay.signals import Inherited, hold
from agentmon.relay.stop import Patience
from agentmon.sinks.open import descriptor_of, open_sinks

if TYPE_CHECKING:
    from agentmon.collect.parsers.patterns import Pattern
    from agentmon.collect.prices import OwnPrice

_WATCHED = ("budget", "budget_tokens", "daily_budget", "max_memory", "max_cpu", "stall")
INTERPRETERS = (
    "python", "python3", "node", "bun", "deno", "ruby", "perl", "sh", "bash", "zsh", "uv", "uvx", "npx", "bunx", "pipx",
)  # fmt: skip


@click.command("run", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False})
@click.option("-o", "--output", "outputs", multiple=True, metavar="SINK", shell_complete=candidates.sinks,
              help="Where events go: a file or named pipe, - (stdout; the command's stdout moves to stderr), fd:N, "
                   "unix:PATH (listens), unix-connect:PATH. May be given several times.")  # fmt: skip
@click.option("--team", default="default", show_default=True, shell_complete=candidates.indexed("team_id"),
              help="team_id of the events.")  # fmt: skip
@click.option("--agent", shell_complete=candidates.indexed("agent_id"),
              help="agent_id of the events [default: the command's name].")  # fmt: skip
@click.option("--label", "labels", multiple=True, type=Label(), shell_complete=candidates.labels,
              help="A label of the run; may be given several times.")  # fmt: skip
@click.option("--run-id", envvar=None, help="Name of the run [default: made from the time].")
@click.option("--interval", type=Duration(0.05), default="2s", show_default=True, help="Time between two samples.")
@click.option("--pty", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
              help="Whether the command gets a pseudo-terminal.")  # fmt: skip
@click.option("--meter", "meter_text", default="auto", show_default=True, metavar="SOURCES",
              shell_complete=candidates.meters,
              help="Where numbers come from: output, sdk, otlp, trace2. auto takes what fits; +NAME and -NAME "
                   "change that.")  # fmt: skip
@click.option("--patterns", "pattern_files", multiple=True, metavar="FILE", shell_complete=candidates.files,
              help="Own patterns (TOML).")  # fmt: skip
@click.option("--prices", "price_file", metavar="FILE", shell_complete=candidates.files,
              help="Own prices (TOML), before the built-in ones.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be run and what the environment gets, and stop.")
@click.option("--no-logs", is_flag=True, help="No log entries.")
@click.option("--no-redact", is_flag=True, help="Do not mask secrets in messages.")
@click.option("--no-run-log", is_flag=True, help="No run log in the state directory.")
@click.option("--budget", type=Amount(), metavar="USD", help="Stop when the run has cost this much.")
@click.option("--budget-tokens", type=Count(), metavar="N", help="Stop when the run has used so many tokens (2M).")
@click.option("--daily-budget", type=Amount(), metavar="USD", help="Stop when the team's runs of today cost this much.")
@click.option("--on-budget", type=click.Choice(["warn", "stop", "kill"]), default="stop", show_default=True,
              help="When a budget is used up: only a notice; SIGTERM, and SIGKILL after --grace; SIGKILL "
                   "at once.")  # fmt: skip
@click.option("--budget-counts-estimates", is_flag=True, help="Let figures that are only estimated use a budget up.")
@click.option("--max-memory", type=Size(), metavar="SIZE", help="Alert when the process tree holds more (4GB).")
@click.option(
    "--max-cpu", type=Amount(), metavar="PERCENT", help="Alert when it uses more of a core (300%), for --for."
)
@click.option("--for", "cpu_for", type=Duration(), default="1m", show_default=True, help="How long for --max-cpu.")
@click.option(
    "--stall", type=Duration(), metavar="TIME", help="Alert when there is no output and no CPU for so long (5m)."
)
@click.option("--timeout", type=Duration(), metavar="TIME", help="End the command after this time (exit status 124).")
@click.option("--grace", type=Duration(), default="10s", show_default=True, help="From SIGTERM to SIGKILL.")
@click.option(
    "--on-alert",
    metavar="CMD",
    shell_complete=candidates.files,
    help="A shell command; gets every alert as JSON on its stdin.",
)
@click.option("--unbuffered", is_flag=True, help="Set PYTHONUNBUFFERED=1 for the command.")
@click.option("-q", "--quiet", is_flag=True, help="No notices of agentmon's own.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARG]...")
@click.pass_obj
def command(
    inherited: Inherited | None, /, outputs: Sequence[str], team: str, agent: str | None,
    labels: Sequence[tuple[str, str]], run_id: str | None, interval: float, pty: child.PtyMode, no_logs: bool,
    no_redact: bool, no_run_log: bool, unbuffered: bool, quiet: bool, argv: Sequence[str], meter_text: str,
    dry_run: bool,
    pattern_files: Sequence[str], price_file: str | None, timeout: float | None, grace: float, **limits: Any,
) -> None:  # fmt: skip
    """Run COMMAND exactly as if it had been started bare, and write what it does.

    \b
    Examples:
      agentmon run -- claude -p "fix the tests"
      agentmon run --team web --label ticket=42 --budget 5.00 -- crewai run
      agentmon run -o - -q -- python crew.py | jq -c .event
      agentmon run -o unix:/tmp/crew.sock --stall 5m -- codex exec "go on"
    """
    inherited = inherited or hold()
    environment = child.own_environment()
    if os.environ.get("AGENTMON_DISABLE") == "1":
        _plain_exec(child.Command(child.argv_of(argv), environment), inherited)
    closed = closed_standard()
    run_id = run_id or runs.new_run_id()
    if "/" in run_id or run_id.startswith(".") or not run_id.isprintable():
        raise AgentmonError(f"--run-id {run_id!r}: it names a file: no /, no . in front, nothing invisible")
    chosen = intake.meter(meter_text)
    reading = _reading(chosen, pattern_files, price_file, limits)
    notices: list[str] = []
    outputs = ["-" if descriptor_of(word) == 1 else word for word in outputs]
    stdout_fd = 1
    if "-" in outputs:
        if 1 in closed or 2 in closed or same_file(1, 2):
            raise AgentmonError("-o -: stdout and stderr are the same file, so the command's output has nowhere to go")
        stdout_fd = 2
    sinks = [] if dry_run else open_sinks(outputs)
    if not no_run_log and not dry_run:
        from agentmon.sinks.file import RunLog

        try:
            sinks.append(RunLog(*runs.create(run_id)))
        except runs.RunIdTaken:
            for sink in sinks:
                sink.close()
            raise
        except AgentmonError as error:
            notices.append(f"{error.message}; the run goes on without")
    about = Description(
        run_id, agent or name_of(argv), team, tuple(argv), _cwd(), os.uname().nodename, __version__, interval,
        dict(labels), os.environ.get("AGENTMON_RUN_ID"), logs=not no_logs, redacted=not no_redact,
        summary=not quiet and 2 not in closed and os.isatty(2),
        traceparent=_carried("TRACEPARENT"), tracestate=_carried("TRACESTATE"),
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
    Relay(to_run, wiring, inherited, collector, Patience(timeout, grace), quiet=quiet).run()


def _reading(
    chosen: intake.Meter, pattern_files: Sequence[str], price_file: str | None, limits: Mapping[str, Any]
) -> Reading:
    """What people brought is read before anything is forked: a mistake in it is theirs to see."""
    patterns: tuple[Pattern, ...] = ()
    prices: tuple[OwnPrice, ...] = ()
    if pattern_files:
        from agentmon.collect.parsers.pattern_files import load as load_patterns

        patterns = tuple(pattern for path in pattern_files for pattern in load_patterns(path))
    if price_file:
        from agentmon.collect.prices import load as load_prices

        prices = load_prices(price_file)
    watched = None
    if any(limits[name] is not None for name in _WATCHED):
        from agentmon.collect.watch import Limits

        watched = Limits(
            limits["budget"], limits["budget_tokens"], limits["daily_budget"], limits["max_memory"], limits["max_cpu"],
            limits["cpu_for"], limits["stall"], limits["on_budget"], limits["budget_counts_estimates"],
            limits["on_alert"],
        )  # fmt: skip
    return Reading("output" in chosen.names, patterns, prices, watched)


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


def _carried(name: str) -> str | None:
    """A part of the trace context, by the name that OpenTelemetry gives it in an environment, or as in HTTP. It goes on
    to the command as it is: whether this run's own spans are ever sent, and could be anybody's parents, is not known
    here."""
    return os.environ.get(name) or os.environ.get(name.lower())


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
