"""What a git invocation is meant to do: what is known from the command alone, if it succeeded."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from agentmon.collect.parsers.git_shell import Invocation

_VALUES = {
    "commit": "-m --message -F --file -C -c --reuse-message --reedit-message --fixup --squash --author --date -t "
    "--template --cleanup --trailer --pathspec-from-file",
    "checkout": "--conflict --pathspec-from-file",
    "switch": "--conflict",
    "branch": "-u --set-upstream-to --format --sort --contains --no-contains --points-at --merged --no-merged --color",
    "merge": "-m --message -F --file -s --strategy -X --strategy-option --into-name --cleanup --log",
    "pull": "-s --strategy -X --strategy-option --depth --deepen --upload-pack -j --jobs",
    "push": "-o --push-option --repo --receive-pack --exec",
    "fetch": "--depth --deepen --upload-pack -j --jobs --refmap --negotiation-tip",
    "clone": "-b --branch -o --origin --depth --reference --template -c --config -u -j --jobs --filter",
    "rebase": "--onto -x --exec -s --strategy -X --strategy-option -C",
    "cherry-pick": "-m --mainline -s --strategy -X --strategy-option --cleanup",
    "revert": "-m --mainline -s --strategy -X --strategy-option --cleanup",
    "reset": "--pathspec-from-file",
    "tag": "-m --message -F --file -u --local-user --sort --format --contains --no-contains --points-at --merged",
    "stash": "-m --message",
    "worktree": "-b -B --reason",
}
_SHORT_VALUES = {"commit": "mFCct", "merge": "mFsX", "tag": "mFu", "stash": "m", "push": "o", "clone": "bocuj"}
_FIRST_LINE = re.compile(r"^\$\(cat\s{0,4}<<-?\s{0,4}['\"]?(\w{1,60})['\"]?[ \t]{0,40}\n\s{0,200}(.{0,1000}?)(?:\n|$)")


@dataclass(frozen=True, slots=True)
class Intent:
    """An act that an invocation performs if it succeeds. silent: git then prints nothing about it."""

    operation: str
    branch: str | None = None
    message: str | None = None
    silent: bool = False
    source: str | None = None
    moves: bool = True
    shapes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Options:
    flags: frozenset[str]
    values: dict[str, str]
    names: tuple[str, ...]
    paths: bool  # a `--` was there

    def any(self, *names: str) -> bool:
        return any(n in self.flags or n in self.values for n in names)


def intents(invocation: Invocation) -> list[Intent]:
    """The acts that one invocation is meant to do; none for what only looks, or ends something."""
    verb = invocation.verb
    make = _MAKERS.get(verb)
    if make is None:
        return []
    options = _options(verb, invocation.arguments)
    if options.any("--dry-run", "--abort", "--quit", "--edit-todo", "--show-current-patch", "-h", "--help"):
        return []
    return make(options)


def _options(verb: str, arguments: tuple[str, ...]) -> _Options:
    valued = _VALUES.get(verb, "").split()
    short = _SHORT_VALUES.get(verb, "")
    flags: set[str] = set()
    values: dict[str, str] = {}
    names: list[str] = []
    paths = False
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            paths = True
            break
        if word.startswith("--") and "=" in word:
            name, _, value = word.partition("=")
            values.setdefault(name, value)
        elif word in valued:
            values.setdefault(word, next(rest, ""))
        elif word.startswith("-") and not word.startswith("--") and len(word) > 2:
            for at, letter in enumerate(word[1:], 2):
                if letter in short:
                    values.setdefault("-" + letter, word[at:] or next(rest, ""))
                    break
                flags.add("-" + letter)
        elif word.startswith("-") and word != "-":
            flags.add(word)
        else:
            names.append(word)
    return _Options(frozenset(flags), values, tuple(names), paths)


def _message(options: _Options) -> str | None:
    text = options.values.get("-m", options.values.get("--message"))
    if not text:
        return None
    if match := _FIRST_LINE.match(text):
        return match[2].strip() or None
    return None if text.startswith("$") else text.strip().partition("\n")[0].strip() or None


def _quiet(options: _Options) -> bool:
    return options.any("-q", "--quiet")


def _commit(o: _Options) -> list[Intent]:
    return [Intent("commit", None, _message(o), _quiet(o), shapes=frozenset({"commit"}))]


def _checkout(o: _Options) -> list[Intent]:
    create = next((o.values.get(n) or n for n in ("-b", "-B", "--orphan") if o.any(n)), None)
    if create and o.names:
        return [Intent("branch_create", o.names[0], None, _quiet(o), shapes=_MOVES)]
    if o.paths or o.any("-p", "--patch", "--ours", "--theirs", "--pathspec-from-file") or len(o.names) > 1:
        return []
    if o.any("-t", "--track") and o.names:
        return [Intent("branch_create", o.names[0].partition("/")[2] or o.names[0], None, _quiet(o), shapes=_MOVES)]
    if not o.names:
        return [Intent("checkout", None, None, _quiet(o), shapes=_MOVES)] if o.any("--detach") else []
    name = o.names[0]
    if name == "." or name.endswith("/") or (not _quiet(o) and re.search(r"\.\w{1,5}$", name)):
        return []
    return [Intent("checkout", _branch(name, o), None, _quiet(o), shapes=_MOVES)]


def _switch(o: _Options) -> list[Intent]:
    if o.any("-c", "-C", "--create", "--force-create", "--orphan"):
        name = next((o.values[n] for n in ("--create", "--force-create", "--orphan") if n in o.values), None)
        name = name or next(iter(o.names), None)
        return [Intent("branch_create", name, None, _quiet(o), shapes=_MOVES)] if name else []
    if o.any("-d", "--detach") or o.names:
        return [Intent("checkout", _branch(o.names[0], o) if o.names else None, None, _quiet(o), shapes=_MOVES)]
    return []


def _branch(name: str, o: _Options) -> str | None:
    detached = o.any("--detach", "-d") or re.fullmatch(r"[0-9a-f]{7,40}|.{0,200}[~^@].{0,200}|HEAD|-|\$.{0,200}", name)
    return None if detached else name


_MOVES = frozenset({"branch_create", "checkout", "reset"})


_NO_CREATION = (
    "-l", "--list", "-a", "--all", "-r", "--remotes", "-v", "-vv", "--show-current", "-u", "--set-upstream-to",
    "--unset-upstream", "--edit-description", "--contains", "--no-contains", "--merged", "--no-merged", "--points-at",
    "--format", "--sort", "-m", "-M", "--move",
)  # fmt: skip


def _branches(o: _Options) -> list[Intent]:
    if o.any("-d", "-D", "--delete"):
        shapes = frozenset({"branch_delete"})
        return [Intent("branch_delete", name, None, _quiet(o), shapes=shapes) for name in o.names]
    if o.any(*_NO_CREATION):
        return []
    if o.any("-c", "-C", "--copy"):
        return [Intent("branch_create", o.names[-1], silent=True, moves=False)] if o.names else []
    return [Intent("branch_create", o.names[0], silent=True, moves=False)] if o.names else []


def _merge(o: _Options) -> list[Intent]:
    if o.any("--no-commit") or not (o.names or o.any("--continue")):
        return []
    source = o.names[0] if o.names else None
    return [Intent("merge", None, _message(o), _quiet(o), source, shapes=frozenset({"merge", "commit"}))]


def _pull(o: _Options) -> list[Intent]:
    return [Intent("pull", silent=_quiet(o), shapes=frozenset({"pull", "merge", "rebase", "fetch"}))]


def _push(o: _Options) -> list[Intent]:
    if o.any("-n"):
        return []
    branch = o.names[1].rpartition(":")[2].lstrip("+") if len(o.names) > 1 else None
    branch = None if branch == "HEAD" or o.any("--tags", "--all", "--mirror") else branch
    return [Intent("push", branch, silent=_quiet(o), shapes=frozenset({"push"}))]


def _fetch(o: _Options) -> list[Intent]:
    return [Intent("fetch", silent=_quiet(o), shapes=frozenset({"fetch"}))]


def _clone(o: _Options) -> list[Intent]:
    return [Intent("clone", silent=_quiet(o), shapes=frozenset({"clone"}))] if o.names else []


def _rebase(o: _Options) -> list[Intent]:
    return [Intent("rebase", None, silent=_quiet(o), shapes=frozenset({"rebase"}))]


def _picked(operation: str) -> Callable[[_Options], list[Intent]]:
    def make(o: _Options) -> list[Intent]:
        if o.any("-n", "--no-commit", "--skip"):
            return []
        return [Intent(operation, shapes=frozenset({"commit"}))]

    return make


def _reset(o: _Options) -> list[Intent]:
    moves = o.any("--hard", "--soft", "--mixed", "--merge", "--keep")
    commit = re.compile(r"HEAD|ORIG_HEAD|[0-9a-f]{7,40}$|.{0,200}[~^]")
    if o.paths or len(o.names) > 1 or (o.names and not moves and not commit.match(o.names[0])):
        return []
    silent = _quiet(o) or o.any("--soft") or not o.any("--hard")
    return [Intent("reset", silent=silent, shapes=frozenset({"reset"}))]


def _stash(o: _Options) -> list[Intent]:
    act = o.names[0] if o.names else "push"
    if act in ("list", "show", "create", "store"):
        return []
    message = _message(o) or (" ".join(o.names[1:]) or None if act == "save" else None)
    silent = _quiet(o) or act in ("apply", "clear")
    return [Intent("stash", None, message, silent, shapes=frozenset({"stash"}))]


def _tag(o: _Options) -> list[Intent]:
    if o.any("-d", "--delete"):
        return [Intent("tag", message=name, shapes=frozenset({"tag"})) for name in o.names]
    listing = o.any(
        "-l", "--list", "-n", "-v", "--verify", "--contains", "--no-contains", "--merged", "--no-merged", "--sort"
    )
    if not o.names or listing or o.any("--points-at", "--format"):
        return []
    return [Intent("tag", None, o.names[0], silent=True, shapes=frozenset({"tag"}))]


def _worktree(o: _Options) -> list[Intent]:
    name = o.values.get("-b", o.values.get("-B"))
    if not o.names or o.names[0] != "add" or not name:
        return []
    return [Intent("branch_create", name, None, _quiet(o), moves=False, shapes=frozenset({"branch_create"}))]


_Maker = Callable[[_Options], list[Intent]]
_MAKERS: dict[str, _Maker] = {
    "commit": _commit, "checkout": _checkout, "switch": _switch, "branch": _branches, "merge": _merge, "pull": _pull,
    "push": _push, "fetch": _fetch, "clone": _clone, "rebase": _rebase, "cherry-pick": _picked("cherry_pick"),
    "revert": _picked("revert"), "reset": _reset, "stash": _stash, "tag": _tag, "worktree": _worktree,
}  # fmt: skip
VERBS = frozenset(_MAKERS)
