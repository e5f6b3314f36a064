"""Trace context: the W3C's traceparent and tracestate (level 1), as a process finds them in its environment."""

import re
from dataclasses import dataclass

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_STATE = re.compile(r"[\x20-\x7e\t]{1,512}")
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class Parent:
    """The span that somebody else is in. flags: bit 0 says that it is sampled."""

    trace_id: int
    span_id: int
    flags: int


def parse(traceparent: str | None) -> Parent | None:
    """None for what is no traceparent: by the standard, a new trace begins then."""
    if traceparent is None or len(traceparent) > _LONGEST:
        return None
    found = _PARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Parent(int(trace_id, 16), int(span_id, 16), int(flags, 16))


def recorded(traceparent: str | None, tracestate: str | None) -> tuple[str | None, str | None]:
    """The two as a run records them: only what is valid, and no state without a parent."""
    traceparent = None if traceparent is None else traceparent.strip()
    if parse(traceparent) is None:
        return None, None
    return traceparent, tracestate if tracestate and _STATE.fullmatch(tracestate) else None
