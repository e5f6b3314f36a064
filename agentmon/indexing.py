"""Indexing: what is new in the run logs is read and entered, by whoever wants to know.

Several readers do it at once: each reads without a lock, and enters what it read in a short transaction, if nobody
else was faster. Of a run that goes on, the index keeps the lines its figures are made of (model calls, git, beginning
and end), so that only what its log grew by has to be read.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agentmon import runs
from agentmon.index import RUN_COLUMNS, USAGE_COLUMNS, Index, Say

if TYPE_CHECKING:
    import sqlite3

    from agentmon.digest import Entry

_BATCH = 25  # runs entered by one transaction
_TRIES = 5
_NAMED = 10  # faults that are named one by one
_MOST = 1 << 53  # of a figure: a thousand such ones can be added up
_OF_FILE = dict.fromkeys(("inode", "size", "mtime_ns", "offset", "lines", "last_seq"), (1 << 63) - 1)
_END = runs.SUFFIX
_LENGTH = len("20260101T000000000Z-00000000")

Stamp = tuple[int, int, int]  # inode, size, mtime in ns
Progress = Callable[[int, int], None]

_UPSERT = (
    f"INSERT INTO runs ({', '.join(RUN_COLUMNS)}) VALUES ({', '.join(':' + n for n in RUN_COLUMNS)}) "
    f"ON CONFLICT (name) DO UPDATE SET {', '.join(f'{n}=excluded.{n}' for n in RUN_COLUMNS if n != 'name')} "
    "RETURNING id"
)
_USAGE = f"INSERT INTO usage VALUES (?, ?, ?{', ?' * len(USAGE_COLUMNS)})"
_MINUTE = (
    "INSERT INTO minutes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, minute) DO UPDATE SET "
    "samples=samples + excluded.samples, cpu_samples=cpu_samples + excluded.cpu_samples, "
    "cpu_sum=coalesce(cpu_sum + excluded.cpu_sum, cpu_sum, excluded.cpu_sum), "
    + ", ".join(
        f"{n}=coalesce(max({n}, excluded.{n}), {n}, excluded.{n})"
        for n in ("cpu_max", "memory_max", "processes_max", "threads_max", "cpu_time_s", "read_bytes", "write_bytes")
    )
)


def bring_up_to_date(index: Index, say: Say, progress: Progress | None = None) -> None:
    """Enter what the run logs have that the index has not. progress: is told how many of how many logs are read."""
    began = time.time()
    ask = index.db.cursor()
    ask.row_factory = None  # ten thousand rows are a hundredth of a second
    if index.stored and _same_names():
        ended, others = _known(ask)
    else:
        ended, others = _found()
        ended -= set(ask.execute("SELECT name || ?, inode FROM runs WHERE state IN ('stopped', 'error')", (_END,)))
    changed = [name[: -len(_END)] for name, _ in ended]
    for name, stamp in others.items():
        row = ask.execute("SELECT inode, size, mtime_ns, state FROM runs WHERE name = ?", (name,)).fetchone()
        if row is None or row[:3] != stamp or row[3] == "running":
            changed.append(name)
    changed.sort()
    running = [row[0] for row in ask.execute("SELECT name FROM runs WHERE state = 'running'")]
    gone = [(name,) for name in running if not os.path.lexists(runs.log_path(name))]
    if gone:
        with index.writing():
            index.db.executemany("UPDATE runs SET state='lost', kept=NULL WHERE name=? AND state='running'", gone)
    if changed:
        start = os.getpid() % len(changed)  # several readers begin in different places, and share the work
        _read_all(index, changed[start:] + changed[:start], say, progress)
    if index.stored:
        runs.mark_indexed(began)


def _same_names() -> bool:
    """Whether no log came or went since the index had all of them."""
    try:
        return os.stat(runs.runs_dir()).st_mtime < runs.indexed_at()
    except OSError:
        return False


def _known(ask: "sqlite3.Cursor") -> tuple[set[tuple[str, int]], dict[str, Stamp]]:
    """As `_found`, of the runs in the index that may have changed: those that had not ended well, and all whose names
    a person gave."""
    names = ask.execute(
        "SELECT name FROM runs WHERE state NOT IN ('stopped', 'error') OR length(name) <> ?", (_LENGTH,)
    )
    ended, others = set(), {}
    for (name,) in names.fetchall():
        with suppress(OSError):
            stamp = _stamp(os.stat(runs.log_path(name)))
            if runs.MADE.fullmatch(name + _END):
                ended.add((name + _END, stamp[0]))
            else:
                others[name] = stamp
    return ended, others


def _found() -> tuple[set[tuple[str, int]], dict[str, Stamp]]:
    """All run logs: file names and inodes of those whose run id we made, stamps by name of the others.

    A log whose run has ended grows no more, and a run id that we made is never used again: that it is still the same
    file is enough, and costs no stat(2). A name that a person gave may come again, and even its inode.
    """
    ended, others = set(), {}
    with suppress(OSError), os.scandir(runs.runs_dir()) as entries:
        for entry in entries:
            if runs.MADE.fullmatch(entry.name):
                ended.add((entry.name, entry.inode()))
            elif entry.name.endswith(runs.SUFFIX) and entry.is_file():
                with suppress(OSError):
                    others[entry.name[: -len(runs.SUFFIX)]] = _stamp(entry.stat())
    return ended, others


def _stamp(seen: os.stat_result) -> Stamp:
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def logs() -> dict[str, Stamp]:
    """Inode, size and time of change (ns) of all run logs, by name (of the file, without its ending)."""
    found: dict[str, Stamp] = {}
    with suppress(OSError), os.scandir(runs.runs_dir()) as entries:
        for entry in entries:
            if entry.name.endswith(runs.SUFFIX) and entry.is_file():
                with suppress(OSError):
                    found[entry.name[: -len(runs.SUFFIX)]] = _stamp(entry.stat())
    return found


def forget(index: Index, from_scratch: bool) -> int:
    """Have every log read anew; from_scratch: drop the runs whose logs are gone. How many those are."""
    runs.unmark_indexed()
    found = logs()
    gone = [(row[0],) for row in index.db.execute("SELECT name FROM runs") if row[0] not in found]
    with index.writing():
        if from_scratch:
            index.db.executemany("DELETE FROM runs WHERE name=?", gone)
        index.db.executemany("UPDATE runs SET inode=NULL, kept=NULL, offset=0 WHERE name=?", [(n,) for n in found])
    return len(gone)


def _read_all(index: Index, names: list[str], say: Say, progress: Progress | None) -> None:
    from agentmon.digest import read

    entries: list[Entry] = []
    unsaid = 0

    def named(text: str) -> None:
        nonlocal unsaid
        unsaid += 1
        if unsaid <= _NAMED:
            say(text)

    for done, name in enumerate(names, 1):
        entry = read(index, name, named)
        if entry is not None:
            entries.append(entry)
        if len(entries) >= _BATCH:
            _enter_all(index, entries, say)
            entries = []
        if progress is not None:
            progress(done, len(names))
    _enter_all(index, entries, say)
    if unsaid > _NAMED:
        say(f"{unsaid - _NAMED:,} more faults in run logs; `agentmon report RUN` names those of one")


def _enter_all(index: Index, entries: list["Entry"], say: Say) -> None:
    from agentmon.digest import read

    for _ in range(_TRIES):  # who finds that another reader was faster looks whether there is more than that one saw
        if not entries:
            return
        with index.writing():
            late = [entry.row["name"] for entry in entries if not _enter(index.db, entry)]
        entries = [entry for name in late if (entry := read(index, name, say)) is not None]


def _enter(db: "sqlite3.Connection", entry: "Entry") -> bool:
    """Enter one run; False where another reader was faster."""
    from agentmon.digest import basis_of

    name = entry.row["name"]
    if basis_of(db.execute("SELECT * FROM runs WHERE name=?", (name,)).fetchone()) != entry.basis:
        return False
    row = {column: _bounded(value, _OF_FILE.get(column, _MOST)) for column, value in entry.row.items()}
    run = db.execute(_UPSERT, row).fetchone()[0]
    if entry.whole:
        db.execute("DELETE FROM minutes WHERE run=?", (run,))
    db.execute("DELETE FROM usage WHERE run=?", (run,))
    db.executemany(_USAGE, [(run, *map(_bounded, share)) for share in entry.usage])
    db.executemany(_MINUTE, [(run, at, *map(_bounded, minute.values())) for at, minute in entry.minutes.items()])
    return True


def _bounded(value: Any, most: int = _MOST) -> Any:
    """What SQLite can hold and add up: a count that no run can reach must not keep all others out of the index."""
    return max(-most, min(most, value)) if type(value) is int else value
