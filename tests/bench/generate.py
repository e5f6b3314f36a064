"""Made-up input: what orchestrators print, and what nobody should print. The same every time."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

MB = 1_000_000
_AGENTS = ("planner", "researcher", "coder", "reviewer", "tester", "crew.manager", "tools.shell", "memory.store")
_DOES = (
    "reading src/{a}/module_{n}.py ({m} lines)", "step {n} of {m}: ask {a} for a plan of the next change",
    "tool call search(query='{a} interface', limit={n}) took {m} ms", "waiting for {a}, {n} tasks are in the queue",
    "received a reply of {m} characters from {a}", "cache hit for prompt {n}{m} (age {n} s)",
    "running: python -m pytest tests/{a} -k case_{n}", "task {n} handed over to {a} after {m} ms",
)  # fmt: skip
_PROSE = (
    "I'll look at how the {a} stores its state first, and then change the {n} places that read it.",
    "The tests in tests/{a} pass now; what is left is the documentation of option {n}.",
    "    def handle_{n}(self, request: Request, {a}: str | None = None) -> Response:",
    "✔ {a}: {n} of {m} checks passed · “all fine” — next: naïve retry",
)
_RARE: tuple[tuple[float, str], ...] = (  # shares of all lines
    (0.012, "{t},{ms:03d} WARNING {a}: retry {n} of 5 after {m} ms, the rate limit was reached"),
    (0.004, "{t},{ms:03d} ERROR {a}: tool call {n} failed: connection reset by peer"),
    (0.015, "{t},{ms:03d} INFO {a}: Token usage: {m} input, {n} output"),
    (0.002, "Creating branch: feature/{a}-{n}"),
    (0.002, "Committed changes: {n} files"),
    (0.002, "Switched to branch: feature/{a}-{n}"),
    (0.002, "[feature/{a}-{n} {m:07x}] Change how the {a} reads its state"),
    (0.002, " {n} files changed, {m} insertions(+), {n} deletions(-)"),
    (0.008, '{{"level":"info","time":17637984{n:02d}{ms:03d},"msg":"request {m} done","agent":"{a}","ms":{n}}}'),
    (0.004, '{{"event":"step","agent":"{a}","step":{n},"detail":{{"path":"src/{a}.py","lines":{m}}}}}'),
    (0.010, "\x1b[32m{t}\x1b[0m | \x1b[1mINFO\x1b[0m | {a}:run:{n} - step {m} finished"),
)


def orchestrator(path: Path, lines: int) -> None:
    """Output of an orchestrator, about 88 bytes a line: mostly plain INFO lines."""
    rng = random.Random(1)
    at, shares = 0.0, []
    for share, shape in _RARE:
        at += share
        shares.append((at, shape))

    def line(number: int) -> str:
        seconds, ms = divmod(number, 1000)
        stamp = f"2026-11-22 {10 + seconds // 3600 % 14:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        agent, n, m = rng.choice(_AGENTS), rng.randrange(1, 100), rng.randrange(100, 20000)
        roll = rng.random()
        if roll < at:
            shape = next(shape for upto, shape in shares if roll < upto)
            return shape.format(t=stamp, ms=ms, a=agent, n=n, m=m)
        if roll > 0.9:
            return _PROSE[n % len(_PROSE)].format(a=agent, n=n, m=m)
        return f"{stamp},{ms:03d} INFO {agent}: " + _DOES[n % len(_DOES)].format(a=agent, n=n, m=m)

    with open(path, "w", encoding="utf-8") as file:
        for begin in range(0, lines, 10_000):
            file.write("".join(line(number) + "\n" for number in range(begin, min(lines, begin + 10_000))))


def _repeated(path: Path, size: int, unit: Callable[[int], str]) -> None:
    with open(path, "wb") as file:
        written = number = 0
        while written < size:
            part = "".join(unit(number + i) for i in range(200)).encode()
            number += 200
            written += file.write(part)


def stream_json(path: Path, size: int) -> None:
    """A coding agent's stream-json log of `size` bytes: assistant messages with usage, tool calls, their results."""
    code = "".join(f"    {i:4d}\tdef case_{i}(self, value: int) -> int:  # “line {i}”\n" for i in range(30))

    def unit(number: int) -> str:
        usage = {
            "input_tokens": 4, "cache_creation_input_tokens": 300 + number % 99,
            "cache_read_input_tokens": 15000 + number, "output_tokens": number % 700, "service_tier": "standard",
        }  # fmt: skip
        message = {"id": f"msg_{number // 2:08d}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
        session = {"session_id": "00000000-0000-4000-8000-000000000000", "uuid": f"{number:08d}"}
        text = {
            "type": "text",
            "text": f"Step {number}: I'll read the file and change what it says about case {number}.",
        }
        use = {
            "type": "tool_use", "id": f"toolu_{number}", "name": "Read",
            "input": {"file_path": f"/src/m_{number % 50}.py"},
        }  # fmt: skip
        result = {"tool_use_id": f"toolu_{number}", "type": "tool_result", "content": code[: 400 + number * 37 % 2000]}
        records = (
            {"type": "assistant", "message": {**message, "content": [text], "usage": usage}, **session},
            {"type": "assistant", "message": {**message, "content": [use], "usage": usage}, **session},
            {"type": "user", "message": {"role": "user", "content": [result]}, **session},
        )
        return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)

    _repeated(path, size, unit)


