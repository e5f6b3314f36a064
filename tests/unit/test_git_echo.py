"""Commands shown in text: what git did in silence is known from the status that follows."""

# ruff: noqa: E501 (what programs print is quoted in one line)

import pytest

from tests.unit.git_told import STAT, short, told

CASES = [
    ("quiet", "exec\n/bin/bash -lc 'git switch -q -c f' in /home/dev/app\n succeeded in 0ms:\n\n", ["branch_create f"]),
    ("quiet and failed", "exec\n/bin/bash -lc 'git switch -q -c f' in /home/dev/app\n exited 128 in 0ms:\nfatal: a branch named 'f' already exists\n", []),
    ("not quiet", "exec\n/bin/bash -lc 'git switch -c f' in /home/dev/app\n succeeded in 0ms:\nSwitched to a new branch 'f'\n", ["branch_create f"]),
    ("quiet, then not", "/bin/bash -lc \"git checkout -q main && git add -A && git commit -m 'x'\" in /r\n succeeded in 8ms:\n[main abc1234] x\n" + STAT,
     ["checkout main", "commit main"]),
    ("not quiet, then quiet", "/bin/bash -lc \"git commit -m 'x' && git push -q\" in /r\n succeeded in 8ms:\n[main abc1234] x\n" + STAT, ["commit main", "push main"]),
    ("over several lines", "/bin/bash -lc \"cat > a <<'EOF'\nSwitched to nothing\nEOF\ngit commit -qam 'x'\" in /r\n succeeded in 1.2s:\n", ["commit"]),
    ("mini-swe-agent", "THOUGHT: next.\n\n```\ngit checkout -q -b f && cat app.py\n```\n\nTool:\n<returncode>\n0\n<output>\ndef add\n", ["branch_create f"]),
    ("mini-swe-agent, failed", "```\ngit checkout -q -b f\n```\n\nTool:\n<returncode>\n128\n<output>\n", []),
    ("without a status", "$ git switch -q -c f\n\nNow something else.\n" + "words\n" * 20, []),
    ("prose", "Run git branch x to make one.\nexit code: 0\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_echoed_commands(text: str, expected: list[str]):
    assert short(told(("stderr", text))) == expected
