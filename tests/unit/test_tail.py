"""`agentmon tail`: what is shown, and how."""

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from run_logs import START, Log

from agentmon.commands.words import Moment
from agentmon.events import ActivityLog, Alert, Event, Gap, Lifecycle, TokenUsage
from agentmon.telemetry import ended_by, figure
from agentmon.views.figures import count, lasted, memory, money
from agentmon.views.phrases import fate
from agentmon.views.tail import Lines, Wanted
from agentmon.views.text import Ink, clean, cut, fit, spark, wants_colour, width


def told(payload: object, colour: bool = False, agent: str = "crew") -> list[str]:
    """The lines of one event, without its time."""
    lines = Lines(Ink(colour), "2027-01-15")
    return [
        re.sub(r"^\S*\d\d:\d\d:\d\d\.\d{3}", "T", text) for text in lines.of(Event("r", 1, agent, "t", payload, START))
    ][-1:]


PHRASES = [
    (ActivityLog("", "warning", "slow", "orchestrator", "stdout"), "T crew     warning slow"),
    (Lifecycle("started", argv=("a", "b c")), "T crew     run     started a b c"),
    (Lifecycle("error", signal="SIGKILL", duration_s=2.0), "T crew     run     error by SIGKILL after 2.0 s"),
    (Lifecycle("stopped", exit_code=0), "T crew     run     stopped with status 0"),
    (TokenUsage("m", 1500, 20, cost_usd=0.5, source="sdk"), "T crew     llm     m  1.5k in  20 out  $0.5000  (sdk)"),
    (
        TokenUsage(None, None, None, 99, scope="session", estimated=True),
        "T crew     llm     ~99 in all  (session so far, output)",
    ),
    (Alert("budget", "critical", 5.5, 5.0, "stop"), "T crew     alert   budget: 5.5 of 5 (stop)"),
    (Gap(12, None, "too far behind", stream="stdout"), "T crew     gap     missing 12 bytes (stdout: too far behind)"),
]


@pytest.mark.parametrize(("payload", "expected"), PHRASES)
def test_events_are_told_in_words(payload: object, expected: str) -> None:
    assert told(payload) == [expected]


def test_colour_is_only_for_those_who_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = ActivityLog("", "error", "bad", "orchestrator", "stdout")
    assert "\x1b[31mbad\x1b[0m" in told(payload, colour=True)[0]
    assert "\x1b" not in told(payload)[0]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colour(True)
    assert not wants_colour(False)
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(True)


def test_a_traceback_is_indented_below_its_first_line() -> None:
    payload = ActivityLog("", "error", "Traceback:\n  File x\nValueError: \x1b[2Jno", "orchestrator", "stderr")
    lines = [*Lines(Ink(False), "2027-01-15").of(Event("r", 1, "crew", "t", payload, START))]
    first = next(i for i, text in enumerate(lines) if text.endswith("Traceback:"))
    assert lines[first + 1 :] == [" " * 30 + "  File x", " " * 30 + "ValueError: no"]


HOSTILE = [
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x1b]0;title\x07x", "x"),
    ("\x1b]0;title\x1b\\x", "x"),
    ("\x1bPq#0\x1b\\x", "x"),
    ("\x9b2Jx\x85", "x"),
    ("a\tb\rc\nd", "a b c d"),
    ("\u202eevil\u202c", "evil"),
    ("a\x00\x07\x08\x7fb", "ab"),
    ("[bold]x[/bold]", "[bold]x[/bold]"),
    ("漢字", "漢字"),
]


