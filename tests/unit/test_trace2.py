"""git's trace: its lines to commands, logs to steps, commands to acts; and the file that is trimmed as it is read."""

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.collect.intake import trace2
from agentmon.collect.intake.trace2_acts import acts
from agentmon.collect.intake.trace2_figures import Figures, Question, answers, environment
from agentmon.collect.intake.trace2_log import Entry, Worktree, entries_of
from agentmon.collect.intake.trace2_processes import Command, Processes
from agentmon.collect.intake.trace2_reader import Trace, Trace2Reader
from agentmon.events import Event, GitActivity
from agentmon.telemetry import fold

BEGAN = 1795346065.0
SID = "20261122T111425.842985Z-H0a7c9cdf-P00007579"
CHILD = SID + "/20261122T111425.845863Z-H0a7c9cdf-P0000757a"
A, B = "a" * 40, "b" * 40


def line(event: str, sid: str = SID, **more: object) -> bytes:
    return json.dumps({"event": event, "sid": sid, "thread": "main", **more}, separators=(",", ":")).encode()


def process(
    argv: str, sid: str = SID, *, name: str | None = None, code: int = 0, inner: Iterable[bytes] = (), mode: str = "",
    worktree: str | None = "/r", end: str = "25.846674",
) -> list[bytes]:  # fmt: skip
    words = argv.split()
    return [
        line("version", sid, time="2026-11-22T11:14:25.843086Z", evt="3", exe="2.39.5"),
        line("start", sid, t_abs=0.0003, argv=words),
        *([line("def_repo", sid, repo=1, worktree=worktree)] if worktree else []),
        line("cmd_name", sid, name=name or words[1], hierarchy=words[1]),
        *([line("cmd_mode", sid, name=mode)] if mode else []),
        *inner,
        line("exit", sid, t_abs=0.0039, code=code),
        line("atexit", sid, time=f"2026-11-22T11:14:{end}Z", t_abs=0.0039, code=code),
    ]


def commands(lines: Iterable[bytes]) -> list[Command]:
    processes = Processes()
    return [command for one in lines if (command := processes.feed(one)) is not None]


class TestProcesses:
    def test_a_command(self) -> None:
        (command,) = commands(process("git -C /x -c a.b=c commit -qm first", name="commit"))
        assert command.verb == "commit"
        assert command.arguments == ("-qm", "first")
        assert command.worktree == "/r"
        assert command.own
        assert command.code == 0
        assert command.started == pytest.approx(BEGAN + 0.843086)
        assert command.ended - command.started == pytest.approx(0.003588, abs=1e-5)

    @pytest.mark.parametrize(
        ("argv", "git_dir"),
        [
            ("git --git-dir=/g --work-tree=/w commit", "/g"), ("git --git-dir /g commit", "/g"),
            ("git --git-dir=g commit", None), ("git --no-pager commit", None), ("git --exec-path=/e commit", None),
        ],
    )  # fmt: skip
    def test_git_dir(self, argv: str, git_dir: str | None) -> None:
        (command,) = commands(process(argv, name="commit"))
        assert command.git_dir == git_dir
        assert command.arguments == ()

    def test_what_git_runs_is_not_its_users_own(self) -> None:
        found = commands(process("git pull", inner=process("git fetch", CHILD)))
        assert [(c.verb, c.own, c.parent) for c in found] == [("fetch", False, "pull"), ("pull", True, None)]
        assert "fetch" in found[1].within

    def test_an_alias_is_its_users_own(self) -> None:
        found = commands(process("git co x", name="_run_git_alias_", inner=process("git checkout x", CHILD)))
        assert [(c.verb, c.own) for c in found] == [("checkout", True)]

    def test_submodule_foreach(self) -> None:
        argv = "git submodule--helper foreach -- x"
        found = commands(process(argv, inner=process("git commit -qm x", CHILD)))
        assert [(c.verb, c.own) for c in found] == [("commit", True), ("submodule--helper", True)]
        found = commands(process("git submodule--helper update", inner=process("git checkout -q x", CHILD)))
        assert not found[0].own

    def test_submodules_that_it_looks_into(self) -> None:
        (command,) = commands(process("git commit", inner=[line("def_repo", repo=2, worktree="/r/sub")]))
        assert command.worktree == "/r"

    def test_one_that_was_killed_never_ends(self) -> None:
        assert commands(process("git commit")[:-1]) == []

    @given(st.lists(st.binary(max_size=80)))
    def test_any_bytes(self, lines: list[bytes]) -> None:
        processes = Processes()
        for one in lines:
            processes.feed(one)
            processes.feed(b'{"event":"start","sid":' + one)

    @settings(max_examples=50, deadline=None)
    @given(st.data())
    def test_any_values(self, data: st.DataObject) -> None:
        anything = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text() | st.integers())
        kinds = ("version", "start", "def_repo", "cmd_name", "cmd_mode", "alias", "child_start", "atexit")
        processes = Processes()
        for kind in (*kinds, *data.draw(st.lists(st.sampled_from(kinds)))):
            keys = ("time", "argv", "worktree", "name", "code", "t_abs")
            processes.feed(line(kind, **{key: data.draw(anything) for key in keys}))

    def test_processes_that_never_end_are_forgotten(self) -> None:
        processes = Processes()
        for n in range(5000):
            processes.feed(line("version", f"{n}", time="2026-11-22T11:14:25Z"))
        assert len(processes._known) <= 2000


