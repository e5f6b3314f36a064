"""Wording: figures, times and foreign text as people read them."""

import math
import time
from collections.abc import Mapping

from agentmon.views.text import clean

UNKNOWN = "–"


def printable(text: object, limit: int | None = None) -> str:
    """Foreign text in one line, without what steers a terminal or turns the reading direction."""
    line = " ".join(clean(str(text)).split())
    return line[: limit - 1] + "…" if limit is not None and len(line) > limit else line


def visible(line: str) -> str:
    """The same, with its blanks."""
    return clean(line.expandtabs(4))


def duration(seconds: float | None) -> str:
    """2.4 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def count(value: int | float | None) -> str:
    """1,234,567."""
    return UNKNOWN if value is None else f"{value:,}"


def short(value: float | None) -> str:
    """1.2M, for an axis."""
    if value is None:
        return UNKNOWN
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def money(value: float | None) -> str:
    """Dollars, with as many places as a small sum needs."""
    if value is None:
        return UNKNOWN
    return f"${value:,.2f}" if abs(value) >= 100 else f"${value:.4f}"


def mebibytes(value: float | None) -> str:
    """MiB, or GiB from 1024 on."""
    if value is None:
        return UNKNOWN
    return f"{value / 1024:.2f} GiB" if value >= 1024 else f"{value:.0f} MiB"


def percent(value: float | None) -> str:
    """35 %, of one core."""
    return UNKNOWN if value is None else f"{value:.0f} %"


def clock(at: float | None, *, date: bool = False) -> str:
    """Local time of day."""
    if at is None:
        return UNKNOWN
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError, TypeError):
        return UNKNOWN


def offset(seconds: float, span: float) -> str:
    """+0:42, +1:02:03 since the start of a run of `span` seconds; +4.2 s in one of less than a minute."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if span < 60:
        return f"+{max(0.0, seconds):.1f} s"
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02d}:{rest:02d}" if hours else f"+{minutes}:{rest:02d}"


def counted(counts: Mapping[str, int]) -> str:
    """2 commits, 1 branch create."""
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items())
