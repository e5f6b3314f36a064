"""What the hook reads out of replies: every dialect, whole and streamed, in any cuts, and anything else."""

import contextlib
import gzip
import json
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
import replies
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.collect.intake import sdk
from agentmon.hook import agentmon_hook as hook
from agentmon.usage import Ledger

ROOT = Path(__file__).resolve().parents[2]
BOTH = [
    (name, streamed)
    for name in replies.DIALECTS
    for streamed in (False, True)
    if not streamed or name in replies.STREAMED
]


def call(path, headers=None, method="POST"):
    """A call to that path, which reports to nobody."""
    where = hook.endpoint(method, path, headers)
    assert where is not None
    made = hook.Call(where, "api.example", "test")
    made.silent = True
    return made


def read(dialect, streamed, cuts, n=7, coding=None):
    """The record of a call whose reply comes in these pieces."""
    kind, parts = replies.pieces(dialect, n) if streamed else (lambda k, b: (k, [b]))(*replies.whole(dialect, n))
    body = b"".join(parts)
    headers = {"Content-Type": kind}
    if coding == "gzip":
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    if coding == "deflate":
        body, headers["Content-Encoding"] = zlib.compress(body), "deflate"
    made = call((replies.STREAM_PATHS if streamed else replies.PATHS)[dialect])
    assert made.answered(200, headers)
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        made.feed(body[start:end])
    made.end(complete=True)
    return made.record


def figures(usage):
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )


def assert_true(record, dialect, n=7):
    usage = sdk.usage_of(record, record["id"])
    assert figures(usage) == replies.truth(dialect, n)
    assert usage.model == replies.MODEL
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.status == 200
    assert record["complete"] is True


@pytest.mark.parametrize(("dialect", "streamed"), BOTH)
def test_a_reply_tells_its_usage_whole_and_byte_by_byte(dialect, streamed):
    for cuts in ([], range(5000)):
        record = read(dialect, streamed, cuts)
        assert_true(record, dialect)
        assert record["streamed"] is streamed
        assert (record["time_to_first_token_s"] is not None) is streamed


@pytest.mark.parametrize(("dialect", "streamed"), BOTH)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(cuts=st.lists(st.integers(0, 1 << 16), max_size=20))
@settings(max_examples=5, deadline=None)
def test_it_does_so_in_any_cuts_and_codings(dialect, streamed, coding, cuts):
    assert_true(read(dialect, streamed, cuts), dialect)
    assert_true(read(dialect, streamed, cuts, coding=coding), dialect)


@pytest.mark.parametrize("dialect", ["anthropic", "chat", "responses", "embeddings", "gemini"])
def test_memory_is_bounded_and_a_huge_reply_still_tells(dialect):
    document = json.loads(replies.whole(dialect, 7)[1])
    filler = {
        "data": [{"embedding": [0.5] * 300, "note": 'a "usage": {"x": 1} \\'} for _ in range(400)],
        "model": "not me",
    }
    body = json.dumps({"filler": filler, **document, "more": [filler]}).encode()
    assert len(body) > 2 * hook.KEPT
    made = call(replies.PATHS[dialect])
    made.answered(200, {"content-type": "application/json"})
    for start in range(0, len(body), 10_000):
        made.feed(body[start : start + 10_000])
        whole = made._body._body._document
        assert len(whole._held) <= hook.KEPT + 10_000
    made.end(complete=True)
    assert_true(made.record, dialect)


def test_a_huge_line_of_a_stream_still_tells():
    kind, parts = replies.pieces("responses", 7)
    event = json.loads(parts[-1].split(b"data: ")[1])
    event["response"]["output"] = [{"text": "x" * 1000, "usage": {"input_tokens": 1}}] * 1000
    made = call(replies.PATHS["responses"])
    made.answered(200, {"content-type": kind})
    for piece in [*parts[:-1], b"data: " + json.dumps(event).encode() + b"\n\n"]:
        for start in range(0, len(piece), 4096):
            made.feed(piece[start : start + 4096])
    made.end()
    assert_true(made.record, "responses")


