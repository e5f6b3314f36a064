"""A small real orchestrator: two agents work on a git repository with real git, and print what agents print.

It needs no network and no key: what a model would answer is written here. Start it with `python -m agentmon.demo`.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Demo", "GIT_AUTHOR_EMAIL": "demo@example.org",
    "GIT_COMMITTER_NAME": "Demo", "GIT_COMMITTER_EMAIL": "demo@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_MERGE_AUTOEDIT": "no",
}  # fmt: skip

_FILES = {
    "login.py": "def login(name, secret):\n    return bool(name and secret)\n",
    "test_login.py": "from login import login\n\nassert login('ada', 'x')\nassert not login('', 'x')\n",
}


def _git(*words: str) -> None:
    print("$ git " + " ".join(words), flush=True)
    subprocess.run(["git", *words], check=True, env=os.environ | _IDENTITY)


def _think(seconds: float) -> None:
    """Use a core for a moment, as something to see in the metrics."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))


def _ask(agent: str, given: int, made: int) -> None:
    print(f"[INFO] {agent}: asking the model", flush=True)
    _think(0.3)
    print(f"Token usage: {given} input, {made} output", flush=True)


def main() -> int:
    """Work for about two seconds; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _git("init", "--quiet", "--initial-branch=main")
        Path("README.md").write_text("# Demo\n")
        _git("add", ".")
        _git("commit", "-m", "Start the project")
        _ask("planner", 1250, 210)
        _git("checkout", "-b", "feature/login")
        _ask("developer", 4310, 870)
        for name, text in _FILES.items():
            Path(name).write_text(text)
        _git("add", ".")
        _git("commit", "-m", "Add the login and its test")
        print("[WARNING] developer: no limit on attempts yet", flush=True)
        subprocess.run([sys.executable, "test_login.py"], check=True)
        _ask("reviewer", 2980, 140)
        _git("checkout", "main")
        _git("merge", "--no-ff", "-m", "Merge feature/login", "feature/login")
        _git("branch", "-d", "feature/login")
        print("[INFO] crew: done", flush=True)
        os.chdir("/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
