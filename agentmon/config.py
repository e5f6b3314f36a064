"""Configuration: agentmon.toml of the project and of the user, below the environment and the flags.

A table per command, keys as the options are called: `[run]`, `team = "web"`, `budget = 5.0`.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from agentmon.errors import AgentmonError

NAME = "agentmon.toml"
NOT_FROM_PROJECTS = frozenset({"on-alert"})  # a folder that was cloned must not start programs


class Setting(NamedTuple):
    """A value of one option, and the file that it stands in."""

    value: Any
    path: str


def files() -> list[tuple[str, bool]]:
    """The files that count, the strongest last, each with whether it is the project's.

    The user's is $XDG_CONFIG_HOME/agentmon/agentmon.toml (by default below ~/.config), the project's the nearest
    agentmon.toml in the working directory or above it.
    """
    found = []
    base = os.environ.get("XDG_CONFIG_HOME", "")
    home = os.environ.get("HOME", "")
    if not base.startswith("/"):
        base = os.path.join(home, ".config") if home else ""
    if base and os.path.isfile(path := os.path.join(base, "agentmon", NAME)):
        found.append((path, False))
    try:
        folder = os.getcwd()
    except OSError:
        return found
    while True:
        if os.path.isfile(path := os.path.join(folder, NAME)) and path not in dict(found):
            found.append((path, True))
            break
        if folder == (folder := os.path.dirname(folder)):
            break
    return found


def load(known: Mapping[str, Iterable[str]]) -> dict[str, dict[str, Setting]]:
    """Settings per command and option. known: the options of every command. Raises AgentmonError, which names the file
    and the key."""
    settings: dict[str, dict[str, Setting]] = {}
    for path, of_project in files():
        for command, table in _read(path).items():
            _check(path, command, known, "table")
            if not isinstance(table, dict):
                raise AgentmonError(f"{path}: {command}: expected a table, as in [{command}]")
            for key, value in table.items():
                option = key.replace("_", "-")
                _check(path, option, known[command], f"key of [{command}]")
                if of_project and option in NOT_FROM_PROJECTS:
                    raise AgentmonError(f"{path}: {key}: only the user's own file may set this, not a project's")
                settings.setdefault(command, {})[option] = Setting(value, path)
    return settings


def _read(path: str) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentmonError(f"{path}: not TOML: {error}") from None


def _check(path: str, word: str, known: Iterable[str], what: str) -> None:
    names = list(known)
    if word not in names:
        import difflib

        close = difflib.get_close_matches(word, names, 1)
        hint = f"; did you mean {close[0]!r}?" if close else f" (known: {', '.join(names)})"
        raise AgentmonError(f"{path}: {word!r} is no {what}{hint}")
