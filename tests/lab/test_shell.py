"""Manual pages as man reads them, and completion as the shells do it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.eventually import PATIENCE
from lab.namespace import program

SHARE = Path(__file__).resolve().parents[2] / "share"
PAGES = sorted((SHARE / "man").rglob("*.[15]"))


def said(*command: str) -> str:
    command = (program(command[0]), *command[1:])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20 * PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_manual_page_is_read_without_a_warning(page: Path) -> None:
    shown = said("groff", "-ww", "-Kutf8", "-Tutf8", "-P-c", "-man", str(page))
    plain = "".join(char for char, after in zip(shown, f"{shown[1:]} ", strict=True) if char != "\b" and after != "\b")
    for heading in ("NAME", "DESCRIPTION", "SEE ALSO"):
        assert f"\n{heading}\n" in plain
    assert page.stem in plain


BASH = """
source {share}/bash-completion/completions/softmesh
COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1)); COMPREPLY=()
$(complete -p softmesh | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
CASES = [
    (("softmesh", "wi"), "withdraw"),
    (("softmesh", "status", "--js"), "--json"),
    (("softmesh", "keygen", "--type", "ed"), "ed25519"),
]


@pytest.mark.parametrize(
    ("words", "completed"), CASES, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_completion_in_bash(words: tuple[str, ...], completed: str) -> None:
    assert said("bash", "-c", BASH.format(share=SHARE, words=" ".join(words), count=len(words))).split() == [completed]


@pytest.mark.parametrize(
    ("words", "completed"), CASES, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_completion_in_fish(words: tuple[str, ...], completed: str) -> None:
    script = f"source {SHARE}/fish/vendor_completions.d/softmesh.fish; complete -C '{' '.join(words)}'"
    assert [line.split("\t")[0] for line in said("fish", "--no-config", "-c", script).splitlines()] == [completed]


def test_files_are_completed_where_a_file_is_meant(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").touch()
    words = f"softmesh run -c {tmp_path}/me"
    assert said("bash", "-c", BASH.format(share=SHARE, words=words, count=4)).split() == [f"{tmp_path}/mesh.yaml"]


def test_completion_in_zsh_is_zsh() -> None:
    assert said("zsh", "-n", str(SHARE / "zsh/vendor-completions/_softmesh")) == ""
