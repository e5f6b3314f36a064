"""What orchestrators print about git themselves: `Creating branch: X`, `Committed changes: 5 files` and their like."""

import re
from functools import cache
from typing import Literal, NamedTuple

from agentmon.collect.parsers.patterns import Pattern, fields_of

Kind = Literal["git", "print", "record"]

REF = r"[^\s~^:?*\[\\{}$<>\"'`|,;()]{1,200}"
_BRANCH = rf"(?P<_quote>['\"]?)(?P<branch>{REF})(?P=_quote)"
_INTO = rf"['\"]?(?P<into>{REF}?)['\"]?"
_FROM = r"(?:\s(?:from|off|based on)\s(?:branch\s)?['\"]?\S{1,200})?"
_FILES = r"(?P<files>\d{1,7}) (?:files?|changes?)(?: changed)?"
_END = (
    r"(?:\s{1,8}\(?(?:successfully|done|ok)\)?)?"
    r"(?:\s{0,4}[^\w\s.'\"`(\[]{1,8}|\.{2,3})?"  # a check mark, an ellipsis
    r"(?:\s{1,40}\w{1,30}=\S{1,80}){0,6}\s*$"  # structlog's fields
)


def _announced(name: str, operation: str, *regexes: str, needles: tuple[str, ...]) -> Pattern:
    return Pattern(name, "git", rf"^(?:{'|'.join(regexes)}){_END}", needles, operation=operation)


PATTERNS = (
    _announced(
        "branch created", "branch_create",
        r"Creat(?:ing|ed|e)(?: (?:a|the))?(?: new)?(?: git)?(?: feature)? branch(?: (?:named|called))?(?P<_colon>:)? "
        + _BRANCH + _FROM,
        rf"(?:New )?[Bb]ranch created(?P<_colon2>:) (?P<_quote2>['\"]?)(?P<branch2>{REF})(?P=_quote2)",
        needles=(
            "ranch created: ",
            *(f"{verb}{kind} branch" for verb in ("Creating", "Created", "Create")
              for kind in ("", " new", " a", " a new", " the", " the new", " git", " feature", " new git")),
        ),
    ),
    _announced(
        "branch switched", "checkout",
        r"(?:Switch(?:ing|ed)(?: back)? to|Check(?:ing|ed) out|Changed to)(?: existing| the| git)? branch"
        r"(?P<_colon>:)? "
        + _BRANCH,
        needles=(
            "Switched to", "Switched back", "Switching to", "Switching back", "Checked out ", "Checking out ",
            "Changed to ",
        ),
    ),
    _announced(
        "committed", "commit",
        rf"Committ(?:ed|ing)(?: changes)?:? {_FILES}(?: (?:to|on)(?: branch)?:? {_BRANCH})?"
        r"(?:: (?P<message>\S.{0,400}))?",
        r"Changes committed: (?P<files2>\d{1,7}) (?:files?|changes?)(?: changed)?",
        r"Changes committed: (?P<message2>\S.{0,400})",
        r"Committed(?: changes)?(?: with message)?(?:: |\s(?='))(?P<message3>['\"]?\S.{0,400})",
        r"(?:Created commit|Committed|Commit(?: created)?):? (?P<sha>[0-9a-f]{7,40})(?::| -)? (?P<message4>\S.{0,400})",
        needles=("Committed", "Committing ", "hanges committed: ", "Commit ", "Created commit ", "Commit: "),
    ),
    _announced(
        "merged", "merge",
        rf"Merg(?:ing|ed)(?: branch)?(?P<_colon>:)? {_BRANCH}(?: (?:in)?to(?: branch)?:? {_INTO})?",
        needles=("Merged ", "Merging ", "Merged: ", "Merging: "),
    ),
    _announced(
        "pushed", "push",
        rf"Push(?:ing|ed)(?: changes)?(?: to)?(?: remote)?(?: branch)?(?P<_colon>:)? {_BRANCH}"
        rf"(?: to (?:remote )?{_INTO})?",
        needles=("Pushed ", "Pushing ", "Pushed: ", "Pushing: "),
    ),
    _announced(
        "branch deleted", "branch_delete",
        rf"(?:Delet(?:ing|ed)|Remov(?:ing|ed))(?: (?:local|remote|git|feature))? branch(?P<_colon>:)? {_BRANCH}",
        needles=tuple(f"{verb}{kind} branch" for verb in ("Deleted", "Deleting", "Removed", "Removing")
                      for kind in ("", " local", " remote", " git", " feature")),
    ),
    _announced(
        "cloned", "clone",
        r"Clon(?:ing|ed)(?: git)? repo(?:sitory)?: ['\"]?(?P<repo>\S{1,300})(?: (?:in)?to \S{1,300})?",
        needles=("Cloning repo", "Cloned repo", "Cloning git repo", "Cloned git repo"),
    ),
    _announced(
        "rebased", "rebase",
        rf"Rebas(?:ing|ed)(?: branch)?(?P<_colon>:)? {_BRANCH} onto {_INTO}",
        needles=("Rebased ", "Rebased: ", "Rebasing "),
    ),
    _announced(
        "tagged", "tag",
        rf"(?:Creat(?:ing|ed)(?: git)? tag|Tagged(?: release)?): ['\"]?(?P<tag>{REF}?)['\"]?",
        needles=("Creating tag: ", "Created tag: ", "Created git tag", "Creating git tag", "Tagged: ", "Tagged rel"),
    ),
)  # fmt: skip
_STARTS = {  # the patterns that a line with these four characters can match: a quick look
    "Crea": ("branch created", "committed", "tagged"), "Bran": ("branch created",), "New ": ("branch created",),
    "bran": ("branch created",), "Swit": ("branch switched",), "Chec": ("branch switched",),
    "Chan": ("branch switched", "committed"), "Comm": ("committed",), "Merg": ("merged",), "Push": ("pushed",),
    "Dele": ("branch deleted",), "Remo": ("branch deleted",), "Clon": ("cloned",), "Reba": ("rebased",),
    "Tagg": ("tagged",),
}  # fmt: skip
_NO_NAMES = frozenset(
    ("successfully", "locally", "protection", "first", "now", "failed", "here", "done", "ok", "already", "exists",
     "for", "from", "and", "in", "on", "to", "the", "a", "an", "of", "into", "with", "name", "naming", "error",
     "failure", "conflicts", "all", "your", "my", "its", "their", "this", "that", "these", "those", "it")
)  # fmt: skip


