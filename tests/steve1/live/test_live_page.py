"""The live page in a real browser, over a session that plays without models."""

import asyncio
import threading
from contextlib import contextmanager

import pytest
from live import PATIENCE, Live
from live_page import TOKEN
from test_run_interactive import BROWSER, BROWSER_FLAGS, SOON

from steve1.live.access import Access, listen, url
from steve1.live.server import serve
from steve1.mineclip.tokenizer import misread

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here; .ci/run installs one")
OTHER_TOKEN = "another-session-of-the-tests"


@contextmanager
def served(live, port=0, token=TOKEN):
    """The session behind a real socket, in a thread of its own; the link to its page."""
    listener, up = listen("127.0.0.1", port), threading.Event()
    link = url(listener, token)
    access = Access("127.0.0.1", token)
    thread = threading.Thread(target=lambda: asyncio.run(serve(live.session, listener, access, up.set)))
    thread.start()
    try:
        assert up.wait(PATIENCE)
        yield link
    finally:
        live.session.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=SOON)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser):
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        context.set_default_timeout(SOON)
        yield context


def open_page(context, link):
    from playwright.sync_api import expect

    page = context.new_page()
    page.goto(link)
    expect(page.locator("#phase")).to_have_text("playing")
    return page


def test_a_server_that_is_gone_costs_nothing_that_was_typed(tmp_path, monkeypatch, context):
    from playwright.sync_api import expect

    with served(Live(tmp_path / "one", monkeypatch)) as link:
        page = open_page(context, link)
        page.locator("#text").fill("dig a deep hole")
    port = int(link.split(":")[2].split("/")[0])
    expect(page.locator("#veil")).to_contain_text("The session has ended. What you typed is kept")
    page.locator("#text").press("Enter")
    expect(page.locator("#problem")).to_contain_text("Not connected")
    expect(page.locator("#text")).to_have_value("dig a deep hole")

    # One with a token of its own does not let the page in; one with the same does, and what was typed can be sent.
    with served(Live(tmp_path / "two", monkeypatch), port, OTHER_TOKEN):
        expect(page.locator("#veil")).to_contain_text("Another session is here now")
        expect(page.locator("#text")).to_have_value("dig a deep hole")
    live = Live(tmp_path / "three", monkeypatch)
    with served(live, port):
        expect(page.locator("#phase")).to_have_text("playing")
        page.locator("#text").press("Enter")
        expect(page.locator("#now")).to_have_text("Now: dig a deep hole")
        expect(page.locator("#text")).to_have_value("")
    assert [asked.text for asked in live.session.history] == ["dig a deep hole"]


def test_a_server_that_was_killed_gives_back_what_it_never_answered(tmp_path, monkeypatch, context):
    from playwright.sync_api import expect

    live = Live(tmp_path, monkeypatch)
    with served(live) as link:
        page = context.new_page()

        def cut(ws):
            # What a killed server does: it takes a prompt, and is gone without a word.
            server = ws.connect_to_server()
            ws.on_message(lambda said: ws.close(code=3000) if "prompt" in said else server.send(said))

        page.route_web_socket(lambda address: "/live" in address, cut)
        page.goto(link)
        expect(page.locator("#phase")).to_have_text("playing")
        page.locator("#text").fill("climb")
        page.locator("#text").press("Enter")
        expect(page.locator("#text")).to_have_value("climb")
        expect(page.locator("#phase")).to_have_text("playing")
    assert not live.session.history


def test_what_is_refused_shows_the_value_in_force(tmp_path, monkeypatch, context):
    from playwright.sync_api import expect

    live = Live(tmp_path, monkeypatch)
    with served(live) as link:
        page = open_page(context, link)
        for field, value, said, stays in (
            ("#scale", "1000", "from 0 (off) to 100; it stays 6", "6"),
            ("#scale", "-1", "from 0 (off) to 100; it stays 6", "6"),
            ("#seed", "-5", "from 0 to 2147483647; it stays 3", "3"),
            ("#seed", "1.5", "it stays 3", "3"),
            ("#text", "x" * 501, "at most 500 characters; it stays “no goal”", "x" * 501),
        ):
            page.locator(field).fill(value)
            page.locator(field).press("Enter")
            expect(page.locator("#problem")).to_contain_text(said)
            expect(page.locator(field)).to_have_value(stays)
        expect(page.locator("#scale_slider")).to_have_value("6")
    assert live.agent.scales == [6.0]


def test_two_tabs_show_the_same(tmp_path, monkeypatch, context):
    from playwright.sync_api import expect

    with served(Live(tmp_path, monkeypatch)) as link:
        one, two = open_page(context, link), open_page(context, link)
        two.locator("#seed").focus()
        one.locator("#scale").fill("2.5")
        one.locator("#scale").press("Enter")
        one.locator("#seed").fill("44")
        one.locator("#seed").press("Enter")
        one.locator("#text").fill("go")
        one.locator("#text").press("Enter")
        two.get_by_role("button", name="Pause").click()
        for page in (one, two):
            expect(page.locator("#phase")).to_have_text("paused")
            expect(page.locator("#now")).to_have_text("Now: go")
            expect(page.locator("#scale")).to_have_value("2.5")
            expect(page.locator("#scale_slider")).to_have_value("2.5")
            expect(page.locator("#seed")).to_have_value("44")
            expect(page.locator("#prompts li")).to_have_count(1)
            expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_a_link_without_its_token_opens_nothing(tmp_path, monkeypatch, context):
    with served(Live(tmp_path, monkeypatch)) as link:
        page = context.new_page()
        for wrong in (link.partition("?")[0], f"{link[:-1]}"):
            answer = page.goto(wrong)
            assert answer.status == 403
            assert page.locator("body").inner_text().startswith("this link has no token of this session")


def test_a_prompt_that_is_cut_says_so_and_nothing_leaves_a_phone_s_width(tmp_path, monkeypatch, context):
    from playwright.sync_api import expect

    live = Live(tmp_path, monkeypatch)
    live.session.remarks_of.append(lambda text, goal: misread(text))
    with served(live) as link:
        page = open_page(context, link)
        page.set_viewport_size({"width": 390, "height": 844})
        page.locator("#text").fill("dig " * 80)
        page.locator("#text").press("Enter")
        for place in ("#remarks", "#prompts"):
            expect(page.locator(place)).to_contain_text("has 80 tokens, of which MineCLIP reads 75")
        page.locator("#text").fill("x" * 400)
        page.locator("#text").press("Enter")
        expect(page.locator("#now")).to_contain_text("xxx")
        page.get_by_role("button", name="Save film").click()
        expect(page.locator("#films a").first).to_be_visible()
        for width in (390, 360):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        # What is needed first is there without scrolling.
        for place in ("#screen", "#text", "#pause"):
            assert page.locator(place).bounding_box()["y"] < 844
