"""`agentmon serve` as a process, with real runs and real WebSocket clients."""

import asyncio
import contextlib
import functools
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")

from run_logs import Log
from serving import AheadLoop, Served, run_ahead, run_async, serving, until_message
from websockets.asyncio.client import connect as connect_in_time
from websockets.exceptions import ConnectionClosed, InvalidStatus
from wrapper import WAIT_S, Wrapper, needs, python

CREW = """
import subprocess, sys
print('hello from the crew', flush=True)
sys.stdin.readline()
subprocess.run(['git', 'init', '-q', '.'], check=True)
name = ['-c', 'user.name=a', '-c', 'user.email=a@b']
subprocess.run(['git', *name, 'commit', '-q', '--allow-empty', '-m', 'Begin'], check=True)
print('<b>bold</b>\\x1b[31m', flush=True)
sys.stdin.readline()
sys.exit(3)
"""


connect = functools.partial(connect_in_time, open_timeout=WAIT_S, ping_interval=None)

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def log_in(wrapper: Wrapper, name: str, **about: str) -> Log:
    log = Log(wrapper.state / "agentmon" / "runs" / f"{name}.ndjson", **about)
    log.started()
    return log


def events_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    if message.get("event") == "batch":
        return message["data"]["events"]
    return [message] if message["type"] == "agent_telemetry" else []


def said(message: dict[str, Any], text: str) -> bool:
    """Whether a frame or a snapshot has a log entry with this text."""
    return text in json.dumps(message)


def test_a_real_run_is_told_from_its_start_to_its_end(wrapper: Wrapper, tmp_path: Path) -> None:
    needs("git")
    work = tmp_path / "work"
    work.mkdir()

    async def client(served: Served) -> None:
        async with connect(served.ws()) as connection:
            hello = await until_message(connection, lambda m: True)
            assert (hello["type"], hello["teams"]) == ("hello", [])
            run = wrapper.start(
                python(CREW), "--team", "web", "--agent", "crew", "--interval", "100ms",
                cwd=work, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL,
            )  # fmt: skip
            assert run.stdin is not None
            seen: list[dict[str, Any]] = []
            first = await until_message(connection, lambda m: m.get("agent_id") == "crew", seen)
            assert first["event"] == "snapshot"
            assert first["data"]["agent_telemetry"]["status"] == "running"
            await until_message(connection, lambda m: said(m, "hello from the crew") or said(seen[0], "hello"), seen)
            await until_message(connection, lambda m: any(e["event"] == "metrics_update" for e in events_of(m)))
            run.stdin.write(b"go\n")
            run.stdin.flush()
            commit = await until_message(connection, lambda m: any(e["event"] == "git_activity" for e in events_of(m)))
            assert "Begin" in json.dumps(commit)
            run.stdin.write(b"go\n")
            run.stdin.flush()
            end = await until_message(connection, lambda m: m.get("data", {}).get("status") == "error")
            assert end["team_id"] == "web"
            run.wait()
        async with connect(served.ws()) as connection:
            late = await until_message(connection, lambda m: m.get("event") == "snapshot")
            telemetry = late["data"]["agent_telemetry"]
            assert (telemetry["status"], telemetry["exit_code"]) == ("error", 3)
            assert telemetry["git_operations"]["commit"] == 1

    with serving(wrapper) as served:
        run_async(lambda: client(served))
        code, err = served.end()
    assert (code, err) == (0, "")


