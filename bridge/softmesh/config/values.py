"""The configuration file as typed values: every key, its type, its default and what it means.

The JSON Schema and docs/configuration.md are generated from this module, so the descriptions are written for
operators. Sections are frozen; what a key left out stands for (``bgp.local_address`` for the endpoint, say)
is given by the properties of :class:`Config`.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct, field

from softmesh.bgp.attribute_refusal import AttributeUse
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Family
from softmesh.mesh.softwire import Level
from softmesh.mesh.trust_policy import TrustMode

if TYPE_CHECKING:
    from typing import TypeAlias

    from softmesh.mesh.softwire import Address, Network

    AnnouncedTunnelType: TypeAlias = TunnelType
    AcceptedTunnelType: TypeAlias = TunnelType
    ConfiguredTunnelType: TypeAlias = TunnelType
    Authenticator: TypeAlias = bytes
    InterfaceName: TypeAlias = str
    GroupName: TypeAlias = str
    IdentityTemplate: TypeAlias = str
    StoreUrl: TypeAlias = str
else:
    # msgspec takes no union of two custom types, so to it these are types of their own.
    class Address:
        """An IPv4 or an IPv6 address."""

    class Network:
        """An IPv4 or an IPv6 network."""

    class AnnouncedTunnelType:
        """A tunnel type we may announce."""

    class AcceptedTunnelType:
        """A tunnel type we may send into."""

    class ConfiguredTunnelType:
        """A tunnel type a softwire may be configured with."""

    class Authenticator:
        """SHA-1 over a SubjectPublicKeyInfo: 20 octets."""

    class InterfaceName:
        """The name of a network interface."""

    class GroupName:
        """The name of a peer group."""

    class IdentityTemplate:
        """What a router is called in its certificate, made of its endpoint."""

    class StoreUrl:
        """Where a key store has the key of a hash."""


ACCEPTED_TUNNEL_TYPES = {
    each.keyword: each
    for each in (
        TunnelType.IPSEC_TUNNEL,
        TunnelType.IP_IN_IP_IPSEC_TRANSPORT,
        TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT,
    )
}
"""The tunnel types of RFC 5566 §3 that lead to an SA by their spelling, best first."""

ANNOUNCED_TUNNEL_TYPES = ACCEPTED_TUNNEL_TYPES | {
    TunnelType.TRANSMIT_TUNNEL_ENDPOINT.keyword: TunnelType.TRANSMIT_TUNNEL_ENDPOINT
}
"""The same and RFC 5566 §4.1's type 3, which tells peers not to send to us."""

CONFIGURED_TUNNEL_TYPES = ACCEPTED_TUNNEL_TYPES | {each.keyword: each for each in (TunnelType.GRE, TunnelType.L2TPV3)}
"""The types that lead to an SA and those that RFC 5619 §4.4.2 protects too, though BGP cannot ask for that."""


class Form(enum.Enum):
    """How a value is written that is more than a YAML scalar."""

    ADDRESS = enum.auto()
    IPV4_ADDRESS = enum.auto()
    NETWORK = enum.auto()
    PATH = enum.auto()
    ANNOUNCED_TUNNEL = enum.auto()
    ACCEPTED_TUNNEL = enum.auto()
    CONFIGURED_TUNNEL = enum.auto()
    AUTHENTICATOR = enum.auto()
    INTERFACE_NAME = enum.auto()
    GROUP_NAME = enum.auto()
    IDENTITY_TEMPLATE = enum.auto()
    STORE_URL = enum.auto()


FORMS: dict[object, Form] = {
    Address: Form.ADDRESS,
    IPv4Address: Form.IPV4_ADDRESS,
    Network: Form.NETWORK,
    Path: Form.PATH,
    AnnouncedTunnelType: Form.ANNOUNCED_TUNNEL,
    AcceptedTunnelType: Form.ACCEPTED_TUNNEL,
    ConfiguredTunnelType: Form.CONFIGURED_TUNNEL,
    Authenticator: Form.AUTHENTICATOR,
    InterfaceName: Form.INTERFACE_NAME,
    GroupName: Form.GROUP_NAME,
    IdentityTemplate: Form.IDENTITY_TEMPLATE,
    StoreUrl: Form.STORE_URL,
}
"""By the type that msgspec sees."""


