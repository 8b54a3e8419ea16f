"""The manual pages: softmesh(1), one for each command, and mesh.yaml(5)."""

from __future__ import annotations

import re
from pathlib import Path

from reference.options import Command, commands, without
from reference.roff import escaped, rendered
from softmesh import __version__

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_SECTION = re.compile(r"^## ", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^]]*)\]\([^)]*\)")


def pages() -> dict[str, str]:
    """Every page by its path under ``share/man``."""
    every = commands()
    prose = _sections((DOCS / "commands.md").read_text(encoding="utf-8"))
    shown = {f"man1/softmesh-{command.name}.1": _command(command, prose) for command in every}
    return {"man1/softmesh.1": _softmesh(every, prose), **shown, "man5/mesh.yaml.5": _mesh_yaml()}


def _softmesh(every: list[Command], prose: dict[str, str]) -> str:
    listed = "".join(
        f".TP\n\\fBsoftmesh\\-{escaped(command.name)}\\fR(1)\n{escaped(command.summary)}\n" for command in every
    )
    return "".join(
        [
            _head("softmesh", 1, "the bridge between BGP and IPsec"),
            ".SH SYNOPSIS\n.B softmesh\n.I COMMAND\n[\\fIOPTION\\fR]...\n.br\n.B softmesh \\-\\-version\n",
            ".SH DESCRIPTION\n",
            rendered(
                "Routers learn each other from a BGP route reflector, and every pair has an IPsec softwire that works "
                "and is authenticated. Nothing is configured for any peer. `softmesh run` reads `mesh.yaml`, hears "
                "BGP from ExaBGP and drives strongSwan's charon; the other commands ask it, or help to set it up."
            ),
            ".SH COMMANDS\n",
            listed,
            ".SH EXIT STATUS\n",
            rendered(prose["Exit codes"]),
            ".SH FILES\n",
            _files(),
            _see_also(["softmesh\\-run(1)", "mesh.yaml(5)", "swanctl(8)", "exabgp(1)"]),
        ]
    )


def _command(command: Command, prose: dict[str, str]) -> str:
    said = next(text for title, text in prose.items() if f"softmesh {command.name}" in re.split(r", | [A-Z\[]", title))
    options = "".join(
        ".TP\n"
        + ", ".join(_name(name, option.value) for name in option.names or ("",))
        + "\n"
        + (escaped(option.meaning) or r"\&")
        + "\n"
        for option in command.options
    )
    return "".join(
        [
            _head(f"softmesh-{command.name}", 1, command.summary),
            f".SH SYNOPSIS\n.B {escaped(command.usage)}\n",
            ".SH DESCRIPTION\n",
            rendered(said),
            f".SH OPTIONS\n{options}" if options else "",
            _see_also(["softmesh(1)", "mesh.yaml(5)"]),
        ]
    )


def _name(name: str, value: str) -> str:
    bold = f"\\fB{escaped(name)}\\fR" if name else ""
    return bold + (" " if name and value else "") + (f"\\fI{escaped(value)}\\fR" if value else "")


def _mesh_yaml() -> str:
    page = _LINK.sub(r"\2", (DOCS / "configuration.md").read_text(encoding="utf-8")).replace("\n## ", "\n### ")
    introduction, _, keys = page.partition("\n### ")
    introduction = introduction.partition("\n")[2].replace("This page is generated from", "This page is made of")
    example = (DOCS / "examples" / "minimal.yaml").read_text(encoding="utf-8")
    return "".join(
        [
            _head("mesh.yaml", 5, "configuration of softmesh"),
            ".SH DESCRIPTION\n",
            rendered(introduction),
            ".SH KEYS\n",
            rendered(f"### {keys}"),
            ".SH EXAMPLES\n",
            rendered("The least there must be:\n\n" + "".join(f"    {line}\n" for line in example.splitlines())),
            ".SH FILES\n",
            _files(),
            _see_also(["softmesh(1)", "softmesh\\-check(1)", "softmesh\\-run(1)"]),
        ]
    )


def _head(name: str, section: int, summary: str) -> str:
    return (
        '.\\" Written by make reference; do not edit.\n'
        f'.TH "{escaped(name.upper())}" {section} "" "Softmesh {__version__}" "Softmesh"\n'
        # No hyphenation, no justification: names must be found by searching.
        ".nh\n.ad l\n"
        f".SH NAME\n{escaped(name)} \\- {escaped(summary)}\n"
    )


def _files() -> str:
    return (
        ".TP\n.I /etc/softmesh/mesh.yaml\nthe configuration, unless \\fB\\-c\\fR names another\n"
        ".TP\n.I /run/softmesh\ncontrol socket, the hook's socket and what ExaBGP was told\n"
    )


def _see_also(pages: list[str]) -> str:
    shown = (re.sub(r"^(.*)(\(.\))$", r"\\fB\1\\fR\2", page) for page in pages)
    return f".SH SEE ALSO\n{', '.join(shown)}\n"


def _sections(page: str) -> dict[str, str]:
    """The text under each heading of the second level, without the generated options and without links."""
    parts = _SECTION.split(without(page))[1:]
    return {title: _LINK.sub(r"\2", text) for title, _, text in (part.partition("\n") for part in parts)}
