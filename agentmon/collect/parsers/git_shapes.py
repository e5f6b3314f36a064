"""The shapes of git's lines, and of the lines that orchestrators print themselves, one line at a time."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from agentmon.collect.parsers import git_messages
from agentmon.collect.parsers.patterns import Pattern

Kind = Literal["git", "print", "record"]

_REF = r"[^\s~^:?*\[\\{}$<>\"'`|,;()]{1,200}"
_BRANCH = rf"(?P<q>['\"]?)(?P<branch>{_REF})(?P=q)"
_END = r"(?:\s{1,8}\(?(?:successfully|done|ok)\)?)?(?:\s{0,4}[^\w\s.'\"`(\[]{1,8}|\.{2,3})?(?:\s{1,40}\w{1,30}=\S{1,80}){0,6}\s*$"
_FROM = r"(?:\s(?:from|off|based on)\s(?:branch\s)?['\"]?\S{1,200})?"
_FILES = r"(?P<files>\d{1,7}) (?:files?|changes?)(?: changed)?"


def _announced(name: str, operation: str, regex: str, *needles: str) -> Pattern:
    return Pattern(name, "git", rf"^(?:{regex}){_END}", needles, operation=operation)


PRINTS = (
    _announced(
        "branch created", "branch_create",
        rf"(?:Creat(?:ing|ed)|Create)(?: (?:a|the))?(?: new)?(?: git)?(?: feature)? branch(?: (?:named|called))?(?P<colon>:)? {_BRANCH}{_FROM}"
        rf"|(?:New )?[Bb]ranch created(?P<colon2>:) (?P<q2>['\"]?)(?P<branch2>{_REF})(?P=q2)",
        "Creating branch", "Created branch", "Create branch", "Creating new branch", "Created new branch", "Creating a ",
        "Created a new branch", "Creating git branch", "Created git branch", "Creating feature branch",
        "Created feature branch", "ranch created: ", "Creating the branch", "Created the branch",
    ),
    _announced(
        "branch switched", "checkout",
        rf"(?:Switch(?:ing|ed)(?: back)? to|Check(?:ing|ed) out|Changed to)(?: existing| the| git)? branch(?P<colon>:)? {_BRANCH}",
        "Switched to branch", "Switching to branch", "Switched back to branch", "Switching back to branch",
        "Checked out branch", "Checking out branch", "Changed to branch", "Switched to existing", "Checking out existing",
    ),
    _announced(
        "committed", "commit",
        rf"(?:Committed|Committing)(?: changes)?:? {_FILES}(?: (?:to|on)(?: branch)?:? {_BRANCH})?(?:: (?P<message>\S.{{0,400}}))?"
        rf"|Changes committed: (?:{_FILES.replace('files>', 'files2>')}|(?P<message2>\S.{{0,400}}))"
        r"|Committed(?: changes)?(?: with message)?(?:: |\s(?='))(?P<message3>['\"]?\S.{0,400})"
        r"|(?:Created commit|Committed|Commit(?: created)?):? (?P<sha>[0-9a-f]{7,40})(?::| -)? (?P<message4>\S.{0,400})",
        "Committed ", "Committed: ", "Committing ", "hanges committed: ", "Commit ", "Created commit ", "Commit: ",
    ),
    _announced(
        "merged", "merge",
        rf"Merg(?:ing|ed)(?: branch)?(?P<colon>:)? {_BRANCH}(?: (?:in)?to(?: branch)?:? ['\"]?(?P<into>{_REF}?)['\"]?)?",
        "Merged ", "Merging ", "Merged: ", "Merging: ",
    ),
    _announced(
        "pushed", "push",
        rf"Push(?:ing|ed)(?: changes)?(?: to)?(?: remote)?(?: branch)?(?P<colon>:)? {_BRANCH}(?: to (?:remote )?['\"]?(?P<into>{_REF}?)['\"]?)?",
        "Pushed ", "Pushing ", "Pushed: ", "Pushing: ",
    ),
    _announced(
        "branch deleted", "branch_delete",
        rf"(?:Delet(?:ing|ed)|Remov(?:ing|ed))(?: (?:local|remote|git|feature))? branch(?P<colon>:)? {_BRANCH}",
        "Deleted branch", "Deleting branch", "Removed branch", "Removing branch", "ed local branch", "ed feature branch",
    ),
    _announced(
        "cloned", "clone",
        r"Clon(?:ing|ed)(?: git)? repo(?:sitory)?: ['\"]?(?P<repo>\S{1,300})(?: (?:in)?to \S{1,300})?",
        "Cloning repo", "Cloned repo", "Cloning git repo", "Cloned git repo",
    ),
    _announced(
        "rebased", "rebase",
        rf"Rebas(?:ing|ed)(?: branch)?(?P<colon>:)? {_BRANCH} onto ['\"]?(?P<into>{_REF}?)['\"]?",
        "Rebased ", "Rebasing branch", "Rebasing: ",
    ),
    _announced(
        "tagged", "tag",
        rf"(?:Creat(?:ing|ed)(?: git)? tag|Tagged(?: release)?): ['\"]?(?P<tag>{_REF}?)['\"]?",
        "Creating tag: ", "Created tag: ", "Created git tag", "Creating git tag", "Tagged: ", "Tagged release: ",
    ),
)  # fmt: skip
_NO_NAMES = frozenset(
    ["successfully", "locally", "protection", "first", "now", "failed", "here", "done", "ok", "already", "exists", "for", "from", "and", "in", "on", "to", "the", "a", "an", "of", "into", "with", "name", "naming", "error", "failure", "conflicts", "all", "your", "my", "its", "their", "this", "that", "these", "those", "it"]
)  # fmt: skip
_KNOWN = frozenset({"main", "master", "develop", "dev", "trunk", "staging", "production", "release", "next"})


@dataclass(frozen=True, slots=True)
class Shape:
    """What one line says. name: a message of TEMPLATES, the operation of a print, or one of the words below."""

    name: str
    kind: Kind = "git"
    branch: str | None = None
    message: str | None = None
    sha: str | None = None
    files: int | None = None
    blanks: tuple[str, ...] = ()
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Stat:
    """`N files changed, N insertions(+), N deletions(-)`"""

    files: int
    insertions: int
    deletions: int


@dataclass(frozen=True, slots=True)
class Ref:
    """One line of the list that push and fetch print."""

    flag: str
    summary: str
    source: str
    target: str | None

    @property
    def moved(self) -> bool:
        """Whether the ref is another now: not rejected, not up to date."""
        return self.flag not in "!="

    @property
    def tag(self) -> bool:
        return "tag" in self.summary.lower() or self.source.startswith("refs/tags/")


@cache
def _commit() -> re.Pattern[str]:
    return re.compile(
        r"^[\[|](?P<branch>[^\]\[\n]{1,200}?)(?P<root> ?[(（][^()\[\]（）]{1,40}[)）])?(?: |(?<=）))(?P<sha>[0-9a-f]{4,40})\] (?P<message>\S.{0,1000}|)$"
    )


@cache
def _stat() -> re.Pattern[str]:
    return re.compile(
        r"^ ?(\d{1,9}) files? changed(?:, (\d{1,9}) insertions?\(\+\))?(?:, (\d{1,9}) deletions?\(-\))?"
        r"(?: \(\+\))?(?P<rest>.{0,40})$"
    )


@cache
def _ref() -> re.Pattern[str]:
    return re.compile(
        r"^\s{0,8}(?:(?P<flag>[+*=!t-])\s)?(?P<summary>\[[^\[\]]{1,60}\]|[0-9a-f]{4,40}\.{2,3}[0-9a-f]{4,40}|branch|tag)"
        r"\s{1,200}(?P<source>\S{1,300}|\([a-z]{1,20}\))(?:\s{1,200}-> (?P<target>\S{1,300}))?(?: {1,4}\([^()]{1,200}\))?$"
    )


@cache
def _range() -> re.Pattern[str]:
    return re.compile(r"^\S.{0,60}?[ „]([0-9a-f]{4,40})\.\.([0-9a-f]{4,40})“?$")


@cache
def _sha_first() -> re.Pattern[str]:
    return re.compile(r"^([0-9a-f]{4,40})(?: (.*))?$")


def stat(text: str) -> Stat | None:
    """The summary line of a diffstat."""
    if " changed" not in text or not (match := _stat().match(text)):
        return None
    if match["rest"].strip("'\"│┃║| .,"):
        return None
    return Stat(int(match[1]), int(match[2] or 0), int(match[3] or 0))


def ref(text: str) -> Ref | None:
    """A line of the list that push and fetch print, with the indentation that git gives it."""
    if " -> " not in text and "]" not in text:
        return None
    if "\t" in text:  # push --porcelain
        fields = text.split("\t")
        if len(fields) == 3 and len(fields[0]) == 1 and ":" in fields[1]:
            source, _, target = fields[1].partition(":")
            return Ref(fields[0], fields[2], _short(source or target), _short(target))
        return None
    match = _ref().match(text)
    if not match or (match["target"] is None and not match["summary"].startswith("[")):
        return None
    return Ref(match["flag"] or " ", match["summary"], match["source"], match["target"])


def moved_range(text: str) -> tuple[str, str] | None:
    """`Updating 1234567..89abcde`, in any language."""
    match = _range().match(text) if ".." in text else None
    return (match[1], match[2]) if match else None


def read(text: str) -> Shape | None:
    """What git or an orchestrator says in `text`, if it says it with all of it."""
    if text[:1] in "[|" and "] " in text and (match := _commit().match(text)):
        return _read_commit(match)
    if message := git_messages.read(text):
        return _read_message(*message)
    if text.startswith("Merge made by "):
        return (
            Shape("merge_made") if text.endswith((" strategy.", " strategy")) or text == "Merge made by ort." else None
        )
    if text in ("Fast-forward", "Wonderful.") or text.startswith("Fast-forward (no commit"):
        return Shape("fast_forward")
    if text.startswith("First, rewinding head to replay your work on top of it"):
        return Shape("rewinding")
    if text.startswith("Preparing worktree (detached HEAD "):
        return Shape("worktree")
    if text.startswith("To ") and " " not in text[3:] and len(text) < 400:
        return Shape("to_url", blanks=(text[3:],))
    return _read_print(text)


def _read_commit(match: re.Match[str]) -> Shape | None:
    name = match["branch"]
    sha = match["sha"]
    detached = " " in name or name in ("分离头指针", "分離")
    if not detached and (not re.fullmatch(_REF, name) or name.isdigit()):
        return None
    if " " in name and "HEAD" not in name:
        return None
    return Shape("commit", branch=None if detached else name, sha=sha, message=match["message"] or None)


def _read_message(name: str, blanks: tuple[str, ...]) -> Shape | None:
    first = blanks[0] if blanks else ""
    if name in ("new_branch", "reset_branch", "switched", "new_worktree"):
        return Shape(name, branch=first) if " " not in first else None
    if name in ("deleted_branch", "deleted_remote", "deleted_tag", "updated_tag"):
        if " " in first or not _sha_first().match(blanks[1]):
            return None
        return Shape(name, branch=first, sha=blanks[1])
    if name in ("now_at", "previous_head"):
        match = _sha_first().match(first.rstrip("입니다").strip())
        return Shape(name, sha=match[1], message=match[2]) if match else None
    if name == "rebased":
        if " " in first and "HEAD" not in first:
            return None
        return Shape(name, branch=first.removeprefix("refs/heads/") if first.startswith("refs/heads/") else None)
    if name == "forwarded":
        return Shape(name, branch=_short(first)) if " " not in first else None
    if name == "saved":
        return _read_stash(first)
    if name == "dropped":
        return Shape(name, sha=blanks[1]) if "stash@{" in first and _sha_first().match(blanks[1]) else None
    if name in ("cloning", "cloning_bare"):
        return Shape(name, blanks=blanks) if "\n" not in first else None
    if name == "from_url" and " " in first:
        return None
    return Shape(name, blanks=blanks)


def _read_stash(what: str) -> Shape | None:
    work, colon, message = what.partition(": ")
    words = work.split(" ")
    if not colon or len(words) < 2:
        return None
    branch = None if "HEAD" in work or "(" in work else words[-1]
    return Shape("saved", branch=branch, message=None if words[0] == "WIP" else message)


def _read_print(text: str) -> Shape | None:
    for pattern in PRINTS:
        if text.startswith(_firsts(pattern)) and (match := pattern.compiled.match(text)):
            return _read_fields(pattern, match)
    return None


@cache
def _firsts(pattern: Pattern) -> tuple[str, ...]:
    """How a line of this pattern begins, for a quick look."""
    words = {"branch_create": ("Creat", "Branch c", "New b"), "checkout": ("Switch", "Check", "Changed to")}
    more = {
        "commit": ("Commit", "Changes c", "Created c"),
        "branch_delete": ("Delet", "Remov"),
        "tag": ("Creat", "Tagged"),
    }
    return (words | more).get(pattern.operation or "", (pattern.needles[0][:4],))


def _read_fields(pattern: Pattern, match: re.Match[str]) -> Shape | None:
    fields = {name.rstrip("234"): value for name, value in match.groupdict().items() if value}
    name = fields.get("branch", "").rstrip(".…!")
    operation = pattern.operation or ""
    if "branch" in fields and operation != "commit":
        plain = not (fields.get("colon") or fields.get("q"))
        if not name or name.lower() in _NO_NAMES or (name.isdigit() and plain):
            return None
        if plain and operation in ("merge", "push", "rebase") and not fields.get("into"):
            if "branch" not in match[0][:20]:
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
    return Shape(operation, "print", name or None, message, fields.get("sha"), files, source=source)


def _short(name: str) -> str:
    for prefix in ("refs/heads/", "refs/tags/", "refs/remotes/"):
        name = name.removeprefix(prefix)
    return name


def needles() -> frozenset[str]:
    """Substrings of which every line that begins an act holds at least one."""
    hexes = "0123456789abcdef"
    own = {
        "Merge made by ", "Fast-forward", "Preparing worktree (", "First, rewinding head", "-> FETCH_HEAD", " -> origin/", " -> upstream/", "stash@{",
        "To http", "To /", "To git@", "To ssh:", "To ../", "To ./", "To file:", "To git:", "To github.com", "To gitlab.", "To bitbucket.",
        "From http", "From /", "From git@", "From ssh:", "From ../", "From ./", "From file:", "From git:",
    }  # fmt: skip
    commits = {f"{a}{b}] " for a in hexes for b in hexes}
    prints = {needle for pattern in PRINTS for needle in pattern.needles}
    return frozenset(own | commits | prints | set(git_messages.needles()))
