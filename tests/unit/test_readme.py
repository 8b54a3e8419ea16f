"""What the README shows of a run is what was recorded."""

from __future__ import annotations

import re
from pathlib import Path

from lab.transcript import excerpts, inserted

ROOT = Path(__file__).resolve().parents[2]


def test_transcript_is_the_recorded_one() -> None:
    readme = (ROOT / "README.md").read_text()
    assert inserted(readme, excerpts((ROOT / "docs" / "demo.txt").read_text())) == readme


def test_documents_it_points_to_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []
