"""The documents that can be run do what they say: every block is run, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.tutorial import PAGES, Block, Failed, blocks, masked, printed


@pytest.mark.timeout(480)  # A whole tutorial, every command of which starts a Python.
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_does_what_it_shows(page: Path) -> None:
    todo = blocks(page.read_text(encoding="utf-8"))
    assert any(block.shown for block in todo)
    for block, output in zip(todo, printed(todo), strict=True):
        assert masked(output) == masked(block.shown or ""), f"{block.code}\nmake tutorial records it anew"


def test_a_block_that_fails_is_named() -> None:
    with pytest.raises(Failed, match=r"this block failed:\nfalse"):
        printed([Block("echo before\n", None), Block("false\n", None)])


def test_only_what_differs_between_runs_is_masked() -> None:
    assert masked("up for 1.2s  SPI in 0a1b2c3d\n") == "up for TIME  SPI in SPI\n"
    assert masked("0 of 1 softwires up\n") == "0 of 1 softwires up\n"
