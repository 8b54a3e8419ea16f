"""The web page in a real browser, beside a real mesh.

rr ─── core ──┬── afbr1 ── softmesh run, its page on the loopback, and Chromium
              ├── afbr2
              └── afbr3
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, BrowserContext, Page, expect

from lab.authority import Authority
from lab.browser import Visit, chromium, visit
from lab.eventually import PATIENCE, eventually
from lab.flooder import Flooder
from lab.mesh import SOFTMESH, Direction, Mesh, meshed
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, Certificate, EgressEndpoint
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.mesh.admission import address
from softmesh.mesh.public_key import authenticator

PORT = 8180
URL = f"http://127.0.0.1:{PORT}/"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
LOST = re.compile("^Failed to load resource: net::ERR_")
"""What Chromium says itself of a server that has gone."""
MARKUP = "<img src=x onerror=alert(1)>"
IN_A_NAME = MARKUP.replace("<", r"\<").replace(">", r"\>")
"""As RFC 4514 §2.4 writes it."""

expect.set_options(timeout=20_000 * PATIENCE)


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Mode ``pinned+pki``: what a stranger writes into a certificate is among the reasons that are shown."""
    trust = {"mode": "pinned+pki", "authorities": ["ca.pem"]}
    authority = Authority("the mesh")
    with Mesh(Direction.FOUR_OVER_SIX, 0, spare=4, settings={"http": {"port": PORT}, "trust": trust}) as made:
        for number in (1, 2, 3):
            afbr = made.add(number)
            afbr.settings["identity"]["certificate"] = "identity.crt"
            afbr.write_configuration()
            authority.write(afbr.home / "ca.pem")
            authority.certify_file(afbr.home / "identity.key", [afbr.endpoint], afbr.home / "identity.crt")
        made.start()
        eventually(lambda: meshed(made.afbrs.values()), within=60, what="all softwires are up")
        yield made


@pytest.fixture(scope="module")
def browser(mesh: Mesh) -> Iterator[Browser]:
    with chromium(mesh.afbrs[1].namespace) as made:
        yield made


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    options: dict[str, Any] = getattr(request, "param", {"viewport": DESKTOP})
    with browser.new_context(**options) as made:
        yield made


@pytest.fixture
def visited(mesh: Mesh, context: BrowserContext) -> Iterator[Visit]:
    """The page, live; whatever a test does with it, it asks nobody else for anything and complains of nothing."""
    eventually(lambda: meshed(mesh.afbrs.values()), within=60, what="all softwires are up")
    made = visit(context, URL)
    expect(made.page.locator("#live")).to_have_text("live")
    yield made
    assert {url for url in made.requested if not url.startswith(URL)} == set()
    assert [said for said in made.complaints if not LOST.match(said)] == []


@pytest.fixture
def page(visited: Visit) -> Page:
    return visited.page


def progress(page: Page, text: str) -> None:
    expect(page.locator("#progress")).to_have_text(text)


def test_all_softwires_are_up(page: Page, visited: Visit) -> None:
    progress(page, "2 of 2 softwires up")
    expect(page.locator("#drawing .wire.own.s-up")).to_have_count(2)
    expect(page.locator("#drawing .wire.other.s-possible")).to_have_count(1)
    expect(page.locator("#drawing .afbr")).to_have_count(3)
    expect(page.locator("#legend")).to_contain_text("up2")
    expect(page.locator("#softwires tbody tr")).to_have_count(2)
    expect(page.locator("#neighbors-list")).to_contain_text("2001:db8:f::fe")
    expect(page.locator("#events-list")).to_contain_text("2001:db8:f::2/ipsec-tunnel-mode")
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("#problems")).to_be_hidden()
    assert visited.complaints == []


def test_a_click_shows_the_chain_of_reasons(page: Page, mesh: Mesh) -> None:
    page.locator('#drawing .wire.own[aria-label*="f::2"] .reach').click(force=True)
    detail = page.locator("#detail")
    expect(detail.locator("h2")).to_have_text("2001:db8:f::1 – 2001:db8:f::2")
    for step in ("route", "tunnel", "key", "softwire"):
        expect(detail.locator(".chain li b", has_text=re.compile(f"^{step}$"))).to_have_count(1)
    expect(detail.locator(".chain")).to_contain_text(mesh.plan.island(2))
    (spis,) = (spis for name, spis in mesh.afbrs[1].spis().items() if name.startswith(f"{mesh.plan.endpoint(2)} "))
    for spi in spis:
        expect(detail.locator(".children")).to_contain_text(spi)
    page.reload()
    expect(detail.locator("h2")).to_have_text("2001:db8:f::1 – 2001:db8:f::2")
    page.keyboard.press("Escape")
    expect(detail.locator("h2")).to_have_text("This router")


def test_a_router_and_a_pair_that_is_not_ours(page: Page, mesh: Mesh) -> None:
    page.locator('#drawing .afbr[aria-label*="f::3"]').click()
    detail = page.locator("#detail")
    expect(detail.locator("h2")).to_have_text("2001:db8:f::3")
    expect(detail).to_contain_text(mesh.afbrs[3].status()["authenticator"])
    expect(detail.locator(".chain")).to_contain_text(mesh.plan.island(3))
    page.locator("#drawing .wire.other").press("Enter")
    expect(detail).to_contain_text("judged by announcements alone")


