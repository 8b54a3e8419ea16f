"""The requirements of RFC 5566 §3 to §5 on IPsec tunnels that BGP asks for, and their authenticators."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from softmesh.bgp.announcement import without_attribute
from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.selector import parse_selector
from softmesh.control.audit import evidence
from softmesh.control.audit.node import Node
from softmesh.control.audit.requirement import (
    Check,
    Finding,
    Requirement,
    Strength,
    conclude,
    counted,
    listed,
    not_applicable,
)
from softmesh.control.progress import State
from softmesh.control.wanted_layout import hop_of
from softmesh.mesh.admission import address
from softmesh.mesh.credential import Certified, PinnedCertificate, PinnedKey
from softmesh.mesh.decision import Decision
from softmesh.mesh.softwire import Mode, Network, Softwire, SoftwireId, inside
from softmesh.mesh.trust_policy import TrustMode

_IPSEC = frozenset(
    {TunnelType.IPSEC_TUNNEL, TunnelType.IP_IN_IP_IPSEC_TRANSPORT, TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT}
)
"""RFC 5566 §2."""


def _initiated_and_used(node: Node) -> Finding:
    """R5566-1."""
    bearers = _bearers(node)
    if not bearers:
        return not_applicable("no peer has announced a tunnel that this node admits")
    if node.silence:
        return conclude([], silence=node.silence)
    through: list[str] = []
    held, clear, elsewhere = [], [], []
    for wire, prefix in bearers:
        why = _not_through(node, wire, prefix)
        if not why:
            through.append(str(prefix))
        elif prefix is None:
            elsewhere.append(f"{wire}: {why}")
        elif any(inside(prefix, hole) for hole in node.view.layout.blackholes):
            held.append(f"{prefix}: {why}; its packets go nowhere meanwhile")
        else:
            clear.append(f"{prefix}: {why}, and nothing holds its packets back")
    types = Counter(wire.type.label for wire in node.standing())
    return conclude(
        [
            f"through the tunnel that was announced: {counted(len(through), len(bearers), 'route')} "
            f"({listed(sorted(through))})",
            f"softwires that stand: {', '.join(f'{n} of {kind}' for kind, n in sorted(types.items())) or 'none'}",
        ],
        fails=clear,
        warns=[*held, *elsewhere],
        remedy="see the reason in softmesh status, and set dataplane.guards: full",
    )


def _bearers(node: Node) -> list[tuple[SoftwireId, Network | None]]:
    """Each destination that a tunnel was announced for and that is this node's choice, with its softwire."""
    desired = node.view.desired
    found = []
    for wire, keys in desired.carried.items():
        for key in keys:
            decision: Decision | None = desired.decisions.get(key)
            if decision is not None and decision.offer is not None:
                found.append((wire, decision.prefix))
    return found


def _not_through(node: Node, wire: SoftwireId, prefix: Network | None) -> str:
    """Why packets for a prefix do not go into the softwire; empty where they do."""
    pending = node.view.desired.pending.get(wire)
    if pending is not None:
        return f"no softwire ({pending.refusal.detail})"
    softwire, progress = node.protected[wire], node.view.progress.get(wire)
    sas = node.view.installed.get(wire, ())
    if progress is None or not sas:
        return f"its softwire is {progress.state if progress else State.WANTED}"
    if prefix is None:
        return "routing into it is left to others"
    if softwire.interface is not None:
        hop = node.view.layout.routes.get(prefix)
        return "" if hop == hop_of(softwire, softwire.interface) else f"no route into {softwire.interface.name}"
    if softwire.mode is Mode.TRANSPORT:
        return "its interface is made by others"
    return "" if _selected(softwire, prefix, [sa.remote_ts for sa in sas]) else "no SA has it for a selector"


def _selected(softwire: Softwire, prefix: Network, selectors: list[frozenset[str]]) -> bool:
    held = [parse_selector(text)[0] for each in selectors for text in each]
    return any(not isinstance(network, str) and inside(prefix, network) for network in held)


