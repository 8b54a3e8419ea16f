"""What is shipped beside the code is what the code says: examples, schema, reference."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from softmesh.config import values
from softmesh.config.schema import SECTIONS, default_of, schema, schema_text, stored_schema
from tests.unit.config.site import EXAMPLES, GOOD, Site

DOCS = EXAMPLES.parent
NAMES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))


def test_there_are_examples() -> None:
    assert NAMES == [
        "four-over-six.yaml",
        "full.yaml",
        "minimal.yaml",
        "pki.yaml",
        "protect.yaml",
        "six-over-four.yaml",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_example_has_neither_errors_nor_warnings(site: Site, name: str) -> None:
    shutil.copy(EXAMPLES / name, site.file)
    assert site.warnings(site.file.read_bytes()) == []


@pytest.mark.parametrize("name", NAMES)
def test_example_satisfies_the_schema(name: str) -> None:
    jsonschema.validate(yaml.safe_load((EXAMPLES / name).read_text()), schema())


def test_full_example_shows_every_key() -> None:
    def keys(kind: Any, node: Any) -> None:
        assert isinstance(node, dict)
        assert list(node) == [field.encode_name for field in msgspec.structs.fields(kind)]

    full = yaml.safe_load((EXAMPLES / "full.yaml").read_text())
    keys(values.Config, full)
    for name, kind in [
        ("bgp", values.Bgp),
        ("announce", values.Announce),
        ("identity", values.IdentityFiles),
        ("admission", values.Admission),
        ("trust", values.Trust),
        ("protection", values.Protection),
        ("select", values.Select),
        ("charon", values.Charon),
        ("dataplane", values.DataPlane),
        ("sockets", values.Sockets),
        ("http", values.Http),
        ("log", values.Log),
    ]:
        keys(kind, full[name])
    keys(values.Neighbor, full["bgp"]["neighbors"][0])
    keys(values.AnnouncedTunnel, full["announce"]["tunnels"][0])
    keys(values.OwnKey, full["identity"]["also"][0])
    keys(values.Dampening, full["admission"]["dampening"])
    keys(values.PeerGroup, full["groups"][0])
    keys(values.TrustRules, full["groups"][0]["trust"])
    shown = {key for source in full["trust"]["keys"] for key in source}
    assert shown == {field.encode_name for field in msgspec.structs.fields(values.KeySource)}
    keys(values.ProtectionRule, full["protection"]["rules"][0])
    keys(values.SoftwireEntry, full["softwires"][0])


def test_full_example_says_default_only_of_defaults(site: Site) -> None:
    text = (EXAMPLES / "full.yaml").read_text()
    lines = text.splitlines()
    config = site.examine(text).config
    assert config is not None
    checked = []
    sections = (
        "bgp",
        "announce",
        "admission",
        "trust",
        "protection",
        "select",
        "charon",
        "dataplane",
        "sockets",
        "http",
        "log",
    )
    for section in sections:
        begin = next(index for index, line in enumerate(lines) if line.startswith(f"{section}:"))
        value = getattr(config, section)
        for field in msgspec.structs.fields(value):
            line = next(line for line in lines[begin:] if line.startswith(f"  {field.encode_name}:"))
            if re.search("# default($|[;:,])", line):
                assert getattr(value, field.name) == default_of(field), line
                checked.append(line)
    assert len(checked) > 28


def test_schema_in_the_package_is_fresh() -> None:
    assert stored_schema() == schema_text(), "python -m softmesh.config > bridge/softmesh/config/mesh.schema.json"


def test_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(stored_schema()))


def test_schema_knows_every_section_and_key() -> None:
    definitions = schema()["$defs"]
    for section in SECTIONS:
        described = definitions[section.__name__]["properties"]
        fields = msgspec.structs.fields(section)
        assert list(described) == [field.encode_name for field in fields]
        assert all(described[field.encode_name].get("description") for field in fields)
        assert all(("default" in described[field.encode_name]) != field.required for field in fields)
    assert set(definitions) - {section.__name__ for section in SECTIONS} == {
        "AnnouncementCarrier",
        "AttributeUse",
        "DataPlaneMode",
        "Family",
        "Guards",
        "Level",
        "LogFormat",
        "LogLevel",
        "Selectors",
        "SessionProtection",
        "TrustMode",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"neighbours": []},
        {"dataplane": "route"},
        {"dataplane": {"core_devices": ["eth 0"]}},
        {"dataplane": {"core_mtu": 1279}},
        {"groups": [{"name": "a b", "endpoints": ["2001:db8:f::/64"]}]},
        {"groups": [{"name": "hubs", "endpoints": []}]},
        {"protection": {"rules": [{"groups": ["hubs"]}]}},
        {"protection": {"default": "none"}},
        {"softwires": [{"remote": "2001:db8:f::2", "tunnel": "gre"}]},
        {"softwires": [{"remote": "2001:db8:f::2", "tunnel": "gre", "authenticators": ["ab"]}]},
        {"softwires": [{"remote": "2001:db8:f::2", "tunnel": "transmit-only", "authenticators": ["ab" * 20]}]},
        {"charon": {"ike_proposals": []}},
        {"announce": {"prefixes": ["10.0.0.0"]}},
        {"trust": {"keys": [{"directory": "keys", "announced": True}]}},
        {"trust": {"keys": [{"announced": False}]}},
        {"trust": {"keys": [{"url": None}]}},
        {"trust": {"keys": [{"url": "https://keys.example/"}]}},
        {"trust": {"keys": [{"url": "ftp://keys.example/{sha1}"}]}},
        {"trust": {"keys": [{"url": "https://a:b@keys.example/{sha1}"}]}},
        {"trust": {"identity": "router.example"}},
        {"trust": {"identity": "*.{label}"}},
        {"trust": {"mode": "psk"}},
        {"groups": [{"name": "hubs", "endpoints": ["2001:db8:f::/64"], "trust": {"keys": []}}]},
        {"bgp": {"asn": 1, "neighbors": [{"address": "::1", "protection": "tls"}]}},
        {"select": {"tunnels": [4]}},
        {"charon": {"max_half_open": 0}},
        {"endpoint": "router1.example"},
    ],
)
def test_schema_refuses(change: dict[str, Any]) -> None:
    good = yaml.safe_load(GOOD)
    jsonschema.validate(good, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | change, schema())


def test_defaults_can_be_written_into_the_file(site: Site) -> None:
    """The default the schema gives for a key means the same when it is spelt out."""
    definitions = schema()["$defs"]
    good = yaml.safe_load(GOOD)
    for section in SECTIONS:
        for field in msgspec.structs.fields(section):
            default = definitions[section.__name__]["properties"][field.encode_name].get("default")
            place = {"Config": good}.get(section.__name__) or good.get(section.__name__.lower())
            if field.required or place is None or default == {} or field.encode_name in place:
                continue
            place[field.encode_name] = default
    written, plain = site.examine(yaml.safe_dump(good)).config, site.examine(GOOD).config
    assert written is not None
    assert written == plain
    assert default_of(msgspec.structs.fields(values.Sockets)[0]) == Path("/run/softmesh")


def test_reference_is_fresh() -> None:
    generator = runpy.run_path(str(DOCS / "generate_configuration.py"))
    assert (DOCS / "configuration.md").read_text() == generator["page"](), (
        "PYTHONPATH=bridge python docs/generate_configuration.py"
    )


def test_reference_has_every_key() -> None:
    text = (DOCS / "configuration.md").read_text()
    for section in SECTIONS:
        for field in msgspec.structs.fields(section):
            assert f"`{field.encode_name}`" in text
