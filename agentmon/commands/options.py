"""Options: the commands by name, and what configuration files and the environment set for them."""

import importlib
import os

import click
from click.core import ParameterSource

from agentmon import config

CONFIGURED = ("run",)


def load(name: str) -> click.Command:
    """The command of this name; its options have variables that are called as they are."""
    command = importlib.import_module(f"agentmon.commands.{name}").command
    assert isinstance(command, click.Command)
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar is None:
            option.envvar = f"AGENTMON_{name}_{option_name(option)}".upper().replace("-", "_")
    return command


def option_name(option: click.Option) -> str:
    """An option as it is written, without its dashes."""
    return max(option.opts, key=len).lstrip("-")


def settings() -> dict[str, dict[str, config.Setting]]:
    """What the configuration files set. Raises AgentmonError."""
    if not config.files():
        return {}
    known = {
        name: [option_name(p) for p in load(name).params if isinstance(p, click.Option) and p.name != "run_id"]
        for name in CONFIGURED
    }
    return config.load(known)


def default_map() -> dict[str, dict[str, object]]:
    """The same as click takes it: per command, by the name of the parameter."""
    found: dict[str, dict[str, object]] = {}
    for name, values in settings().items():
        names = {
            option_name(p): p.name for p in load(name).params if isinstance(p, click.Option) and p.name is not None
        }
        several = {option_name(p) for p in load(name).params if isinstance(p, click.Option) and p.multiple}
        found[name] = {
            names[option]: [value] if option in several and isinstance(value := setting.value, str) else setting.value
            for option, setting in values.items()
        }
    return found


def origin(ctx: click.Context, option: click.Option) -> str | None:
    """The file, or the variable, that an option of `run` has its value from; None where it is neither."""
    source = ctx.get_parameter_source(option.name or "")
    if source is ParameterSource.DEFAULT_MAP:
        return settings()[CONFIGURED[0]][option_name(option)].path
    if source is ParameterSource.ENVIRONMENT:
        named = str(option.envvar)
        return named if os.environ.get(named) else f"AGENTMON_{ctx.info_name}_{option.name}".upper()
    return None
