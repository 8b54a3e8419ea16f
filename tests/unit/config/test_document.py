"""YAML: what is refused, where, and how plain scalars are read."""

from __future__ import annotations

import pytest
import yaml

from softmesh.config import document
from softmesh.config.document import Mapping, Node, interpret, place_of, read_document
from softmesh.config.problems import KeyPath, Place
from tests.unit.config.site import GOOD, Site, changed


def read(text: str) -> tuple[Node | None, list[str]]:
    reports: list[str] = []

    def report(place: Place, path: KeyPath, message: str, remedy: str) -> None:
        reports.append(f"{place.line}:{place.column}: {message}; {remedy}")

    return read_document(text, report), reports


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", "2:1: key given twice, first in line 1; keep one of them"),
        ("a:\n  b: 1\n  b: 1\n", "3:3: key given twice, first in line 2; keep one of them"),
        (
            "a: &x 1\n",
            "1:4: YAML anchors and aliases (& and *) are not supported; write the value out, or quote it",
        ),
        (
            "a: *x\n",
            "1:4: YAML anchors and aliases (& and *) are not supported; write the value out, or quote it",
        ),
        (
            "a: !!python/object:os.system x\n",
            "1:4: YAML tags (!) are not supported; remove the tag, or quote the value",
        ),
        ("a: !!set {x}\n", "1:4: YAML tags (!) are not supported; remove the tag, or quote the value"),
        ("a: 1\n---\nb: 1\n", "2:1: a second document begins; keep one document: remove the line ---"),
        (
            "a: 1\n? [x]\n: 2\n",
            "2:3: a key must be a plain word; write the key as a word, or quote the value in braces",
        ),
        (
            "a: [::/0]\n",
            "1:5: not YAML: did not find expected node content; quote an IPv6 value that begins or ends with ::",
        ),
        (
            "a: 2001:db8::\n",
            "1:13: not YAML: mapping values are not allowed in this context; quote an IPv6 value"
            " that begins or ends with ::",
        ),
        (
            "a: b: c\n",
            "1:5: not YAML: mapping values are not allowed in this context; correct it at or above this place",
        ),
        (
            "a: 1\n\tb: 2\n",
            "2:1: not YAML: found a tab character that violates indentation; correct it at or above this place",
        ),
        ("a: 1\nb: \x07\n", "2:4: character U+0007 is not allowed in YAML; remove it"),
        (
            "[" * 30 + "]" * 30,
            "1:17: nested more than 16 deep; see docs/configuration.md for the keys there are",
        ),
    ],
)
def test_refused_with_place_and_remedy(text: str, problem: str) -> None:
    assert read(text)[1] == [problem]


def test_depth_is_bounded_without_reading_on() -> None:
    assert len(read("[" * 500_000)[1]) == 1


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n...\n"])
def test_nothing_in_the_file(site: Site, text: str) -> None:
    assert site.errors(text) == ["1:1: nothing in the file; begin with docs/examples/minimal.yaml"]


def test_not_utf_8(site: Site) -> None:
    text = GOOD.encode().replace(b"managed: true", b"managed: true # \xe9t\xe9")
    assert site.errors(text) == ["3:19: octet 0xe9 is not UTF-8; save the file as UTF-8"]


def test_byte_order_mark_does_no_harm(site: Site) -> None:
    assert site.errors(b"\xef\xbb\xbf" + GOOD.encode()) == []


def test_carriage_returns_do_no_harm(site: Site) -> None:
    assert site.errors(GOOD.replace("\n", "\r\n")) == []


def test_oversized(site: Site) -> None:
    assert site.errors("#" * ((1 << 20) + 1)) == ["1:1: more than 1048576 octets; name a configuration file"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2001:10:20:30:40:50:1:2", "2001:10:20:30:40:50:1:2"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0x0A", 10),
        ("-7", -7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2001-01-01", "2001-01-01"),
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_plain_scalars(text: str, value: object) -> None:
    assert interpret(text) == value
    assert type(interpret(text)) is type(value)


def test_quoted_is_text(site: Site) -> None:
    assert site.errors(changed("asn: 65000", "asn: '65000'")) == [
        "4:8: bgp.asn: must be a whole number from 1 to 4294967294, not '65000'; write such a number, without unit"
    ]


def test_places_of_keys_and_of_what_is_not_there() -> None:
    node, reports = read("a:\n  b:\n    - c: 1\n")
    assert reports == []
    assert isinstance(node, Mapping)
    assert place_of(node, ("a", "b", 0, "c")) == Place(3, 7)
    assert place_of(node, ("a", "b", 3)) == Place(2, 3)
    assert place_of(node, ("a", "x", "y")) == Place(1, 1)
    assert place_of(node, ()) == Place(1, 1)


def test_without_libyaml(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    assert site.errors(GOOD) == []
    assert site.errors(changed("managed: true", "managed: perhaps"))[0].startswith("3:12: bgp.managed: must be")
    assert len(site.errors("[" * 5000)) == 1
