"""The dashboard in a real browser, before a real server and real runs."""

import http.server
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from dashboard import Child, Seen, Server, accessible, needed
from wrapper import WAIT_S, until

from agentmon.events import TokenUsage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from report_logs import STARTED, STOPPED, entry, metrics, written
from run_logs import Log

pytestmark = needed()
pytest_plugins = ["dashboard_fixtures"]
expect = pytest.importorskip("playwright.sync_api").expect

ATTACK = (
    '</script><script>window.taken=1</script><img src=x onerror="window.taken=1">'
    "<svg onload=alert(1)></svg><style>body{display:none}</style><a href=javascript:alert(1)>x</a>"
)
BIDI = "safe \u202egnp.exe\u202c \u2066x\u2069 \u200bz"
RUNS = "fetch(new URL('api/v1/runs', document.baseURI)).then((answer) => answer.json()).then((told) => told.runs)"
ANSI = "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x07\x00end"


def card(page: Any, name: str) -> Any:
    """The card of an agent."""
    return page.locator("agent-telemetry-card").filter(has=page.get_by_role("link", name=name, exact=True))


def tile(page: Any, name: str) -> Any:
    """The value of a figure above the rest."""
    return page.locator(".tiles > div").filter(has=page.locator(f"dt:text-is('{name}')")).locator("dd")


def test_a_run_appears_works_commits_and_stops(server, run, opened):
    page = opened(server.base)
    expect(page.get_by_text("No agent is running")).to_be_visible()
    child = run("crew.py")
    own = card(page, "crew.py")
    expect(own.locator(".badge")).to_have_text("running")
    expect(page).to_have_title("1 live · agentmon")
    memory = own.locator(".memory dd").first
    until(lambda: "MiB" in memory.inner_text(), "a sample")
    child.do("held = bytearray(200 << 20)")
    until(lambda: int(memory.inner_text().split()[0].split(".")[0]) >= 200, "the memory to move")
    child.say("Token usage: 1250 input, 210 output", "[WARNING] the second line")
    expect(own.locator(".input dd")).to_have_text("1.3k")
    expect(own.locator(".output dd")).to_have_text("210")
    expect(own.locator(".recent .warning")).to_contain_text("the second line")
    child.commit("Add the login")
    expect(own.locator(".recent .git")).to_contain_text("commit main")
    expect(own.locator(".recent .git")).to_contain_text("Add the login")
    expect(tile(page, "live agents")).to_have_text("1 of 1")
    child.finish(3)
    expect(own.locator(".badge")).to_have_text("error 3")
    expect(own.locator(".cpu dd").first).to_have_text("–")
    expect(page).to_have_title("agentmon")


