"""Tables of docs/ that tests write: each test says what it has seen, and the log of a run becomes the table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.namespace import LAB

DOCS = Path(__file__).resolve().parent.parent / "docs"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a page, found there by its first heading."""

    page: Path
    keys: tuple[str, ...]
    """Headings of the columns that tell rows apart."""
    columns: tuple[str, ...]

    @property
    def mark(self) -> str:
        """What a line of a log begins with that says what was seen."""
        return f"{self.keys[0]}: "

    @property
    def seen(self) -> Path:
        """Where it is collected while the tests run."""
        return LAB / f"{self.keys[0]}.jsonl"

    def shown(self, key: Sequence[str], cells: Mapping[str, str]) -> None:
        """Keep cells of a row."""
        unknown = cells.keys() - set(self.columns)
        if unknown or len(key) != len(self.keys):
            raise ValueError(f"{self.page.name} has no such row or column: {list(key)}, {sorted(unknown)}")
        with self.seen.open("a") as collected:
            collected.write(json.dumps([list(key), dict(cells)]) + "\n")

    def printed(self) -> list[str]:
        """Lines for the log: all that was seen in this run."""
        return [f"{self.mark}{line}" for line in self.seen.read_text().splitlines()] if self.seen.exists() else []

    def rows(self, log: Iterable[str]) -> str:
        """The table of what a log says."""
        seen: dict[tuple[str, ...], dict[str, str]] = {}
        for line in log:
            if line.startswith(self.mark):
                key, cells = json.loads(line.removeprefix(self.mark))
                seen.setdefault(tuple(key), {}).update(cells)
        lines = [[*self.keys, *self.columns], ["---"] * (len(self.keys) + len(self.columns))]
        lines += [[*key, *(cells.get(column, "-") for column in self.columns)] for key, cells in sorted(seen.items())]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def inserted(self, text: str, log: Iterable[str]) -> str:
        """A page's text with the table of a log in place of the one it has; raises ValueError where it has none."""
        rows = self.rows(log)
        pattern = rf"^\| {re.escape(self.keys[0])} \|.*\n(\|.*\n)*"
        text, found = re.subn(pattern, lambda _: rows, text, flags=re.MULTILINE)
        if found != 1:
            raise ValueError(f"{self.page.name}: {found} tables that begin with {self.keys[0]}, one expected")
        return text

    def held(self) -> list[dict[str, str]]:
        """The rows of the page as it is, by heading."""
        lines = [line for line in self.page.read_text().splitlines() if line.startswith("| ")]
        cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
        start = next(number for number, row in enumerate(cells) if row[0] == self.keys[0])
        width = len(self.keys) + len(self.columns)
        return [dict(zip(cells[start], row, strict=True)) for row in cells[start + 2 :] if len(row) == width]