def test_a_chat_is_told_once_as_soon_as_its_usage_is_known():
    told = []
    kind, parts = replies.pieces("chat", 7)
    made = call(replies.PATHS["chat"])
    made.listeners.append(told.append)
    made.answered(200, {"content-type": kind})
    for piece in parts[:-1]:
        assert not told
        made.feed(piece)
    assert len(told) == 1
    made.feed(parts[-1])
    made.end()
    made.end(complete=True)
    assert len(told) == 1


@pytest.mark.parametrize("dialect", replies.STREAMED)
def test_a_stream_broken_off_never_tells_figures_that_are_not_final(dialect):
    kind, parts = replies.pieces(dialect, 7)
    made = call(replies.STREAM_PATHS[dialect])
    made.answered(200, {"content-type": kind})
    for piece in parts[:3]:
        made.feed(piece)
    made.end()
    if made.record is None:  # an endpoint that others have too, and nothing that shows it is one
        assert dialect == "ollama"
        return
    usage = sdk.usage_of(made.record, None)
    assert (usage.output_tokens, usage.total_tokens, usage.reasoning_tokens) == (None, None, None)
    assert usage.input_tokens == (replies.truth(dialect, 7)[0] if dialect in ("anthropic", "gemini") else None)


def test_bedrock_invocations_tell_by_their_events_or_by_their_headers():
    made = call("/model/anthropic.claude-v9%3A0/invoke-with-response-stream")
    made.answered(200, {"content-type": "application/vnd.amazon.eventstream"})
    for piece in replies.invocation(7):
        made.feed(piece)
    assert figures(sdk.usage_of(made.record, None)) == replies.truth("anthropic", 7)
    made = call("/model/meta.llama/invoke")
    made.answered(200, {"content-type": "application/json", "X-Amzn-Bedrock-Input-Token-Count": "5",
                        "x-amzn-bedrock-output-token-count": "6", "x-amzn-RequestId": "r-1"})  # fmt: skip
    made.feed(b'{"generation": "hi"}')
    made.end(complete=True)
    usage = sdk.usage_of(made.record, made.record["id"])
    assert (usage.model, usage.input_tokens, usage.output_tokens, usage.call_id) == ("meta.llama", 5, 6, "r-1")


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/messages", "anthropic"), ("/anthropic/v1/messages?beta=true", "anthropic"),
        ("/v1/chat/completions", "chat"), ("/openai/deployments/d/chat/completions?api-version=1", "chat"),
        ("/api/v1/chat/completions/", "chat"), ("/v1/completions", "completions"), ("/v1/responses", "responses"),
        ("/v1/embeddings", "embeddings"), ("/v1beta/models/g:generateContent", "gemini"),
        ("/v1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent?alt=sse", "gemini"),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/c:streamRawPredict", "anthropic"),
        ("/v1beta/models/e:embedContent", "embeddings"), ("/model/a.b-c%3A0/converse", "bedrock"),
        ("/model/arn%3Aaws%3Abedrock%2Fx/converse-stream", "bedrock"), ("/api/chat", "ollama"), ("/v2/chat", "cohere"),
    ],
)  # fmt: skip
def test_endpoints_are_known_by_their_paths(path, dialect):
    assert hook.endpoint("post", path).dialect == dialect


@pytest.mark.parametrize(
    "path", ["/v1/messages/count_tokens", "/v1/messages/batches", "/v1/threads/t/messages", "/channels/1/messages",
             "/v1/models", "/v1/completions/x", "/v1beta/models/g:countTokens", "/", "", "/v1/moderations"],
)  # fmt: skip
def test_other_paths_are_no_calls(path):
    assert hook.endpoint("POST", path) is None
    assert hook.endpoint("GET", "/v1/messages") is None
    assert hook.endpoint("GET", "/v1/responses") is None
    assert hook.endpoint("GET", "/v1/responses/resp_1/input_items") is None


def test_messages_elsewhere_are_known_by_their_header():
    assert hook.endpoint("POST", "/proxy/messages", {"Anthropic-Version": "2023-06-01"}).dialect == "anthropic"


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
def test_an_error_is_a_call_without_figures(status):
    made = call("/v1/messages")
    assert not made.answered(status, {"content-type": "application/json"})
    assert (made.record["status"], made.record["usage"]) == (status, None)


