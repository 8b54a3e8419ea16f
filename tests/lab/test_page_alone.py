"""The web page in a real browser, beside no mesh: it is told what is all markup, or of a thousand softwires."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from lab.browser import Visit, chromium, visit
from lab.eventually import PATIENCE
from softmesh.control.event_stream import EventStream
from softmesh.web.server import WebServer
from softmesh.web.sources import Sources

PORT = 8181
URL = f"http://127.0.0.1:{PORT}/"
MARKUP = "</script><img src=x onerror=alert(1)><b>bold</b>\u202edrow\u0007"
SHOWN = MARKUP.replace("\u202e", r"\u{202e}").replace("\u0007", r"\u{7}")

expect.set_options(timeout=20_000 * PATIENCE)


class Told:
    """What the page is told."""

    def __init__(self, mesh: Mapping[str, Any], status: Mapping[str, Any] | None) -> None:
        self._mesh = mesh
        self._status = status
        self.events = EventStream()

    async def mesh(self) -> Mapping[str, Any]:
        return self._mesh

    async def status(self) -> Mapping[str, Any]:
        assert self._status is not None
        return self._status

    async def explain(self, target: str) -> Mapping[str, Any]:
        step = {"step": MARKUP, "text": MARKUP, "rule": MARKUP, "state": MARKUP}
        return {"target": target, "routes": [{"prefix": MARKUP, "neighbor": MARKUP, "result": MARKUP, "steps": [step]}]}

    async def awaited(self) -> tuple[str, ...]:
        return ()

    def sources(self) -> Sources:
        bridge = self._status is not None
        return Sources(
            mesh=self.mesh, alive=lambda: True, awaited=self.awaited, events=self.events,
            status=self.status if bridge else None, explain=self.explain if bridge else None,
        )  # fmt: skip


@contextmanager
def told(what: Told) -> Iterator[None]:
    """Serve it from a thread."""
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    listening = threading.Event()

    async def serve() -> None:
        async with await WebServer(what.sources()).serve((ip_address("127.0.0.1"),), PORT):
            listening.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert listening.wait(10 * PATIENCE), "the server listens"
        yield
    finally:
        loop.call_soon_threadsafe(what.events.end)
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@contextmanager
def page_of(browser: Browser, what: Told, **options: Any) -> Iterator[Page]:
    with told(what), browser.new_context(**options) as context:
        made: Visit = visit(context, URL)
        made.page.on("dialog", lambda dialog: made.complaints.append(dialog.message))
        expect(made.page.locator("#live")).to_have_text("live")
        yield made.page
        assert made.complaints == []
        assert {url for url in made.requested if not url.startswith(URL)} == set()


def softwire(end: str, state: str, *, vantage: str = "2001:db8::1", **others: Any) -> dict[str, Any]:
    return {
        "id": f"{end}/ipsec-tunnel-mode", "ends": [vantage, end], "type": "IPsec in Tunnel-mode", "color": None,
        "state": state, "reason": "" if state == "up" else "no answer", "measured": True, "for": 61.0, "stale": False,
        "bytes_in": 2048, "bytes_out": 0, "rule": None, **others,
    }  # fmt: skip


def afbr(endpoint: str, **others: Any) -> dict[str, Any]:
    return {
        "endpoint": endpoint, "self": endpoint == "2001:db8::1", "prefixes": ["10.0.0.0/24"], "tunnels": [],
        "neighbors": [], "problems": [], **others,
    }  # fmt: skip


def document(
    afbrs: list[dict[str, Any]], softwires: list[dict[str, Any]], vantage: str | None = "2001:db8::1"
) -> dict[str, Any]:
    at = "2026-11-21T12:00:00+00:00"
    return {"vantage": vantage, "at": at, "neighbors": [], "afbrs": afbrs, "softwires": softwires}


def status(rows: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
    return {
        "endpoint": "2001:db8::1", "authenticator": "ab" * 20, "announcing": [], "withdrawn": False,
        "hook": {"connected": True}, "charon": {"connected": True, "reason": ""}, "neighbors": [], "problems": [],
        "removal_awaits": [], "softwires": rows, "data_plane": {"tunnels": "", "guards": "", "dropped": {}}, **others,
    }  # fmt: skip


def hostile() -> Told:
    end = f"2001:db8::2{MARKUP}"
    tunnel = {"type": MARKUP, "color": MARKUP, "authenticators": [MARKUP], "usable": False, "reason": MARKUP}
    child = dict.fromkeys(("name", "local_ts", "remote_ts", "mode", "cipher", "spi_in", "spi_out"), MARKUP)
    row = {
        "id": MARKUP, "level": MARKUP, "mode": MARKUP, "trust": [MARKUP], "key_from": [MARKUP], "attempts": MARKUP,
        "interface": {"name": MARKUP, "kind": MARKUP, "mtu": MARKUP}, "wanted_children": 1, "kept_for": None,
        "children": [child | {"bytes_in": 1, "bytes_out": 1, "for": 1}], "rule": MARKUP,
        "routes": [{"prefix": MARKUP, "neighbor": MARKUP}],
    }  # fmt: skip
    mesh = document(
        [afbr("2001:db8::1"), afbr(end, prefixes=[MARKUP], tunnels=[tunnel], neighbors=[MARKUP], problems=[MARKUP])],
        [softwire(end, MARKUP, id=MARKUP, type=MARKUP, color=MARKUP, reason=MARKUP, rule=MARKUP)],
    )
    neighbor = {
        "address": MARKUP, "state": MARKUP, "for": 1, "reason": MARKUP, "carriage": {"reason": MARKUP},
        "protection": {"kind": MARKUP, "satisfied": False, "reason": MARKUP, "gtsm": False},
    }  # fmt: skip
    plane = {"tunnels": MARKUP, "guards": MARKUP, "dropped": {MARKUP: 1}}
    what = Told(
        mesh,
        status(
            [row],
            announcing=[MARKUP],
            problems=[MARKUP],
            neighbors=[neighbor],
            removal_awaits=[MARKUP],
            data_plane=plane,
        ),
    )
    what.events.publish(
        {"event": MARKUP, "level": MARKUP, "timestamp": MARKUP, MARKUP: MARKUP, "softwire": MARKUP, "state": MARKUP}
    )
    what.events.publish({"event": MARKUP, "level": "info", "timestamp": "2026-11-21T12:00:00Z", "list": [MARKUP]})
    return what


def test_markup_in_every_field_is_text(browser: Browser) -> None:
    with page_of(browser, hostile()) as page:
        for part in (
            "#detail",
            "#problems",
            "#softwires-table",
            "#neighbors-list",
            "#events-list",
            "#summary",
            "#drawing",
        ):
            expect(page.locator(part)).to_contain_text(SHOWN)
        page.locator("#softwires tbody .link").first.click()
        expect(page.locator("#detail .chain li")).to_contain_text(SHOWN)
        page.locator("#drawing .afbr").last.press("Enter")
        expect(page.locator("#detail .hash")).to_have_text(SHOWN)
        assert page.locator("main :is(img, b b, script)").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    with page_of(browser, hostile(), viewport={"width": 360, "height": 700}) as page:
        expect(page.locator("#detail")).to_contain_text(SHOWN)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def thousand() -> Told:
    others = [f"2001:db8::{number:x}" for number in range(2, 1002)]
    states = {others[7]: "connecting", others[8]: "pending-key", others[9]: "refused"}
    wires = [softwire(end, states.get(end, "up")) for end in others]
    rows = [{"id": wire["id"], "routes": [{"prefix": f"10.{n >> 8}.{n & 255}.0/24", "neighbor": "::1"}], "children": []}
            for n, wire in enumerate(wires)]  # fmt: skip
    return Told(document([afbr("2001:db8::1"), *map(afbr, others)], wires), status(rows))


def test_a_thousand_softwires(browser: Browser) -> None:
    """What is up is left out of the picture, which says so; everything can be found all the same."""
    with page_of(browser, thousand()) as page:
        expect(page.locator("#progress")).to_have_text("997 of 999 softwires up, 1 refused")
        expect(page.locator("#drawing .afbr")).to_have_count(4)
        expect(page.locator("#drawing .wire")).to_have_count(3)
        expect(page.locator("#drawing-note")).to_contain_text("nothing is wrong with them: 997 softwires, 997 routers.")
        expect(page.locator("#softwires .col-peer")).to_have_count(200)
        expect(page.locator("#softwires .col-peer").first).to_have_text("2001:db8::b")
        expect(page.locator("#softwires-table")).to_contain_text("200 of 1000 softwires are listed")
        page.get_by_label("Find").fill("10.3.0.0")
        expect(page.locator("#softwires .col-peer")).to_have_count(1)
        page.locator("#softwires .link").first.click()
        expect(page.locator("#detail h2")).to_have_text("2001:db8::1 – 2001:db8::302")
        expect(page.locator("#detail .chain")).to_have_count(1)
        page.get_by_label("Find").fill("")
        page.locator("#legend button", has_text="connecting").click()
        expect(page.locator("#softwires .col-peer")).to_have_count(1)
        page.locator("#legend button", has_text="connecting").click()
        page.get_by_role("button", name="List all").click()
        expect(page.locator("#softwires .col-peer")).to_have_count(1000)


def test_beside_a_reflector(browser: Browser) -> None:
    """No bridge, no vantage: pairs alone, and those that are impossible stand out."""
    ends = [f"192.0.2.{number}" for number in range(1, 9)]
    pairs = [(one, two) for one in ends for two in ends if one < two]
    wires = [
        softwire(
            two,
            "impossible" if "192.0.2.3" in (one, two) else "possible",
            vantage=one,
            id=f"{one}/{two}",
            measured=False,
        )
        for one, two in pairs
    ]
    with page_of(browser, Told(document([afbr(end) for end in ends], wires, None), None)) as page:
        expect(page.locator("#progress")).to_have_text("21 of 28 pairs of routers could build a softwire")
        expect(page.locator("#drawing .wire.s-impossible")).to_have_count(7)
        page.locator("#softwires .link").first.click()
        expect(page.locator("#detail")).to_contain_text("judged by announcements alone")
        expect(page.locator("#detail .reasons")).to_have_count(0)


def test_no_router_at_all(browser: Browser) -> None:
    with page_of(browser, Told(document([], [], None), None)) as page:
        expect(page.locator("#drawing")).to_contain_text("No router has been heard of yet")
        expect(page.locator("#softwires-table")).to_contain_text("There is no softwire yet")
