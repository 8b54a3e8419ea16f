"""The JSON Schema of the configuration file, for editors and for whoever generates configurations.

It is generated from values.py and stored in the package; ``python -m softmesh.config`` prints it anew.
"""

from __future__ import annotations

import enum
import importlib.resources
import inspect
import json
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import msgspec

from softmesh.bgp.codepoints import TunnelType
from softmesh.config import values

STORED = "mesh.schema.json"

SECTIONS: tuple[type[values.Section], ...] = (
    values.Config,
    values.Bgp,
    values.Neighbor,
    values.Announce,
    values.AnnouncedTunnel,
    values.IdentityFiles,
    values.OwnKey,
    values.Admission,
    values.Dampening,
    values.PeerGroup,
    values.TrustRules,
    values.Trust,
    values.KeySource,
    values.Protection,
    values.ProtectionRule,
    values.Select,
    values.SoftwireEntry,
    values.Charon,
    values.DataPlane,
    values.Sockets,
    values.Http,
    values.Log,
)
"""Every mapping of the file, in the file's order."""

_KEY_SOURCES = [
    {"properties": {key: given}, "required": [key]}
    for key, given in (("directory", {"type": "string"}), ("announced", {"const": True}), ("url", {"type": "string"}))
]


def stored_schema() -> str:
    """Give the schema as stored in the package."""
    return importlib.resources.files("softmesh.config").joinpath(STORED).read_text("utf-8")


def schema_text() -> str:
    """Generate the schema as it is stored: indented JSON with a final newline."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """Generate the schema."""
    generated = msgspec.json.schema(values.Config, schema_hook=_custom)
    for section in SECTIONS:
        properties = generated["$defs"][section.__name__]["properties"]
        for field in msgspec.structs.fields(section):
            # msgspec's own defaults are of the value, not of the text (a tunnel type's number), or missing (a
            # path).
            if not field.required:
                properties[field.encode_name]["default"] = _plain(default_of(field))
    for definition in generated["$defs"].values():
        # A docstring, which only Python 3.13 and later takes out of its indentation.
        definition["description"] = inspect.cleandoc(definition.get("description", ""))
    generated["$defs"]["KeySource"]["oneOf"] = _KEY_SOURCES
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Softmesh configuration",
        **generated,
    }


def default_of(field: msgspec.structs.FieldInfo) -> object:
    """Give the value of a key that is left out."""
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _custom(kind: type) -> dict[str, Any]:
    """Describe a type msgspec does not know; the patterns catch slips, the reader is stricter."""
    match values.FORMS[kind]:
        case values.Form.ADDRESS:
            return {
                "type": "string",
                "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}],
                "pattern": "^[0-9a-fA-F:.]+$",
                "description": "An IPv4 or IPv6 address.",
            }
        case values.Form.IPV4_ADDRESS:
            return {"type": "string", "format": "ipv4", "description": "An IPv4 address."}
        case values.Form.NETWORK:
            return {
                "type": "string",
                "pattern": "^[0-9a-fA-F:.]+/[0-9]{1,3}$",
                "description": "A network as address/length, host bits zero.",
            }
        case values.Form.PATH:
            return {
                "type": "string",
                "minLength": 1,
                "description": "A path; a relative one starts from the file's directory.",
            }
        case values.Form.ANNOUNCED_TUNNEL:
            return {"enum": list(values.ANNOUNCED_TUNNEL_TYPES)}
        case values.Form.ACCEPTED_TUNNEL:
            return {"enum": list(values.ACCEPTED_TUNNEL_TYPES)}
        case values.Form.CONFIGURED_TUNNEL:
            return {"enum": list(values.CONFIGURED_TUNNEL_TYPES)}
        case values.Form.AUTHENTICATOR:
            return {
                "type": "string",
                "title": "authenticator",
                "pattern": "^([0-9a-fA-F]{40}|[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){19})$",
                "description": "SHA-1 over a SubjectPublicKeyInfo, 40 hex digits.",
            }
        case values.Form.INTERFACE_NAME:
            return {
                "type": "string",
                "title": "interface name",
                "pattern": f"^{values.INTERFACE_NAME}$",
                "description": "The name of a network interface.",
            }
        case values.Form.GROUP_NAME:
            return {
                "type": "string",
                "title": "group name",
                "pattern": f"^{values.GROUP_NAME}$",
                "description": "The name of a peer group.",
            }
        case values.Form.IDENTITY_TEMPLATE:
            return {
                "type": "string",
                "title": "name with {endpoint} or {label}",
                "pattern": f"^{values.IDENTITY_TEMPLATE}$",
                "description": "The name of a router, made of its endpoint.",
            }
        case values.Form.STORE_URL:
            return {
                "type": "string",
                "title": "URL with {sha1}",
                "pattern": f"^{values.STORE_URL}$",
                "description": "The URL of the key of a hash.",
            }


def _plain(value: object) -> object:
    """Write a default as it would stand in the file."""
    match value:
        case TunnelType():
            return value.keyword
        case tuple():
            return [_plain(item) for item in value]
        case msgspec.Struct():
            fields = msgspec.structs.fields(value)
            written = {field.name: getattr(value, field.name) for field in fields}
            return {
                field.encode_name: _plain(written[field.name])
                for field in fields
                if field.required or written[field.name] != default_of(field)
            }
        case enum.Enum():
            return value.value
        case Path() | IPv4Address() | IPv6Address():
            return str(value)
        case _:
            return value
