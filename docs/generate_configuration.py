"""Write docs/configuration.md from the schema; run it with PYTHONPATH=bridge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from softmesh.config.schema import schema

TARGET = Path(__file__).parent / "configuration.md"

INTRODUCTION = """\
# Configuration

One YAML file, `/etc/softmesh/mesh.yaml` unless told otherwise. `softmesh check FILE` says what is wrong with
it, with line and remedy; `softmesh run` does the same check before it starts. Whole files are in
[examples](examples): [minimal](examples/minimal.yaml), [every key](examples/full.yaml),
[IPv4 over an IPv6 core](examples/four-over-six.yaml), [IPv6 over an IPv4 core](examples/six-over-four.yaml),
[types 5 and 6, GRE, L2TPv3 and levels of protection](examples/protect.yaml),
[certificates of a CA](examples/pki.yaml).
For editors there is a JSON Schema in the package, `softmesh/config/mesh.schema.json`.

- Paths that do not begin with `/` start from the file's own directory.
- Private keys, passwords and group keys must be closed to group and others: `chmod 600 FILE`. They stand in files of
  their own, never in this one.
- Unknown keys, keys given twice, networks with host bits and values of a wrong type are errors, and all
  of them are reported at once.
- Numbers are read as in YAML 1.2, so an IPv6 address is never taken for one; `true`, `yes` and `on` mean the
  same. Anchors, aliases and tags are not supported.
- YAML wants quotes around an IPv6 value that ends with `::`, and inside `[ ]` also around one that begins
  with it: `["::/0"]`.

This page is generated from the schema by `docs/generate_configuration.py`.
"""


def page() -> str:
    """Give the whole page."""
    whole = schema()
    definitions = whole["$defs"]
    top = definitions["Config"]
    sections = {key: value for key, value in top["properties"].items() if _reference(value, definitions) is not None}
    plain = {key: value for key, value in top["properties"].items() if key not in sections}
    lists = {key: value for key, value in plain.items() if _reference(value.get("items", {}), definitions) is not None}
    parts = [INTRODUCTION, "## Top level\n", _table(plain, top["required"], definitions)]
    for key, value in top["properties"].items():
        if key in sections:
            parts += _section(key, value["description"], _reference(value, definitions), definitions)
        elif key in lists:
            item = _reference(value["items"], definitions)
            parts += _section(f"{key}[]", item["description"], item, definitions)
    return "\n".join(parts)


def _section(name: str, description: str, definition: Any, definitions: dict[str, Any]) -> list[str]:
    parts = [
        f"## `{name}`\n",
        f"{description}\n",
        _table(definition["properties"], definition["required"], definitions),
    ]
    for key, value in definition["properties"].items():
        item = _reference(value.get("items", {}), definitions)
        if item is not None:
            parts += _section(f"{name}.{key}[]", item["description"], item, definitions)
        for choice in value.get("anyOf", []):
            inner = _reference(choice, definitions)
            if inner is not None:
                parts += _section(f"{name}.{key}", inner["description"], inner, definitions)
    return parts


def _reference(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any] | None:
    """Follow a reference to a section; None for what is not one."""
    target: dict[str, Any] = definitions.get(value.get("$ref", "").rpartition("/")[2], {})
    return target if target.get("type") == "object" else None


def _table(properties: dict[str, Any], required: list[str], definitions: dict[str, Any]) -> str:
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key, value in properties.items():
        default = "**required**" if key in required else f"`{json.dumps(value['default'], ensure_ascii=False)}`"
        lines.append(f"| `{key}` | {_type(value, definitions)} | {default} | {value['description']} |")
    return "\n".join(lines) + "\n"


def _type(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say in words what a value may be."""
    if "$ref" in value:
        target = definitions[value["$ref"].rpartition("/")[2]]
        return "mapping" if target.get("type") == "object" else _type(target, definitions)
    if "enum" in value:
        return " or ".join(f"`{choice}`" for choice in value["enum"])
    kinds = value.get("anyOf", [])
    if kinds and "type" not in value:
        return " or ".join(_type(kind, definitions) for kind in kinds)
    match value["type"]:
        case "array":
            return f"list of {_type(value['items'], definitions)}"
        case "integer":
            return f"whole number, {value['minimum']} to {value['maximum']}"
        case "number":
            low = value.get("minimum", value.get("exclusiveMinimum"))
            bound = "from" if "minimum" in value else "above"
            return f"number, {bound} {low} to {value['maximum']}"
        case "boolean":
            return "true or false"
        case "null":
            return "null"
    return _text_type(value)


def _text_type(value: dict[str, Any]) -> str:
    if value.get("format") == "ipv4":
        return "IPv4 address"
    if "title" in value:
        return str(value["title"])
    if "anyOf" in value:
        return "IP address"
    if value.get("minLength") == 1:
        return "path"
    return "network" if "/" in value["pattern"] else "proposal"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
