"""What stands around git's lines where other programs show them: boxes, bullets, log prefixes, labels, quotes.

A line is peeled from the left, one token at a time; every stop is a place where git's own text may begin. What is no
decoration (a word of prose, the `+` of a diff, the hash of a log listing, a `print(`) ends the peeling.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

_BORDERS = "│┃║▌▐█╎┆┊░▒▓"
_TOKENS = 16
_SPACES = ("", " ", "\t", "\u00a0")
_NO_LABELS = frozenset(
    {"actual", "caution", "description", "error", "example", "expected", "fatal", "goal", "hint", "instruction",
     "instructions", "message", "note", "notes", "plan", "prompt", "query", "question", "remote", "request", "subject",
     "summary", "task", "thought", "tip", "title", "todo", "usage", "user", "warning", "g", "e", "i", "record"}
)  # fmt: skip


class Framed(NamedTuple):
    """`text` without what stood around it; `form` says what that was (`` for nothing), for telling a second showing."""

    text: str
    form: str

    @property
    def bare(self) -> bool:
        """Whether nothing but marks stood around it: no words, no quotes."""
        form = self.form
        return "label" not in form and "quote" not in form and "bracket" not in form


@cache
def _token() -> re.Pattern[str]:
    return re.compile(
        r"""(?P<space>[ \t\u00a0]{1,400})
        | (?P<box>[│┃║▌▐█╎┆┊░▒▓╭╮╰╯─━┌┐└┘├┤┏┗┣╔╚╠⎿⎢|]{1,200}) (?!\d)
        | (?P<mark>[^\w\s"'`\[\](){}<>+$~\\@=|#/.-]{1,40} | [-+>$=#*.~]{1,80}(?=\s))
        | (?P<time>[\[(]? (?:\d{4}-\d\d-\d\d | \d{1,2}:\d\d | \d{1,10}(?:\.\d{1,9})?m?s\b | \d{1,6}[./)\]]
                           | (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b ,?)
                  [\d:.,/TZ+-]{0,32} (?:[AP]M)? [\])]? ,? (?=\s|[|]) )
        | (?P<number>\d{1,6}(?=[ ]) )
        | (?P<level>(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|SUCCESS|info|debug)(?=[\s:|\]]))
        | (?P<tag></?[a-z_]{1,30}>)
        | (?P<bracket>(?!\[[0-9a-f]{4,40}\])(?:\[[^\[\]]{1,60}\] | \([^()]{1,60}\) | <[^<>]{1,60}>)(?=[\s:]))
        | (?P<label>(?:[A-Za-z][\w.'/-]{0,40}[ ]){0,3}[A-Za-z_][\w.'/()#-]{0,60}:(?:[\w.<>-]{1,60}:){0,3}(?=\s|$)
                    | [\w.-]{1,60}[ ][\w./-]{1,60}\[\d{1,7}\]:(?=\s))
        | (?P<place>[A-Za-z_][\w-]{0,60}(?:[.:/][\w<>-]{1,60}){1,8}(?=\s{1,8}(?:[-|:>]|—)\s))
        | (?P<name>[A-Za-z_][\w.@-]{0,60}(?=\s{0,20}(?:\||»|\s-\s|\s—\s|\s>\s)))
        | (?P<field>[A-Za-z_]\w{0,30}=[^\s"']{1,60}(?=\s))
        | (?P<quote>(?:[A-Za-z_]{1,30}=|["'][A-Za-z_]{1,30}["']:[ ]?)?["'])
        """,
        re.VERBOSE,
    )


def peel(line: str) -> Iterator[Framed]:
    """The places where git's text may begin in `line`, from the left."""
    line = line.rstrip()
    lead = line[:200].lstrip()
    if lead[:1] in _BORDERS or lead[:1] == "|":
        line = line.rstrip(_BORDERS + "| \t")
    at, quote, form = 0, "", ""
    token = _token().match
    for _ in range(_TOKENS):
        if line[at : at + 1] not in _SPACES:  # nothing of git's begins with a blank, save lines that are indented
            yield Framed(_inside(line[at:], quote) if quote else line[at:], form)
        elif not at:
            yield Framed(line, form)
        match = token(line, at)
        if not match:
            return
        kind = match.lastgroup or ""
        at = match.end()
        if kind == "space":
            continue
        if kind == "label" and match[0].rstrip(":").split(" ")[-1].lower() in _NO_LABELS:
            return
        if kind == "number" and line.startswith("\t", at):
            return
        if kind == "quote":
            quote = match[0][-1]
        elif kind in ("place", "name", "field"):
            kind = "label"
        if kind not in form:
            form = f"{form}+{kind}" if form else kind


def _inside(text: str, quote: str) -> str:
    """Up to the quote that closes, with every escaped newline as a newline."""
    if not quote:
        return text
    end = text.find(quote)
    while end > 0 and text[end - 1] == "\\":
        end = text.find(quote, end + 1)
    return (text if end < 0 else text[:end]).replace("\\n", "\n").replace("\\" + quote, quote)


@dataclass(frozen=True, slots=True)
class Boxed:
    """The content of a line of a drawn box, and how wide such content can be."""

    content: str
    width: int


def boxed(line: str) -> Boxed | None:
    """A line with a border at both ends."""
    line = line.strip()
    if len(line) < 20 or line[0] not in _BORDERS or line[-1] not in _BORDERS:
        return None
    inner = line[1:-1]
    indent = len(inner) - len(inner.lstrip(" "))
    return Boxed(inner.strip(), len(inner) - 2 * max(1, min(indent, 2)))
