"""A hook of MkDocs: what the documents link to beside them in the repository is on the site as well.

The documents are to be read in the repository too, where ``../exabgp/README.md`` is a good link. On the site such a
file is at ``beside/exabgp/README.md``; a directory is its README.md. What cannot be there, such as a directory without
one, is no link.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from reference.tables import unescaped

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[([^]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)]*)?\)")
_FOREIGN = re.compile(r'<script src="https://[^"]*/iframe-worker/[^"]*"></script>')
"""What the theme's plugin "offline" has pages load."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is linked to, and what that links to in turn."""
    pages = [file for file in files if file.is_documentation_page()]
    while pages:
        for target in _outside(pages.pop()):
            uri = _beside(target)
            if files.get_file_from_path(uri) is None:
                content = (ROOT / target).read_bytes()
                file = File.generated(config, uri, content=content)
                files.append(file)
                if file.is_documentation_page():
                    pages.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where their targets are on the site."""
    home = posixpath.dirname(_in_repository(page.file.src_uri))

    def led(link: re.Match[str]) -> str:
        text, path, anchor = link[1], link[2], link[3] or ""
        target = _resolved(home, path)
        if target is None:
            return text if (ROOT / home / path).exists() else link[0]
        uri = target.removeprefix("docs/") if target.startswith("docs/") else _beside(target)
        return f"[{text}]({posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"

    return LINK.sub(led, unescaped(markdown))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Have a page ask this site, and no other, for what runs the search."""
    return _own_worker(output)


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """The same for the page that says that there is none."""
    return _own_worker(output_content)


def _own_worker(html: str) -> str:
    shim = (ROOT / "reference" / "worker.js").read_text(encoding="utf-8")
    return _FOREIGN.sub(lambda _: f"<script>{shim}</script>", html)


def _outside(file: File) -> Iterator[str]:
    """The files that a page links to outside docs/, as paths from the root of the repository."""
    home = posixpath.dirname(_in_repository(file.src_uri))
    for link in LINK.finditer(file.content_string):
        target = _resolved(home, link[2])
        if target is not None and not target.startswith("docs/"):
            yield target


def _resolved(home: str, path: str) -> str | None:
    """The file that a link means; None where there is none that could be on a site."""
    target = posixpath.normpath(posixpath.join(home, path))
    if (ROOT / target).is_dir():
        target = f"{target}/README.md"
    hidden = any(part.startswith(".") for part in Path(target).parts)
    return target if (ROOT / target).is_file() and not hidden else None


def _in_repository(uri: str) -> str:
    """Where a page of the site lies in the repository."""
    return uri.removeprefix("beside/") if uri.startswith("beside/") else f"docs/{uri}"


def _beside(target: str) -> str:
    return f"beside/{target}"
