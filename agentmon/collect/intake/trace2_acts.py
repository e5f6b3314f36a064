"""What a git command that ended did: its words say what was meant, the logs of the repository what became of it.

An act is told where the repository shows it (a step of HEAD, of a remote's branch), or where git's exit status alone
proves it (`git branch x`). What changed nothing is no act: `merge` and `pull` that are up to date, `checkout` of the
branch that one is on, `reset` that moves nothing and throws nothing away, `stash` and `push` with nothing to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agentmon.collect.intake.trace2_figures import Question
from agentmon.collect.intake.trace2_log import Entry, Worktree
from agentmon.collect.intake.trace2_processes import Command
from agentmon.collect.parsers.git_intents import Intent, intents
from agentmon.collect.parsers.git_shell import Invocation
from agentmon.events import GitActivity

_RECEIVED = frozenset({"unpack-objects", "index-pack"})
_ZERO = re.compile("0+")
_NAMES = ("am", "Branch", "checkout", "cherry-pick", "clone", "commit", "merge", "pull", "rebase", "reset", "revert")
_DELEGATED = {("worktree", "branch"), ("stash", "checkout")}  # `worktree add -b x`, `stash branch x`
_PICKED = {"cherry-pick": "cherry_pick", "revert": "revert"}


@dataclass(frozen=True, slots=True)
class Act:
    """One act; question: what its repository is still to be asked."""

    activity: GitActivity
    question: Question | None = None


def acts(command: Command, tree: Worktree | None) -> list[Act]:
    """The acts of one command, in order. tree: the working tree that it ran in, freshly read; commands must come in the
    order in which they ended, those that are nobody's own too, for they may have moved HEAD."""
    if not command.own:
        if tree is not None and command.code == 0:
            _follow(command, tree)
        if (command.parent, command.verb) not in _DELEGATED:
            return []
    made = _Acts(command, tree).made()
    return list(made)


def _follow(command: Command, tree: Worktree) -> None:
    """What git's own commands do to HEAD."""
    if command.verb == "reset" and command.parent == "stash":
        tree.take(_starts("reset: "), command.started, command.ended, sure=True)
    if command.verb == "symbolic-ref" and len(command.arguments) > 1 and command.arguments[0] == "HEAD":
        tree.now_on(command.arguments[1].removeprefix("refs/heads/"))  # how `worktree add` begins