class SessionProtection(enum.StrEnum):
    """What keeps others from forging a BGP session (RFC 5619 §4.4.1)."""

    MD5 = "md5"
    AO = "ao"
    IPSEC = "ipsec"
    NONE = "none"


class DataPlaneMode(enum.StrEnum):
    """How packets get into softwires of type 4."""

    AUTO = "auto"
    ROUTE = "route"
    POLICY = "policy"


class Selectors(enum.StrEnum):
    """What the traffic selectors of softwires of type 4 are."""

    PREFIXES = "prefixes"
    ANY = "any"


class Guards(enum.StrEnum):
    """What keeps traffic from leaving in the clear."""

    FULL = "full"
    ROUTES = "routes"
    NONE = "none"


class AnnouncementCarrier(enum.StrEnum):
    """Which of our announcements name our tunnels."""

    ROUTE = "route"
    ENCAPSULATION_SAFI = "encapsulation-safi"
    BOTH = "both"


class LogLevel(enum.StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """How a line of the log looks."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


Asn = Annotated[int, Meta(ge=1, le=4294967294)]
Color = Annotated[int, Meta(ge=0, le=4294967295)]
Proposal = Annotated[str, Meta(pattern="^[a-z0-9_]+(-[a-z0-9_]+)*$", max_length=256)]
Proposals = Annotated[tuple[Proposal, ...], Meta(min_length=1)]
Mtu = Annotated[int, Meta(ge=1280, le=65535)]
Port = Annotated[int, Meta(ge=1, le=65535)]

INTERFACE_NAME = "[!-.0-9;-~]{1,15}"
"""What the kernel's dev_valid_name() takes, but for letters outside ASCII."""

GROUP_NAME = "[A-Za-z][A-Za-z0-9._-]{0,63}"

IDENTITY_TEMPLATE = r"[!-)+-z|~]*(\{(endpoint|label)\}[!-)+-z|~]*)+"
"""Printable ASCII without blanks, without ``*`` and without braces but those of what is filled in."""

_URL_CHARACTER = r"[A-Za-z0-9._~:/?\[\]!$&'()*+,;=%-]"
"""Those of RFC 3986 §2 but ``#``, for there are no fragments, and ``@``, which would set a user and password apart."""

STORE_URL = rf"https?://{_URL_CHARACTER}+\{{sha1\}}{_URL_CHARACTER}*"

IKE_PROPOSALS = ("aes256gcm16-prfsha384-x25519",)
"""What ``charon.ike_proposals: null`` stands for where charon has no ML-KEM."""

IKE_PROPOSALS_WITH_ML_KEM = ("aes256gcm16-prfsha384-x25519-ke1_mlkem768", *IKE_PROPOSALS)
"""The same where it has (RFC 9370): peers without it take the second."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file; keys not named in it are errors."""


class Neighbor(Section, frozen=True, kw_only=True):
    """A BGP neighbour, commonly a route reflector."""

    address: Annotated[
        Address, Meta(description="Address of the neighbour, of the same family as `bgp.local_address`.")
    ]
    asn: Annotated[
        Asn | None,
        Meta(description="Its autonomous system number; null stands for `bgp.asn`, which makes it iBGP."),
    ] = None
    password_file: Annotated[
        Path | None,
        Meta(
            description="File whose first line is the TCP-MD5 password (RFC 2385), at most 80 octets of "
            "printable "
            "ASCII; only its owner may be able to read it. null: no TCP-MD5."
        ),
    ] = None
    protection: Annotated[
        SessionProtection | None,
        Meta(
            description="What must protect the session before its routes count: `md5` (RFC 2385), looked up at "
            "the socket itself, or `ipsec`; `ao` (RFC 5925) is refused as yet, for nobody tells which sockets have it. "
            "null: `md5`. `none`: routes of an unprotected session count, and status shows it in red."
        ),
    ] = None
    gtsm: Annotated[
        bool,
        Meta(
            description="Whether only packets with TTL 255 are taken from it (GTSM, RFC 5082); the neighbour must be "
            "on a network of ours and send with 255."
        ),
    ] = False
    authenticators: Annotated[
        tuple[Authenticator, ...],
        Meta(
            description="SHA-1 hashes of the keys it may authenticate with where IPsec protects the session (transport "
            "mode, TCP port 179); the keys must be in a source of `trust.keys` other than announcements. Required with "
            "`protection: ipsec`, and only there."
        ),
    ] = ()
    tunnels: Annotated[
        bool | None,
        Meta(
            description="Whether tunnels are accepted from it and announced to it. null: with iBGP, and not with eBGP "
            "(RFC 9012 §11)."
        ),
    ] = None
    attribute: Annotated[
        AttributeUse,
        Meta(
            description="Whether our announcements to it carry attribute 23. `auto`: until two sessions in a row end "
            "at it; from then on they carry the Encapsulation community (RFC 9012 §4.1) in its place, until `softmesh "
            "announce --attribute ADDRESS`. `always` and `never` do not look at how sessions end."
        ),
    ] = AttributeUse.AUTO


class Bgp(Section, frozen=True, kw_only=True):
    """The BGP side: who we are and whom we listen to."""

    managed: Annotated[
        bool,
        Meta(
            description="Whether `softmesh run` starts and supervises ExaBGP itself; false where an "
            "ExaBGP of your "
            "own runs `softmesh hook`."
        ),
    ] = False
    asn: Annotated[Asn, Meta(description="Our autonomous system number, as one decimal number (no `1.10`).")]
    router_id: Annotated[
        IPv4Address | None,
        Meta(description="Our BGP identifier, written as an IPv4 address; required when `managed`."),
    ] = None
    local_address: Annotated[
        Address | None, Meta(description="Our end of the BGP sessions; null stands for `endpoint`.")
    ] = None
    graceful_restart: Annotated[
        int,
        Meta(
            ge=0,
            le=4095,
            description="Seconds our neighbours are asked to keep our routes while our BGP restarts "
            "(RFC 4724); 0 "
            "turns it off.",
        ),
    ] = 120
    hold_time: Annotated[int, Meta(ge=3, le=65535, description="BGP hold time in seconds (RFC 4271 §4.2).")] = 90
    stale_time: Annotated[
        int,
        Meta(
            ge=0,
            le=604800,
            description="Seconds the routes of a lost neighbour, and so their softwires, are kept; `groups` may say "
            "otherwise of their endpoints.",
        ),
    ] = 300
    add_path: Annotated[
        bool,
        Meta(
            description="Whether to ask neighbours for all their paths to a prefix, not only the best (RFC 7911); "
            "counts when `managed`."
        ),
    ] = False
    neighbors: Annotated[
        tuple[Neighbor, ...],
        Meta(min_length=1, description="The BGP neighbours: the route reflectors. At least one."),
    ]
    families: Annotated[
        tuple[Family, ...],
        Meta(
            min_length=1,
            description="Address families whose routes are exchanged: `ipv4 unicast`, `ipv6 unicast`; and of the "
            "obsolete Encapsulation SAFI (RFC 5512 §3) that of the endpoints, `ipv4 encap` or `ipv6 encap`, where "
            "neighbours speak it. See policy.md.",
        ),
    ] = (Family.IPV4_UNICAST, Family.IPV6_UNICAST)
    exabgp: Annotated[
        Path | None,
        Meta(
            description="The ExaBGP program to supervise when `managed`; null stands for the one of the "
            "same Python "
            "environment."
        ),
    ] = None


class AnnouncedTunnel(Section, frozen=True, kw_only=True):
    """A tunnel our announcements offer."""

    type: Annotated[AnnouncedTunnelType, Meta(description="Tunnel type (RFC 5566 §3).")]
    color: Annotated[Color | None, Meta(description="Colour of the tunnel (RFC 9012 §3.4.2); null for none.")] = None


class Announce(Section, frozen=True, kw_only=True):
    """What we tell the mesh."""

    prefixes: Annotated[
        tuple[Network, ...],
        Meta(description="Networks behind this router, to which peers send through a softwire."),
    ] = ()
    tunnels: Annotated[
        tuple[AnnouncedTunnel, ...],
        Meta(
            min_length=1,
            description="The tunnels offered with every prefix. The default is one `ipsec-tunnel-mode`.",
        ),
    ] = (AnnouncedTunnel(type=TunnelType.IPSEC_TUNNEL),)
    carrier: Annotated[
        AnnouncementCarrier | None,
        Meta(
            description="What names our tunnels: each route of ours (`route`, RFC 9012 §6), one announcement of our "
            "endpoint in the Encapsulation SAFI (`encapsulation-safi`, RFC 5512 §3), or `both`. null: `both` where "
            "`bgp.families` has that SAFI for our endpoint, else `route`."
        ),
    ] = None
    public_key: Annotated[
        bool,
        Meta(
            description="Whether announcements carry our public key beside its hash (sub-TLV 126), so "
            "that peers need "
            "no key directory. RSA keys are too long for it."
        ),
    ] = True
    authenticator: Annotated[
        bool | None,
        Meta(
            description="Whether announcements carry the hash of our key (RFC 5566 §4), which peers then hold us to. "
            "null: unless `trust.mode` is `pki` or `group-psk`."
        ),
    ] = None
    certificate: Annotated[
        bool,
        Meta(
            description="Whether announcements carry our certificate too, where there is one (sub-TLV 254): peers of "
            "mode `pinned+pki` then need no key directory."
        ),
    ] = True


class OwnKey(Section, frozen=True, kw_only=True):
    """A further key of ours."""

    private_key: Annotated[Path, Meta(description="As `identity.private_key`.")]
    certificate: Annotated[Path | None, Meta(description="As `identity.certificate`.")] = None


class IdentityFiles(Section, frozen=True, kw_only=True):
    """Who we are towards peers."""

    private_key: Annotated[
        Path,
        Meta(
            description="Our private key, PEM and not encrypted; only its owner may be able to read it. "
            "`softmesh keygen` makes one."
        ),
    ]
    certificate: Annotated[
        Path | None,
        Meta(
            description="Our certificate, PEM or DER, for the trust modes `pki` and `pinned+pki`: of this key, and for "
            "the name that `trust.identity` gives our endpoint."
        ),
    ] = None
    also: Annotated[
        tuple[OwnKey, ...],
        Meta(
            description="Further keys of ours, for a rollover: announced beside the first, and used towards peers that "
            "do not accept the first yet. See keys.md."
        ),
    ] = ()


class Dampening(Section, frozen=True, kw_only=True):
    """How endpoints that come and go are left alone until they stay."""

    flaps: Annotated[
        int, Meta(ge=1, le=1000, description="Returns of an endpoint after which it gets no softwire for a while.")
    ] = 6
    half_life: Annotated[float, Meta(gt=0, le=86400, description="Seconds after which a return counts half.")] = 60.0


class Admission(Section, frozen=True, kw_only=True):
    """Who may be a peer and what it may bring. What is not admitted here gets no softwire."""

    endpoints: Annotated[tuple[Network, ...], Meta(description="Networks that a peer's tunnel endpoint must lie in.")]
    prefixes: Annotated[
        tuple[Network, ...], Meta(description="Networks that destinations announced by peers must lie in.")
    ]
    origin_as: Annotated[
        tuple[Asn, ...] | None,
        Meta(
            description="AS numbers that a route may originate in; one without an AS_PATH (iBGP) "
            "originates in "
            "`bgp.asn`. null: any."
        ),
    ] = None
    neighbors: Annotated[
        tuple[Address, ...] | None,
        Meta(description="BGP neighbours whose routes are used; null stands for all of `bgp.neighbors`."),
    ] = None
    max_softwires: Annotated[
        int, Meta(ge=1, le=100000, description="Softwires there may be; further peers are refused.")
    ] = 1000
    max_selectors: Annotated[
        int,
        Meta(
            ge=1,
            le=500,
            description="Pairs of local and remote prefix a softwire may carry. charon cannot list many more CHILD SAs "
            "of one peer.",
        ),
    ] = 256
    max_arrivals: Annotated[
        int,
        Meta(
            ge=1,
            le=100000,
            description="Endpoints that are new, of one announcing router, in a minute; further ones wait. Routers are "
            "told apart by ORIGINATOR_ID, else by origin AS or neighbour.",
        ),
    ] = 30
    dampening: Annotated[
        Dampening | None,
        Meta(description="Endpoints that come and go get no softwire until they stay (after RFC 2439). null: never."),
    ] = field(default_factory=Dampening)


class KeySource(Section, frozen=True, kw_only=True):
    """A place where peers' public keys are looked for; exactly one of `directory`, `announced` and `url`."""

    directory: Annotated[
        Path | None,
        Meta(description="A directory of public keys and certificates, PEM or DER; changes are noticed while running."),
    ] = None
    announced: Annotated[
        bool, Meta(description="true: the key that came in the announcement itself (sub-TLVs 126 and 254).")
    ] = False
    url: Annotated[
        StoreUrl | None,
        Meta(
            description="A store of keys and certificates over HTTP or HTTPS; `{sha1}` in it stands for the "
            "authenticator, 40 hex digits. What it gives is held against the hash, so it need not be trusted."
        ),
    ] = None
    ca_file: Annotated[
        Path | None,
        Meta(description="CA certificates for an HTTPS `url`, PEM; null: the system's."),
    ] = None
    timeout: Annotated[float, Meta(gt=0, le=60, description="Seconds that a `url` has for a whole answer.")] = 5.0


class TrustRules(Section, frozen=True, kw_only=True):
    """How a peer comes to be trusted."""

    mode: Annotated[
        TrustMode | None,
        Meta(
            description="`pinned`: a key is used only if its SHA-1 hash is the authenticator that the peer announced "
            "(RFC 5566 §4). `pki`: a certificate of one of `authorities` for the peer's `identity`; a peer that "
            "announces authenticators is held to them as well. `pinned+pki`: both, always. `group-psk`: one key for "
            "all, which does not prove who it is; the mesh only. null: `pki` where there are `authorities`, else "
            "`pinned`."
        ),
    ] = None
    authorities: Annotated[
        tuple[Path, ...],
        Meta(description="CA certificates, PEM or DER, root or intermediate, for `pki` and `pinned+pki`."),
    ] = ()
    identity: Annotated[
        IdentityTemplate,
        Meta(
            description="What a router is called in its certificate (subjectAltName): `{endpoint}` stands for its "
            "endpoint's address, `{label}` for the same as a DNS label (`192-0-2-1`, `2001-db8-0-0-0-0-0-1`)."
        ),
    ] = "{endpoint}"
    revocation_lists: Annotated[
        tuple[Path, ...],
        Meta(
            description="CRLs of the authorities, PEM or DER, read again when they change. With any, certificates "
            "without a valid CRL are refused."
        ),
    ] = ()
    secret_file: Annotated[
        Path | None,
        Meta(
            description="File with the key of `group-psk` on its first line, 20 to 256 printable ASCII characters; "
            "only its owner may be able to read it. `softmesh keygen --group-key` makes one."
        ),
    ] = None


def trust_mode_of(rules: TrustRules) -> TrustMode:
    """The trust mode, also where ``mode`` is null."""
    if rules.mode is not None:
        return rules.mode
    return TrustMode.PKI if rules.authorities else TrustMode.PINNED


class Trust(TrustRules, frozen=True, kw_only=True):
    """How a peer comes to be trusted, and where keys are looked for."""

    keys: Annotated[
        tuple[KeySource, ...],
        Meta(description="Where keys come from, tried in this order. The default is `announced: true` alone."),
    ] = (KeySource(announced=True),)


class PeerGroup(Section, frozen=True, kw_only=True):
    """Peers that are spoken of together, told by where their endpoints lie."""

    name: Annotated[
        GroupName,
        Meta(description="What the group is called elsewhere: letters, digits, `.`, `_` and `-`, at most 64."),
    ]
    endpoints: Annotated[
        tuple[Network, ...],
        Meta(
            min_length=1,
            description="Networks that the endpoints of its peers lie in, within `admission.endpoints`.",
        ),
    ]
    trust: Annotated[
        TrustRules | None,
        Meta(
            description="How routers of this group come to trust each other; nothing is taken over from `trust`. "
            "Between a router of it and one outside, `trust` decides, as it does with null. The first group counts "
            "that both are in and that has this."
        ),
    ] = None
    stale_time: Annotated[
        Annotated[int, Meta(ge=0, le=604800)] | None,
        Meta(
            description="Seconds that routes of a lost neighbour keep softwires to endpoints of this group. The "
            "shortest counts of the groups that an endpoint is in and that have this; where none has, with null, "
            "`bgp.stale_time` does.",
        ),
    ] = None


class ProtectionRule(Section, frozen=True, kw_only=True):
    """Which softwires get a level of protection: those that match in everything that is given."""

    level: Annotated[
        Level,
        Meta(
            description="`encrypt`: ESP with `charon.esp_proposals`; `integrity`: ESP that authenticates and does not "
            "encrypt, with `charon.integrity_proposals`; `ah`: AH with `charon.ah_proposals`."
        ),
    ]
    groups: Annotated[
        tuple[GroupName, ...] | None,
        Meta(description="Peer groups, by name: both ends of the softwire lie in them. null: anywhere."),
    ] = None
    colors: Annotated[
        tuple[Color, ...] | None,
        Meta(description="Colours of the tunnel; one without colour has none of them. null: any, or none."),
    ] = None
    tunnels: Annotated[tuple[ConfiguredTunnelType, ...] | None, Meta(description="Tunnel types; null: any.")] = None


class Protection(Section, frozen=True, kw_only=True):
    """How strongly softwires are protected; both ends of one must come to the same level."""

    default: Annotated[Level, Meta(description="Level of the softwires that no rule matches.")] = Level.ENCRYPT
    rules: Annotated[
        tuple[ProtectionRule, ...],
        Meta(description="Levels of particular softwires; the first rule that matches decides."),
    ] = ()


class SoftwireEntry(Section, frozen=True, kw_only=True):
    """A softwire that is there whatever BGP says. The other end needs one like it."""

    remote: Annotated[Address, Meta(description="The peer's endpoint, of the same family as ours.")]
    tunnel: Annotated[ConfiguredTunnelType, Meta(description="Tunnel type.")]
    authenticators: Annotated[
        tuple[Authenticator, ...],
        Meta(
            min_length=1,
            description="SHA-1 hashes of the keys the peer may authenticate with, 40 hex digits each, with or without "
            "colons; `softmesh check` prints each router's own. The keys must be in a directory or "
            "store of `trust.keys`.",
        ),
    ]
    prefixes: Annotated[
        tuple[Network, ...],
        Meta(
            description="Networks behind the peer, sent into the softwire. `ipsec-tunnel-mode` must have some, "
            "`l2tpv3` takes none; without any, others route into it."
        ),
    ] = ()
    color: Annotated[Color | None, Meta(description="Colour, for the rules of `protection`; null for none.")] = None


class Select(Section, frozen=True, kw_only=True):
    """Which of the tunnels a peer offers are used."""

    tunnels: Annotated[
        tuple[AcceptedTunnelType, ...],
        Meta(description="Tunnel types that may be used, best first."),
    ] = tuple(ACCEPTED_TUNNEL_TYPES.values())
    colors: Annotated[tuple[Color, ...] | None, Meta(description="Colours a coloured tunnel may have; null: any.")] = (
        None
    )


class Charon(Section, frozen=True, kw_only=True):
    """strongSwan's daemon and what is asked of it."""

    vici: Annotated[Path, Meta(description="charon's VICI socket (a path, without `unix://`).")] = field(
        default_factory=lambda: Path("/run/charon.vici")
    )
    ike_proposals: Annotated[
        Proposals | None,
        Meta(
            description="IKE proposals in strongSwan's notation, best first. null stands for "
            f"`{'`, `'.join(IKE_PROPOSALS_WITH_ML_KEM)}` where this charon has ML-KEM, for the last alone elsewhere."
        ),
    ] = None
    esp_proposals: Annotated[
        Proposals,
        Meta(description="ESP proposals of level `encrypt`, best first; they must encrypt."),
    ] = ("aes256gcm16-x25519",)
    integrity_proposals: Annotated[
        Proposals,
        Meta(
            description="ESP proposals of level `integrity`, best first; `null` with a hash, or GMAC. Both ends must "
            "have one in common."
        ),
    ] = ("null-sha256-x25519", "aes256gmac-x25519")
    ah_proposals: Annotated[
        Proposals,
        Meta(
            description="AH proposals of level `ah`, best first; a hash and no cipher. GMAC, as AH, does not work in "
            "strongSwan."
        ),
    ] = ("sha256-x25519",)
    max_half_open: Annotated[int, Meta(ge=1, le=10000, description="IKE_SAs that may be in the making at once.")] = 256
    retry_initial: Annotated[
        float,
        Meta(gt=0, le=3600, description="Seconds before the first new attempt at a peer; doubles each time."),
    ] = 0.25
    retry_max: Annotated[
        float,
        Meta(gt=0, le=86400, description="Seconds between attempts at most; not below `retry_initial`."),
    ] = 60.0
    takeover: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Seconds the end that is not elected to initiate waits before it initiates after all.",
        ),
    ] = 5.0