class Shape(NamedTuple):
    """What one line says. name: a message of TEMPLATES, the operation of a print, or one of the words below."""

    name: str
    kind: Kind = "git"
    branch: str | None = None
    message: str | None = None
    sha: str | None = None
    files: int | None = None
    blanks: tuple[str, ...] = ()
    source: str | None = None
    begun: bool = False  # told before it is done: it may fail yet


def read(text: str) -> Shape | None:
    """What an orchestrator says in `text`, if it says it with all of it."""
    for name in _STARTS.get(text[:4], ()):
        pattern = _by_name()[name]
        if match := pattern.compiled.match(text):
            return _read_fields(pattern, match)
    return None


@cache
def _by_name() -> dict[str, Pattern]:
    return {pattern.name: pattern for pattern in PATTERNS}


def _read_fields(pattern: Pattern, match: re.Match[str]) -> Shape | None:
    fields = fields_of(match)
    name = fields.get("branch", "").rstrip(".…!")
    operation = pattern.operation or ""
    if "branch" in fields and operation != "commit":
        plain = not any(match[mark] for mark in pattern.marks)  # neither a colon nor quotes
        if not name or name.lower() in _NO_NAMES or (name.isdigit() and plain):
            return None
        vague = plain and operation in ("merge", "push", "rebase") and not fields.get("into")
        if vague and "branch" not in match[0][:20]:
            return None
        if plain and match[0].rstrip().endswith(name + "."):
            return None  # a sentence
    into = fields.get("into", "").rstrip(".…!") or None
    if into and (into.lower() in _NO_NAMES or match[0].rstrip().endswith(into + ".")):
        return None
    source = None
    if operation in ("merge", "rebase"):
        source, name = name, into if operation == "merge" and into else (name if operation == "rebase" else "")
    message = fields.get("message")
    if message:
        message = message.strip("'\"")
        if not fields.get("sha") and message[:1].isdigit() and "file" in message:
            return None
    files = int(fields["files"]) if "files" in fields else None
    return Shape(
        operation,
        "print",
        name or None,
        message,
        fields.get("sha"),
        files,
        source=source,
        begun=match[0].startswith("Merging"),
    )
