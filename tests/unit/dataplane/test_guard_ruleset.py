from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, collapse_addresses, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softmesh.dataplane.guard import Guard, Guarded
from softmesh.dataplane.nft_ruleset import COUNTERS, Ruleset, beyond, change, elements, ruleset
from softmesh.errors import OperatorError

GUARD = Guard(
    endpoint=ip_address("192.0.2.1"),
    endpoints=(ip_network("192.0.2.0/25"), ip_network("192.0.2.128/25")),
    local_prefixes=(ip_network("10.1.0.0/16"), ip_network("2001:db8:1001::/48")),
    outside=frozenset({ip_address("192.0.2.254"), ip_address("203.0.113.9")}),
    core_devices=frozenset({"eth7"}),
    under_ipsec=frozenset({ip_address("192.0.2.254"), ip_address("2001:db8:f::fe")}),
    near=frozenset({ip_address("192.0.2.254")}),
)
IPV6 = replace(GUARD, endpoint=ip_address("2001:db8:f::1"), endpoints=(ip_network("2001:db8:f::/48"),))
GUARDED = Guarded(
    destinations=frozenset({ip_network("10.2.0.0/16"), ip_network("2001:db8:1002::/48")}),
    core_devices=frozenset({"eth0"}),
    sources={"sm-0000002a": frozenset({ip_network("10.2.0.0/16"), ip_network("10.2.9.0/24")})},
    labelled={ip_address("192.0.2.3"): frozenset({ip_network("10.3.0.1/32"), ip_network("2001:db8:1003::/48")})},
    admitted=frozenset({ip_address("192.0.2.2"), ip_address("192.0.2.3")}),
)


def rules(found: Ruleset, chain: str) -> list[str]:
    return [rule.text for each in found.chains if each.name == chain for rule in each.rules]


def test_what_the_sets_hold() -> None:
    found = dict(elements(GUARD, GUARDED, {}))
    ((mark,),) = (found.pop("marks"),)
    assert found == {
        "core_devices": {'"eth0"'},
        "configured_devices": {'"eth7"'},
        "endpoints4": {"192.0.2.0/24"},
        "admitted4": {"192.0.2.2", "192.0.2.3"},
        "labels4": {f"192.0.2.3 : {mark}"},
        "destinations4": {"10.2.0.0/16"},
        "destinations6": {"2001:db8:1002::/48"},
        "exempt4": {
            *("10.1.0.0/16", "192.0.2.0/24", "203.0.113.9"),
            *("169.254.0.0/16", "224.0.0.0/24", "255.255.255.255"),
        },
        "exempt6": {"2001:db8:1001::/48", "fe80::/10", "ff02::/16"},
        "sources4": {'"sm-0000002a" . 10.2.0.0/16'},
        "sources6": set(),
        "labelled4": {f"{mark} . 10.3.0.1"},
        "labelled6": {f"{mark} . 2001:db8:1003::/48"},
        "under_ipsec4": {"192.0.2.254"},
        "under_ipsec6": {"2001:db8:f::fe"},
        "near4": {"192.0.2.254"},
        "near6": set(),
    }


def test_every_set_is_declared_and_every_counter_used() -> None:
    for guard in (GUARD, IPV6):
        found = ruleset(replace(guard, admitted_only=True))
        assert found.sets.keys() == elements(guard, GUARDED, {}).keys()
        text = "".join(rule.text for chain in found.chains for rule in chain.rules)
        for name in COUNTERS:
            assert f"counter name {name} drop" in text


def test_sets_of_the_core_take_its_family_alone() -> None:
    strangers = replace(GUARDED, admitted=frozenset({ip_address("192.0.2.2"), ip_address("2001:db8:f::2")}))
    assert elements(GUARD, strangers, {})["admitted4"] == {"192.0.2.2"}
    assert elements(IPV6, strangers, {})["admitted6"] == {"2001:db8:f::2"}


def test_destinations_and_core_devices_only_grow() -> None:
    held = elements(GUARD, GUARDED, {})
    later = elements(GUARD, Guarded(), held)
    for name in ("destinations4", "destinations6", "core_devices"):
        assert later[name] == held[name]
    for name in ("sources4", "labelled4", "labelled6", "labels4", "marks", "admitted4"):
        assert later[name] == frozenset(), name


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("10.2.3.0/24", {"10.2.0.0/16"}),
        ("10.2.0.0/15", {"10.2.0.0/16", "10.3.0.0/16"}),
        ("10.0.0.0/14", {"10.0.0.0/15", "10.2.0.0/16", "10.3.0.0/16"}),
        ("10.9.9.9/32", {"10.2.0.0/16", "10.9.9.9"}),
    ],
)
def test_destinations_are_added_to_and_never_overlap(new: str, expected: set[str]) -> None:
    held = elements(GUARD, GUARDED, {})
    grown = elements(GUARD, replace(GUARDED, destinations=frozenset({ip_network(new)})), held)
    assert grown["destinations4"] == expected
    assert grown["destinations6"] == held["destinations6"]


