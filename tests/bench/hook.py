"""`python -m tests.bench.hook`: what the SDK hook costs a program.

A stub that answers in 20 ms: the median call with the hook against the median call without, whole and streamed, by
turns in one process, so that other load falls on both. And the start of a Python that makes no calls: CPU time.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from agentmon.collect.intake.sdk import HOOK

_TESTS = Path(__file__).resolve().parents[1]
_CALLS = """
import sys, time
import openai
transport = (sys.modules.get("httpx2") or sys.modules["httpx"]).HTTPTransport
hooked = transport.handle_request
bare = hooked.__wrapped__
client = openai.OpenAI(base_url=sys.argv[1] + "/delay/v1", api_key="k")
ask = dict(model="stub-1", messages=[{"role": "user", "content": "hi"}])
if sys.argv[3] == "streamed":
    ask |= dict(stream=True, stream_options={"include_usage": True})
for i in range(2 * int(sys.argv[2]) + 10):
    transport.handle_request = hooked if i % 2 else bare
    start = time.perf_counter()
    reply = client.chat.completions.create(**ask)
    if sys.argv[3] == "streamed":
        for _ in reply:
            pass
    if i >= 10:
        print(time.perf_counter() - start)
"""
_SERVER = "import stub, time\nwith stub.serving() as s:\n    print(s.url, flush=True)\n    time.sleep(10_000)"


def main() -> None:
    """Print one line per figure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=500, help="per kind, with and without [500]")
    options.add_argument("--starts", type=int, default=60)
    chosen = options.parse_args()
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "AGENTMON"))}
    with tempfile.NamedTemporaryFile() as file:
        hooked = {**bare, "PYTHONPATH": HOOK, "AGENTMON_SDK_FILE": file.name}
        server = subprocess.Popen([sys.executable, "-c", _SERVER], cwd=_TESTS, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            for kind in ("whole", "streamed"):
                without, within = _compared(hooked, url, chosen.calls, kind)
                print(f"{kind:9} bare {without:.3f} ms, hooked {within:.3f} ms, {(within / without - 1) * 100:+.2f} %")
        finally:
            server.kill()
            server.wait()
        starts = [(_start(bare), _start(hooked)) for _ in range(chosen.starts)]
        without, within = (statistics.median(column) for column in zip(*starts, strict=True))
        print(f"start     bare {without:.2f} ms, hooked {within:.2f} ms, {within - without:+.2f} ms of CPU")


def _compared(hooked: dict[str, str], url: str, calls: int, kind: str) -> tuple[float, float]:
    argv = [sys.executable, "-c", _CALLS, url, str(calls), kind]
    done = subprocess.run(argv, env=hooked, capture_output=True, text=True, check=True)
    times = [float(line) * 1000 for line in done.stdout.split()]
    return statistics.median(times[::2]), statistics.median(times[1::2])


def _start(env: dict[str, str]) -> float:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], env)
    used = os.wait4(pid, 0)[2]
    return (used.ru_utime + used.ru_stime) * 1000


if __name__ == "__main__":
    main()