class DataPlane(Section, frozen=True, kw_only=True):
    """How packets get into softwires on this machine, and what keeps them from leaving in the clear."""

    mode: Annotated[
        DataPlaneMode,
        Meta(
            description="For softwires of type 4. `route`: an XFRM interface each, or a VTI where the kernel has only "
            "those (which needs `charon.install_routes = no` in strongswan.conf), and routes into it. `policy`: "
            "prefixes are the traffic selectors. `auto`: XFRM interfaces where the kernel has them and charon's ESP is "
            "the kernel's, else `policy`."
        ),
    ] = DataPlaneMode.AUTO
    selectors: Annotated[
        Selectors,
        Meta(
            description="Traffic selectors of softwires of type 4. `prefixes`: each of our prefixes with each of "
            "theirs. `any`: 0.0.0.0/0 and ::/0, with `mode: route` only, and alike on all routers of the mesh."
        ),
    ] = Selectors.PREFIXES
    interfaces: Annotated[
        bool,
        Meta(
            description="Whether the tunnel interfaces and routes of types 5 and 6 and of configured GRE are made by "
            "us; false where others make them."
        ),
    ] = True
    guards: Annotated[
        Guards,
        Meta(
            description="`full`: blackhole routes for `admission.prefixes`, and an nftables table that drops what "
            "crosses the core unprotected and ought not to, and forged inner sources. `routes`: the blackhole routes "
            "alone. `none`: neither."
        ),
    ] = Guards.FULL
    core_devices: Annotated[
        tuple[InterfaceName, ...],
        Meta(description="Interfaces towards the core beside those that lead to the peers, which are found anyhow."),
    ] = ()
    core_mtu: Annotated[
        Mtu | None,
        Meta(
            description="Largest packet, in octets, that the core carries to every peer; null: as the kernel has it "
            "for each."
        ),
    ] = None
    admitted_only: Annotated[
        bool,
        Meta(
            description="Whether IKE, ESP and AH are accepted from the endpoints of wanted softwires only; needs "
            "`guards: full`."
        ),
    ] = False


