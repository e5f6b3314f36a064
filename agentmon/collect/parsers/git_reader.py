"""GitReader: lines of text and recorded commands -> what happened in git, each act once."""

from functools import lru_cache

from agentmon.collect.framer import Framer
from agentmon.collect.parsers import git_blocks, git_frames, git_shapes
from agentmon.collect.parsers.git_blocks import Block, Take
from agentmon.collect.parsers.git_frames import Framed
from agentmon.collect.parsers.git_history import Act, History
from agentmon.collect.parsers.git_prints import Kind, Shape
from agentmon.collect.parsers.git_stream import Showing, StreamState
from agentmon.events import Finding

_LONGEST = 8192  # of a line: git's own are shorter; what is behind is a blob
_REPEATED = 120  # characters of a line that may well come again
_HELD = 64  # lines for which an act waits for the line that takes it back
_BEGUN = 16  # lines in which a merge that was announced may fail
_ON_BRANCH = ("commit", "merge", "pull", "rebase", "cherry_pick", "revert", "reset", "stash")
_REBASE_HINTS = ('"git rebase --continue"', '"git rebase --skip"')


class _Held:
    """An act that later lines, of any stream, may take back."""

    def __init__(self, act: Act, showing: Showing, lines: int) -> None:
        self.act, self.showing, self.lines = act, showing, lines


