"""What the tests of the dashboard share: servers and runs that end with their test, and a browser that looks on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from dashboard import Child, Seen, Server, launched
from wrapper import WAIT_S


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = chromium()
    assert program is not None
    with launched(program) as one:
        yield one


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Makes servers and children, and ends them with the test."""
    made: list[Any] = []

    def make(kind: Any, *args: Any) -> Any:
        made.append(kind(*args))
        return made[-1]

    yield make
    for one in reversed(made):
        one.stop() if isinstance(one, Server) else one.close()


@pytest.fixture
def server(started: Callable[..., Any], tmp_path: Path) -> "Server":
    server: Server = started(Server, tmp_path)
    return server


@pytest.fixture
def run(started: Callable[..., Any], server: "Server", tmp_path: Path) -> Callable[..., "Child"]:
    """Starts a run."""

    def start(agent: str, *options: str, team: str = "web") -> Child:
        folder = tmp_path / f"work-{len(list(tmp_path.glob('work-*')))}"
        child: Child = started(Child, server.wrapper, folder, "--agent", agent, "--team", team, *options)
        return child

    return start


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page. Unless allowed, nothing is logged and nothing asked of anybody else."""
    contexts = []
    pages: list[tuple[Any, Seen, str, bool]] = []

    def make(address: str, width: int = 1280, height: int = 900, noisy: bool = False, **given: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **given)
        context.set_default_timeout(WAIT_S * 1000)
        contexts.append(context)
        page = context.new_page()
        pages.append((page, Seen(page), address, noisy))
        page.goto(address)
        return page

    yield make
    for _, seen, address, noisy in pages:
        host = address.split("/")[2]
        assert [one for one in seen.asked if not one.startswith("data:") and one.split("/")[2] != host] == []
        assert seen.dialogs == []
        assert noisy or seen.logged == []
    for context in contexts:
        context.close()
