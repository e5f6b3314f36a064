"""Intake `sdk`: model calls of Python programs, told by the hook in `agentmon/hook`.

The hook goes in front of PYTHONPATH, so every Python of the tree loads it (not with -I or -E). It appends a line per
call to a file of the run's folder, which is tailed here and converted to the token convention.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from agentmon.collect.intake import Prepared, Tail

if TYPE_CHECKING:
    from agentmon.collect.parsers.usage_shapes import Counts
    from agentmon.events import Finding, TokenUsage

FILE_VARIABLE = b"AGENTMON_SDK_FILE"
HOOK = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "hook")
_IDS_KEPT = 100_000
_SAME_ID_KEPT = 64
_OPEN_KEPT = 10_000
_ITERATIONS = 100
_CLOCK_S = 0.1
_LONGEST = 1 << 20
_TOOLS = {  # process names of tools that the output parsers know by another or the same name
    "aider": "aider", "mini": "mini-swe-agent", "mini-swe-agent": "mini-swe-agent", "sweagent": "swe-agent",
    "openhands": "openhands", "metagpt": "metagpt",
}  # fmt: skip


def prepare(folder: str, environment: Mapping[bytes, bytes], argv: Sequence[str], asked: bool) -> Prepared | None:
    """Put the hook in front of the child's PYTHONPATH, and name the file that it writes to."""
    if _isolated(argv):
        return None
    hook = os.fsencode(HOOK)
    path = os.path.join(folder, "sdk.ndjson")
    if b":" in hook or not os.path.isdir(HOOK):
        if not asked:
            return None
        return Prepared("sdk", lambda: SdkReader(path), notices=(f"no sdk hook: {HOOK!r} cannot be put on PYTHONPATH",))
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    theirs = environment.get(b"PYTHONPATH", b"")
    rest = [entry for entry in theirs.split(b":") if entry != hook] if theirs else []
    return Prepared(
        "sdk",
        lambda: SdkReader(path),
        {b"PYTHONPATH": b":".join([hook, *rest]), FILE_VARIABLE: os.fsencode(path)},
        file=path,
    )


def _isolated(argv: Sequence[str]) -> bool:
    """Whether the command is a Python that was told to heed no PYTHONPATH or no sitecustomize: it stays untouched."""
    if not argv or not os.path.basename(argv[0]).startswith("python"):
        return False
    for word in argv[1:]:
        if not word.startswith("-") or word.startswith("--"):
            return False
        flags = word[1:].partition("c")[0].partition("m")[0]
        if {"I", "E", "S"} & set(flags):
            return True
        if len(flags) < len(word) - 1:  # -c or -m: what follows is the program's
            return False
    return False


class SdkReader:
    """Tails the file that the hooks append to."""

    def __init__(self, path: str) -> None:
        self._tail = Tail(path)
        self._ids: dict[str, list[_Told]] = {}
        self._open: dict[str, _Told] = {}  # calls that were answered before their usage was known
        self._count = 0

    def read(self) -> Iterable[Finding]:
        """The calls that have ended since."""
        from agentmon.events import Finding

        for line in self._tail.lines():
            record = parsed(line)
            if record is None:
                continue
            at = record.get("ts")
            if record.get("again") is True:
                usage = self._answered(record)
                if usage is None:
                    continue
            else:
                self._count += 1
                usage = usage_of(record, self._call_id(record))
            for one in (usage, *advice_of(record, usage)):
                yield Finding(one, time=at if isinstance(at, float) and 1e9 < at < 1e11 else None)

    def interests(self) -> Mapping[int, int]:
        """None: it is only tailed."""
        return {}

    def close(self) -> Iterable[Finding]:
        """The rest."""
        return self.read()

    def _call_id(self, record: Mapping[str, Any]) -> str:
        """The reply's own id, which other sources know too. Many servers give an id again, small ones all the time; but
        what two processes tell of two places at one time, under one id, is one call that went through a proxy."""
        pid, name = _whole(record.get("pid")), record.get("id")
        if not isinstance(name, str) or not name:
            return f"sdk-{pid}-{self._count}"
        told = self._ids.get(name)
        if told is None:
            if len(self._ids) >= _IDS_KEPT:
                self._ids.clear()
            told = self._ids[name] = []
        place, (start, end) = record.get("host"), _span(record)
        for one in told:
            at_one_time = one.begun - _CLOCK_S <= end and start <= one.ended + _CLOCK_S
            elsewhere = place is None or place not in one.places.values()
            if at_one_time and elsewhere and pid not in one.places:
                one.places[pid] = place
                return one.call_id
        call_id = f"{name}#{self._count}" if told else name
        told.append(_Told(call_id, start, end, {pid: place}))
        del told[:-_SAME_ID_KEPT]
        if record.get("usage") is None and record.get("status") == 200:
            self._open[name] = told[-1]
            if len(self._open) > _OPEN_KEPT:
                del self._open[next(iter(self._open))]
        return call_id

    def _answered(self, record: Mapping[str, Any]) -> TokenUsage | None:
        """A reply that was asked for once more: news where it is that of a call of this run that works in the
        background, and is at its end now."""
        name = record.get("id")
        if not isinstance(name, str) or name not in self._open or not isinstance(record.get("usage"), dict):
            return None
        made = self._open.pop(name)
        took = round(_span(record)[1] - made.begun, 6)  # (what is not finite is no duration)
        return usage_of({**record, "duration_s": took, "time_to_first_token_s": None}, made.call_id)


