"""Own patterns: files of them, what is wrong with a file, and the time that one may take."""

import re
import signal
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from agentmon.collect.parsers import pattern_files
from agentmon.collect.parsers.all import builtin, standard
from agentmon.collect.parsers.budget import OverBudget, limited
from agentmon.collect.pipeline import Pipeline
from agentmon.commands.parse import command
from agentmon.errors import AgentmonError
from agentmon.events import Finding, GitActivity, TokenUsage

OWN = """
[[pattern]]
name = "ours"
kind = "tokens"
regex = 'LLM took (?P<input>\\d+)/(?P<output>\\d+)'
needles = ["LLM took"]
tool = "ours"

[[pattern]]
name = "our-branch"
kind = "git"
operation = "branch_create"
regex = 'new topic (?P<branch>\\S+)'
"""


def found(toml: str, text: str, notices: list[str] | None = None) -> list[TokenUsage | GitActivity]:
    own = pattern_files.parse(toml, "own.toml")
    pipeline = Pipeline(standard(own, notice=(notices if notices is not None else []).append), logs=False)
    items = [*pipeline.feed("stdout", text.encode(), 0.0), *pipeline.close(0.0)]
    return [i.payload for i in items if isinstance(i, Finding) and isinstance(i.payload, TokenUsage | GitActivity)]


def test_own_patterns() -> None:
    usage, act = found(OWN, "x LLM took 12/34 y\n> new topic fix/it\n")
    assert isinstance(usage, TokenUsage)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.tool) == (12, 34, 46, "ours")
    assert isinstance(act, GitActivity)
    assert (act.operation, act.branch) == ("branch_create", "fix/it")


def test_a_line_that_is_taken_is_not_counted_twice() -> None:
    toml = "[[pattern]]\nname='t'\nkind='tokens'\nregex='usage: (?P<input>\\d+) input, (?P<output>\\d+)'"
    assert len(found(toml, "Token usage: 1 input, 2 output\n")) == 1


def test_the_built_in_ones_are_such_a_file(tmp_path: Path) -> None:
    listed = CliRunner().invoke(command, ["--list-patterns"])
    assert listed.exit_code == 0
    file = tmp_path / "own.toml"
    file.write_text(listed.output, "utf-8")
    assert list(pattern_files.load(file)) == list(builtin())


