"""Where the Markdown of the repository and that of Python-Markdown differ."""

from __future__ import annotations

import re

_ROW = re.compile(r"^\|.*$", re.MULTILINE)
_CODE = re.compile(r"`[^`]*`")


def unescaped(markdown: str) -> str:
    r"""Markdown with ``\|`` in the code of tables as ``|``: elsewhere it must be escaped, here it must not."""

    def row(match: re.Match[str]) -> str:
        return _CODE.sub(lambda code: code[0].replace("\\|", "|"), match[0])

    return _ROW.sub(row, markdown)