def test_without_a_mouse(page: Page) -> None:
    """One tab stop for the picture, arrows within; sorting and filtering by buttons and fields that have names."""
    page.locator("#drawing [tabindex='0']").focus()
    seen = set()
    for _ in range(6):
        seen.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
        page.keyboard.press("ArrowRight")
    assert len(seen) == 6
    page.keyboard.press("Enter")
    expect(page.locator("#detail .close")).to_be_visible()
    page.get_by_role("button", name="Peer").press("Enter")
    expect(page.locator("th[aria-sort='ascending']")).to_have_text(re.compile("Peer"))
    page.get_by_role("button", name="Peer").press("Enter")
    expect(page.locator("#softwires tbody tr").first).to_contain_text("2001:db8:f::3")
    page.get_by_label("Find").fill("10.2.")
    expect(page.locator("#softwires tbody tr")).to_have_count(1)
    page.get_by_label("Find").fill("nothing like that")
    expect(page.locator("#softwires-table")).to_contain_text("None of the softwires is like that")


def test_what_changes_is_seen_at_once(page: Page, mesh: Mesh) -> None:
    """A router leaves the mesh, and comes back; what has the focus keeps it."""
    page.locator("#softwires tbody .link").first.focus()
    leaver = mesh.afbrs[3]
    leaver.softmesh("withdraw", "-c", str(leaver.configuration))
    progress(page, "1 of 1 softwire up")
    expect(page.locator("#softwires tbody tr")).to_have_count(1)
    assert page.evaluate("document.activeElement.textContent") == "2001:db8:f::2"
    leaver.softmesh("announce", "-c", str(leaver.configuration))
    progress(page, "2 of 2 softwires up")


def disconnected(page: Page) -> None:
    expect(page.locator("#live")).to_have_text("not connected")
    expect(page.locator("#lost")).to_have_text(
        re.compile(r"^Not connected since \d\d:\d\d:\d\d\. What is shown is as it was then")
    )
    expect(page.locator("main")).to_have_class("stale")


def connected(page: Page) -> None:
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("main")).not_to_have_class("stale")


def test_a_bridge_that_is_gone_and_comes_back(page: Page, mesh: Mesh) -> None:
    first = mesh.afbrs[1]
    progress(page, "2 of 2 softwires up")
    standing = first.spis()
    assert first.bridge is not None
    first.bridge.kill()
    disconnected(page)
    progress(page, "2 of 2 softwires up")
    first.start()
    connected(page)
    expect(page.locator("#events-list b", has_text=re.compile("^started$"))).to_have_count(2)
    # What was shown last stays until the new bridge has told of both; and it tells before the sessions are there again.
    eventually(
        lambda: len(first.up()) == 2 and not first.status().get("removal_awaits", True) and not mesh.bird.restarting(),
        within=60, what="the new bridge has found both, and has heard all that BGP has to say",
    )  # fmt: skip
    progress(page, "2 of 2 softwires up")
    assert first.spis() == standing


def test_a_bridge_that_hangs(page: Page, mesh: Mesh) -> None:
    """Its port still takes connections: nothing is refused, and nothing comes."""
    bridge = mesh.afbrs[1].bridge
    assert bridge is not None
    bridge.freeze()
    disconnected(page)
    bridge.thaw()
    connected(page)


def test_what_a_stranger_says_is_text(page: Page, mesh: Mesh) -> None:
    """A router announces a certificate that is made out by markup."""
    key = Ed25519PrivateKey.generate().public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    endpoint = mesh.plan.endpoint(4)
    claims = (
        EgressEndpoint(address(endpoint)),
        Authenticator(authenticator(spki)),
        Certificate(Authority(MARKUP).certify(key, [endpoint]).public_bytes(Encoding.DER)),
    )
    with closing(Flooder(mesh, 4)) as stranger:
        stranger.announce([(mesh.plan.island(4), encode([Tunnel(TunnelType.IPSEC_TUNNEL, claims)]))])
        progress(page, "2 of 2 softwires up, 1 refused")
        page.locator("#softwires tbody .link", has_text="f::4").click()
        expect(page.locator("#softwires .why")).to_contain_text(IN_A_NAME)
        expect(page.locator("#detail .chain")).to_contain_text(IN_A_NAME)
        assert page.locator("main img").count() == 0
    progress(page, "2 of 2 softwires up")
    expect(page.locator("#detail")).to_contain_text("It is not there any more.")


@pytest.mark.parametrize(
    "context",
    [{"viewport": PHONE, "has_touch": True, "is_mobile": True, "color_scheme": scheme} for scheme in ("light", "dark")],
    indirect=True,
)
def test_on_a_phone(page: Page) -> None:
    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        # What is wider than the window though it makes nothing scroll is cut off.
        wide = (
            "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)"
        )
        assert (
            page.evaluate(f"{wide}.filter((e) => e.closest('thead') === null).map((e) => e.outerHTML.slice(0, 80))")
            == []
        )

    progress(page, "2 of 2 softwires up")
    fits()
    page.locator("#softwires tbody .link").first.tap()
    expect(page.locator("#detail .chain")).to_have_count(1)
    expect(page.locator("#detail h2")).to_be_in_viewport()
    fits()


def test_a_port_that_is_taken(mesh: Mesh) -> None:
    """The bridge says so in one line, and ends before it has touched anything."""
    second = mesh.afbrs[2]
    other = second.home / "other.yaml"
    other.write_text(yaml.safe_dump(second.settings | {"sockets": {"directory": str(second.home / "other")}}))
    standing = second.spis()
    done = second.namespace.run(*SOFTMESH, "run", "-c", str(other), check=False)
    assert (done.returncode, done.stdout) == (1, "")
    *_, said = done.stderr.splitlines()
    assert said.startswith(f"softmesh: http.port: port {PORT} of 127.0.0.1 is taken; choose another")
    assert "Traceback" not in done.stderr
    assert not (second.home / "other" / "control.sock").exists()
    assert second.spis() == standing
