"""Nodes of a document to typed values, with everything that is wrong reported at once.

Driven by msgspec's own description of the types in values.py, so a key is written down in one place only. A
value that is wrong is reported and replaced by its default, so that the rest can still be judged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import NODEFAULT, inspect

from softmesh.config import values
from softmesh.config.document import Mapping, Node, Report, Scalar, Sequence
from softmesh.config.problems import KeyPath, clip, near
from softmesh.mesh.softwire import Address, Network


class _Wrong:
    """Stands for a value that has been reported."""


WRONG: Final = _Wrong()


class Reader:
    """Reads one document; relative paths in it start from ``directory``."""

    def __init__(self, directory: Path, report: Report) -> None:
        self._directory = directory
        self._report = report
        self.misspelled: set[KeyPath] = set()
        """Keys that stand in the file under another name, most likely, and have their default for that reason."""

    def read(self, node: Node) -> values.Config | None:
        """Read the whole; None where something required is missing or wrong."""
        config = self._read(node, inspect.type_info(values.Config), ())
        return config if isinstance(config, values.Config) else None

    def _wrong(self, node: Node, path: KeyPath, message: str, remedy: str) -> _Wrong:
        self._report(node.place, path, message, remedy)
        return WRONG

    def _read(self, node: Node, kind: inspect.Type, path: KeyPath) -> Any:
        match kind:
            case inspect.Metadata(type=inner):
                return self._read(node, inner, path)
            case inspect.UnionType(types=types):
                if isinstance(node, Scalar) and node.value is None:
                    return None
                return self._read(node, next(t for t in types if not isinstance(t, inspect.NoneType)), path)
            case inspect.StructType():
                return self._section(node, kind, path)
            case inspect.VarTupleType():
                return self._list(node, kind, path)
            case _:
                return self._scalar(node, kind, path)

    def _section(self, node: Node, kind: inspect.StructType, path: KeyPath) -> Any:
        fields = {field.encode_name: field for field in kind.fields}
        if isinstance(node, Scalar) and node.value is None:
            return self._wrong(node, path, "nothing below this key", f"remove the key, or give it {_any_of(fields)}")
        if not isinstance(node, Mapping):
            return self._wrong(node, path, f"must be a mapping, not {_shown(node)}", _as_mapping(node, fields))
        for key, entry in node.entries.items():
            if key not in fields:
                absent = [name for name in fields if name not in node.entries] or list(fields)
                meant = near(key, absent)
                if meant:
                    self.misspelled.add((*path, meant))
                remedy = f"did you mean {_quoted(meant)}?" if meant else f"the keys here are {_all_of(fields)}"
                self._report(entry.place, (*path, key), f"unknown key {_quoted(key)}", remedy)
        known: dict[str, Any] = {}
        complete = True
        for name, field in fields.items():
            if name not in node.entries:
                if field.required and (*path, name) not in self.misspelled:
                    self._wrong(node, (*path, name), "required, but missing", f"add the key {name}")
                complete = complete and not field.required
                continue
            value = self._read(node.entries[name].value, field.type, (*path, name))
            if value is not WRONG:
                known[field.name] = value
            elif field.default is NODEFAULT and field.default_factory is NODEFAULT:
                complete = False
        return kind.cls(**known) if complete else WRONG

    def _list(self, node: Node, kind: inspect.VarTupleType, path: KeyPath) -> Any:
        if isinstance(node, Mapping):
            return self._wrong(node, path, "must be a list, not a mapping", "begin each item with '- '")
        if isinstance(node, Scalar):
            written = "[]" if node.value is None else f"[{node.text}]"
            shown = "empty" if node.value is None else _shown(node)
            return self._wrong(node, path, f"must be a list, not {shown}", f"write {clip(written)}")
        if kind.min_length and len(node.items) < kind.min_length:
            return self._wrong(
                node,
                path,
                "must not be empty",
                "give it at least one item, or remove the key for the default",
            )
        items = [self._read(item, kind.item_type, (*path, index)) for index, item in enumerate(node.items)]
        items = [item for item in items if item is not WRONG]
        if node.items and not items:
            return WRONG
        return tuple(items)

    def _scalar(self, node: Node, kind: inspect.Type, path: KeyPath) -> Any:
        if not isinstance(node, Scalar):
            return self._wrong(node, path, f"must be a single value, not {_shown(node)}", "write one value here")
        try:
            return self._value(node, kind)
        except _UnfitError as unfit:
            return self._wrong(node, path, unfit.message, unfit.remedy)

    def _value(self, node: Scalar, kind: inspect.Type) -> Any:
        match kind:
            case inspect.BoolType():
                if isinstance(node.value, bool):
                    return node.value
                raise _UnfitError(f"must be true or false, not {_shown(node)}", "write true or false")
            case inspect.IntType():
                if isinstance(node.value, int) and not isinstance(node.value, bool) and _within(node.value, kind):
                    return node.value
                raise _UnfitError(
                    f"must be a whole number {_range(kind)}, not {_shown(node)}",
                    "write such a number, without unit",
                )
            case inspect.FloatType():
                if isinstance(node.value, int | float) and not isinstance(node.value, bool):
                    number = float(node.value)
                    if math.isfinite(number) and _within(number, kind):
                        return number
                raise _UnfitError(
                    f"must be a number {_range(kind)}, not {_shown(node)}",
                    "write such a number, without unit",
                )
            case inspect.EnumType(cls=cls):
                return _choice(node, {str(member.value): member for member in cls})
            case inspect.StrType():
                fits = isinstance(node.value, str) and len(node.value) <= (kind.max_length or math.inf)
                if fits and (kind.pattern is None or re.search(kind.pattern, node.text)):
                    return node.value
                raise _UnfitError(
                    f"must be a proposal such as aes256gcm16-x25519, not {_shown(node)}",
                    "write lower-case algorithm names joined by '-'",
                )
            case inspect.CustomType(cls=cls):
                return self._form(node, values.FORMS[cls])
        raise TypeError(f"configuration type without a reader: {kind}")

    def _form(self, node: Scalar, form: values.Form) -> Any:
        match form:
            case values.Form.ANNOUNCED_TUNNEL:
                return _choice(node, values.ANNOUNCED_TUNNEL_TYPES)
            case values.Form.ACCEPTED_TUNNEL:
                return _choice(node, values.ACCEPTED_TUNNEL_TYPES)
            case values.Form.CONFIGURED_TUNNEL:
                return _choice(node, values.CONFIGURED_TUNNEL_TYPES)
            case values.Form.AUTHENTICATOR:
                return _authenticator(node)
            case values.Form.INTERFACE_NAME:
                return _interface_name(node)
            case values.Form.GROUP_NAME:
                return _group_name(node)
            case values.Form.IDENTITY_TEMPLATE:
                return _identity_template(node)
            case values.Form.STORE_URL:
                return _store_url(node)
            case values.Form.NETWORK:
                return network(node.text)
            case values.Form.ADDRESS:
                return address(node.text)
            case values.Form.IPV4_ADDRESS:
                found = address(node.text)
                if isinstance(found, IPv4Address):
                    return found
                raise _UnfitError(f"must be written as an IPv4 address, not {found}", "write it as in 10.255.0.1")
            case values.Form.PATH:
                return self._path(node)

    def _path(self, node: Scalar) -> Path:
        if not isinstance(node.value, str) or not node.value:
            raise _UnfitError(f"must be a path, not {_shown(node)}", "write a path; quote it if it looks like a number")
        text = node.value
        if text.startswith("unix:"):
            raise _UnfitError(
                "must be a path, not a URI",
                f"write {clip(text.removeprefix('unix:').replace('//', '', 1))}",
            )
        if text.startswith("~"):
            raise _UnfitError(f"{_quoted(text)}: ~ is not expanded", "write the whole path")
        if not text.isprintable():
            raise _UnfitError("a path with unprintable characters", "remove them")
        return self._directory / text


class _UnfitError(Exception):
    """A scalar that is not what its key needs."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def address(text: str) -> Address:
    """Read an address as operators write one; no mapped form, no zone, no prefix length."""
    if "/" in text:
        raise _UnfitError(f"must be one address, not {_quoted(text)}", f"write {clip(text.partition('/')[0])}")
    if "%" in text:
        raise _UnfitError(f"an address with a zone ({clip(text)})", "use an address that is not link-local")
    try:
        found = ip_address(text)
    except ValueError:
        raise _UnfitError(
            f"must be an IP address, not {_quoted(text)}", "write it as 192.0.2.1 or 2001:db8::1"
        ) from None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        raise _UnfitError(f"an IPv4 address written as IPv6 ({text})", f"write {found.ipv4_mapped}")
    return found


