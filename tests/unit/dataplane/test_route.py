"""Routes as the kernel lists them, and whose they are."""

from __future__ import annotations

from socket import AF_INET
from typing import Any

import pytest
from pyroute2.netlink.rtnl import rt_type

from softmesh.dataplane.route import LAST_RESORT, METRIC, PROTOCOL, parse


def listed(kind: str, metric: int | None) -> dict[str, Any]:
    return {
        "family": AF_INET,
        "dst": "10.2.0.0",
        "dst_len": 24,
        "proto": PROTOCOL,
        "type": rt_type[kind],
        "priority": metric,
        "oif": None if kind == "blackhole" else 7,
    }


@pytest.mark.parametrize(
    ("kind", "metric", "ours"),
    [
        ("unicast", METRIC, True),
        ("blackhole", LAST_RESORT, True),
        ("unicast", METRIC + 1, False),
        ("unicast", LAST_RESORT, False),
        ("unicast", None, False),
        ("blackhole", METRIC, False),
        ("blackhole", LAST_RESORT - 1, False),
    ],
)
def test_a_protocol_alone_does_not_make_a_route_ours(kind: str, metric: int | None, ours: bool) -> None:
    """Numbers without a name are anybody's; a blackhole of theirs must not be taken for the guard we want."""
    assert parse(listed(kind, metric)).ours is ours
