"""What charon says of itself as values: list-conns, list-sas, get-keys and the sections of its events.

Only what carries our prefix is read. Absent keys read as empty, for charon leaves out what does not apply.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from string import hexdigits

from softmesh.charon.connection import OWNED
from softmesh.charon.observed import ChildSa, IkeSa
from softmesh.charon.packet import Section, Value
from softmesh.errors import printable

_ALL_BITS = 0xFFFFFFFF


def connections(listed: Iterable[Section]) -> Mapping[str, frozenset[str]]:
    """Our connections and their children's names, from the ``list-conn`` events of list-conns."""
    return {
        name: frozenset(_section(value, "children"))
        for event in listed
        for name, value in event.items()
        if name.startswith(OWNED) and isinstance(value, dict)
    }


def ike_sas(listed: Iterable[Section]) -> tuple[IkeSa, ...]:
    """Our IKE_SAs, from the ``list-sa`` events of list-sas, or from any event that is about an SA."""
    return tuple(
        _ike_sa(name, value)
        for event in listed
        for name, value in event.items()
        if name.startswith(OWNED) and isinstance(value, dict)
    )


def ike_sa_count(stats: Section) -> int:
    """How many IKE_SAs there are, of whomever, from the reply to stats."""
    return _number(_section(stats, "ikesas").get("total"))


def key_ids(reply: Section) -> frozenset[str]:
    """Identifiers of the private keys charon holds, from the reply to get-keys."""
    keys = reply.get("keys", [])
    return frozenset(text(key) for key in keys) if isinstance(keys, list) else frozenset()


def secret_names(reply: Section) -> frozenset[str]:
    """Names of our pre-shared keys, from the reply to get-shared."""
    names = reply.get("keys", [])
    found = (text(name) for name in names) if isinstance(names, list) else ()
    return frozenset(name for name in found if name.startswith(OWNED))


def certificates(listed: Iterable[Section]) -> frozenset[bytes]:
    """Certificates or CRLs in DER, from the ``list-cert`` events of list-certs."""
    return frozenset(data for event in listed if isinstance(data := event.get("data"), bytes))


def is_up(event: Section) -> bool:
    """Whether an ike-updown or child-updown event says up: a down event lacks the key."""
    return event.get("up") == b"yes"


def text(value: object) -> str:
    """A value as text; octets that are no UTF-8, or cannot be printed (an identity may hold any), are escaped."""
    return printable(value.decode("utf-8", "backslashreplace")) if isinstance(value, bytes) else ""


def _ike_sa(connection: str, described: Section) -> IkeSa:
    sa = _newest(described)
    return IkeSa(
        connection=connection,
        unique_id=_unique_id(sa),
        state=text(sa.get("state")),
        initiator=sa.get("initiator") == b"yes",
        local_host=_host(sa.get("local-host")),
        remote_host=_host(sa.get("remote-host")),
        local_id=text(sa.get("local-id")),
        remote_id=text(sa.get("remote-id")),
        initiator_spi=text(sa.get("initiator-spi")),
        responder_spi=text(sa.get("responder-spi")),
        established_for=_number(sa.get("established")) if "established" in sa else None,
        tasks=_texts(sa.get("tasks-queued")) | _texts(sa.get("tasks-active")),
        children=tuple(
            _child_sa(name, child) for name, child in _section(sa, "child-sas").items() if isinstance(child, dict)
        ),
    )


def _child_sa(section: str, described: Section) -> ChildSa:
    sa = _newest(described)
    # Up to 5.2 the section was the name alone; since then it is name-uniqueid, and the name a key within.
    return ChildSa(
        name=text(sa.get("name")) or section,
        unique_id=_unique_id(sa),
        state=text(sa.get("state")),
        mode=text(sa.get("mode")).lower(),
        protocol=text(sa.get("protocol")),
        local_ts=_texts(sa.get("local-ts")),
        remote_ts=_texts(sa.get("remote-ts")),
        spi_in=text(sa.get("spi-in")),
        spi_out=text(sa.get("spi-out")),
        encr_alg=_algorithm(sa, "encr-alg", "encr-keysize"),
        integ_alg=_algorithm(sa, "integ-alg", "integ-keysize"),
        encap=sa.get("encap") == b"yes",
        bytes_in=_number(sa.get("bytes-in")),
        bytes_out=_number(sa.get("bytes-out")),
        packets_in=_number(sa.get("packets-in")),
        packets_out=_number(sa.get("packets-out")),
        installed_for=_number(sa.get("install-time")),
        if_id_in=_hexadecimal(sa.get("if-id-in")),
        if_id_out=_hexadecimal(sa.get("if-id-out")),
        mark_in=_mark(sa, "in"),
        mark_out=_mark(sa, "out"),
    )


def _newest(sa: Section) -> Section:
    """ike-rekey and child-rekey describe the old SA and the new one side by side."""
    return _section(sa, "new") or sa


def _algorithm(sa: Section, name: str, keysize: str) -> str:
    size = text(sa.get(keysize))
    algorithm = text(sa.get(name))
    return f"{algorithm}_{size}" if algorithm and size and not algorithm.endswith(f"_{size}") else algorithm


def _section(parent: Value, name: str) -> Section:
    section = parent.get(name) if isinstance(parent, dict) else None
    return section if isinstance(section, dict) else {}


def _texts(value: Value | None) -> frozenset[str]:
    return frozenset(text(item) for item in value) if isinstance(value, list) else frozenset()


def _mark(sa: Section, direction: str) -> int | None:
    """The mark, if it is compared in full; one that is compared in part binds to no interface of ours."""
    full = _hexadecimal(sa.get(f"mark-mask-{direction}")) in {None, _ALL_BITS}
    return _hexadecimal(sa.get(f"mark-{direction}")) if full else None


def _hexadecimal(value: Value | None) -> int | None:
    """Of a number that charon prints in hexadecimal digits alone."""
    digits = text(value)
    return int(digits, 16) if digits and all(digit in hexdigits for digit in digits) else None


def _unique_id(sa: Section) -> str:
    """Charon's number of an SA, of 32 bits; empty for what is none."""
    digits = text(sa.get("uniqueid"))
    return digits if digits.isascii() and digits.isdigit() and len(digits) <= 10 else ""


def _host(value: Value | None) -> str:
    """An address; empty where there is none (yet)."""
    host = text(value)
    try:
        ip_address(host)
    except ValueError:
        return ""
    return host


def _number(value: Value | None) -> int:
    """Of a number in decimal; 0 for what is none of 64 bits, as all of charon's are."""
    digits = text(value)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else 0