@pytest.mark.parametrize("wbits", [15, -15])
def test_deflate_comes_with_and_without_its_head(wbits):
    packer = zlib.compressobj(wbits=wbits)
    kind, body = replies.whole("chat", 7)
    made = call("/v1/chat/completions")
    made.answered(200, {"Content-Type": kind, "Content-Encoding": "deflate"})
    made.feed(packer.compress(body) + packer.flush())
    made.end(complete=True)
    assert_true(made.record, "chat")


def test_a_type_that_is_no_word_hides_no_usage():
    kind, body = replies.whole("chat", 7)
    made = call("/v1/chat/completions")
    made.answered(200, {"Content-Type": kind})
    made.feed(json.dumps({**json.loads(body), "type": ["a"]}).encode())
    made.end(complete=True)
    assert_true(made.record, "chat")


def test_what_is_no_reply_is_no_call():
    for status, headers in ((302, {}), (200, {"content-type": "text/html"})):
        made = call("/v1/messages")
        assert not made.answered(status, headers)
        made.end()
        assert made.record is None or made.over
    made = call("/api/chat")  # somebody else's
    made.answered(200, {"content-type": "application/json"})
    made.feed(b'{"ok": true}')
    made.end(complete=True)
    assert made.record is None


KINDS = ["application/json", "text/event-stream", "application/vnd.amazon.eventstream", "application/x-ndjson", ""]
FRAGMENTS = st.sampled_from(
    [b"data: ", b"\n\n", b'{"usage": {"input_tokens": ', b'"usage": [', b"}" * 9, b"[" * 2000, b'"\\', b"\xff\x00",
     b"1e999", b'{"model": 7, "id": {}, "usage": "x"}\n', b"data: [DONE]\n", b'{"type": "message_stop"}',
     b"\x00\x00\x00\x20", b'{"usage": {"prompt_tokens": NaN}}', b'{"choices": [], "usage": {"a": 1}}', b"\r",
     b'{"response": {"usage": null}}']
)  # fmt: skip


@given(
    path=st.sampled_from([*replies.PATHS.values(), *replies.STREAM_PATHS.values()]),
    kind=st.sampled_from(KINDS),
    coding=st.sampled_from(["", "gzip", "deflate", "br", "zstd", "what"]),
    parts=st.lists(st.one_of(st.binary(max_size=64), FRAGMENTS), max_size=12),
)
@settings(max_examples=150, deadline=None)
def test_hostile_bytes_never_raise(path, kind, coding, parts):
    made = call(path)
    if made.answered(200, {"content-type": kind, "content-encoding": coding}):
        for part in parts:
            made.feed(part)
        made.end(complete=True)
    if made.record is not None:
        line = json.dumps(made.record, default=str).encode()
        record = sdk.parsed(line)
        if record is not None:
            sdk.usage_of(record, None)


