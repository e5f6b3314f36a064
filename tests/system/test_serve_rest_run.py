"""REST of a real run. Apart from the rest: the wrapper ends all processes of a test file, also servers."""

import pytest
from wrapper import Wrapper, python, until

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from rest_server import RestServer


def test_a_real_run(wrapper: Wrapper):
    """From its start to its end, and afterwards from its log."""
    server = RestServer(wrapper.state)
    try:
        code = "import sys\nprint('go', flush=True)\nsys.stdin.readline()\nprint('done')\nsys.exit(3)"
        child = wrapper.start(python(code), "--team", "t/1", "--interval", "100ms", stdin=-1, stdout=-1)
        (row,) = until(lambda: server.get("/api/v1/runs?state=running&team=t%2F1")["runs"], "the run")
        url = f"/api/v1/runs/{row['run_id']}"
        until(lambda: server.get(f"{url}/series")["timestamp"], "a sample")
        child.communicate(b"\n")
        until(lambda: server.get(url)["state"] == "error", "the end")
        assert server.get(url)["exit_code"] == 3
        found = until(lambda: server.get(f"{url}/events?q=DONE")["events"], "what it said")
        assert [event["data"]["activity_log"]["message"] for event in found] == ["done"]
    finally:
        server.close()
