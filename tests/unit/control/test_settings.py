"""The configuration as the mesh and the hook want it."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address

import pytest

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.tunnel_encapsulation import Carrier, Tunnel, decode
from softmesh.config import Config
from softmesh.control.settings import announcements_of, policy_of
from softmesh.control.trust_files import TrustFiles
from softmesh.mesh.identity import Identity, load_identities
from softmesh.mesh.policy import Dampening
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy
from tests.unit.config.conftest import site
from tests.unit.config.site import GOOD, Site, changed

__all__ = ["site"]

TWO_TUNNELS = "[10.1.0.0/24]\n  tunnels: [{type: ipsec-tunnel-mode}, {type: ip-in-ip-ipsec-transport, color: 7}]"
ROLLOVER = "identity.key\n  certificate: identity.crt\n  also: [{private_key: next.key, certificate: next.crt}]\n"


def config_of(site: Site, text: str) -> Config:
    config = site.examine(text).config
    assert config is not None, site.errors(text)
    return config


def announced(config: Config) -> tuple[tuple[Identity, ...], tuple[Tunnel, ...]]:
    """Our keys, and the tunnels that peers read out of our one announcement."""
    own = load_identities(config.own_keys)
    (announcement,) = announcements_of(config, own, announcing=True)
    assert announcement.tunnel_encapsulation is not None
    return own, decode(announcement.tunnel_encapsulation, Carrier.UNICAST).tunnels


def test_policy_of_what_is_left_out(site: Site) -> None:
    policy = policy_of(config_of(site, GOOD), announcing=True)
    assert policy.trust == TrustPolicy()
    assert policy.trust.mode is TrustMode.PINNED
    assert (policy.trust_groups, policy.external, policy.unprotected) == ((), frozenset(), {})
    assert (policy.max_arrivals, policy.dampening) == (30, Dampening(6, 60.0))
    assert policy.announced == ((TunnelType.IPSEC_TUNNEL, None),)


def test_policy_of_what_is_given(site: Site) -> None:
    text = changed("[10.1.0.0/24]", TWO_TUNNELS).replace(
        "[10.0.0.0/8]", "[10.0.0.0/8]\n  max_arrivals: 5\n  dampening: {flaps: 2, half_life: 9}"
    )
    config = config_of(
        site,
        text.replace("identity.key\n", "identity.key\n  certificate: identity.crt\n")
        + "groups: [{name: hubs, endpoints: ['2001:db8:f::/80'], trust: {mode: pinned+pki, authorities: [ca.pem]}}]\n",
    )
    files = TrustFiles(config)
    policy = policy_of(
        config,
        announcing=True,
        trust=files.trust,
        trust_groups=files.groups,
        unprotected={"2001:db8:f::fe": "no TCP-MD5"},
    )
    assert policy.announced == ((TunnelType.IPSEC_TUNNEL, None), (TunnelType.IP_IN_IP_IPSEC_TRANSPORT, 7))
    assert (policy.max_arrivals, policy.dampening) == (5, Dampening(2, 9.0))
    assert policy.unprotected == {"2001:db8:f::fe": "no TCP-MD5"}
    assert policy.trust_of(IPv6Address("2001:db8:f::2")).mode is TrustMode.PINNED_PKI
    assert policy.trust_of(IPv6Address("2001:db8:f:0:1::2")).mode is TrustMode.PINNED


def test_policy_while_withdrawn(site: Site) -> None:
    config = config_of(site, GOOD)
    policy = policy_of(config, announcing=False)
    assert (policy.announced, policy.local_prefixes) == ((), ())
    assert policy_of(config, announcing=True).local_prefixes == (IPv4Network("10.1.0.0/24"),)
    assert announcements_of(config, load_identities(config.own_keys), announcing=False) == frozenset()


def test_no_dampening(site: Site) -> None:
    config = config_of(site, changed("[10.0.0.0/8]", "[10.0.0.0/8]\n  dampening: null"))
    assert policy_of(config, announcing=True).dampening is None


@pytest.mark.parametrize(
    ("keys", "external"),
    [
        ("asn: null", False),
        ("asn: 65000", False),
        ("asn: 65001", True),
        ("asn: 65001, tunnels: true", False),
        ("asn: 65001, tunnels: false", True),
        ("tunnels: false", True),
        ("tunnels: true", False),
    ],
)
def test_neighbors_of_another_administration(site: Site, keys: str, external: bool) -> None:
    """RFC 9012 §11."""
    text = changed(
        "    - address: 2001:db8:f::fe\n      password_file: bgp.password\n",
        f"    - {{address: '2001:db8:f::fe', password_file: bgp.password, {keys}}}\n"
        "    - {address: '2001:db8:f::fd', password_file: bgp.password}\n",
    )
    policy = policy_of(config_of(site, text), announcing=True)
    assert policy.external == (frozenset({"2001:db8:f::fe"}) if external else frozenset())


def test_one_key_is_announced_with_every_tunnel(site: Site) -> None:
    (own,), tunnels = announced(config_of(site, changed("[10.1.0.0/24]", TWO_TUNNELS)))
    assert [(tunnel.type, tunnel.color) for tunnel in tunnels] == [
        (TunnelType.IPSEC_TUNNEL, None),
        (TunnelType.IP_IN_IP_IPSEC_TRANSPORT, 7),
    ]
    for tunnel in tunnels:
        assert (tunnel.authenticators, tunnel.public_keys, tunnel.certificates) == (
            (own.authenticator,),
            (own.spki,),
            (),
        )


def test_all_keys_are_announced_during_a_rollover(site: Site) -> None:
    text = GOOD.replace("identity.key\n", ROLLOVER)
    own, (tunnel,) = announced(config_of(site, text))
    assert len(own) == 2
    assert tunnel.authenticators == tuple(identity.authenticator for identity in own)
    assert tunnel.public_keys == tuple(identity.spki for identity in own)
    assert tunnel.certificates == tuple(identity.certificate for identity in own)
    _, (tunnel,) = announced(
        config_of(site, text.replace("announce:", "announce:\n  public_key: false\n  certificate: false"))
    )
    assert tunnel.authenticators == tuple(identity.authenticator for identity in own)
    assert (tunnel.public_keys, tunnel.certificates) == ((), ())


@pytest.mark.parametrize(
    "rules", ["{authorities: [ca.pem]}", "{mode: group-psk, secret_file: group.key}", "{mode: pinned}"]
)
def test_no_key_is_announced_where_none_is_to_be(site: Site, rules: str) -> None:
    text = f"{GOOD}trust: {rules}\n".replace("identity.key\n", ROLLOVER)
    if "pinned" in rules:
        text = text.replace("announce:", "announce:\n  authenticator: false")
    config = config_of(site, text)
    (announcement,) = announcements_of(config, load_identities(config.own_keys), announcing=True)
    # RFC 9012 §4.1: what is left of the tunnel is its type.
    assert announcement.tunnel_encapsulation is None
    assert announcement.extended_communities == (0x030C << 48 | TunnelType.IPSEC_TUNNEL,)
