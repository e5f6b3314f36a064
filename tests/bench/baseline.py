"""The plain design, as a yardstick: asyncio's readline on a subprocess, `re.match` per pattern, `json.dumps` per event.

`python baseline.py EVENTS COMMAND...` passes the command's stdout on and appends events to the file EVENTS.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

GIT = (
    ("branch_create", re.compile(r".*Creating branch: (?P<branch>\S+)")),
    ("commit", re.compile(r".*Committed changes: (?P<files_changed>\d+) files")),
    ("checkout", re.compile(r".*Switched to branch: (?P<branch>\S+)")),
)
TOKENS = re.compile(r".*Token usage: (?P<input>[\d,]+) input, (?P<output>[\d,]+) output")
LEVELS = (("error", re.compile(r".*\b(ERROR|CRITICAL)\b")), ("warning", re.compile(r".*\b(WARNING|WARN)\b")))


class Plain:
    """Reads lines, makes events of them."""

    def __init__(self, events: TextIO) -> None:
        self._events = events
        self._seq = 0

    def emit(self, event: str, key: str, payload: dict[str, Any]) -> None:
        """Write one event."""
        self._seq += 1
        record = {
            "v": 1, "type": "agent_telemetry", "run_id": "20261122T101500-bench", "seq": self._seq, "agent_id": "bench",
            "team_id": "default", "event": event, "data": {key: payload},
            "timestamp": datetime.now(UTC).timestamp(),
        }  # fmt: skip
        self._events.write(json.dumps(record) + "\n")

    def line(self, text: str) -> None:
        """Make events of one line."""
        for name, payload in findings(text):
            self.emit("llm_call" if name == "token_usage" else name, name, payload)
        level = next((name for name, pattern in LEVELS if pattern.match(text)), "info")
        self.emit(
            "log_entry", "activity_log",
            {"timestamp": datetime.now(UTC).isoformat(), "level": level, "message": text, "source": "orchestrator",
             "stream": "stdout"},
        )  # fmt: skip


def findings(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the patterns find in one line."""
    for operation, pattern in GIT:
        if match := pattern.match(text):
            yield "git_activity", {"operation": operation, **match.groupdict()}
    if match := TOKENS.match(text):
        given, made = (int(match[name].replace(",", "")) for name in ("input", "output"))
        yield "token_usage", {"input_tokens": given, "output_tokens": made, "total_tokens": given + made}


async def run(events: TextIO, argv: list[str]) -> int:
    """Run the command; its exit status."""
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    plain, out = Plain(events), sys.stdout.buffer
    assert process.stdout is not None
    while line := await process.stdout.readline():
        out.write(line)
        out.flush()  # whoever looks at the output is to see it now
        plain.line(line.decode("utf-8", "replace").rstrip("\n"))
    return await process.wait()


if __name__ == "__main__":
    with open(sys.argv[1], "a", encoding="utf-8", buffering=1) as file:  # one line, one write: for `tail -f`
        sys.exit(asyncio.run(run(file, sys.argv[2:])))