def network(text: str) -> Network:
    """Read a network as operators write one; host bits must be zero."""
    base, slash, length = text.partition("/")
    if not slash:
        try:
            whole = ip_network(base)
        except ValueError:
            raise _UnfitError(
                f"must be a network, not {_quoted(text)}", "write it as 192.0.2.0/24 or 2001:db8::/32"
            ) from None
        raise _UnfitError(f"no prefix length after {_quoted(text)}", f"write {whole} if the one address is meant")
    try:
        loose = ip_network(text, strict=False)
    except ValueError:
        raise _UnfitError(
            f"must be a network, not {_quoted(text)}", "write it as 192.0.2.0/24 or 2001:db8::/32"
        ) from None
    if not re.fullmatch("[0-9]{1,3}", length):
        raise _UnfitError(f"a network with a mask ({clip(text)})", f"write {loose}")
    if ip_address(base) != loose.network_address:
        raise _UnfitError(f"{_quoted(text)} has host bits set", f"the network is {loose}")
    mapped = getattr(loose.network_address, "ipv4_mapped", None)
    if mapped is not None and loose.prefixlen >= 96:
        raise _UnfitError(
            f"an IPv4 network written as IPv6 ({text})",
            f"write {IPv4Network((mapped, loose.prefixlen - 96))}",
        )
    return loose