def test_filters_and_teams(server, run, opened):
    for agent, team in (("planner", "web"), ("tester", "web"), ("writer", "docs")):
        run(agent, team=team)
    ended = run("ended", team="docs")
    ended.finish()
    page = opened(server.base)
    cards = page.locator("agent-telemetry-card")
    expect(cards).to_have_count(4)
    expect(card(page, "ended").locator(".badge")).to_have_text("stopped")
    expect(cards.last.locator("h2")).to_have_text("ended")
    page.get_by_role("button", name="docs").click()
    expect(cards).to_have_count(2)
    expect(page.get_by_role("button", name="docs")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Status").select_option("running")
    expect(cards).to_have_count(1)
    page.reload()
    expect(cards).to_have_count(1)
    page.get_by_label("Filter by text").fill("no such thing")
    expect(cards).to_have_count(0)
    page.get_by_role("button", name="Show all").click()
    expect(cards).to_have_count(4)
    page.get_by_label("Filter by text").fill("plan")
    expect(cards).to_have_count(1)


def test_one_agent(server, run, opened):
    child = run("crew.py", "--label", "ticket=42")
    child.say("Token usage: 1250 input, 210 output", "first line", "[ERROR] it broke")
    child.commit("Add the login")
    page = opened(server.base)
    page.get_by_role("link", name="crew.py", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("crew.py")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.locator(".about")).to_contain_text("ticket=42")
    expect(tile(page, "tokens in")).to_have_text("1,250")
    expect(page.locator(".git li").filter(has_text="Add the login")).to_contain_text("commit")
    rows = page.locator(".rows li")
    expect(rows.filter(has_text="first line")).to_have_count(1)
    expect(rows.filter(has_text="it broke").locator(".level")).to_have_text("error")
    child.say("said while it is looked at")
    expect(rows.filter(has_text="said while")).to_have_count(1)
    page.get_by_label("Level").select_option("error")
    expect(rows).to_have_count(1)
    page.get_by_label("Level").select_option("")
    page.get_by_label("Search the log").fill("WHILE")
    expect(rows).to_have_count(1)
    child.say("not wanted", "meanwhile another")
    expect(rows).to_have_count(2)
    page.reload()
    expect(rows.filter(has_text="meanwhile another")).to_have_count(1)
    child.finish()
    expect(page.locator("h1 .badge")).to_have_text("○ stopped")


def test_what_comes_too_fast_can_be_loaded(server, run, opened):
    child = run("crew.py")
    child.say("the first line")
    page = opened(server.base)
    page.get_by_role("link", name="crew.py", exact=True).click()
    rows = page.locator(".rows li:not(.gap)")
    expect(rows).to_have_count(1)
    child.do("for n in range(600): print(f'line {n:03}')")
    child.say("the last line")
    expect(page.locator(".rows .gap").first).to_contain_text("came too fast")
    expect(rows.last).to_contain_text("the last line")
    page.get_by_role("button", name="Load them").first.click()
    expect(rows.filter(has_text="line 599")).to_have_count(1)
    expect(rows.filter(has_text="line 500")).to_have_count(1)
    page.get_by_role("button", name="Older entries").click()
    expect(rows.filter(has_text="line 300")).to_have_count(1)
    page.get_by_role("button", name="Older entries").click()
    page.get_by_role("button", name="Older entries").click()
    expect(rows).to_have_count(602)
    texts = [text for text in page.locator(".rows .message").all_inner_texts() if text.startswith("line ")]
    assert texts == [f"line {n:03}" for n in range(600)]


def test_alerts_stand_above_all(server, run, opened):
    child = run("spender", "--budget-tokens", "1000", "--on-budget", "warn")
    page = opened(server.base)
    expect(card(page, "spender").locator(".badge")).to_have_text("running")
    expect(page.get_by_role("region", name="Alerts of live agents")).to_be_hidden()
    child.say("Token usage: 1250 input, 210 output")
    banner = page.get_by_role("region", name="Alerts of live agents")
    expect(banner).to_contain_text("1 alert")
    expect(page.locator("#told")).to_contain_text("Alert: spender")
    expect(card(page, "spender").locator(".recent .alert")).to_be_visible()
    banner.get_by_role("link", name="spender").click()
    expect(page.get_by_role("table").filter(has_text="severity")).to_contain_text("1,460")
    page.get_by_role("button", name="Dismiss").click()
    expect(banner).to_be_hidden()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("spender")
    expect(banner).to_be_hidden()


def test_agents_of_one_run_count_once(started, tmp_path, opened):
    log = tmp_path / "log.ndjson"
    usage = TokenUsage("claude-sonnet-4-5", 1000, 100, 1100, 0.25, source="sdk", call_id="c1")
    other = TokenUsage("claude-haiku-4-5", 500, 50, 550, 0.05, source="sdk", call_id="c2", cost_source="prices")
    events = [STARTED, metrics(40.0), (1.0, "crew", usage), (2.0, "developer", other), (3.0, "developer", entry("hi"))]
    written(log, [*events, metrics(20.0), STOPPED])
    server = started(Server, tmp_path, str(log))
    page = opened(server.base)
    expect(page.locator("agent-telemetry-card")).to_have_count(2)
    expect(tile(page, "tokens in")).to_have_text("1.5k")
    expect(tile(page, "cost")).to_have_text("$0.3000")
    expect(card(page, "developer").locator(".input dd")).to_have_text("500")
    page.get_by_role("link", name="developer", exact=True).click()
    expect(tile(page, "tokens in")).to_have_text("500")
    expect(page.get_by_role("table").filter(has_text="claude-haiku-4-5")).to_contain_text("sdk, cost by price list")
    page.get_by_role("region", name="Other agents of this run").get_by_role("link", name="crew").click()
    expect(page.locator(".rows .who")).to_have_text("developer")
    expect(tile(page, "tokens in")).to_have_text("1,500")


def test_an_address_that_leads_nowhere(server, opened):
    page = opened(server.base + "#/run/none/nobody", noisy=True)
    expect(page.get_by_text("There is no such agent")).to_be_visible()
    page.get_by_role("link", name="All agents").click()
    expect(page.get_by_text("No agent is running")).to_be_visible()
    page.goto(server.base + "#/%E0%A4%A")
    expect(page.get_by_text("No agent is running")).to_be_visible()


def test_charts_by_keyboard_and_mouse(server, run, opened):
    child = run("crew.py")
    page = opened(server.base)
    child.commit("Add the login")
    page.get_by_role("link", name="crew.py", exact=True).click()
    cpu, tokens = page.get_by_role("slider", name="CPU over time"), page.get_by_role("slider", name="Tokens over time")
    until(lambda: int(cpu.get_attribute("aria-valuemax") or 0) >= 8, "some samples")
    child.say("Token usage: 1250 input, 210 output")
    child.finish()
    expect(page.locator("h1 .badge")).to_have_text("○ stopped")
    expect(page.locator("path.curve.input")).to_have_count(1)
    cpu.focus()

    def at_the_end() -> bool:
        page.keyboard.press("End")  # which is another place once the whole log was read
        return "1,250 in, 210 out" in (tokens.get_attribute("aria-valuetext") or "")

    until(at_the_end, "the sums at the end")
    last = int(cpu.get_attribute("aria-valuenow"))
    page.keyboard.press("ArrowLeft")
    assert int(cpu.get_attribute("aria-valuenow")) < last
    expect(page.locator("figcaption output").first).to_contain_text("%")
    everything = page.get_by_role("button", name="Show all of it")
    expect(everything).to_be_disabled()
    page.keyboard.press("+")
    expect(everything).to_be_enabled()
    page.keyboard.press("0")
    expect(everything).to_be_disabled()
    box = cpu.bounding_box()
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 20, steps=4)
    page.mouse.up()
    expect(everything).to_be_enabled()
    everything.click()
    expect(everything).to_be_disabled()
    chosen = page.locator(".git li:focus").filter(has_text="Add the login")
    # what was asked for at the run's end may still come, and draw the list anew
    until(lambda: page.get_by_role("button", name="git: ").first.click() or chosen.count(), "the act that was chosen")
    page.get_by_text("These figures as a table").click()
    expect(page.get_by_role("table").filter(has_text="tokens in").last).to_contain_text("1,250")