def _all_or_nothing(node: Node) -> Finding:
    """R5566-2."""
    offered: dict[str, set[int]] = {announcement.prefix: set() for announcement in node.announced}
    for prefix, tunnel in node.announced_tunnels():
        offered[prefix].add(tunnel.type)
    if not offered:
        return not_applicable("we announce nothing" if node.view.announcing else "our announcements are withdrawn")
    bare = sorted(prefix for prefix, kinds in offered.items() if not kinds & _IPSEC and kinds != {_TRANSMIT})
    mixed = sorted(
        f"{prefix} with {TunnelType(kind).label}"
        for prefix, kinds in offered.items()
        for kind in kinds - _IPSEC - {_TRANSMIT}
    )
    inner = [each.address for each in node.config.bgp.neighbors if not node.config.is_external(each)]
    filters = evidence.filters(node)
    return conclude(
        [
            f"{counted(len(offered) - len(bare), len(offered), 'prefix', 'prefixes')} announced with an IPsec tunnel, "
            f"to all of {listed(inner)} alike",
            *filters.evidence,
        ],
        warns=[
            *(f"{prefix} is announced without an IPsec tunnel" for prefix in bare),
            *mixed,
            *(f"what arrives in the clear is not dropped: {why}" for why in filters.absent),
        ],
        remedy="set announce.tunnels to IPsec types alone, and dataplane.guards: full",
    )


_TRANSMIT = TunnelType.TRANSMIT_TUNNEL_ENDPOINT


def _policies(node: Node) -> Finding:
    """R5566-3."""
    account = node.facts.account
    loaded = account.connections if account is not None else ()
    wide = [
        f"connection {c.name} is for {listed(c.local_addresses)} and {listed(c.remote_addresses)}"
        for c in loaded
        if not (len(c.local_addresses) == len(c.remote_addresses) == 1)
        or not all(_is_host(text) for text in (*c.local_addresses, *c.remote_addresses))
    ]
    rules = node.config.protection.rules
    scopes = [f"{who}: {policy.mode}" for who, policy in evidence.trust_scopes(node)]
    return conclude(
        [
            f"{counted(len(loaded) - len(wide), len(loaded), 'loaded connection')} from one router to one router",
            f"policy: admission of {listed(node.config.admission.endpoints)}; level {node.config.protection.default}, "
            f"and {len(rules)} rules; trust.mode for {listed(scopes)}",
        ],
        fails=wide,
        silence=node.silence if node.softwires else "",
        remedy="unload what is not the bridge's (swanctl --list-conns), and restart softmesh run",
    )


def _is_host(text: str) -> bool:
    try:
        address(text)
    except ValueError:
        return False
    return True


def _authenticator(node: Node) -> Finding:
    """R5566-4."""
    missing, foreign, tunnels = evidence.announced_authenticators(node)
    if not tunnels:
        return not_applicable("we announce no tunnel" if node.view.announcing else "our announcements are withdrawn")
    if len(missing) == tunnels:
        return not_applicable(
            f"announce.authenticator is off: {counted(0, tunnels, 'tunnel')} announced with one (its use is optional)"
        )
    untold, without = _unheard(node)
    ours = ", ".join(f"{identity.authenticator.hex()} ({identity.kind})" for identity in node.own)
    return conclude(
        [
            f"{counted(max(0, tunnels - len(missing) - len(foreign)), tunnels, 'announced tunnel')} with the SHA-1 "
            "hash of a key of ours and no other",
            f"our keys hash to {ours}",
            f"ExaBGP was told of {counted(len(node.announced) - len(untold), len(node.announced), 'announcement')}",
        ],
        fails=[f"not the hash of a key of ours: {each}" for each in foreign],
        warns=[
            *([f"without one: {listed(missing)}"] if missing else []),
            *([f"ExaBGP was not told of {listed(untold)}, or the hook's file cannot be read"] if untold else []),
            *([f"without attribute 23, and so without one, to {listed(without)}"] if without else []),
        ],
        remedy="restart softmesh run; see problem in softmesh status for what ExaBGP refused",
    )


