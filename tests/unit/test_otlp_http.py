"""The HTTP reader: a table of cases, driven whole, byte by byte and in any cuts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.collect.intake.otlp_http import MAX_HEAD, Connection, Continue, Head, Refusal, Request, Step, reply

POST = b"POST /t/v1/logs HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"
EMPTY = POST + b"Content-Length: 0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: Chunked\r\n\r\n"
LIMIT = 1000


def run(*pieces: bytes) -> list[object]:
    connection = Connection(lambda head: 404 if head.path == "/no" else None, max_body=LIMIT)
    return [plain(step) for piece in pieces for step in connection.feed(piece)]


def plain(step: Step) -> object:
    match step:
        case Request():
            return (step.head.path, step.body, step.head.keep_alive)
        case Refusal():
            return step.status
        case Continue():
            return "continue"


def one(body: bytes = b"{}", keep: bool = True) -> tuple[str, bytes, bool]:
    return ("/t/v1/logs", body, keep)


CASES = {
    "length": (POST + b"Content-Length: 2\r\n\r\n{}", [one()]),
    "two in one go": ((POST + b"Content-Length: 2\r\n\r\n{}") * 2, [one(), one()]),
    "an empty line between": (POST + b"Content-Length: 2\r\n\r\n{}\r\n" + EMPTY, [one(), one(b"")]),
    "close": (POST + b"Connection: close\r\ncontent-length: 2\r\n\r\n{}", [one(keep=False)]),
    "1.0": (b"POST /t/v1/logs HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", [one(keep=False)]),
    "1.0 kept": (b"POST /t/v1/logs HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}", [one()]),
    "absolute form": (b"POST http://127.0.0.1:1/t/v1/logs?x=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", [one()]),
    "chunked": (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\n\r\n", [one()]),
    "trailers": (POST + CHUNKED + b"2\r\n{}\r\n0\r\nA: b\r\n\r\n" + EMPTY, [one(), one(b"")]),
    "no length": (POST + b"\r\n", [411]),
    "get": (b"GET /t HTTP/1.1\r\n\r\n", [411]),
    "refused by its head": (b"POST /no HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}" + POST, [404]),
    "too long": (POST + b"Content-Length: 1001\r\n\r\n", [413]),
    "too long in chunks": (POST + CHUNKED + b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx\r\n", [413]),
    "both lengths": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", [400]),
    "twice a length": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", [400]),
    "a signed length": (POST + b"Content-Length: +2\r\n\r\n{}", [400]),
    "other coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", [501]),
    "bad chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", [400]),
    "chunk without its end": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n", [400]),
    "endless chunk line": (POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 300, [400]),
    "folded field": (POST + b" folded\r\n\r\n", [400]),
    "space before the colon": (POST + b"A : b\r\n\r\n", [400]),
    "not http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400]),
    "gRPC": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "endless head": (b"POST / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD, [431]),
    "other expectation": (POST + b"Expect: wonders\r\nContent-Length: 2\r\n\r\n", [417]),
    "half": (POST + b"Content-Length: 2\r\n\r\n{", []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_table(name: str) -> None:
    data, steps = CASES[name]
    assert run(data) == steps
    assert run(*(data[i : i + 1] for i in range(len(data)))) == steps


@given(st.sampled_from(sorted(CASES)), st.lists(st.integers(0, 2000), max_size=8))
def test_any_cuts(name: str, cuts: list[int]) -> None:
    data, steps = CASES[name]
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    assert run(*(data[a:b] for a, b in pairwise(places))) == steps


def test_expect_continue() -> None:
    head = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert run(head, b"{}") == ["continue", one()]
    assert run(head + b"{}") == [one()]  # who did not wait needs no leave


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [POST, b"Content-Length: 5\r\n\r\n", b"\r\n", b"5\r\nabcde\r\n", b"Transfer-Encoding: chunked\r\n\r\n"]
            ),
        ),
        max_size=12,
    )
)
def test_any_bytes(pieces: list[bytes]) -> None:
    connection = Connection(max_body=LIMIT)
    for piece in pieces:
        for step in connection.feed(piece):
            assert isinstance(step, Request | Refusal | Continue)
    assert connection.held <= MAX_HEAD + LIMIT + 60 * 12
    assert run(b"".join(pieces)) == run(*pieces) or b"xpect" in b"".join(pieces)


def test_nothing_after_a_refusal() -> None:
    connection = Connection()
    assert [type(step) for step in connection.feed(b"nonsense\r\n\r\n" + POST)] == [Refusal]
    assert not list(connection.feed(POST + b"Content-Length: 0\r\n\r\n"))
    assert connection.held == 0


def test_head_is_checked_before_the_body() -> None:
    seen: list[Head] = []
    connection = Connection(lambda head: seen.append(head) or 403)  # type: ignore[func-returns-value]
    (refusal,) = connection.feed(POST + b"Content-Length: 999\r\n\r\n")
    assert refusal == Refusal(403)
    assert (seen[0].method, seen[0].path, seen[0].fields["host"]) == ("POST", "/t/v1/logs", "127.0.0.1:1")


JSON = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
PROTOBUF = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: application/x-protobuf\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "content", "close", "answer"),
    [
        (200, "application/json", False, JSON),
        (200, "application/x-protobuf", True, PROTOBUF),
        (404, "", True, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    ],
)
def test_reply(status: int, content: str, close: bool, answer: bytes) -> None:
    assert reply(status, content, close=close) == answer