@pytest.mark.parametrize("name", [".", "..", "a/b?c#d", "%2e%2e", "<b>"])
def test_an_agent_of_any_name_has_a_page(server, opened, tmp_path, name):
    """Also once its run is past, and told over REST."""
    runs = server.wrapper.state / "agentmon" / "runs"
    log = Log(tmp_path / "named.ndjson", "named-1", agent=name)
    log.started()
    log.said("said by it")
    log.ended()
    log.release()
    os.utime(log.path, (log.now, 1_700_000_000))
    runs.mkdir(parents=True, exist_ok=True)
    log.path.rename(runs / "named-1.ndjson")
    page = opened(f"{server.base}#/run/named-1/{quote(name, safe='')}")
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    expect(page.get_by_text("said by it")).to_be_visible()


def test_history(server, run, opened):
    for agent, team, code in (("planner", "web", 0), ("writer", "docs", 1)):
        child = run(agent, team=team)
        child.say("Token usage: 1000 input, 500 output")
        child.finish(code)
    page = opened(server.base + "#/history?measure=total_tokens")
    rows = page.locator("table.runs tbody tr")
    expect(rows).to_have_count(2)
    expect(tile(page, "runs")).to_have_text("2")
    expect(tile(page, "failed")).to_have_text("1")
    expect(tile(page, "tokens in")).to_have_text("2.0k")
    expect(page.get_by_role("heading", name="Tokens per day")).to_be_visible()
    days = {time.strftime("%F", time.localtime(row["started"])) for row in page.evaluate(RUNS)}
    expect(page.locator(".columns li:not(.none)")).to_have_count(len(days))
    page.get_by_role("button", name="docs").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("searchbox", name="Team")).to_have_value("docs")
    expect(rows.locator(".badge")).to_have_text("✗ error 1")
    page.reload()
    expect(rows).to_have_count(1)
    rows.get_by_role("link", name="writer").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("writer")
    expect(tile(page, "tokens in")).to_have_text("1,000")


