"""What happened to HEAD of one working tree, read from its reflog: which sha, on which branch, in which order.

A line of `logs/HEAD` is `OLD NEW NAME <MAIL> SECONDS ZONE<tab>WHAT` (git's refs/files-backend.c). By the time that it
is read the repository may have moved on; the log has kept each step. Its times have whole seconds, and are what
GIT_COMMITTER_DATE says where that is set; so its order counts first, its times second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from agentmon.collect.intake.trace2_folders import first_line, git_folders

_LINE = re.compile(rb"([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [^\n]*?> (-?\d{1,18}) [+-]\d{1,6}(?:\t([^\n]*))?\Z")
_MOVING = re.compile(r"checkout: moving from (.+) to (.+)")
_RETURNING = re.compile(r"[^:]*(?:\((?:finish|abort)\)|finished): returning to refs/heads/(.+)")
_RENAMED = re.compile(r"Branch: renamed refs/heads/(.+) to refs/heads/(.+)")
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MOST = 1 << 20
_CLOCK_S = 0.02  # time(2) may lag behind gettimeofday(2) by a tick of the kernel
_COARSE_S = 0.01  # times of files come from the same tick
_FAR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of HEAD."""

    old: str
    new: str
    time: int
    text: str

    @property
    def moving(self) -> tuple[str, str] | None:
        """From where to where a checkout went."""
        found = _MOVING.fullmatch(self.text)
        return (found[1], found[2]) if found else None

    @property
    def inner(self) -> bool:
        """Whether it is a step on the way of something longer, or what undoing that leaves."""
        return self.text.startswith("rebase") or "(start)" in self.text or (self.text == "reset: moving to HEAD")


def entries_of(data: bytes) -> list[Entry]:
    """The entries in a piece of a log; what is no entry is left out."""
    found = []
    for line in data.split(b"\n"):
        if match := _LINE.match(line):
            text = (match[4] or b"").decode("utf-8", "replace")
            found.append(Entry(match[1].decode(), match[2].decode(), int(match[3]), text))
    return found


