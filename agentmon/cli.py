"""The `agentmon` command. Subcommands are imported when they are called: `run` starts fast."""

import click

from agentmon import __version__
from agentmon.commands.options import CONFIGURED, default_map, load
from agentmon.errors import USAGE_EXIT, AgentmonError

COMMANDS = (
    "run", "attach", "top", "tail", "report", "history", "export", "ship", "parse", "config", "schema", "doctor",
)  # fmt: skip


class LazyGroup(click.Group):
    """Finds a subcommand in the module of its name below agentmon.commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in CONFIGURED:
            ctx.default_map = dict(default_map())
        return load(cmd_name)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "AGENTMON"})
@click.version_option(__version__, prog_name="agentmon")
def agentmon() -> None:
    """Telemetry for LLM-agent orchestrators: run any command unchanged, and see what it does."""


def main(argv: list[str] | None = None, inherited: object = None) -> int:
    """Run the command line; the exit status. inherited: signals.Inherited, where signals are held back for `run`."""
    try:
        result = agentmon.main(argv, prog_name="agentmon", standalone_mode=False, obj=inherited)
        return result if isinstance(result, int) else 0
    except AgentmonError as error:
        click.echo(f"agentmon: {error.message}", err=True)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return USAGE_EXIT
    except click.ClickException as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
        click.echo(f"agentmon: {error.format_message()}{hint}", err=True)
        return USAGE_EXIT
    except click.exceptions.Abort:
        return 130
    except BrokenPipeError:
        return 141