@pytest.mark.parametrize(
    ("toml", "place", "message"),
    [
        ("[[pattern]]\nname = \n", 2, "Invalid value"),
        ("[[pattern]]\nname='a'\nkind='tokens'\nregex='(?P<input>'", 4, "bad regex"),
        ("[[pattern]]\nname='a'\nkind='tokens'\nregex='(?P<inptu>x)'", 4, "unknown group 'inptu'"),
        ("[[pattern]]\nname='a'\nkind='git'\noperation='commit'\nregex='(?P<input>x)'", 5, "unknown group"),
        ("[[pattern]]\nname='a'\nkind='files'\nregex='x'", 3, "kind must be one of git, tokens"),
        ("[[pattern]]\nname='a'\nkind='git'\nregex='x'", 1, "operation is missing"),
        ("[[pattern]]\nname='a'\nkind='git'\noperation='undo'\nregex='x'", 4, "operation must be one of"),
        ("\n[[pattern]]\nname='a'\nkind='tokens'", 2, "regex is missing"),
        ("[[pattern]]\nname='a'\nkind='tokens'\nregex='x'", 4, "no named group"),
        ("[[pattern]]\nname='a'\nkind='tokens'\nregx='x'", 4, "unknown key 'regx'"),
        ("[[pattern]]\nname='a'\nkind='tokens'\nregex='(?P<input>x)'\nneedles='x'", 5, "needles must be a list"),
        ("[[pattern]]\nname='a'\nkind='tokens'\nregex='(?P<input>x)'\ninput_includes=['all']", 5, "only cache_read"),
        ("[[pattern]]\nname='a'\nkind='tokens'\nregex='(?P<input>x)'\nestimated='yes'", 5, "true or false"),
        ("[[pattern]]\nname='a'\nkind='tokens'\nregex='(?P<input>x)'\nscope=1", 5, "scope must be a text"),
        (OWN + "[[pattern]]\nname='ours'\nkind='tokens'\nregex='(?P<input>x)'", 15, "two patterns 'ours'"),
        ("[patterns]\na=1", 1, "unknown key 'patterns'"),
        ("[pattern]\nname='a'", 1, "[[pattern]] entries"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(toml: str, place: int, message: str) -> None:
    with pytest.raises(AgentmonError) as problem:
        pattern_files.parse(toml, "own.toml")
    assert problem.value.message.startswith(f"own.toml:{place}: ")
    assert message in problem.value.message


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(AgentmonError, match="No such file"):
        pattern_files.load("/nowhere/own.toml")


HOSTILE = "a" * 40 + "b"
EVIL = "[[pattern]]\nname='evil'\nkind='tokens'\nregex='(?P<input>(a+)+)$'\n"


def test_a_pattern_that_takes_too_long_is_switched_off_with_one_notice() -> None:
    notices: list[str] = []
    began = time.process_time()
    text = f"{HOSTILE}\n{HOSTILE}\nLLM took 12/34\n"
    assert len(found(EVIL + OWN, text, notices)) == 1
    assert time.process_time() - began < 2
    assert notices == ["pattern 'evil' took longer than 0.1 s on one line and is switched off"]


def test_everything_about_the_signal_is_restored() -> None:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGVTALRM})
    seen: list[int] = []
    before = signal.signal(signal.SIGVTALRM, lambda number, _: seen.append(number))
    handler = signal.getsignal(signal.SIGVTALRM)
    try:
        with pytest.raises(OverBudget), limited(0.02):
            re.search(r"(a+)+$", HOSTILE)
        assert signal.getsignal(signal.SIGVTALRM) is handler
        assert signal.SIGVTALRM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
        assert not seen
    finally:
        signal.signal(signal.SIGVTALRM, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def test_no_limit_outside_of_the_main_thread() -> None:
    done: list[bool] = []

    def work() -> None:
        with limited(0.001):
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_explain(tmp_path: Path) -> None:
    own, log = tmp_path / "own.toml", tmp_path / "log"
    own.write_text(OWN)
    log.write_text("hello\nLLM took 12/34\nToken usage: 1 input, 2 output\n---------- coder ----------\n")
    said = CliRunner().invoke(command, ["--explain", "--patterns", str(own), str(log)]).output.splitlines()
    assert said[0] == "stdout:2: LLM took 12/34"
    assert said[1] == "    ours: input=12 output=34"
    assert said[2].startswith("    -> llm_call: input_tokens=12 output_tokens=34")
    assert said[3] == "stdout:3: Token usage: 1 input, 2 output"
    assert said[4] == "    token-usage: input=1 output=2"
    assert said[-2:] == ["stdout:4: ---------- coder ----------", "    agent: coder"]


def test_parse_refuses_a_bad_file_first(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[[pattern]]\n")
    result = CliRunner().invoke(command, ["--patterns", str(own), "/nowhere"])
    assert isinstance(result.exception, AgentmonError)
    assert result.exception.message == f"{own}:1: name is missing"


def test_alternatives_and_groups_that_are_no_fields() -> None:
    toml = """[[pattern]]
name = "merge-done"
kind = "git"
operation = "merge"
regex = '''landed (?P<_quote>["'])(?P<branch>[^"']+)(?P=_quote) in (?P<into>\\S+)|landing of (?P<branch2>\\S+)'''
"""
    first, second = found(toml, "landed 'fix/it' in main\nlanding of topic\n")
    assert isinstance(first, GitActivity)
    assert isinstance(second, GitActivity)
    assert (first.branch, second.branch) == ("main", "topic")


def test_the_built_in_ones_work_as_own_ones() -> None:
    listed = pattern_files.toml(builtin())
    text = "Created branch: fix/it\nTokens: 1,200 sent, 300 received. Cost: $0.01 message, $0.02 session.\n"
    branch, usage = found(listed, text)
    assert isinstance(branch, GitActivity)
    assert isinstance(usage, TokenUsage)
    assert (branch.operation, branch.branch) == ("branch_create", "fix/it")
    assert (usage.input_tokens, usage.output_tokens, usage.cost_usd, usage.tool) == (1200, 300, 0.01, "aider")
