"""Each kind of wrong value, with its line and remedy; and what right ones become."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Family
from softmesh.config import ConfigurationError, examine, load
from softmesh.config.problems import clip
from softmesh.config.values import DataPlaneMode, Guards, Selectors, SessionProtection, trust_mode_of
from softmesh.errors import OperatorError
from softmesh.mesh.softwire import Level
from softmesh.mesh.trust_policy import TrustMode
from tests.unit.config.site import GOOD, Site, changed


def test_defaults(site: Site) -> None:
    config = site.examine(GOOD).config
    assert config is not None
    assert config.endpoint == config.local_address == IPv6Address("2001:db8:f::1")
    assert config.bgp.router_id == IPv4Address("10.255.0.1")
    assert config.bgp.families == (Family.IPV4_UNICAST, Family.IPV6_UNICAST)
    assert config.bgp.neighbors[0].address == IPv6Address("2001:db8:f::fe")
    assert config.asn_of(config.bgp.neighbors[0]) == 65000
    assert config.admitted_neighbors == (IPv6Address("2001:db8:f::fe"),)
    assert config.announce.prefixes == (IPv4Network("10.1.0.0/24"),)
    assert [(tunnel.type, tunnel.color) for tunnel in config.announce.tunnels] == [(TunnelType.IPSEC_TUNNEL, None)]
    assert config.admission.endpoints == (IPv6Network("2001:db8:f::/64"),)
    assert config.select.tunnels == (
        TunnelType.IPSEC_TUNNEL,
        TunnelType.IP_IN_IP_IPSEC_TRANSPORT,
        TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT,
    )
    assert [(source.directory, source.announced) for source in config.trust.keys] == [(None, True)]
    assert config.charon.vici == Path("/run/charon.vici")
    assert (config.sockets.hook, config.sockets.control) == (
        Path("/run/softmesh/hook.sock"),
        Path("/run/softmesh/control.sock"),
    )
    assert (config.charon.retry_initial, config.charon.retry_max, config.charon.takeover) == (0.25, 60.0, 5.0)
    assert config.charon.ike_proposals is None
    assert (config.dataplane.mode, config.dataplane.selectors) == (DataPlaneMode.AUTO, Selectors.PREFIXES)
    assert (config.dataplane.guards, config.dataplane.interfaces) == (Guards.FULL, True)
    assert (config.dataplane.core_devices, config.dataplane.core_mtu) == ((), None)
    assert config.dataplane.admitted_only is False
    assert (config.protection.default, config.protection.rules) == (Level.ENCRYPT, ())
    assert (config.groups, config.softwires) == ((), ())
    assert (trust_mode_of(config.trust), config.announces_authenticator) == (TrustMode.PINNED, True)
    assert config.own_keys == ((site.key, None),)
    assert config.bgp.neighbors[0].protection is None
    assert config.admission.max_arrivals == 30
    assert config.admission.dampening is not None


def test_values_given(site: Site) -> None:
    text = GOOD + (
        "select:\n  tunnels: [mpls-in-ip-ipsec-transport]\n  colors: [0x64, 4294967295]\n"
        "charon:\n  retry_max: 1e2\n  vici: vici.sock\nlog: {level: debug, format: json}\n"
        "trust:\n  keys:\n    - directory: keys\n"
    )
    config = site.examine(text.replace("10.0.0.0/8]", "10.0.0.0/8, 2001:db8:7::/48]")).config
    assert config is not None
    assert config.select.tunnels == (TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT,)
    assert config.select.colors == (100, 4294967295)
    assert config.charon.retry_max == 100.0
    assert config.charon.vici == site.directory / "vici.sock"
    assert config.trust.keys[0].directory == site.keys
    assert config.admission.prefixes == (IPv4Network("10.0.0.0/8"), IPv6Network("2001:db8:7::/48"))


def test_levels_groups_and_softwires_given(site: Site) -> None:
    colons = ":".join(["AB"] * 20)
    text = GOOD + (
        "groups: [{name: hubs, endpoints: ['2001:db8:f::/96']}]\n"
        "protection:\n  default: integrity\n  rules:\n"
        "    - {level: ah, groups: [hubs], tunnels: [gre, l2tpv3]}\n    - {level: encrypt, colors: [7]}\n"
        "trust: {keys: [{directory: keys}]}\n"
        "dataplane: {mode: route, selectors: any, guards: routes, core_devices: [eth0, br-lan.100], core_mtu: 9000}\n"
        "softwires:\n"
        f"  - {{remote: '2001:db8:f::2', tunnel: l2tpv3, authenticators: ['{'0' * 40}', '{colons}'], color: 3}}\n"
    )
    config = site.examine(text).config
    assert config is not None
    (group,) = config.groups
    assert (group.name, group.endpoints) == ("hubs", (IPv6Network("2001:db8:f::/96"),))
    assert config.protection.default is Level.INTEGRITY
    assert [(rule.level, rule.groups, rule.colors, rule.tunnels) for rule in config.protection.rules] == [
        (Level.AH, ("hubs",), None, (TunnelType.GRE, TunnelType.L2TPV3)),
        (Level.ENCRYPT, None, (7,), None),
    ]
    assert (config.dataplane.mode, config.dataplane.selectors) == (DataPlaneMode.ROUTE, Selectors.ANY)
    assert (config.dataplane.core_devices, config.dataplane.core_mtu) == (("eth0", "br-lan.100"), 9000)
    (softwire,) = config.softwires
    assert (softwire.remote, softwire.tunnel, softwire.color) == (IPv6Address("2001:db8:f::2"), TunnelType.L2TPV3, 3)
    assert softwire.authenticators == (bytes(20), b"\xab" * 20)
    assert softwire.prefixes == ()


def test_an_authenticator_of_decimal_digits_needs_no_quotes(site: Site) -> None:
    digits = "1234567890" * 4
    text = f"{GOOD}trust: {{keys: [{{directory: keys}}]}}\nsoftwires:\n  - remote: 2001:db8:f::2\n    tunnel: gre\n"
    config = site.examine(f"{text}    authenticators: [{digits}]\n").config
    assert config is not None
    assert config.softwires[0].authenticators == (bytes.fromhex(digits),)


def test_an_address_that_old_yaml_takes_for_a_number(site: Site) -> None:
    text = changed("2001:db8:f::1", "2600:10:20:30:40:50:1:2").replace("2001:db8:f::/64", "2600:10:20:30::/64")
    config = site.examine(text).config
    assert config is not None
    assert config.endpoint == IPv6Address("2600:10:20:30:40:50:1:2")


CASES = [
    # unknown and missing keys
    (
        "  neighbors:",
        "  neighbours:",
        ["6:3: bgp.neighbours: unknown key 'neighbours'; did you mean 'neighbors'?"],
    ),
    ("identity:", "Identity:", ["11:1: Identity: unknown key 'Identity'; did you mean 'identity'?"]),
    (
        "  private_key: identity.key",
        "  xyzzy: identity.key",
        [
            "12:3: identity.xyzzy: unknown key 'xyzzy'; the keys here are private_key, certificate, also",
            "12:3: identity.private_key: required, but missing; add the key private_key",
        ],
    ),
    ("endpoint: 2001:db8:f::1\n", "", ["1:1: endpoint: required, but missing; add the key endpoint"]),
    ("  asn: 65000\n", "", ["3:3: bgp.asn: required, but missing; add the key asn"]),
    (
        "announce:\n  prefixes: [10.1.0.0/24]",
        "announce:",
        [
            "9:10: announce: nothing below this key; remove the key, or give it prefixes, tunnels, carrier, public_key,"
            " authenticator or certificate"
        ],
    ),
    (
        "identity:\n  private_key: identity.key",
        "identity: identity.key",
        ["11:11: identity: must be a mapping, not 'identity.key'; give it the keys private_key, certificate or also"],
    ),
    # lists
    (
        "[10.1.0.0/24]",
        "10.1.0.0/24",
        ["10:13: announce.prefixes: must be a list, not '10.1.0.0/24'; write [10.1.0.0/24]"],
    ),
    ("[10.1.0.0/24]", "", ["10:12: announce.prefixes: must be a list, not empty; write []"]),
    (
        "[10.1.0.0/24]",
        "{a: b}",
        ["10:13: announce.prefixes: must be a list, not a mapping; begin each item with '- '"],
    ),
    (
        "    - address: 2001:db8:f::fe\n      password_file: bgp.password",
        "    []",
        [
            "7:5: bgp.neighbors: must not be empty; give it at least one item, or remove the key for the default",
        ],
    ),
    (
        "[10.1.0.0/24]",
        "[10.1.0.0/24, [x]]",
        ["10:27: announce.prefixes[1]: must be a single value, not a list; write one value here"],
    ),
    # scalars
    (
        "managed: true",
        "managed: maybe",
        ["3:12: bgp.managed: must be true or false, not 'maybe'; write true or false"],
    ),
    (
        "managed: true",
        "managed: 1",
        ["3:12: bgp.managed: must be true or false, not '1'; write true or false"],
    ),
    (
        "asn: 65000",
        "asn: 1.10",
        ["4:8: bgp.asn: must be a whole number from 1 to 4294967294, not '1.10'; write such a number, without unit"],
    ),
    (
        "asn: 65000",
        "asn: 0",
        ["4:8: bgp.asn: must be a whole number from 1 to 4294967294, not '0'; write such a number, without unit"],
    ),
    (
        "asn: 65000",
        "asn: true",
        ["4:8: bgp.asn: must be a whole number from 1 to 4294967294, not 'true'; write such a number, without unit"],
    ),
    (
        "asn: 65000",
        "asn: 65000\n  hold_time: 90s",
        ["5:14: bgp.hold_time: must be a whole number from 3 to 65535, not '90s'; write such a number, without unit"],
    ),
    (
        "asn: 65000",
        "asn: 65000\n  families: [ipv4]",
        [
            "5:14: bgp.families[0]: must be ipv4 unicast, ipv6 unicast, ipv4 encap or ipv6 encap, not 'ipv4'; "
            "use ipv4 unicast, ipv6 unicast, ipv4 encap or ipv6 encap"
        ],
    ),
    # addresses and networks
    (
        "endpoint: 2001:db8:f::1",
        "endpoint: 2001:db8:f::1/64",
        ["1:11: endpoint: must be one address, not '2001:db8:f::1/64'; write 2001:db8:f::1"],
    ),
    (
        "endpoint: 2001:db8:f::1",
        "endpoint: fe80::1%eth0",
        ["1:11: endpoint: an address with a zone (fe80::1%eth0); use an address that is not link-local"],
    ),
    (
        "endpoint: 2001:db8:f::1",
        "endpoint: ::ffff:192.0.2.1",
        ["1:11: endpoint: an IPv4 address written as IPv6 (::ffff:192.0.2.1); write 192.0.2.1"],
    ),
    (
        "endpoint: 2001:db8:f::1",
        "endpoint: router1.example",
        ["1:11: endpoint: must be an IP address, not 'router1.example'; write it as 192.0.2.1 or 2001:db8::1"],
    ),
    (
        "router_id: 10.255.0.1",
        "router_id: 2001:db8::1",
        ["5:14: bgp.router_id: must be written as an IPv4 address, not 2001:db8::1; write it as in 10.255.0.1"],
    ),
    (
        "10.1.0.0/24",
        "10.1.0.1/24",
        ["10:14: announce.prefixes[0]: '10.1.0.1/24' has host bits set; the network is 10.1.0.0/24"],
    ),
    (
        "10.1.0.0/24",
        "10.1.0.0",
        [
            "10:14: announce.prefixes[0]: no prefix length after '10.1.0.0'; write 10.1.0.0/32 if"
            " the one address is meant"
        ],
    ),
    (
        "10.1.0.0/24",
        "10.1.0.0/255.255.255.0",
        ["10:14: announce.prefixes[0]: a network with a mask (10.1.0.0/255.255.255.0); write 10.1.0.0/24"],
    ),
    (
        "10.1.0.0/24",
        "10.1.0.0/33",
        [
            "10:14: announce.prefixes[0]: must be a network, not '10.1.0.0/33'; write it as"
            " 192.0.2.0/24 or 2001:db8::/32"
        ],
    ),
    (
        "10.1.0.0/24",
        "lan",
        ["10:14: announce.prefixes[0]: must be a network, not 'lan'; write it as 192.0.2.0/24 or 2001:db8::/32"],
    ),
    (
        "10.1.0.0/24",
        "'::ffff:10.1.0.0/120'",
        ["10:14: announce.prefixes[0]: an IPv4 network written as IPv6 (::ffff:10.1.0.0/120); write 10.1.0.0/24"],
    ),
]


@pytest.mark.parametrize(("old", "new", "problems"), CASES)
def test_wrong(site: Site, old: str, new: str, problems: list[str]) -> None:
    assert site.errors(changed(old, new)) == problems


MORE = [
    (
        "charon: {retry_initial: .inf}",
        "16:25: charon.retry_initial: must be a number above 0 to 3600, not '.inf'; write such a number, without unit",
    ),
    (
        "charon: {retry_initial: 0}",
        "16:25: charon.retry_initial: must be a number above 0 to 3600, not '0'; write such a number, without unit",
    ),
    (
        "charon: {vici: unix:///run/charon.vici}",
        "16:16: charon.vici: must be a path, not a URI; write /run/charon.vici",
    ),
    (
        "charon: {vici: ~/charon.vici}",
        "16:16: charon.vici: '~/charon.vici': ~ is not expanded; write the whole path",
    ),
    ('charon: {vici: "a\\0b"}', "16:16: charon.vici: a path with unprintable characters; remove them"),
    (
        "charon: {vici: 5}",
        "16:16: charon.vici: must be a path, not '5'; write a path; quote it if it looks like a number",
    ),
    (
        "charon: {vici: }",
        "16:16: charon.vici: must be a path, not empty; write a path; quote it if it looks like a number",
    ),
    (
        "charon: {ike_proposals: [AES256/SHA2]}",
        "16:26: charon.ike_proposals[0]: must be a proposal such as aes256gcm16-x25519, not 'AES256/SHA2';"
        " write lower-case algorithm names joined by '-'",
    ),
    (
        "charon: {esp_proposals: []}",
        "16:25: charon.esp_proposals: must not be empty; give it at least one item, or remove the key for the default",
    ),
    (
        "select: {tunnels: [transmit-only]}",
        "16:20: select.tunnels[0]: must be ipsec-tunnel-mode, ip-in-ip-ipsec-transport or"
        " mpls-in-ip-ipsec-transport,"
        " not 'transmit-only'; use ipsec-tunnel-mode, ip-in-ip-ipsec-transport or mpls-in-ip-ipsec-transport",
    ),
    (
        "select: {tunnels: [ipsec-tunel-mode]}",
        "16:20: select.tunnels[0]: must be ipsec-tunnel-mode, ip-in-ip-ipsec-transport or"
        " mpls-in-ip-ipsec-transport,"
        " not 'ipsec-tunel-mode'; did you mean 'ipsec-tunnel-mode'?",
    ),
    (
        "charon: {ike_proposals: []}",
        "16:25: charon.ike_proposals: must not be empty; give it at least one item, or remove the key for the default",
    ),
    # a section written as one value, as dataplane was once
    ("dataplane: policy", "16:12: dataplane: must be a mapping, not 'policy'; write {mode: policy}"),
    ("dataplane: any", "16:12: dataplane: must be a mapping, not 'any'; write {selectors: any}"),
    (
        "dataplane: xfrm",
        "16:12: dataplane: must be a mapping, not 'xfrm'; give it the keys mode, selectors, interfaces, guards,"
        " core_devices, core_mtu or admitted_only",
    ),
    ("trust: pinned", "16:8: trust: must be a mapping, not 'pinned'; write {mode: pinned}"),
    (
        "dataplane: {mode: vti}",
        "16:19: dataplane.mode: must be auto, route or policy, not 'vti'; use auto, route or policy",
    ),
    (
        "dataplane: {guards: off}",
        "16:21: dataplane.guards: must be full, routes or none, not 'off'; use full, routes or none",
    ),
    (
        "dataplane: {core_mtu: 1279}",
        "16:23: dataplane.core_mtu: must be a whole number from 1280 to 65535, not '1279'; write such a number,"
        " without unit",
    ),
    *(
        (
            f"dataplane: {{core_devices: [{name}]}}",
            f"16:28: dataplane.core_devices[0]: must be the name of an interface, not {shown}; write it as ip link"
            " shows it, such as eth0",
        )
        for name, shown in [
            ("eth0/1", "'eth0/1'"),
            ('"eth 0"', "'eth 0'"),
            ("..", "'..'"),
            ("abcdefghijklmnop", "'abcdefghijklmnop'"),
            ("null", "empty"),
        ]
    ),
    *(
        (
            f"groups: [{{name: {name}, endpoints: [2001:db8:f::/64]}}]",
            f"16:17: groups[0].name: must be a name, not {shown}; write at most 64 letters, digits, '.', '_' and '-',"
            " beginning with a letter",
        )
        for name, shown in [("a b", "'a b'"), ("1st", "'1st'"), ("yes", "'yes'"), ("~", "empty"), ('""', "''")]
    ),
    (
        "groups: [{name: hubs, endpoints: []}]",
        "16:34: groups[0].endpoints: must not be empty; give it at least one item, or remove the key for the default",
    ),
    (
        "protection: {default: esp}",
        "16:23: protection.default: must be encrypt, integrity or ah, not 'esp'; use encrypt, integrity or ah",
    ),
    (
        "protection: {rules: [{groups: [x]}]}",
        "16:22: protection.rules[0].level: required, but missing; add the key level",
    ),
    (
        "protection: {rules: [{level: ah, tunnels: [l2tp]}]}",
        "16:44: protection.rules[0].tunnels[0]: must be ipsec-tunnel-mode, ip-in-ip-ipsec-transport,"
        " mpls-in-ip-ipsec-transport, gre or l2tpv3, not 'l2tp'; did you mean 'l2tpv3'?",
    ),
    *(
        (
            f"softwires: [{{remote: 2001:db8:f::2, tunnel: gre, authenticators: [{text}]}}]",
            "16:67: softwires[0].authenticators[0]: must be an authenticator of 40 hex digits, not"
            f" '{clip(text)}'; write what softmesh check prints on the peer",
        )
        for text in ["ab" * 19, "ab" * 21, "xy" * 20, ":".join(["abcd"] * 10), "ab" * 19 + ":ab"]
    ),
    (
        "trust: {mode: pinned-pki}",
        "16:15: trust.mode: must be pinned, pki, pinned+pki or group-psk, not 'pinned-pki'; did you mean 'pinned+pki'?",
    ),
    (
        "groups: [{name: hubs, endpoints: [2001:db8:f::/64], trust: group-psk}]",
        "16:60: groups[0].trust: must be a mapping, not 'group-psk'; write {mode: group-psk}",
    ),
    *(
        (
            f"trust: {{identity: {text}}}",
            f"16:19: trust.identity: must be a name with {{endpoint}} or {{label}} in it, not {shown}; write"
            " '{endpoint}' for the address itself, or as in '{label}.mesh.example'",
        )
        for text, shown in [
            ("router.example", "'router.example'"),
            ("'%any'", "'%any'"),
            ("'*.{label}.example'", "'*.{label}.example'"),
            ("'{label} example'", "'{label} example'"),
            ("'{label}.{site}'", "'{label}.{site}'"),
            ("'{label'", "'{label'"),
            ("'{label}}'", "'{label}}'"),
            ("'{label}.\u00e9x'", "'{label}.\u00e9x'"),
            ("~", "empty"),
        ]
    ),
    (
        "trust: {identity: {label}}",
        "16:19: trust.identity: must be a single value, not a mapping; write one value here",
    ),
    *(
        (
            f"trust: {{keys: [{{url: {text}}}]}}",
            f"16:22: trust.keys[0].url: must be a URL with {{sha1}} in its path, not {shown}; write it as"
            " https://keys.example/{sha1}",
        )
        for text, shown in [
            ("https://keys.example/", "'https://keys.example/'"),
            ("'https://keys.example/{sha1}/{sha1}'", "'https://keys.example/{sha1}/{sha1}'"),
            ("'https://keys.example/{sha1}#key'", "'https://keys.example/{sha1}#key'"),
            ("'https://keys.example/{sha256}'", "'https://keys.example/{sha256}'"),
            ("'https://{sha1}.keys.example/'", "'https://{sha1}.keys.example/'"),
            ("'https:///{sha1}'", "'https:///{sha1}'"),
            ("'https://[::1/{sha1}'", "'https://[::1/{sha1}'"),
            ("'https://keys.example:65536/{sha1}'", "'https://keys.example:65536/{sha1}'"),
            ("'ftp://keys.example/{sha1}'", "'ftp://keys.example/{sha1}'"),
            ("'/srv/keys/{sha1}'", "'/srv/keys/{sha1}'"),
            ("'https://keys.example/a b/{sha1}'", "'https://keys.example/a b/{sha1}'"),
        ]
    ),
    (
        "log: {level: warn}",
        "16:14: log.level: must be debug, info, warning or error, not 'warn'; did you mean 'warning'?",
    ),
]


@pytest.mark.parametrize(("line", "problem"), MORE)
def test_wrong_in_optional_sections(site: Site, line: str, problem: str) -> None:
    assert site.errors(f"{GOOD}{line}\n") == [problem]


@pytest.mark.parametrize(
    "url",
    [
        "https://operator:opensesame@keys.example/{sha1}",
        "https://opensesame@keys.example/{sha1}",
        "operator:opensesame@keys.example/{sha1}",
        "ftp://operator:opensesame@keys.example/",
        "https://keys.example/{sha1}?token=@opensesame",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_shown(site: Site, url: str) -> None:
    assert site.errors(f"{GOOD}trust: {{keys: [{{url: '{url}'}}]}}\n") == [
        "16:22: trust.keys[0].url: holds an @, as user and password would, and a secret must not stand in this file;"
        " let the store be read without one, for its keys are public; write an @ of the path as %40"
    ]


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1/{sha1}", "https://[2001:db8::1]:8443/k/{sha1}.pem", "https://keys.example/find?hash={sha1}&x=1"],
)
def test_a_store(site: Site, url: str) -> None:
    config = site.examine(f"{GOOD}trust: {{keys: [{{url: '{url}', timeout: 2}}, {{announced: true}}]}}\n").config
    assert config is not None
    assert [(source.url, source.timeout) for source in config.trust.keys] == [(url, 2.0), (None, 5.0)]


@pytest.mark.parametrize("template", ["{endpoint}", "{label}", "r-{label}.Mesh.example", "{label}.{label}"])
def test_an_identity(site: Site, template: str) -> None:
    text = f"{GOOD}groups: [{{name: a, endpoints: ['2001:db8:f:1::/64'], trust: {{identity: '{template}'}}}}]\n"
    config = site.examine(text).config
    assert config is not None
    assert config.groups[0].trust is not None
    assert config.groups[0].trust.identity == template


def test_trust_given(site: Site) -> None:
    text = GOOD.replace("password_file: bgp.password", "protection: ipsec\n      authenticators: [" + "ab" * 20 + "]")
    text = text.replace("8]\n", "8]\n  max_arrivals: 9\n  dampening: {flaps: 2, half_life: 0.5}\n") + (
        "trust: {mode: null, authorities: [ca.pem, /ca2.pem], revocation_lists: [ca.crl], keys: [{directory: keys}]}\n"
        "groups: [{name: a, endpoints: ['2001:db8:f::/64'], trust: {mode: group-psk, secret_file: group.key}}]\n"
    )
    site.file.write_text(text.replace("identity.key", "identity.key\n  certificate: identity.crt"))
    config = load(site.file, files=False)
    assert trust_mode_of(config.trust) is TrustMode.PKI
    assert config.trust.authorities == (site.directory / "ca.pem", Path("/ca2.pem"))
    assert config.trust.revocation_lists == (site.directory / "ca.crl",)
    (group,) = config.trust_groups
    assert group.trust is not None
    assert (trust_mode_of(group.trust), group.trust.secret_file) == (TrustMode.GROUP_PSK, site.group_key)
    (neighbor,) = config.bgp.neighbors
    assert (neighbor.protection, neighbor.authenticators) == (SessionProtection.IPSEC, (b"\xab" * 20,))
    assert config.admission.max_arrivals == 9
    assert config.admission.dampening is not None
    assert (config.admission.dampening.flaps, config.admission.dampening.half_life) == (2, 0.5)
    assert config.own_keys == ((site.key, site.directory / "identity.crt"),)


def test_no_dampening(site: Site) -> None:
    config = site.examine(changed("[10.0.0.0/8]", "[10.0.0.0/8]\n  dampening: null")).config
    assert config is not None
    assert config.admission.dampening is None


def test_long_and_unprintable_text_is_cut_to_one_line(site: Site) -> None:
    (error,) = site.errors(f'{GOOD}"{"x" * 500}\\n\\e": 1\n')
    assert "\n" not in error
    assert "\x1b" not in error
    assert len(error) < 900


def test_everything_wrong_is_reported_at_once_in_order(site: Site) -> None:
    text = (
        changed("managed: true", "managed: perhaps")
        .replace("  prefixes: [10.1.0.0/24]", "  prefixes: [10.1.0.1/24, 10.2.0.0]")
        .replace("identity.key", "missing.key")
        + "lgo: {}\ncharon: {retry_initial: 9, retry_max: 3}\n"
    )
    examination = site.examine(text)
    assert examination.config is None
    assert [(problem.place.line, problem.key) for problem in examination.errors] == [
        (3, "bgp.managed"),
        (10, "announce.prefixes[0]"),
        (10, "announce.prefixes[1]"),
        (12, "identity.private_key"),
        (16, "lgo"),
        (17, "charon.retry_max"),
    ]
    with pytest.raises(ConfigurationError) as caught:
        load(site.file)
    assert isinstance(caught.value, OperatorError)
    assert caught.value.problems == examination.problems
    assert str(caught.value) == (
        f"{site.file}:3:12: bgp.managed: must be true or false, not 'perhaps'; write true or false"
        f" (and 5 more: softmesh check {site.file})"
    )


def test_what_follows_from_a_misspelled_key_is_not_reported(site: Site) -> None:
    # Nothing is announced, for the key was not understood: no use saying so too.
    examination = site.examine(changed("announce:", "anounce:"))
    assert [str(problem).partition("mesh.yaml:")[2] for problem in examination.problems] == [
        "9:1: anounce: unknown key 'anounce'; did you mean 'announce'?"
    ]
    examination = site.examine(changed("  prefixes: [10.1", "  prefixs: [10.1"))
    assert [problem.key for problem in examination.problems] == ["announce.prefixs"]


def test_what_follows_from_a_wrong_value_is_not_reported(site: Site) -> None:
    # The list that could not be read is not also called empty, nor its remaining items misplaced.
    text = changed("[10.1.0.0/24]", "[x, 10.1.0.0/24, 127.0.0.0/8]")
    assert [problem.key for problem in site.examine(text).problems] == ["announce.prefixes[0]"]


@pytest.mark.parametrize("what", ["missing", "directory", "fifo"])
def test_file_that_is_none(tmp_path: Path, what: str) -> None:
    path = tmp_path / "mesh.yaml"
    if what == "directory":
        path.mkdir()
    elif what == "fifo":
        os.mkfifo(path)
    (problem,) = examine(path).problems
    assert str(problem).startswith(f"{path}:1:1: ")
    assert problem.message in ("no such file", "not a regular file", "cannot be read (Is a directory)")
    with pytest.raises(ConfigurationError):
        load(path)


def test_relative_paths_start_from_the_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.file.write_text(GOOD)
    monkeypatch.chdir(site.directory.parent)
    config = load(Path(site.directory.name) / "mesh.yaml")
    assert config.identity.private_key == site.key


def test_a_private_key_in_place_of_a_path_is_not_repeated(site: Site) -> None:
    key = "-----BEGIN PRIVATE KEY----- MC4CAQAwBQYDK2VwBCIEIopensesame -----END PRIVATE KEY-----"
    told = " ".join(map(str, site.examine(GOOD.replace("private_key: identity.key", f"private_key: [{key}]")).problems))
    assert "must be" in told
    assert "opensesame" not in told
    told = " ".join(
        map(str, site.examine(GOOD.replace("\nidentity:\n  private_key: identity.key", f"\nidentity: {key}")).problems)
    )
    assert "must be a mapping" in told
    assert "opensesame" not in told
