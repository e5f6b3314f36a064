"""Export: stable columns, one row an event, a run's sums counted once."""

import csv
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from report_logs import DEMO, STARTED, STOPPED, entry, metrics, mixed, written

from agentmon.commands.export import command
from agentmon.events import Gap, GitActivity, TokenUsage
from agentmon.views.tables import COLUMNS

ROOT = Path(__file__).resolve().parents[2]


def asked(*args: str | Path) -> Result:
    result = CliRunner().invoke(command, [str(arg) for arg in args])
    assert result.exception is None, result.exception
    return result


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return [*csv.DictReader(file)]


def test_all_tables_of_the_demo(tmp_path):
    asked(DEMO, "-o", tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {f"{name}.csv" for name in COLUMNS}
    for name, columns in COLUMNS.items():
        with open(tmp_path / "out" / f"{name}.csv", newline="") as file:
            assert tuple(next(csv.reader(file))) == columns
    (run,) = rows(tmp_path / "out" / "runs.csv")
    assert (run["state"], run["exit_code"], run["input_tokens"], run["commits"]) == ("stopped", "0", "8540", "2")
    assert json.loads(run["argv"]) == ["python", "-m", "agentmon.demo"]
    assert run["cost_usd"] == ""
    assert sum(int(call["input_tokens"]) for call in rows(tmp_path / "out" / "llm.csv")) == 8540


def test_json_lines_of_one_table(tmp_path):
    asked(DEMO, "--format", "jsonl", "--table", "git", "-o", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["git.jsonl"]
    acts = [json.loads(line) for line in (tmp_path / "git.jsonl").read_text().splitlines()]
    assert [act["operation"] for act in acts][:2] == ["commit", "branch_create"]
    assert tuple(acts[0]) == COLUMNS["git"]
    assert acts[1]["message"] is None


def test_help_documents_every_column():
    text = " ".join(asked("--help").stdout.split())
    for name, columns in COLUMNS.items():
        assert f"Columns of {name}: {', '.join(columns)}." in text


def test_cells_are_what_was_said(tmp_path):
    nasty = 'a,"b"\r\nc\td\x00é\U0001f600'
    log = written(tmp_path / "log", [STARTED, entry(nasty, "error"), GitActivity("commit", "=1+1", nasty), STOPPED])
    asked(log, "-o", tmp_path / "out")
    assert rows(tmp_path / "out" / "logs.csv")[0]["message"] == nasty
    assert rows(tmp_path / "out" / "git.csv")[0]["branch"] == "=1+1"


def test_a_run_counts_once_and_says_what_is_missing(tmp_path):
    log = written(
        tmp_path / "log",
        [
            STARTED, TokenUsage("m", 10, 5, 15, 0.25, source="sdk", call_id="a"),
            TokenUsage(None, 12, 5, 17, source="output"), Gap(7, 3, "full", sink="x"), metrics(1.0, 512.0),
        ],
    )  # fmt: skip
    asked(log, "-o", tmp_path / "out")
    (run,) = rows(tmp_path / "out" / "runs.csv")
    assert (run["input_tokens"], run["cost_usd"], run["state"]) == ("10", "0.25", "lost")
    assert (run["lost_bytes"], run["lost_events"], run["peak_memory_mb"]) == ("7", "3", "512.0")
    assert len(rows(tmp_path / "out" / "llm.csv")) == 2


def test_all_runs_and_the_faults_of_one(tmp_path, monkeypatch):
    folder = tmp_path / "agentmon" / "runs"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (folder / "a.ndjson").write_bytes(DEMO.read_bytes())
    (folder / "b.ndjson").write_bytes(DEMO.read_bytes()[:-20] + b"\n garbage\n")
    (folder / "c.ndjson").write_bytes(b"")
    result = asked("--all", "--table", "runs", "-o", tmp_path / "out")
    assert [run["state"] for run in rows(tmp_path / "out" / "runs.csv")] == ["stopped", "lost"]
    assert "not an event" in result.stderr


def test_files_are_as_private_as_run_logs_and_replaced_whole(tmp_path):
    (tmp_path / "runs.csv").write_text("old")
    asked(DEMO, "--table", "runs", "-o", tmp_path)
    assert stat.S_IMODE((tmp_path / "runs.csv").stat().st_mode) == 0o600
    assert len(rows(tmp_path / "runs.csv")) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["runs.csv"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--all", "x", "-o", "out"), "either RUN or --all"),
        (("--all", "-o", "out"), "there is no run yet"),
        (("-o", "file/out"), "ot a directory"),
        (("--table", "nothing", "-o", "out"), "nothing"),
    ],
)
def test_what_a_person_does_wrong(tmp_path, monkeypatch, args, said):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    if "file/out" in args:
        args = (str(DEMO), *args)
    result = CliRunner().invoke(command, args)
    assert result.exit_code != 0
    assert said in result.output + str(getattr(result.exception, "message", ""))


@pytest.mark.parametrize("tables", [["runs"], ["runs", "logs"], ["runs", "llm"]])
@pytest.mark.parametrize("stdin", [False, True])
def test_runs_that_share_a_file_have_a_row_each(tmp_path, monkeypatch, tables, stdin):
    log = mixed(tmp_path / "log")
    chosen = [word for table in tables for word in ("--table", table)]
    if stdin:
        done = subprocess.run(
            [sys.executable, "-m", "agentmon", "export", "-", *chosen, "-o", str(tmp_path / "out")], timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, input=log.read_bytes(), check=True,
        )  # fmt: skip
        assert done.returncode == 0
    else:
        asked(log, *chosen, "-o", tmp_path / "out")
    told = [(run["run_id"], run["state"], run["input_tokens"]) for run in rows(tmp_path / "out" / "runs.csv")]
    assert told == [("one", "stopped", "500"), ("two", "stopped", "500")]


def test_json_lines_of_sums_beyond_all_numbers(tmp_path):
    calls = [TokenUsage("m", 2**63, 1, 2**63 + 1, 1e308, source="sdk", call_id=f"c{n}") for n in range(3)]
    asked(written(tmp_path / "log", [STARTED, *calls, STOPPED]), "--format", "jsonl", "-o", tmp_path / "out")
    run = json.loads((tmp_path / "out" / "runs.jsonl").read_text())
    assert (run["input_tokens"], run["cost_usd"]) == (3 * 2**63, None)
