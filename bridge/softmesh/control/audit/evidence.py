"""What several requirements rest on, found once each: levels of protection, sessions, proofs of identity, guards.

Every function here takes the node and says what it found; whether that is good enough is the requirements' affair.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.observed import ChildSa
from softmesh.config.proposals import transforms
from softmesh.config.values import CONFIGURED_TUNNEL_TYPES, Guards
from softmesh.control.audit.node import Node
from softmesh.control.audit.requirement import counted, listed
from softmesh.control.sessions import SessionGuard
from softmesh.control.settings import blackholes_of, guard_of
from softmesh.dataplane.guard import Guarded
from softmesh.dataplane.nft_ruleset import elements, ruleset
from softmesh.mesh.admission import address
from softmesh.mesh.credential import Certified, GroupKey, PinnedKey, authenticator_of
from softmesh.mesh.softwire import Address, Level, Softwire
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy

_AEAD = re.compile(r".*_(GCM|CCM|GMAC)_.*|CHACHA20_POLY1305")
"""Ciphers that authenticate by themselves."""
_IN_USER_SPACE = {
    "gcm": "AES_GCM", "ccm": "AES_CCM", "gmac": "NULL_AES_GMAC",
    "chacha20poly1305": "CHACHA20_POLY1305", "null": "NULL",
    "sha1": "HMAC_SHA1", "sha256": "HMAC_SHA2_256", "sha384": "HMAC_SHA2_384", "sha512": "HMAC_SHA2_512",
    "aesxcbc": "AES_XCBC", "aescmac": "AES_CMAC",
}  # fmt: skip
"""By a part of its name in a proposal, how get-algorithms begins an algorithm's name."""


# Levels of protection


def offered(node: Node, level: Level) -> tuple[str, ...]:
    """The proposals configured for a level."""
    charon = node.config.charon
    return {
        Level.ENCRYPT: charon.esp_proposals,
        Level.INTEGRITY: charon.integrity_proposals,
        Level.AH: charon.ah_proposals,
    }[level]


def able(node: Node, level: Level) -> tuple[list[str], str]:
    """The proposals of a level that can be had here, as far as is known; and where there are none, why.

    ESP and AH are the kernel's, save with kernel-libipsec, which has charon's own algorithms and no AH.
    """
    proposals = offered(node, level)
    if node.silence or node.ability is None or not node.ability.kernel_libipsec:
        return list(proposals), ""
    if level is Level.AH:
        return [], "charon's kernel-libipsec has no AH"
    lacking = {proposal: _lacking(node, proposal) for proposal in proposals}
    found = [proposal for proposal, lack in lacking.items() if not lack]
    return found, "" if found else f"charon has no {', no '.join(dict.fromkeys(lacking.values()))}"


def cannot(node: Node, level: Level) -> str:
    """Why softwires of a level cannot be had of this charon; empty where they can."""
    return able(node, level)[1]


def _lacking(node: Node, proposal: str) -> str:
    """What a proposal needs and charon has not; empty where it has all of it."""
    held = node.facts.account.algorithms if node.facts.account is not None else frozenset()
    for part in proposal.split("-"):
        for word, algorithm in _IN_USER_SPACE.items():
            if word in part and not part.startswith("prf") and not any(name.startswith(algorithm) for name in held):
                return algorithm
    return ""


def level_of(sa: ChildSa) -> Level:
    """What an SA does, whatever it was meant for."""
    if sa.protocol == "AH":
        return Level.AH
    return Level.INTEGRITY if not sa.encr_alg or sa.encr_alg.startswith("NULL") else Level.ENCRYPT


def authenticates(sa: ChildSa) -> bool:
    """Whether an SA has integrity, and with it authentication of the data's origin (RFC 4301 §3.2)."""
    return bool(sa.integ_alg) or bool(_AEAD.fullmatch(sa.encr_alg))


def unauthenticated_proposals(node: Node) -> list[str]:
    """Configured proposals that have no integrity; what is unknown here, charon judges."""
    every = [proposal for level in Level for proposal in offered(node, level)]
    return [proposal for proposal in every if (found := transforms(proposal)) is not None and not found.authenticates]


