"""The shapes of git's own lines, one line at a time."""

import re
from dataclasses import dataclass
from functools import cache

from ahocorasick_rs import AhoCorasick, Implementation

from agentmon.collect.parsers import git_messages, git_prints
from agentmon.collect.parsers.git_prints import Shape

_NAME = re.compile(git_prints.REF)
_OWN_STARTS = frozenset({"Merg", "Fast", "In-i"})  # of what is not in git's catalogues


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
        r"^[\[|](?P<branch>[^\]\[\n]{1,200}?)(?P<root> ?[(（][^()\[\]（）]{1,40}[)）])?(?: |(?<=）))"
        r"(?P<sha>[0-9a-f]{4,40})\](?: (?P<message>\S.{0,1000}))?$"
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
        r"\s{1,200}(?P<source>\S{1,300})(?:\s{1,200}-> (?P<target>\S{1,300}))?(?: {1,4}\([^()]{1,200}\))?$"
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
    if " -> " not in text and "]" not in text and "\t" not in text:
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
    if text[:1] in "[|" and "]" in text and (match := _commit().match(text)):
        return _read_commit(match)
    if message := git_messages.read(text):
        return _read_message(*message)
    if text[:4] not in _OWN_STARTS and text[:3] != "To ":
        return git_prints.read(text)
    if text.startswith("Merge made by "):
        return (
            Shape("merge_made") if text.endswith((" strategy.", " strategy")) or text == "Merge made by ort." else None
        )
    if text in ("Fast-forward", "In-index merge") or text.startswith("Fast-forward (no commit"):
        return Shape("fast_forward")
    if text.startswith("To ") and " " not in text[3:] and len(text) < 400:
        return Shape("to_url", blanks=(text[3:],))
    return git_prints.read(text)


def _read_commit(match: re.Match[str]) -> Shape | None:
    name = match["branch"]
    sha = match["sha"]
    detached = " " in name or name in ("分离头指针", "分離")
    if not detached and (not _NAME.fullmatch(name) or name.isdigit()):
        return None
    if " " in name and "HEAD" not in name:
        return None
    blanks = ("root",) if match["root"] else ()
    return Shape("commit", branch=None if detached else name, sha=sha, message=match["message"] or None, blanks=blanks)


def _read_message(name: str, blanks: tuple[str, ...]) -> Shape | None:
    first = blanks[0] if blanks else ""
    if name in ("new_branch", "reset_branch", "switched", "new_worktree"):
        return Shape(name, branch=first) if " " not in first else None
    if name in ("deleted_branch", "deleted_remote", "deleted_tag", "updated_tag"):
        if " " in first or not _sha_first().match(blanks[1]):
            return None
        return Shape(name, branch=first, sha=blanks[1])
    if name in ("now_at", "previous_head"):
        match = _sha_first().match(first.replace("입니다", "", 1).strip())
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


def _short(name: str) -> str:
    for prefix in ("refs/heads/", "refs/tags/", "refs/remotes/"):
        name = name.removeprefix(prefix)
    return name


def likely(text: str) -> bool:
    """Whether a line, or what is in it, may be a shape: most are none, and a scan costs a tenth of peeling them."""
    return bool(_likely().find_matches_as_indexes(text))


@cache
def _likely() -> AhoCorasick:
    inner = {" -> ", "\t", "To ", *git_messages.pieces()}  # of lines that go on with what is open, too
    return AhoCorasick([*(inner | needles())], implementation=Implementation.ContiguousNFA)


def checks() -> dict[str, re.Pattern[bytes]]:
    """What must stand before the needles that end a commit's hash: `12:00:00] ` ends none."""
    hash_end = re.compile(rb"[ \x80-\xff][0-9a-f]{4,40}\] $")
    return dict.fromkeys(_hash_ends(), hash_end)


def _hash_ends() -> set[str]:
    return {f"{digit}] " for digit in "0123456789abcdef"}  # two digits are 256 needles: a sixth of the time of the scan


def needles() -> frozenset[str]:
    """Substrings of which every line that begins an act holds at least one."""
    own = {
        "Merge made by ", "Fast-forward", "In-index merge", "stash@{",
        "-> FETCH_HEAD", " -> origin/", " -> upstream/",
    }  # fmt: skip
    places = ("http", "/", "git@", "ssh:", "../", "./", "file:", "git:", "github.com", "gitlab.", "bitbucket.")
    own |= {f"{word} {place}" for word in ("To", "From") for place in places}
    prints = {needle for pattern in git_prints.PATTERNS for needle in pattern.needles}
    return frozenset(own | _hash_ends() | prints | set(git_messages.needles()))
