"""The index: what the runs of this machine added up to, in SQLite beside the run logs.

It is made from the run logs and nothing else, brought up to date by whoever reads it (agentmon.indexing), and asked by
agentmon.index_query. `run` never touches it. What it holds of a run stays when the run's log is gone.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from agentmon import runs
from agentmon.errors import AgentmonError

Say = Callable[[str], None]

SCHEMA = 1
_APPLICATION = 0x61676D6E
_BUSY_S = 10.0
_REBUILD = "`agentmon history rebuild` makes it anew from the run logs"

# State is running, stopped, error or lost. What follows `said` is where reading stopped: offset and lines of the log
# (inode, size and mtime_ns as they were then), and for a run that goes on the lines that its figures are made of.
RUN_COLUMNS = {
    "name": "TEXT NOT NULL UNIQUE", "state": "TEXT NOT NULL", "agent_id": "TEXT", "team_id": "TEXT", "host": "TEXT",
    "argv": "TEXT", "cwd": "TEXT", "labels": "TEXT", "parent_run_id": "TEXT", "started": "REAL", "ended": "REAL",
    "duration_s": "REAL", "exit_code": "INTEGER", "signal": "TEXT", "reason": "TEXT",
    "input_tokens": "INTEGER", "output_tokens": "INTEGER", "total_tokens": "INTEGER", "cache_read_tokens": "INTEGER",
    "cache_write_tokens": "INTEGER", "reasoning_tokens": "INTEGER", "cost_usd": "REAL", "estimated": "INTEGER",
    "calls": "INTEGER", "calls_unknown": "INTEGER", "git": "TEXT", "commits": "INTEGER", "cpu_time_s": "REAL",
    "peak_memory_mb": "REAL", "warnings": "INTEGER", "errors": "INTEGER", "infos": "INTEGER", "alerts": "INTEGER",
    "lost_events": "INTEGER", "lost_bytes": "INTEGER", "said": "INTEGER",
    "inode": "INTEGER", "size": "INTEGER", "mtime_ns": "INTEGER", "offset": "INTEGER", "lines": "INTEGER",
    "last_seq": "INTEGER", "kept": "BLOB",
}  # fmt: skip
USAGE_COLUMNS = (
    "calls", "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "cost_usd",
)  # fmt: skip

_TABLES = (
    "CREATE TABLE runs (id INTEGER PRIMARY KEY, " + ", ".join(f"{n} {kind}" for n, kind in RUN_COLUMNS.items()) + ")",
    "CREATE INDEX runs_started ON runs (started)",
    "CREATE INDEX runs_state ON runs (state, name, inode)",
    "CREATE TABLE usage (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, agent TEXT NOT NULL, "
    "model TEXT NOT NULL, " + ", ".join(f"{n} NUMERIC" for n in USAGE_COLUMNS) + ", "
    "PRIMARY KEY (run, agent, model)) WITHOUT ROWID",
    "CREATE TABLE minutes (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, minute INTEGER NOT NULL, "
    "samples INTEGER NOT NULL, cpu_sum REAL, cpu_samples INTEGER NOT NULL, cpu_max REAL, memory_max REAL, "
    "processes_max INTEGER, threads_max INTEGER, cpu_time_s REAL, read_bytes INTEGER, write_bytes INTEGER, "
    "PRIMARY KEY (run, minute)) WITHOUT ROWID",
)  # fmt: skip
_OUR_TABLES = ("minutes", "usage", "runs")


class Damaged(AgentmonError):
    """The database cannot be read. It is left as it is."""

    def __init__(self, path: str, why: object) -> None:
        super().__init__(f"{path}: the history is damaged ({why}); nothing was changed; {_REBUILD}")


class Index:
    """An open index. stored: it is the file; else a copy in memory, and what is learnt now goes with it."""

    has_label = "EXISTS (SELECT 1 FROM json_each(r.labels) WHERE key = ? AND value = ?)"

    def __init__(self, db: sqlite3.Connection, path: str, stored: bool) -> None:
        self.db, self.path, self.stored = db, path, stored

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One short transaction: all of it, or nothing."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def ask(self, query: str, values: Sequence[Any]) -> Iterable[Mapping[str, Any]]:
        """The rows of an answer."""
        return self.db.execute(query, values)

    def day(self) -> str:
        """SQL: the local day on which a run began."""
        return "date(r.started, 'unixepoch', 'localtime')"

    def close(self) -> None:
        """Let it go."""
        self.db.close()


def index_path() -> str:
    """Where the index lies. Raises AgentmonError where there is no home."""
    return runs.history_path()


def open_index(say: Say) -> Index:
    """The index, made where there is none; in memory where it cannot be written. Raises Damaged, AgentmonError."""
    path = index_path()
    with faults(path):
        return _open(path, say)


def _open(path: str, say: Say) -> Index:
    why = _unwritable(path)
    if why is None:
        try:
            if not os.path.exists(path):
                _create(path)
            db = _connect(path)
            newer = _look(db, path)
        except OSError as error:
            why = error.strerror
        except sqlite3.OperationalError as error:
            if not _is_about_writing(error):
                raise
            why = str(error)
        else:
            if not newer:
                return Index(db, path, True)
            db.close()
            say(f"{path}: made by a newer agentmon; left alone, the run logs are read instead")
            return Index(_fresh(":memory:"), path, False)
    say(f"{path}: cannot be written ({why}); the run logs are read into memory, this once")
    return Index(_copy(path), path, False)


@contextmanager
def faults(path: str) -> Iterator[None]:
    """Whatever SQLite finds wrong is one line."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise Damaged(path, error) from None
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise AgentmonError(f"{path}: in use by another program for over {_BUSY_S:.0f} s; try again") from None
        raise AgentmonError(f"{path}: {error}") from None