def test_teams_subscriptions_and_what_may_not_be_asked(wrapper: Wrapper) -> None:
    logs = {team: log_in(wrapper, f"run-{team}", agent=f"agent-{team}", team=team) for team in ("azure", "crimson")}

    async def client(served: Served) -> None:
        async with connect(served.ws("ws/teams/azure")) as azure, connect(served.ws("ws?team=crimson")) as crimson:
            heard: dict[str, list[str]] = {"azure": [], "crimson": []}

            async def ask(connection: Any, team: str, wanted: str, **message: Any) -> dict[str, Any]:
                if message:
                    await connection.send(json.dumps(message))
                while True:
                    text = await asyncio.wait_for(connection.recv(), WAIT_S)
                    heard[team].append(text)
                    if wanted in text:
                        return json.loads(text)

            await ask(azure, "azure", '"snapshot"')
            await ask(crimson, "crimson", '"snapshot"')
            error = await ask(azure, "azure", '"error"', action="subscribe", teams=["crimson"])
            assert error["detail"]
            await ask(azure, "azure", '"subscribed"', action="subscribe", all=True)
            await ask(azure, "azure", '"pong"', action="ping")
            await azure.send("[1")
            await ask(azure, "azure", '"error"')
            await azure.send(b"\xff\xfe")
            await ask(azure, "azure", '"error"')
            for team, log in logs.items():
                log.said(f"text of {team}")
                log.committed(f"commit of {team}")
            await ask(azure, "azure", "text of azure")
            await ask(crimson, "crimson", "text of crimson")
            assert "crimson" not in "".join(heard["azure"])
            assert "azure" not in "".join(heard["crimson"])
            reply = await ask(crimson, "crimson", '"subscribed"', action="subscribe", agents=["agent-azure"])
            assert (reply["teams"], reply["agents"], reply["all"]) == (["crimson"], ["agent-azure"], False)
            await ask(crimson, "crimson", "text of azure")
            await ask(crimson, "crimson", '"subscribed"', action="unsubscribe", agents=["agent-azure"])
            logs["azure"].said("more of azure")
            logs["crimson"].said("more of crimson")
            await ask(crimson, "crimson", "more of crimson")
            await ask(azure, "azure", "more of azure")
            assert "more of azure" not in "".join(heard["crimson"])

    with serving(wrapper) as served:
        run_async(lambda: client(served))
        assert served.end() == (0, "")


def test_a_reconnect_tells_only_what_changed(wrapper: Wrapper) -> None:
    logs = [log_in(wrapper, f"r{number}", agent=f"a{number}") for number in range(3)]

    async def client(served: Served) -> None:
        seen: list[dict[str, Any]] = []
        async with connect(served.ws()) as connection:
            for _ in range(4):
                await until_message(connection, lambda m: True, seen)
        hello, last = seen[0], max(m["seq"] for m in seen[1:])
        logs[1].said("meanwhile")
        async with connect(served.ws(f"ws?since={last}&stream={hello['stream']}")) as connection:
            again: list[dict[str, Any]] = []
            await until_message(connection, lambda m: said(m, "meanwhile"), again)
            assert again[0]["resumed"]
            assert [m["event"] for m in again[1:]] == ["log_entry"]
        async with connect(served.ws(f"ws?since={last}&stream=other")) as connection:
            again = []
            for _ in range(4):
                await until_message(connection, lambda m: True, again)
            assert not again[0]["resumed"]
            assert {m["event"] for m in again[1:]} == {"snapshot"}

    with serving(wrapper) as served:
        run_async(lambda: client(served))


def test_a_client_that_never_reads_is_bounded_and_the_others_go_on(wrapper: Wrapper) -> None:
    log = log_in(wrapper, "r1")

    async def client(served: Served) -> None:
        deaf = []
        for _ in range(5):
            sock = socket.create_connection(("127.0.0.1", int(served.base.split(":")[2].strip("/"))))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(UPGRADE)
            deaf.append(sock)
        async with connect(served.ws()) as connection:
            await until_message(connection, lambda m: m.get("event") == "snapshot")
            for number in range(8):
                for _ in range(50):
                    log.said(f"{number} " + "x" * 4000)
                await until_message(connection, lambda m, n=number: said(m, f"{n} xxx"))
        for sock in deaf:
            sock.close()

    with serving(wrapper) as served:
        run_async(lambda: client(served))
        assert served.end() == (0, "")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_clients_are_told(wrapper: Wrapper, signal_number: int) -> None:
    async def client(served: Served) -> None:
        async with connect(served.ws()) as connection:
            await connection.recv()
            served.process.send_signal(signal_number)
            with pytest.raises(ConnectionClosed) as closed:
                await until_message(connection, lambda m: False)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    with serving(wrapper) as served:
        run_async(lambda: client(served))
        out, err = served.process.communicate(timeout=WAIT_S)
        assert (served.process.returncode, out, err) == (0, "", "")


