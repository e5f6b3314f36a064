"""What is offered on a line that is being typed, without a shell."""

import shlex
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_logs import Log

from agentmon.cli import agentmon
from agentmon.commands.typed import answer, split


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "agentmon"


def offered(line: str) -> list[str]:
    head, *lines = answer(agentmon, line).splitlines()
    assert head.startswith("words\t")
    return [found.split("\t")[0] for found in lines]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("agentmon ", ["agentmon", ""]), ("a 'b c' d", ["a", "b c", "d"]), ("a b\\ c", ["a", "b c"]),
        ('a "b', ["a", "b"]), ('a "b\\"c" ', ["a", 'b"c', ""]), ("a ''", ["a", ""]), ("", [""]), ("a\\", ["a"]),
        ("a 'b\\' c", ["a", "b\\", "c"]),
    ],
)  # fmt: skip
def test_split(line, words):
    assert [word.text for word in split(line)] == words


@given(st.text("ab \\\"'\t"))
def test_split_is_as_a_shell_splits(line):
    try:
        words = shlex.split(line)
    except ValueError:
        split(line)  # an open quote
        return
    assert [word.text for word in split(line + " ")] == [*words, ""]


@given(st.lists(st.text("xy'\" \\", min_size=1), min_size=1), st.text("xy"))
def test_each_word_begins_where_it_says(words, last):
    line = " ".join([*map(shlex.quote, words), last])
    found = split(line)
    assert [word.text for word in found] == [*words, last]
    for word in found:
        assert line[word.start :].startswith(shlex.quote(word.text) if word is not found[-1] else last)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("agentmon report --html ru", "files\t\tru"), ("agentmon report --html=ru", "files\t--html=\tru"),
        ("agentmon run -o unix:/tm", "files\tunix:\t/tm"), ("agentmon export -o ta", "folders\t\tta"),
        ("agentmon run --prices ~/p", "files\t\t~/p"), ("agentmon tail ./x", "files\t\t./x"),
        ("agentmon run py", "command\t2\t13"), ("agentmon run -- py", "command\t3\t16"),
        ("agentmon run --team 'a b' -q -- py --team ", "command\t6\t32"), ("agentmon run claude -", "command\t2\t13"),
        ("agentmon run -- --x", "command\t3\t16"), ("agentmon run --label k=v c -o ", "command\t4\t25"),
    ],
)  # fmt: skip
def test_paths_and_commands(state, line, kind):
    assert answer(agentmon, line).splitlines()[0] == kind


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("agentmon expo", ["export"]), ("agentmon history re", ["rebuild"]), ("agentmon config ", ["show"]),
        ("agentmon completion ", ["bash", "zsh", "fish"]), ("agentmon run --budget-", ["--budget-tokens",
        "--budget-counts-estimates"]), ("agentmon tail --level=w", ["--level=warning"]),
        ("agentmon run --meter output,s", ["output,sdk"]), ("agentmon run --meter +ot", ["+otlp"]),
        ("agentmon history --exit ", ["ok", "failed"]), ("agentmon run --budget ", []),
        ("agentmon nonsense --", ["--version", "--help"]), ("agentmon doctor ", []), ("agentmon run --bogus=", []),
        ("agentmon run -o uni", ["unix:", "unix-connect:"]),
    ],
)  # fmt: skip
def test_words(state, line, words):
    assert offered(line) == words


def test_run_ids_newest_first_with_what_they_were(state):
    for name, fate in (("20270101T000000000Z-00000001", 0), ("20270102T000000000Z-00000002", 3)):
        log = Log(state / "runs" / f"{name}.ndjson", agent="crew\x1b[31m")
        log.started()
        log.ended(fate)
        log.release()
    going = Log(state / "runs" / "20270103T000000000Z-00000003.ndjson")
    going.started()
    at = time.strftime("%m-%d %H:%M", time.localtime(going.now))
    assert answer(agentmon, "agentmon report 2027").splitlines() == [
        "words\t2027",
        f"20270103T000000000Z-00000003\tcrew, {at}, running",
        f"20270102T000000000Z-00000002\tcrew, {at}, error",
        f"20270101T000000000Z-00000001\tcrew, {at}, stopped",
    ]
    assert offered("agentmon export 20270101T000000000Z-00000001 2027") == [
        "20270103T000000000Z-00000003", "20270102T000000000Z-00000002",
    ]  # fmt: skip
    going.release()


@given(st.text(st.sampled_from(" -=':/\\\"\x1b\t\nrunagetmophisryxl10é漢"), max_size=60))
def test_whatever_is_typed_has_an_answer(line):
    text = answer(agentmon, "agentmon " + line)
    assert text.split("\t")[0] in ("words", "files", "folders", "command")
    assert "\x1b" not in text
