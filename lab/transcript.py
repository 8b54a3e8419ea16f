"""The README's transcript and example file, cut from a recorded demo (docs/demo.txt): ``make picture`` does it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def excerpts(demo: str) -> dict[str, str]:
    """What the README shows of a demo's output: mesh.yaml of the first router, and the run of the first direction."""
    lines = demo.splitlines()
    yaml = lines.index(next(line for line in lines if line.startswith("mesh.yaml of")))
    steps = [number for number, line in enumerate(lines) if line.startswith("after ")]
    full = next(number for number, line in enumerate(lines) if line.startswith("✓ 6 softwires up"))
    end = next(number for number, line in enumerate(lines) if line.startswith("✓ the whole time"))
    return {
        "mesh.yaml": "\n".join(line[4:] for line in lines[yaml + 1 : steps[0]] if line.strip()),
        "transcript": "\n".join(lines[max(step for step in steps if step < full) : end + 1]),
    }


def inserted(readme: str, parts: dict[str, str]) -> str:
    """The README with each part in the code block that follows its marker."""
    for name, text in parts.items():
        readme, found = re.subn(
            rf"(<!-- {re.escape(name)} -->\n```\w*\n).*?(\n```)",
            lambda match, text=text: f"{match[1]}{text}{match[2]}",  # type: ignore[misc]
            readme,
            flags=re.DOTALL,
        )
        if found != 1:
            raise ValueError(f"README.md: {found} places for {name}, one expected")
    return readme


def main() -> int:
    """Write the README anew."""
    readme = ROOT / "README.md"
    readme.write_text(inserted(readme.read_text(), excerpts((ROOT / "docs" / "demo.txt").read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
