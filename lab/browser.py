"""A real browser in a namespace of the lab: headless Chromium, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from lab.eventually import PATIENCE
from lab.namespace import LAB, MissingProgram, Namespace

_CHROMIUM = "chromium"
_WITHIN = 30_000 * PATIENCE
"""Milliseconds that it has to start, to open a page, and for whatever is done to one."""
_OFFLINE = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@dataclass(slots=True)
class Visit:
    """A page that is open, and what went wrong with it."""

    page: Page
    requested: set[str] = field(default_factory=set)
    """Every address it has asked for anything."""
    complaints: list[str] = field(default_factory=list)
    """What the console says: errors, violations of the content security policy, exceptions."""


@contextmanager
def chromium(namespace: Namespace | None = None) -> Iterator[Browser]:
    """Start a browser, inside a namespace if one is given. Raises MissingProgram where there is none."""
    found = shutil.which(_CHROMIUM)
    if found is None:
        raise MissingProgram(f"{_CHROMIUM} is not installed: apt-get install {_CHROMIUM}")
    program = Path(found)
    if namespace is not None:
        program = LAB / f"{_CHROMIUM}-{namespace.name}"
        program.write_text(f'#!/bin/sh\nexec {" ".join(namespace.argv(_CHROMIUM))} "$@"\n')
        program.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*_OFFLINE], timeout=_WITHIN)
        try:
            yield browser
        finally:
            browser.close()


def visit(context: BrowserContext, url: str) -> Visit:
    """Open a page and take note of all it asks for and complains of."""
    context.set_default_timeout(_WITHIN)
    page = context.new_page()
    made = Visit(page)
    page.on("request", lambda request: made.requested.add(request.url))
    page.on("console", lambda said: made.complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: made.complaints.append(str(error)))
    page.goto(url)
    return made


def screenshot(page: Page, path: Path, *, whole: bool = False) -> None:
    """Take a picture of what is in the window, or of the whole page, once its fonts are there."""
    page.evaluate("document.fonts.ready.then(() => true)")
    page.screenshot(path=path, full_page=whole, animations="disabled")
