"""Text for a terminal: what agents printed made harmless, fitted into cells, coloured.

Whatever a child printed is untrusted: `clean` leaves nothing that a terminal would obey, and there is no markup.
"""

import os
import re
import unicodedata
from collections.abc import Iterable

Segment = tuple[str, str]  # a style (SGR parameters, may be empty), and a text

PLAIN, BOLD, DIM = "", "1", "2"
RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN = "31", "32", "33", "34", "35", "36"
LEVELS = {"info": PLAIN, "warning": YELLOW, "error": RED}

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_ASCII = re.compile(r"[ -~]*\Z")
_NARROW = re.compile(r"[ -~▁-█─-╿●○◐✗…≤]*\Z")  # one cell each: ASCII, and what we draw
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


def printable(text: object, limit: int | None = None) -> str:
    """Foreign text in one line, its blanks made one; `limit` characters at most."""
    line = " ".join(clean(str(text)).split())
    return line[: limit - 1] + "…" if limit is not None and len(line) > limit else line


def visible(line: str) -> str:
    """One line clean, with its blanks."""
    return clean(line.expandtabs(4))


def width(text: str) -> int:
    """How many cells it takes."""
    if _NARROW.match(text):
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, cells: int) -> str:
    """As much of it as fits; `…` stands for the rest."""
    if cells <= 0:
        return ""
    text = text[: 4 * cells + 16]  # marks on marks are not to become a long row
    if _NARROW.match(text):
        return text if len(text) <= cells else text[: cells - 1].rstrip() + "…"
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
