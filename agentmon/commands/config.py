"""agentmon config"""

import os
from typing import Any

import click
from click.core import ParameterSource

from agentmon import config
from agentmon.commands import options


@click.group("config")
def command() -> None:
    """What is configured, and where.

    \b
    Examples:
      agentmon config show
    """


@command.command("show")
def show() -> None:
    """Every option of `run`: its value, and where that comes from.

    Flags win over AGENTMON_RUN_* in the environment, that over agentmon.toml of the project (in this folder or above),
    that over the user's ($XDG_CONFIG_HOME/agentmon/agentmon.toml).

    \b
    Examples:
      agentmon config show
      agentmon config show | grep -v 'the default'
    """
    for path, of_project in config.files():
        click.echo(f"file     {path} ({'the project' if of_project else 'the user'}'s)")
    settings = options.settings().get("run", {})
    run = options.load("run")
    parent = click.Context(
        click.get_current_context().find_root().command,
        info_name="agentmon",
        default_map=options.default_map(),
        auto_envvar_prefix="AGENTMON",
    )
    with run.make_context("run", ["command"], parent=parent) as ctx:
        for option in run.params:
            if isinstance(option, click.Option) and option.name is not None:
                name = options.option_name(option)
                source = ctx.get_parameter_source(option.name)
                where = options.origin(ctx, option) or "the default"
                value = ctx.params[option.name]
                if source is ParameterSource.DEFAULT_MAP:
                    value = settings[name].value  # as it was written: 4GB, and not 4096.0
                elif source is ParameterSource.ENVIRONMENT:
                    value, where = os.environ[where], f"the environment ({where})"
                elif value is not None and isinstance(option.default, str):
                    value = option.default
                click.echo(f"{name:<24} {_text(value):<16} {where}")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(map(_text, value)) or "-"
    return "-" if value is None else str(value)
