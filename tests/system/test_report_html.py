"""The report's page in a real browser: it renders, its script runs, and what a child printed does nothing."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, chromium, opened
from click.testing import CliRunner
from wrapper import until

from agentmon.commands.report import command

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from report_logs import DEMO, STARTED, STOPPED, entry, line, metrics

from agentmon.events import GitActivity, TokenUsage

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="there is no chromium on this machine (apt install chromium)"
)

ATTACK = (
    "</script></pre><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "<svg onload=document.title='taken'></svg><style>body{display:none}</style>"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(autouse=True)
def _quiet(page: Page) -> Iterator[None]:
    page.logged.clear()
    page.asked.clear()
    yield
    assert page.logged == [], "nothing is logged, nothing refused"
    assert [address for address in page.asked if not address.startswith(("file:", "data:"))] == []


def rendered(log: Path, folder: Path) -> Path:
    html = folder / "page.html"
    result = CliRunner().invoke(command, [str(log), "--html", str(html)])
    assert result.exception is None, result.exception
    return html


def test_demo_renders_and_the_crosshair_tells_figures(page, tmp_path):
    page.open(rendered(DEMO, tmp_path))
    names = page.evaluate("[...document.querySelectorAll('figcaption b')].map(b => b.textContent)")
    assert names == ["CPU", "Memory", "Tokens"]
    assert page.evaluate("document.querySelectorAll('.plot path.curve').length") >= 3
    assert page.evaluate("document.querySelectorAll('.lane a').length") > 0
    x, y, width, height = page.evaluate(
        "(() => { const b = document.querySelectorAll('.plot')[2].getBoundingClientRect();"
        " return [b.x, b.y, b.width, b.height]; })()"
    )
    page.move(x + width * 0.95, y + height / 2)
    asked = "[...document.querySelectorAll('figcaption output')].map(o => o.textContent)"
    told = until(lambda: [out for out in [page.evaluate(asked)] if all(out)], "figures")[0]
    assert "in," in told[2]
    assert told[0].startswith("+1.")


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_phone_and_screen(page, tmp_path, width, scheme):
    page.open(rendered(DEMO, tmp_path), width, 844, prefers_color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 26)")


def test_print_is_light_and_shows_all(page, tmp_path):
    page.open(rendered(DEMO, tmp_path), 794, 1123, media="print", prefers_color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 794


def test_what_a_child_printed_does_nothing(page, tmp_path):
    events = [
        STARTED,
        metrics(5.0),
        entry(ATTACK, "error"),
        GitActivity("commit", ATTACK, ATTACK),
        TokenUsage(ATTACK, 1, 2, 3),
    ]
    log = tmp_path / "log"
    lines = [line(n, payload, float(n), ATTACK) for n, payload in enumerate([*events, STOPPED], 1)]
    log.write_bytes(b"".join(lines))
    page.open(rendered(log, tmp_path))
    assert page.evaluate("document.title").startswith("</script>")
    assert page.evaluate("document.scripts.length") == 2
    assert page.evaluate("document.images.length") == 0
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert page.evaluate("document.querySelector('td pre').textContent") == ATTACK
