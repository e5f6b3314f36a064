"""Answers: what a server, or the lack of one, tells a person, in one line; and how long it wants to be left alone."""

import time
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any

import requests
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]


def retry_after(told: str | None) -> float:
    """Seconds that a server asks to wait (RFC 9110), an hour at most."""
    if not told:
        return 0.0
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - time.time()
        except (TypeError, ValueError):
            return 0.0
    return min(max(seconds, 0.0), 3600.0) if seconds == seconds else 0.0


def told_by(answer: Any) -> str:
    """What an error's body says: a google.rpc.Status by the standard, plain text from many a proxy."""
    try:
        told = Status.FromString(answer.content).message
    except DecodeError:
        told = answer.content[:200].decode("utf-8", "replace")
    return f": {line(told)}" if told else ""


def line(text: str) -> str:
    """On one line, and nothing that a terminal obeys."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:300]).split())


def reason(error: Exception | None) -> str:
    """The innermost cause of what requests and urllib3 wrap."""
    if isinstance(error, requests.Timeout):  # its own words hold the milliseconds that were left
        return "no answer in time"
    told: Any = error
    while True:
        inner = getattr(told, "reason", None) or (told.args[0] if told is not None and told.args else None)
        if not isinstance(inner, Exception):
            break
        told = inner
    cause = told.__context__ if told is not None else None
    if isinstance(cause, OSError):
        return cause.strerror or line(str(cause))
    if isinstance(cause, HTTPException):  # and its own words, whatever came instead
        return "what answers there is no HTTP"
    return line(str(told)) or "no answer"
