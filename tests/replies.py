"""Replies of LLM endpoints, as their APIs word them, and what their figures are in the token convention."""

import base64
import json
import struct
import zlib
from typing import Any

DIALECTS = ("anthropic", "chat", "responses", "embeddings", "gemini", "bedrock", "ollama")
STREAMED = tuple(name for name in DIALECTS if name != "embeddings")
PATHS = {
    "anthropic": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses",
    "embeddings": "/v1/embeddings", "gemini": "/v1beta/models/stub-1:generateContent",
    "bedrock": "/model/stub-1/converse", "ollama": "/api/chat",
}  # fmt: skip
STREAM_PATHS = {
    **PATHS,
    "gemini": "/v1beta/models/stub-1:streamGenerateContent?alt=sse",
    "bedrock": "/model/stub-1/converse-stream",
}
MODEL = "stub-1"
TEXT = ["A reply ", 'with "usage": {"input_tokens": 9} in it, ', "…\n\n", "and an end."]


def usage(dialect: str, n: int) -> dict[str, Any]:
    """The usage of call number n, as the API words it."""
    given, made, read, written, thought = 900 + n, 90 + n, 40 + n, 20 + n, 10 + n
    match dialect:
        case "anthropic":
            return {"input_tokens": given, "output_tokens": made, "cache_read_input_tokens": read,
                    "cache_creation_input_tokens": written}  # fmt: skip
        case "chat":
            return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made,
                    "prompt_tokens_details": {"cached_tokens": read},
                    "completion_tokens_details": {"reasoning_tokens": thought}}  # fmt: skip
        case "responses":
            return {"input_tokens": given, "input_tokens_details": {"cached_tokens": read}, "output_tokens": made,
                    "output_tokens_details": {"reasoning_tokens": thought}, "total_tokens": given + made}  # fmt: skip
        case "embeddings":
            return {"prompt_tokens": given, "total_tokens": given}
        case "gemini":
            return {"promptTokenCount": given, "candidatesTokenCount": made, "cachedContentTokenCount": read,
                    "thoughtsTokenCount": thought, "totalTokenCount": given + made + thought}  # fmt: skip
        case "bedrock":
            return {"inputTokens": given, "outputTokens": made, "cacheReadInputTokens": read,
                    "cacheWriteInputTokens": written, "totalTokens": given + made + read + written}  # fmt: skip
    return {"prompt_eval_count": given, "eval_count": made}


def truth(dialect: str, n: int) -> tuple[int, int, int | None, int | None, int | None]:
    """The same in the convention: input, output, cache read, cache written, reasoning."""
    given, made, read, written, thought = 900 + n, 90 + n, 40 + n, 20 + n, 10 + n
    match dialect:
        case "anthropic" | "bedrock":
            return given + read + written, made, read, written, None
        case "chat" | "responses":
            return given, made, read, None, thought
        case "embeddings":
            return given, 0, None, None, None
        case "gemini":
            return given, made + thought, read, None, thought
    return given, made, None, None, None


def whole(dialect: str, n: int) -> tuple[str, bytes]:
    """Content type and body of a reply in one piece."""
    text, figures = "".join(TEXT), usage(dialect, n)
    document: dict[str, Any]
    match dialect:
        case "anthropic":
            tool = {
                "type": "tool_use",
                "id": "toolu_1",
                "name": "t",
                "input": {"usage": {"input_tokens": 1}, "model": "x"},
            }
            document = {"id": f"msg_{n}", "type": "message", "role": "assistant", "model": MODEL,
                        "content": [{"type": "text", "text": text}, tool], "stop_reason": "end_turn",
                        "usage": figures}  # fmt: skip
        case "chat":
            message = {"role": "assistant", "content": text}
            document = {"id": f"chatcmpl-{n}", "object": "chat.completion", "created": 1, "model": MODEL,
                        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                        "usage": figures}  # fmt: skip
        case "responses":
            document = _response(n, text, figures)
        case "embeddings":
            vectors = [{"object": "embedding", "index": i, "embedding": [0.25, -1.5e-3] * 8} for i in range(2)]
            document = {"object": "list", "data": vectors, "model": MODEL, "usage": figures}
        case "gemini":
            document = _candidate(n, text, figures, "STOP")
        case "bedrock":
            document = {"output": {"message": {"role": "assistant", "content": [{"text": text}]}},
                        "stopReason": "end_turn", "usage": figures, "metrics": {"latencyMs": 3}}  # fmt: skip
        case _:
            document = {"model": MODEL, "message": {"role": "assistant", "content": text}, "done": True, **figures}
    return "application/json", json.dumps(document).encode()


