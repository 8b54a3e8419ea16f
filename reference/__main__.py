"""Write every file that is made of the code: ``make reference``."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

from reference import completion, manual, options, states

ROOT = Path(__file__).resolve().parent.parent


def files() -> Iterator[tuple[Path, str]]:
    """Each file and what ought to be in it; the manual pages last, for they are made of the documents."""
    for script in sorted((ROOT / "docs").glob("generate_*.py")):
        generator = runpy.run_path(str(script))
        yield generator["TARGET"], generator["page"]()
    yield ROOT / "docs" / "reference" / "states.md", states.page()
    commands = ROOT / "docs" / "commands.md"
    yield commands, options.inserted(commands.read_text(encoding="utf-8"))
    for path, text in completion.scripts().items():
        yield ROOT / "share" / path, text
    for path, text in manual.pages().items():
        yield ROOT / "share" / "man" / path, text


def main() -> int:
    """Write what has changed, and say so."""
    for path, text in files():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
