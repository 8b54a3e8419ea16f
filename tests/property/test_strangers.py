"""Whatever strangers announce, and in whatever order things happen between ExaBGP, the hook and the bridge."""

from __future__ import annotations

import time
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import dialogue, routes
from softmesh.bgp.exabgp_json import UpdateReceived, parse_line
from softmesh.mesh.desired import fold
from softmesh.mesh.trust import AnnouncedKeys
from tests.unit.mesh.routes import attribute

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=60)
COLORS = 4000

hostile = st.integers(0, 2**32).map(lambda seed: routes.hostile(Random(seed))) | st.sampled_from(routes.STEPS)


@REPEATABLE
@given(st.lists(hostile, max_size=8))
def test_the_mesh_is_as_it_would_be_without_them(lines: list[bytes]) -> None:
    assert routes.check(b"\n".join(lines))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(dialogue.STEPS), max_size=60))
def test_any_order_of_lines_answers_wishes_and_time(steps: list[bytes]) -> None:
    assert dialogue.check(b"\n".join(steps))


def test_thousands_of_colors_and_of_next_hops_that_lead_on_take_no_longer_each() -> None:
    """Each colour would be a softwire, each next hop a chain: time and softwires stay within bounds."""
    lines = list(routes.GOOD)
    for number in range(COLORS):
        third, fourth = divmod(number, 64)
        prefix = f"10.{routes.STRANGER + third // 200}.{third % 200}.{fourth * 4}/30"
        hop = f"10.{routes.STRANGER + (third + 1) // 200}.{(third + 1) % 200}.{fourth * 4 + 1}"
        value = attribute(endpoint=routes.endpoint(routes.STRANGER), key="stranger", colors=(number,))
        if number % 2:
            lines.append(routes.announced(routes.STRANGER, [prefix], None, next_hop=hop))
        else:
            lines.append(routes.announced(routes.STRANGER, [prefix], value))
    assert all(isinstance(parse_line(line), UpdateReceived) for line in lines)
    held = routes.heard(lines[len(routes.GOOD) :]).routes
    assert len(held) == COLORS
    began = time.thread_time()
    desired = fold(held.values(), routes.POLICIES[0], [AnnouncedKeys()], now=100.0)
    assert time.thread_time() - began < 0.001 * COLORS
    assert len(desired.softwires) <= 16, "so many to one endpoint"
    assert desired.decisions.keys() == held.keys()