def pieces(dialect: str, n: int, *, tells: bool = True) -> tuple[str, list[bytes]]:
    """Content type and the events of a streamed reply. tells: whether a chat is asked to tell its usage."""
    figures = usage(dialect, n)
    match dialect:
        case "anthropic":
            message = json.loads(whole(dialect, n)[1]) | {"content": [], "usage": {**figures, "output_tokens": 1}}
            events = [{"type": "message_start", "message": message}]
            events += [{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}]
            events += [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
                       for text in TEXT]  # fmt: skip
            events += [{"type": "content_block_stop", "index": 0}]
            events += [{"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                        "usage": {"output_tokens": figures["output_tokens"]}}, {"type": "message_stop"}]  # fmt: skip
            return "text/event-stream; charset=utf-8", [
                f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
            ]
        case "chat":
            base = {
                "id": f"chatcmpl-{n}",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": MODEL,
                "usage": None,
            }
            events = [
                {**base, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in TEXT
            ]
            events += [{**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
            events += [{**base, "choices": [], "usage": figures}] if tells else []
            return "text/event-stream", [*map(_sse, events), b"data: [DONE]\n\n"]
        case "responses":
            done = _response(n, "".join(TEXT), figures)
            events = [{"type": "response.created", "response": {**done, "output": [], "usage": None}}]
            events += [{"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0,
                        "delta": text} for text in TEXT]  # fmt: skip
            events += [{"type": "response.completed", "response": done}]
            return "text/event-stream", [
                f"event: {e['type']}\n".encode() + _sse({**e, "sequence_number": i}) for i, e in enumerate(events)
            ]
        case "gemini":
            early = {**figures, "candidatesTokenCount": 1}
            parts = [_candidate(n, text, early, None) for text in TEXT[:-1]]
            return "text/event-stream", [*map(_sse, [*parts, _candidate(n, TEXT[-1], figures, "STOP")])]
        case "bedrock":
            events = [{"contentBlockIndex": 0, "delta": {"text": text}} for text in TEXT]
            kinds = ["contentBlockDelta"] * len(TEXT) + ["metadata"]
            events += [{"usage": figures, "metrics": {"latencyMs": 3}}]
            return "application/vnd.amazon.eventstream", [
                frame(kind, json.dumps(event).encode()) for kind, event in zip(kinds, events, strict=True)
            ]
    lines = [{"model": MODEL, "message": {"role": "assistant", "content": text}, "done": False} for text in TEXT]
    lines += [{"model": MODEL, "done": True, **figures}]
    return "application/x-ndjson", [json.dumps(line).encode() + b"\n" for line in lines]


def frame(kind: str, payload: bytes) -> bytes:
    """One message of AWS event-stream."""
    headers = b""
    for name, value in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def invocation(n: int) -> list[bytes]:
    """An Anthropic stream in Bedrock's frames, each event in base64, with the invocation's metrics in the last."""
    events = [json.loads(piece.split(b"data: ")[1]) for piece in pieces("anthropic", n)[1]]
    events[-1]["amazon-bedrock-invocationMetrics"] = {"inputTokenCount": 1, "outputTokenCount": 1}
    return [
        frame("chunk", json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode())
        for event in events
    ]


def _sse(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


def _response(n: int, text: str, figures: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": f"m_{n}", "role": "assistant", "status": "completed", "content": content}
    return {"id": f"resp_{n}", "object": "response", "created_at": 1, "model": MODEL, "status": "completed",
            "output": [message], "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
            "usage": figures}  # fmt: skip


def _candidate(n: int, text: str, figures: dict[str, Any], finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": figures, "modelVersion": MODEL, "responseId": f"g-{n}"}