def test_a_socket_is_read_from_its_snapshot_on_and_again(wrapper: Wrapper, tmp_path: Path) -> None:
    path = tmp_path / "crew.sock"

    def start(agent: str) -> "subprocess.Popen[bytes]":
        code = "import sys; print('early', flush=True); sys.stdin.readline(); print('late', flush=True)"
        options = ("-o", f"unix:{path}", "--no-run-log", "--agent", agent, "--team", "far", "--interval", "100ms")
        return wrapper.start(python(code), *options, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL)

    async def client(served: Served) -> None:
        async with connect(served.ws()) as connection:
            for agent in ("first", "second"):
                run = start(agent)
                seen: list[dict[str, Any]] = []
                await until_message(connection, lambda m, a=agent: m.get("agent_id") == a, seen)
                if not said(seen[-1], "early"):
                    await until_message(connection, lambda m: said(m, "early"), seen)
                run.communicate(b"\n", timeout=WAIT_S)
                await until_message(connection, lambda m: m.get("data", {}).get("status") == "stopped", seen)
                assert any(said(message, '"late"') for message in seen)

    with serving(wrapper, f"unix:{path}") as served:
        run_async(lambda: client(served))
        assert served.end() == (0, "")


REFUSED: list[tuple[dict[str, str], int]] = [
    ({"Host": "evil.example"}, 403),
    ({"Host": "127.0.0.1.evil.example:80"}, 403),
    ({"Host": "192.0.2.1"}, 403),
    ({"Host": ""}, 403),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://localhost:1"}, 403),
]


def test_other_names_and_other_origins_get_nothing(wrapper: Wrapper) -> None:
    log_in(wrapper, "r1")

    async def client(served: Served) -> None:
        for headers, status in REFUSED:
            for path in ("", "healthz", "metrics", "api/v1/runs", "ws", "nothing"):
                answer = served.get(path, headers=headers)
                assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
                assert "r1" not in answer.text
            if "Origin" in headers:
                for path in ("ws", "ws/teams/blue"):
                    with pytest.raises(InvalidStatus) as refused:
                        async with connect(served.ws(path), origin=headers["Origin"]):  # type: ignore[arg-type]
                            pass
                    assert refused.value.response.status_code == status
        async with connect(served.ws(), origin=served.base.rstrip("/")) as connection:  # type: ignore[arg-type]
            await connection.recv()

    with serving(wrapper) as served:
        run_async(lambda: client(served))
        assert served.end() == (0, "")


def test_the_token_is_asked_for_everywhere_and_is_told_to_nobody(wrapper: Wrapper) -> None:
    async def client(served: Served, token: str) -> None:
        for path in ("", "healthz", "metrics", "openapi.json", "api/v1/runs", "healthz?token=" + token, "?token=wrong"):
            answer = served.get(path)
            assert (answer.status_code, token in answer.text) == (401, False), path
        with pytest.raises(InvalidStatus) as refused:
            async with connect(served.ws(f"ws?token={token}")):
                pass
        assert refused.value.response.status_code == 401
        first = served.get(f"?team=a&token={token}")
        assert (first.status_code, first.headers["location"]) == (303, "/?team=a")
        cookie = first.headers["set-cookie"]
        assert token not in cookie
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/"))
        for headers in ({"Cookie": "x=y; " + cookie.partition(";")[0]}, {"Authorization": f"Bearer {token}"}):
            assert served.get("nothing", headers=headers).status_code == 404
            async with connect(served.ws(), additional_headers=headers) as connection:
                assert json.loads(await connection.recv())["type"] == "hello"

    with serving(wrapper, "--token", "auto") as served:
        token = served.url.partition("?token=")[2]
        assert len(token) >= 32
        run_async(lambda: client(served, token))
        code, err = served.end()
    assert (code, err) == (0, "")


def test_a_path_prefix_works_whether_the_proxy_takes_it_off_or_not(wrapper: Wrapper) -> None:
    async def client(served: Served) -> None:
        root = served.base.removesuffix("mon/")
        for place in (root, root + "mon/"):
            async with connect("ws" + place.removeprefix("http") + "ws") as connection:
                assert json.loads(await connection.recv())["type"] == "hello"

    with serving(wrapper, "--root-path", "/mon") as served:
        assert served.base.endswith("/mon/")
        run_async(lambda: client(served))