def boxes(path: Path, size: int) -> None:
    """Boxes as rich draws them, 80 columns, coloured."""
    edge = "\x1b[36m│\x1b[0m"

    def unit(number: int) -> str:
        body = (
            f"Agent: Senior Researcher {number % 7}", "", f"Thought: step {number} needs the list of files.",
            "Using Tool: shell", "Tool Input: git status --short && ls -la src",
            f"Result: {number % 90} files, none changed",
        )  # fmt: skip
        title = " 🤖 Agent Started "
        return (
            f"\x1b[36m╭{title:─^77}╮\x1b[0m\n"
            + "".join(f"{edge}  {text:<76}{edge}\n" for text in body)
            + f"\x1b[36m╰{'─' * 78}╯\x1b[0m\n\n"
        )

    _repeated(path, size, unit)


def git_heavy(path: Path, size: int) -> None:
    """Much git: commits, switches, merges, pushes, and between them listings that are no acts."""

    def unit(number: int) -> str:
        sha, branch = f"{number * 2654435761 % (1 << 28):07x}", f"topic/{number % 97}"
        return (
            f"$ git checkout -b {branch}\nSwitched to a new branch '{branch}'\n"
            f"[{branch} {sha}] Change number {number} of the interface\n"
            f" 3 files changed, {number % 90} insertions(+), 2 deletions(-)\n create mode 100644 src/new_{number}.py\n"
            f"Switched to branch 'main'\nUpdating {sha}..{sha[::-1]}\nFast-forward\n"
            f" src/new_{number}.py | 12 ++++++++++++\n"
            f" 1 file changed, 12 insertions(+)\nTo ../origin.git\n   {sha}..{sha[::-1]}  main -> main\n"
            f"commit {sha * 5}\nAuthor: A Person <person@example.org>\nDate:   Sat Nov 22 10:15:01 2025 +0000\n\n"
            f"    Change number {number} of the interface\n\n M src/module_{number % 50}.py\n?? notes.txt\n"
        )

    _repeated(path, size, unit)


def one_line(path: Path, size: int) -> None:
    """`size` bytes without an end of line."""
    _repeated(path, size, lambda number: f"word {number} ")


def nested_json(path: Path, size: int) -> None:
    """Lines of deeply nested and of very wide JSON, each just under a limit or over it."""
    deep = "[" * 30_000 + "]" * 30_000 + "\n"
    wide = '{"usage":' + "{}," * 40_000 + "}\n"
    inner = '{"usage":{"input_tokens":1,"output_tokens":2,"a":' * 900 + "1" + "}}" * 900 + "\n"
    with open(path, "wb") as file:
        written = number = 0
        while written < size:
            written += file.write((deep, wide, inner)[number % 3].encode())
            number += 1


def near_misses(path: Path, size: int) -> None:
    """Lines that begin like everything that is looked for, and are nothing of it."""
    shapes = (
        "Token usage: " + "1," * 200 + " input\n", "ERROR" * 60 + "\n", "[" + "main " * 50 + "abc123] x\n",
        "Traceback (most recent call last)" * 8 + "\n", "sk-ant-" * 40 + "\n",
        "eyJ" + "a" * 300 + ".eyJ" + "b" * 300 + "\n",
        "tokens: " * 40 + "\n", "Switched to a new branch " * 12 + "\n", '{"usage":{"input_tokens":' * 12 + "\n",
        " 1 file changed, 1 file changed, 2 files changed" * 8 + "\n", "2026-11-22 10:15:01,001 " * 12 + "error:\n",
        "level=" * 50 + "\n", "Merge made by the " * 16 + "\n", "│ │ │ " * 60 + "Committed\n",
    )  # fmt: skip
    _repeated(path, size, lambda number: shapes[number % len(shapes)])


def escapes(path: Path, size: int) -> None:
    """Nothing but terminal escapes, complete and torn, with an end of line now and then."""
    shapes = (
        "\x1b[38;5;196m\x1b[1m\x1b[0m", "\x1b[2K\x1b[1A\x1b[80G", "\x1b]0;title\x07", "\x1b]8;;http://example.org\x1b\\",
        "\x1b[", "\x1b", "\x1b[5C", "\x1bP+q544e\x1b\\", "\x1b[?25l\x1b[?25h", "\x1b[12;40H", "\r\x1b[K",
    )  # fmt: skip
    _repeated(path, size, lambda number: shapes[number % len(shapes)] + ("\n" if number % 50 == 49 else ""))


FRIENDLY = {"stream-json": stream_json, "boxes": boxes, "git-heavy": git_heavy}
HOSTILE = {"one line": one_line, "nested JSON": nested_json, "near-misses": near_misses, "escapes only": escapes}


def names() -> Iterator[str]:
    """All shapes of logs."""
    yield from FRIENDLY
    yield from HOSTILE
