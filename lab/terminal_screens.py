"""Screenshots of ``softmesh status --watch`` for the documents, of a real mesh on a real terminal."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from lab.eventually import eventually
from lab.firewall import load, nft
from lab.mesh import SOFTMESH, Direction, Mesh, meshed
from lab.terminal import Terminal

_WIDTH, _HEIGHT = 96, 26
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Without fonts from the internet."""
_NO_IKE = (
    "table inet mute {\n chain out {\n  type filter hook output priority 0;\n  udp dport { 500, 4500 } drop\n }\n}\n"
)


def main(directory: Path) -> int:
    """Write watch-converging.svg, watch-healthy.svg and watch-failed.svg into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with Mesh(Direction.FOUR_OVER_SIX, 5) as mesh:
        first, *_, fourth, last = mesh.afbrs.values()
        for slow in (fourth, last):
            load(slow.namespace, _NO_IKE)
        mesh.start()
        eventually(lambda: first.status().get("endpoint"), within=120, what="the bridge answers")
        command = first.namespace.argv(*SOFTMESH, "status", "--watch", "0.5", "-c", str(first.configuration))
        with Terminal(command, width=_WIDTH, height=_HEIGHT) as terminal:
            eventually(
                lambda: terminal.shows("2 of 4 up") and terminal.shows("no answer accepted yet"),
                within=120, what="half of them are up",
            )  # fmt: skip
            draw(terminal, directory / "watch-converging.svg")
            for slow in (fourth, last):
                nft(slow.namespace, "delete", "table", "inet", "mute")
            eventually(lambda: meshed(mesh.afbrs.values()), within=120, what="all softwires are up")
            for number in list(mesh.afbrs)[1:]:
                first.island.ping(mesh.plan.host(number, 10), count=20)
            eventually(lambda: terminal.shows("4 of 4 up"), within=60, what="it is on the screen")
            draw(terminal, directory / "watch-healthy.svg")
            last.settings["protection"] = {"default": "integrity"}
            last.reload()
            eventually(
                lambda: terminal.shows("different levels of protection") and terminal.shows("1 not up"),
                within=180, what="either end knows why, and it lasts",
            )  # fmt: skip
            draw(terminal, directory / "watch-failed.svg")
    return 0


def draw(terminal: Terminal, path: Path) -> None:
    """Write what a terminal shows as an SVG document."""
    console = Console(record=True, width=_WIDTH, height=_HEIGHT, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(terminal.frame))
    path.write_text(
        console.export_svg(title="softmesh status --watch", code_format=_FORMAT, unique_id=path.stem), encoding="utf-8"
    )
    print(f"drew {path}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
