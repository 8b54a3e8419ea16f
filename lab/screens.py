"""``make screens``: docs/screens/page-*.png, the page of a real mesh: healthy, converging, with failed softwires."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from lab.browser import chromium, screenshot, visit
from lab.eventually import eventually
from lab.mesh import Afbr, Direction, Mesh, meshed

SIZE = 6
PORT = 8180
_DESKTOP, _PHONE = {"width": 1360, "height": 1000}, {"width": 390, "height": 844}


def main(directory: Path) -> int:
    """Draw them all into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with _mesh() as mesh:
        first, *others = mesh.afbrs.values()
        late = others[-2:]
        for afbr in late:
            afbr.charon.process.freeze()
        mesh.start()
        with chromium(first.namespace) as browser:
            eventually(
                lambda: sorted(wire["state"] for wire in first.wires().values()) == ["connecting"] * 2 + ["up"] * 3,
                within=30, what="three softwires are up and two are being set up",
            )  # fmt: skip
            with _page(browser) as page:
                expect(page.locator("#progress")).to_have_text("3 of 5 softwires up")
                screenshot(page, directory / "page-converging.png")
            for afbr in late:
                afbr.charon.process.thaw()
            eventually(lambda: meshed(mesh.afbrs.values()), within=60, what="all softwires are up")
            _talk(first, others)
            with _page(browser) as page:
                expect(page.locator("#progress")).to_have_text("5 of 5 softwires up")
                page.locator("#softwires .link").first.click()
                expect(page.locator("#detail .chain")).to_have_count(1)
                screenshot(page, directory / "page-healthy.png", whole=True)
    with _mesh() as mesh:
        first, *others = mesh.afbrs.values()
        weak, keyless = others[1], others[3]
        weak.settings["protection"] = {"default": "integrity"}
        keyless.settings["announce"]["public_key"] = False
        for afbr in (weak, keyless):
            afbr.write_configuration()
        well = [afbr for afbr in others if afbr not in {weak, keyless}]
        mesh.start()
        with chromium(first.namespace) as browser:
            eventually(
                lambda: "integrity there and encrypt here" in first.wires().get(weak.endpoint, {}).get("reason", ""),
                within=60, what="it is known why one softwire does not come up",
            )  # fmt: skip
            eventually(lambda: meshed([first, *well]), within=60, what="the others are up")
            _talk(first, well)
            with _page(browser) as page:
                expect(page.locator("#progress")).to_have_text("3 of 5 softwires up")
                page.locator("#softwires .link", has_text=weak.endpoint).click()
                expect(page.locator("#detail .chain")).to_have_count(1)
                screenshot(page, directory / "page-failed.png", whole=True)
            with _page(browser, viewport=_PHONE, device_scale_factor=2, color_scheme="dark") as page:
                expect(page.locator("#progress")).to_have_text("3 of 5 softwires up")
                screenshot(page, directory / "page-phone.png")
    print(f"drew {directory}/page-*.png")
    return 0


def _mesh() -> Mesh:
    return Mesh(Direction.FOUR_OVER_SIX, SIZE, settings={"http": {"port": PORT}})


def _talk(first: Afbr, others: list[Afbr]) -> None:
    """Send packets through softwires: not the same number through each."""
    for count, other in enumerate(others, 1):
        first.island.ping(first.mesh.plan.host(other.number, 10), count=7 * count)


@contextmanager
def _page(browser: Browser, **options: object) -> Iterator[Page]:
    with browser.new_context(**{"viewport": _DESKTOP, **options}) as context:  # type: ignore[arg-type]
        page = visit(context, f"http://127.0.0.1:{PORT}/").page
        expect(page.locator("#live")).to_have_text("live")
        yield page


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
