"""git's own trace: every git process of the tree appends what it ran, where and how it ended, to a file of ours.

`GIT_TRACE2_EVENT` names the file (git's technical/api-trace2: an absolute path is opened with O_APPEND and O_CREAT;
each event is one write(2) of one line, so one file for all processes does not mix lines). `GIT_TRACE2_EVENT_BRIEF`
leaves out the time, file and line of most events. git before 2.22 knows neither and ignores them; a file that cannot be
opened or written is ignored in silence, too.

The environment takes the place of `trace2.eventTarget` in the system's and the user's configuration (the only two that
git reads it from; seen with 2.39.5): who has set either keeps it, and we stay out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from agentmon.collect.intake import Prepared

if TYPE_CHECKING:
    from agentmon.collect.intake import Reader

NAME = "trace2"
_TARGET = b"GIT_TRACE2_EVENT"
_BRIEF = b"GIT_TRACE2_EVENT_BRIEF"
_INCLUDES = 4
_CONFIG_SIZE = 1 << 20


def prepare(folder: str, environment: Mapping[bytes, bytes], argv: Sequence[str], asked: bool) -> Prepared | None:
    """The environment that makes git tell us; nothing where the user has a target already."""
    if _TARGET in environment:
        return _left_alone("GIT_TRACE2_EVENT is set already") if asked else None
    if any(_names_target(path) for path in _configurations(environment)):
        return _left_alone("trace2.eventTarget is set in git's configuration")
    path = os.path.join(folder, "trace2")
    added = {_TARGET: os.fsencode(path)}
    if _BRIEF not in environment:
        added[_BRIEF] = b"1"
    return Prepared(NAME, partial(_open, path, time.time(), _log_sizes()), added, file=path)


def _open(path: str, began: float, sizes: Mapping[str, int]) -> Reader:
    from agentmon.collect.intake.trace2_reader import Trace2Reader

    return Trace2Reader(path, began, sizes)


def _left_alone(why: str) -> Prepared:
    return Prepared(NAME, _Nothing, notices=(f"trace2: {why}; git tells that, and not us",))


class _Nothing:
    """The reader of a source that is left to the user."""

    def read(self) -> tuple[()]:
        return ()

    def interests(self) -> Mapping[int, int]:
        return {}

    def close(self) -> tuple[()]:
        return ()


# ---------------------------------------------------------------- git's configuration


def _configurations(environment: Mapping[bytes, bytes]) -> Iterator[str]:
    """The system's and the user's files, as git-config(1) finds them. git itself is not asked: it takes 2 ms."""

    def value(name: bytes) -> str | None:
        found = environment.get(name)
        return os.fsdecode(found) if found is not None else None

    if value(b"GIT_CONFIG_NOSYSTEM") in (None, "0", "false", "no", ""):
        yield value(b"GIT_CONFIG_SYSTEM") or "/etc/gitconfig"
    if (chosen := value(b"GIT_CONFIG_GLOBAL")) is not None:
        yield chosen
        return
    if home := value(b"HOME"):
        yield os.path.join(home, ".gitconfig")
    if base := value(b"XDG_CONFIG_HOME") or (home and os.path.join(home, ".config")):
        yield os.path.join(base, "git", "config")


def _names_target(path: str, depth: int = 0) -> bool:
    """Whether a configuration file, or one that it includes, sets trace2.eventTarget. Conditions are taken as met."""
    try:
        with open(path, "rb") as file:
            text = file.read(_CONFIG_SIZE)
    except (OSError, ValueError):
        return False
    section = ""
    for line in text.decode("utf-8", "replace").splitlines():
        line = line.strip()
        if line.startswith("["):
            head, _, line = line[1:].partition("]")
            section, line = head.split()[0].strip('"').lower() if head.split() else "", line.strip()
        key, _, value = line.partition("=")
        key = key.strip().lower()
        if section == "trace2" and key == "eventtarget":
            return True
        if section in ("include", "includeif") and key == "path" and depth < _INCLUDES:
            there = os.path.expanduser(value.strip().strip('"'))
            if _names_target(os.path.join(os.path.dirname(path), there), depth + 1):
                return True
    return False


# ---------------------------------------------------------------- what was there before


def _log_sizes() -> dict[str, int]:
    """How long the logs of HEAD are before the child starts, of the repository that we stand in, its worktrees and its
    submodules: entries behind that are the run's, whatever dates they carry."""
    try:
        here = os.getcwd()
    except OSError:
        return {}
    while not os.path.lexists(os.path.join(here, ".git")):
        up = os.path.dirname(here)
        if up == here:
            return {}
        here = up
    from agentmon.collect.intake.trace2_folders import git_folders

    found = git_folders(here)
    if found is None:
        return {}
    own, common = found
    folders = {own, common}
    for kind in ("worktrees", "modules"):
        try:
            folders |= {os.path.join(common, kind, name) for name in os.listdir(os.path.join(common, kind))[:100]}
        except OSError:
            continue
    return {log: _size(log) for log in (os.path.join(folder, "logs", "HEAD") for folder in folders)}


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