class Worktree:
    """One working tree and its log of HEAD. size: how long the log was when the run began, if that is known."""

    def __init__(self, path: str, git_dir: str | None, began: float, sizes: dict[str, int]) -> None:
        self.path = path
        folders = git_folders(path, git_dir)
        self.git_dir = folders[0] if folders else None
        self.common_dir = folders[1] if folders else None
        self._began = began
        self._entries: list[Entry] = []  # those that no command has claimed
        self._head: str | None = None
        self._on: str | None = None
        self._rebasing: str | None = None
        self._claimed: Entry | None = None
        self._log = os.path.join(self.git_dir, "logs", "HEAD") if self.git_dir else None
        size = sizes.get(self._log) if self._log else None
        if size is None and self._made_in_run():
            size = 0
        self._known_start = size is not None
        self._offset = size or 0
        self.made: set[str] = set()
        self._claimed_of: dict[str, int] = {}

    def is_that_of(self, other: Worktree) -> bool:
        """Whether the other is the same working tree."""
        if self.git_dir is None or other.git_dir is None:
            return False
        try:
            return os.path.samefile(self.git_dir, other.git_dir)
        except OSError:  # gone
            return self.git_dir == other.git_dir

    @property
    def logged(self) -> bool:
        """Whether there is a log at all: core.logAllRefUpdates can turn it off, and reftable keeps it elsewhere."""
        return self._log is not None and os.path.exists(self._log)

    def refresh(self, since: float) -> None:
        """Read what has been logged. since: when the first command began that nothing is known of yet."""
        if self._log is None or self.git_dir is None:
            return
        for _ in range(3):
            self._head = first_line(os.path.join(self.git_dir, "HEAD"))
            self._read(since)
            self._rebasing = self._head_name()
            if self._head == first_line(os.path.join(self.git_dir, "HEAD")):
                return

    def _read(self, since: float) -> None:
        try:
            with open(self._log or "", "rb") as file:
                size = os.fstat(file.fileno()).st_size
                modified = os.fstat(file.fileno()).st_mtime
                if size < self._offset:  # rewritten, as `git reflog expire` does
                    self._known_start, self._offset, self._entries = False, 0, []
                start = max(self._offset, size - _MOST)
                file.seek(start)
                data = file.read(_MOST)
        except OSError:
            return
        data = data[: data.rfind(b"\n") + 1]
        self._offset = start + len(data)
        found = entries_of(data)
        if not self._known_start:
            in_run = [entry for entry in found if entry.time >= int(since - _CLOCK_S)]
            found = in_run or (found[-1:] if modified >= since - _CLOCK_S else [])
            self._known_start = True
        self._entries += found

    def take(self, fits: Callable[[Entry], bool], started: float, ended: float, *, sure: bool) -> Entry | None:
        """The first entry not yet claimed that fits, and is of that time (or of no possible time at all, where
        GIT_COMMITTER_DATE is set); all before it are claimed with it. A command that may have left no entry (not
        sure) takes none that lies behind another command's of the same second: that would be a later command's."""
        for at, entry in enumerate(self._entries):
            if fits(entry) and self._of_time(entry, started, ended):
                del self._entries[: at + 1]
                self._claimed = entry
                return entry
            if not sure and entry.time >= int(started - _CLOCK_S) and not entry.inner:
                return None
        return None

    def next_is(self, fits: Callable[[Entry], bool]) -> bool:
        """Whether the entry behind the last one that was claimed fits."""
        return bool(self._entries) and fits(self._entries[0])

    def _of_time(self, entry: Entry, started: float, ended: float) -> bool:
        if int(started - _CLOCK_S) <= entry.time <= ended + _CLOCK_S:
            return True
        return entry.time < int(self._began) - 1 or entry.time > ended + _FAR_S

    def branch(self) -> str | None:
        """The branch that HEAD was on after the last claimed entry; None where it was detached. The next step away
        from there names it; without one it is where HEAD is now. A rebase names it where it returns to it."""
        on = self._branch()
        self._on = on.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if on is not None else None
        return self._on

    def _branch(self) -> str | None:
        rebasing = False
        for entry in self._entries:
            if found := _RETURNING.fullmatch(entry.text) or _RENAMED.fullmatch(entry.text):
                return found[1]
            if moving := entry.moving:
                return self._on if rebasing else None if _SHA.fullmatch(moving[0]) else moving[0]
            if entry.text.startswith("commit (initial)"):  # a branch without a past: the way there is not logged
                return self._on or self._holder()
            rebasing = rebasing or "(start)" in entry.text
        if rebasing:  # it has not ended yet
            return self._rebasing or self._on
        if self._head is None or (self._on and not self.logged):  # gone meanwhile, or what commands say is all there is
            return self._on
        head = self._head
        name = head.removeprefix("ref: refs/heads/")
        return self._on if name == ".invalid" else name if name != head else None

    def _holder(self) -> str | None:
        """The branch whose own log has the last claimed entry."""
        if self._claimed is None or self.common_dir is None:
            return None
        heads = os.path.join(self.common_dir, "logs", "refs", "heads")
        for path, _ in _files(heads):
            branch = os.path.relpath(path, heads)
            if self._claimed in entries_of(self._shared("logs", "refs", "heads", branch) or b""):
                return branch
        return None

    def _head_name(self) -> str | None:
        for folder in ("rebase-merge", "rebase-apply"):
            name = first_line(os.path.join(self.git_dir or "", folder, "head-name"))
            if name and name.startswith("refs/heads/"):
                return name.removeprefix("refs/heads/")
        return None

    def has_branch(self, name: str) -> bool:
        """Whether there is a branch of that name now."""
        places = (("refs", "heads", name), ("logs", "refs", "heads", name))
        return any(os.path.isfile(os.path.join(self.common_dir or "", *place)) for place in places if "\0" not in name)

    def now_on(self, branch: str | None) -> None:
        """HEAD was put on a branch that a command named; None: on one that it did not name."""
        self._on = branch

    def first_of(self, branch: str) -> Entry | None:
        """How a branch began, from its own log."""
        data = self._shared("logs", "refs", "heads", branch)
        found = entries_of(data[:4096]) if data else []
        return found[0] if found else None

    def sha_of(self, ref: str) -> str | None:
        """What a loose ref points to now."""
        data = self._shared(ref)
        text = data.strip().decode("ascii", "replace") if data else ""
        return text if _SHA.fullmatch(text) else None

    def _shared(self, *parts: str) -> bytes | None:
        if self.common_dir is None or any("\0" in part or ".." in part.split("/") for part in parts):
            return None
        try:
            with open(os.path.join(self.common_dir, *parts), "rb") as file:
                return file.read(_MOST)
        except (OSError, ValueError):
            return None

    def fetched(self, words: str, started: float, ended: float) -> bool:
        """Whether a fetch of that time moved a remote's branch. words: how it calls itself in the logs. A log that was
        last written while it ran is its own; of one that was written later, only what is not the last entry can be."""
        moved = False
        for path, info in _files(os.path.join(self.common_dir or "", "logs", "refs", "remotes")):
            at = self._claimed_of.get(path, max(0, info.st_size - 8192))
            if info.st_mtime < started - _COARSE_S or info.st_size <= at:
                continue
            try:
                with open(path, "rb") as file:
                    file.seek(at)
                    lines = file.read(_MOST).splitlines(keepends=True)
            except OSError:
                continue
            for line in lines if info.st_mtime <= ended else lines[:-1]:
                at += len(line)
                found = entries_of(line.rstrip(b"\n"))
                if found and found[0].text.startswith(words) and self._of_time(found[0], started, ended):
                    moved = True
                    self._claimed_of[path] = at
                    break
        return moved

    def _made_in_run(self) -> bool:
        """Whether the repository, or the working tree, was made in the run: from files that git never changes."""
        for name in ("commondir", "description", os.path.join("info", "exclude")):
            try:
                return os.stat(os.path.join(self.git_dir or "", name)).st_mtime >= self._began - _CLOCK_S
            except OSError:
                continue
        return False


def _files(folder: str) -> list[tuple[str, os.stat_result]]:
    found = []
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            try:
                found.append((path, os.stat(path)))
            except OSError:
                continue
        if len(found) > 5000:
            break
    return found
