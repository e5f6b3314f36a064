"""What passes the dashboard's guard: names, origins, tokens, prefixes; and what every answer says to browsers."""

from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from hypothesis import given
from hypothesis import strategies as st
from live_hub import Stage
from starlette.testclient import TestClient

from agentmon.views.serve.app import create_app
from agentmon.views.serve.guard import BODY_BYTES, Rules

TOKEN = "t0ken-of-the-test"

HOSTS: list[tuple[str, bool]] = [
    ("localhost", True),
    ("localhost:8765", True),
    ("LocalHost.", True),
    ("127.0.0.1:1", True),
    ("127.8.9.1", True),
    ("[::1]:8765", True),
    ("page.localhost:8765", True),
    ("mon.example.com", True),
    ("MON.example.com:443", True),
    ("", False),
    ("example.com", False),
    ("evil-mon.example.com", False),
    ("mon.example.com.evil.org", False),
    ("localhost.evil.org", False),
    ("notlocalhost", False),
    ("192.168.1.7:8765", False),
    ("[::1", False),
    ("[::1]evil.org", False),
    ("[::1%evil.org]", False),
    ("localhost:80@evil.org", False),
    ("localhost:abc", False),
    ("localhost:", True),
    ("evil.org/.localhost", False),
    ("evil.org#.localhost", False),
    ("localhost evil.org", False),
    ("[fe80::1]:80", False),
    ("0.0.0.0", False),
    ("127.0.0.1@evil.org", False),
]


@pytest.mark.parametrize(("host", "known"), HOSTS)
def test_hosts(host: str, known: bool) -> None:
    assert Rules.of(hosts=["mon.example.com"]).knows_host(host) is known


def test_an_address_is_a_name_where_the_server_listens_on_one() -> None:
    rules = Rules.of(TOKEN, any_address=True)
    assert rules.knows_host("192.168.1.7:8765")
    assert rules.knows_host("[fe80::1]")
    assert not rules.knows_host("evil.org")


ORIGINS: list[tuple[str, str, bool]] = [
    ("http://localhost:8765", "localhost:8765", True),
    ("https://mon.example.com", "mon.example.com", True),
    ("https://mon.example.com", "mon.example.com:443", True),
    ("http://mon.example.com", "mon.example.com:80", True),
    ("https://page.example.org", "localhost:8765", True),
    ("HTTPS://Page.example.org", "localhost:8765", True),
    ("http://[::1]:8765", "[::1]:8765", True),
    ("http://localhost:8766", "localhost:8765", False),
    ("http://localhost", "localhost:8765", False),
    ("http://127.0.0.1:8765", "localhost:8765", False),
    ("http://page.example.org", "localhost:8765", False),
    ("https://evil.org", "localhost:8765", False),
    ("null", "localhost:8765", False),
    ("", "localhost:8765", False),
    ("file://", "localhost:8765", False),
    ("http://[", "localhost:8765", False),
    ("http://evil.org", "localhost:80@evil.org", False),
    ("http://evil.org@localhost", "localhost", False),
    ("http://localhost/page", "localhost", False),
    ("http://localhost:99999", "localhost:8765", False),
]


@pytest.mark.parametrize(("origin", "host", "known"), ORIGINS)
def test_origins(origin: str, host: str, known: bool) -> None:
    assert Rules.of(origins=["https://page.example.org/"]).knows_origin(origin, host) is known


@given(st.text(), st.text())
def test_any_header_is_a_yes_or_a_no(one: str, other: str) -> None:
    rules = Rules.of(TOKEN)
    assert isinstance(rules.knows_host(one), bool)
    assert isinstance(rules.knows_origin(one, other), bool)
    if TOKEN not in other and rules.cookie not in other:
        assert not rules.knows_bearer({"authorization": one, "cookie": other}) or one.endswith(TOKEN)


