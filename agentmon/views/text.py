"""Text for a terminal: what agents printed made harmless, fitted into cells, coloured; numbers as people read them.

Whatever a child printed is untrusted: `clean` leaves nothing that a terminal would obey, and there is no markup.
"""

import os
import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime

Segment = tuple[str, str]  # a style (SGR parameters, may be empty), and a text

PLAIN, BOLD, DIM = "", "1", "2"
RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN = "31", "32", "33", "34", "35", "36"
LEVELS = {"info": PLAIN, "warning": YELLOW, "error": RED}

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_ASCII = re.compile(r"[ -~]*\Z")
# Joiners and the like: terminals differ in the width of what they make, and direction marks reorder a whole row.
_UNSEEN = frozenset({"Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_ALIKE = str.maketrans({"\t": " ", "\n": " ", "\r": " ", "\ufe0e": None, "\ufe0f": None})
_BLOCKS = "▁▂▃▄▅▆▇█"


def clean(text: str, longest: int = 4096) -> str:
    """One line without anything that a terminal would obey, and no longer than it can be of use."""
    text = text[:longest]
    if _ASCII.match(text):
        return text
    text = _ESCAPES.sub("", text).translate(_ALIKE)
    return "".join(c for c in text if (c <= "~" and c >= " ") or unicodedata.category(c) not in _UNSEEN)


def width(text: str) -> int:
    """How many cells it takes."""
    if _ASCII.match(text):
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, cells: int) -> str:
    """As much of it as fits; `…` stands for the rest."""
    if cells <= 0:
        return ""
    text = text[: 4 * cells + 16]  # marks on marks are not to become a long row
    if width(text) <= cells:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, cells - 1).rstrip() + "…"


def fit(text: str, cells: int) -> str:
    """Cut or filled up to exactly so many cells."""
    text = cut(text, cells)
    return text + " " * (cells - width(text))


class Ink:
    """Puts colours on, where they are wanted."""

    def __init__(self, colour: bool) -> None:
        self.colour = colour

    def paint(self, style: str, text: str) -> str:
        """The text in a style."""
        return f"\x1b[{style}m{text}\x1b[0m" if style and text and self.colour else text

    def row(self, segments: Iterable[Segment], cells: int) -> str:
        """Segments side by side, in exactly so many cells."""
        parts = []
        for style, text in segments:
            kept = cut(text, cells)
            cells -= width(kept)
            parts.append(self.paint(style, kept))
            if kept != text:
                break
        return "".join(parts) + " " * cells


def wants_colour(is_terminal: bool) -> bool:
    """NO_COLOR and TERM=dumb say no (no-color.org)."""
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def spark(values: Iterable[float | None], cells: int, top: float = 0.0) -> str:
    """The last values as bars, right-aligned; scaled to `top` or to the highest. Unknown values are blanks."""
    shown = list(values)[-cells:] if cells > 0 else []
    known = [v for v in shown if v is not None]
    most = max([top, *known]) or 1.0
    bars = "".join(" " if v is None else _BLOCKS[min(7, int(max(v, 0.0) / most * 7.999))] for v in shown)
    return bars.rjust(max(0, cells))


def count(number: int | None) -> str:
    """12, 3.4k, 56k, 7.8M; `-` for unknown."""
    if number is None:
        return "-"
    amount = float(number)
    for unit in ("", "k", "M", "G"):
        if amount < 999.5 or unit == "G":
            return f"{amount:.0f}{unit}" if not unit or amount >= 99.95 else f"{amount:.1f}{unit}"
        amount /= 1000
    return ""


def memory(mib: float | None) -> str:
    """MiB or GiB."""
    if mib is None:
        return "-"
    if mib < 9.95:
        return f"{mib:.1f}M"
    return f"{mib:.0f}M" if mib < 1000 else f"{mib / 1024:.1f}G"


def money(usd: float | None) -> str:
    """US dollars."""
    if usd is None:
        return "-"
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}"


def lasted(seconds: float | None) -> str:
    """12s, 3m05s, 2h07m, 3d04h."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def clock(timestamp: float, pattern: str = "%H:%M:%S") -> str:
    """The local time; dashes for a number that is no time."""
    try:
        return datetime.fromtimestamp(timestamp).strftime(pattern)
    except (ValueError, OverflowError, OSError):
        return "--:--:--"
