"""The data plane: what contradicts itself, and what its guards make of admission."""

from __future__ import annotations

import pytest

from tests.unit.config.site import GOOD, Site, changed

OVERLAP = "its blackhole route cuts off endpoints that only a shorter route leads to; admit more specific networks"


@pytest.mark.parametrize("mode", ["auto", "policy"])
def test_any_selectors_need_a_route(site: Site, mode: str) -> None:
    assert site.errors(f"{GOOD}dataplane: {{mode: {mode}, selectors: any}}\n") == [
        f"16:{21 + len(mode)}: dataplane.selectors: any needs interfaces to route into, and dataplane.mode {mode} does"
        " not promise them; set dataplane.mode: route, or selectors: prefixes"
    ]
    assert site.warnings(f"{GOOD}dataplane: {{mode: route, selectors: any}}\n") == []


def test_admitted_only_needs_the_table(site: Site) -> None:
    assert site.errors(f"{GOOD}dataplane: {{guards: routes, admitted_only: true}}\n") == [
        "16:29: dataplane.admitted_only: is a matter of the nftables table, which dataplane.guards routes leaves out;"
        " set dataplane.guards: full, or remove it"
    ]
    assert site.warnings(f"{GOOD}dataplane: {{admitted_only: true}}\n") == []


def test_no_guards(site: Site) -> None:
    assert site.warnings(f"{GOOD}dataplane: {{guards: none}}\n") == [
        "16:13: warning: dataplane.guards: none lets packets for peers' networks leave in the clear while their"
        " softwire is down; set it to full or routes, unless something else stops them"
    ]


def test_core_devices(site: Site) -> None:
    assert site.errors(f"{GOOD}dataplane: {{core_devices: [eth0, eth0]}}\n") == [
        "16:13: dataplane.core_devices: an interface is given twice; keep one of each"
    ]
    assert site.errors(f"{GOOD}dataplane: {{core_devices: [eth0, sm-0a1b2c3d]}}\n") == [
        "16:34: dataplane.core_devices[1]: sm-0a1b2c3d is named as our own tunnel interfaces are; name the interface"
        " towards the core"
    ]


@pytest.mark.parametrize("name", ["false", "10", "1e3"])
def test_a_core_device_that_yaml_takes_for_something_else(site: Site, name: str) -> None:
    assert site.errors(f"{GOOD}dataplane: {{core_devices: [{name}]}}\n") == [
        f"16:28: dataplane.core_devices[0]: must be the name of an interface, not '{name}';"
        " put it in quotes if that is its name"
    ]
    assert site.errors(f"{GOOD}dataplane: {{core_devices: ['{name}']}}\n") == []


@pytest.mark.parametrize(
    ("network", "core"),
    [
        ("2001:db8:f::/48", "2001:db8:f::/64"),
        ("2001:db8:f:0:8000::/65", "2001:db8:f::/64"),
        ("2001:db8:f::/64", "2001:db8:f::/64"),
        ("2001:db8:e:8::/62", "2001:db8:e:9::/64"),
    ],
)
def test_a_blackhole_over_the_core(site: Site, network: str, core: str) -> None:
    text = changed("[2001:db8:f::/64]", "[2001:db8:f::/64, 2001:db8:e:9::/64, 2001:db8:e:9:1::/80, 192.0.2.0/24]")
    text = text.replace("[10.0.0.0/8]", f"[10.0.0.0/8, '{network}']")
    warning = f"15:26: warning: admission.prefixes[1]: {network} overlaps {core} of admission.endpoints: {OVERLAP}"
    assert warning in site.warnings(text)
    assert warning in site.warnings(f"{text}dataplane: {{guards: routes}}\n")
    assert not any("overlaps" in each for each in site.warnings(f"{text}dataplane: {{guards: none}}\n"))


def test_a_blackhole_beside_the_core(site: Site) -> None:
    assert site.warnings(changed("[10.0.0.0/8]", "[10.0.0.0/8, '2001:db8:e::/48', '2001:db8:10::/44']")) == []


def test_an_admitted_network_that_holds_our_endpoint_has_two_faults(site: Site) -> None:
    assert site.warnings(changed("[10.0.0.0/8]", "[10.0.0.0/8, 2001:db8::/32]")) == [
        "15:26: warning: admission.prefixes[1]: 2001:db8::/32 holds 2001:db8:f::1, which stays outside: peers' prefixes"
        " with it are refused; admit more specific networks",
        "15:26: warning: admission.prefixes[1]: 2001:db8::/32 overlaps 2001:db8:f::/64 of admission.endpoints:"
        f" {OVERLAP}",
    ]


@pytest.mark.parametrize("network", ["0.0.0.0/0", "'::/0'"])
def test_no_blackhole_for_everything(site: Site, network: str) -> None:
    text = changed("[10.0.0.0/8]", f"[{network}]")
    assert site.warnings(text) == [
        f"15:14: warning: admission.prefixes[0]: {network.strip(chr(39))} gets no blackhole route: what no softwire"
        " carries follows the default route in the clear; list the networks of the islands"
    ]
    (warning,) = site.warnings(f"{text}dataplane: {{guards: none}}\n")
    assert "dataplane.guards" in warning


def test_what_rests_on_a_misread_guard_is_not_said(site: Site) -> None:
    text = changed("[10.0.0.0/8]", "[0.0.0.0/0]")
    assert [problem.key for problem in site.examine(f"{text}dataplane: {{guards: off}}\n").problems] == [
        "dataplane.guards"
    ]
