"""The report: what it says of a real run, of sources that disagree, of logs with faults; and never what a child says
to the terminal, the page or the wiki that it is shown in."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from report_logs import DEMO, STARTED, STOPPED, entry, line, metrics, mixed, written

from agentmon.commands.report import command
from agentmon.events import Alert, Gap, GitActivity, Lifecycle, TokenUsage
from agentmon.views.report import Report, build

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def asked(*args: str | Path) -> Result:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(command, [str(arg) for arg in args])
    assert result.exception is None, result.exception
    return result


def report_of(path: Path) -> Report:
    return build(str(path), lambda _: None)


def test_demo_in_the_terminal():
    assert asked(DEMO).stdout == DEMO.with_suffix(".report.txt").read_text()


def test_demo_as_json():
    told = json.loads(asked(DEMO, "--json").stdout)
    assert told["token_usage"]["input_tokens"] == 8540
    assert told["token_usage"]["models"] == {}
    assert told["agents"] == ["agentmon.demo"]
    assert told["git_operations"]["commit"] == 2


def test_demo_as_markdown():
    text = asked(DEMO, "--md").stdout
    assert "| `agentmon.demo` | `-` | 8,540 |" in text
    assert "| `commit` | `feature/login` | `7b9abe5 Add the login and its test` | 2 | +6 -0 |" in text


def test_one_format_at_a_time(tmp_path):
    result = CliRunner().invoke(command, [str(DEMO), "--json", "--md"])
    assert "one of --json, --md and --html" in result.output
    result = CliRunner().invoke(command, [str(DEMO), "--html", str(tmp_path / "no" / "page.html")])
    assert "No such file" in str(getattr(result.exception, "message", ""))


def test_stdin_and_a_pipe_without_colours():
    done = subprocess.run(
        [sys.executable, "-m", "agentmon", "report", "-"], input=DEMO.read_bytes(), capture_output=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TZ": "UTC"}, check=True,
    )  # fmt: skip
    assert b"\x1b" not in done.stdout
    assert done.stdout.decode() == DEMO.with_suffix(".report.txt").read_text()


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_on_a_terminal(no_color, coloured):
    from io import StringIO

    from rich.console import Console

    from agentmon.views.report_text import show

    out = StringIO()
    show(
        report_of(DEMO),
        Console(file=out, force_terminal=True, width=80, _environ={"NO_COLOR": no_color, "TERM": "xterm"}),
    )
    assert ("\x1b[36m" in out.getvalue() or "\x1b[2;36m" in out.getvalue()) == coloured


def test_a_terminal_without_unicode():
    from io import BytesIO, TextIOWrapper

    from rich.console import Console

    from agentmon.views.report_text import show

    out = TextIOWrapper(BytesIO(), encoding="ascii", errors="replace")
    show(report_of(DEMO), Console(file=out, width=80))
    out.seek(0)
    text = out.read()
    assert "?" not in text.split("Tokens and cost")[0]
    assert "c commit" in text


# ------------------------------------------------------------------ figures and who told them


def test_agents_models_and_sources(tmp_path):
    path = written(
        tmp_path / "log",
        [
            STARTED,
            (1.0, "ada", TokenUsage("m-1", 1000, 100, 1100, 0.5, source="sdk", call_id="a", cost_source="prices")),
            (2.0, "bob", TokenUsage("m-2", 3000, 300, 3300, 1.5, source="sdk", call_id="b", cost_source="tool")),
            (3.0, "bob", TokenUsage(None, 4400, 400, 4800, source="output")),
            (60.0, "crew", STOPPED),
        ],
    )
    report = report_of(path)
    rows = [(r.agent, r.model, r.sums.input_tokens, r.sources, r.costs) for r in report.usage_rows()]
    assert rows[0][:4] == ("bob", "m-2", 3000, ("sdk",))
    assert rows[1][:4] == ("ada", "m-1", 1000, ("sdk",))
    exact, printed = report.source_rows()
    assert (exact.source, exact.counted, exact.off) == ("sdk", True, {})
    assert (printed.source, printed.counted) == ("output", False)
    assert printed.off == pytest.approx({"input_tokens": 0.1, "output_tokens": 0.0})
    text = asked(path).stdout
    assert "input +10.0%, output equal" in text


def test_printed_once_more_is_told_but_not_counted(tmp_path):
    path = written(
        tmp_path / "log",
        [
            TokenUsage("m", 10, 5, 15, source="sdk", call_id="a"),
            TokenUsage(None, 10, 5, 15, source="output"),
        ],
    )
    report = report_of(path)
    assert report.state.usage.totals().input_tokens == 10
    assert [(row.source, row.sums.input_tokens) for row in report.source_rows()] == [("sdk", 10), ("output", 10)]


def test_git_itself_before_what_was_printed(tmp_path):
    path = written(
        tmp_path / "log",
        [
            GitActivity("commit", "main", source="output"), GitActivity("commit", "main", sha="abc", source="trace2"),
            GitActivity("push", "main", source="output"),
        ],
    )  # fmt: skip
    assert [moment.what.sha for moment in report_of(path).git] == ["abc"]


def test_alerts_gaps_and_unknown_calls(tmp_path):
    end = Lifecycle("error", signal="SIGKILL", duration_s=5.0, sources={"stdout": {"bytes": 90, "lost_bytes": 10}})
    path = written(
        tmp_path / "log",
        [
            STARTED, Alert("budget", "critical", 5.2, 5.0, "stop"), Gap(10, None, "too far behind", stream="stdout"),
            TokenUsage("m", source="sdk", call_id="x", status=200), end,
        ],
    )  # fmt: skip
    text = asked(path).stdout
    assert "ended by SIGKILL" in text
    assert "budget  critical    5.2      5  stop" in text
    assert "stdout: 10 bytes: too far behind" in text
    assert "stdout: 10 of 100 bytes were not looked at" in text
    assert "1 model calls whose usage nobody told" in text


def test_the_last_errors_are_those_of_the_whole_run(tmp_path):
    errors = [(float(n), entry(f"Traceback (most recent call last):\n  x\nKeyError: {n}", "error")) for n in range(30)]
    later = [(100.0 + n, entry("all is well")) for n in range(300)]
    report = report_of(written(tmp_path / "log", [STARTED, *errors, *later]))
    assert [moment.what.message[-2:] for moment in report.errors] == [str(n) for n in range(20, 30)]
    assert "KeyError: 29" in asked(tmp_path / "log").stdout


# ------------------------------------------------------------------ faults


def test_an_empty_run(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"")
    assert asked(path).stdout == "no events\n"
    assert json.loads(asked(path, "--json").stdout)["run_id"] is None
    assert asked(path, "--md").stdout.startswith("# No events")
    assert "<h1>No events" in asked(path, "--html", "-").stdout


def test_a_cut_line_a_corrupt_line_and_a_newer_version(tmp_path):
    newer = orjson.loads(line(3, metrics(50.0)))
    newer |= {"v": 9, "colour": "blue"}
    whole = line(4, TokenUsage("m", 10, 5, 15))
    path = tmp_path / "log"
    path.write_bytes(line(1, STARTED) + b"\x00\xff not json\n" + orjson.dumps(newer) + b"\n" + whole + whole[:60])
    result = asked(path)
    assert f"{path}:2: not an event" in result.stderr
    assert "the last line is cut short" in result.stderr
    assert "version 9" in result.stderr
    assert "mean 50 %" in result.stdout
    assert "this log: line 2: not an event" in result.stdout
    assert str(path) not in result.stdout
    assert "end not recorded" in result.stdout
    assert json.loads(asked(path, "--json").stdout)["token_usage"]["total_tokens"] == 15


def test_clocks_that_jump(tmp_path):
    path = written(
        tmp_path / "log",
        [(0.0, STARTED), (10.0, metrics(5.0)), (-1e6, metrics(6.0)), (1e9, metrics(7.0)), (20.0, STOPPED)],
    )
    assert "took     1 min 00 s" in asked(path).stdout
    assert "<svg" in asked(path, "--html", "-").stdout


# ------------------------------------------------------------------ hostile strings

HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</td></table></pre><h1>", "'\"><svg/onload=alert(1)>",
    "\x1b]0;title\x07\x1b[2J\x9b31m", "a\u202egnp.exe", "`code` | cell | [x](javascript:alert(1))", "| a | b |\n|---|",
    "@everyone #1 https://example.org", "[bold red]markup[/]", "&lt;script&gt;", "</script><!--", "\\`\\|", "``", "|",
)  # fmt: skip


@pytest.fixture
def hostile(tmp_path) -> Path:
    events = []
    for n, text in enumerate(HOSTILE):
        events += [
            (float(n), text, GitActivity("commit", text, text, sha=text)), (float(n), text, entry(text, "error")),
            (float(n), text, TokenUsage(text, 10 + n, 5, 15 + n)), (float(n), text, Gap(1, None, text, stream=text)),
            (float(n), text, Alert(text, "warning", 1.0, 2.0, text)),
        ]  # fmt: skip
    start = Lifecycle("started", argv=HOSTILE, cwd=HOSTILE[0], host=HOSTILE[1], labels={HOSTILE[2]: HOSTILE[3]})
    return written(tmp_path / "log", [start, metrics(5.0), *events])


def test_nothing_steers_the_terminal(hostile):
    text = asked(hostile).stdout
    assert not [c for c in text if c != "\n" and not c.isprintable()]
    assert "[bold red]markup[/]" in text


def test_nothing_is_markup_in_the_page(hostile):
    import re
    from html.parser import HTMLParser

    page = asked(hostile, "--html", "-").stdout
    seen: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append((tag, dict(attrs)))

    Tags().feed(page)
    assert len([tag for tag, _ in seen if tag == "script"]) == 2
    assert not {"img", "iframe", "object"} & {tag for tag, _ in seen}
    assert not [name for _, attrs in seen for name in attrs if name.startswith("on")]
    assert {
        attrs["href"] for tag, attrs in seen if tag == "a" and not re.match(r"#git-\d+$", attrs["href"] or "")
    } == set()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)


def test_the_page_lets_only_its_own_script_run_and_asks_nobody(hostile):
    import base64
    import hashlib
    import re

    page = asked(hostile, "--html", "-").stdout
    script = re.search(r"<script>(.*?)</script>", page, re.S)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    outside = re.sub(r"&[a-z#0-9]+;", "", re.sub(r"<(title|td|dd|pre|a)\b.*?</\1>", "", page, flags=re.S))
    assert "http:" not in outside
    assert "https:" not in outside


def test_nothing_is_markup_in_markdown(hostile):
    from markdown_it import MarkdownIt

    text = asked(hostile, "--md").stdout
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    kinds = set()
    for token in tokens:
        kinds.add(token.type)
        for child in token.children or ():
            kinds.add(child.type)
            if child.type == "html_inline":
                assert child.content in ("<code>", "</code>")
    assert not {"html_block", "link_open", "image", "em_open", "strong_open"} & kinds
    widths = {len(row.split(" | ")) for row in text.splitlines() if row.startswith("| +")}
    assert widths <= {3, 6}


# ------------------------------------------------------------------ long runs


def test_a_long_run_is_a_small_page(tmp_path):
    events = [(2.0 * n, metrics(float(n % 100), 100.0 + n, 1.0)) for n in range(5000)]
    events += [(2.0 * n, GitActivity("commit", f"b{n}", "message " * 5)) for n in range(1000)]
    path = written(tmp_path / "log", sorted(events, key=lambda item: item[0]))
    page = asked(path, "--html", "-").stdout
    assert len(page) < 200_000
    assert "1,000 commit" in page


@pytest.mark.parametrize("how", [[], ["--md"], ["--html", "-"], ["--json"]])
def test_sums_beyond_all_numbers_are_shown_somehow(tmp_path, how):
    calls = [TokenUsage("m", 2**63, 1, 2**63 + 1, 1e308, source="sdk", call_id=f"c{n}") for n in range(3)]
    samples = [metrics(1e308, 1e308), metrics(1e308, 1e308), metrics(5.0)]
    log = written(tmp_path / "log", [STARTED, *samples, *calls, Lifecycle("stopped", exit_code=0, duration_s=1e300)])
    told = asked(log, *how).stdout
    assert max(map(len, told.splitlines())) < 100 or how[:1] == ["--html"]
    if how == ["--json"]:
        usage = json.loads(told)["token_usage"]
        assert (usage["input_tokens"], usage["cost_usd"]) == (3 * 2**63, None)


def test_runs_that_share_a_file_count_once_each(tmp_path):
    log = mixed(tmp_path / "log")
    result = asked(log, "--json")
    assert json.loads(result.stdout)["token_usage"]["input_tokens"] == 1000
    assert f"{log}: holds 2 runs" in result.stderr
    assert "holds 2 runs" in " ".join(asked(log).stdout.split())


def test_a_wrapper_that_was_killed_is_lost(tmp_path):
    end = Lifecycle("error", duration_s=2.0, reason="the relay was killed; the child was sent SIGTERM")
    report = report_of(written(tmp_path / "log", [STARTED, end]))
    assert report.status == "lost"
    assert "the relay was killed" in report.fate()


@pytest.mark.parametrize(
    "parts",
    [
        {"argv": ["crew", 5]}, {"argv": [None]}, {"argv": [["x"]]}, {"labels": {"a": 1}}, {"labels": {"a": None}},
        {"sources": {"stdout": "much"}}, {"sources": {"stdout": {"bytes": "9", "lost_bytes": [1]}}},
        {"sources": {"stdout": {"lost_bytes": {}}}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", [[], ["--md"], ["--html", "-"], ["--json"]])
def test_a_line_whose_parts_are_of_other_types_is_named(tmp_path, parts, how):
    path = written(tmp_path / "log", [STARTED, entry("said"), STOPPED])
    odd = json.loads(path.read_text().splitlines()[0 if "sources" not in parts else 2])
    odd["data"]["lifecycle"] |= parts
    path.write_bytes(path.read_bytes() + json.dumps(odd).encode() + b"\n")
    assert "log:4: not an event" in asked(path, *how).stderr
