"""The page's files: none of them reaches out, makes markup of text, or has colours that cannot be told apart."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from softmesh.web.assets import PAGE, load

ASSETS = {name: asset.body.decode() for name, asset in load().items()}
SCRIPTS = sorted(name for name in ASSETS if name.endswith(".js"))
SVG = "http://www.w3.org/2000/svg"
STATES = ("up", "degraded", "connecting", "wanted", "pending-key", "refused")
Rgb = tuple[float, float, float]


def test_there_is_a_page() -> None:
    assert PAGE in ASSETS
    assert len(SCRIPTS) > 5


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_nothing_comes_from_elsewhere(name: str) -> None:
    assert re.findall(r"(?:https?:)?//[a-z][^\s\"'`]*\.[^\s\"'`]*", ASSETS[name].replace(SVG, "")) == []
    assert not re.search(r"@import|url\(", ASSETS[name])


@pytest.mark.parametrize("name", SCRIPTS)
def test_text_stays_text(name: str) -> None:
    sinks = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|ContextualFragment|srcdoc|on\w+=\""
    )
    assert re.findall(sinks, ASSETS[name]) == []


def test_the_page_needs_no_inline_script_or_style() -> None:
    """The content security policy would keep them from working."""
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", ASSETS[PAGE]) == []


@pytest.mark.parametrize("name", [PAGE, *SCRIPTS])
def test_what_is_named_is_there(name: str) -> None:
    named = chain(re.findall(r"/assets/([\w.]+)", ASSETS[name]), re.findall(r"from \"\./([\w.]+)\"", ASSETS[name]))
    assert set(named) <= ASSETS.keys()


def test_what_scripts_look_for_is_on_the_page() -> None:
    there = set(re.findall(r'\bid="([\w-]+)"', ASSETS[PAGE]))
    assert set(re.findall(r'\bat\("([\w-]+)"\)', ASSETS["main.js"])) <= there


def palette(scheme: str) -> dict[str, str]:
    light, _, dark = ASSETS["style.css"].partition("@media (prefers-color-scheme: dark)")
    block = light if scheme == "light" else dark[: dark.index("* {")]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def rgb(color: str) -> Rgb:
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def luminance(color: str) -> float:
    """WCAG 2.2, relative luminance."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    """WCAG 2.2 §1.4.3 (text, 4.5:1) and §1.4.11 (what is no text, 3:1); states are both."""
    colors = palette(scheme)
    for ground in ("card", "page", "tint"):
        for text in ("ink", "soft"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    for state in STATES:
        assert contrast(colors[state], colors["card"]) >= 4.5, state
    assert contrast(colors["bad"], colors["bad-tint"]) >= 4.5
    assert contrast(colors["card"], colors["accent"]) >= 4.5
    assert contrast(colors["focus"], colors["card"]) >= 3


def test_states_differ_without_colors() -> None:
    """By their dashes and by their signs."""
    css, states = ASSETS["style.css"], ASSETS["states.js"]
    dashes = {state: re.findall(rf"\.s-{state} \{{ --state: [^;]+;(?: --dash: ([\d ]+);)? }}", css) for state in STATES}
    assert all(len(found) == 1 for found in dashes.values()), dashes
    assert len({found[0] for found in dashes.values()}) == len(STATES)
    signs = dict(re.findall(r'name: "([\w-]+)", mark: "(.)"', states))
    assert len({signs[state] for state in STATES}) == len(STATES)
