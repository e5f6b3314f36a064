"""Figures: numbers, sums and times as people read them; narrow ones for cells, full ones for pages.

What nobody knows is `-`.
"""

import math
import time
from collections.abc import Mapping

UNKNOWN = "-"
_LONGEST_S = 1e11
_MOST = 1e15  # dollars, MiB: what is more is a fault of whoever told it


def count(number: float | None) -> str:
    """Narrow: 12, 3.4k, 56k, 7.8M."""
    if number is None:
        return UNKNOWN
    amount = float(number)
    for unit in ("", "k", "M", "G"):
        if amount < 999.5 or unit == "G":
            return f"{amount:.0f}{unit}" if not unit or amount >= 99.95 else f"{amount:.1f}{unit}"
        amount /= 1000
    return ""


def whole(number: float | None) -> str:
    """Full: 1,234,567."""
    return UNKNOWN if number is None else f"{number:,}"


def many(number: int, one: str, more: str) -> str:
    """1 process, 2 processes."""
    return f"{number:,} {one if number == 1 else more}"


def counted(counts: Mapping[str, int]) -> str:
    """2 commits, 1 branch create, 32 info."""
    return ", ".join(many(n, (word := name.replace("_", " ")), _plural(word)) for name, n in counts.items())


def _plural(word: str) -> str:
    if word == "info":
        return word
    return word + ("es" if word.endswith(("sh", "ch", "s", "x")) else "s")


def money(usd: float | None) -> str:
    """US dollars, with as many places as a small sum needs."""
    if usd is None or not abs(usd) < _MOST:
        return UNKNOWN
    return f"${usd:,.2f}" if abs(usd) >= 1 else f"${usd:.4f}"


def memory(mib: float | None) -> str:
    """Narrow: 9.5M, 312M, 1.2G."""
    if mib is None or not abs(mib) < _MOST:
        return UNKNOWN
    if mib < 9.95:
        return f"{mib:.1f}M"
    return f"{mib:.0f}M" if mib < 1000 else f"{mib / 1024:.1f}G"


def mebibytes(value: float | None) -> str:
    """Full: 312 MiB, 1.25 GiB."""
    if value is None or not abs(value) < _MOST:
        return UNKNOWN
    return f"{value / 1024:.2f} GiB" if value >= 1024 else f"{value:.0f} MiB"


def size(number: int) -> str:
    """Of a file: 512 B, 3.4 KiB, 1.2 GiB."""
    amount = float(number)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def percent(value: float | None) -> str:
    """35 %, of one core."""
    return UNKNOWN if value is None else f"{value:.0f} %"


def lasted(seconds: float | None) -> str:
    """Narrow: 12s, 3m05s, 2h07m, 3d04h. What nothing can last is not known."""
    if seconds is None or not abs(seconds) < _LONGEST_S:
        return UNKNOWN
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def duration(seconds: float | None) -> str:
    """Full: 2.4 s, 3 min 05 s, 2 h 10 min, 3 d 4 h. What nothing can last is not known."""
    if seconds is None or not abs(seconds) < _LONGEST_S:
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


def offset(seconds: float, span: float) -> str:
    """+0:42, +1:02:03 since the start of a run of `span` seconds; +4.2 s in one of less than a minute."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if span < 60:
        return f"+{max(0.0, seconds):.1f} s"
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02d}:{rest:02d}" if hours else f"+{minutes}:{rest:02d}"


def clock(at: float | None, pattern: str = "%H:%M:%S") -> str:
    """The local time; %f is milliseconds. `-` for a number that is no time."""
    if at is None:
        return UNKNOWN
    try:
        pattern = pattern.replace("%f", f"{int(at % 1 * 1000):03d}")
        return time.strftime(pattern, time.localtime(at))
    except (OverflowError, ValueError, OSError, TypeError):
        return UNKNOWN
