"""The site is built without a warning, and asks nothing of any other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    # --quiet would have --strict count no warning.
    assert [
        line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("INFO ") or "link" in line
    ] == []
    return target


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    loaded = re.compile(
        r'<(?:script|img|iframe|source|video)\b[^>]*\bsrc="(?:https?:)?//|<link\b[^>]*\bhref="(?:https?:)?//'
    )
    assert [page.name for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not any(re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style) for style in styles)


def test_what_lies_beside_the_documents_is_there(site: Path) -> None:
    assert (site / "beside/exabgp/index.html").exists()
    assert (site / "beside/exabgp/softmesh.conf").read_bytes() == (ROOT / "exabgp/softmesh.conf").read_bytes()
    assert 'href="beside/exabgp/index.html"' in (site / "index.html").read_text(encoding="utf-8")
    assert 'href="examples/index.html"' in (site / "index.html").read_text(encoding="utf-8")


def test_search_has_an_index(site: Path) -> None:
    assert "End-of-RIB" in (site / "search/search_index.js").read_text(encoding="utf-8")
