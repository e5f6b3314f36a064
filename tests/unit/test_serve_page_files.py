"""How the dashboard's files are served."""

import gzip
import re
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from fastapi import FastAPI
from starlette.testclient import TestClient

from agentmon.views.serve import page

FILES, DIGEST = page.load()
PLAIN = {"accept-encoding": "identity"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(page.routes())
    with TestClient(app) as one:
        yield one


def test_the_page_names_only_files_that_are_there_by_relative_addresses(client):
    html = client.get("/").text
    named = re.findall(r'(?:href|src)="([^"]+)"', html)
    assert {one for one in named if not one.startswith(("#", "data:"))} == {
        f"static/{DIGEST}/{name}" for name in FILES if name != "index.html"
    }
    assert all(client.get(f"/{one}").status_code == 200 for one in named if one.startswith("static/"))


def test_modules_name_only_each_other():
    for name, file in FILES.items():
        imported = re.findall(rb'(?:from|import)\s*\(?\s*"([^"]+)"', file.content) if name.endswith(".js") else []
        assert {one.decode().removeprefix("./") for one in imported} <= FILES.keys(), name
        assert not re.search(rb"https?://(?!127\.0\.0\.1:|www\.w3\.org/)", file.content), name


@pytest.mark.parametrize("word", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "srcdoc"])
def test_nothing_makes_markup_of_text(word):
    assert [name for name, file in FILES.items() if word.encode() in file.content] == []


def test_no_inline_style_or_script():
    html = FILES["index.html"].content.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=", html)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))


def test_weight():
    assert sum(len(file.content) for file in FILES.values()) < 150_000


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/static/card.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/static/page.css", "text/css; charset=utf-8", "no-cache"),
        (f"/static/{DIGEST}/card.js", "text/javascript; charset=utf-8", "max-age=31536000, immutable"),
    ],
)
def test_headers(client, path, kind, caching):
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["cache-control"] == caching
    assert answer.headers["vary"] == "accept-encoding"
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize("path", ["/", "/static/card.js", f"/static/{DIGEST}/page.css"])
@pytest.mark.parametrize("accepted", ["identity", "gzip", "br, gzip;q=0.5", "gzip;q=0"])
def test_validators(client, path, accepted):
    first = client.get(path, headers={"accept-encoding": accepted})
    etag = first.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{16}(-gzip)?"', etag)
    assert (
        etag.endswith('-gzip"')
        == ("content-encoding" in first.headers)
        == ("gzip" in accepted and accepted[-3:] != "q=0")
    )
    for known in (etag, f'W/{etag}, "x"', f'"x", {etag}', "*"):
        again = client.get(path, headers={"accept-encoding": accepted, "if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    other = client.get(path, headers={"accept-encoding": accepted, "if-none-match": '"0123456789abcdef"'})
    assert other.status_code == 200


def test_packed_is_the_same():
    for file in FILES.values():
        assert gzip.decompress(file.packed) == file.content
        assert len(file.packed) < len(file.content)


@pytest.mark.parametrize(
    "path",
    [
        "/static/", "/static/none.js", "/static/index.html", f"/static/{DIGEST}/none.js", "/static/0123456789/card.js",
        "/static/..%2fpage.py", "/static/%2e%2e/page.py", f"/static/{DIGEST}/..%2f..%2fpage.py", "/static/card.js/",
        "/static/CARD.JS", "/static/card.js%00",
    ],
)  # fmt: skip
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code == 404 or path.endswith("/")
    assert b"import gzip" not in client.get(path).content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_is_taken(client, method):
    assert client.request(method, "/static/card.js").status_code == 405
