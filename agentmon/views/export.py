"""Export: tables into files, row by row, so that memory does not grow with the run logs."""

import contextlib
import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

import orjson

from agentmon import ndjson, replay, runs
from agentmon.errors import AgentmonError
from agentmon.events import Event
from agentmon.telemetry import RunTelemetry, apply
from agentmon.views.tables import COLUMNS, EVENT_TABLES, Row, run_row

FORMATS = ("csv", "jsonl")
_AS_IT_IS = frozenset({str, int, float, type(None)})  # how the csv module writes them is how they are meant


class Writer(Protocol):
    """Takes rows of one table."""

    def write(self, row: Row) -> None:
        """Write one row."""


class CsvWriter:
    """RFC 4180 with a line of column names; unknown is empty, lists and objects are JSON."""

    def __init__(self, file: TextIO, columns: tuple[str, ...]) -> None:
        self._writer = csv.writer(file)
        self._writer.writerow(columns)

    def write(self, row: Row) -> None:
        """Write one row."""
        self._writer.writerow([value if type(value) in _AS_IT_IS else _cell(value) for value in row])


class JsonWriter:
    """One object a line; unknown is null."""

    def __init__(self, file: BinaryIO, columns: tuple[str, ...]) -> None:
        self._file = file
        self._columns = columns

    def write(self, row: Row) -> None:
        """Write one row."""
        line = dict(zip(self._columns, row, strict=True))
        self._file.write(ndjson.dumps(line, orjson.OPT_APPEND_NEWLINE))


def export(
    logs: Iterable[str], names: Iterable[str], folder: Path, kind: str, say: Callable[[str], None],
    progress: Callable[[int], None] | None = None, *, strict: bool = True,
) -> dict[str, int]:  # fmt: skip
    """Write the tables `names` of run logs (`-`: stdin) into `folder`; rows per table. say, progress: as in
    agentmon.replay. strict: a log that cannot be read ends it; else that is said, and the others are written."""
    counts = dict.fromkeys(names, 0)
    with contextlib.ExitStack() as files:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writers = {name: files.enter_context(_opened(folder / f"{name}.{kind}", kind, name)) for name in counts}
        except OSError as error:
            raise AgentmonError(f"{error.filename or folder}: {error.strerror}") from None
        for path in logs:
            try:
                _log(path, writers, counts, say, progress)
            except AgentmonError as error:
                if strict:
                    raise
                say(error.message)
            except OSError as error:
                raise AgentmonError(f"{folder}: {error.strerror}") from None
    return counts


def _log(
    path: str, writers: Mapping[str, Writer], counts: dict[str, int], say: Callable[[str], None],
    progress: Callable[[int], None] | None,
) -> None:  # fmt: skip
    """All rows of one log. Log entries are decoded only where their table is wanted."""

    wanted = {table.payload: (name, table) for name, table in EVENT_TABLES.items() if name in writers}

    def watch(event: Event) -> None:
        found = wanted.get(type(event.payload))
        if found is not None:
            name, table = found
            writers[name].write(table.row(event))
            counts[name] += 1

    states: dict[str, RunTelemetry] = {}
    if "logs" in writers or ("runs" in writers and path == "-"):
        for event in replay.read(path, say, progress):
            watch(event)
            if "runs" in writers:
                apply(states.setdefault(event.run_id, RunTelemetry()), event)
    else:
        state = replay.fold_file(path, say, watch, progress=progress)
        states[state.run_id or ""] = state
        if state.others and "runs" in writers:  # each run by itself: slower, and seldom needed
            states = {}
            for event in replay.read(path, lambda _: None):
                apply(states.setdefault(event.run_id, RunTelemetry()), event)
    if "runs" in writers:
        alive = path != "-" and runs.is_written(Path(path))
        for row in filter(None, (run_row(state, alive) for state in states.values())):
            writers["runs"].write(row)
            counts["runs"] += 1


@contextlib.contextmanager
def _opened(path: Path, kind: str, table: str) -> Iterator[Writer]:
    """A table's file, as private as a run log is; it has its name once it is whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if kind == "csv":
            with open(fd, "w", newline="", encoding="utf-8", errors="replace") as text:
                yield CsvWriter(text, COLUMNS[table])
        else:
            with open(fd, "wb") as file:
                yield JsonWriter(file, COLUMNS[table])
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | Mapping):
        return orjson.dumps(value).decode()
    return value
