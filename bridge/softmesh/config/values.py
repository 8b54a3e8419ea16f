"""The configuration file as typed values: every key, its type, its default and what it means.

The JSON Schema and docs/configuration.md are generated from this module, so the descriptions are written for
operators. Sections are frozen; what a key left out stands for (``bgp.local_address`` for the endpoint, say)
is given by the properties of :class:`Config`.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct, field

from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Family

if TYPE_CHECKING:
    from typing import TypeAlias

    from softmesh.mesh.softwire import Address, Network

    AnnouncedTunnelType: TypeAlias = TunnelType
    AcceptedTunnelType: TypeAlias = TunnelType
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


ACCEPTED_TUNNEL_TYPES = {
    "ipsec-tunnel-mode": TunnelType.IPSEC_TUNNEL,
    "ip-in-ip-ipsec-transport": TunnelType.IP_IN_IP_IPSEC_TRANSPORT,
    "mpls-in-ip-ipsec-transport": TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT,
}
"""Spelling of the tunnel types of RFC 5566 §3 that lead to an SA, best first."""

ANNOUNCED_TUNNEL_TYPES = ACCEPTED_TUNNEL_TYPES | {"transmit-only": TunnelType.TRANSMIT_TUNNEL_ENDPOINT}
"""The same and RFC 5566 §4.1's type 3, which tells peers not to send to us."""

TUNNEL_TYPE_NAMES = {kind: name for name, kind in ANNOUNCED_TUNNEL_TYPES.items()}
"""The spelling of each tunnel type in the file."""


class Form(enum.Enum):
    """How a value is written that is more than a YAML scalar."""

    ADDRESS = enum.auto()
    IPV4_ADDRESS = enum.auto()
    NETWORK = enum.auto()
    PATH = enum.auto()
    ANNOUNCED_TUNNEL = enum.auto()
    ACCEPTED_TUNNEL = enum.auto()


FORMS: dict[object, Form] = {
    Address: Form.ADDRESS,
    IPv4Address: Form.IPV4_ADDRESS,
    Network: Form.NETWORK,
    Path: Form.PATH,
    AnnouncedTunnelType: Form.ANNOUNCED_TUNNEL,
    AcceptedTunnelType: Form.ACCEPTED_TUNNEL,
}
"""By the type that msgspec sees."""


class TrustMode(enum.StrEnum):
    """How a peer's public key comes to be trusted."""

    PINNED = "pinned"


class DataPlane(enum.StrEnum):
    """How packets get into a softwire."""

    POLICY = "policy"


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
            description="Seconds the routes of a lost neighbour, and so their softwires, are kept.",
        ),
    ] = 300
    neighbors: Annotated[
        tuple[Neighbor, ...],
        Meta(min_length=1, description="The BGP neighbours: the route reflectors. At least one."),
    ]
    families: Annotated[
        tuple[Family, ...],
        Meta(
            min_length=1,
            description="Address families whose routes are exchanged: `ipv4 unicast`, `ipv6 unicast`.",
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
    public_key: Annotated[
        bool,
        Meta(
            description="Whether announcements carry our public key beside its hash (sub-TLV 126), so "
            "that peers need "
            "no key directory. RSA keys are too long for it."
        ),
    ] = True


class IdentityFiles(Section, frozen=True, kw_only=True):
    """Who we are towards peers."""

    private_key: Annotated[
        Path,
        Meta(
            description="Our private key, PEM and not encrypted; only its owner may be able to read it. "
            "`softmesh keygen` makes one."
        ),
    ]


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
        int, Meta(ge=1, le=65536, description="Pairs of local and remote prefix a softwire may carry.")
    ] = 256


class KeySource(Section, frozen=True, kw_only=True):
    """A place where peers' public keys are looked for; exactly one key of the two."""

    directory: Annotated[
        Path | None,
        Meta(description="A directory of public keys and certificates, PEM or DER; changes are noticed while running."),
    ] = None
    announced: Annotated[
        bool, Meta(description="true: the key that came in the announcement itself (sub-TLV 126).")
    ] = False


class Trust(Section, frozen=True, kw_only=True):
    """How a peer's key comes to be trusted."""

    mode: Annotated[
        TrustMode,
        Meta(
            description="`pinned`: a key is used only if its SHA-1 hash is the authenticator that the "
            "peer announced "
            "(RFC 5566 §4). The only mode as yet."
        ),
    ] = TrustMode.PINNED
    keys: Annotated[
        tuple[KeySource, ...],
        Meta(description="Where keys come from, tried in this order. The default is `announced: true` alone."),
    ] = (KeySource(announced=True),)


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
        tuple[Proposal, ...],
        Meta(min_length=1, description="IKE proposals in strongSwan's notation, best first."),
    ] = ("aes256gcm16-prfsha384-x25519",)
    esp_proposals: Annotated[
        tuple[Proposal, ...],
        Meta(min_length=1, description="ESP proposals in strongSwan's notation, best first."),
    ] = ("aes256gcm16-x25519",)
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
    trust: Annotated[Trust, Meta(description="How a peer's key comes to be trusted.")] = field(default_factory=Trust)
    select: Annotated[Select, Meta(description="Which of the tunnels a peer offers are used.")] = field(
        default_factory=Select
    )
    charon: Annotated[Charon, Meta(description="strongSwan's daemon and what is asked of it.")] = field(
        default_factory=Charon
    )
    dataplane: Annotated[
        DataPlane,
        Meta(
            description="How packets get into a softwire. `policy`: prefixes are the traffic selectors "
            "of the SA. "
            "The only one as yet."
        ),
    ] = DataPlane.POLICY
    sockets: Annotated[Sockets, Meta(description="Where the hook and the bridge listen.")] = field(
        default_factory=Sockets
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

    def asn_of(self, neighbor: Neighbor) -> int:
        """Give the AS number of a neighbour."""
        return self.bgp.asn if neighbor.asn is None else neighbor.asn
