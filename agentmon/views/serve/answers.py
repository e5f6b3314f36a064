"""Answers: JSON, and which of the forms of an answer a client wants."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agentmon import ndjson
from agentmon.views.serve.problems import Problem

JSON = "application/json"
NDJSON = "application/x-ndjson"


def answer(content: Any) -> Response:
    """As JSON."""
    return Response(ndjson.dumps(content), media_type=JSON)


def json_only(request: Request) -> None:
    """For routes that have nothing else. Raises Problem."""
    if accepts(request, JSON) is None:
        raise Problem(406, f"this is {JSON}; the Accept header does not take it")


def accepts(request: Request, *offered: str) -> str | None:
    """The media type of those offered that the client likes best, the first where it is all the same to it; None
    where it takes none of them (RFC 9110, 12.5.1)."""
    header = ",".join(request.headers.getlist("accept"))
    if not header.strip():
        return offered[0]
    best, liked = None, 0.0
    for media in offered:
        wish = max((w for w in map(_wish, header.split(",")) if _matches(w[0], media)), key=_narrow, default=None)
        if wish is not None and wish[1] > liked:
            best, liked = media, wish[1]
    return best


def _wish(part: str) -> tuple[str, float]:
    media, *parameters = (word.strip().lower() for word in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media, min(1.0, max(0.0, float(value)))
            except ValueError:
                return media, 0.0
    return media, 1.0


def _matches(wished: str, media: str) -> bool:
    kind, _, _ = media.partition("/")
    return wished in (media, f"{kind}/*", "*/*")


def _narrow(wish: tuple[str, float]) -> tuple[int, float]:
    return -wish[0].count("*"), wish[1]