networks = st.tuples(st.integers(0, 255), st.integers(24, 32)).map(
    lambda drawn: ip_network((0x0A020000 + drawn[0], drawn[1]), strict=False)
)


@given(st.sets(networks), st.sets(networks))
def test_what_lies_beyond_is_all_that_is_not_yet_held(held: set[IPv4Network], new: set[IPv4Network]) -> None:
    apart = list(collapse_addresses(held))
    found = list(beyond(new, apart))
    hosts = [address for network in found for address in network]
    assert len(hosts) == len(set(hosts))
    assert set(hosts) == {a for network in new for a in network} - {a for network in held for a in network}


def test_a_change_takes_out_what_it_would_overlap_with_first() -> None:
    before = {"destinations4": frozenset({"10.2.0.0/16", "192.0.2.1"}), "marks": frozenset({"0x00000001"})}
    after = {"destinations4": frozenset({"10.0.0.0/8", "192.0.2.1"}), "marks": frozenset({"0x00000001"})}
    assert change(before, after) == (
        "delete element inet softmesh destinations4 { 10.2.0.0/16 }\n"
        "add element inet softmesh destinations4 { 10.0.0.0/8 }\n"
    )
    assert change(after, after) == ""
    assert change({}, {"marks": frozenset({"0x00000002", "0x00000001"}), "labels": frozenset()}) == (
        "add element inet softmesh marks { 0x00000001, 0x00000002 }\n"
    )


def test_marks_stay_with_their_endpoint() -> None:
    some = frozenset({ip_network("10.3.0.0/16")})
    alone = elements(GUARD, replace(GUARDED, labelled={ip_address("192.0.2.3"): some}), {})
    remotes = [ip_address(f"192.0.2.{number}") for number in range(2, 200)]
    many = elements(GUARD, replace(GUARDED, labelled=dict.fromkeys(remotes, some)), {})
    assert alone["labels4"] < many["labels4"]
    assert len(many["marks"]) == len(remotes)
    assert "0x00000000" not in many["marks"]


def test_rules_depend_on_the_endpoint_and_on_who_is_heard_alone() -> None:
    other = Guard(endpoint=GUARD.endpoint, endpoints=())
    assert ruleset(other) == ruleset(GUARD)
    assert ruleset(other).shape == ruleset(GUARD).shape
    for differing in (IPV6, replace(GUARD, admitted_only=True), replace(GUARD, endpoint=ip_address("192.0.2.9"))):
        assert ruleset(differing).shape != ruleset(GUARD).shape


def test_admission_is_checked_only_where_asked_for() -> None:
    assert not any("not_admitted" in rule for rule in rules(ruleset(GUARD), "arrivals"))
    first, second, *_ = rules(ruleset(replace(GUARD, admitted_only=True)), "arrivals")
    stranger = "ip daddr 192.0.2.1 ip saddr != @admitted4"
    assert first == f"{stranger} udp dport {{ 500, 4500 }} counter name not_admitted drop"
    assert second == f"{stranger} meta l4proto {{ 50, 51 }} counter name not_admitted drop"


def test_the_table_takes_the_place_of_what_has_its_name_and_counting_goes_on() -> None:
    script = ruleset(GUARD).load({"spoofed": (7, 420)})
    assert script.startswith("add table inet softmesh\ndelete table inet softmesh\ntable inet softmesh {\n")
    assert "counter spoofed {\n\t\tpackets 7 bytes 420\n" in script
    assert "counter unprotected {\n\t\tpackets 0 bytes 0\n" in script
    assert "map labels4 {" in script
    assert script.count("table inet softmesh") == 3


def test_rules_are_exchanged_around_the_sets() -> None:
    rules_now = ruleset(GUARD)
    script = rules_now.exchange(["signature", "departures", "more"], [*rules_now.sets, "old"])
    assert script.startswith(
        "flush table inet softmesh\n"
        "delete chain inet softmesh more\n"
        "delete set inet softmesh old\n"
        "table inet softmesh {\n"
    )
    assert "delete table" not in script


def test_every_rule_says_what_it_is_for() -> None:
    for guard in (GUARD, IPV6):
        for chain in ruleset(replace(guard, admitted_only=True)).chains:
            for rule in chain.rules:
                assert rule.comment
                # The kernel keeps no more of it.
                assert len(rule.comment) <= 128
                assert '"' not in rule.comment


@pytest.mark.parametrize("name", ["eth*", 'a"b', "a\\b"])
def test_a_device_that_cannot_be_named_is_refused(name: str) -> None:
    for guard, guarded in (
        (replace(GUARD, core_devices=frozenset({name})), GUARDED),
        (GUARD, replace(GUARDED, core_devices=frozenset({name}))),
        (GUARD, replace(GUARDED, sources={name: frozenset()})),
    ):
        with pytest.raises(OperatorError, match="nftables cannot name it"):
            elements(guard, guarded, {})
