"""Numbers as OTLP takes them: times in nanoseconds, integers of 64 bits. What a file says may be any number."""

import math

_LARGEST = (1 << 63) - 1


def nanoseconds(seconds: float) -> int:
    """Unix seconds, as the events have them (microseconds are what a float holds), as Unix nanoseconds."""
    if not math.isfinite(seconds) or seconds <= 0:
        return 0
    return min(round(min(seconds, 1e12) * 1e6) * 1000, _LARGEST)


def whole(value: float | None) -> int | None:
    """A count; None for what is unknown, or is none that 64 bits hold."""
    if value is None or not math.isfinite(value) or abs(value) > 9e18:
        return None
    return round(value)


def real(value: float | None) -> float | None:
    """A measured value; None for what is unknown, or beyond what a float holds."""
    if value is None:
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None
