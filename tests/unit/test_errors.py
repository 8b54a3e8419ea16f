"""What a user sees is one line, whoever had a say in it."""

from __future__ import annotations

import pytest

from softmesh.errors import OperatorError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve §3 → ok", "naïve §3 → ok"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[2J\x9b", r"\x1b[2J\x9b"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\ud800", r"\ud800"),
    ],
)
def test_on_one_line(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert str(OperatorError(text)) == shown
