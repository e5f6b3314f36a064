"""Acts that take git several lines to tell: they are open until the lines that belong to them have passed."""

import re
from enum import Enum
from typing import Protocol

from agentmon.collect.parsers import git_messages, git_shapes
from agentmon.collect.parsers.git_frames import peel
from agentmon.collect.parsers.git_history import Act

_PROGRESS = (
    "remote:", "warning:", "hint:", "Enumerating", "Counting", "Compressing", "Unpacking", "Receiving", "Resolving",
    "Updating files", "Filtering content", "Username for", "Fetching ",
)  # fmt: skip
_DONE = frozenset(  # `done.` in git's languages
    ("done.", "действието завърши.", "fet.", "Fertig.", "ολοκληρώθηκε.", "hecho.", "fait.", "selesai.", "fatto.",
     "완료.", "gotowe.", "concluído.", "готово.", "klart.", "bitti.", "hoàn tất.", "完成。")
)  # fmt: skip
_APPLYING = (  # and `Applying: `
    "Applying: ", "A aplicar:", "Aplicando:", "Application de", "Applicazione in corso:", "Menerapkan:",
    "S'està aplicant:", "Stosowanie:", "Tillämpar:", "Uygulanıyor:", "Wende an:", "Áp dụng:", "Прилагане:",
    "Применение:", "套用：", "应用：", "적용하는 중:",
)  # fmt: skip
_NEUTRAL = (*_PROGRESS, "Auto-merging", "Removing ", "Created autostash", "Applied autostash", "Rebasing (", "From ")
_FAILED = re.compile(
    r"^(?:fatal|error)(?::| ?:|：)|^CONFLICT|^KONFLIKT|^ssh: |permission denied|authentication failed", re.IGNORECASE
)


class Take(Enum):
    """What a block says to a line: mine, go on; mine, and I am complete; not mine, I am over."""

    MORE = 1
    LAST = 2
    OVER = 3


class Block(Protocol):
    """An act that is being told. `act` is None when it turned out not to have happened."""

    act: Act | None

    def take(self, line: str) -> Take: ...


def failure(text: str) -> bool:
    """Whether git says, in any of its languages, that something failed."""
    if _FAILED.search(text[:200]):
        return True
    message = git_messages.read(text[:400])
    return message is not None and message[0] in ("fatal", "error", "merge_failed")


def _clean(line: str) -> str:
    return line.strip(" \t\u00a0│┃║|").strip()


def _stat(line: str) -> git_shapes.Stat | None:
    if " changed" not in line:
        return None
    return next(
        (s for framed in peel(line) for part in framed.text.split("\n") if (s := git_shapes.stat(part.strip()))), None
    )


class Commit:
    """`[main 1234567] subject`, then maybe author and date, then the summary of the diffstat."""

    def __init__(self, act: Act, *, wide: bool, root: bool = False) -> None:
        self.act: Act | None = act
        self.root = root
        self.summed = False
        self.dated = False  # git told the date or the author, as it does of a commit that is amended
        self._patience = 0
        self._maybe: list[str] = []
        self._wide = wide  # the subject may go on in the next line

    def take(self, line: str) -> Take:
        assert self.act is not None
        if stat := _stat(line):
            self.act.files, self.act.insertions, self.act.deletions = stat.files, stat.insertions, stat.deletions
            self.summed = True
            if self._maybe and self.act.message:
                self.act.message = " ".join([self.act.message, *self._maybe])
            return Take.LAST
        text = _clean(line)
        if line.lstrip("│┃║| ").startswith(("Committer:", "Committer\xa0:")):
            self._patience = 20
            return Take.MORE
        if line[:1] in " │┃" and re.match(r"[A-Za-zÀ-ÿ]{2,16}\s?: ?\S", text):  # Date:, Author:
            self.dated = True
            return Take.MORE
        if self._patience > 0:
            self._patience -= 1
            return Take.MORE
        if self._wide and text and line[:1] != " " and len(self._maybe) < 3:
            self._maybe.append(text)
            return Take.MORE
        return Take.OVER