class GitReader:
    """What happened in git, as lines of text (`line`) and recorded tool calls (`command`) tell it.

    Both see one history: an act that is shown by both is told once. `close` gives what is still waiting.
    """

    def __init__(self) -> None:
        self._history = History()
        self._streams: dict[str, StreamState] = {}
        self._held: list[_Held] = []
        self._rebasing = False
        self._rebased: tuple[str, int] | None = None  # the stream that said so, and for how many lines it matters
        self._merging: tuple[str, str, int] | None = None  # how a merge went, its stream, and for how many lines
        self._worktree = 0  # for how many lines a new worktree's HEAD may be told
        self._acts: list[Act] | None = None
        self.attentive = False  # whether every line matters for now

    @property
    def branch(self) -> str | None:
        """The current branch, as far as the output told."""
        return self._history.branch

    def line(self, text: str, stream: str) -> list[Finding]:
        """Read one line of `stream`."""
        state = self._streams.get(stream)
        if state is None:
            state = self._streams[stream] = StreamState(stream)
        found: list[Finding] = []
        if not text.startswith(("{", "[{")):  # records are for `command`
            for whole in state.unwrapped(text[:_LONGEST]):
                found += self._read(whole, state, "git")
        found += self._age()
        self._watch()
        return found

    def _watch(self) -> None:
        self.attentive = bool(self._held or self._worktree or self._rebased or self._merging)
        if not self.attentive:
            for state in self._streams.values():
                if state.attentive:
                    self.attentive = True
                    return

    def close(self) -> list[Finding]:
        """The end of all streams."""
        found: list[Finding] = []
        for state in self._streams.values():
            if rest := state.rest():
                found += self._read(rest, state, "git")
            found += self._end_block(state)
            found += self._undoubt(state)
        found += self._release()
        self._watch()
        return found

    def command(self, command: str | None, output: str, exit_code: int | None) -> list[Finding]:
        """Read one recorded tool call of a coding agent.

        command: the shell text; None where the record has none (then only `output` is read). output: what it printed,
        stdout and stderr in any order, possibly nothing. exit_code: its status; None where the record does not tell it
        (then only what the output shows counts). A command that git carries out in silence (`-q`, `git branch X`) is
        known from command and status alone.
        """
        from agentmon.collect.parsers import git_calls  # not every run has records

        planned, acting = git_calls.plan(command, exit_code) if command is not None else ([], True)
        if command is not None and not planned and not acting:
            return []
        acts = git_calls.settle(planned, self._shown(output), output, self.branch, acting=acting)
        found = self._release() if acts else []
        for act in acts:
            found += self._record(act)
        self._watch()
        return found

    def _record(self, act: Act) -> list[Finding]:
        if not act.stated and act.branch is None and act.operation in _ON_BRANCH:
            act.branch = self.branch
        return [Finding(act.activity())] if self._history.admit(act, "record", "", "record") else []

    def _shown(self, output: str) -> list[Act]:
        """The acts that the output of one command shows."""
        inner = GitReader()
        inner._history.see(self.branch)
        inner._acts = []
        framer = Framer()
        data = output.encode("utf-8", "replace")
        for block in [*framer.feed(data, 0), *framer.close(0)]:
            for line in block.data.decode("utf-8", "replace").split("\n")[:-1]:
                inner.line(line, "record")
        inner.close()
        return inner._acts

    # -- one line

    def _read(self, text: str, state: StreamState, kind: Kind) -> list[Finding]:
        if state.in_listing(text):
            return []
        framed, shape = _shape(text)
        block = state.block
        found: list[Finding] = []
        if shape is None and (planned := state.echo.take(text)):
            state.plan = planned
            found += self._silent(state)
        if block is not None and (shape is None or _inner(block, shape)):
            take = block.take(text)
            if take is Take.MORE:
                return found
            found += self._end_block(state)
            if take is Take.LAST:
                return found
        if shape is None or framed is None:
            self._notice(text, state)
            return found
        showing = Showing(shape.kind if kind == "git" else kind, framed.form, state.name, framed.bare)
        found += self._meet(shape, showing, state)
        for more in framed.text.split("\n")[1:]:  # a quoted text with several lines
            found += self._read(more, state, kind)
        return found

    def _silent(self, state: StreamState) -> list[Finding]:
        """What the last command did in silence before the next act that it shows."""
        from agentmon.collect.parsers import git_calls

        found: list[Finding] = []
        while state.plan and state.plan[0].intent.silent:
            one = state.plan.pop(0)
            if one.known or one.likely:
                found += self._record(git_calls.presumed(one.intent, self.branch))
        return found

    def _notice(self, text: str, state: StreamState) -> None:
        """What is no act but tells about the next one."""
        if moved := git_shapes.moved_range(text.strip()):
            state.range = moved
        elif "git rebase" in text and any(hint in text for hint in _REBASE_HINTS):
            self._rebasing = True

    def _meet(self, shape: Shape, showing: Showing, state: StreamState) -> list[Finding]:
        fetched = state.block if isinstance(state.block, git_blocks.Refs) and state.block.operation == "fetch" else None
        if fetched and shape.name in (
            "merge_made",
            "fast_forward",
            "rebased",
            "up_to_date",
            "branch_up_to_date",
            "rewinding",
        ):
            state.block = None
            if shape.name in ("up_to_date", "branch_up_to_date"):
                act = Act(
                    "pull", self.branch, stated=False, identity=("pull", *(r.summary + r.source for r in fetched.refs))
                )
                return self._tell(act, showing) if fetched.updated else []
            return self._begin("pull", shape, showing, state)
        if shape.name in ("merge_failed", "fatal", "error"):
            self._held = [h for h in self._held if h.act.operation != "merge"]
        if shape.name in ("merge_made", "fast_forward", "merge_failed", "up_to_date"):
            self._merging = (shape.name, state.name, 30)
        found = self._end_block(state)
        if shape.name != "commit":
            found += self._undoubt(state)
        return found + self._begin("merge", shape, showing, state)

    def _begin(self, merging: str, shape: Shape, showing: Showing, state: StreamState) -> list[Finding]:
        """Begin an act: at once, or with a block for the lines that follow."""
        name = shape.name
        if showing.kind == "print" or shape.kind == "print":
            return self._print(shape, showing, state)
        if name == "commit":
            return self._commit(shape, showing, state)
        if name in ("merge_made", "fast_forward", "squashed"):
            moved, state.range = state.range, None
            if name == "fast_forward" and not moved and not showing.bare:
                return []
            identity = ("range", moved[0][:7], moved[1][:7]) if moved and name == "fast_forward" else None
            act = Act(merging, self.branch, stated=False, identity=identity)
            self._open(state, git_blocks.Merge(act, squash=name == "squashed"), showing)
            return []
        if name == "to_url":
            self._open(state, git_blocks.Refs("push", shape.blanks[0]), showing)
            return []
        if name == "from_url":
            self._open(state, git_blocks.Refs("fetch", shape.blanks[0]), showing)
            return []
        if name == "refs":
            block = git_blocks.Refs("fetch", None)
            block.take(shape.message or "")
            self._open(state, block, showing)
            return []
        if name in ("cloning", "cloning_bare"):
            if state.submodules and self._history.knows(("cloned",)):
                return []
            path = shape.blanks[0]
            act = Act("clone", None, repo=path, identity=("clone", path))
            self._open(state, git_blocks.Clone(act), showing)
            return []
        if name == "rewinding":
            self._open(state, git_blocks.Rewind(Act(_rebase(merging), self.branch, stated=False)), showing)
            return []
        return self._at_once(merging, shape, showing, state)

    def _at_once(self, merging: str, shape: Shape, showing: Showing, state: StreamState) -> list[Finding]:
        name, branch = shape.name, shape.branch
        if name in ("new_branch", "reset_branch"):
            state.detaching = False
            known = self._history.knows(("branch", branch or ""))
            if name == "reset_branch" and known and self.branch != branch:
                return self._tell(Act("checkout", branch), showing)
            return self._tell(Act("branch_create", branch, identity=("branch", branch or "")), showing)
        if name == "switched":
            state.detaching = False
            return self._tell(Act("checkout", branch), showing)
        if name in ("new_worktree", "worktree", "worktree_detached", "worktree_reset"):
            self._worktree = 4
            self._held = [h for h in self._held if h.act.operation != "reset"]
            if name != "new_worktree":
                return []
            self._history.elsewhere(branch or "")
            return self._tell(Act("branch_create", branch, identity=("branch", branch or ""), moves=False), showing)
        if name in ("detaching", "previous_head"):
            state.detaching = not isinstance(state.block, git_blocks.Clone)
            return self._was_detached(shape, state) if name == "previous_head" else []
        if name == "now_at":
            return self._now_at(shape, showing, state)
        if name == "unstaged":
            return self._tell(Act("reset", self.branch, stated=False), showing)
        if name in ("rebased", "forwarded"):
            self._rebasing = False
            self._rebased = (state.name, 4)
            self._held = [h for h in self._held if not (h.act.operation == "commit" and h.act.branch is None)]
            branch = branch or (None if name == "rebased" else self.branch)
            return self._tell(Act(_rebase(merging), branch), showing)
        if name in ("deleted_branch", "deleted_remote"):
            return self._tell(Act("branch_delete", branch, sha=shape.sha, identity=("deleted", branch or "")), showing)
        if name in ("deleted_tag", "updated_tag"):
            identity = (name, branch or "", shape.sha or "")
            return self._tell(Act("tag", None, message=branch, sha=shape.sha, identity=identity), showing)
        if name == "saved":
            return self._tell(Act("stash", shape.branch, shape.message), showing)
        if name == "dropped":
            return self._tell(
                Act("stash", self.branch, sha=shape.sha, stated=False, identity=("drop", shape.sha or "")), showing
            )
        if name == "submodule":
            state.submodules = True
        return []

    def _now_at(self, shape: Shape, showing: Showing, state: StreamState) -> list[Finding]:
        """`HEAD is now at …`: reset says it on stdout, checkout on stderr, each alone or after a line that tells."""
        sha = (shape.sha or "")[:7]
        if self._worktree:
            self._worktree = 0
            return []
        if state.detaching or (state.name == "stderr" and showing.form == ""):
            state.detaching = False
            return self._tell(Act("checkout", None, sha=shape.sha), showing)
        act = Act("reset", self.branch, sha=shape.sha, stated=False)
        last = self._held[-1].act if self._held else None
        if last is None or last.operation != "reset" or (last.sha or "")[:7] != sha:
            self._held.append(_Held(act, showing, 6))
        return []

    def _was_detached(self, shape: Shape, state: StreamState) -> list[Finding]:
        """`Previous HEAD position was …`: what looked like a reset to there was a checkout, on a stream of both."""
        last = self._held[-1] if self._held else None
        if last is None or last.act.operation != "reset" or last.showing.stream != state.name:
            return []
        if self._history.detached or (last.act.sha or "")[:7] != (shape.sha or "")[:7]:
            return []
        self._held.pop()
        return self._tell(Act("checkout", None, sha=shape.sha), last.showing)

    def _commit(self, shape: Shape, showing: Showing, state: StreamState) -> list[Finding]:
        sha = (shape.sha or "")[:7]
        act = Act("commit", shape.branch, shape.message, sha=shape.sha, identity=("commit", sha))
        wide = len(shape.message or "") > 40
        self._open(state, git_blocks.Commit(act, wide=wide, root=bool(shape.blanks)), showing)
        return []

    def _print(self, shape: Shape, showing: Showing, state: StreamState) -> list[Finding]:
        """A line that the orchestrator prints itself."""
        name, branch = shape.name, shape.branch
        identity: tuple[str, ...] | None = None
        if name == "commit" and shape.sha:
            if not showing.bare:
                return []
            identity = ("commit", shape.sha[:7])
        elif name == "branch_create":
            identity = ("branch", branch or "")
        elif name == "branch_delete":
            identity = ("deleted", branch or "")
        stated = branch is not None
        if branch is None and name in ("commit", "merge"):
            branch = self.branch
        act = Act(
            name,
            branch,
            shape.message,
            shape.files,
            sha=shape.sha,
            source=shape.source,
            identity=identity,
            stated=stated,
        )
        if shape.begun:
            self._held.append(_Held(act, showing, _BEGUN))
            return []
        return self._tell(act, showing)

    # -- blocks

    def _open(self, state: StreamState, block: Block, showing: Showing) -> None:
        state.block, state.showing = block, showing

    def _end_block(self, state: StreamState) -> list[Finding]:
        block, showing = state.block, state.showing
        if block is None or showing is None:
            return []
        state.block = None
        if isinstance(block, git_blocks.Commit) and block.act:
            return self._end_commit(block, showing, state)
        if isinstance(block, git_blocks.Refs):
            act = block.result(self.branch)
            if act and block.operation == "fetch" and self._is_of_pull(block, state):
                return []
            return self._tell(act, showing) if act else []
        if isinstance(block, git_blocks.Clone) and block.act:
            found = self._tell(block.act, showing)
            self._history.admit(Act("clone", identity=("cloned",)), "record", "", "") if found else None
            return found
        return self._tell(block.act, showing) if block.act else []

    def _is_of_pull(self, fetched: git_blocks.Refs, state: StreamState) -> bool:
        """Whether this is the half on stderr of a pull whose other half stdout has told already."""
        if any(self._is_merged(r.summary) for r in fetched.refs):
            return True
        if self._merging is None or self._merging[1] == state.name:
            return False
        return self._merging[0] != "up_to_date" or not fetched.updated

    def _is_merged(self, summary: str) -> bool:
        first, dots, second = summary.partition("..")
        return bool(dots) and self._history.knows(("range", first[:7], second[:7]))

    def _end_commit(self, block: git_blocks.Commit, showing: Showing, state: StreamState) -> list[Finding]:
        act, summed = block.act, block.summed
        assert act is not None
        # What no hook has a reason to print: the end of a merge, a first commit, one that is amended.
        sure = block.dated or block.root or (act.message or "").startswith("Merge ")
        if not summed:
            # On stderr git says this nowhere, behind a label it may be anything, and git cannot commit on another
            # branch than the one that it said we are on: there only the diffstat proves it.
            elsewhere = act.branch is not None and self._history.firmly_off(act.branch)
            if act.message and showing.bare and not elsewhere and (showing.kind != "git" or state.name != "stderr"):
                if sure:
                    return self._undoubt(state) + self._tell_commit(act, showing)
                found = self._undoubt(state) if len(state.doubted) >= _HELD else []
                state.doubts(act, showing)
                return found
            return []
        same = all(d[0].branch == act.branch and d[1].form == showing.form for d in state.doubted)
        found = [] if same else self._undoubt(state)
        state.doubted = []
        return found + self._tell_commit(act, showing)

    def _undoubt(self, state: StreamState) -> list[Finding]:
        doubted, state.doubted = state.doubted, []
        return [finding for one in doubted for finding in self._tell_commit(*one)]

    def _tell_commit(self, act: Act, showing: Showing) -> list[Finding]:
        if act.branch is not None:
            self._rebasing = False
            return self._tell(act, showing)
        if self._rebasing or (self._rebased and self._rebased[0] != showing.stream):
            return []
        self._held.append(_Held(act, showing, _HELD))
        return []

    # -- telling

    def _tell(self, act: Act, showing: Showing) -> list[Finding]:
        found = [] if act.operation in ("rebase",) else self._release()
        found += self._admit(act, showing)
        state = self._streams.get(showing.stream)
        if state and state.plan and act.operation in state.plan[0].intent.shapes:
            state.plan.pop(0)
            found += self._silent(state)
        return found

    def _admit(self, act: Act, showing: Showing) -> list[Finding]:
        if not self._history.admit(act, showing.kind, showing.form, showing.stream):
            return []
        if self._acts is not None:
            self._acts.append(act)
        return [Finding(act.activity())]

    def _age(self) -> list[Finding]:
        """One line has passed."""
        found: list[Finding] = []
        for state in self._streams.values():
            if state.doubted and state.block is None:
                if state.doubt <= 0:
                    found += self._undoubt(state)
                state.doubt -= 1
        if self._worktree:
            self._worktree -= 1
        if self._merging:
            how, stream, lines = self._merging
            self._merging = (how, stream, lines - 1) if lines > 0 else None
        if self._rebased:
            stream, lines = self._rebased
            self._rebased = (stream, lines - 1) if lines > 0 else None
        if not self._held:
            return found
        for held in self._held:
            held.lines -= 1
        if self._held[0].lines <= 0:
            found += self._release()
        return found

    def _release(self) -> list[Finding]:
        found: list[Finding] = []
        held, self._held = self._held, []
        for one in held:
            found += self._admit(one.act, one.showing)
        return found


