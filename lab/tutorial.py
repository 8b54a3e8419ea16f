"""The documents that are run: ``make tutorial`` runs every block of them, and records what was printed.

A block marked ``sh`` is run; a block marked ``text`` after it is what that printed. All blocks run in one shell in a
sandbox, as a reader would run them; the first command that fails ends it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.eventually import PATIENCE

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "docs" / "tutorial.md", ROOT / "docs" / "frr-reflector.md")
_BLOCK = re.compile(r"```sh\n(?P<code>.*?)```\n(?:\n```text\n(?P<shown>.*?)```\n)?", re.DOTALL)
_MARK = "@@ block {number}"
_CHANGING = (
    (re.compile(r"\b[0-9a-f]{40}\b"), "HASH"),
    (re.compile(r"\b[0-9a-f]{8}\b"), "SPI"),
    (re.compile(r"\b(\d+h)?(\d+m)?\d+(\.\d+)? ?m?s\b"), "TIME"),
    (re.compile(r"\d+(\.\d+)?/[\d./]+ ms"), "TIMES"),
    (re.compile(r"time \d+ms"), "time TIME"),
    (re.compile(r"\b\d+\.\d+\.\d+\S*$"), "VERSION"),
)
"""What differs from one run to the next."""


class Failed(AssertionError):
    """A block did not do what the page says."""


@dataclass(frozen=True, slots=True)
class Block:
    """Commands, and what the page says they print; None where it shows nothing."""

    code: str
    shown: str | None


def blocks(page: str) -> list[Block]:
    """Every block that is to be run."""
    return [Block(match["code"], match["shown"]) for match in _BLOCK.finditer(page)]


def printed(todo: list[Block], *, within: float = 180.0) -> list[str]:
    """Run the blocks; returns what each printed. Raises Failed where one fails, or all take too long."""
    script = "set -e\n" + "".join(f"echo '{_MARK.format(number=n)}'\n{block.code}" for n, block in enumerate(todo))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    try:
        done = subprocess.run(
            [str(ROOT / "lab" / "sandbox"), "bash", "-c", script], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=within * PATIENCE,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout
        raise Failed(f"not done within {within:g} s; printed until then:\n{said}") from error
    parts = re.split(_MARK.format(number=r"\d+") + "\n", done.stdout)[1:]
    if done.returncode != 0:
        raise Failed(f"this block failed:\n{todo[len(parts) - 1].code}\nit printed:\n{parts[-1]}")
    return parts


def masked(text: str) -> str:
    """A text without what differs from run to run."""
    for pattern, instead in _CHANGING:
        text = pattern.sub(instead, text)
    return text


def recorded(page: str, outputs: list[str]) -> str:
    """The page with what was printed in its places."""
    rest = iter(outputs)

    def block(match: re.Match[str]) -> str:
        output = next(rest)
        if match["shown"] is None:
            return match[0]
        return f"```sh\n{match['code']}```\n\n```text\n{output}```\n"

    return _BLOCK.sub(block, page)


def main() -> int:
    """Run each document and write what it printed into it."""
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        try:
            outputs = printed(blocks(page))
        except Failed as error:
            print(f"lab.tutorial: {path.name}: {error}", file=sys.stderr)
            return 1
        path.write_text(recorded(page, outputs), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
