"""agentmon.wrap: usage of an Anthropic or OpenAI client, for people who want to place it by hand.

Needs nothing but the client. It looks at the same replies as the hook of a run does, and with the same code; where both
are active, a call still counts once. Seen with anthropic 0.79 and 2.12, openai 1.109 and 3.54, sync and async.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

_ANSWER = "_agentmon_record"
_FIELDS = (
    "model", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "call_id", "duration_s", "time_to_first_token_s", "status",
)  # fmt: skip

Client = TypeVar("Client")
Callback = Callable[[dict[str, Any]], object]


def wrap(client: Client, callback: Callback | None = None) -> Client:
    """Watch the model calls of a client, and give it back.

    callback: called at the end of every call, in the thread that made it, with a dict: model, input_tokens (cached ones
    included), output_tokens (reasoning included), total_tokens, cache_read_tokens, cache_write_tokens,
    reasoning_tokens, cost_usd (the API's own figure), call_id, duration_s, time_to_first_token_s (seconds), status
    (HTTP), streamed, and `usage` as the API sent it. What is not known is None. What it raises is swallowed.
    Without a callback the calls go into the run that the program is under, if it is under one.

    Raises TypeError for an object that is no such client.
    """
    http = getattr(client, "_client", None)
    transports = [getattr(http, "_transport", None), *(getattr(http, "_mounts", None) or {}).values()]
    transports = [t for t in transports if hasattr(t, "handle_request") or hasattr(t, "handle_async_request")]
    if not transports:
        raise TypeError(f"{type(client).__name__} is no client that agentmon knows (try those of anthropic and openai)")
    hook = _hook()
    in_run = bool(os.environ.get(hook.FILE_VARIABLE)) and not _hooked(hook)
    for transport in transports:
        _watch(transport, hook, callback, in_run and callback is None)
    return client


def _hook() -> Any:
    """The module that watches; in a run it is there already."""
    if "agentmon_hook" not in sys.modules:
        from agentmon.hook import agentmon_hook

        sys.modules["agentmon_hook"] = agentmon_hook
    return sys.modules["agentmon_hook"]


def _hooked(hook: Any) -> bool:
    """Whether the hook of a run watches this program."""
    return bool(hook.patched)


def _watch(transport: Any, hook: Any, callback: Callback | None, to_file: bool) -> None:
    if callback is None and not to_file:
        return
    listeners: list[Any] = [] if callback is None else [_listener(callback)]
    known = transport.__dict__.get("_agentmon_listeners")
    if known is not None:  # wrapped before
        known.extend(listeners)
        return
    transport.__dict__["_agentmon_listeners"] = listeners
    module = _httpx_of(transport)
    watched, awatched = hook.streams(module)

    def attach(call: Any, response: Any, stream_class: Any) -> None:
        try:
            inner = response.stream
            if hasattr(inner, "call") and type(inner).__name__ in ("Watched", "AsyncWatched"):
                inner.call.listeners.extend(listeners)  # the run's hook has it
                return
            record = response.__dict__.get(_ANSWER)
        except Exception:
            return
        if record is not None:
            _tell(listeners, record)
        else:
            call.listeners.extend(listeners)
            hook.attach(call, response, stream_class)

    def failed(call: Any, error: BaseException) -> None:
        record = getattr(error, _ANSWER, None)
        if record is not None:
            _tell(listeners, record)
        else:
            call.listeners.extend(listeners)
            hook.fail(call, error)

    if hasattr(transport, "handle_request"):
        original = transport.handle_request

        def handle_request(request: Any) -> Any:
            call = hook.begin(request, module.__name__)
            if call is None:
                return original(request)
            call.silent = not to_file
            try:
                response = original(request)
            except BaseException as error:
                failed(call, error)
                raise
            attach(call, response, watched)
            return response

        transport.handle_request = handle_request
    if hasattr(transport, "handle_async_request"):
        aoriginal = transport.handle_async_request

        async def handle_async_request(request: Any) -> Any:
            call = hook.begin(request, module.__name__)
            if call is None:
                return await aoriginal(request)
            call.silent = not to_file
            try:
                response = await aoriginal(request)
            except BaseException as error:
                failed(call, error)
                raise
            attach(call, response, awatched)
            return response

        transport.handle_async_request = handle_async_request


def _httpx_of(transport: Any) -> Any:
    """The httpx that a transport belongs to: httpx or httpx2."""
    for cls in type(transport).__mro__:
        name = cls.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    return sys.modules.get("httpx2") or sys.modules["httpx"]


def _listener(callback: Callback) -> Callable[[dict[str, Any]], None]:
    working: set[str] = set()  # ids of replies that had no usage yet

    def listen(record: dict[str, Any]) -> None:
        name = record.get("id")
        if record.get("again"):
            if name not in working:
                return
            working.discard(name)
        elif name and record["usage"] is None and record["status"] == 200 and len(working) < 10_000:
            working.add(name)
        from agentmon.collect.intake.sdk import usage_of

        usage = usage_of(record, record.get("id"))
        told = {name: getattr(usage, name) for name in _FIELDS}
        callback({**told, "streamed": record["streamed"], "usage": record["usage"]})

    return listen


def _tell(listeners: list[Any], record: dict[str, Any]) -> None:
    for listen in listeners:
        try:
            listen(record)
        except Exception:  # a callback must not end the call that it hears of
            continue
