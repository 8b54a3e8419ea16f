"""L2TPv3 as somebody else would set it up: an Ethernet pseudowire between two routers, and routes over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.mesh import Mesh

_WIRE = {4: "10.254.0.{}", 6: "2001:db8:1fff::{}"}
_DEVICE = "l2tpeth0"


@contextmanager
def ethernet(mesh: Mesh) -> Iterator[None]:
    """A pseudowire over IP (RFC 3931, protocol 115) between the two routers, the other's island routed over it."""
    left, right = mesh.afbrs.values()
    for here, there in ((left, right), (right, left)):
        ip = here.namespace.ip
        ends = ("local", here.endpoint, "remote", there.endpoint)
        ip("l2tp", "add", "tunnel", "tunnel_id", "1", "peer_tunnel_id", "1", "encap", "ip", *ends)
        ip("l2tp", "add", "session", "tunnel_id", "1", "session_id", "1", "peer_session_id", "1")
        here.namespace.ip("link", "set", _DEVICE, "mtu", "1380")
        for family in mesh.plan.families:
            ours, theirs = (_WIRE[family].format(router.number) for router in (here, there))
            here.namespace.address(_DEVICE, f"{ours}/{24 if family == 4 else 64}")
            ip("route", "replace", mesh.plan.island(there.number, family=family), "via", theirs, "dev", _DEVICE)
    try:
        yield
    finally:
        for router in (left, right):
            router.namespace.ip("l2tp", "del", "tunnel", "tunnel_id", "1")