def refused(wrapper: Wrapper, *words: str, **env: str) -> str:
    argv = [sys.executable, "-m", "agentmon", "serve", "--port", "0", *words]
    done = subprocess.run(argv, env={**wrapper.env, **env}, capture_output=True, text=True, timeout=WAIT_S)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (125, "", 1), done
    assert done.stderr.startswith("agentmon: ")
    return done.stderr


@pytest.mark.parametrize(
    "words",
    [("--allow-host", "https://mon.example.com/"), ("--allow-host", ""), ("--allow-origin", "mon.example.com"),
     ("--allow-origin", "*"), ("--allow-origin", "null"), ("--allow-origin", "https://mon.example.com/page")],
)  # fmt: skip
def test_names_that_nobody_could_send_are_mistakes(wrapper: Wrapper, words: tuple[str, str]) -> None:
    assert words[0] in refused(wrapper, *words)


def test_mistakes_are_told_in_one_line(wrapper: Wrapper, tmp_path: Path) -> None:
    assert "--token" in refused(wrapper, "--host", "0.0.0.0")
    assert "no such run" in refused(wrapper, "nothing")
    assert "cannot listen" in refused(wrapper, "--host", "203.0.113.9", "--token", "x" * 32)
    assert "token" in refused(wrapper, "--token", "")
    assert "--token-file" in refused(wrapper, "--token-file", str(tmp_path / "none"))
    assert "slash" in refused(wrapper, "--root-path", "mon")
    with serving(wrapper) as served:
        port = served.base.rsplit(":", 1)[1].strip("/")
        assert port in refused(wrapper, "--port", port)


