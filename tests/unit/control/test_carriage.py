"""How attribute 23 fares with each neighbour, as status tells it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from softmesh.bgp.announcement import Announcement
from softmesh.bgp.extended_communities import attribute_digest
from softmesh.bgp.route import Neighbor, Route, SessionState
from softmesh.cli.status import lines
from softmesh.config import Config
from softmesh.control.carriage import Carriage, carriage_of
from softmesh.control.view import View, status
from tests.unit.config.conftest import site
from tests.unit.config.site import GOOD, Site, changed
from tests.unit.mesh.routes import attribute, route

__all__ = ["site"]

RR = "2001:db8:f::fe"
SENT = attribute()
DIGEST = int(attribute_digest(SENT))


def config_of(site: Site, use: str = "auto") -> Config:
    text = changed(
        "      password_file: bgp.password\n", f"      password_file: bgp.password\n      attribute: {use}\n"
    )
    config = site.examine(text if use != "auto" else GOOD).config
    assert config is not None
    return config


def fares(
    site: Site, *routes: Route, refused: Mapping[str, str] | None = None, use: str = "auto", ours: bytes | None = SENT
) -> Carriage:
    own = Announcement("10.1.0.0/24", "2001:db8:f::1", ours, neighbors=frozenset({RR}))
    return carriage_of(config_of(site, use), [RR], routes, [own], refused or {})[RR]


def shown(carriage: Carriage) -> tuple[dict[str, object], list[str]]:
    """The row of the neighbour in status, and its lines in the text."""
    view = View(
        now=100.0,
        endpoint="2001:db8:f::1",
        authenticators=("aa" * 20,),
        announcing=True,
        prefixes=(),
        hook_connected=True,
        charon="",
        awaited=(),
        neighbors={RR: Neighbor(RR, 65000, SessionState.UP, 40.0)},
        carriage={RR: carriage},
    )
    told = status(view)
    return told["neighbors"][0]["carriage"], [line for line in lines(told) if line.startswith("    attribute")]


def test_nothing_is_said_of_what_is_as_it_should_be(site: Site) -> None:
    row, said = shown(fares(site, route(value=SENT, communities=(DIGEST,))))
    assert row == {
        "attribute": "announced",
        "seen": "intact",
        "routes": {"intact": 1, "stripped": 0, "rewritten": 0},
        "example": "10.2.0.0/24",
        "reason": "",
        "remedy": "",
    }
    assert said == []
    assert shown(fares(site, route(value=SENT)))[0]["seen"] == "unknown"


def test_what_was_stripped_is_told_with_the_remedy(site: Site) -> None:
    row, said = shown(
        fares(site, route(communities=(DIGEST,)), route("10.3.0.0/24", value=SENT, communities=(DIGEST,)))
    )
    assert (row["attribute"], row["seen"], row["example"]) == ("announced", "stripped", "10.2.0.0/24")
    assert row["reason"] == "attribute 23 was taken off 1 of 2 routes on the way, such as 10.2.0.0/24"
    assert said == [f"    attribute  stripped: {row['reason']}; {row['remedy']}"]


def test_what_was_rewritten_is_worse(site: Site) -> None:
    row, said = shown(
        fares(site, route(communities=(DIGEST,)), route("10.3.0.0/24", value=SENT[:-1], communities=(DIGEST,)))
    )
    assert (row["seen"], row["example"]) == ("rewritten", "10.3.0.0/24")
    assert said[0].startswith("    attribute  rewritten: attribute 23 was changed on 1 of 2 routes")


def test_our_own_routes_that_come_back_tell_too(site: Site) -> None:
    back = route("10.1.0.0/24", originator_id="10.255.0.1")
    assert shown(fares(site, back))[0]["seen"] == "stripped"
    assert shown(fares(site, back, ours=None))[0]["seen"] == "unknown"
    assert shown(fares(site, back, refused={RR: "seen"}))[0]["seen"] == "unknown", "it never got the attribute"


def test_a_refusal_is_told_with_the_remedy(site: Site) -> None:
    row, said = shown(fares(site, refused={RR: "2 sessions in a row ended at attribute 23"}))
    assert (row["attribute"], row["seen"]) == ("left-out", "unknown")
    assert row["reason"] == "2 sessions in a row ended at attribute 23"
    assert "neighbor 2001:db8:f::1 path-attribute discard 23" in str(row["remedy"])
    assert f"softmesh announce --attribute {RR}" in str(row["remedy"])
    assert said == [f"    attribute  left out: {row['reason']}; {row['remedy']}"]


@pytest.mark.parametrize(("use", "attribute"), [("never", "left-out"), ("always", "announced")])
def test_what_is_configured_goes_before_what_was_seen(site: Site, use: str, attribute: str) -> None:
    row, _ = shown(fares(site, refused={RR: "seen"}, use=use))
    assert row["attribute"] == attribute
    assert row["reason"] == ("bgp.neighbors[].attribute is never" if use == "never" else "")
