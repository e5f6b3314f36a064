"""`python -m tests.captures`: the README's captures of every view, made from the run logs in tests/data/runs.

Without an argument it writes them into the README; `--print` shows them. Everything that changes from machine to
machine is fixed: the clock, the time zone, the width, the state directory.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
LOGS = ROOT / "tests" / "data" / "runs"
HEADING = "## What it looks like"
WIDTH = 80

_THEIRS = ("AGENTMON_", "PYTHON", "XDG_", "FORCE_COLOR", "CLICOLOR", "TTY_")
_CLOCKED = (
    "import sys, time; time.time = lambda: {now}; from agentmon.__main__ import main; sys.argv[0] = 'agentmon'; "
    "sys.exit(main())"
)


def section() -> str:
    """The README's section, with its heading."""
    return HEADING + "\n\n" + "\n".join(_parts())


def section_of(readme: str) -> str:
    """The one that a README has; empty where it has none."""
    start = readme.find(HEADING + "\n")
    if start < 0:
        return ""
    end = readme.find("\n## ", start + 1)
    return readme[start:] if end < 0 else readme[start : end + 1]


def _parts() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="agentmon-captures-") as folder, _state(Path(folder)) as place:
        run = place.name
        yield "The end of a run, on stderr where that is a terminal:\n"
        yield _block(_end_line())
        yield f"<details><summary>agentmon top</summary>\n\n{_block(place.ask('top', '--once'))}</details>\n"
        yield f"<details><summary>agentmon report</summary>\n\n{_block(place.ask('report', run))}</details>\n"
        said = place.ask("tail", run, "--event", "git_activity", "--event", "llm_call", "--event", "alert", "-n", "8")
        yield _block("$ agentmon tail --event git_activity --event llm_call --event alert -n 8\n" + said)
        yield _block("$ agentmon history\n" + place.ask("history"))
        yield _block("$ agentmon history --by model\n" + place.ask("history", "--by", "model"))
        place.ask("export", run, "--table", "llm", "-o", str(place.folder / "tables"))
        rows = (place.folder / "tables" / "llm.csv").read_text().splitlines()[:4]
        yield _block(
            "$ agentmon export --table llm -o tables && head -4 tables/llm.csv | cut -d, -f3-10\n"
            + "".join(",".join(row.split(",")[2:10]) + "\n" for row in rows)
        )


class _Place:
    """A state directory with runs, one of which goes on, and the moment at which they are looked at."""

    def __init__(self, folder: Path, name: str, now: float) -> None:
        self.folder, self.name, self._now = folder, name, now

    def ask(self, *words: str) -> str:
        """What agentmon prints into a terminal of our width, without colours."""
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(_THEIRS)},
            "XDG_STATE_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "PYTHONPATH": str(ROOT),
            "TZ": "UTC", "COLUMNS": str(WIDTH), "LC_ALL": "C.UTF-8", "NO_COLOR": "1",
        }  # fmt: skip
        code = _CLOCKED.format(now=self._now)
        argv = [sys.executable, "-c", code, *words]
        return subprocess.run(
            argv, env=environment, cwd=self.folder, stdout=subprocess.PIPE, check=True, text=True
        ).stdout


@contextlib.contextmanager
def _state(folder: Path) -> Iterator[_Place]:
    """Three runs: the demo, the shop's, and the shop's once more an hour later, in the middle of it."""
    runs = folder / "agentmon" / "runs"
    runs.mkdir(parents=True)
    demo, shop = (LOGS / f"{name}.ndjson" for name in ("demo", "shop"))
    events = [json.loads(line) for line in shop.read_text().splitlines()]
    begun = next(n for n, event in enumerate(events) if event["agent_id"] == "reviewer")
    going = [event | {"timestamp": event["timestamp"] + 3600} for event in events[: begun + 3]]
    later = "20261122T144744763Z-5b1de0aa"
    for path, text in (
        (_named(runs, demo), demo.read_text()),
        (_named(runs, shop), shop.read_text()),
        (runs / f"{later}.ndjson", "".join(json.dumps(e | {"run_id": later}) + "\n" for e in going)),
    ):
        path.write_text(text)
        path.chmod(0o600)
    now = going[-1]["timestamp"] + 0.4
    for path in runs.iterdir():
        os.utime(path, (now, now))
    with open(runs / f"{later}.ndjson", "ab") as written:
        fcntl.flock(written, fcntl.LOCK_EX)
        yield _Place(folder, events[0]["run_id"], now)


def _named(runs: Path, log: Path) -> Path:
    """Where a log lies when it has the name of its run."""
    return runs / (json.loads(log.read_text().splitlines()[0])["run_id"] + ".ndjson")


def _end_line() -> str:
    from agentmon.replay import fold_file
    from agentmon.telemetry import one_line

    return f"agentmon: {one_line(fold_file(str(LOGS / 'shop.ndjson'), print))}\n"


def _block(text: str) -> str:
    return "```text\n" + "".join(line.rstrip() + "\n" for line in text.splitlines()) + "```\n"


def main() -> int:
    """Write the section, or print it."""
    made = section()
    if "--print" in sys.argv[1:]:
        sys.stdout.write(made)
        return 0
    readme = README.read_text()
    before = section_of(readme)
    if before:
        readme = readme.replace(before, made + "\n" if readme.find(before) + len(before) < len(readme) else made)
    else:
        readme = readme.replace("\n## Where the numbers come from\n", f"\n{made}\n## Where the numbers come from\n")
    README.write_text(readme)
    return 0


if __name__ == "__main__":
    sys.exit(main())