class Sockets(Section, frozen=True, kw_only=True):
    """Where the hook and the bridge listen."""

    directory: Annotated[Path, Meta(description="Directory of `hook.sock` and `control.sock`.")] = field(
        default_factory=lambda: Path("/run/softmesh")
    )

    @property
    def hook(self) -> Path:
        """Where the hook serves the Adj-RIB-In."""
        return self.directory / "hook.sock"

    @property
    def control(self) -> Path:
        """Where the bridge answers commands."""
        return self.directory / "control.sock"


class Http(Section, frozen=True, kw_only=True):
    """The read-only web page, its API, metrics and health."""

    port: Annotated[
        Port | None,
        Meta(description="TCP port of the web page, `/metrics`, `/healthz` and `/readyz`; null: none."),
    ] = None
    addresses: Annotated[
        tuple[Address, ...],
        Meta(
            min_length=1,
            description="Our addresses to listen at. There is no login and no TLS: beyond the loopback a proxy of "
            "yours belongs before it.",
        ),
    ] = field(default_factory=lambda: (IPv4Address("127.0.0.1"), IPv6Address("::1")))


class Log(Section, frozen=True, kw_only=True):
    """What is logged and how."""

    level: Annotated[LogLevel, Meta(description="The least severe line that is written.")] = LogLevel.INFO
    format: Annotated[LogFormat, Meta(description="`auto` is `console` on a terminal and `json` elsewhere.")] = (
        LogFormat.AUTO
    )


