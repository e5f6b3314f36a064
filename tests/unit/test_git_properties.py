"""Whatever way the bytes come, the events are the same; whatever they are, nothing raises and nothing takes long."""

# ruff: noqa: E501 (what programs print is quoted in one line)

import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.collect.parsers import git_messages, git_prints, git_shapes, git_shell
from agentmon.collect.parsers.all import standard
from agentmon.collect.parsers.git_reader import GitReader
from agentmon.collect.pipeline import Pipeline
from agentmon.events import Finding, GitActivity
from tests.unit.test_git_once import CASES as ONCE
from tests.unit.test_git_text import GIT, LISTINGS

DATA = Path(__file__).parent.parent / "data" / "git"
TEXTS = [case[1] for case in GIT] + [case[1] for case in ONCE] + LISTINGS
CAPTURES = sorted(DATA.glob("*.bin"))


def events(chunks: list[bytes]) -> list[GitActivity]:
    pipeline = Pipeline(standard(), logs=False)
    items = [item for chunk in chunks for item in pipeline.feed("tty", chunk, 0.0)]
    items += pipeline.close(0.0)
    return [i.payload for i in items if isinstance(i, Finding) and isinstance(i.payload, GitActivity)]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TEXTS), st.lists(st.integers(0, 600), max_size=12))
def test_chunking_does_not_matter(text: str, cuts: list[int]):
    data = text.encode()
    places = sorted({0, *(c for c in cuts if c < len(data)), len(data)})
    assert events([data[a:b] for a, b in pairwise(places)]) == events([data])


@pytest.mark.parametrize("path", CAPTURES, ids=lambda p: p.stem)
def test_byte_by_byte(path: Path):
    data = path.read_bytes()
    assert events([data[i : i + 1] for i in range(len(data))]) == events([data])


PIECES = [
    "[main abc1234] ", "[", "]", "] ", "'", '"', "\\n", "│", "  ", "\t", " -> ", "From /x", "To /x", " 1 file changed", "@@ -1,9 +1,9 @@",
    "Author: a", "Switched to branch 'x'", "Creating branch: ", "Committed ", "Merged ", "HEAD is now at ", "abc1234", "$ git commit -q", "INFO",
    "12:00:00", ": ", "Cloning into 'x'...", "done.", "fatal: x", "Updating a..b", "Fast-forward", "{", "(", ")", "=", "exited 0 in 1ms:", "\x00", "é",
]  # fmt: skip
LINE = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINE, max_size=12))
def test_any_mixture_of_pieces_is_read(lines: list[str]):
    reader = GitReader()
    for n, line in enumerate(lines):
        reader.line(line, "stderr" if n % 3 else "stdout")
    reader.close()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read(data: bytes):
    events([data, b"\n[main abc1234] ", data])


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(st.sampled_from([*PIECES, "git commit -m", "&&", "$(", "<<EOF", "\n", "\\"]), max_size=12).map(
            " ".join
        ),
    ),
    st.text(max_size=80),
    st.sampled_from([None, 0, 1]),
)
def test_any_command_is_read(command: str, output: str, exit_code: int | None):
    GitReader().command(command, output, exit_code)


SIZE = 64 * 1024
HOSTILE = [
    "[main abc1234] " + "x" * SIZE, "[" + "a" * SIZE + "] x", "[" * SIZE, "(" * SIZE, "[main (" + "x" * SIZE, "'" * SIZE, "\"x=" * (SIZE // 3),
    " " * SIZE + "Switched to branch 'x'", "│" * SIZE, "- " * (SIZE // 2), "a: " * (SIZE // 3), "a " * (SIZE // 2) + ":", "a.b:" * (SIZE // 4),
    "12:00 " * (SIZE // 6), "x=y " * (SIZE // 4) + "Creating branch: x", "Creating branch: " + "x" * SIZE, "Creating branch: x " + "a=b " * (SIZE // 4),
    "Creating branch: x" + " " * SIZE + "y", "Committed: " + "x " * (SIZE // 2) + "'", "Merged " + "x/" * (SIZE // 2) + " into", "Merged x into " + "y" * SIZE,
    "Switched to branch '" + "x" * SIZE, "'" + "x" * SIZE + "' dalına geçildi.", "HEAD is now at " + "a" * SIZE, " * [new branch] " + "x" * SIZE + " -> ",
    " * [new branch]" + " " * SIZE + "x -> origin/x", " 1 file changed" + ", 1 insertion(+)" * (SIZE // 16), "Updating " + "a" * SIZE + "..b",
    "/bin/bash -lc '" + "git commit -q; " * (SIZE // 15) + "' in /x", "$ git branch " + "\\" * SIZE, "<a>" * (SIZE // 3), "📌 " * (SIZE // 6),
]  # fmt: skip


def seconds(line: str) -> float:
    best = 9.0
    for _ in range(3):
        reader = GitReader()
        began = time.process_time()
        for _ in range(4):
            reader.line(line, "stdout")
        reader.close()
        best = min(best, time.process_time() - began)
    return best / 4


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: line[:24])
def test_long_near_misses_take_no_time(line: str):
    assert seconds(line) < 0.05


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: line[:24])
def test_every_shape_is_linear(line: str):
    """Also without the cut that the reader makes. Square, it would be many seconds of CPU time, on any machine."""
    began = time.process_time()
    git_shapes.read(line)
    git_shapes.stat(line)
    git_shapes.ref(line)
    git_shapes.moved_range(line)
    for pattern in git_prints.PATTERNS:
        pattern.compiled.match(line)
    git_shell.commands(line)
    assert time.process_time() - began < 1.0


def test_patterns_say_what_their_lines_hold():
    for pattern in git_prints.PATTERNS:
        assert pattern.kind == "git"
        assert pattern.needles
        assert pattern.compiled.groups > 0


def test_every_message_that_begins_an_act_holds_a_needle():
    needles = git_shapes.needles()
    later = {"fatal", "error", "from_url", "branch_up_to_date", "stopped"}  # only looked for after another line
    fills = {"dropped": ("refs/stash@{0}", "abc1234"), "saved": ("WIP on main: abc1234 x",)}
    for name, templates in git_messages.TEMPLATES.items():
        for template in templates:
            line = template % fills.get(name, ("xyz",) * template.count("%s"))
            assert name in later or any(n in line for n in needles), line
