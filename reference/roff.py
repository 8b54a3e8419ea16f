"""Markdown as man(7) has it: the manual pages are made of the same prose as the documents."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import markdown

from reference.tables import unescaped

_BLOCKS = {"p", "pre", "ul", "ol", "table", "h1", "h2", "h3", "h4", "blockquote"}


def escaped(text: str) -> str:
    """Text as roff takes it literally, wherever it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("^", "\\(ha").replace("~", "\\(ti")
    return re.sub(r"^([.'])", r"\\&\1", text.replace("`", "\\(ga"), flags=re.MULTILINE)


def rendered(text: str) -> str:
    """A piece of Markdown: paragraphs, lists, tables, code and headings; raises ParseError for what is not XHTML."""
    html = markdown.markdown(unescaped(text), extensions=["tables", "fenced_code", "sane_lists"], output_format="xhtml")
    root = ET.fromstring(f"<body>{html.replace('&nbsp;', ' ')}</body>")  # noqa: S314  # our own documents
    lines = "\n".join(line for element in root for line in _block(element)) + "\n"
    # A paragraph begins by itself after a heading, the caller's included.
    return re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", lines, flags=re.MULTILINE).removeprefix(".PP\n")


def _block(element: ET.Element) -> Iterator[str]:
    match element.tag:
        case "p":
            yield from (".PP", _inline(element))
        case "pre":
            code = "".join(element.itertext()).rstrip("\n")
            yield from (".PP", ".RS 4", ".nf", *(escaped(line) for line in code.split("\n")), ".fi", ".RE")
        case "ul" | "ol":
            for number, item in enumerate(element, start=1):
                yield r".IP \(bu 2" if element.tag == "ul" else f".IP {number}. 4"
                yield from _item(item)
        case "table":
            yield from _table(element)
        case "h1" | "h2":
            yield f'.SH "{_inline(element).upper()}"'
        case "h3" | "h4":
            yield f'.SS "{_inline(element)}"'
        case "blockquote":
            yield ".RS 4"
            for inner in element:
                yield from _block(inner)
            yield ".RE"


def _item(item: ET.Element) -> Iterator[str]:
    """A list's item: text, then perhaps blocks, which are set in."""
    blocks = [child for child in item if child.tag in _BLOCKS]
    if blocks and blocks[0].tag == "p" and not (item.text or "").strip():
        yield _inline(blocks.pop(0))
    else:
        yield _inline(item)
    if blocks:
        yield ".RS 2"
        for block in blocks:
            yield from _block(block)
        yield ".RE"


def _table(table: ET.Element) -> Iterator[str]:
    """Each row under its first cell; the cells between the first and the last with their headings."""
    headings = [_inline(cell) for cell in table.iterfind("./thead/tr/th")]
    for row in table.iterfind("./tbody/tr"):
        cells = [_inline(cell) for cell in row]
        between = [
            f"{heading}: {cell}" if heading else cell
            for heading, cell in zip(headings[1:-1], cells[1:-1], strict=True)
            if cell
        ]
        yield from (".TP", rf"\fB{_plain(cells[0])}\fR")
        if between:
            yield from ("; ".join(between), ".br")
        yield cells[-1] if len(cells) > 1 and cells[-1] else r"\&"


def _plain(text: str) -> str:
    """What is bold already is so once."""
    return text.replace(r"\fB", "").replace(r"\fR", "") or r"\&"


def _inline(element: ET.Element) -> str:
    """Text with its emphasis, in lines that do not begin as a request would."""
    return re.sub(r"\s*\n\s*", "\n", _spans(element)).strip()


def _spans(element: ET.Element) -> str:
    parts = [escaped(element.text or "")]
    for child in element:
        if child.tag not in _BLOCKS:
            inner = _spans(child)
            parts.append(
                rf"\fB{_plain(inner)}\fR" if child.tag in {"code", "strong"} else
                rf"\fI{_plain(inner)}\fR" if child.tag == "em" else inner
            )  # fmt: skip
        parts.append(escaped(child.tail or ""))
    return "".join(parts)