class Config(Section, frozen=True, kw_only=True):
    """A whole configuration file."""

    endpoint: Annotated[
        Address,
        Meta(
            description="Our address in the core: egress endpoint of our tunnels, IKE address, next hop "
            "of our "
            "announcements."
        ),
    ]
    bgp: Annotated[Bgp, Meta(description="The BGP side: who we are and whom we listen to.")]
    announce: Annotated[Announce, Meta(description="What we tell the mesh.")] = field(default_factory=Announce)
    identity: Annotated[IdentityFiles, Meta(description="Who we are towards peers.")]
    admission: Annotated[
        Admission,
        Meta(description="Who may be a peer and what it may bring. What is not admitted here gets no softwire."),
    ]
    groups: Annotated[
        tuple[PeerGroup, ...],
        Meta(description="Peer groups, for `protection` to speak of; a peer may be in several."),
    ] = ()
    trust: Annotated[Trust, Meta(description="How a peer's key comes to be trusted.")] = field(default_factory=Trust)
    protection: Annotated[
        Protection,
        Meta(description="How strongly softwires are protected; both ends of one must come to the same level."),
    ] = field(default_factory=Protection)
    select: Annotated[Select, Meta(description="Which of the tunnels a peer offers are used.")] = field(
        default_factory=Select
    )
    softwires: Annotated[
        tuple[SoftwireEntry, ...],
        Meta(description="Softwires that are there whatever BGP says, beside those that it asks for."),
    ] = ()
    charon: Annotated[Charon, Meta(description="strongSwan's daemon and what is asked of it.")] = field(
        default_factory=Charon
    )
    dataplane: Annotated[
        DataPlane,
        Meta(
            description="How packets get into softwires on this machine, and what keeps them from leaving in the clear."
        ),
    ] = field(default_factory=DataPlane)
    sockets: Annotated[Sockets, Meta(description="Where the hook and the bridge listen.")] = field(
        default_factory=Sockets
    )
    http: Annotated[Http, Meta(description="The read-only web page, its API, metrics and health.")] = field(
        default_factory=Http
    )
    log: Annotated[Log, Meta(description="What is logged and how.")] = field(default_factory=Log)

    @property
    def local_address(self) -> Address:
        """Our end of the BGP sessions."""
        return self.endpoint if self.bgp.local_address is None else self.bgp.local_address

    @property
    def admitted_neighbors(self) -> tuple[Address, ...]:
        """BGP neighbours whose routes are used."""
        if self.admission.neighbors is not None:
            return self.admission.neighbors
        return tuple(neighbor.address for neighbor in self.bgp.neighbors)

    @property
    def carrier(self) -> AnnouncementCarrier:
        """What names our tunnels."""
        if self.announce.carrier is not None:
            return self.announce.carrier
        spoken = self.encapsulation_family in self.bgp.families
        return AnnouncementCarrier.BOTH if spoken else AnnouncementCarrier.ROUTE

    @property
    def encapsulation_family(self) -> Family:
        """The family of our endpoint in the Encapsulation SAFI."""
        return Family.IPV4_ENCAPSULATION if self.endpoint.version == 4 else Family.IPV6_ENCAPSULATION

    @property
    def announces_authenticator(self) -> bool:
        """Whether announcements carry the hashes of our keys, and what goes with them."""
        if self.announce.authenticator is not None:
            return self.announce.authenticator
        return trust_mode_of(self.trust) not in {TrustMode.PKI, TrustMode.GROUP_PSK}

    @property
    def trust_groups(self) -> tuple[PeerGroup, ...]:
        """The groups with a trust of their own that we are in; of other groups neither files nor secrets are needed."""
        return tuple(
            group
            for group in self.groups
            if group.trust is not None and any(self.endpoint in network for network in group.endpoints)
        )

    def is_external(self, neighbor: Neighbor) -> bool:
        """Whether no tunnels are exchanged with a neighbour (RFC 9012 §11)."""
        if neighbor.tunnels is not None:
            return not neighbor.tunnels
        return self.asn_of(neighbor) != self.bgp.asn

    @property
    def own_keys(self) -> tuple[tuple[Path, Path | None], ...]:
        """The files of our keys and their certificates, that of the key we prefer first."""
        first = (self.identity.private_key, self.identity.certificate)
        return (first, *((key.private_key, key.certificate) for key in self.identity.also))

    def asn_of(self, neighbor: Neighbor) -> int:
        """Give the AS number of a neighbour."""
        return self.bgp.asn if neighbor.asn is None else neighbor.asn
