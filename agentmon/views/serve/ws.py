"""The WebSocket: `/ws` and `/ws/teams/{team_id}`; of the latter no client ever hears of another team.

The server says `hello` first, then a snapshot of each agent that the client is subscribed to, and then what changes: at
most one frame a second and agent, with `seq` growing. In a batch the `seq` of each event is that of its run. Beside
the events it has the sums and the status so far, so that no client has to reconcile them.

    hello       stream, seq, version, server_time, teams, resumed
    subscribed  teams, agents, runs, all: what the subscription is now
    removed     run_id, agent_id, team_id: it has left the live board
    error       title, detail: what a client asked, and did not get
    pong        server_time

A client may say `{"action": "subscribe" | "unsubscribe", "teams": […], "agents": […], "runs": […], "all": true}` and
`{"action": "ping"}`; the first subscription takes the place of the implied one, which is to all. The query may have
`team`, `agent` and `run`, each several times; and, to go on after a connection was lost, `since` with the `seq` of the
last frame and `stream` with that of the server. `resumed` says whether it does; where it does not, what the client
had is to be forgotten.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from agentmon import __version__
from agentmon.views.serve.clients import Client, Refused, Subscription
from agentmon.views.serve.hub import Hub

FRAMES_EXTENSION = "agentmon.frames"  # of our own connections: many frames in one write
MESSAGE_BYTES = 64 << 10  # of a client
_REPLIES_HELD = 16
_BREATH_S = 0.01  # from one message of a client to the next: none keeps the server from the others

router = APIRouter()
Send = Callable[[list[bytes]], Awaitable[None]]


@router.websocket("/ws")
async def all_teams(websocket: WebSocket) -> None:
    """Every team, or what the query names."""
    await _serve(websocket, None)


@router.websocket("/ws/teams/{team_id:path}")
async def one_team(websocket: WebSocket, team_id: str) -> None:
    """One team, and nothing of another."""
    await _serve(websocket, team_id)


async def _serve(websocket: WebSocket, team_id: str | None) -> None:
    hub: Hub = websocket.app.state.hub
    if len(hub.clients) >= websocket.app.state.most_clients:
        await websocket.send_denial_response(_too_many())
        return
    await websocket.accept()
    query = websocket.query_params
    subscription = Subscription(team_id)
    try:
        named = [[name for name in query.getlist(kind) if name] for kind in ("team", "agent", "run")]
        if any(named):
            subscription.add(False, *named)
    except Refused as error:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await websocket.send_text(_error(error).decode())
            await websocket.close(1008, "subscription refused")
        return
    client = Client(hub, subscription)
    since = query.get("since", "")
    same = query.get("stream") == hub.stream
    resumed = client.begin(int(since) if same and since.isascii() and since.isdigit() else None)
    client.replies.append(_hello(hub, subscription, resumed))
    hub.clients.add(client)
    sender = asyncio.create_task(_send_all(websocket, hub, client))
    try:
        await _listen(websocket, hub, client)
    finally:
        hub.clients.remove(client)
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sender


async def _listen(websocket: WebSocket, hub: Hub, client: Client) -> None:
    """Take what the client says, until it goes."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        try:
            reply = answer(client, text if text is not None else message.get("bytes") or b"")
        except Refused as error:
            reply = _error(error)
        while len(client.replies) >= _REPLIES_HELD:  # who does not read is not read
            await asyncio.sleep(0.05)
        client.replies.append(reply)
        client.woken.set()
        await asyncio.sleep(_BREATH_S)


async def _send_all(websocket: WebSocket, hub: Hub, client: Client) -> None:
    """Send what there is, and then wait for more."""
    extension = websocket.scope.get("extensions", {}).get(FRAMES_EXTENSION)
    send: Send = extension["send"] if extension else _each(websocket)
    with contextlib.suppress(OSError, RuntimeError, WebSocketDisconnect):  # it has gone
        while True:
            while given := client.next(hub.now()):
                await send(given)
                hub.clients.frames_sent += len(given)
            client.woken.clear()
            await client.woken.wait()


def _each(websocket: WebSocket) -> Send:
    async def send(payloads: list[bytes]) -> None:
        for payload in payloads:
            await websocket.send_text(payload.decode())

    return send


def answer(client: Client, message: str | bytes) -> bytes:
    """Do what a client asks; the reply. Raises Refused."""
    try:
        asked = orjson.loads(message)
    except orjson.JSONDecodeError:
        raise Refused("a message is a JSON object") from None
    if not isinstance(asked, dict):
        raise Refused("a message is a JSON object")
    subscription = client.subscription
    match asked.get("action"):
        case "ping":
            return orjson.dumps({"type": "pong", "server_time": time.time()})
        case "subscribe":
            before = client.subjects()
            subscription.add(*_wanted(asked))
        case "unsubscribe":
            before = client.subjects()
            subscription.remove(*_wanted(asked))
        case _:
            raise Refused("action is one of subscribe, unsubscribe, ping")
    client.resubscribed(before)
    return orjson.dumps({
        "type": "subscribed", "teams": sorted(subscription.teams), "agents": sorted(subscription.agents),
        "runs": sorted(subscription.runs), "all": subscription.all,
    })  # fmt: skip


def _wanted(asked: dict[str, Any]) -> tuple[bool, list[str], list[str], list[str]]:
    lists = []
    for kind in ("teams", "agents", "runs"):
        names = asked.get(kind) or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Refused(f"{kind} is a list of names")
        lists.append(names)
    every = asked.get("all", False)
    if not isinstance(every, bool):
        raise Refused("all is true or false")
    return every, lists[0], lists[1], lists[2]


def _hello(hub: Hub, subscription: Subscription, resumed: bool) -> bytes:
    return orjson.dumps({
        "type": "hello", "stream": hub.stream, "seq": hub.journal.head, "version": __version__,
        "server_time": time.time(), "teams": subscription.visible(hub.teams()), "resumed": resumed,
    })  # fmt: skip


def _error(error: Refused) -> bytes:
    return orjson.dumps({"type": "error", "title": "Bad message", "detail": str(error)})


def _too_many() -> Any:
    from starlette.responses import JSONResponse

    problem = {"type": "about:blank", "title": "Too many connections", "status": 503}
    return JSONResponse(problem, 503, media_type="application/problem+json")