def test_without_the_extra_one_line_says_how_to_get_it(wrapper: Wrapper, tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u; f = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'fastapi' else f(name, *a)\n"
        "from agentmon.cli import main; sys.exit(main(['serve', '--port', '0']))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=wrapper.env, capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 125
    assert done.stderr == "agentmon: serve needs fastapi: in the checkout, pip install '.[serve]'\n"


def test_a_named_log_is_shown_for_good_and_goes_on(wrapper: Wrapper, tmp_path: Path) -> None:
    log = Log(tmp_path / "named.ndjson", lock=False)
    log.started()

    async def client(served: Served) -> None:
        async with connect(served.ws()) as connection:
            await until_message(connection, lambda m: m.get("run_id") == "named")
            log.ended()
            await until_message(connection, lambda m: m.get("data", {}).get("status") == "stopped")
            log.run_id, log.agent, log.seq = "another", "crew2", 0
            log.started()
            await until_message(connection, lambda m: m.get("run_id") == "another")

    with serving(wrapper, str(log.path)) as served:
        run_async(lambda: client(served))


def test_clients_that_are_dead_are_noticed_even_with_much_unsent(tmp_path: Path) -> None:
    from live_hub import Stage

    from agentmon.views.serve.app import create_app
    from agentmon.views.serve.listening import listen
    from agentmon.views.serve.server import Server, config_of

    stage = Stage(tmp_path)
    log = stage.log()
    for _ in range(100):
        log.said("x" * 4000)
    stage.pass_time(1.0)

    async def test(loop: AheadLoop) -> None:
        sockets = listen("127.0.0.1", 0)
        server = Server(config_of(create_app(stage.hub)), lambda: None)
        serving = asyncio.create_task(server.serve(sockets))
        dead = [socket.socket() for _ in range(3)]
        address = sockets[0].getsockname()
        async with connect(f"ws://127.0.0.1:{address[1]}/ws") as alive:
            for sock in dead:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
                await loop.sock_sendall(sock, UPGRADE)
            reading = asyncio.create_task(all_of(alive))
            while len(stage.hub.clients) < 4:
                await asyncio.sleep(0.01)
            for _ in range(40):  # more than sockets hold
                log.said("x" * 4000)
                stage.pass_time(1.0)
                await asyncio.sleep(0)
            while len(stage.hub.clients) > 1:
                loop.ahead_s += 5
                assert loop.ahead_s < 3600
                await (await alive.ping())  # whoever is alive has answered all there is to be answered
            assert not reading.done()
            server.end()
            await reading
        await serving
        for sock in dead:
            sock.close()

    async def all_of(connection: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for _ in connection:
                pass

    run_ahead(test)


REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
SLOW: list[tuple[bytes, int]] = [
    (b"", 0),
    (REQUEST, 0),
    (REQUEST + b"\r\n" + REQUEST, 1),
    (REQUEST.replace(b"GET", b"POST") + b"Content-Length: 1000\r\n\r\nhalf", 1),
]


@pytest.mark.parametrize(("begin", "answers"), SLOW)
def test_a_request_that_does_not_end_is_not_waited_for(tmp_path: Path, begin: bytes, answers: int) -> None:
    from live_hub import Stage

    from agentmon.views.serve.app import create_app
    from agentmon.views.serve.http import REQUEST_S
    from agentmon.views.serve.listening import listen
    from agentmon.views.serve.server import Server, config_of

    async def test(loop: AheadLoop) -> None:
        sockets = listen("127.0.0.1", 0)
        server = Server(config_of(create_app(Stage(tmp_path).hub)), lambda: None)
        serving = asyncio.create_task(server.serve(sockets))
        reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
        writer.write(begin)
        told = b""

        async def read() -> None:
            nonlocal told
            with contextlib.suppress(ConnectionError):  # what was sent last may come to a connection that is closed
                while data := await reader.read(1 << 16):
                    told += data

        reading = asyncio.create_task(read())
        while told.count(b"HTTP/1.1 ") < answers:
            await asyncio.sleep(0.01)
        while not reading.done():  # byte by byte
            loop.ahead_s += REQUEST_S / 4
            assert loop.ahead_s < 3600
            writer.write(b"x")
            await asyncio.sleep(0.01)
        assert told.count(b"HTTP/1.1 ") == answers
        async with connect(f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/ws") as connection:
            for _ in range(12):
                loop.ahead_s += REQUEST_S / 4
                await (await connection.ping())
        server.end()
        await serving

    run_ahead(test)


def test_clients_that_ask_much_and_go_are_forgotten(wrapper: Wrapper) -> None:
    async def client(served: Served) -> None:
        for _ in range(20):
            connection = await connect(served.ws(), max_queue=1)
            for _ in range(60):
                await connection.send('{"action":"nothing of the kind"}')
            connection.transport.abort()
        while b"agentmon_serve_clients 0\n" not in (await asyncio.to_thread(served.get, "metrics")).content:
            await asyncio.sleep(0.05)

    with serving(wrapper) as served:
        run_async(lambda: client(served))
        assert served.end() == (0, "")


TOO_MUCH: list[tuple[Any, int]] = [("x" * 100_000, 1009), (b"x" * 100_000, 1009), (["x" * 40_000] * 3, 1009)]


def test_what_a_client_may_send_is_bounded(wrapper: Wrapper) -> None:
    async def client(served: Served) -> None:
        for message, code in TOO_MUCH:
            async with connect(served.ws()) as connection:
                with contextlib.suppress(ConnectionClosed):
                    await connection.send(message)
                with pytest.raises(ConnectionClosed) as closed:
                    await until_message(connection, lambda m: False)
                # whoever still sends may find the connection reset before the reason is read
                assert closed.value.rcvd is None or closed.value.rcvd.code == code
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.base.rsplit(":", 1)[1].strip("/")))
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x81\x82\0\0\0\0\xff\xfe")  # a text that is no UTF-8
        assert b"\x03\xef" in await asyncio.wait_for(reader.read(), WAIT_S)  # 1007
        writer.close()
        async with connect(served.ws()) as connection:
            names = [f"team {number}" for number in range(300)]
            await connection.send(json.dumps({"action": "subscribe", "teams": names}))
            await until_message(connection, lambda m: m["type"] == "error")
            for _ in range(200):
                await connection.send('{"action":"ping"}')
            for _ in range(200):
                await until_message(connection, lambda m: m["type"] == "pong")

    with serving(wrapper) as served:
        run_async(lambda: client(served))
        assert served.end() == (0, "")
