"""The reader of git's trace: tails it, and tells what the commands in it did."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from agentmon.collect.intake.trace2_acts import Act, acts
from agentmon.collect.intake.trace2_figures import MOST, Asked, Figures
from agentmon.collect.intake.trace2_log import Worktree
from agentmon.collect.intake.trace2_processes import Command, Processes
from agentmon.events import Finding

_CLOSING_S = 2.0
_LONGEST = 4 << 20
_TREES = 500
_MESSAGE = 1000


class Trace:
    """The file that all git processes of a run append to.

    It is kept short by unlinking it: git creates it anew (O_CREAT), and who holds the old one goes on writing there,
    where we go on reading. Truncating it would lose what is written between our last read and the truncation.
    """

    FULL = 1 << 20
    HELD = 64  # old files that are still read: of git processes that go on for long

    def __init__(self, path: str) -> None:
        self._path = path
        self._files: list[_File] = []

    def lines(self) -> Iterator[bytes]:
        """The lines completed since the last call, oldest file first."""
        if not self._files or self._files[-1].dropped:
            with contextlib.suppress(OSError):
                self._files.append(_File(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)))
        for file in self._files:
            yield from file.lines()
        if self._files and not self._files[-1].dropped and self._files[-1].offset >= self.FULL:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
                self._files[-1].dropped = True
        while len(self._files) > self.HELD:
            self._files.pop(0).close()

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()
        self._files.clear()


class _File:
    def __init__(self, fd: int) -> None:
        self._fd, self.offset, self.dropped = fd, 0, False
        self._rest = b""

    def lines(self) -> Iterator[bytes]:
        while True:
            try:
                data = os.pread(self._fd, 1 << 20, self.offset)
            except OSError:
                return
            if not data:
                return
            self.offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > _LONGEST:
                self._rest = b""
            yield from lines

    def close(self) -> None:
        os.close(self._fd)


@dataclass(slots=True)
class _Waiting:
    act: Act
    time: float
    tree: Worktree | None
    figures: Figures | None = None


class Trace2Reader:
    """The source `trace2` in the collector. began: Unix seconds; sizes: of logs of HEAD when the run began."""

    def __init__(self, path: str, began: float, sizes: Mapping[str, int]) -> None:
        self._trace = Trace(path)
        self._began, self._sizes = began, dict(sizes)
        self._processes = Processes()
        self._trees: dict[tuple[str, str | None], Worktree] = {}
        self._queue: deque[_Waiting] = deque()
        self._asked: Asked | None = None
        self._of: list[_Waiting] = []

    def read(self) -> Iterable[Finding]:
        """The acts whose commands have ended, in the order of their ends. Those behind one that git is still asked
        about wait for it."""
        commands = [command for line in self._trace.lines() if (command := self._processes.feed(line)) is not None]
        if commands:
            self._take(sorted(commands, key=lambda command: command.ended))
        self._ask()
        return self._ready()

    def interests(self) -> Mapping[int, int]:
        """The answer that we wait for."""
        return {self._asked.fd: select.POLLIN} if self._asked is not None and self._asked.answers is None else {}

    def close(self) -> Iterable[Finding]:
        """The rest; git is waited for, but not long."""
        found = list(self.read())
        until = time.monotonic() + _CLOSING_S
        while self._queue and (left := until - time.monotonic()) > 0:
            poll = select.poll()
            for fd, mask in self.interests().items():
                poll.register(fd, mask)
            poll.poll(left * 1000)
            found += self.read()
        if self._asked is not None:
            self._asked.stop()
        self._trace.close()
        return found + [_finding(waiting) for waiting in self._queue]

    def _take(self, commands: list[Command]) -> None:
        trees: dict[int, Worktree | None] = {}
        fresh: set[int] = set()
        for n, command in enumerate(commands):
            tree = trees[n] = self._tree(command)
            if tree is not None and id(tree) not in fresh:
                tree.refresh(command.started)
                fresh.add(id(tree))
        for n, command in enumerate(commands):
            self._queue += [_Waiting(act, command.ended, trees[n]) for act in acts(command, trees[n])]

    def _tree(self, command: Command) -> Worktree | None:
        if command.worktree is None:
            return None
        key = (command.worktree, command.git_dir)
        if key not in self._trees:
            if len(self._trees) >= _TREES:
                self._trees.pop(next(iter(self._trees)))
            made = Worktree(*key, self._began, self._sizes)
            known = (tree for tree in self._trees.values() if made.git_dir is not None and tree.is_that_of(made))
            self._trees[key] = next(known, made)  # one log of HEAD, however git was pointed to it
        return self._trees[key]

    def _ask(self) -> None:
        """One git process at a time, for the acts of one repository that follow one another."""
        while True:
            if self._asked is not None:
                if not self._asked.read():
                    return
                for waiting in self._of:
                    question = waiting.act.question
                    waiting.figures = (self._asked.answers or {}).get(question, Figures()) if question else None
                self._asked, self._of = None, []
            self._of = self._next()
            if not self._of:
                return
            tree = self._of[0].tree
            questions = [waiting.act.question for waiting in self._of if waiting.act.question is not None]
            assert tree is not None
            assert tree.git_dir is not None
            self._asked = Asked(tree.path, tree.git_dir, questions)

    def _next(self) -> list[_Waiting]:
        found: list[_Waiting] = []
        for waiting in self._queue:
            if waiting.figures is not None or not _asks(waiting):
                continue
            if found and waiting.tree is not found[0].tree:
                continue
            found.append(waiting)
            if len(found) == MOST:
                break
        return found

    def _ready(self) -> Iterator[Finding]:
        while self._queue and (self._queue[0].figures is not None or not _asks(self._queue[0])):
            yield _finding(self._queue.popleft())


def _asks(waiting: _Waiting) -> bool:
    return waiting.act.question is not None and waiting.tree is not None and waiting.tree.git_dir is not None


def _finding(waiting: _Waiting) -> Finding:
    activity = waiting.act.activity
    if activity.message is not None:
        activity = replace(activity, message=activity.message[:_MESSAGE])
    if waiting.figures is not None:
        figures = waiting.figures
        subject = (
            activity.message if activity.operation == "pull" else (figures.subject or "")[:_MESSAGE] or activity.message
        )
        activity = replace(
            activity, message=subject, files_changed=figures.files_changed, insertions=figures.insertions,
            deletions=figures.deletions,
        )  # fmt: skip
    return Finding(activity, time=waiting.time)