def test_what_a_child_printed_does_nothing(server, run, opened):
    child = run(f"agent {ATTACK}", "--label", f"x={ATTACK}", team=f"team {ATTACK}")
    child.say(ATTACK, BIDI, ANSI, "x" * 300_000, f"[ERROR] {ATTACK}", f"Model: {ATTACK}", "é" * 70_000)
    child.commit(ATTACK)
    child.say("the last line")
    page = opened(server.base)
    inert = "() => ['taken' in window, document.images.length, document.scripts.length,"
    inert += " getComputedStyle(document.body).display, document.querySelectorAll('style, iframe, object').length]"
    own = page.locator("agent-telemetry-card")
    expect(own.locator(".recent")).to_contain_text("the last line")
    expect(own.locator("h2")).to_contain_text("<script>")
    assert page.evaluate(inert) == [False, 0, 1, "block", 0]
    assert own.locator("img, script, svg[onload], style").count() == 0
    own.get_by_role("link").click()
    rows = page.locator(".rows li .message")
    expect(rows.filter(has_text="the last line")).to_have_count(1)
    expect(page.locator(".git li p").first).to_contain_text("<script>")
    text = page.locator(".rows").inner_text()
    assert "⟨U+202E⟩gnp.exe" in text
    assert not set(text) & {*map(chr, range(9)), "\x1b", "\u202e", "\u2066", "\u200b"}
    assert page.evaluate(inert) == [False, 0, 1, "block", 0]
    assert page.locator("a[href^='javascript:']").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_server_that_starts_again_is_found_again(server, run, opened):
    child = run("crew.py")
    page = opened(server.base, 360, noisy=True)
    expect(card(page, "crew.py").locator(".badge")).to_have_text("running")
    expect(page.locator("#link")).to_have_text("live")
    server.stop()
    expect(page.locator("#link")).to_have_text("reconnecting…")
    expect(page.locator("#told")).to_contain_text("reconnecting")
    box = page.locator("#link").bounding_box()
    assert box["x"] + box["width"] <= 360
    child.finish()
    server.start()
    expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#told")).to_have_text("Connected again.")
    expect(card(page, "crew.py").locator(".badge")).to_have_text("stopped")
    expect(page.locator("agent-telemetry-card")).to_have_count(1)
    run("second")
    expect(card(page, "second").locator(".badge")).to_have_text("running")


def test_weight_and_no_inline_anything(server, opened):
    page = opened(server.base)
    expect(page.get_by_text("No agent is running")).to_be_visible()
    sizes = page.evaluate(
        "[...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
        ".map((one) => one.decodedBodySize)"
    )
    assert len(sizes) > 10
    assert sum(sizes) < 150_000
    kinds = page.evaluate("[...document.querySelectorAll('style, script:not([src]), [style]')].length")
    assert kinds == 0


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_views_fit_and_can_be_reached(server, run, opened, width, scheme):
    child = run("crew-with-a-rather-long-name-that-has-no-blank-anywhere.py")
    child.say("Token usage: 1250 input, 210 output", "[WARNING] careful", "word " * 200)
    child.commit("Add the login")
    run("second", team="docs")
    page = opened(server.base, width, color_scheme=scheme, reduced_motion="reduce")
    expect(card(page, "second").locator(".badge")).to_have_text("running")
    name = page.locator("agent-telemetry-card a", has_text="crew-with")
    expect(name).to_be_visible()
    assert page.evaluate(accessible()) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    name.click()
    expect(page.locator(".rows li").filter(has_text="careful")).to_have_count(1)
    expect(page.locator(".git li")).to_have_count(1)
    expect(page.get_by_role("slider")).to_have_count(4)
    assert page.evaluate(accessible()) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("link", name="History").click()
    expect(page.locator("table.runs tbody tr")).to_have_count(2)
    assert page.evaluate(accessible()) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == ("rgb(243, 245, 247)" if scheme == "light" else "rgb(20, 23, 26)")


def test_below_a_prefix(started, tmp_path, opened):
    server = started(Server, tmp_path, "--root-path", "/mon")
    child = started(Child, server.wrapper, tmp_path / "work", "--agent", "crew.py")
    page = opened(f"http://127.0.0.1:{server.port}/mon/")
    page.get_by_role("link", name="crew.py", exact=True).click()
    child.say("hello")
    expect(page.locator(".rows li").filter(has_text="hello")).to_have_count(1)