class TestLog:
    def test_entries(self) -> None:
        data = (
            f"{'0' * 40} {A} Ann <a@b> 1795346065 +0000\tcommit (initial): first: a\n"
            f"{A} {B} Ann > Bee <a@b> -5 -0330\n{A} {B} Ann <a@b> x +0000\tno\nnothing\n"
        ).encode()
        assert entries_of(data) == [Entry("0" * 40, A, 1795346065, "commit (initial): first: a"), Entry(A, B, -5, "")]

    @given(st.binary())
    def test_any_bytes(self, data: bytes) -> None:
        entries_of(data)

    @staticmethod
    def tree(path: Path, *texts: str, head: str = "ref: refs/heads/main", at: int = int(BEGAN)) -> Worktree:
        (path / ".git" / "logs").mkdir(parents=True)
        (path / ".git" / "HEAD").write_text(head + "\n")
        log = path / ".git" / "logs" / "HEAD"
        log.write_text("".join(f"{A} {B} N <m> {at} +0000\t{text}\n" for text in texts))
        tree = Worktree(str(path), None, BEGAN, {str(log): 0})
        tree.refresh(BEGAN)
        return tree

    @pytest.mark.parametrize(
        ("texts", "head", "branch"),
        [
            (["commit: x"], "ref: refs/heads/main", "main"),
            (["commit: x"], A, None),
            (["commit: x", "checkout: moving from f/x to main"], "ref: refs/heads/main", "f/x"),
            (["commit: x", f"checkout: moving from {A} to main"], "ref: refs/heads/main", None),
            (["commit: x", "rebase (start): checkout m", "rebase (finish): returning to refs/heads/f"],
             "ref: refs/heads/other", "f"),
            (["commit: x", "Branch: renamed refs/heads/a to refs/heads/b"], "ref: refs/heads/b", "a"),
            (["commit: x"], "ref: refs/heads/.invalid", None),
        ],
    )  # fmt: skip
    def test_branch(self, tmp_path: Path, texts: list[str], head: str, branch: str | None) -> None:
        tree = self.tree(tmp_path, *texts, head=head)
        assert tree.take(lambda e: e.text == "commit: x", BEGAN, BEGAN, sure=True)
        assert tree.branch() == branch

    def test_a_later_commands_entry_is_not_taken(self, tmp_path: Path) -> None:
        tree = self.tree(tmp_path, "commit: x", "merge a: Fast-forward")
        assert tree.take(lambda e: e.text.startswith("merge"), BEGAN, BEGAN, sure=False) is None
        assert tree.take(lambda e: e.text.startswith("commit"), BEGAN, BEGAN, sure=True)
        assert tree.take(lambda e: e.text.startswith("merge"), BEGAN, BEGAN, sure=False)

    def test_an_entry_of_another_time(self, tmp_path: Path) -> None:
        tree = self.tree(tmp_path, "commit: x", at=int(BEGAN) + 60)
        assert tree.take(lambda _: True, BEGAN, BEGAN + 1, sure=True) is None

    def test_no_repository(self, tmp_path: Path) -> None:
        tree = Worktree(str(tmp_path / "none"), None, BEGAN, {})
        tree.refresh(BEGAN)
        assert tree.take(lambda _: True, BEGAN, BEGAN, sure=True) is None
        assert tree.branch() is None
        assert not tree.logged
        assert not tree.fetched("fetch", BEGAN, BEGAN)
        assert tree.sha_of("../../etc/passwd") is None