def client(stage: Stage, rules: Rules | None = None, **options: Any) -> TestClient:
    app = create_app(stage.hub, rules, **options)
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


@pytest.fixture
def stage(tmp_path: Any) -> Stage:
    return Stage(tmp_path)


def test_every_answer_tells_browsers_what_they_may_do(stage: Stage) -> None:
    with client(stage) as browser:
        for answer in (browser.get("/nothing"), browser.get("/openapi.json"), browser.get("/", headers={"host": "x"})):
            csp = answer.headers["content-security-policy"]
            assert "default-src 'none'" in csp
            assert "unsafe" not in csp
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_page_that_was_allowed_may_read(stage: Stage) -> None:
    with client(stage, Rules.of(origins=["https://page.example.org"])) as browser:
        answer = browser.get("/openapi.json", headers={"origin": "https://page.example.org"})
        assert answer.headers["access-control-allow-origin"] == "https://page.example.org"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "access-control-allow-origin" not in browser.get("/openapi.json").headers


def test_a_page_that_was_allowed_may_send_the_token(stage: Stage) -> None:
    asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    with client(stage, Rules.of(TOKEN, origins=["https://page.example.org"])) as browser:
        answer = browser.options("/api/v1/runs", headers={"origin": "https://page.example.org", **asked})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://page.example.org"
        assert "authorization" in answer.headers["access-control-allow-headers"]
        for origin, status in (("https://evil.org", 403), ("http://localhost", 401)):
            refused = browser.options("/api/v1/runs", headers={"origin": origin, **asked})
            assert refused.status_code == status
            assert not any(name.startswith("access-control") for name in refused.headers)


def test_a_body_is_limited_told_or_not(stage: Stage) -> None:
    with client(stage) as browser:
        assert browser.post("/openapi.json", content=b"x" * (BODY_BYTES + 1)).status_code == 413
        assert browser.post("/openapi.json", content=b"x" * BODY_BYTES).status_code == 405
        assert browser.post("/openapi.json", headers={"content-length": "-1"}).status_code == 413


TOKENS: list[tuple[str, dict[str, str], int]] = [
    ("/openapi.json", {}, 401),
    ("/openapi.json", {"authorization": f"Bearer {TOKEN}"}, 200),
    ("/openapi.json", {"authorization": f"bearer {TOKEN}"}, 200),
    ("/openapi.json", {"authorization": f"Bearer {TOKEN}x"}, 401),
    ("/openapi.json", {"authorization": f"Basic {TOKEN}"}, 401),
    ("/openapi.json", {"authorization": TOKEN}, 401),
    ("/openapi.json", {"cookie": f"token={TOKEN}"}, 401),
    ("/openapi.json", {"cookie": f"{Rules.of(TOKEN).cookie}={Rules.of(TOKEN).cookie_value}"}, 200),
    ("/openapi.json", {"cookie": f"{Rules.of(TOKEN).cookie}={TOKEN}"}, 401),
    ("/openapi.json", {"cookie": f"{Rules.of(TOKEN).cookie}={Rules.of('other').cookie_value}"}, 401),
    (f"/openapi.json?token={TOKEN}", {}, 401),
    (f"/?token={TOKEN}", {}, 303),
    ("/?token=other", {}, 401),
    ("/?token=", {}, 401),
]


@pytest.mark.parametrize(("path", "headers", "status"), TOKENS)
def test_tokens(stage: Stage, path: str, headers: dict[str, str], status: int) -> None:
    with client(stage, Rules.of(TOKEN)) as browser:
        answer = browser.get(path, headers=headers)
        assert answer.status_code == status
        if status == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert TOKEN not in answer.text


def test_a_token_leaves_the_address_bar_where_none_is_asked_for(stage: Stage) -> None:
    with client(stage) as browser:
        answer = browser.get("/?token=x&team=a%26b")
        assert (answer.status_code, answer.headers["location"]) == (303, "/?team=a%26b")
        assert "set-cookie" not in answer.headers


