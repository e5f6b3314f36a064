"""The `agentmon` command. Subcommands are imported when they are called: `run` starts fast."""

import gc
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from agentmon import __version__
from agentmon.commands.options import CONFIGURED, default_map, load, origin
from agentmon.errors import USAGE_EXIT, AgentmonError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Each with the first sentence of its help: a list of them imports none of them.
COMMANDS = {
    "run": "Run COMMAND exactly as if it had been started bare, and write what it does.",
    "attach": "Metrics of a process that already runs, and of its tree, until it ends or Ctrl-C.",
    "top": "Live cards of the agents at work: all runs that go on, or those named.",
    "tail": "The stream of a run, for people.",
    "report": "One run summed up.",
    "history": "The runs of this machine so far, newest first.",
    "export": "Run logs as tables, one file for each table.",
    "ship": "Publish the run logs of this machine, live and past, to a fleet's server.",
    "ingest": "Store a fleet's events in PostgreSQL, from the NATS server that machines ship to.",
    "serve": "The dashboard of all agents at work, with REST and WebSocket.",
    "parse": "The parsers of `run` over a saved log; events to stdout.",
    "config": "What is configured, and where.",
    "schema": "The JSON Schema of the events.",
    "doctor": "What works here and what does not, one line each, with what to do about it.",
    "completion": "TAB completes commands, options, their values, and run ids: the script for your shell.",
}


class LazyGroup(click.Group):
    """Finds a subcommand in the module of its name below agentmon.commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in CONFIGURED and not ctx.resilient_parsing:
            ctx.default_map = dict(default_map())
        command = load(cmd_name)
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=what) for name, what in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "AGENTMON"})
@click.version_option(__version__, prog_name="agentmon")
def agentmon() -> None:
    """Telemetry for LLM-agent orchestrators: run any command unchanged, and see what it does.

    \b
    Examples:
      agentmon run -- claude -p "fix the tests"
      agentmon top
      agentmon report --html run.html
      agentmon history --by team --since 7d

    `agentmon COMMAND --help` has more, and says what the options mean.
    """


def _say(text: str) -> None:
    from agentmon.commands.output import say

    say(text)


def main(argv: list[str] | None = None, inherited: object = None) -> int:
    """Run the command line; the exit status. inherited: signals.Inherited, where signals are held back for `run`."""
    try:
        result = agentmon.main(argv, prog_name="agentmon", standalone_mode=False, obj=inherited)
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written is noticed here, and not when Python ends
        return result if isinstance(result, int) else 0
    except AgentmonError as error:
        _say(error.message)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return USAGE_EXIT
    except click.ClickException as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
        _say(f"{_origin(error)}{error.format_message()}{hint}")
        return USAGE_EXIT
    except click.exceptions.Abort:
        return 130
    except BrokenPipeError:
        return _unwritten(141)
    except OSError as error:
        _say(f"{error.filename or 'output'}: {error.strerror or error}")
        return _unwritten(USAGE_EXIT)


def _origin(error: click.ClickException) -> str:
    """Where a value that is refused stands, unless on the command line."""
    if not isinstance(error, click.BadParameter) or error.ctx is None or not isinstance(error.param, click.Option):
        return ""
    where = origin(error.ctx, error.param)
    return f"{where}: " if where else ""


def _unwritten(status: int) -> int:
    """The status, with what nobody takes out of the way of Python's own end."""
    from agentmon.descriptors import let_go

    with suppress(OSError):
        let_go(1)
    return status
