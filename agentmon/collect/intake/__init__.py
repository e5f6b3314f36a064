"""Intake: exact sources. What children write for us goes into append-only files of a private folder, which the
collector tails: a collector that is gone, stopped or slow costs them nothing.

A source has two halves. `prepare` runs before the child is started, must be light, and says what is added to the
child's environment. The reader runs in the collector, where it may import what it needs.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agentmon.errors import AgentmonError

if TYPE_CHECKING:
    from agentmon.events import Finding

EXACT = ("sdk", "otlp", "trace2")
SOURCES = ("output", *EXACT)
_STALE_S = 7 * 24 * 3600
_NONE: Mapping[bytes, bytes] = MappingProxyType({})


class Reader(Protocol):
    """A source in the collector."""

    def read(self) -> Iterable[Finding]:
        """What has come since, without waiting; called at least twice a second."""

    def interests(self) -> Mapping[int, int]:
        """Descriptors to poll for, with their poll(2) events; empty for a source that is only tailed."""

    def close(self) -> Iterable[Finding]:
        """The child has ended: the rest."""


class Prepared(NamedTuple):
    """One source, ready. environment: what it adds for the child. descriptors: what the collector must keep open.
    arguments: words to insert behind the command's name (only for what was asked for by name). file: where children
    write; until there is something in it, nobody need read."""

    name: str
    open: Callable[[], Reader]
    environment: Mapping[bytes, bytes] = _NONE
    descriptors: frozenset[int] = frozenset()
    notices: tuple[str, ...] = ()
    arguments: tuple[bytes, ...] = ()
    file: str | None = None

    @property
    def told(self) -> bool:
        """Whether there is something to read, or only an open reader can know."""
        if self.file is None:
            return True
        try:
            return os.stat(self.file).st_size > 0
        except OSError:
            return False


class Meter(NamedTuple):
    """Which sources a run uses. asked: those named by the user; the others are on by default where they fit."""

    names: frozenset[str]
    asked: frozenset[str]


def meter(text: str) -> Meter:
    """`auto`; a list (`output,sdk`); or additions to auto (`+otlp`, `-sdk`). Raises AgentmonError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word != "auto" and word.lstrip("+-") not in SOURCES:
            raise AgentmonError(f"--meter {text}: {word!r} is none of {', '.join(('auto', *SOURCES))}")
    relative = [word for word in words if word[0] in "+-"]
    named = {word for word in words if word[0] not in "+-"}
    names = set(SOURCES) if not named or "auto" in named else named
    names |= {word[1:] for word in relative if word[0] == "+"}
    names -= {word[1:] for word in relative if word[0] == "-"}
    asked = (named - {"auto"}) | {word[1:] for word in relative if word[0] == "+"}
    return Meter(frozenset(names), frozenset(asked & names))


def prepare(chosen: Meter, folder: str, environment: Mapping[bytes, bytes], argv: Sequence[str]) -> list[Prepared]:
    """The chosen exact sources, as far as they can be had here. Each one's module has a function of this name:
    `prepare(folder, environment, argv, asked) -> Prepared | None`. environment is the child's so far: nothing that the
    user has set is set again."""
    sources = []
    for name in EXACT:
        if name not in chosen.names:
            continue
        module = importlib.import_module(f"agentmon.collect.intake.{name}")
        source = module.prepare(folder, environment, argv, name in chosen.asked)
        if source is not None:
            sources.append(source)
            environment = {**environment, **source.environment}
    return sources


def make_folder(run_id: str) -> str:
    """A private folder for what children write for us, in $XDG_RUNTIME_DIR or $TMPDIR or /tmp. Raises OSError."""
    for base in filter(None, (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp")):
        path = os.path.join(base, f"agentmon-{os.getuid()}-{run_id[:64]}-{os.urandom(4).hex()}")
        try:
            os.mkdir(path, 0o700)
        except OSError:
            continue
        return path
    raise OSError("no folder for temporary files")


def remove_folder(path: str) -> None:
    """Remove a run's folder, and those that killed runs of the same user left behind a week ago."""
    import shutil  # takes as long as all else that starts a run, and most runs need none

    shutil.rmtree(path, ignore_errors=True)
    base = os.path.dirname(path)
    with contextlib.suppress(OSError):
        for name in os.listdir(base):
            if name.startswith(f"agentmon-{os.getuid()}-"):
                there = os.path.join(base, name)
                info = os.lstat(there)
                if stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and time.time() - info.st_mtime > _STALE_S:
                    shutil.rmtree(there, ignore_errors=True)


class Tail:
    """Whole lines appended to a file by others."""

    CHUNK = 1 << 20

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def lines(self) -> Iterable[bytes]:
        """The lines completed since the last call; a line is at most a few MiB, and read again while it is short."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                while data := file.read(self.CHUNK):
                    self._offset += len(data)
                    *lines, self._rest = (self._rest + data).split(b"\n")
                    yield from lines
        except FileNotFoundError:
            return
