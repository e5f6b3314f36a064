"""What has happened so far: which showing of an act is new, and which branch is the current one."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from agentmon.collect.parsers.git_prints import Kind
from agentmon.events import GitActivity

_RECENT = 48  # acts among which a second showing may have its first
_IDENTITIES = 4096
_ALIKE = {
    "merge": ("merge", "pull", "commit"), "pull": ("pull", "merge", "rebase", "fetch"), "rebase": ("rebase", "pull"),
    "commit": ("commit", "cherry_pick", "revert", "merge"), "cherry_pick": ("cherry_pick", "commit"),
    "revert": ("revert", "commit"), "fetch": ("fetch", "pull"),
}  # fmt: skip


@dataclass(slots=True)
class Act:
    """One act as one showing tells it. identity: what no other act can have. stated: the showing names the branch."""

    operation: str
    branch: str | None = None
    message: str | None = None
    files: int | None = None
    insertions: int | None = None
    deletions: int | None = None
    sha: str | None = None
    source: str | None = None
    repo: str | None = None
    identity: tuple[str, ...] | None = None
    stated: bool = True
    moves: bool = True
    number: int = 0
    shown: set[tuple[Kind, str]] = field(default_factory=set)

    def activity(self) -> GitActivity:
        """The event's payload."""
        return GitActivity(
            self.operation, self.branch, self.message, self.files, self.insertions, self.deletions, self.sha, self.repo
        )


class History:
    """The acts of one run.

    An act is shown again by an echo of the same output, by a transcript at the end, by the print of the tool that ran
    git. Three signs tell: an identity that only one act has (the hash of a commit, the name of a branch that exists);
    the same acts coming by in the same order once more; a showing of another kind that no act has had yet.
    """

    def __init__(self) -> None:
        self.branch: str | None = None
        self._on: Act | None = None  # the act that put us on `branch`; none if something else told
        self._recent: deque[Act] = deque(maxlen=_RECENT)
        self._known: OrderedDict[tuple[str, ...], Act] = OrderedDict()
        self._replay: dict[str, int] = {}
        self._number = 0
        self._worktrees: set[str] = set()  # branches that are checked out somewhere else

    def admit(self, act: Act, kind: Kind, form: str, stream: str) -> bool:
        """Take one showing of an act; whether it is the first."""
        first = self._first(act, kind, form, stream)
        if first is None:
            self._add(act)
            act.shown.add((kind, form))
            return True
        first.shown.add((kind, form))
        self._replay[stream] = first.number + 1
        if first.identity is None and act.identity is not None:
            first.identity = act.identity
            self._learn(act.identity, first)
        if act.stated and act.branch and act.operation == "commit" and self._number == first.number + 1:
            self._on_commit(act.branch)
        return False

    def knows(self, identity: tuple[str, ...]) -> bool:
        """Whether an act of this identity was seen."""
        return identity in self._known

    def see(self, branch: str | None) -> None:
        """The output says in passing which branch is the current one."""
        if branch != self.branch:
            self.branch, self._on = branch, None

    def _on_commit(self, branch: str) -> None:
        self.see(None if branch in self._worktrees else branch)

    def elsewhere(self, branch: str) -> None:
        """A new worktree has this branch: a commit on it does not say which one is checked out here."""
        self._worktrees.add(branch)

    @property
    def detached(self) -> bool:
        """Whether the last that git said is that HEAD is detached."""
        return self._on is not None and self._on.operation == "checkout" and self.branch is None

    def firmly_off(self, branch: str) -> bool:
        """Whether the last that git said is that we are on another branch."""
        return self._on is not None and self._on.branch == self.branch != branch

    def _first(self, act: Act, kind: Kind, form: str, stream: str) -> Act | None:
        if act.identity is not None and (known := self._known.get(act.identity)):
            return known
        on = self._on
        if act.operation == "checkout" and act.branch and on and on.branch == act.branch == self.branch:
            announced = on.operation == "branch_create" and {k for k, _ in on.shown} == {"print"}
            if not announced:  # to announce a branch is not yet to be on it
                return on
        again = self._replay.get(stream)
        alike = _ALIKE.get(act.operation, (act.operation,))
        stated = act.stated
        for earlier in self._recent:
            if earlier.operation not in alike or (stated and earlier.stated and act.branch != earlier.branch):
                continue  # which most are
            if not _agree(earlier, act):
                continue
            if earlier.number == again:
                return earlier
            if all(shown != kind for shown, _ in earlier.shown):
                return earlier
            last = earlier.number == self._number - 1
            if last and (kind, form) not in earlier.shown and earlier.operation != "commit":
                return earlier
        return None

    def _add(self, act: Act) -> None:
        act.number, self._number = self._number, self._number + 1
        self._recent.append(act)
        if act.identity is not None:
            self._learn(act.identity, act)
        if act.operation == "branch_delete" and act.branch:
            self._known.pop(("branch", act.branch), None)
        elif act.operation == "branch_create" and act.branch:
            self._known.pop(("deleted", act.branch), None)
        if not act.moves:
            return
        if act.operation in ("branch_create", "checkout"):
            self.branch, self._on = act.branch, act
            self._worktrees.discard(act.branch or "")
        elif act.operation in ("commit", "rebase") and act.stated and act.branch:
            self._on_commit(act.branch)

    def _learn(self, identity: tuple[str, ...], act: Act) -> None:
        self._known[identity] = act
        if len(self._known) > _IDENTITIES:
            self._known.popitem(last=False)


def _agree(a: Act, b: Act) -> bool:
    """Whether two showings may be of one act, their branches aside: nothing that both tell differs."""
    if a.files != b.files and a.files is not None and b.files is not None:
        return False
    if a.identity and b.identity and a.identity != b.identity:
        return False
    if a.source != b.source and a.source is not None and b.source is not None:
        return False
    if a.sha is not None and b.sha is not None and a.sha[:7] != b.sha[:7]:
        return False
    if not a.message or not b.message:
        return True
    return a.message.startswith(b.message[:60]) or b.message.startswith(a.message[:60])
