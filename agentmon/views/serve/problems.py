"""Problems: every error is answered with problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from agentmon.errors import AgentmonError
from agentmon.views.serve import models
from agentmon.views.serve.guard import path_of

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """What a person should know of a request that cannot be answered. detail: one sentence."""

    def __init__(self, status: int, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors = status, detail, errors


def response(
    scope: Scope, status: int, detail: str, headers: dict[str, str] | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> Response:  # fmt: skip
    """A problem as an answer; also for middleware."""
    body: dict[str, Any] = {
        "type": "about:blank", "title": _title(status), "status": status, "detail": detail, "instance": path_of(scope),
    }  # fmt: skip
    if errors is not None:
        body["errors"] = errors
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


def responses(**described: str) -> dict[int | str, dict[str, Any]]:
    """The problems of a route for its description: `_404="..."`; any other one is told of in general."""
    said = {**described, "default": "Any other problem"}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        int(name[1:]) if name[1:].isdigit() else name: {"description": words, "content": content}
        for name, words in said.items()
    }


def install(app: FastAPI) -> None:
    """Answer all errors of an app so, and describe them."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        description = plain()
        schemas = description.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", models.Problem.model_json_schema())
        return description

    app.openapi = described  # type: ignore[method-assign]
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(AgentmonError, _unavailable)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return response(request.scope, error.status, error.detail, None, error.errors)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, detail = error.status_code, str(error.detail)
    if detail == _title(status):
        detail = _WORDS.get(status, detail)
    return response(request.scope, status, detail, dict(error.headers or {}))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"in": str(found["loc"][0]), "name": ".".join(map(str, found["loc"][1:])), "message": found["msg"]}
        for found in error.errors()
    ]
    detail = "; ".join(f"{e['name'] or e['in']}: {e['message']}" for e in errors[:3])
    return response(request.scope, 422, detail, None, errors)


async def _unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, AgentmonError)
    return response(request.scope, 503, error.message)


async def _unexpected(request: Request, error: Exception) -> Response:
    return response(request.scope, 500, "agentmon has a fault; what it was is on the server's standard error")


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


_WORDS = {
    404: "there is nothing at this address",
    405: "this address does not take that method",
    413: "the request is too large",
}
