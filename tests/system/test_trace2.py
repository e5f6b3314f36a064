"""What git did, though it printed nothing: real git, under a real `agentmon run`."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from wrapper import collected, exit_code, kill, stop, until

from tests.system.trace2_script import EXPECTED, HARD, SCRIPT

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 300.0

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


class Place:
    """A folder to run things in, and where their run logs go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / "work"
        self.work.mkdir()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "AGENTMON", "XDG_"))
        }
        self.environment |= {
            "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(path / "state"), "XDG_RUNTIME_DIR": str(path),
            "HOME": str(path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
        }  # fmt: skip

    def command(self, argv: Sequence[str], options: Sequence[str] = ()) -> list[str]:
        return [sys.executable, "-m", "agentmon", "run", *options, "--", *argv]

    def run(
        self, argv: Sequence[str], options: Sequence[str] = (), more: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        done = subprocess.run(
            self.command(argv, options), cwd=self.work, env={**self.environment, **(more or {})},
            stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST_S, check=False,
        )  # fmt: skip
        collected(done.args)
        return done

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.work, env=self.environment | {"LC_ALL": "C"}, capture_output=True, text=True,
            check=True, timeout=LONGEST_S,
        )  # fmt: skip
        return done.stdout.strip()

    def log(self) -> Path:
        (found,) = (self.path / "state" / "agentmon" / "runs").glob("*.ndjson")
        return found

    def activities(self, source: str = "trace2") -> list[dict[str, Any]]:
        written = self.log().read_bytes()
        events = [json.loads(line) for line in written[: written.rfind(b"\n") + 1].splitlines()]
        acts = [event for event in events if event["event"] == "git_activity"]
        return [
            {**e["data"]["git_activity"], "at": e["timestamp"]}
            for e in acts
            if e["data"]["git_activity"]["source"] == source
        ]

    def acts(self) -> list[str]:
        return [f"{act['operation']} {act['branch']}" for act in self.activities()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_script_of_sixty(place: Place) -> None:
    assert len(EXPECTED) >= 60
    place.run(["sh", "-c", SCRIPT])
    assert place.acts() == EXPECTED
    found = place.activities()
    times = [act["at"] for act in found]
    assert times == sorted(times)
    stepping = {"commit", "merge", "pull", "rebase", "reset", "revert", "cherry_pick", "checkout"}
    there = [act for act in found if act.get("repo") == str(place.work / "project")]
    assert all(len(act["sha"]) == 40 for act in there if act["operation"] in stepping)
    at = {act["message"]: act for act in found if act.get("message")}
    repo = str(place.work / "project")
    for name, path, ref in (
        ("first: a", "project", "HEAD"), ("settled", "project", "main"), ("ten", "other", "main"),
        ("each", "project/sub", "HEAD"),
    ):  # fmt: skip
        shas = place.git("-C", path, "log", "--format=%H", "--grep", f"^{name}$", ref).split()
        assert shas == [at[name]["sha"]]
        assert at[name]["repo"] == str(place.work / path)
    assert at["in the worktree"]["repo"] == str(place.work / "wt")
    for message in ("first: a", "feat: two", "feat: three", "eight: d", "nine", "Join wt2"):
        act = at[message]
        numbers = place.git("-C", repo, "diff", "--shortstat", "-M", parent(place, repo, act["sha"]), act["sha"])
        told = [act["files_changed"], act["insertions"], act["deletions"]]
        assert told == shortstat(numbers), message


def test_what_is_continued_and_what_has_another_name(place: Place) -> None:
    place.run(["sh", "-c", "\n".join(line for line, _ in HARD)])
    assert place.acts() == [act for _, acts in HARD for act in acts]


def parent(place: Place, repo: str, sha: str) -> str:
    parents = place.git("-C", repo, "rev-list", "--parents", "-1", sha).split()
    return parents[1] if len(parents) > 1 else "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def shortstat(text: str) -> list[int]:
    numbers = {"file": 0, "inse": 0, "dele": 0}
    for part in filter(None, text.split(", ")):
        count, word = part.split()[:2]
        numbers[word[:4]] = int(count)
    return list(numbers.values())


PROGRAMS = {
    "make": "make -s made",
    "python": f"{sys.executable} -c \"import subprocess as s; s.run('git commit -q --allow-empty -m python'.split())\"",
    "perl": "perl -e 'system qw(git commit -q --allow-empty -m perl)'",
    "node": "node -e \"require('child_process').execFileSync('git', 'commit -q --allow-empty -m node'.split(' '))\"",
    "sh": "env git commit -q --allow-empty -m sh",
}


def test_git_run_by_programs(place: Place) -> None:
    there = [name for name in PROGRAMS if shutil.which(name) or name == "python"]
    (place.work / "Makefile").write_text(
        "made:\n\t@git commit -q --allow-empty -m make\n\t@-git commit -q -m nothing\n"
    )
    place.git("init", "-q", "-b", "main")
    place.run(["sh", "-c", "; ".join(PROGRAMS[name] for name in there)])
    assert [(act["branch"], act["message"]) for act in place.activities()] == [("main", name) for name in there]


def test_a_step_of_the_same_second_before_the_run_is_not_of_the_run(place: Place) -> None:
    place.git("init", "-q", "-b", "main")
    place.git("commit", "-q", "--allow-empty", "-m", "before")
    place.run(["git", "commit", "-q", "--allow-empty", "-m", "in it"])
    (act,) = place.activities()
    assert act["message"] == "in it"
    assert act["sha"] == place.git("rev-parse", "HEAD")


def test_dates_that_the_user_chose(place: Place) -> None:
    script = (
        "git init -q -b main; for n in 1 2 3; do git commit -q --allow-empty -m $n; done; git checkout -q -b x HEAD~1"
    )
    place.run(["sh", "-c", script], more={"GIT_COMMITTER_DATE": "2001-02-03T04:05:06Z"})
    assert place.acts() == ["commit main"] * 3 + ["branch_create x"]
    assert [act["message"] for act in place.activities()[:3]] == ["1", "2", "3"]


def test_a_worktree_that_is_gone_before_anybody_looked(place: Place) -> None:
    script = (
        "git init -q -b main; git commit -q --allow-empty -m x; git worktree add -q -b wt ../wt; cd ../wt;"
        "git commit -q --allow-empty -m y; git checkout -q -b z; git commit -q --allow-empty -m z; rm -rf ../wt"
    )
    place.run(["sh", "-c", script])
    assert place.acts() == ["commit main", "branch_create wt", "commit wt", "branch_create z", "commit z"]


def test_one_repository_by_several_names(place: Place) -> None:
    script = (
        "git init -q -b main; git commit -q --allow-empty -m 1; here=$PWD; cd /;"
        'git --git-dir="$here/.git" --work-tree="$here" commit -q --allow-empty -m 2;'
        'GIT_DIR="$here/.git" GIT_WORK_TREE="$here" git commit -q --allow-empty -m 3;'
        'git -C "$here" commit -q --allow-empty -m 4'
    )
    place.run(["sh", "-c", script])
    found = [(act["message"], act["sha"]) for act in place.activities()]
    assert found == [
        (str(n), place.git("log", "--all", "--format=%H", "--grep", f"^{n}$").strip()) for n in range(1, 5)
    ]


class TestTheUsersOwn:
    def test_target_in_the_environment(self, place: Place) -> None:
        own = place.path / "own"
        place.git("init", "-q", "-b", "main")
        done = place.run(
            ["git", "commit", "-q", "--allow-empty", "-m", "x"], ["--meter", "+trace2"], {"GIT_TRACE2_EVENT": str(own)}
        )
        assert b'"commit"' in own.read_bytes()
        assert place.acts() == []
        assert done.stderr.decode().startswith("agentmon: trace2: GIT_TRACE2_EVENT is set already")

    def test_target_in_the_configuration(self, place: Place) -> None:
        own = place.path / "own"
        (place.path / ".gitconfig").write_text(f"[trace2]\n\teventTarget = {own}\n")
        place.git("init", "-q", "-b", "main")
        own.unlink()
        done = place.run(["git", "commit", "-q", "--allow-empty", "-m", "x"])
        assert b'"commit"' in own.read_bytes()
        assert place.acts() == []
        assert b"trace2.eventTarget" in done.stderr


def test_no_git_at_all(place: Place) -> None:
    done = place.run(["/bin/sh", "-c", "git status || echo none"], more={"PATH": "/nonexistent"})
    assert done.stdout == b"none\n"
    assert place.acts() == []


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_collector_that_is_stopped_or_gone(place: Place, number: signal.Signals) -> None:
    """git goes on as if nothing were, while the collector is stopped, and after it was killed."""
    place.git("init", "-q", "-b", "main")
    (place.path / "go").unlink(missing_ok=True)
    script = (
        "git commit -q --allow-empty -m before; touch ../started; while ! test -e ../go; do sleep 0.01; done;"
        "for n in 1 2 3 4 5; do git commit -q --allow-empty -m $n; done; touch ../done;"
        "while ! test -e ../end; do sleep 0.01; done"
    )
    running = subprocess.Popen(
        place.command(["sh", "-c", script]), cwd=place.work, env=place.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until((place.path / "started").exists)
        until(lambda: place.acts() == ["commit main"])
        collector = collector_of(place, running.pid)
        assert collector is not None
        (stop if number == signal.SIGSTOP else kill)(collector)
        (place.path / "go").touch()
        until((place.path / "done").exists)
        if number == signal.SIGSTOP:
            os.kill(collector, signal.SIGCONT)
        (place.path / "end").touch()
        assert exit_code(running) == 0
    finally:
        running.kill()
        running.wait()
    assert place.git("rev-list", "--count", "HEAD") == "6"
    if number == signal.SIGSTOP:
        assert [act["message"] for act in place.activities()] == ["before", "1", "2", "3", "4", "5"]


def collector_of(place: Place, relay: int) -> int | None:
    """A process of the same command, in the same folder, that leads a session of its own."""
    import psutil

    for process in psutil.process_iter():
        try:
            same = process.cwd() == str(place.work) and "agentmon" in process.cmdline()
            if same and process.pid != relay and os.getsid(process.pid) == process.pid:
                return process.pid
        except (psutil.Error, OSError):
            continue
    return None