class TestFigures:
    def test_answers(self) -> None:
        text = (
            f"\x01{A}\x02a subject\n\n 2 files changed, 1 insertion(+), 3 deletions(-)\n"
            f"\x01{B}\x02an empty one\n\x01{A}\x02a subject\n\n 1 file changed, 2 deletions(-)\n"
        )
        first, empty, unknown, other = Question(A), Question(B, A), Question("c" * 40), Question(A, B)
        found = answers(text, [first, unknown, empty, other])
        assert found == {
            first: Figures("a subject", 2, 1, 3), empty: Figures("an empty one", 0, 0, 0),
            other: Figures("a subject", 1, 0, 2),
        }  # fmt: skip

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        answers(text, [Question(A)])

    def test_environment(self) -> None:
        found = environment({"GIT_DIR": "/elsewhere", "GIT_TRACE2_EVENT": "/trace", "PATH": "/bin"})
        assert "GIT_DIR" not in found
        assert found["GIT_TRACE2_EVENT"] == "0"
        assert found["PATH"] == "/bin"


def test_silent_acts_without_a_repository(tmp_path: Path) -> None:
    """What the exit status alone proves is told even where nothing can be looked up."""
    path = tmp_path / "trace2"
    gone = str(tmp_path / "gone")
    lines = [
        process("git branch x", "1", worktree=gone), process("git branch y", "2", worktree=gone, code=128),
        process("git checkout -b z", "3", worktree=gone, mode="branch"),
        process("git commit -qm words", "4", worktree=gone),
        process("git tag v1", "5", worktree=None), process("git status", "6", worktree=gone),
        process("git push", "7", worktree=gone), process("git branch -D x y", "8", worktree=gone),
        process("git commit --dry-run", "9", worktree=gone),
    ]  # fmt: skip
    path.write_bytes(b"".join(one + b"\n" for group in lines for one in group))
    reader = Trace2Reader(str(path), BEGAN, {})
    found = [finding.payload for finding in reader.close()]
    assert [(a.operation, a.branch, a.message, a.source) for a in found if isinstance(a, GitActivity)] == [
        ("branch_create", "x", None, "trace2"), ("branch_create", "z", None, "trace2"),
        ("commit", "z", "words", "trace2"),
        ("tag", None, "v1", "trace2"), ("branch_delete", "x", None, "trace2"), ("branch_delete", "y", None, "trace2"),
    ]  # fmt: skip


VERBS = (
    "am", "branch", "checkout", "cherry-pick", "clone", "commit", "fetch", "merge", "pull", "push", "rebase", "reset",
    "revert", "stash", "switch", "symbolic-ref", "tag", "worktree", "",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(VERBS),
    st.lists(
        st.sampled_from(("-", "--", "-b", "-d", "-m", "HEAD", "../..", "", "\0", "@{-1}", "x")) | st.text(), max_size=4
    ),
    st.sampled_from(("branch", "path", "hard", None)),
    st.booleans(),
)
def test_any_arguments(tree: Worktree, verb: str, words: list[str], mode: str | None, own: bool) -> None:
    acts(Command(verb, tuple(words), tree.path, None, mode, BEGAN, BEGAN, 0, frozenset({"gc"}), own, "worktree"), tree)
    acts(Command(verb, tuple(words), None, None, mode, BEGAN, BEGAN, 1, frozenset(), own, None), None)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Worktree:
    texts = ("commit: x", "checkout: moving from a to b", "merge x: y", "pull: z", "rebase (start): q") * 50
    return TestLog.tree(tmp_path_factory.mktemp("any"), *texts)


