"""Guard: what every request and every WebSocket upgrade passes first, whatever it asks for.

- Host must be a name that this server goes by: a page of another name that was made to resolve to our address (DNS
  rebinding) has that other name in it.
- Origin, where a browser sends one, must be our own: no other page opens our WebSocket.
- The token, where there is one: as a bearer, as the cookie, or once in the query of the first page.
"""

import hashlib
import hmac
import ipaddress
import json
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 64 << 10
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


@dataclass(frozen=True, slots=True)
class Rules:
    """What is let in. names: hosts beside the loopback ones, in lower case. any_address: the server listens on other
    than loopback, where people call it by its address (an address cannot be rebound). origins: of other pages.
    root_path: the prefix below which a proxy shows us, without a slash at its end.
    """

    token: str | None = None
    names: frozenset[str] = frozenset()
    any_address: bool = False
    origins: frozenset[str] = frozenset()
    root_path: str = ""
    cookie: str = field(default="")

    @classmethod
    def of(
        cls, token: str | None = None, hosts: Iterable[str] = (), origins: Iterable[str] = (), root_path: str = "",
        any_address: bool = False,
    ) -> "Rules":  # fmt: skip
        """Rules from what a person wrote."""
        cookie = "agentmon-" + hashlib.sha256(b"cookie name" + (token or "").encode()).hexdigest()[:8]
        return cls(
            token or None, frozenset(_host_name(host) for host in hosts), any_address,
            frozenset(origin.rstrip("/").lower() for origin in origins), root_path.rstrip("/"), cookie,
        )  # fmt: skip

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name = _host_name(host)
        if name in self.names or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.any_address

    def knows_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may ask. A proxy may have taken off TLS: the scheme says nothing."""
        if origin.lower() in self.origins:
            return True
        try:
            parts = urlsplit(origin)
            port = _PORTS.get(parts.scheme)
            return port is not None and _with_port(parts.netloc, port) == _with_port(host, port)
        except ValueError:
            return False

    def knows_token(self, given: str) -> bool:
        """Whether this is the token; it takes as long for any other of its length."""
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    @property
    def cookie_value(self) -> str:
        """What a browser keeps; the token cannot be had from it."""
        return hmac.new((self.token or "").encode(), b"agentmon serve", hashlib.sha256).hexdigest()

    def knows_bearer(self, headers: dict[str, str]) -> bool:
        """Whether the request bears the token, or the cookie that stands for it."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.knows_token(given.strip()):
            return True
        pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
        values = [value for name, _, value in pairs if name == self.cookie]
        return any(hmac.compare_digest(value.encode(), self.cookie_value.encode()) for value in values)