def test_a_token_is_asked_for(started, tmp_path, opened):
    server = started(Server, tmp_path, "--token", "secret-one")
    started(Child, server.wrapper, tmp_path / "work", "--agent", "crew.py")
    page = opened(f"http://127.0.0.1:{server.port}/?token=secret-one")
    expect(card(page, "crew.py").locator(".badge")).to_have_text("running")
    assert "secret" not in page.url


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    """A page of another origin with two cards."""

    server_port = 0

    def do_GET(self) -> None:
        base = f"127.0.0.1:{self.server_port}"
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(
            f'<!DOCTYPE html><title>Elsewhere</title><link rel="icon" href="data:,">'
            f'<script type="module" src="http://{base}/static/card.js"></script>'
            f'<agent-telemetry-card id="one" src="ws://{base}/ws/teams/web" agent="crew.py"></agent-telemetry-card>\n'
            f'<agent-telemetry-card id="two" src="ws://{base}/ws/teams/web" agent="x"></agent-telemetry-card>'.encode()
        )

    def log_message(self, *words: object) -> None:
        """Nothing."""


def test_the_card_on_a_page_elsewhere(started, tmp_path, browser):
    page_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    threading.Thread(target=page_server.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{page_server.server_port}"
    try:
        server = started(Server, tmp_path, "--allow-origin", origin)
        _Elsewhere.server_port = server.port
        child = started(Child, server.wrapper, tmp_path / "work", "--agent", "crew.py", "--team", "web")
        page = browser.new_page()
        page.set_default_timeout(WAIT_S * 1000)
        seen = Seen(page)
        page.goto(origin)
        one, two = page.locator("#one"), page.locator("#two")
        expect(one.locator(".badge")).to_have_text("running")
        expect(two.locator(".note")).to_have_text("Nothing seen of it yet.")
        assert one.get_by_role("link").get_attribute("href").startswith(f"http://127.0.0.1:{server.port}/#/run/")
        assert len([address for address in seen.asked if address.startswith("ws:")]) == 1
        page.evaluate("document.getElementById('two').setAttribute('agent', 'crew.py')")
        expect(two.locator(".badge")).to_have_text("running")
        child.finish(1)
        expect(one.locator(".badge")).to_have_text("error 1")
        assert seen.logged == []
        page.close()
    finally:
        page_server.shutdown()
        page_server.server_close()


WORDS = [
    ("visible", "plain text", "plain text"),
    ("visible", "a\tb\nc", "a\tb\nc"),
    ("visible", "one\r\ntwo", "one\ntwo"),
    ("visible", "\x1b[31m\x07\x00\x7f", "^[[31m^G^@^?"),
    ("visible", "\u202eabc\u2069", "⟨U+202E⟩abc⟨U+2069⟩"),
    ("visible", "\x9b\u200b\ufeff\U000e0041", "⟨U+009B⟩⟨U+200B⟩⟨U+FEFF⟩⟨U+E0041⟩"),
    ("visible", "👩‍💻 ❤️ עברית", "👩‍💻 ❤️ עברית"),
    ("visible", None, ""),
    ("oneLine", " a\n b\tc ", "a b c"),
    ("short", None, "–"), ("short", 0, "0"), ("short", 999, "999"), ("short", 999.6, "1.0k"), ("short", 1250, "1.3k"),
    ("short", 99_950, "100k"), ("short", 12_345_678, "12.3M"), ("short", 5e12, "5000G"),
    ("money", None, "–"), ("money", 0, "$0.00"), ("money", 0.00123, "$0.0012"), ("money", 1234.5, "$1,234.50"),
    ("mebibytes", None, "–"), ("mebibytes", 0.25, "0.3 MiB"), ("mebibytes", 512, "512 MiB"),
    ("mebibytes", 2048, "2.0 GiB"),
    ("percent", 34.4, "34 %"), ("lasted", 59.9, "59s"), ("lasted", 3725, "1h02m"), ("lasted", 90_000, "1d01h"),
    ("lasted", None, "–"), ("clock", "no time", "–"), ("clock", 1e20, "–"),
]  # fmt: skip


def test_words(server, opened):
    page = opened(server.base)
    told = page.evaluate(
        "async (cases) => { const words = await import(new URL('static/words.js', document.baseURI));"
        " return cases.map(([name, given]) => words[name](given)); }",
        [[name, given] for name, given, _ in WORDS],
    )
    assert told == [wanted for _, _, wanted in WORDS]
