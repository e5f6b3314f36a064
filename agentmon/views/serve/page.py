"""The dashboard's files: one page, its modules and its style, held in memory and served with validators.

Below `static/DIGEST/`, where the digest stands for all files together, they never change and are kept by the browser;
below plain `static/` they have lasting addresses, for pages elsewhere that use the card, and are asked for each time.
All addresses in the page are relative: it works below any prefix.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import HTTPException

_TYPES = {
    "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
}  # fmt: skip
_INDEX = "index.html"
_REVALIDATED = "no-cache"
_KEPT = "max-age=31536000, immutable"
_DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is sent. etag: of the bytes, quoted."""

    content: bytes
    packed: bytes
    kind: str
    etag: str


def _file(name: str, content: bytes) -> File:
    packed = gzip.compress(content, mtime=0)
    kind = _TYPES[name.rpartition(".")[2]]
    return File(content, packed, kind, sha256(content).hexdigest()[:_DIGEST_LENGTH])


def load() -> tuple[Mapping[str, File], str]:
    """All files by name, the page pointing to the others by their common digest; and that digest."""
    folder = files("agentmon.views.serve") / "page"
    found = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.rpartition(".")[2] in _TYPES}
    digest = sha256(b"\0".join(name.encode() + b"\0" + found[name] for name in sorted(found))).hexdigest()
    digest = digest[:_DIGEST_LENGTH]
    found[_INDEX] = found[_INDEX].replace(b'"static/', f'"static/{digest}/'.encode())
    return {name: _file(name, content) for name, content in found.items()}, digest


def routes() -> APIRouter:
    """`/` and `/static/…`."""
    held, digest = load()
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return _answer(request, held[_INDEX], _REVALIDATED)

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def lasting(request: Request, name: str) -> Response:
        return _static(request, name, _REVALIDATED)

    @router.api_route("/static/{version}/{name}", methods=["GET", "HEAD"])
    async def hashed(request: Request, version: str, name: str) -> Response:
        if version != digest:
            raise HTTPException(404, "this is a file of another version of the page: reload it")
        return _static(request, name, _KEPT)

    def _static(request: Request, name: str, caching: str) -> Response:
        if name == _INDEX or name not in held:
            raise HTTPException(404, "there is no such file")
        return _answer(request, held[name], caching)

    return router


def _answer(request: Request, file: File, caching: str) -> Response:
    """The file, packed where that is understood; 304 where the browser has it."""
    packs = _takes_gzip(request.headers.get("accept-encoding", ""))
    etag = f'"{file.etag}-gzip"' if packs else f'"{file.etag}"'
    headers = {"etag": etag, "cache-control": caching, "vary": "accept-encoding"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    if packs:
        headers["content-encoding"] = "gzip"
    return Response(file.packed if packs else file.content, headers=headers, media_type=file.kind)


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.split(","):
        name, _, weight = part.partition(";")
        if name.strip().lower() == "gzip":
            return weight.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


router = routes()
