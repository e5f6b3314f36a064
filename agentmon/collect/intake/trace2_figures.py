"""Subject and size of commits, from `git diff-tree`, asked beside: the collector never waits for it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEADLINE_S = 5.0
MOST = 40  # lines that fit into any pipe, so that writing them cannot block
_CHANGED = re.compile(r" (\d+) files? changed(?:, (\d+) insertions?\(\+\))?(?:, (\d+) deletions?\(-\))?")
# A line `COMMIT OTHER` compares with OTHER in place of the commit's parents; `COMMIT` alone with its first parent.
_COMMAND = (
    "git", "-c", "core.fsmonitor=false", "diff-tree", "--stdin", "--root", "--always", "-M", "--shortstat",
    "--diff-merges=first-parent", "--no-ext-diff", "--no-textconv", "--encoding=UTF-8", "--format=%x01%H%x02%s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """A commit, and with what it is compared (None: its first parent, or nothing for a root)."""

    sha: str
    against: str | None = None

    def __str__(self) -> str:
        return f"{self.sha} {self.against}" if self.against else self.sha


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a commit."""

    subject: str | None = None
    files_changed: int | None = None
    insertions: int | None = None
    deletions: int | None = None


class Asked:
    """One git process that answers questions about one repository."""

    def __init__(self, worktree: str, git_dir: str, questions: Sequence[Question]) -> None:
        self._questions = list(dict.fromkeys(questions))
        self._data = b""
        self._deadline = time.monotonic() + DEADLINE_S
        self.answers: dict[Question, Figures] | None = None
        words = [_COMMAND[0], f"--git-dir={git_dir}", *_COMMAND[1:]]
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=worktree,
                env=environment(os.environ), bufsize=0,
            )  # fmt: skip
        except OSError:
            self.answers = {}
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write("".join(f"{question}\n" for question in self._questions).encode())
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self.fd = self._process.stdout.fileno()
        os.set_blocking(self.fd, False)

    def read(self) -> bool:
        """Take what has come; whether that is all, or all that will be waited for."""
        if self.answers is not None:
            return True
        try:
            while data := os.read(self.fd, 1 << 16):
                self._data += data
        except BlockingIOError:
            if time.monotonic() < self._deadline:
                return False
        except OSError:
            pass
        self._end()
        return True

    def stop(self) -> None:
        """It is waited for no longer."""
        if self.answers is None:
            self._end()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self.answers = answers(self._data.decode("utf-8", "replace"), self._questions)


def answers(text: str, questions: Sequence[Question]) -> dict[Question, Figures]:
    """What `git diff-tree` said, by question; it answers in order, and leaves out what it does not know."""
    found: dict[Question, Figures] = {}
    left = list(questions)
    for block in text.split("\x01")[1:]:
        sha, _, rest = block.partition("\x02")
        subject, _, changed = rest.partition("\n")
        at = next((n for n, question in enumerate(left) if question.sha == sha), None)
        if at is None:
            continue
        match = _CHANGED.search(changed)
        numbers = [int(group or 0) for group in match.groups()] if match else [0, 0, 0]
        found[left[at]] = Figures(subject or None, *numbers)
        del left[: at + 1]
    return found


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """For a git that only looks: nothing of ours points it elsewhere or traces it; no locks, no network."""
    kept = {name: value for name, value in own.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_REPLACE_OBJECTS": "1", "GIT_TRACE2_EVENT": "0", "LC_ALL": "C",
    }  # fmt: skip
