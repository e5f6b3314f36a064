"""Asked: what a request's address and query may hold, and how it is understood."""

import math
import re
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, unquote

from fastapi import Path, Query
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, WithJsonSchema
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from agentmon.views.serve.events_page import Place

_NUMBER = re.compile(r"[+-]?\d{1,400}(\.\d{1,400})?(e[ +-]?\d{1,3})?", re.IGNORECASE | re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+ -]\d\d:\d\d)", re.ASCII)
_CURSOR = r"^[0-9]{1,15}(\.[0-9]{1,7})?$"


def _time(value: Any) -> float:
    """Unix seconds, or RFC 3339. A plus sign that was not escaped has become a space."""
    text = str(value)
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text.replace(" ", "+"))):
        return number
    if _DATE.fullmatch(text):
        text = f"{text[:10]}T{text[11:].upper().replace(' ', '+')}"
        try:
            return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()
        except (ValueError, OverflowError):
            pass
    raise ValueError("write Unix seconds, or a date as 2026-11-22T10:00:00Z")


Time = Annotated[
    float,
    BeforeValidator(_time),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}),
]
Since = Annotated[Time | None, Query(description="Unix seconds or RFC 3339.", examples=[1795341600])]
Until = Annotated[Time | None, Query(description="Unix seconds or RFC 3339; itself excluded.", examples=[1795341700])]
Team = Annotated[str | None, Query(description="Of this team.", examples=["web"])]
Agent = Annotated[str | None, Query(description="Of this agent.", examples=["crew.py"])]
Cursor = Annotated[str | None, Query(pattern=_CURSOR, description="A place in the log, from another page.")]
RunId = Annotated[str, Path(description="Of the run.", examples=["20261122T100000000Z-0123abcd"])]
AgentId = Annotated[str, Path(description="Of the agent.", examples=["crew.py"])]


def place_of(cursor: str | None) -> Place | None:
    """What a cursor stands for."""
    if cursor is None:
        return None
    offset, _, skip = cursor.partition(".")
    return int(offset), int(skip or 0)


def cursor_of(place: Place) -> str:
    """A place in words."""
    offset, skip = place
    return f"{offset}.{skip}" if skip else str(offset)


HEAD = "agentmon.head"  # in the scope of a request whose answer has no body


class IdRoute(APIRoute):
    """A route whose parameters are any text: an encoded slash is a part of it, and not a part of the address.

    Where something on the way has decoded the slashes already, the parameter takes as much as it can. HEAD is answered
    as GET.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As it came, still encoded."""
        if scope["type"] != "http":
            return Match.NONE, {}
        asked = {**scope, "path": _encoded(scope)}
        if scope["method"] == "HEAD":
            asked["method"] = "GET"
        match, child = super().matches(asked)
        if match is not Match.NONE:
            child["path_params"] = {name: unquote(text) for name, text in child.get("path_params", {}).items()}
        return match, child

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", HEAD: True}
        elif scope["method"] not in (self.methods or ()):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        await super().handle(scope, receive, send)


def name_of(route: APIRoute) -> str:
    """What the description calls an operation."""
    return route.name


def _encoded(scope: Scope) -> str:
    """The path with all encoded that is not plain, also the slashes that were."""
    path, root, raw = str(scope["path"]), str(scope.get("root_path", "")), scope.get("raw_path")
    if raw is None:
        return "/".join(quote(part, safe="") for part in path.split("/"))
    parts = bytes(raw).partition(b"?")[0].decode("latin-1").split("/")
    if not root or not path.startswith(root):
        root = ""
    return root + "/" + "/".join(quote(unquote(part), safe="") for part in parts[1 + root.count("/") :])
