"""Cursor: how far each run log was shipped to one destination, on disk, and locked by who ships there."""

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from agentmon import runs
from agentmon.errors import AgentmonError
from agentmon.fleet.outlet import Mark, Place

_VERSION = 1
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(slots=True)
class Shipped:
    """How far one run log was shipped: bytes and lines; of each run in it the last event. size: the log's, as seen."""

    offset: int = 0
    lines: int = 0
    size: int = 0
    places: dict[str, Place] = field(default_factory=dict)


def ship_dir() -> str:
    """The folder of the cursors."""
    return os.path.join(runs.state_dir(), "ship")


class Cursor:
    """The cursor of one destination; nobody else has it until it is closed.

    doubt: events after these places may have been sent; what arrived of them is found after `mark`.
    """

    def __init__(self, destination: str) -> None:
        """destination: the address, without secrets. Raises AgentmonError: in use, unreadable, not to be written."""
        self.destination = destination
        self.logs: dict[str, Shipped] = {}
        self.mark: Mark = {}
        self.doubt = False
        short = _NOT_IN_NAMES.sub("-", destination)[:80]
        digest = hashlib.sha256(destination.encode()).hexdigest()[:8]
        self.path = os.path.join(ship_dir(), f"{short}-{digest}.json")
        try:
            runs.make_private(ship_dir())
            self._lock = os.open(self.path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AgentmonError(f"{ship_dir()}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            raise AgentmonError(f"another `agentmon ship` (process {pid}) ships to {destination}") from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)
        self._load()

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever shipped there."""
        return not os.path.exists(self.path)

    def forget(self) -> None:
        """Begin anew: all run logs are to be shipped."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.logs, self.mark, self.doubt = {}, {}, False

    def save(self, doubt: bool, mark: Mark | None = None) -> None:
        """Write it: it is on the disk, whole, when this returns. Raises OSError; then the one before is still there."""
        kept = self.mark if mark is None else mark
        content = orjson.dumps({
            "v": _VERSION, "to": self.destination, "doubt": doubt, "mark": kept,
            "logs": {name: _as_json(name, shipped) for name, shipped in self.logs.items()},
        })  # fmt: skip
        new = self.path + ".new"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(new, self.path)
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.mark, self.doubt = kept, doubt

    def close(self) -> None:
        """Let others ship there."""
        os.close(self._lock)

    def _load(self) -> None:
        try:
            with open(self.path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise AgentmonError(f"{self.path}: {error.strerror}") from None
        try:
            raw = orjson.loads(content)
            if raw["v"] != _VERSION:
                raise ValueError
            self.doubt, self.mark = bool(raw["doubt"]), dict(raw["mark"])
            self.logs = {name: _from_json(name, value) for name, value in raw["logs"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            os.close(self._lock)
            raise AgentmonError(
                f"{self.path}: cannot be read as a cursor; move it away (everything is then shipped again)"
            ) from None


def _as_json(name: str, shipped: Shipped) -> list[Any]:
    places = {"" if run == name else run: at for run, at in shipped.places.items()}
    return [shipped.offset, shipped.lines, shipped.size, places]


def _from_json(name: str, value: Any) -> Shipped:
    offset, lines, size, places = value
    told: Mapping[str, Any] = places
    return Shipped(
        int(offset), int(lines), int(size), {run or name: (int(at[0]), int(at[1])) for run, at in told.items()}
    )
