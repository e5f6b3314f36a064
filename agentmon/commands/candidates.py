"""Candidates: what a shell may put for a value, each with a description. All of it is quick, and none of it is certain:
what cannot be read gives no candidates."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from agentmon import runs
from agentmon.views.figures import many

if TYPE_CHECKING:
    from pathlib import Path

    import click
    from click.shell_completion import CompletionItem

    Items = list[CompletionItem[str]]
    Completer = Callable[[click.Context, click.Parameter, str], Items]

_MOST = 100  # runs that are offered, the newest
_HEAD, _TAIL = 4096, 4096


def files(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
    """A path."""
    return _items([(incomplete, "")], "file")


def folders(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
    """A folder."""
    return _items([(incomplete, "")], "dir")


def sinks(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
    """Where events go: the forms of it, or a path."""
    scheme, colon, path = incomplete.partition(":")
    if colon and scheme in ("unix", "unix-connect"):
        return _items([(path, "")], "file")
    forms = (
        ("unix:", "listen on a socket"), ("unix-connect:", "connect to a socket"), ("fd:", "an open descriptor"),
        ("-", "stdout"),
    )  # fmt: skip
    found = [form for form in forms if incomplete and form[0].startswith(incomplete) and form[0] != incomplete]
    return _items(found) if found else files(ctx, param, incomplete)


def run_names(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
    """Runs that have a log, the newest first; paths where none begins so."""
    if "/" in incomplete:
        return files(ctx, param, incomplete)
    given = {str(name) for name in _given(ctx, param)}
    logs = [log for log in runs.all_logs() if log.stem.startswith(incomplete) and log.stem not in given]
    newest = sorted(logs, key=lambda log: log.stem, reverse=True)[:_MOST]
    return _items((log.stem, _about(log)) for log in newest) or files(ctx, param, incomplete)


def recorded_runs(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
    """The same, and runs that only the history still knows."""
    if "/" in incomplete:
        return files(ctx, param, incomplete)
    known = {item.value: item for item in run_names(ctx, param, incomplete) if item.type == "plain"}
    rows = _asked(
        "SELECT name, agent_id, started, state FROM runs WHERE substr(name, 1, ?) = ? ORDER BY started DESC LIMIT ?",
        len(incomplete), incomplete, _MOST,
    )  # fmt: skip
    rest = _items((row[0], f"{_line(*row[1:])}, no log") for row in rows if not os.path.exists(runs.log_path(row[0])))
    return [*known.values(), *rest][:_MOST] or files(ctx, param, incomplete)


def indexed(column: str) -> "Completer":
    """Values of a column of the runs that the history knows: team_id, agent_id."""

    def complete(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
        rows = _asked(
            f"SELECT {column}, count(*) FROM runs WHERE {column} <> '' GROUP BY 1 ORDER BY max(started) DESC LIMIT ?",
            _MOST,
        )
        return _items((row[0], many(row[1], "run", "runs")) for row in rows if row[0].startswith(incomplete))

    return complete


def labels(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
    """KEY=VALUE of the runs that the history knows."""
    rows = _asked(
        "SELECT DISTINCT l.key || '=' || l.value FROM (SELECT labels FROM runs WHERE labels IS NOT NULL "
        "ORDER BY started DESC LIMIT 1000) r, json_each(r.labels) l LIMIT ?", _MOST,
    )  # fmt: skip
    return _items((row[0], "") for row in rows if row[0].startswith(incomplete))


def exits(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
    """How a run ended."""
    words = (("ok", "exit status 0"), ("failed", "another one, a signal, or lost"))
    return _items(word for word in words if word[0].startswith(incomplete))


def meters(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
    """The next source of a list."""
    head, comma, last = incomplete.rpartition(",")
    sign, word = (last[0], last[1:]) if last[:1] in ("+", "-") else ("", last)
    sources = {"output": "what the command prints", "sdk": "a hook in Python children",
               "otlp": "the agent's own telemetry", "trace2": "git's own record"}  # fmt: skip
    if not sign and not comma:
        sources |= {"auto": "what fits"}
    return _items((f"{head}{comma}{sign}{name}", what) for name, what in sources.items() if name.startswith(word))


def processes(ctx: "click.Context", param: "click.Parameter", incomplete: str) -> "Items":
    """Processes of this user, by number."""
    return _items(sorted(_processes(incomplete), key=lambda item: -int(item[0])))


def _processes(incomplete: str) -> Iterator[tuple[str, str]]:
    from pathlib import Path

    for name in os.listdir("/proc"):
        if name.isdigit() and name.startswith(incomplete) and int(name) not in (os.getpid(), os.getppid()):
            try:
                if os.stat(f"/proc/{name}").st_uid == os.getuid():
                    words = Path(f"/proc/{name}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                    if words != [b""]:
                        yield name, b" ".join(words)[:60].decode("utf-8", "replace")
            except OSError:
                continue


def _items(pairs: Iterable[tuple[str, str]], kind: str = "plain") -> "Items":
    from click.shell_completion import CompletionItem

    return [CompletionItem(value, kind, help=what or None) for value, what in pairs]


def _given(ctx: "click.Context", param: "click.Parameter") -> tuple[Any, ...]:
    value = ctx.params.get(param.name or "")
    return value if isinstance(value, tuple) else ()


def _about(log: "Path") -> str:
    """`crew, 11-22 10:04, stopped`, from the first and the last line of a run log."""
    import json

    try:
        with open(log, "rb") as file:
            head = file.read(_HEAD).split(b"\n", 1)[0]
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
        first = json.loads(head)
        agent, began = first.get("agent_id"), first.get("timestamp")
    except (OSError, ValueError, AttributeError):
        return "no run log"
    state = None
    with contextlib.suppress(ValueError, KeyError, TypeError):  # it has not ended, or lost its end
        state = json.loads(last)["data"]["lifecycle"]["state"]
    if state not in ("stopped", "error"):
        state = "running" if runs.is_written(log) else "lost"
    return _line(agent, began, state)


def _line(agent: object, began: object, state: object) -> str:
    try:
        at = time.strftime("%m-%d %H:%M", time.localtime(began if isinstance(began, int | float) else None))
    except (ValueError, OverflowError, OSError):
        at = ""
    return ", ".join(str(part).split("\n")[0].strip() for part in (agent, at, state) if part)


def _asked(question: str, *values: object) -> list[Any]:
    """Of the history as it is, without bringing it up to date."""
    import sqlite3
    from contextlib import closing
    from urllib.parse import quote

    path = runs.history_path()
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=0.2)) as db:
            return db.execute(question, values).fetchall()
    except sqlite3.Error:
        return []
