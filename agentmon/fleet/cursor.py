"""Cursor: how far each run log was shipped to one destination, on disk, and locked by who ships there."""

import fcntl
import glob
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
        self._anew = False
        short = _NOT_IN_NAMES.sub("-", destination)[:80]
        digest = hashlib.sha256(destination.encode()).hexdigest()[:8]
        self.path = os.path.join(ship_dir(), f"{short}-{digest}.json")
        try:
            runs.make_private(ship_dir())
            self._locks = [_lock(self.path, destination)]
        except OSError as error:
            raise AgentmonError(f"{ship_dir()}: {error.strerror}") from None
        try:
            self._load()
        except AgentmonError:
            self.close()
            raise

    def join(self, mark: Mark) -> None:
        """Go on where cursors of the same streams stand, which were reached by other addresses; unless we begin anew.

        mark: what is there now. Raises AgentmonError where another ships there.
        """
        doubts = [self.mark] if self.doubt else []
        for path in sorted(glob.glob(os.path.join(glob.escape(ship_dir()), "*.json"))):
            if path == self.path:
                continue
            try:
                with open(path, "rb") as file:
                    doubt, told, logs, destination = _parse(file.read())
            except (OSError, ValueError):
                continue
            if not any(_is_same(told.get(stream), seen) for stream, seen in mark.items()):
                continue
            self._locks.append(_lock(path, destination))
            if self._anew:
                continue
            for name, shipped in logs.items():
                if name not in self.logs or self.logs[name].offset < shipped.offset:
                    self.logs[name] = shipped
            if doubt:
                doubts.append(told)
        if doubts:
            self.doubt = True
            self.mark = {
                stream: {**seen, "at": min(told[stream]["at"] for told in doubts)}
                for stream, seen in mark.items()
                if all(_is_same(told.get(stream), seen) for told in doubts)
            }

    def forget(self) -> None:
        """Begin anew: of each run log, all is to be shipped that is not at the far end."""
        self.logs, self.mark = {}, {}
        self.doubt = self._anew = True

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
        for lock in self._locks:
            os.close(lock)
        self._locks = []

    def _load(self) -> None:
        try:
            with open(self.path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise AgentmonError(f"{self.path}: {error.strerror}") from None
        try:
            self.doubt, self.mark, self.logs, _ = _parse(content)
        except ValueError:
            raise AgentmonError(
                f"{self.path}: cannot be read as a cursor; move it away (everything is then shipped again)"
            ) from None


def behind(sizes: Mapping[str, int]) -> dict[str, tuple[str, str]]:
    """Of run logs of these sizes, by name, those that are not shipped in whole: where to, and its cursor's path."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(ship_dir()), "*.json"))):
        try:
            with open(path, "rb") as file:
                *_, logs, destination = _parse(file.read())
        except (OSError, ValueError):
            continue
        for name, size in sizes.items():
            if name not in logs or logs[name].offset < size:
                found.setdefault(name, (destination, path))
    return found


def _lock(path: str, destination: str) -> int:
    """The lock of a cursor, and our process id in it. Raises AgentmonError where another has it, OSError."""
    fd = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise AgentmonError(f"another `agentmon ship` (process {pid}) ships to {destination}") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd


def _parse(content: bytes) -> tuple[bool, Mark, dict[str, Shipped], str]:
    """doubt, mark, logs and destination of a cursor's file. Raises ValueError."""
    try:
        raw = orjson.loads(content)
        if raw["v"] != _VERSION:
            raise ValueError
        logs = {name: _from_json(name, value) for name, value in raw["logs"].items()}
        return bool(raw["doubt"]), dict(raw["mark"]), logs, str(raw["to"])
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from None


def _is_same(told: Any, seen: Any) -> bool:
    """Whether two marks are of one stream, and not of one that was made anew under its name."""
    return isinstance(told, dict) and isinstance(seen, dict) and told.get("created", 0) == seen.get("created", 1)


def _as_json(name: str, shipped: Shipped) -> list[Any]:
    places = {"" if run == name else run: at for run, at in shipped.places.items()}
    return [shipped.offset, shipped.lines, shipped.size, places]


def _from_json(name: str, value: Any) -> Shipped:
    offset, lines, size, places = value
    told: Mapping[str, Any] = places
    return Shipped(
        int(offset), int(lines), int(size), {run or name: (int(at[0]), int(at[1])) for run, at in told.items()}
    )