def set_aside(path: str) -> str | None:
    """Rename a damaged database, so that a new one can be made; its new name."""
    kept = f"{path}.damaged"
    number = 1
    while os.path.exists(kept):
        number += 1
        kept = f"{path}.damaged-{number}"
    try:
        os.rename(path, kept)
    except OSError as error:
        raise AgentmonError(f"{path}: {error.strerror}") from None
    for end in ("-wal", "-shm"):
        with suppress(OSError):
            os.rename(path + end, kept + end)
    return kept


def _unwritable(path: str) -> str | None:
    """Why the file cannot be written; None where it can."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        return None if not os.path.lexists(folder) else "not a folder"
    for place in (folder, path):
        if os.path.lexists(place) and not os.access(place, os.W_OK):
            return "read-only"
    return None


def _is_about_writing(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_PERM"))


def _create(path: str) -> None:
    """Made whole under another name first: whoever finds the file finds tables in it, and an empty one is damage."""
    runs.make_private(os.path.dirname(path))
    runs.unmark_indexed()
    made = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        _fresh(made).close()
        with suppress(FileExistsError):  # another one was faster
            os.link(made, path)
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                os.unlink(made + end)


def _fresh(name: str) -> sqlite3.Connection:
    db = _connect(name)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("BEGIN")
    _make_tables(db)
    db.execute("COMMIT")
    return db


def _make_tables(db: sqlite3.Connection) -> None:
    for statement in _TABLES:
        db.execute(statement)
    db.execute(f"PRAGMA application_id={_APPLICATION}")
    db.execute(f"PRAGMA user_version={SCHEMA}")


def _connect(name: str) -> sqlite3.Connection:
    db = sqlite3.connect(name, timeout=_BUSY_S, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys=ON")
    db.execute("PRAGMA synchronous=NORMAL")
    return db


def _look(db: sqlite3.Connection, path: str) -> bool:
    """Whether a newer agentmon made it; an older one's is brought into our form. Raises Damaged."""
    if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
        raise Damaged(path, "it is empty" if not os.path.getsize(path) else "not a history of agentmon")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version < SCHEMA:
        _bring_forward(db)
    return version > SCHEMA


def _bring_forward(db: sqlite3.Connection) -> None:
    """An older form: new tables with all that fits, and every log is to be read again."""
    runs.unmark_indexed()
    db.execute("PRAGMA foreign_keys=OFF")
    db.execute("BEGIN IMMEDIATE")
    if int(db.execute("PRAGMA user_version").fetchone()[0]) < SCHEMA:  # else another one has just done it
        for table in _OUR_TABLES:
            db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        for name in ("runs_started", "runs_state"):
            db.execute(f"DROP INDEX IF EXISTS {name}")
        _make_tables(db)
        for table in reversed(_OUR_TABLES):
            new = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            shared = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info(old_{table})") if row[1] in new)
            db.execute(f"INSERT INTO {table} ({shared}) SELECT {shared} FROM old_{table}")
        for table in _OUR_TABLES:
            db.execute(f"DROP TABLE old_{table}")
        db.execute("UPDATE runs SET inode = NULL")
    db.execute("COMMIT")
    db.execute("PRAGMA foreign_keys=ON")


def _copy(path: str) -> sqlite3.Connection:
    """In memory, with all that the file holds, if there is one that can be read."""
    from urllib.parse import quote

    memory = _connect(":memory:")
    if not os.path.exists(path):
        _make_tables(memory)
        return memory
    for how in ("mode=ro", "immutable=1"):  # a log of changes beside it can be read only where SQLite may lock
        try:
            with closing(sqlite3.connect(f"file:{quote(path)}?{how}", uri=True)) as stored:
                stored.backup(memory)
            if not _look(memory, path):
                return memory
        except sqlite3.OperationalError:
            continue
    return _fresh(":memory:")