def _unheard(node: Node) -> tuple[list[str], list[str]]:
    """The prefixes ExaBGP was not told of as we want them, and the neighbours that attribute 23 is left out for."""
    untold, without = [], set[str]()
    told = node.facts.told or ()
    for announcement in node.announced:
        bare = replace(without_attribute(announcement), neighbors=None)
        left_out = {
            neighbor
            for each in told
            if announcement.tunnel_encapsulation is not None and replace(each, neighbors=None) == bare
            for neighbor in each.neighbors or ()
        }
        rest = None if announcement.neighbors is None else announcement.neighbors - left_out
        if rest != frozenset() and replace(announcement, neighbors=rest) not in told:
            untold.append(announcement.prefix)
        without |= left_out
    return sorted(untold), sorted(without)


def _key_pair(node: Node) -> Finding:
    """R5566-5."""
    held = [identity for identity in node.own if identity.key_id.hex() in node.observed.key_ids]
    absent = [identity.authenticator.hex() for identity in node.own if identity not in held]
    certified = [identity for identity in node.own if identity.certificate is not None]
    signed = [identity for identity in node.own if identity.authenticator in node.facts.self_signed]
    uncertified = [each.authenticator.hex() for each in node.own if each not in certified and each not in signed]
    return conclude(
        [
            f"charon holds {counted(len(held), len(node.own), 'private key')} of ours: "
            f"{listed([f'{each.authenticator.hex()} ({each.kind})' for each in held])}",
            f"certificates: configured for {counted(len(certified), len(node.own), 'key')}; signed by the key itself, "
            f"on trial just now, for {counted(len(signed), len(node.own), 'key')}",
        ],
        fails=[
            *(f"charon does not hold our key {each}" for each in absent if node.protected and not node.silence),
            *(f"there can be no certificate of our key {each}" for each in uncertified),
        ],
        silence=node.silence,
        remedy="see what charon refused in softmesh status; softmesh keygen makes a key and its certificate",
    )


def _session_integrity(node: Node) -> Finding:
    """R5566-6."""
    missing, _, tunnels = evidence.announced_authenticators(node)
    used = len(missing) < tunnels or any(node.offered(wire) for wire in node.softwires)
    if not used:
        return not_applicable("no authenticator is announced by us or by the peer of a wanted softwire")
    found = evidence.sessions(node)
    return conclude(
        found.protected,
        unknown=found.unknown,
        warns=[*found.forgone, *found.ignored],
        remedy="set bgp.neighbors[].password_file here and at the neighbour",
    )


def _verified(node: Node, *, initiator: bool) -> Finding:
    """R5566-7a and R5566-7b."""
    wrong, seen = evidence.misidentified(node, initiator=initiator)
    flaws = evidence.unproven(node)
    held_to = [wire for wire in node.softwires if node.offered(wire)]
    if not held_to:
        return not_applicable("no peer of a wanted softwire has announced an authenticator")
    sound = len(held_to) - sum(any(flaw.startswith(f"{wire.remote} ") for flaw in flaws) for wire in held_to)
    role = "that we initiated" if initiator else "that a peer initiated"
    return conclude(
        [
            "all keys that charon takes, known to it before anything is sent, hash to what the peer announced: "
            f"{counted(sound, len(held_to), 'softwire')}",
            f"IKE_SAs {role}: {counted(seen - len(wrong), seen, 'peer')} known by such a hash",
        ],
        fails=[*flaws, *wrong],
        silence=node.silence,
        remedy="softmesh explain shows the key of each peer; restart softmesh run if an SA is wrong",
    )


def _before_any_sa(node: Node) -> Finding:
    """R5566-7a."""
    return _verified(node, initiator=True)