@given(st.one_of(st.binary(max_size=200), st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.dictionaries(st.sampled_from(["usage", "status", "pid", "ts", "model", "input_tokens"]), inner),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_lines_that_others_wrote_never_raise(tmp_path_factory, line):
    record = sdk.parsed(line)
    if record is not None:
        sdk.usage_of(record, "x")


def test_the_reader_names_calls_so_that_each_counts_once(tmp_path):
    path = tmp_path / "f"
    same = {"usage": None, "status": 200, "id": "chatcmpl-1"}
    lines = [{**same, "pid": 1}, {**same, "pid": 2}, {**same, "pid": 1}, {**same, "pid": 1, "id": None}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "nonsense\n")
    ids = [finding.payload.call_id for finding in sdk.SdkReader(str(path)).read()]
    assert ids[0] == ids[1] == "chatcmpl-1"  # through a proxy
    assert len(set(ids)) == 3


OLLAMA = {"usage": None, "status": 200, "id": "chatcmpl-1", "host": "localhost:11434", "duration_s": 2.0}


@pytest.mark.parametrize(
    ("records", "calls"),
    [
        # small servers draw their ids from few, or have only one
        ([{"pid": 1, "ts": 1e9 + 5}, {"pid": 2, "ts": 1e9 + 6}], 2),
        ([{"pid": 1, "ts": 1e9 + 5}, {"pid": 2, "ts": 1e9 + 9, "host": "b"}], 2),
        # a proxy, which is asked and then asks
        ([{"pid": 1, "ts": 1e9 + 5, "host": "b"}, {"pid": 2, "ts": 1e9 + 5.01}], 1),
        ([{"pid": pid, "ts": 1e9 + 5, "host": host} for pid, host in ((1, "b"), (2, "a"), (3, "c"))], 1),
        (
            [{"pid": 1, "ts": 1e9 + t, "host": "b"} for t in (5, 5.1)] + [{"pid": p, "ts": 1e9 + 5} for p in (2, 3)],
            2,
        ),
    ],
)  # fmt: skip
def test_one_id_is_one_call_only_through_a_proxy(tmp_path, records, calls):
    path = tmp_path / "f"
    path.write_text("".join(json.dumps(OLLAMA | record) + "\n" for record in records))
    ids = [finding.payload.call_id for finding in sdk.SdkReader(str(path)).read()]
    assert len(ids) == len(records)
    assert len(set(ids)) == calls


def test_a_reply_that_is_made_in_the_background_tells_when_it_is_asked_for(tmp_path):
    path = tmp_path / "f"
    usage = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}

    def ask(method, where, answer, at):
        made = hook.Call(hook.endpoint(method, where), "api.example", "test")
        made.silent = True
        made.answered(200, {"Content-Type": "application/json"})
        made.feed(json.dumps({"object": "response", "model": "m", **answer}).encode())
        made.end(complete=True)
        if made.record is not None:
            with path.open("a") as file:
                file.write(json.dumps({**made.record, "ts": 1e9 + at, "duration_s": 0.5}) + "\n")

    ask("GET", "/v1/responses/r0?x=1", {"id": "r0", "usage": usage}, 1)  # made in another run
    ask("POST", "/v1/responses", {"id": "r1", "status": "queued", "usage": None}, 2)
    ask("GET", "/v1/responses/r1", {"id": "r1", "status": "in_progress", "usage": None}, 3)
    ask("GET", "/v1/responses/r1", {"id": "r1", "status": "completed", "usage": usage}, 9)
    ask("GET", "/v1/responses/r1", {"id": "r1", "status": "completed", "usage": usage}, 10)
    ask("POST", "/v1/responses", {"id": "r2", "status": "completed", "usage": usage}, 11)
    ask("GET", "/v1/responses/r2", {"id": "r2", "status": "completed", "usage": usage}, 12)
    told = [finding.payload for finding in sdk.SdkReader(str(path)).read()]
    found = [(one.call_id, one.input_tokens, one.duration_s) for one in told]
    assert found == [("r1", None, 0.5), ("r1", 5, 7.5), ("r2", 5, 0.5)]
    ledger = Ledger()
    for one in told:
        ledger.add("main", one)
    assert (ledger.totals().input_tokens, ledger.calls(), ledger.calls_unknown()) == (10, 2, 0)


@pytest.mark.parametrize("streamed", [False, True])
def test_compactions_and_advisors_are_not_in_the_calls_own_figures(tmp_path, streamed):
    def figures_of(given, made, read=0, written=0):
        return {"input_tokens": given, "output_tokens": made, "cache_read_input_tokens": read,
                "cache_creation_input_tokens": written}  # fmt: skip

    usage = figures_of(23_000, 1_000, 7) | {
        "iterations": [
            {"type": "compaction", **figures_of(180_000, 3_500, 0, 40)},
            {"type": "message", **figures_of(23_000, 1_000, 7)},
            {"type": "advisor_message", "model": "large", **figures_of(800, 1_600)},
        ]
    }
    made = call("/v1/messages")
    if streamed:
        made.answered(200, {"Content-Type": "text/event-stream"})
        start = {"type": "message_start", "message": {"id": "msg_1", "model": "small", "usage": figures_of(3, 1)}}
        for event in (start, {"type": "message_delta", "delta": {}, "usage": usage}, {"type": "message_stop"}):
            made.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    else:
        made.answered(200, {"Content-Type": "application/json"})
        made.feed(json.dumps({"type": "message", "id": "msg_1", "model": "small", "usage": usage}).encode())
        made.end(complete=True)
    path = tmp_path / "f"
    path.write_text(json.dumps(made.record) + "\n")
    own, advice = (finding.payload for finding in sdk.SdkReader(str(path)).read())
    assert (own.model, *figures(own)) == ("small", 203_047, 4_500, 7, 40, None)
    assert own.total_tokens == 207_547
    assert (advice.model, *figures(advice)) == ("large", 800, 1_600, 0, 0, None)
    assert (own.call_id, advice.call_id) == ("msg_1", "msg_1/advisor-1")


@pytest.mark.parametrize(
    ("usage", "found"),
    [
        # what is zero is left out: nothing but thoughts until the limit, a prompt that was refused
        ({"promptTokenCount": 10, "thoughtsTokenCount": 50, "totalTokenCount": 60}, (10, 50, None, None, 50)),
        ({"promptTokenCount": 10, "totalTokenCount": 10}, (10, 0, None, None, None)),
        ({"promptTokenCount": 10, "toolUsePromptTokenCount": 3, "totalTokenCount": 13}, (13, 0, None, None, None)),
        ({"promptTokenCount": 10}, (10, None, None, None, None)),
        # the interactions API
        ({"total_input_tokens": 10, "total_output_tokens": 5, "total_thought_tokens": 7, "total_cached_tokens": 2,
          "total_tool_use_tokens": 3, "total_tokens": 25}, (13, 12, 2, None, 7)),
    ],
)  # fmt: skip
def test_geminis_parts(usage, found):
    assert figures(sdk.usage_of({"usage": usage, "status": 200, "complete": True}, "x")) == found


SPOKEN = {"type": "tokens", "input_tokens": 14, "input_token_details": {"audio_tokens": 14}, "output_tokens": 45,
          "total_tokens": 59}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "kind", "body", "told"),
    [
        ("audio/transcriptions", "application/json", {"text": "hi", "usage": SPOKEN}, (14, 45)),
        ("audio/transcriptions", "text/event-stream", {"type": "transcript.text.done", "usage": SPOKEN}, (14, 45)),
        ("audio/transcriptions", "application/json", {"usage": {"type": "duration", "seconds": 7}}, None),
        ("audio/transcriptions", "application/json", {"text": "whisper tells none"}, None),
        ("audio/speech", "audio/mpeg", {"usage": SPOKEN}, None),
        ("images/generations", "application/json", {"data": [{"b64": "A" * (1 << 20)}], "usage": SPOKEN}, (14, 45)),
    ],
)  # fmt: skip
def test_audio_and_images_that_are_counted_in_tokens(path, kind, body, told):
    made = call(f"/v1/{path}")
    if made.answered(200, {"Content-Type": kind}):
        made.feed((b"data: %s\n\n" if kind.startswith("text") else b"%s") % json.dumps(body).encode())
        made.end(complete=True)
    usage = sdk.usage_of(made.record, "x") if made.record is not None else None
    assert (usage and (usage.input_tokens, usage.output_tokens)) == told


