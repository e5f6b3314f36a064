"""The pipeline and the recorder: however bytes arrive, the lines of the stream are the same."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.collect.parsers.all import standard
from agentmon.collect.pipeline import MESSAGE_LIMIT, Pipeline
from agentmon.collect.recorder import Recorder

LINES = (
    "a plain line", "", "naïve ✔ 漢字 \"quoted\" \\ \t", "2026-11-22 10:00:00,181 WARNING tester: retry 3 of 5",
    "ERROR planner: connection reset", "INFO coder: Token usage: 1200 input, 34 output", "Creating branch: topic/x",
    "[main 1a2b3c4] Add it", " 2 files changed, 3 insertions(+)", "Switched to branch: main",
    '{"level":"error","time":1763798493619,"msg":"it failed"}', '{"event":"step","detail":{"lines":3}}',
    "Traceback (most recent call last):", '  File "x.py", line 1, in <module>', "ValueError: no",
    "---------- coder ----------",
    "key sk-ant-api03-" + "a1" * 40, "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----",
    "x" * (MESSAGE_LIMIT - 1), "x" * MESSAGE_LIMIT, "x" * (MESSAGE_LIMIT + 1), "WARNING " + "y" * 5000,
    "é" * (MESSAGE_LIMIT // 2), "é" * (MESSAGE_LIMIT // 2 + 1), "$ cat notes", "@@ -1,2 +1,2 @@", "```",
)  # fmt: skip


def recorded(parts: list[bytes], *, logs: bool = True) -> list[bytes]:
    """The lines of the stream."""
    pipeline, recorder = Pipeline(standard(), logs=logs), Recorder("r", "own", "t")
    pieces = [piece for part in parts for piece in recorder.record(pipeline.feed("stdout", part, 1.5), 1.5)]
    pieces += recorder.record(pipeline.close(1.5), 1.5)
    seen = 0
    for piece in pieces:
        assert piece.first_seq == seen + 1
        assert piece.data.count(b"\n") == piece.count
        assert (piece.event is None) == piece.logs
        seen += piece.count
    return b"".join(piece.data for piece in pieces).splitlines()


@settings(deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=30), st.booleans(), st.data())
def test_lines_come_out_the_same_in_one_block_and_one_by_one(lines: list[str], logs: bool, draw: st.DataObject) -> None:
    data = "".join(line + "\n" for line in lines).encode()
    whole = recorded([data], logs=logs)
    assert [json.loads(line)["seq"] for line in whole] == [*range(1, len(whole) + 1)]
    assert recorded([(line + "\n").encode() for line in lines], logs=logs) == whole
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    assert recorded([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)], logs=logs) == whole


@pytest.mark.parametrize("size", [1, 2, 7, 13, 1000])
def test_what_stands_before_and_behind_a_full_screen_is_kept(size: int) -> None:
    data = b"one\ntwo\x1b[?1049hscreen\nTraceback\nmore\x1b[?1049lthree\n\x1b[?47h\x1b[H~\n\x1b[?47l\nfour"
    lines = [json.loads(line) for line in recorded([data[i : i + size] for i in range(0, len(data), size)])]
    assert [line["data"]["activity_log"]["message"] for line in lines] == ["one", "two", "three", "", "four"]


def test_each_line_keeps_its_place_and_its_level() -> None:
    text = (
        "one\nWARNING a: two\nINFO coder: Token usage: 12 input, 3 output\nthree\nCreating branch: x\nERROR four\nfive"
    )
    events = [json.loads(line) for line in recorded([text.encode()])]
    told = [
        (e["event"], log["level"], log["source"], log["message"].partition(":")[0])
        if (log := e["data"].get("activity_log"))
        else (e["event"],)
        for e in events
    ]
    assert told == [
        ("log_entry", "info", "orchestrator", "one"), ("log_entry", "warning", "orchestrator", "WARNING a"),
        ("log_entry", "info", "llm", "INFO coder"), ("llm_call",), ("log_entry", "info", "orchestrator", "three"),
        ("log_entry", "info", "git", "Creating branch"), ("git_activity",),
        ("log_entry", "error", "orchestrator", "ERROR four"), ("log_entry", "info", "orchestrator", "five"),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [4096, 4097, 60_000])
def test_bytes_that_are_no_text_make_no_entry_too_long(size: int) -> None:
    """What stands for a byte that is no UTF-8 has three of them."""
    data = b"a\n" * 4000 + b"\xff" * size + b"\n" + b"b\n" * 9
    found = [json.loads(line)["data"]["activity_log"]["message"] for line in recorded([data])]
    assert [len(m) for m in found] == [1] * 4000 + [found[4000].count("\ufffd")] + [1] * 9
    assert 1000 < len(found[4000].encode()) <= MESSAGE_LIMIT


@pytest.mark.parametrize("password", ["x", "hunter2", "p:w#1%", "z" * 46, "z" * 47, "z" * 48, "z" * 120, "é" * 30])
def test_a_password_in_a_url_never_gets_into_the_log(password: str) -> None:
    text = f"cloning https://me:{password}@git.example.org/x\nssh://git@example.org, a@b.c, react@19\n"
    told = [json.loads(line)["data"]["activity_log"]["message"] for line in recorded([text.encode()])]
    assert told == [
        "cloning https://me:[redacted]@git.example.org/x",
        "ssh://git@example.org, a@b.c, react@19",
    ]
