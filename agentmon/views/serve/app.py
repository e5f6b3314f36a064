"""App: the routes and what stands before and behind them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from agentmon import __version__
from agentmon.views.serve import page, rest, ws
from agentmon.views.serve.guard import Guard, Rules
from agentmon.views.serve.hub import Hub
from agentmon.views.serve.past import Past

MOST_CLIENTS = 512


def create_app(
    hub: Hub, rules: Rules | None = None, most_clients: int = MOST_CLIENTS, past: Past | None = None
) -> FastAPI:  # fmt: skip
    """The application. rules: who is let in; by default whoever reaches it under a loopback name."""
    past = past or Past(lambda _: None)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(hub.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            hub.close()
            past.close()

    app = FastAPI(
        title="agentmon", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="What LLM agents do: live and past runs, their metrics, git activity, tokens and cost.",
    )  # fmt: skip
    app.state.hub = hub
    app.state.past = past
    app.state.most_clients = most_clients
    app.include_router(ws.router)
    rest.install(app)
    app.include_router(page.router)
    app.add_middleware(Guard, rules=rules or Rules.of())
    return app
