"""The configuration as the mesh and the hook want it."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, ip_network

import pytest

from softmesh.bgp.announcement import Announcement, without_attribute
from softmesh.bgp.attribute_refusal import AttributeUse
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.extended_communities import attribute_digest, colors_from
from softmesh.bgp.sub_tlv import EgressEndpoint
from softmesh.bgp.tunnel_encapsulation import Carrier, Tunnel, decode
from softmesh.config import Config
from softmesh.control.carriage import attribute_use
from softmesh.control.settings import announcements_of, policy_of, stale_times_of
from softmesh.control.trust_files import TrustFiles
from softmesh.mesh.identity import Identity, load_identities
from softmesh.mesh.policy import Dampening, StaleTimes
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


def test_how_long_routes_of_lost_sessions_count(site: Site) -> None:
    assert policy_of(config_of(site, GOOD), announcing=True).stale_times == StaleTimes(300, ())
    groups = (
        "groups:\n  - {name: a, endpoints: ['2001:db8:f::/80'], stale_time: 900}\n"
        "  - {name: b, endpoints: ['2001:db8:f::/64']}\nadmission:"
    )
    times = stale_times_of(config_of(site, changed("admission:", groups)))
    assert times == StaleTimes(300, (((ip_network("2001:db8:f::/80"),), 900),))
    assert times.longest == 900, "which is what a managed hook is given"


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


IN_SAFI = "asn: 65000\n  families: [ipv4 unicast, ipv6 unicast, ipv6 encap]"


@pytest.mark.parametrize(
    ("text", "of_prefix", "of_endpoint"),
    [
        pytest.param("", True, False, id="no such family"),
        pytest.param(IN_SAFI, True, True, id="by default"),
        pytest.param(f"{IN_SAFI}\ncarrier: both", True, True, id="both"),
        pytest.param(f"{IN_SAFI}\ncarrier: route", True, False, id="on routes"),
        pytest.param(f"{IN_SAFI}\ncarrier: encapsulation-safi", False, True, id="in the SAFI"),
        pytest.param(
            "asn: 65000\n  families: [ipv4 unicast, ipv6 unicast, ipv4 encap]", True, False, id="not of our endpoint"
        ),
    ],
)
def test_what_carries_our_tunnels(site: Site, text: str, of_prefix: bool, of_endpoint: bool) -> None:
    families, _, carrier = text.partition("\n" + "carrier: ")
    whole = changed("asn: 65000", families or "asn: 65000")
    whole = whole.replace("announce:", f"announce:\n  carrier: {carrier}") if carrier else whole
    config = config_of(site, whole)
    own = load_identities(config.own_keys)
    announcements = {each.encapsulation: each for each in announcements_of(config, own, announcing=True)}
    assert announcements.keys() == ({False, True} if of_endpoint else {False})
    assert (announcements[False].tunnel_encapsulation is not None) == of_prefix
    assert bool(announcements[False].extended_communities) == of_prefix
    if of_endpoint:
        announcement = announcements[True]
        assert (announcement.prefix, announcement.next_hop) == ("2001:db8:f::1/128", "2001:db8:f::1")
        assert announcement.tunnel_encapsulation is not None
        (tunnel,) = decode(announcement.tunnel_encapsulation, Carrier.ENCAPSULATION).usable_tunnels
        assert tunnel.authenticators == (own[0].authenticator,)
        assert not any(isinstance(sub_tlv, EgressEndpoint) for sub_tlv in tunnel.sub_tlvs)


def test_a_tunnel_with_nothing_to_be_said_of_it_is_a_community_in_the_safi_too(site: Site) -> None:
    """GoBGP empties a TLV without sub-TLVs."""
    text = changed("asn: 65000", IN_SAFI).replace("announce:", "announce:\n  authenticator: false")
    config = config_of(site, text)
    for announcement in announcements_of(config, load_identities(config.own_keys), announcing=True):
        assert announcement.tunnel_encapsulation is None
        assert announcement.extended_communities == (0x030C000000000004,)


@pytest.mark.parametrize(
    ("tunnels", "colors"),
    [
        ("{type: ipsec-tunnel-mode, color: 7}, {type: ip-in-ip-ipsec-transport, color: 8}", (7, 8)),
        ("{type: ipsec-tunnel-mode, color: 7}, {type: ip-in-ip-ipsec-transport}", ()),
    ],
)
def test_routes_ask_for_coloured_tunnels_where_the_safi_has_no_others(
    site: Site, tunnels: str, colors: tuple[int, ...]
) -> None:
    """RFC 5512 §4.4."""
    text = changed("[10.1.0.0/24]", f"[10.1.0.0/24]\n  carrier: encapsulation-safi\n  tunnels: [{tunnels}]")
    config = config_of(site, text.replace("asn: 65000", IN_SAFI))
    announcements = announcements_of(config, load_identities(config.own_keys), announcing=True)
    (of_prefix,) = (each for each in announcements if not each.encapsulation)
    assert colors_from(of_prefix.extended_communities) == colors


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


COLORED = changed("[10.1.0.0/24]", "[10.1.0.0/24]\n  tunnels: [{type: ip-in-ip-ipsec-transport, color: 7}, {type: T}]")
TYPE_4, TYPE_5 = 0x030C << 48 | 4, 0x030C << 48 | 5


def only_announcement(config: Config) -> Announcement:
    (announcement,) = announcements_of(config, load_identities(config.own_keys), announcing=True)
    return announcement


def test_the_community_stands_in_for_the_attribute(site: Site) -> None:
    """Beside it, too, where nobody is to authenticate by a hash."""
    pinned = only_announcement(config_of(site, COLORED.replace("{type: T}", "{type: ipsec-tunnel-mode}")))
    value = pinned.tunnel_encapsulation
    assert value is not None
    assert pinned.extended_communities == (int(attribute_digest(value)),)
    assert without_attribute(pinned).extended_communities == (TYPE_5, TYPE_4)
    assert without_attribute(pinned).tunnel_encapsulation is None

    text = f"{COLORED}trust: {{authorities: [ca.pem]}}\n".replace("identity.key\n", ROLLOVER)
    pki = only_announcement(config_of(site, text.replace("{type: T}", "{type: ipsec-tunnel-mode}")))
    assert pki.tunnel_encapsulation is not None
    assert pki.extended_communities == (TYPE_5, TYPE_4, int(attribute_digest(pki.tunnel_encapsulation)))
    assert [tunnel.type for tunnel in decode(pki.tunnel_encapsulation, Carrier.UNICAST).tunnels] == [5], (
        "RFC 9012 §4.1: of a tunnel that has a type alone there is no TLV"
    )
    assert without_attribute(pki).extended_communities == (TYPE_5, TYPE_4)


def test_a_bare_tunnel_beside_a_colored_one_of_its_type_has_a_tlv(site: Site) -> None:
    """The community would be taken for the coloured one."""
    text = f"{COLORED}trust: {{authorities: [ca.pem]}}\n".replace("identity.key\n", ROLLOVER)
    both = only_announcement(config_of(site, text.replace("{type: T}", "{type: ip-in-ip-ipsec-transport}")))
    assert both.tunnel_encapsulation is not None
    tunnels = decode(both.tunnel_encapsulation, Carrier.UNICAST).tunnels
    assert [(tunnel.type, tunnel.color) for tunnel in tunnels] == [(5, 7), (5, None)]
    assert both.extended_communities == (TYPE_5, int(attribute_digest(both.tunnel_encapsulation)))


def test_who_gets_the_attribute(site: Site) -> None:
    assert attribute_use(config_of(site, GOOD)) == {}
    never = changed(
        "      password_file: bgp.password\n", "      password_file: bgp.password\n      attribute: never\n"
    )
    assert attribute_use(config_of(site, never)) == {"2001:db8:f::fe": AttributeUse.NEVER}