def sas_by_level(node: Node) -> str:
    """``CHILD SAs that stand: 3 encrypt, 0 integrity, 0 ah``, and who would tell of the others."""
    found = Counter(level_of(sa) for _, sa in node.sas())
    kernels = node.ability is not None and not node.ability.kernel_libipsec and not all(found[level] for level in Level)
    return (
        "CHILD SAs that stand: "
        + ", ".join(f"{found[level]} {level}" for level in Level)
        + (" (ESP and AH are this kernel's; that it has the rest, only an SA would show)" if kernels else "")
    )


def usable_tunnels(node: Node) -> tuple[list[TunnelType], dict[TunnelType, str]]:
    """Tunnel types that this node may send into, and those it cannot, with the reason."""
    unable = node.view.fabric.unable
    wanted = set(node.config.select.tunnels) | {wire.tunnel for wire in node.config.softwires}
    usable = [kind for kind in CONFIGURED_TUNNEL_TYPES.values() if kind in wanted and kind not in unable]
    return usable, {kind: unable[kind] for kind in CONFIGURED_TUNNEL_TYPES.values() if kind in unable}


# The control plane


_PROTECTED = frozenset({SessionGuard.MD5, SessionGuard.AO, SessionGuard.IPSEC})


@dataclass
class Sessions:
    """How the BGP sessions are protected, in words."""

    protected: list[str] = field(default_factory=list)
    forgone: list[str] = field(default_factory=list)
    """Unprotected because the configuration says so: their routes count."""
    ignored: list[str] = field(default_factory=list)
    """Not protected as they ought to be: their routes do not count."""
    unknown: list[str] = field(default_factory=list)
    kinds: Counter[SessionGuard] = field(default_factory=Counter)


def sessions(node: Node) -> Sessions:
    """Judge every BGP session whose routes may count."""
    found = Sessions()
    admitted = set(node.config.admitted_neighbors)
    for neighbor in node.config.bgp.neighbors:
        if neighbor.address not in admitted:
            continue
        name = str(neighbor.address)
        session = node.view.sessions.get(name)
        if session is None:
            found.unknown.append(f"nothing is known of the session with {name}")
            continue
        why = f" ({session.reason})" if session.reason else ""
        if session.protection in _PROTECTED and session.satisfied:
            gtsm = " and GTSM" if session.gtsm else ""
            found.kinds[session.protection] += 1
            found.protected.append(f"session with {name}: {session.protection}{gtsm}{why}")
        elif session.satisfied:
            found.forgone.append(f"session with {name} is not protected, and its routes count{why}")
        else:
            found.ignored.append(f"session with {name} does not show its protection, so its routes do not count{why}")
    return found


# Proofs of identity


def trust_scopes(node: Node) -> list[tuple[str, TrustPolicy]]:
    """How peers come to be trusted, by whom that is for."""
    groups = [(f"group {group.name}", group.policy) for group in node.policy.trust_groups]
    return [("every peer" if not groups else "peers of no group", node.policy.trust), *groups]


def without_pki(policy: TrustPolicy) -> bool:
    """Whether no authority vouches for a peer."""
    return policy.mode is TrustMode.PINNED or (policy.mode is not TrustMode.GROUP_PSK and not policy.authorities)


def unproven(node: Node) -> list[str]:
    """Softwires whose peer could authenticate by less than it must: one by one, against what it announced."""
    flaws = []
    for softwire, credential in node.credentials():
        offered, remote = node.offered(softwire.id), softwire.id.remote
        held = authenticator_of(credential)
        if held is not None and held not in offered:
            flaws.append(f"{remote} may use key {held.hex()}, which is none that it announced")
        elif isinstance(credential, Certified) and offered:
            flaws.append(f"{remote} announced authenticators and is not held to them")
        elif isinstance(credential, Certified) and not credential.authorities:
            flaws.append(f"{remote} may use a certificate that no authority of ours signed")
        elif isinstance(credential, GroupKey) and offered:
            flaws.append(f"{remote} announced authenticators and authenticates by a group key")
    flaws += [
        f"{wire.remote} may authenticate by nothing at all"
        for wire, softwire in node.protected.items()
        if not softwire.credentials
    ]
    return flaws


