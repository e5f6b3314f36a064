"""The benchmarks run and print their table. What they measure depends on the machine, and is not tested."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="measuring needs a subreaper")
def test_quick_run_prints_one_table():
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    cases = {line.split()[0] for line in done.stdout.splitlines()[2:] if line[:1].isalpha()}
    assert {"throughput", "latency", "start", "idle", "parsing", "report", "history", "top"} <= cases
    assert "plain baseline" in done.stdout
    assert "events (" not in done.stderr, "events are missing"


def test_the_server_under_a_little_load_prints_its_figures():
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    few = ["--agents", "3", "--clients", "3", "--deaf", "1", "--seconds", "3"]
    argv = [sys.executable, "-m", "tests.bench.serve", *few]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    figures = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert {"load", "frames", "oldest", "server"} <= set(figures)
