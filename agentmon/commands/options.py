"""Options: the commands by name, and what configuration files set for them."""

import importlib

import click

from agentmon import config

CONFIGURED = ("run",)


def load(name: str) -> click.Command:
    """The command of this name."""
    command = importlib.import_module(f"agentmon.commands.{name}").command
    assert isinstance(command, click.Command)
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
        found[name] = {names[option]: setting.value for option, setting in values.items()}
    return found