class _Told(NamedTuple):
    """A call, its time in Unix seconds, and who saw it: the server's host by process."""

    call_id: str
    begun: float
    ended: float
    places: dict[int | None, Any]


def _span(record: Mapping[str, Any]) -> tuple[float, float]:
    """When a call began and ended, in Unix seconds; any time, where that is not known."""
    end, took = record.get("ts"), _seconds(record.get("duration_s"))
    if not isinstance(end, float) or took is None:
        return float("-inf"), float("inf")
    return end - took, end


def parsed(line: bytes) -> dict[str, Any] | None:
    """One line of the file, None if it is no record of the hook: any child could write there."""
    import orjson

    if len(line) > _LONGEST:
        return None
    try:
        record = orjson.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "usage" in record and "status" in record else None


def usage_of(record: Mapping[str, Any], call_id: str | None) -> TokenUsage:
    """A record of the hook in the token convention. What a broken-off reply did not tell is unknown."""
    from agentmon.collect.parsers.usage_shapes import Counts, counts
    from agentmon.events import TokenUsage

    raw = record.get("usage")
    found = (counts(raw, named=True) if isinstance(raw, dict) else None) or Counts()
    for entry in _beside(raw, "compaction"):
        found = _added(found, counts(entry, named=True) or Counts())
    output, reasoning, total = found.output, found.reasoning, found.total
    if record.get("dialect") == "embeddings" and found.input is not None and not output:
        output, total = 0, found.input  # embeddings generate nothing
    if record.get("complete") is False:
        output = reasoning = total = None
    model, process = record.get("model"), record.get("process")
    return TokenUsage(
        model=model if isinstance(model, str) and model else None,
        input_tokens=found.input,
        output_tokens=output,
        total_tokens=total,
        cost_usd=found.cost,
        cache_read_tokens=found.cache_read,
        cache_write_tokens=found.cache_write,
        reasoning_tokens=reasoning,
        scope="call",
        source="sdk",
        call_id=call_id,
        tool=_TOOLS.get(process) if isinstance(process, str) else None,
        cost_source="tool" if found.cost is not None else None,
        pid=_whole(record.get("pid")),
        duration_s=_seconds(record.get("duration_s")),
        time_to_first_token_s=_seconds(record.get("time_to_first_token_s")),
        status=_whole(record.get("status")),
    )


def advice_of(record: Mapping[str, Any], usage: TokenUsage) -> list[TokenUsage]:
    """What other models were asked within a call (Anthropic's advisors), which `usage` does not hold: they have prices
    of their own, so each is a call of its own."""
    entries = _beside(record.get("usage"), "advisor_message")
    return [
        usage_of(
            {**record, "usage": entry, "model": entry.get("model"), "complete": True, "duration_s": None,
             "time_to_first_token_s": None},
            f"{usage.call_id}/advisor-{n}",
        )
        for n, entry in enumerate(entries, 1)
    ]  # fmt: skip


def _beside(raw: Any, kind: str) -> list[dict[str, Any]]:
    """Samplings within a call that its own figures leave out (anthropic 2.12: BetaIterationsUsage)."""
    entries = raw.get("iterations") if isinstance(raw, dict) else None
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries[:_ITERATIONS] if isinstance(entry, dict) and entry.get("type") == kind]


def _added(one: Counts, other: Counts) -> Counts:
    """Field by field; what only one of them knows stays."""
    from dataclasses import replace

    pairs = ((name, getattr(one, name), getattr(other, name)) for name in one.__slots__)
    return replace(one, **{name: a if b is None else b if a is None else a + b for name, a, b in pairs})


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else None


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9 else None