def test_prepare_goes_in_front_of_pythonpath_once(tmp_path):
    first = sdk.prepare(str(tmp_path), {b"PYTHONPATH": b"/a:/b"}, [], False)
    hook_folder = str(ROOT / "agentmon" / "hook").encode()
    assert first.environment[b"PYTHONPATH"] == hook_folder + b":/a:/b"
    (tmp_path / "inner").mkdir()
    again = sdk.prepare(str(tmp_path / "inner"), dict(first.environment), [], False)
    assert again.environment[b"PYTHONPATH"] == first.environment[b"PYTHONPATH"]
    (tmp_path / "bare").mkdir()
    assert sdk.prepare(str(tmp_path / "bare"), {}, [], False).environment[b"PYTHONPATH"] == hook_folder


def test_importing_agentmon_stays_cheap():
    code = "import sys, agentmon; print('agentmon.wrapping' in sys.modules, callable(agentmon.wrap))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


def test_the_hook_writes_one_whole_line_and_makes_no_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    monkeypatch.setenv(hook.FILE_VARIABLE, str(path))
    with contextlib.suppress(FileNotFoundError):
        hook.append({"usage": {"a": 1}})
    assert not path.exists()
    path.touch()
    hook.append({"usage": {"a" * 99: "b" * (1 << 16), "input_tokens": 3}})
    hook.append({"usage": None})
    first, second = path.read_text().splitlines()
    assert json.loads(first) == {"usage": {"input_tokens": 3}}
    assert json.loads(second) == {"usage": None}
