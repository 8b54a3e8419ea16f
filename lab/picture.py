"""``make picture``: docs/mesh.svg, drawn from what the routers of a real run say of themselves."""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from lab.eventually import eventually
from lab.mesh import Afbr, Direction, Mesh, meshed

_PLACES = {1: (190, 130), 2: (710, 130), 3: (190, 390), 4: (710, 390)}
_LABELS = {
    (1, 2): (450, 122),
    (3, 4): (450, 398),
    (1, 3): (190, 262),
    (2, 4): (710, 262),
    (1, 4): (575, 322),
    (2, 3): (325, 322),
}
_COLORS = {"up": "#1a7f37", "degraded": "#bf8700", "connecting": "#bf8700", "wanted": "#bf8700"}
_FONT = "font-family='ui-sans-serif, system-ui, sans-serif'"


def main(path: Path) -> int:
    """Bring a mesh up, send traffic through each softwire, and draw it."""
    with Mesh(Direction.FOUR_OVER_SIX, 4) as mesh:
        mesh.start()
        afbrs = mesh.afbrs
        eventually(lambda: meshed(afbrs.values()), within=60, what="all six softwires are up")
        for left, right in combinations(afbrs.values(), 2):
            left.island.ping(mesh.plan.host(right.number, 10), count=20)
        path.write_text(drawn(mesh))
    print(f"drew {path}")
    return 0


def drawn(mesh: Mesh) -> str:
    """The mesh as an SVG document."""
    wires = {number: afbr.wires() for number, afbr in mesh.afbrs.items()}
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 900 520' {_FONT}>",
        "<rect width='900' height='520' rx='8' fill='#ffffff'/>",
        "<rect x='110' y='70' width='680' height='380' rx='60' fill='#f3f6fa' stroke='#d0d7de'/>",
        f"<text x='450' y='436' text-anchor='middle' font-size='13' fill='#57606a'>"
        f"core {mesh.plan.core}: nothing but IPv6, BGP, IKE and ESP</text>",
    ]
    for number in mesh.afbrs:
        x, y = _PLACES[number]
        parts.append(f"<line x1='{x}' y1='{y}' x2='450' y2='45' stroke='#8c959f' stroke-dasharray='2 5'/>")
    for left, right in combinations(sorted(mesh.afbrs), 2):
        parts.append(_softwire(left, right, wires[left].get(mesh.afbrs[right].endpoint, {})))
    parts.append(_box(450, 45, "route reflector", [f"BIRD, {mesh.reflector_address}", "TCP-MD5 to each"], "#57606a"))
    parts.extend(_router(mesh, afbr) for afbr in mesh.afbrs.values())
    parts.append("</svg>\n")
    return "\n".join(parts)


def _softwire(left: int, right: int, wire: dict[str, Any]) -> str:
    (x1, y1), (x2, y2) = _PLACES[left], _PLACES[right]
    color = _COLORS.get(wire.get("state", ""), "#cf222e")
    line = f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' stroke='{color}' stroke-width='4'/>"
    x, y = _LABELS[left, right]
    children = wire.get("children", [])
    says = [f"{wire.get('state', 'none')}, {sum(child['packets_out'] for child in children)} packets"]
    says += [f"SPI {child['spi_out']} / {child['spi_in']}" for child in children]
    plate = f"<rect x='{x - 82}' y='{y - 17}' width='164' height='36' rx='4' fill='#ffffff' stroke='{color}'/>"
    return (
        line
        + plate
        + _text(x, y - 3, says[0], color, 12)
        + "".join(_text(x, y + 13, s, "#24292f", 11) for s in says[1:])
    )


def _router(mesh: Mesh, afbr: Afbr) -> str:
    x, y = _PLACES[afbr.number]
    return _box(x, y, afbr.namespace.name, [afbr.endpoint, f"island {mesh.plan.island(afbr.number)}"], "#0969da")


def _box(x: int, y: int, title: str, lines: list[str], color: str) -> str:
    frame = f"width='160' height='68' rx='6' fill='#ffffff' stroke='{color}' stroke-width='2'"
    box = f"<rect x='{x - 80}' y='{y - 34}' {frame}/>"
    rows = "".join(_text(x, y + 5 + 18 * index, line, "#24292f", 12) for index, line in enumerate(lines))
    return box + _text(x, y - 13, title, color, 15) + rows


def _text(x: int, y: int, text: str, color: str, size: int) -> str:
    return f"<text x='{x}' y='{y}' text-anchor='middle' font-size='{size}' fill='{color}'>{escape(text)}</text>"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