@pytest.mark.parametrize(("text", "expected"), HOSTILE)
def test_what_a_terminal_would_obey_is_left_out(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text() | st.text("\x1b\x9b[]P;0m\x07\\a漢é\u0301\u200d👩"))
def test_clean_text_holds_no_controls_and_fits(text: str) -> None:
    safe = clean(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", safe)
    for cells in (0, 1, 2, 7):
        assert width(cut(safe, cells)) <= cells
        assert width(fit(safe, cells)) == cells
        assert width(Ink(False).row([("", safe), ("1", "x"), ("", safe)], cells)) == cells


NUMBERS = [
    (count(None), "-"),
    (count(0), "0"),
    (count(999), "999"),
    (count(1000), "1.0k"),
    (count(99_949), "99.9k"),
    (count(99_950), "100k"),
    (count(999_600), "1.0M"),
    (count(10**10), "10.0G"),
    (memory(None), "-"),
    (memory(0.2), "0.2M"),
    (memory(2048), "2.0G"),
    (money(None), "-"),
    (money(0.5), "$0.5000"),
    (money(1234.5), "$1,234.50"),
    (lasted(None), "-"),
    (lasted(59.9), "59s"),
    (lasted(61), "1m01s"),
    (lasted(7300), "2h01m"),
    (lasted(90000), "1d01h"),
    (lasted(-5), "0s"),
    (spark([0, 50, 100], 5, 100), "  ▁▄█"),
    (spark([], 3), "   "),
    (spark([1, None, 1], 3), "█ █"),
    (spark([0, 0], 2), "▁▁"),
    (spark([1, 2], 0), ""),
]


@pytest.mark.parametrize(("got", "expected"), NUMBERS)
def test_numbers_are_short(got: str, expected: str) -> None:
    assert got == expected


def event(payload: object, agent: str = "crew", at: float = START) -> Event:
    return Event("r", 1, agent, "t", payload, at)


INFO = ActivityLog("", "info", "x", "orchestrator", "stdout")
ERROR = ActivityLog("", "error", "x", "orchestrator", "stdout")
WANTED = [
    (Wanted(), event(INFO), True),
    (Wanted(frozenset({"alert"})), event(INFO), False),
    (Wanted(frozenset({"log_entry"}), level="warning"), event(INFO), False),
    (Wanted(level="warning"), event(ERROR), True),
    (Wanted(level="warning"), event(Lifecycle("running")), False),
    (Wanted(frozenset({"lifecycle"}), level="warning"), event(Lifecycle("running")), True),
    (Wanted(agent="other"), event(INFO), False),
    (Wanted(agent="crew"), event(INFO), True),
    (Wanted(since=START + 1), event(INFO), False),
    (Wanted(since=START), event(INFO), True),
]


@pytest.mark.parametrize(("wanted", "one", "expected"), WANTED)
def test_filters(wanted: Wanted, one: Event, expected: bool) -> None:
    assert wanted(one) is expected


def test_since_is_a_span_or_a_time() -> None:
    import time

    before = time.time()
    assert before - 600 <= Moment().convert("10m", None, None) <= time.time() - 600
    assert Moment().convert("1970-01-02T00:00:00+00:00", None, None) == 86400
    for wrong in ("x", "10", "m", "nans", "9" * 400 + "d"):
        with pytest.raises(Exception, match=r"write 10m|is no time"):
            Moment().convert(wrong, None, None)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    log = Log(tmp_path / "state" / "agentmon" / "runs" / "r1.ndjson")
    log.started()
    log.said("first")
    log.said("second", "error")
    log.called()
    log.ended()
    log.release()
    return log


def tail(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    from agentmon import cli

    code = cli.main(["tail", *words])
    out, err = capfd.readouterr()
    return code, out, err


def test_json_is_the_lines_as_they_were_recorded(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    data = log.path.read_bytes().replace(b'"message":"first"', b'"message":"first","new":1')
    log.path.write_bytes(data)
    assert tail(capfd, "--json") == (0, data.decode(), "")
    assert tail(capfd, "--json", "-f", "r1")[1] == data.decode()
    assert tail(capfd, "--json", "-n", "2")[1].encode() == b"\n".join(data.split(b"\n")[-3:])


def test_filters_from_the_command_line(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    assert [text.split()[-1] for text in tail(capfd, "--level", "error")[1].splitlines()[-1:]] == ["second"]
    assert len(tail(capfd, "--event", "llm_call", "--json")[1].splitlines()) == 1
    assert tail(capfd, "--agent", "nobody") == (0, "", "")
    code, out, err = tail(capfd, "--since", "then")
    assert (code, out) == (125, "")
    assert err.count("\n") == 1


def test_a_corrupt_line_is_named_on_stderr(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    lines = log.path.read_bytes().splitlines()
    lines[1] = b"broken"
    log.path.write_bytes(b"\n".join(lines) + b"\n")
    code, out, err = tail(capfd, "--json")
    assert (code, len(out.splitlines())) == (0, 4)
    assert err.startswith(f"agentmon: {log.path}:2: not an event")


def test_an_unknown_run_is_one_line_on_stderr(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    assert tail(capfd, "nope")[0] == 125


def test_help_has_examples() -> None:
    from agentmon.commands.tail import command

    assert "agentmon tail -f" in CliRunner().invoke(command, ["--help"]).output


def test_a_gone_reader_is_no_error(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    import agentmon.commands.tail as module

    def gone(data: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(module, "_write", gone)
    assert module.command.callback is not None
    from agentmon import cli

    assert cli.main(["tail"]) == 141
    assert os.path.exists(log.path)


def test_the_last_event_is_told_though_the_last_line_is_cut(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = Log(tmp_path / "cut.ndjson")
    for number in range(5):
        made.said(f"line {number}")
    made.raw(b'{"v":1,"type":"agent_telemetry","run_id":"cut"')
    made.release()
    code, out, err = tail(capfd, "-n", "1", str(made.path))
    assert code == 0
    assert out.splitlines()[-1].endswith("line 4")
    assert "line 3" not in out
    assert "cut short" in err


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_500_020, "1,500,020"), (2e6, "2,000,000"), (165.366, "165.366"), (100.0, "100"), (0.00065, "0.00065"),
        (1.95e-05, "0.0000195"), (0, "0"), (1.1, "1.1"), (12_345.678, "12,345.68"), (0.30000000000000004, "0.3"),
    ],
)  # fmt: skip
def test_figures_of_alerts_are_told_whole(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_command_that_was_stopped_says_its_status_too() -> None:
    stopped = Lifecycle("error", exit_code=124, signal="SIGTERM", duration_s=1.0)
    assert fate(stopped) == "by SIGTERM with status 124 after 1.0 s"
    assert fate(Lifecycle("error", exit_code=143, signal="SIGTERM")) == "by SIGTERM"
    assert [ended_by(end) for end in (stopped, Lifecycle("error", exit_code=137, signal="SIGKILL"))] == [
        "SIGTERM, exit 124", "SIGKILL",
    ]  # fmt: skip
    assert ended_by(Lifecycle("error", exit_code=3)) == "exit 3"
