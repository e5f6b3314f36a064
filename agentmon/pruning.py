"""Pruning: run logs that go because they are old, or because all together take too much. Their runs stay indexed."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from agentmon import runs
from agentmon.index import Index, Say
from agentmon.indexing import logs

_YOUNG_S = 60.0  # whatever its lock says, a log is left alone for its first minute


@dataclass(frozen=True, slots=True)
class Old:
    """A run log that is to go."""

    name: str
    size: int
    changed: float


def plan(older_than_s: float | None, max_bytes: float | None) -> list[Old]:
    """What is to go, oldest first: what was last changed so long ago, and more until the rest fits. Logs that are
    being written stay, and count."""
    now = time.time()
    found = sorted((Old(name, stamp[1], stamp[2] / 1e9) for name, stamp in logs().items()), key=lambda o: o.changed)
    total = sum(old.size for old in found)
    going = []
    for old in found:
        too_old = older_than_s is not None and now - old.changed > older_than_s
        too_much = max_bytes is not None and total > max_bytes
        if (too_old or too_much) and not _is_in_use(old, now):
            going.append(old)
            total -= old.size
    return going


def remove(index: Index, going: list[Old], say: Say) -> list[Old]:
    """Remove them, each only as far as it is indexed; those that went."""
    gone = []
    for old in going:
        path = Path(runs.log_path(old.name))
        row = index.db.execute("SELECT inode, size FROM runs WHERE name=?", (old.name,)).fetchone()
        try:
            seen = path.stat()
            if row is None or tuple(row) != (seen.st_ino, seen.st_size) or _is_in_use(old, time.time()):
                say(f"{path}: left alone: it has changed, or is not indexed")
                continue
            os.unlink(path)
        except OSError as error:
            say(f"{path}: {error.strerror}")
            continue
        gone.append(old)
    return gone


def _is_in_use(old: Old, now: float) -> bool:
    return 0 <= now - old.changed < _YOUNG_S or runs.is_written(Path(runs.log_path(old.name)))