class _Acts:
    def __init__(self, command: Command, tree: Worktree | None) -> None:
        self._command, self._tree = command, tree
        self._repo = command.worktree

    def made(self) -> Iterator[Act]:
        command = self._command
        if command.verb in _PICKED:
            yield from self._picked()  # picks before the one that failed were made
            return
        if command.code != 0:
            return
        if command.verb == "symbolic-ref" and self._tree is not None:
            _follow(command, self._tree)
        if command.verb == "am":
            yield from self._each("commit", _starts("am: "), sure=True)
        elif command.verb in ("checkout", "switch"):
            yield from self._checkout()
        else:
            meant = intents(Invocation(command.verb, command.arguments, 0, False, False))
            if command.verb == "merge" and not meant and not {"--abort", "--quit"} & set(command.arguments):
                meant = [Intent("merge")]  # without a name: what the branch tracks
            for intent in meant:
                if make := _MAKERS.get(intent.operation):
                    yield from make(self, intent)

    # ------------------------------------------------------------ acts that move HEAD

    def _commit(self, intent: Intent) -> Iterator[Act]:
        if {"--short", "--porcelain", "--long"} & set(self._command.arguments):  # these only look
            return
        entry = self._take(lambda e: e.text.startswith("commit") or _named_otherwise(e), sure=True)
        if entry is None:
            if not self._logged:
                yield self._act("commit", self._branch(), message=intent.message)
            return
        amended = entry.text.startswith("commit (amend)")
        yield self._act(
            "commit", self._branch(), sha=entry.new, message=entry.text.partition(": ")[2] or intent.message,
            question=Question(entry.new, None if amended else _known(entry.old)),
        )  # fmt: skip

    def _merge(self, intent: Intent) -> Iterator[Act]:
        source = "@{-1}" if intent.source == "-" else intent.source
        words = (f"merge {source}:", f"merge {source} ") if source else ("merge ", "commit (merge)")
        if not self._logged and self._changed:
            yield self._act("merge", self._branch(), message=intent.message)
        entry = self._take(lambda e: e.text.startswith(words) and e.old != e.new, sure=False)
        if entry is not None:
            yield self._act(
                "merge",
                self._branch(),
                sha=entry.new,
                message=intent.message,
                question=Question(entry.new, _known(entry.old)),
            )

    def _pull(self, _: Intent) -> Iterator[Act]:
        mine = _starts(" ".join(("pull", *self._command.arguments)))  # git quotes its own words here
        first = self._take(mine, sure=False)
        if first is None:
            if self._fetched():
                yield self._act("pull", self._branch())
            return
        self._fetched()  # claims the steps of the remote's branches
        last = first
        while "(finish)" not in last.text and "(start)" in first.text and (entry := self._take(mine, sure=True)):
            last = entry
        yield self._act("pull", self._branch(), sha=last.new, question=Question(last.new, _known(first.old)))

    def _rebase(self, _: Intent) -> Iterator[Act]:
        entry = self._take(lambda e: e.text.startswith("rebase") and "finish" in e.text, sure=False)
        if entry is not None:
            yield self._act("rebase", self._branch(), sha=entry.new)
        elif not self._logged and self._changed:
            yield self._act("rebase", self._branch())

    def _picked(self) -> Iterator[Act]:
        verb = self._command.verb
        continued = "--continue" in self._command.arguments
        if continued and (entry := self._take(_starts("commit", verb), sure=self._command.code == 0)):
            yield self._step(_PICKED[verb], entry)
        yield from self._each(_PICKED[verb], _starts(verb), sure=self._command.code == 0 and not continued)
        if not self._logged and self._command.code == 0:
            for intent in intents(Invocation(verb, self._command.arguments, 0, False, False)):
                yield self._act(intent.operation, self._branch())

    def _each(self, operation: str, fits: Callable[[Entry], bool], *, sure: bool) -> Iterator[Act]:
        """An act for each step: these commands make several commits."""
        entry = self._take(fits, sure=sure)
        while entry is not None:
            yield self._step(operation, entry)
            entry = self._take(fits, sure=True) if self._tree is not None and self._tree.next_is(fits) else None

    def _step(self, operation: str, entry: Entry) -> Act:
        message = entry.text.partition(": ")[2]
        return self._act(
            operation, self._branch(), sha=entry.new, message=message if message != "fast-forward" else None,
            question=Question(entry.new, _known(entry.old)),
        )  # fmt: skip

    def _reset(self, intent: Intent) -> Iterator[Act]:
        where = next((word for word in self._command.arguments if not word.startswith("-")), "HEAD")
        entry = self._take(lambda e: e.text == f"reset: moving to {where}", sure=True)
        thrown = self._command.mode in ("hard", "merge", "keep")
        if entry is not None and (entry.old != entry.new or thrown):
            yield self._act("reset", self._branch(), sha=entry.new)
        elif entry is None and thrown and not self._logged:
            yield self._act("reset", self._branch())

    def _checkout(self) -> Iterator[Act]:
        command, tree = self._command, self._tree
        if command.mode == "path":
            return
        meant = intents(Invocation(command.verb, command.arguments, 0, False, False))
        created = next((intent.branch for intent in meant if intent.operation == "branch_create"), None)
        entry = self._take(lambda e: e.moving is not None and self._went(e.moving[1], created), sure=True)
        if created is not None:
            self._made(created)
            if tree is not None:
                tree.now_on(created)
            yield self._act("branch_create", created, sha=entry.new if entry else None)
            return
        if entry is None or entry.moving is None or tree is None:
            silent = bool(meant) and command.mode == "branch" and not self._logged
            branch = meant[0].branch if silent else None
            if branch is not None and branch != self._branch():
                yield self._act("checkout", branch)
            if tree is not None and command.mode == "branch" and not self._logged:
                tree.now_on(branch)
            return
        before, after = entry.moving
        if tree.has_branch(after):
            tree.now_on(after)
        branch = self._branch()
        if before == after or (branch is None and entry.old == entry.new and before == entry.old):
            return
        yield self._act("branch_create" if self._sprang(entry, branch) else "checkout", branch, sha=entry.new)

    def _went(self, where: str, created: str | None) -> bool:
        """Whether a checkout to there is this one."""
        if created is not None:
            return where == created
        words = [word for word in self._command.arguments if not word.startswith("-") or word == "-"]
        known = [word for word in words if word != "-" and "@{" not in word]
        return len(known) < len(words) or not words or any(w == where or w.endswith(f"/{where}") for w in known)

    def _sprang(self, entry: Entry, branch: str | None) -> bool:
        """Whether the checkout made the branch from a remote's of that name, as git does unasked."""
        if branch is None or self._tree is None or branch in self._tree.made:
            return False
        first = self._tree.first_of(branch)
        begun = int(self._command.started - 0.02) <= first.time <= self._command.ended + 0.02 if first else False
        sprung = (
            first is not None and begun and first.new == entry.new and first.text.startswith("branch: Created from")
        )
        if sprung:
            self._made(branch)
        return sprung

    # ------------------------------------------------------------ acts that do not

    def _branch_create(self, intent: Intent) -> Iterator[Act]:
        if intent.branch and not (self._command.verb == "worktree" and "branch" in self._command.within):
            self._made(intent.branch)
            first = self._tree.first_of(intent.branch) if self._tree else None
            yield self._act("branch_create", intent.branch, sha=first.new if first else None)

    def _branch_delete(self, intent: Intent) -> Iterator[Act]:
        if self._tree is not None:
            self._tree.made.discard(intent.branch or "")
        yield self._act("branch_delete", intent.branch)

    def _push(self, intent: Intent) -> Iterator[Act]:
        words = self._command.arguments
        deletes = {"-d", "--delete", "--prune", "--mirror"} & set(words) or any(word.startswith(":") for word in words)
        if "pack-objects" not in self._command.within and not deletes:
            return
        branch = intent.branch.removeprefix("refs/heads/") if intent.branch else self._branch()
        yield self._act("push", branch)

    def _fetch(self, _: Intent) -> Iterator[Act]:
        if self._fetched():
            yield self._act("fetch", self._branch())

    def _clone(self, _: Intent) -> Iterator[Act]:
        entry = self._take(_starts("clone: "), sure=True)
        yield self._act("clone", self._branch(), sha=entry.new if entry else None)

    def _stash(self, intent: Intent) -> Iterator[Act]:
        command = self._command
        word = next((word for word in command.arguments if not word.startswith("-")), "push")
        if word in ("push", "save") and not command.within:
            return
        yield self._act("stash", self._branch(), message=intent.message)

    def _tag(self, intent: Intent) -> Iterator[Act]:
        deleted = {"-d", "--delete"} & set(self._command.arguments)
        sha = (
            self._tree.sha_of(f"refs/tags/{intent.message}") if self._tree and intent.message and not deleted else None
        )
        yield self._act("tag", None, message=intent.message, sha=sha)

    # ------------------------------------------------------------ what they share

    def _act(
        self, operation: str, branch: str | None, *, sha: str | None = None, message: str | None = None,
        question: Question | None = None,
    ) -> Act:  # fmt: skip
        activity = GitActivity(operation, branch, message=message, sha=sha, repo=self._repo, source="trace2")
        return Act(activity, question)

    @property
    def _changed(self) -> bool:
        """Without a log: whether git looked for something to clean up, as it does after a merge that was one."""
        return bool({"maintenance", "gc"} & self._command.within)

    @property
    def _logged(self) -> bool:
        return self._tree is not None and self._tree.logged

    def _take(self, fits: Callable[[Entry], bool], *, sure: bool) -> Entry | None:
        if self._tree is None:
            return None
        return self._tree.take(fits, self._command.started, self._command.ended, sure=sure)

    def _branch(self) -> str | None:
        return self._tree.branch() if self._tree is not None else None

    def _made(self, branch: str) -> None:
        if self._tree is not None:
            self._tree.made.add(branch)

    def _fetched(self) -> bool:
        received = bool(_RECEIVED & self._command.within)
        command, words = self._command, [self._command.verb, *self._command.arguments]
        if {"--all", "--multiple"} & set(words):  # then others do it for it
            words = words[:1]
        moved = self._tree is not None and self._tree.fetched(" ".join(words), command.started, command.ended)
        return received or moved


def _starts(*words: str) -> Callable[[Entry], bool]:
    return lambda entry: entry.text.startswith(words)


def _named_otherwise(entry: Entry) -> bool:
    """A step that GIT_REFLOG_ACTION has named. (What makes a worktree leaves one without any name.)"""
    return entry.text != "" and entry.old != entry.new and not entry.text.startswith(_NAMES)


def _known(sha: str) -> str | None:
    """A sha, or None for the zeros before the first commit."""
    return None if _ZERO.fullmatch(sha) else sha


_Maker = Callable[[_Acts, Intent], Iterable[Act]]
_MAKERS: dict[str, _Maker] = {
    "commit": _Acts._commit, "merge": _Acts._merge, "pull": _Acts._pull, "rebase": _Acts._rebase, "reset": _Acts._reset,
    "branch_create": _Acts._branch_create, "branch_delete": _Acts._branch_delete, "push": _Acts._push,
    "fetch": _Acts._fetch, "clone": _Acts._clone, "stash": _Acts._stash, "tag": _Acts._tag,
}  # fmt: skip
