"""agentmon doctor"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from agentmon import __version__, runs
from agentmon.errors import AgentmonError

Finding = tuple[str, str, str]  # "ok", "note" or "bad"; what; what to do about it
PROGRAMS = {"jq": "reads the stream"}
EXTRAS = {  # by name: the modules that it brings, and who needs them
    "serve": (("fastapi", "uvicorn", "websockets"), "the dashboard"),
    "nats": (("nats",), "ship, ingest, and --from nats://"),
    "postgres": (("psycopg",), "ingest, and history --db"),
    "otlp": (("opentelemetry.proto", "opentelemetry.sdk", "opentelemetry.exporter.otlp"), "ship --to otlp://"),
}


@click.command("doctor")
def command() -> None:
    """What works here and what does not, one line each, with what to do about it.

    The exit status is 1 where something is bad.

    \b
    Examples:
      agentmon doctor
      agentmon doctor | grep -v '^ok'
    """
    worst = 0
    for state, what, advice in _findings():
        sign = {"ok": click.style("ok  ", fg="green"), "note": click.style("note", fg="yellow")}
        line = f"{sign.get(state, click.style('bad ', fg='red'))}  {what}"
        click.echo(line + (f" -- {advice}" if advice else ""))
        worst |= state == "bad"
    sys.exit(worst)


def _findings() -> Iterator[Finding]:
    yield "ok", f"agentmon {__version__}, Python {sys.version.split()[0]}, {sys.platform}", ""
    yield from _terminal()
    yield from _state()
    yield from _kernel()
    yield from _git()
    for name, use in PROGRAMS.items():
        found = shutil.which(name)
        yield (
            ("ok", f"{name}: {found}", "")
            if found
            else ("note", f"{name}: not found", f"it {use}; install it if you want that")
        )
    if importlib.util.find_spec("genai_prices") is None:
        yield "bad", "no price list", "install the package genai-prices; without it costs are null"
    else:
        yield "ok", "price list: genai-prices", ""
    for name, (modules, use) in EXTRAS.items():
        if missing := [module for module in modules if not _is_there(module)]:
            yield "note", f"extra {name}: {missing[0]} is missing", f"for {use}: in a checkout, pip install '.[{name}]'"
        else:
            yield "ok", f"extra {name}: {use}", ""


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is in
        return False


def _terminal() -> Iterator[Finding]:
    kinds = ", ".join(
        f"{name} {'terminal' if os.isatty(fd) else 'pipe or file'}"
        for fd, name in enumerate(("stdin", "stdout", "stderr"))
    )
    yield "ok", f"here: {kinds}", ""
    try:
        for fd in os.openpty():
            os.close(fd)
        yield "ok", "pseudo-terminals can be opened", ""
    except OSError as error:
        yield "bad", f"no pseudo-terminal: {error.strerror}", "mount devpts, or use --pty never"


def _state() -> Iterator[Finding]:
    try:
        folder = Path(runs.runs_dir())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".doctor-{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink()
    except AgentmonError as error:
        yield "bad", error.message, "without it there is no run log"
        return
    except OSError as error:
        yield "bad", f"state directory {folder}: {error.strerror}", "make it writable or set XDG_STATE_HOME"
        return
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        yield (
            "bad",
            f"state directory {folder} has mode {mode:o}",
            f"others can read what your agents say: chmod 700 {folder}",
        )
    free = shutil.disk_usage(folder).free
    if free < 1 << 30:
        yield "note", f"state directory {folder}: {free >> 20} MiB free", "below 256 MiB log entries are left out"
    else:
        yield "ok", f"state directory {folder}: {len(runs.all_logs())} runs, {free >> 30} GiB free", ""


def _kernel() -> Iterator[Finding]:
    if not sys.platform.startswith("linux"):
        yield "note", "not Linux", "memory is resident, not proportional; a signal's sender is not known"
        return
    if Path("/proc/self/smaps_rollup").exists():
        yield "ok", "proportional memory (smaps_rollup)", ""
    else:
        yield "note", "no smaps_rollup", "memory of a tree counts shared pages once per process"
    if not any(Path("/proc/self/task").glob("*/children")):
        yield (
            "note",
            "the kernel lists no children",
            "the process tree is found by a walk over all processes, which is slower",
        )
    if not os.access("/proc/self/fd/1", os.W_OK):
        yield "note", "/proc/self/fd cannot be opened", "output to pipes goes on in small writes, a little slower"


def _git() -> Iterator[Finding]:
    path = shutil.which("git")
    if path is None:
        yield "note", "git: not found", "what agents print about git is read all the same"
        return
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    yield "ok", f"{said}: {path}", ""