def _authenticator(node: Scalar) -> bytes:
    digits = node.text.replace(":", "")
    if re.fullmatch("[0-9a-fA-F]{40}", digits) and re.fullmatch("[^:]+|[^:]{2}(:[^:]{2})+", node.text):
        return bytes.fromhex(digits)
    raise _UnfitError(
        f"must be an authenticator of 40 hex digits, not {_shown(node)}",
        "write what softmesh check prints on the peer",
    )


def _interface_name(node: Scalar) -> str:
    if isinstance(node.value, str) and re.fullmatch(values.INTERFACE_NAME, node.text) and node.text.strip("."):
        return node.text
    raise _UnfitError(
        f"must be the name of an interface, not {_shown(node)}",
        "write it as ip link shows it, such as eth0"
        if node.value is None or isinstance(node.value, str)
        else "put it in quotes if that is its name",
    )


def _group_name(node: Scalar) -> str:
    if isinstance(node.value, str) and re.fullmatch(values.GROUP_NAME, node.text):
        return node.text
    raise _UnfitError(
        f"must be a name, not {_shown(node)}",
        "write at most 64 letters, digits, '.', '_' and '-', beginning with a letter",
    )


def _identity_template(node: Scalar) -> str:
    if isinstance(node.value, str) and re.fullmatch(values.IDENTITY_TEMPLATE, node.text):
        return node.text
    raise _UnfitError(
        f"must be a name with {{endpoint}} or {{label}} in it, not {_shown(node)}",
        "write '{endpoint}' for the address itself, or as in '{label}.mesh.example'",
    )


def _store_url(node: Scalar) -> str:
    if isinstance(node.value, str):
        if "@" in node.text:
            # Not shown: what stands before it may be a password, and messages are logged.
            raise _UnfitError(
                "holds an @, as user and password would, and a secret must not stand in this file",
                "let the store be read without one, for its keys are public; write an @ of the path as %40",
            )
        if re.fullmatch(values.STORE_URL, node.text) and _names_host(node.text):
            return node.text
    raise _UnfitError(
        f"must be a URL with {{sha1}} in its path, not {_shown(node)}",
        "write it as https://keys.example/{sha1}",
    )


def _names_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Looking at the port has it checked.
        return bool(parts.hostname) and "{" not in parts.netloc and parts.port != 0
    except ValueError:
        return False


def _as_mapping(node: Node, fields: dict[str, inspect.Field]) -> str:
    """Tell how to write a section that was given as one value: under the key that takes this value, if one does."""
    if isinstance(node, Scalar):
        for key, field in fields.items():
            for kind in _alternatives(field.type):
                if isinstance(kind, inspect.EnumType) and node.value in {member.value for member in kind.cls}:
                    return f"write {{{key}: {node.text}}}"
    return f"give it the keys {_any_of(fields)}"


def _alternatives(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    """The types that a value may be of."""
    if isinstance(kind, inspect.Metadata):
        return _alternatives(kind.type)
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _choice(node: Scalar, choices: dict[str, Any]) -> Any:
    if isinstance(node.value, str) and node.value in choices:
        return choices[node.value]
    raise _UnfitError(f"must be {_any_of(choices)}, not {_shown(node)}", _suggestion(node.text, choices))


def _suggestion(word: str, choices: Iterable[str]) -> str:
    meant = near(word, choices)
    return f"did you mean {_quoted(meant)}?" if meant else f"use {_any_of(choices)}"


def _all_of(choices: Iterable[str]) -> str:
    return ", ".join(choices)


def _any_of(choices: Iterable[str]) -> str:
    *rest, last = choices
    return f"{', '.join(rest)} or {last}" if rest else last


def _within(number: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return not (
        (kind.ge is not None and number < kind.ge)
        or (kind.gt is not None and number <= kind.gt)
        or (kind.le is not None and number > kind.le)
    )


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    low = f"from {kind.ge:.15g}" if kind.ge is not None else f"above {kind.gt:.15g}"
    return f"{low} to {kind.le:.15g}"


def _shown(node: Node) -> str:
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(value=None):
            return "empty"
    return _quoted(node.text)


def _quoted(text: str) -> str:
    return f"'{clip(text)}'"
