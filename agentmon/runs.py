"""Run logs: where they live, and how to find one."""

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING

from agentmon.errors import AgentmonError

if TYPE_CHECKING:
    from pathlib import Path

KEPT_S = 30 * 24 * 3600
SPARED_BYTES = 1 << 30  # of logs that are older, and that the history does not have yet
SUFFIX = ".ndjson"
MADE = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}" + re.escape(SUFFIX))  # the name of a log whose run id we made
_MADE_LENGTH = len("20260101T000000000Z-00000000" + SUFFIX)
_FIRST_BYTES = 1 << 20
_COARSE_S = 2.0  # times of files may be that coarse


def new_run_id() -> str:
    """Sortable by time, unique: UTC milliseconds and 32 random bits."""
    now = time.time_ns() // 1_000_000
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 1000)) + f"{now % 1000:03d}Z-" + os.urandom(4).hex()


def state_dir() -> str:
    """$XDG_STATE_HOME/agentmon, by default ~/.local/state/agentmon (XDG base directories 0.8).

    Raises AgentmonError where there is no home.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):
        return os.path.join(base, "agentmon")
    home = os.environ.get("HOME", "")
    if not home or not os.path.isdir(home):
        raise AgentmonError(f"no home directory (HOME={home!r}); set HOME or XDG_STATE_HOME")
    return os.path.join(home, ".local", "state", "agentmon")


def runs_dir() -> str:
    """The folder of the run logs."""
    return os.path.join(state_dir(), "runs")


def log_path(run_id: str) -> str:
    """Where the log of a run lies. Raises AgentmonError where there is no home."""
    return os.path.join(runs_dir(), run_id + SUFFIX)


def history_path() -> str:
    """Where the history lies (agentmon.index). Raises AgentmonError where there is no home."""
    return os.path.join(state_dir(), "history.sqlite3")


class NoSuchRun(AgentmonError):
    """There is no run log of this name."""


class RunIdTaken(AgentmonError):
    """There is a run of this name already."""


def create(run_id: str) -> tuple[str, int]:
    """A new run log, private (0600) and locked for as long as its descriptor is open. Raises RunIdTaken, or
    AgentmonError where none can be written."""
    import fcntl

    path = log_path(run_id)
    folder = os.path.dirname(path)
    try:
        make_private(folder)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    except FileExistsError:
        raise RunIdTaken(f"{path}: this run id exists already; choose another --run-id") from None
    except OSError as error:
        raise AgentmonError(f"no run log: {folder}: {error.strerror}") from None
    with contextlib.suppress(OSError):  # a file system without locks: the log is as good, only `lost` is not told
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return path, fd


def make_private(folder: str) -> None:
    """Folders that are missing, for us alone (the XDG base directories ask for 0700)."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)


def is_written(path: "Path | str") -> bool:
    """Whether a collector still has this run log (holds its lock)."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # whatever it is, a named pipe perhaps
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def all_logs() -> list["Path"]:
    """All run logs, oldest first."""
    from pathlib import Path

    try:
        with os.scandir(runs_dir()) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.name.endswith(SUFFIX) and entry.is_file())
    except (OSError, AgentmonError):
        return []


def find(run: str | None) -> "Path":
    """The log of a run: a path, a run id, a unique prefix of one, or nothing for the newest. Raises AgentmonError."""
    from pathlib import Path

    logs = all_logs()
    if not run:
        if not logs:
            raise NoSuchRun("there is no run yet; start one with `agentmon run -- COMMAND`")
        return _newest(logs)
    if "/" in run or os.path.exists(run):
        path = Path(run)
        if not path.exists():
            raise AgentmonError(f"{run}: no such file")
        return path
    found = [p for p in logs if p.stem.startswith(run)]
    exact = [p for p in found if p.stem == run]
    if len(found) != 1 and not exact:
        if found:
            raise AgentmonError(f"{run}: {len(found)} runs begin so; give more of it")
        raise NoSuchRun(
            f"{run}: no such run log; `agentmon history` lists the runs, also those whose logs are gone; or give a path"
        )
    return (exact or found)[0]


def _newest(logs: list["Path"]) -> "Path":
    """The log of the run that began last. A run id that we made tells when; under a name that a person gave, the first
    event does."""
    named = [log for log in logs if not MADE.fullmatch(log.name)]
    made = logs if not named else [log for log in logs if MADE.fullmatch(log.name)]
    if not named:
        return made[-1]
    newest, began = (made[-1], _began(made[-1])) if made else (named[0], float("-inf"))
    for changed, log in sorted(((_changed(log), log) for log in named), reverse=True):
        if changed < began:
            break  # no run began after the last change of its log
        if (at := _began(log)) > began:
            newest, began = log, at
    return newest


def _changed(log: "Path") -> float:
    try:
        return log.stat().st_mtime
    except OSError:
        return 0.0


def _began(log: "Path") -> float:
    """When a run began: what its first event says, else when its log was changed (Unix seconds)."""
    import json

    try:
        with open(log, "rb") as file:
            at = json.loads(file.readline(_FIRST_BYTES))["timestamp"]
    except (OSError, ValueError, KeyError, TypeError):
        at = None
    return at if isinstance(at, float | int) else _changed(log)


def prune(older_than_s: float = KEPT_S, spared_bytes: float = SPARED_BYTES) -> None:
    """Remove run logs that nobody writes and that are older (seconds since the last change). One that the history does
    not have is spared, as long as all of these take no more than `spared_bytes`: then the oldest go."""
    limit = time.time() - older_than_s
    named_since = time.strftime("%Y%m%dT%H%M%S", time.gmtime(limit))
    seen_at = indexed_at()
    spared = []
    try:
        entries = [*os.scandir(runs_dir())]
    except (OSError, AgentmonError):
        return
    for entry in entries:
        # a run id that we made tells when the run began, without a look at the file
        if not entry.name.endswith(SUFFIX) or (len(entry.name) == _MADE_LENGTH and entry.name > named_since):
            continue
        with contextlib.suppress(OSError):
            seen = entry.stat()
            if seen.st_mtime >= limit or is_written(entry.path):
                continue
            if max(seen.st_mtime, seen.st_ctime) < seen_at:  # what was copied here has its old time, but a new ctime
                os.unlink(entry.path)
            else:
                spared.append((seen.st_mtime, seen.st_size, entry.path))
    for _, size, path in sorted(spared, reverse=True):
        spared_bytes -= size
        if spared_bytes < 0:
            with contextlib.suppress(OSError):
                os.unlink(path)


def mark_indexed(at: float) -> None:
    """The history has all that the run logs had at this moment. `run` looks at the mark and never at the history."""
    at -= _COARSE_S
    if indexed_at() < at:
        with contextlib.suppress(OSError):
            text = b"%d" % os.stat(history_path()).st_ino
            fd = os.open(_mark_path(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(fd, "wb", buffering=0) as file:
                file.write(text)
                os.utime(fd, (at, at))


def unmark_indexed() -> None:
    """The history does not have all that is there."""
    with contextlib.suppress(OSError):
        os.unlink(_mark_path())


def indexed_at() -> float:
    """When the history had all that there was (Unix seconds); the beginning of time where that is not known: there is
    another history now, or the clock was set back."""
    try:
        with open(_mark_path(), "rb") as file:
            at = os.fstat(file.fileno()).st_mtime
            same = file.read(32) == b"%d" % os.stat(history_path()).st_ino
    except (OSError, AgentmonError):
        return 0.0
    return at if same and at <= time.time() else 0.0


def _mark_path() -> str:
    return os.path.join(state_dir(), "history.mark")