class Merge:
    """`Merge made by …` or `Fast-forward`, then the diffstat."""

    def __init__(self, act: Act, *, squash: bool = False) -> None:
        self.act: Act | None = act
        self._lines: list[str] = []
        self._squash = squash
        self._name = act.identity

    def take(self, line: str) -> Take:
        assert self.act is not None
        text = _clean(line)
        if stat := _stat(line):
            self.act.files, self.act.insertions, self.act.deletions = stat.files, stat.insertions, stat.deletions
            self._lines.append(text)
            self._identify()
            return Take.LAST
        message = git_messages.read(text)
        if message and message[0] in ("squashed", "stopped"):
            return Take.MORE
        if self._squash and failure(text):
            self.act = None
            return Take.LAST
        if " | " in line[1:-1] and len(self._lines) < 4000:
            self._lines.append(re.sub(r"\s{1,200}", " ", text)[:120])
            return Take.MORE
        self._identify()
        return Take.OVER

    def _identify(self) -> None:
        if self.act and self.act.identity is None and self._lines:
            self.act.identity = ("stat", *self._lines[-50:])


class Refs:
    """What push and fetch list: `To URL` or `From URL`, then a line per ref; after a fetch maybe the rest of a pull."""

    def __init__(self, operation: str, url: str | None) -> None:
        self.act: Act | None = None
        self.operation = operation
        self.url = url
        self.refs: list[git_shapes.Ref] = []
        self.broken = False
        self._patience = 12

    def take(self, line: str) -> Take:
        texts = (line,) if "\t" in line else (framed.text for framed in peel(line))  # --porcelain begins with a tab
        found = next((r for text in texts if (r := git_shapes.ref(text))), None)
        if found:
            self.refs.append(found)
            return Take.MORE
        if not self.refs:
            return Take.OVER
        text = _clean(line)
        if self.operation == "push":
            return Take.MORE if text == "Done" else Take.OVER
        if failure(text):
            self.broken = True
            return Take.LAST
        self._patience -= not text.startswith("hint:")
        neutral = not text or text.startswith(_NEUTRAL) or git_shapes.moved_range(text)
        return Take.MORE if neutral and self._patience > 0 else Take.OVER

    @property
    def updated(self) -> bool:
        """Whether a ref of ours is another now."""
        return any(r.moved and r.target != "FETCH_HEAD" for r in self.refs)

    def result(self, current: str | None) -> Act | None:
        """The act, when all lines are known."""
        moved = [r for r in self.refs if r.moved]
        if not moved or self.broken:
            return None
        names = [_branch_of(r) for r in moved if not r.tag]
        identity = (self.operation, *(f"{r.flag}{r.summary}{r.source}{r.target}" for r in moved))
        if self.operation == "push":
            branch = current if current in names else next(iter(names), None)
            return Act("push", branch, repo=self.url, identity=identity)
        return Act("fetch", current, repo=self.url, stated=False, identity=identity if self.updated else None)


def _branch_of(ref: git_shapes.Ref) -> str | None:
    return (ref.target or ref.source).removeprefix("refs/heads/")


class Clone:
    """`Cloning into …`: it happened unless git says in the next lines that it failed."""

    def __init__(self, act: Act) -> None:
        self.act: Act | None = act
        self._patience = 8

    def take(self, line: str) -> Take:
        text = _clean(line)
        if failure(text):
            self.act = None
            return Take.LAST
        if text in _DONE or (text.startswith("Resolving deltas") and text.endswith("done.")):
            return Take.LAST
        if text.startswith(_PROGRESS):
            return Take.MORE
        self._patience -= 1
        return Take.MORE if self._patience > 0 else Take.OVER


class Rewind:
    """A rebase by patches: it begins with a line, and its end has none."""

    def __init__(self, act: Act) -> None:
        self.act: Act | None = act
        self._patience = 200
        self._unknown = 8  # lines about a merge, as they are in other languages

    def take(self, line: str) -> Take:
        text = _clean(line)
        if failure(text) or text.startswith("Patch failed") or '"git rebase --continue"' in text:
            self.act = None
            return Take.LAST
        message = git_messages.read(text)
        if message and message[0] == "forwarded" and self.act:
            self.act.branch, self.act.stated = message[1][0].removeprefix("refs/heads/"), True
            return Take.LAST
        self._patience -= 1
        mine = text.startswith(
            (*_APPLYING, "Using index info", "Falling back to", "Auto-merging", "warning:", "M\t", "A\t")
        )
        self._unknown -= not mine
        return Take.MORE if text and self._unknown >= 0 and self._patience > 0 else Take.OVER
