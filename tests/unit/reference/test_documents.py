"""Every document: links and anchors lead somewhere, pictures exist, commands and configuration can be used."""

from __future__ import annotations

import io
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from reference.options import without
from softmesh.cli import COMMANDS, command_line

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "exabgp/*.md", "strongswan/*.md", "containers/**/*.md", "monitoring/*.md")
    for path in ROOT.glob(pattern)
)
_LINK = re.compile(r"(?<!\\)!?\[[^]]*\]\(([^)\s]+)\)")
_HTML = re.compile(r'(?:src|href)="([^"]+)"')
_FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")
_INDENTED = re.compile(r"(?:^ {4,}.*\n)+", re.MULTILINE)
_COMMAND = re.compile(r"(?:ip netns exec \S+ )?(softmesh +[a-z][^#|&;>]*)")


def prose(text: str) -> str:
    """A page without its code."""
    return _CODE.sub("", re.sub(r"^ {4,}.*$", "", _FENCE.sub("", text), flags=re.MULTILINE))


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub makes them and the site is told to."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} (.*)$", _FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
    return {
        anchor if not number else f"{anchor}-{number}" for anchor, most in found.items() for number in range(most + 1)
    }


def faults(page: Path, within: Path = ROOT) -> list[str]:
    """Links of a page that lead nowhere."""
    text = page.read_text(encoding="utf-8")
    wrong = []
    for link in [*_LINK.findall(prose(text)), *_HTML.findall(prose(text))]:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(within):
            wrong.append(f"{link}: not there")
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target.read_text(encoding="utf-8"))):
            wrong.append(f"{link}: no such heading")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert faults(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    bad = tmp_path / "page.md"
    bad.write_text("# A b\n[x](none.md) [y](#a-b) [z](#c) `[q](code.md)` ![p](p.svg)\n")
    assert faults(bad, tmp_path) == ["none.md: not there", "#c: no such heading", "p.svg: not there"]


def test_every_document_can_be_reached() -> None:
    reached: set[Path] = set()
    todo = [ROOT / "docs" / "index.md", ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in _LINK.findall(prose(page.read_text(encoding="utf-8"))))
        targets = [(page.parent / link).resolve() for link in links if link and not re.match(r"[a-z]+:", link)]
        todo += [target / "README.md" if target.is_dir() else target for target in targets]
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= reached


def commands(text: str) -> list[str]:
    """The softmesh commands that a page shows being typed: after a prompt, where the code has one."""
    text = without(text)
    found = []
    for code in [*_FENCE.findall(text), *_INDENTED.findall(_FENCE.sub("", text))]:
        lines = [line.strip() for line in code.splitlines()]
        typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")] or lines
        found += [match[1].strip() for line in typed if (match := _COMMAND.match(line))]
    return [command for command in found if command.split()[1] in COMMANDS]


def complaint(command: str) -> str:
    """What the command line says to a command of a page; empty where it takes it.

    An ellipsis stands for something that is left out: one word, or all the rest.
    """
    command = re.sub(r"  +\(.*$", "", command)
    said = io.StringIO()
    for meant in (command.replace("…", "x"), re.sub(r"\s….*$", "", command)):
        try:
            with redirect_stderr(said), redirect_stdout(io.StringIO()):
                command_line().parse_args(shlex.split(meant)[1:])
        except SystemExit as ended:
            if not ended.code:
                return ""
        else:
            return ""
    return f"{command}: {said.getvalue().splitlines()[-1]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_commands(page: Path) -> None:
    assert [wrong for command in commands(page.read_text(encoding="utf-8")) if (wrong := complaint(command))] == []


def test_a_command_that_is_none_is_found() -> None:
    assert complaint("softmesh status …") == complaint("softmesh observe --hook … --check") == ""
    assert complaint("softmesh status --jsn").endswith("unrecognized arguments: --jsn")


def test_commands_are_found_in_the_pages() -> None:
    assert sum(len(commands(page.read_text(encoding="utf-8"))) for page in PAGES) > 40
    assert commands("```sh\nip netns exec a softmesh status -c a\n```\n    $ softmesh plan\n") == [
        "softmesh status -c a",
        "softmesh plan",
    ]


def test_lists_are_written_so_that_the_site_shows_them_as_the_repository_does() -> None:
    """The site's Markdown wants what belongs to an item set in by four blanks, the repository's by two or more."""
    wrong = []
    for page in PAGES:
        inside, before = False, ""
        for number, line in enumerate(_FENCE.sub("", page.read_text(encoding="utf-8")).splitlines(), 1):
            if line and not line.startswith(" "):
                inside = bool(re.match(r"(?:[-*]|\d+\.) ", line))
            if inside and before == "" and re.match(r"(?: {1,3}| {5,7})\S", line):
                wrong.append(f"{page.relative_to(ROOT)}:{number}: {line}")
            before = line
    assert wrong == []
