"""The lines of git's trace, put together to commands that have ended. No input or output of its own."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

_WANTED = frozenset((b"version", b"start", b"def_repo", b"cmd_name", b"cmd_mode", b"alias", b"child_start", b"atexit"))
_KEPT = 2000
_WITH_VALUE = frozenset(
    {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env", "--super-prefix"}
)


@dataclass(frozen=True, slots=True)
class Command:
    """One git command that has ended. within: the git commands that it ran itself, at any depth; own: nobody but an
    alias, or `submodule foreach`, stands between it and whoever wanted it; parent: the verb of what ran it."""

    verb: str
    arguments: tuple[str, ...]
    worktree: str | None
    git_dir: str | None
    mode: str | None
    started: float
    ended: float
    code: int
    within: frozenset[str]
    own: bool
    parent: str | None


@dataclass(slots=True)
class _Process:
    started: float
    verb: str = ""
    argv: tuple[str, ...] = ()
    worktree: str | None = None
    mode: str | None = None
    within: set[str] = field(default_factory=set)

    @property
    def transparent(self) -> bool:
        """Whether what it runs is what its user wanted."""
        return self.verb.startswith("_run_") or (self.verb.startswith("submodule") and "foreach" in self.argv)


class Processes:
    """Follows git processes by their session ids: that of a child is its parent's, a slash, and its own."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Process] = OrderedDict()

    def feed(self, line: bytes) -> Command | None:
        """Take one line; the command that it ends, if it does. Never raises, whatever the line is."""
        if line[:10] != b'{"event":"' or line[10 : line.find(b'"', 10)] not in _WANTED:
            return None
        try:
            event = orjson.loads(line.decode("utf-8", "replace"))
        except ValueError:
            return None
        sid = event.get("sid")
        if not isinstance(sid, str):
            return None
        if event["event"] == "version":
            self._known[sid] = _Process(_time(event) or _sid_time(sid))
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
            return None
        process = self._known.get(sid)
        if process is None:
            return None
        return self._event(sid, process, event)

    def _event(self, sid: str, process: _Process, event: dict[str, Any]) -> Command | None:
        match event:
            case {"event": "start" | "alias" as kind, "argv": list(argv)}:
                words = tuple(str(word) for word in argv)
                process.argv = ("git", *words) if kind == "alias" else words
            case {"event": "def_repo", "worktree": str(worktree)} if process.worktree is None:
                process.worktree = worktree  # what comes later are submodules that it looks into
            case {"event": "cmd_name", "name": str(name)}:
                process.verb = name
                for ancestor in self._ancestors(sid):
                    ancestor.within.add(name)
            case {"event": "cmd_mode", "name": str(mode)}:
                process.mode = mode
            case {"event": "child_start", "argv": [str(first), *_]}:
                process.within.add(first)
            case {"event": "atexit", "code": int(code)}:
                return self._ended(sid, process, event, code)
        return None

    def _ended(self, sid: str, process: _Process, event: dict[str, Any], code: int) -> Command | None:
        if process.verb.startswith("_") or not process.argv:
            return None
        ancestors = self._ancestors(sid)
        elapsed = event.get("t_abs")
        ended = _time(event) or process.started + (elapsed if isinstance(elapsed, int | float) else 0.0)
        arguments, git_dir = _after_options(process.argv)
        return Command(
            process.verb, arguments, process.worktree, git_dir, process.mode, process.started, ended, code,
            frozenset(process.within), all(one.transparent for one in ancestors),
            ancestors[-1].verb if ancestors else None,
        )  # fmt: skip

    def _ancestors(self, sid: str) -> list[_Process]:
        found = []
        at = sid.find("/")
        while at >= 0:
            if ancestor := self._known.get(sid[:at]):
                found.append(ancestor)
            at = sid.find("/", at + 1)
        return found


def _after_options(argv: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The words behind the verb, and an absolute --git-dir. A dashed program (`git-receive-pack`) has no verb."""
    git_dir, at = None, 1
    while at < len(argv) and argv[at].startswith("-"):
        name, equals, value = argv[at].partition("=")
        if name in _WITH_VALUE and not equals:
            value = argv[at + 1] if at + 1 < len(argv) else ""
            at += name != "--exec-path"
        if name == "--git-dir" and value.startswith("/"):
            git_dir = value
        at += 1
    return argv[at + 1 :], git_dir


def _time(event: dict[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(event["time"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _sid_time(sid: str) -> float:
    """A session id begins with the time of its process: 20261122T111425.842985Z-H0a7c9cdf-P00007579."""
    try:
        return datetime.fromisoformat(sid.rpartition("/")[2].partition("-")[0]).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