class TestTrace:
    def test_it_is_trimmed_while_writers_hold_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Trace, "FULL", 100)
        path = str(tmp_path / "trace2")
        trace = Trace(path)
        assert list(trace.lines()) == []
        seen: list[bytes] = []
        writers: list[int] = []
        for n in range(200):
            writers.append(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
            for at in range(max(0, len(writers) - 3), len(writers)):  # three hold it at a time
                os.write(writers[at], b"%d %d\n" % (n, at))
            if n % 7 == 0:
                seen += trace.lines()
                assert not os.path.exists(path) or os.stat(path).st_size <= 200
        seen += trace.lines()
        assert sorted(seen) == sorted(b"%d %d" % (n, at) for n in range(200) for at in range(max(0, n - 2), n + 1))
        trace.close()
        for fd in writers:
            os.close(fd)

    def test_half_a_line_waits(self, tmp_path: Path) -> None:
        path = tmp_path / "trace2"
        path.write_bytes(b"one\ntw")
        trace = Trace(str(path))
        assert list(trace.lines()) == [b"one"]
        with path.open("ab") as file:
            file.write(b"o\n")
        assert list(trace.lines()) == [b"two"]


class TestPrepare:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.environment = {b"HOME": os.fsencode(tmp_path), b"GIT_CONFIG_NOSYSTEM": b"1"}

    def added(self, **more: str) -> dict[str, str] | None:
        environment = self.environment | {os.fsencode(k): os.fsencode(v) for k, v in more.items()}
        prepared = trace2.prepare("/folder", environment, ["x"], False)
        return None if prepared is None else {os.fsdecode(k): os.fsdecode(v) for k, v in prepared.environment.items()}

    def test_what_is_added(self) -> None:
        assert self.added() == {"GIT_TRACE2_EVENT": "/folder/trace2", "GIT_TRACE2_EVENT_BRIEF": "1"}

    def test_what_the_user_has_set_is_left(self) -> None:
        assert self.added(GIT_TRACE2_EVENT="/mine") is None
        assert self.added(GIT_TRACE2_EVENT="0") is None
        assert self.added(GIT_TRACE2_EVENT_BRIEF="0") == {"GIT_TRACE2_EVENT": "/folder/trace2"}
        assert self.added(GIT_TRACE2="1", GIT_TRACE2_PERF="/p") is not None

    @pytest.mark.parametrize(
        ("text", "there"),
        [
            ("[trace2]\n\teventTarget = /x\n", True), ("[Trace2] EVENTTARGET=/x", True),
            ("[user]\n\tname = trace2\n", False),
            ("[trace2]\n\tperfTarget = /x\n", False), ("[trace2]\n# eventTarget = /x\n", False),
            ("[include]\n\tpath = more\n", True), ('[includeIf "gitdir:/x/"]\n\tpath = "more"\n', True),
            ("[include]\n\tpath = none\n", False), ("[include]\n\tpath = .gitconfig\n", False), ("[\n[]\n=\n\0", False),
        ],
    )  # fmt: skip
    def test_configuration(self, text: str, there: bool) -> None:
        (self.path / "more").write_text("[trace2]\neventtarget = af_unix:/x\n")
        (self.path / ".gitconfig").write_text(text)
        prepared = trace2.prepare("/folder", self.environment, ["x"], False)
        assert prepared is not None
        assert bool(prepared.notices) == there
        assert bool(prepared.environment) != there
        reader = prepared.open()
        assert list(reader.read()) == []
        assert list(reader.close()) == []

    def test_other_places_of_the_configuration(self) -> None:
        own = self.path / "own"
        own.write_text("[trace2]\neventTarget = /x\n")
        assert self.added(GIT_CONFIG_GLOBAL=str(own)) == {}
        assert self.added(GIT_CONFIG_NOSYSTEM="0", GIT_CONFIG_SYSTEM=str(own)) == {}
        assert self.added(GIT_CONFIG_SYSTEM=str(own)) != {}
        (self.path / ".config" / "git").mkdir(parents=True)
        own.rename(self.path / ".config" / "git" / "config")
        assert self.added() == {}
        assert self.added(XDG_CONFIG_HOME="/none") != {}

    def test_a_folder_that_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / ".gitconfig").mkdir()
        assert self.added()
        assert stat.S_ISDIR(os.stat(tmp_path).st_mode)


def test_the_fold_trusts_git_itself() -> None:
    def event(operation: str, source: str, agent: str = "a") -> Event:
        return Event("r", 1, agent, "t", GitActivity(operation, "main", source=source), 1.0)  # type: ignore[arg-type]

    printed = [event("commit", "output"), event("push", "output", "b")]
    assert fold(printed).git_operations == {"commit": 1, "push": 1}
    state = fold([*printed, event("commit", "trace2"), event("merge", "output"), event("tag", "trace2", "b")])
    assert state.git_operations == {"commit": 1, "tag": 1}
    assert [act.operation for agent in state.agents.values() for act in agent.git_activities] == ["commit", "tag"]