def test_behind_tls_the_cookie_is_for_tls_alone(stage: Stage) -> None:
    with TestClient(create_app(stage.hub, Rules.of(TOKEN)), "https://localhost", follow_redirects=False) as browser:
        assert "; Secure" in browser.get(f"/?token={TOKEN}").headers["set-cookie"]


@pytest.mark.parametrize("path", ["/mon/openapi.json", "/openapi.json"])
def test_below_a_prefix_the_proxy_takes_it_off_or_not(stage: Stage, path: str) -> None:
    with client(stage, Rules.of(TOKEN, root_path="/mon/")) as browser:
        assert browser.get(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        for first in ("/", "/mon/"):
            answer = browser.get(f"{first}?token={TOKEN}")
            assert (answer.headers["location"], "Path=/mon/" in answer.headers["set-cookie"]) == ("/mon/", True)
        bare = browser.get("/mon", headers={"authorization": f"Bearer {TOKEN}"})
        assert (bare.status_code, bare.headers["location"]) == (303, "/mon/")


def test_there_are_not_more_clients_than_may_be(stage: Stage) -> None:
    from starlette.testclient import WebSocketDenialResponse

    with client(stage, most_clients=1) as browser:
        with browser.websocket_connect("ws://localhost/ws") as first:
            assert first.receive_json()["type"] == "hello"
            with pytest.raises(WebSocketDenialResponse) as denied, browser.websocket_connect("ws://localhost/ws"):
                pass
            assert denied.value.status_code == 503
        stage.log()
        with browser.websocket_connect("ws://localhost/ws/teams/blue") as second:
            assert second.receive_json()["teams"] == ["blue"]


def test_a_query_that_asks_too_much_is_refused(stage: Stage) -> None:
    with client(stage) as browser:
        query = "&".join(f"team=t{number}" for number in range(300))
        with browser.websocket_connect(f"ws://localhost/ws?{query}") as connection:
            assert connection.receive_json()["type"] == "error"
            assert connection.receive()["code"] == 1008
        with browser.websocket_connect("ws://localhost/ws/teams/a?team=b") as connection:
            assert connection.receive_json()["type"] == "error"


ASKED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["action", "teams", "agents", "runs", "all", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.binary(max_size=40) | ASKED.map(lambda asked: __import__("json").dumps(asked).encode()))
def test_whatever_a_client_says_has_an_answer(message: bytes) -> None:
    from unittest.mock import Mock

    import orjson

    from agentmon.views.serve.clients import Client, Refused, Subscription
    from agentmon.views.serve.ws import answer

    hub = Mock(journal=Mock(head=0), agents=list)
    talker = Client(hub, Subscription("blue"))
    try:
        reply = orjson.loads(answer(talker, message))
    except Refused:
        return
    assert reply["type"] in ("pong", "subscribed")
    assert not talker.subscription.wants(("r", "red", "a"))


@pytest.mark.parametrize(("token", "asked"), [(TOKEN, [{"bearer": []}, {"cookie": []}]), (None, None)])
def test_the_description_tells_how_the_token_is_given(stage: Stage, token: str | None, asked: Any) -> None:
    rules = Rules.of(token)
    description = create_app(stage.hub, rules).openapi()
    schemes = description["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert (schemes["cookie"]["in"], schemes["cookie"]["name"]) == ("cookie", rules.cookie)
    assert description.get("security") == asked
    assert TOKEN not in str(description)


@pytest.mark.parametrize("since", ["9" * 5000, "-1", "\u0661", "1e3", ""])
def test_a_place_that_is_none_begins_anew(stage: Stage, since: str) -> None:
    with (
        client(stage) as browser,
        browser.websocket_connect(f"ws://localhost/ws?stream={stage.hub.stream}&since={since}") as socket,
    ):
        assert socket.receive_json()["resumed"] is False