def _rebase(merging: str) -> str:
    return "pull" if merging == "pull" else "rebase"


def _inner(block: Block, shape: Shape) -> bool:
    """Whether a line that could stand alone belongs to what is open."""
    if isinstance(block, git_blocks.Merge):
        return shape.name in ("squashed", "stopped", "merge_failed")
    if isinstance(block, git_blocks.Refs):
        if shape.name == "from_url" and block.refs and block.url == shape.blanks[0]:
            return False  # one fetch tells a place once: this is another
        return shape.name in ("refs", "from_url", "fatal", "error", "merge_failed")
    if isinstance(block, git_blocks.Clone | git_blocks.Rewind):
        return shape.name in ("fatal", "error", "merge_failed", "detaching", "forwarded")
    return False


def _shape(text: str) -> tuple[Framed | None, Shape | None]:
    return _known_shape(text) if len(text) <= _REPEATED else _read_shape(text)


def _read_shape(text: str) -> tuple[Framed | None, Shape | None]:
    """What a line says, and what stands around it."""
    if not git_shapes.likely(text):
        return None, None
    for framed in git_frames.peel(text):
        first = framed.text
        if "\n" in first:
            first = first.partition("\n")[0]
        if shape := git_shapes.read(first.rstrip()):
            return framed, shape
        if framed.bare and (ref := git_shapes.ref(first)) and (ref.target == "FETCH_HEAD" or "/" in (ref.target or "")):
            return framed, Shape("refs", message=first)
    return None, None


_known_shape = lru_cache(maxsize=512)(_read_shape)  # git repeats itself: `Fast-forward`, `To URL`, empty lines