class _Refusal(Exception):
    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        rules = self._rules
        try:
            headers = _headers(scope)
            self._check_names(headers)
            origin = headers.get("origin")
            if origin is not None and origin.lower() in rules.origins:
                send = _shared(send, origin)
            scope = _below(dict(scope), rules.root_path)
            if rules.token is not None and not rules.knows_bearer(headers):
                if (answer := self._first_use(scope)) is not None:
                    await _redirect(send, *answer)
                    return
                raise _Refusal(401, "Unauthorized", "Give the token: open the address that the server printed, or "
                               "send it as `Authorization: Bearer TOKEN`.")  # fmt: skip
            if scope["type"] == "http":
                if rules.root_path and scope["path"] == rules.root_path:
                    await _redirect(send, quote(rules.root_path) + "/", None)
                    return
                if (answer := self._first_use(scope)) is not None:  # nothing of it stays in the address bar
                    await _redirect(send, *answer)
                    return
                receive = _limited(receive, headers)
        except _Refusal as refusal:
            await _refuse(scope, send, refusal)
            return
        await self._app(scope, receive, send)

    def _check_names(self, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if not self._rules.knows_host(host):
            raise _Refusal(403, "Unknown host", "This server does not go by the name in the Host header; start it "
                           "with --allow-host NAME if it should.")  # fmt: skip
        origin = headers.get("origin")
        if origin is not None and not self._rules.knows_origin(origin, host):
            raise _Refusal(403, "Foreign origin", "Pages of other origins may not ask this server; start it with "
                           "--allow-origin ORIGIN if one should.")  # fmt: skip

    def _first_use(self, scope: Scope) -> tuple[str, str | None] | None:
        """Where a browser goes that opened `/?token=…`, and its cookie; None for any other request."""
        rules = self._rules
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != rules.root_path + "/":
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if not given or (rules.token is not None and not rules.knows_token(given[0])):
            return None
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        place = quote(scope["path"]) + (f"?{rest}" if rest else "")
        if rules.token is None:
            return place, None
        secure = "; Secure" if scope["scheme"] == "https" else ""
        path = quote(rules.root_path) + "/"
        return place, f"{rules.cookie}={rules.cookie_value}; Path={path}; HttpOnly; SameSite=Strict{secure}"


def _headers(scope: Scope) -> dict[str, str]:
    """By name in lower case. Raises _Refusal where one that decides is there twice."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if name in headers and name in ("host", "origin", "authorization"):
            raise _Refusal(400, "Bad request", f"more than one {name} header")
        if name == "cookie" and name in headers:
            headers[name] += "; " + raw_value.decode("latin-1")
        else:
            headers[name] = raw_value.decode("latin-1")
    return headers


def _host_name(host: str) -> str:
    """The name or address in `name:port`, as it is compared."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") > 1:  # an IPv6 address as a person writes it
        return host
    return host.partition(":")[0].rstrip(".")


def _with_port(netloc: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{netloc}")
    return (parts.hostname or "").rstrip("."), parts.port or port


def _below(scope: MutableMapping[str, Any], root_path: str) -> MutableMapping[str, Any]:
    """The scope below a prefix, whether the proxy has taken it off the path or not."""
    if root_path:
        path = scope["path"]
        if path != root_path and not path.startswith(root_path + "/"):
            scope["path"] = root_path + path
            scope["raw_path"] = quote(root_path).encode() + (scope.get("raw_path") or quote(path).encode())
        scope["root_path"] = root_path
    return scope


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = [*message.get("headers", ())]
            there = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in _HEADERS if name not in there]
            if b"cross-origin-resource-policy" not in there:
                headers.append((b"cross-origin-resource-policy", b"same-origin"))
            if b"cache-control" not in there:
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return sending


def _shared(send: Send, origin: str) -> Send:
    """For a page of an origin that was allowed: it may read what it gets."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin"),
                (b"cross-origin-resource-policy", b"cross-origin"),
            ]  # fmt: skip
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return sending


def _limited(receive: Receive, headers: dict[str, str]) -> Receive:
    """Not more of a body than any request here needs. Raises _Refusal at once where it says that it is larger."""
    told = headers.get("content-length", "0")
    if not (told.isascii() and told.isdigit()) or int(told) > BODY_BYTES:
        raise _Refusal(413, "Content too large", f"a request may have {BODY_BYTES} bytes")
    held = 0

    async def receiving() -> Message:
        nonlocal held
        message = await receive()
        if message["type"] == "http.request":
            held += len(message.get("body", b""))
            if held > BODY_BYTES:
                return {"type": "http.disconnect"}
        return message

    return receiving


async def _redirect(send: Send, place: str, cookie: str | None) -> None:
    headers = [(b"location", place.encode("latin-1")), (b"content-length", b"0")]
    if cookie is not None:
        headers.append((b"set-cookie", cookie.encode("latin-1")))
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def path_of(scope: Scope) -> str:
    """The path that was asked for, as it came, without the query (which may hold a secret)."""
    raw = scope.get("raw_path")
    if raw is None:
        return quote(str(scope.get("path", "/")))
    return bytes(raw).partition(b"?")[0].decode("latin-1")


async def _refuse(scope: Scope, send: Send, refusal: _Refusal) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.title})
        return
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    problem = {
        "type": "about:blank", "title": refusal.title, "status": refusal.status, "detail": refusal.detail,
        "instance": path_of(scope),
    }  # fmt: skip
    body = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="agentmon"'))
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
