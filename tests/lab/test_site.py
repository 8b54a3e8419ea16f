"""The site in a real browser, from files, on a machine without any network: it asks nobody else, and is searched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lab.browser import chromium, visit
from lab.eventually import PATIENCE
from lab.namespace import Namespace

ROOT = Path(__file__).resolve().parents[2]


def test_the_site_works_from_files_and_asks_nobody(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True,
        timeout=60 * PATIENCE,
    )  # fmt: skip
    with Namespace("reader") as reader, chromium(reader) as browser:
        seen = visit(browser.new_context(), f"{tmp_path.as_uri()}/index.html")
        seen.page.locator("input.md-search__input").click()
        seen.page.keyboard.type("rollover")
        result = seen.page.locator(".md-search-result__link").first
        result.wait_for(timeout=20_000 * PATIENCE)
        seen.page.goto(f"{tmp_path.as_uri()}/reference/states.html#rules")
        assert seen.page.locator("h2#rules").is_visible()
    assert {url for url in seen.requested if not url.startswith(("file:", "data:"))} == set()
    assert seen.complaints == []
