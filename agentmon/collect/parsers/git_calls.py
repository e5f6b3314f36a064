"""Recorded tool calls: a command, its output and its exit status, put together to what happened."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentmon.collect.parsers import git_shell
from agentmon.collect.parsers.git_history import Act
from agentmon.collect.parsers.git_intents import VERBS, Intent, intents
from agentmon.collect.parsers.git_shell import Command

_LOOKING = frozenset(
    ("awk", "base64", "basename", "bat", "cat", "cd", "chmod", "column", "cp", "cut", "date", "diff", "dirname",
     "du", "echo", "egrep", "export", "false", "fgrep", "file", "find", "grep", "head", "hexdump", "jq", "less",
     "ls", "mkdir", "more", "mv", "nl", "od", "printf", "pwd", "rg", "rm", "sed", "set", "sleep", "sort", "stat",
     "strings", "tac", "tail", "tee", "test", "touch", "tr", "tree", "true", "uniq", "unset", "wc", "which",
     "whoami", "xxd", "yq", "zcat", "[", "popd", "pushd")
)  # fmt: skip
_LOOKING_GIT = frozenset(
    ("add", "blame", "branch", "cat-file", "check-ignore", "config", "describe", "diff", "for-each-ref",
     "format-patch", "grep", "init", "log", "ls-files", "ls-remote", "ls-tree", "mv", "notes", "reflog", "remote",
     "rev-list", "rev-parse", "rm", "show", "shortlog", "show-ref", "stash", "status", "tag", "var", "version",
     "whatchanged", "cherry", "range-diff", "restore")
)  # fmt: skip
_SURE = frozenset(
    {"branch_create", "commit", "checkout", "branch_delete", "clone", "tag", "cherry_pick", "revert", "reset"}
)
_FAILED = re.compile(
    r"^(?:fatal|error|bash|sh|zsh)\s?:|^CONFLICT|nothing to commit|no changes added to commit|Already up to date"
    r"|Already on '|Everything up-to-date|No local changes to save|is up to date\.$|did not match any"
    r"|Updated \d+ paths? from",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Planned:
    """An act that a command meant to do. known: the exit status alone says that it succeeded."""

    intent: Intent
    index: int
    hidden: bool
    known: bool
    likely: bool


def plan(command: str, exit_code: int | None) -> tuple[list[Planned], bool]:
    """The acts that a shell command means to do, and whether it runs programs that may use git themselves."""
    found = git_shell.commands(command)
    planned = []
    for call in git_shell.invocations(found):
        sure = exit_code == 0 and not call.perhaps and all(c.before == "&&" for c in found[call.index + 1 :])
        chained = found[call.index].before
        # `a || git …` runs only where a failed; `true; git …` and `a && git …` run.
        sure = sure and (chained in ("", ";", "\n", "&&")) and all(c.before != "||" for c in found[: call.index])
        likely = exit_code == 0 and not call.perhaps and chained != "||"
        planned += [Planned(i, call.index, call.hidden, sure, likely) for i in intents(call)]
    return planned, any(_acting(c) for c in found)


def _acting(command: Command) -> bool:
    name = command.words[0].rpartition("/")[2]
    if name == "git":
        calls = git_shell.invocations([command])
        return bool(calls) and calls[0].verb not in _LOOKING_GIT | VERBS
    return name not in _LOOKING


def settle(
    planned: Sequence[Planned], shown: Sequence[Act], output: str, current: str | None, *, acting: bool
) -> list[Act]:
    """What happened: what the output shows, named by what was meant; and what is silent but succeeded."""
    result: list[Act] = []
    left = list(shown)
    failed = bool(_FAILED.search(output[:20000]))
    for n, one in enumerate(planned):
        wanted = one.intent
        at = next((i for i, act in enumerate(left) if fits(act, wanted)), None)
        if at is None:
            if _succeeded(one, output, failed) and not (wanted.operation == "checkout" and wanted.branch == current):
                act = presumed(wanted, current)
                current = act.branch if act.moves and act.operation in ("branch_create", "checkout") else current
                result.append(act)
            continue
        if acting:
            result += left[:at]
        result.append(_named(left[at], wanted, current))
        left = left[at + 1 :]
        later = sum("commit" in p.intent.shapes for p in planned[n + 1 :])
        while wanted.operation in ("cherry_pick", "revert") and sum(a.operation == "commit" for a in left) > later:
            result.append(_named(left.pop(0), wanted, current))
        if wanted.operation == "pull" and result[-1].operation == "pull":
            while left and left[0].operation in ("merge", "rebase", "pull"):
                left.pop(0)
        last = result[-1]
        if last.operation in ("branch_create", "checkout") and last.moves:
            current = last.branch
    return result + (left if acting else [])


def fits(act: Act, wanted: Intent) -> bool:
    """Whether what was shown is what was meant."""
    if act.operation not in wanted.shapes:
        return False
    named = wanted.branch is not None and act.branch is not None and act.operation != "reset" and act.stated
    if named and act.operation in ("branch_create", "checkout", "branch_delete"):
        return act.branch == wanted.branch or str(act.branch).endswith("/" + str(wanted.branch))
    return wanted.operation == "checkout" or act.operation != "reset" or wanted.operation == "reset"


def _succeeded(one: Planned, output: str, failed: bool) -> bool:
    quiet = one.intent.silent or one.hidden
    if one.known:
        return (one.intent.operation in _SURE or quiet) and not (failed and not one.intent.silent)
    return one.likely and quiet and not failed


def presumed(wanted: Intent, current: str | None) -> Act:
    """The act of a command that succeeded in silence."""
    own = wanted.operation in ("branch_create", "checkout", "branch_delete", "push", "clone", "tag")
    branch = wanted.branch if own else current
    if wanted.operation == "push" and branch is None:
        branch = current
    identity = None
    if wanted.operation == "branch_create":
        identity = ("branch", branch or "")
    elif wanted.operation == "branch_delete":
        identity = ("deleted", branch or "")
    return Act(
        wanted.operation,
        branch,
        wanted.message,
        source=wanted.source,
        identity=identity,
        stated=own,
        moves=wanted.moves,
    )


def _named(act: Act, wanted: Intent, current: str | None) -> Act:
    """An act as it was shown, with what only the command tells."""
    operation = (
        act.operation if {act.operation, wanted.operation} == {"branch_create", "checkout"} else wanted.operation
    )
    branch, stated = act.branch, act.stated
    if act.operation == "reset" and operation == "checkout":
        branch, stated = None, True
    if branch is None and not stated and operation not in ("checkout", "tag"):
        branch = current
    return replace(
        act, operation=operation, branch=branch, stated=stated, message=act.message or wanted.message,
        source=act.source or wanted.source,
    )  # fmt: skip