def _reciprocal(node: Node) -> Finding:
    """R5566-7b."""
    return _verified(node, initiator=False)


def _certificate_exchange(node: Node) -> Finding:
    """R5566-7c."""
    bare = {softwire.id for softwire, credential in node.credentials() if isinstance(credential, PinnedKey)}
    shown = {
        softwire.id
        for softwire, credential in node.credentials()
        if isinstance(credential, Certified | PinnedCertificate)
    }
    if not bare and not shown:
        scopes = [who for who, policy in evidence.trust_scopes(node) if policy.mode is TrustMode.PINNED]
        if not scopes:
            return not_applicable("no softwire is wanted, and no trust mode is pinned")
    return conclude(
        [f"{counted(len(shown), len(node.softwires), 'softwire')} with certificates exchanged in IKEv2"],
        warns=[
            f"{counted(len(bare), len(node.softwires), 'softwire')} by a pinned key, without a certificate: charon "
            "takes no self-signed one in IKEv2, so the key is known beforehand, from the announcement or trust.keys, "
            "and held against the hash (a deviation that lets no other key in)"
        ]
        if bare or not shown
        else [],
        remedy="set trust.mode: pinned+pki, with trust.authorities and identity.certificate",
    )


def _floods(node: Node) -> Finding:
    """R5566-8."""
    admission = node.config.admission
    found = evidence.sessions(node)
    return conclude(
        [
            f"at most {admission.max_softwires} softwires ({len(node.softwires)} wanted), {admission.max_arrivals} new "
            f"endpoints a minute of one router, {node.config.charon.max_half_open} IKE_SAs in the making",
            *found.protected,
        ],
        warns=[
            *(["admission.dampening is off"] if admission.dampening is None else []),
            *found.forgone,
            *found.ignored,
            *found.unknown,
        ],
        remedy="protect the BGP sessions (bgp.neighbors[].protection) and leave admission.dampening on",
    )


def _required(id_: str, section: str, strength: Strength, text: str) -> Requirement:
    return Requirement(f"R5566-{id_}", text, f"RFC 5566 {section}", strength)


CHECKS: tuple[tuple[Requirement, Check], ...] = (
    (
        _required(
            "1", "§3", Strength.MUST,
            "An SA is initiated to a next hop that announces an IPsec tunnel, and all packets for it go through it.",
        ),
        _initiated_and_used,
    ),
    (
        _required(
            "2", "§3", Strength.SHOULD, "If IPsec is required for any packets on an interface, it is required for all."
        ),
        _all_or_nothing,
    ),
    (
        _required(
            "3", "§3", Strength.MUST, "Policy is configured, from one BGP speaker to another."
        ),
        _policies,
    ),
    (
        _required("4", "§4", Strength.MUST, "Authenticators are implemented; one that is sent is the hash of our key."),
        _authenticator,
    ),
    (
        _required(
            "5", "§4", Strength.MUST, "Who sends an authenticator has the key pair and can have a certificate for it."
        ),
        _key_pair,
    ),
    (
        _required(
            "6", "§4", Strength.SHOULD,
            "Where authenticators are used, the integrity of the BGP session is protected (highly RECOMMENDED).",
        ),
        _session_integrity,
    ),
    (
        _required("7a", "§4.1", Strength.MUST, "No SA is made unless the peer's key hashes to one it announced."),
        _before_any_sa,
    ),
    (
        _required("7b", "§4.1", Strength.MUST, "A peer that initiates is held to its authenticators likewise."),
        _reciprocal,
    ),
    (
        _required("7c", "§4.1", Strength.MUST, "The certificate of the key is asked for and sent in IKEv2."),
        _certificate_exchange,
    ),
    (
        _required("8", "§5", Strength.INFO, "Who can speak BGP unprotected can force SAs upon us, one after another."),
        _floods,
    ),
)  # fmt: skip