def misidentified(node: Node, *, initiator: bool | None = None) -> tuple[list[str], int]:
    """IKE_SAs in which the peer is not who it ought to be, and how many were looked at.

    Looked at are those with peers that have a softwire; an identity is the hash of the key, where keys are pinned.
    """
    by_remote: dict[Address, list[Softwire]] = {}
    for wire, softwire in node.protected.items():
        by_remote.setdefault(wire.remote, []).append(softwire)
    wrong, seen = [], 0
    for sa in node.ike_sas():
        softwires = by_remote.get(address(sa.remote_host), [])
        credentials = [credential for softwire in softwires for credential in softwire.credentials]
        if not credentials or (initiator is not None and sa.initiator is not initiator):
            continue
        seen += 1
        allowed = [credential.authenticator for credential in credentials if isinstance(credential, PinnedKey)]
        if len(allowed) == len(credentials) and not any(_is(sa.remote_id, digest) for digest in allowed):
            wrong.append(f"IKE_SA {sa.unique_id} with {sa.remote_host} is with {sa.remote_id}, whose key is not pinned")
    return wrong, seen


def _is(identity: str, digest: bytes) -> bool:
    """Whether list-sas prints this ID_KEY_ID so: octets in hex, or as they are where all are printable."""
    return identity.replace(":", "") == digest.hex() or identity.encode() == digest


def announced_authenticators(node: Node) -> tuple[list[str], list[str], int]:
    """Tunnels we announce without authenticator, those with one that is not our key's, and how many there are."""
    ours = {identity.authenticator for identity in node.own}
    tunnels = node.announced_tunnels()
    missing = [f"{prefix}: {tunnel.name}" for prefix, tunnel in tunnels if not tunnel.authenticators]
    foreign = [
        f"{prefix}: {tunnel.name} with {digest.hex()}"
        for prefix, tunnel in tunnels
        for digest in tunnel.authenticators
        if digest not in ours
    ]
    return missing, foreign, len(tunnels)


def ike_versions(node: Node) -> tuple[list[str], list[str]]:
    """What of charon's own account is not IKEv2, and the account in words."""
    account = node.facts.account
    if account is None:
        return [], []
    old = [f"connection {c.name} takes {c.version}" for c in account.connections if c.version != "IKEv2"]
    old += [f"an IKE_SA of IKEv{version}" for version in account.ike_versions if version != "2"]
    good = sum(c.version == "IKEv2" for c in account.connections)
    standing = sum(version == "2" for version in account.ike_versions)
    return old, [
        f"by charon's own account {counted(good, len(account.connections), 'loaded connection')} and "
        f"{counted(standing, len(account.ike_versions), 'IKE_SA')} of ours are IKEv2",
    ]


# Guards


@dataclass
class Guarding:
    """What of the guards is missing, and what stands."""

    absent: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)


def filters(node: Node) -> Guarding:
    """The packet filters, as nft lists them now, held against what this configuration and these softwires need."""
    found = Guarding()
    guards = node.config.dataplane.guards
    if guards is not Guards.FULL:
        found.absent.append(f"dataplane.guards is {guards}: there is no packet filter")
        return found
    table = node.facts.firewall.table
    if table is None:
        found.absent.append(f"the nftables table inet softmesh is not to be seen ({node.facts.firewall.problem})")
        return found
    guard = guard_of(node.config, node.policy)
    if not table.ours or table.shape != ruleset(guard).shape:
        found.absent.append("the nftables table inet softmesh has other rules than those of the bridge")
        return found
    carried = frozenset(prefix for softwire in node.softwires.values() for prefix in softwire.prefixes)
    wanted = elements(guard, Guarded(destinations=carried), table.elements)
    for name in sorted(wanted):
        follows_softwires = not name.startswith(("endpoints", "destinations", "exempt", "configured"))
        if not follows_softwires and (lacks := wanted[name] - table.elements.get(name, frozenset())):
            found.absent.append(f"set {name} of the nftables table lacks {listed(sorted(lacks))}")
    dropped = ", ".join(f"{packets} {rule}" for rule, (packets, _) in sorted(table.counted.items()))
    found.evidence.append(
        f"nftables table inet softmesh stands with {len(table.shape)} chains, unaltered; packets dropped: {dropped}"
    )
    return found


def blackholes(node: Node) -> Guarding:
    """The routes that hold back what no softwire carries."""
    found = Guarding()
    if node.config.dataplane.guards is Guards.NONE:
        found.absent.append("dataplane.guards is none: nothing is held back while a softwire is down")
        return found
    wanted = blackholes_of(node.config)
    missing = sorted(map(str, wanted - node.view.layout.blackholes))
    if missing:
        found.absent.append(f"no blackhole route for {listed(missing)}")
    stand = len(wanted & node.view.layout.blackholes)
    found.evidence.append(f"{counted(stand, len(wanted), 'blackhole route')} for admission.prefixes")
    return found
