"""The requirements of RFC 5565 §13.3, cryptographic techniques for softwires."""

from __future__ import annotations

from collections import Counter

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.selector import parse_network, parse_selector
from softmesh.control.audit import evidence
from softmesh.control.audit.mesh import authenticators, automated_keying, encryption, null_or_ah
from softmesh.control.audit.node import Node
from softmesh.control.audit.requirement import (
    Check,
    Finding,
    Requirement,
    Strength,
    Verdict,
    conclude,
    counted,
    listed,
    not_applicable,
)
from softmesh.mesh.configured import CONFIGURATION
from softmesh.mesh.softwire import HostTraffic, Level, Mode, Softwire, SoftwireType
from softmesh.mesh.trust_policy import TrustMode


def _control_protocol(node: Node) -> Finding:
    """R5565-1."""
    found = evidence.sessions(node)
    return conclude(
        found.protected,
        fails=found.forgone,
        unknown=found.unknown,
        warns=found.ignored,
        remedy="set bgp.neighbors[].password_file here and at the neighbour; TCP-MD5 is enough for this",
    )


def _negotiated_type(node: Node) -> Finding:
    """R5565-2."""
    if not node.softwires:
        return not_applicable("no softwire is wanted")
    by_hand = [
        wire
        for wire in node.softwires
        if any(key.neighbor == CONFIGURATION for key in node.view.desired.carried.get(wire, ()))
    ]
    asked = len(node.softwires) - len(by_hand)
    return conclude(
        [f"{counted(asked, len(node.softwires), 'softwire')} of the type that the peer announced"],
        warns=[f"{len(by_hand)} of a type that the configuration says: {listed(by_hand)}"] if by_hand else [],
        remedy="remove from softwires what peers announce; GRE and L2TPv3 under IPsec can only be configured",
    )


def _integrity(node: Node) -> Finding:
    """R5565-3."""
    sas = list(node.sas())
    bare = [
        f"the SA {sa.name} ({sa.encr_alg or 'no cipher'}) has none" for _, sa in sas if not evidence.authenticates(sa)
    ]
    open_proposals = evidence.unauthenticated_proposals(node)
    offered = sum(len(evidence.offered(node, level)) for level in Level)
    algorithms = sorted({"/".join(filter(None, (sa.protocol, sa.encr_alg, sa.integ_alg))) for _, sa in sas})
    return conclude(
        [
            f"{counted(len(sas) - len(bare), len(sas), 'CHILD SA')} with integrity: {listed(algorithms)}",
            f"{counted(offered - len(open_proposals), offered, 'configured proposal')} for ESP and AH with integrity",
        ],
        fails=[*bare, *(f"proposal {proposal} has none" for proposal in open_proposals)],
        silence=node.silence if node.softwires else "",
        remedy="add a hash to the proposal (aes256-sha256), or use a cipher that has its own (aes256gcm16)",
    )


def _source_addresses(node: Node) -> Finding:
    """R5565-6."""
    sas = list(node.sas())
    if not node.softwires:
        return not_applicable("no softwire is wanted")
    filters = evidence.filters(node)
    by_selector = by_filter = 0
    loose = []
    for softwire, sa in sas:
        if softwire.mode is Mode.TUNNEL and all(_narrow(selector) for selector in sa.remote_ts):
            by_selector += 1
        elif not filters.absent and (softwire.interface is None or softwire.interface.name in node.view.layout.devices):
            by_filter += 1
        else:
            loose.append(f"{softwire.id}: the SA {sa.name} lets any inner source through, and no filter looks")
    return conclude(
        [
            f"of {len(sas)} CHILD SAs, {by_selector} take only sources that the peer announced, by their selectors; "
            f"{by_filter} the peer's own address by their selectors, and inner sources by the filter inner_sources",
            *filters.evidence,
        ],
        fails=loose,
        silence=node.silence,
        remedy="set dataplane.guards: full, or dataplane.selectors: prefixes",
    )


def _narrow(selector: str) -> bool:
    network = parse_selector(selector)[0]
    return not isinstance(network, str) and network.prefixlen > 0


def _without_pki(node: Node) -> Finding:
    """R5565-8: as M14; but unlike RFC 5619 this one knows of no group key."""
    found = authenticators(node)
    groups = [who for who, policy in evidence.trust_scopes(node) if policy.mode is TrustMode.GROUP_PSK]
    if not groups or found.verdict in {Verdict.FAIL, Verdict.UNKNOWN}:
        return found
    return conclude(
        found.evidence,
        warns=[f"{listed(groups)}: a group key, which RFC 5619 §4.4.2 allows and this does not mention"],
        remedy="set trust.mode (or groups[].trust.mode): pinned",
    )


def _selectors(node: Node) -> Finding:
    """R5565-9."""
    sas = list(node.sas())
    if not sas:
        return (
            conclude([], silence=node.silence)
            if node.silence and node.softwires
            else not_applicable("no CHILD SA stands")
        )
    wrong: list[str] = []
    good: Counter[Mode] = Counter()
    for softwire, sa in sas:
        if why := _unlike(softwire, sa.local_ts, sa.remote_ts):
            wrong.append(f"{softwire.id}: {why}")
        else:
            good[softwire.mode] += 1
    transport = sum(softwire.mode is Mode.TRANSPORT for softwire, _ in sas)
    return conclude(
        [
            f"{counted(good[Mode.TRANSPORT], transport, 'CHILD SA')} in transport mode between the endpoints, for the "
            "encapsulation's protocol",
            f"{counted(good[Mode.TUNNEL], len(sas) - transport, 'CHILD SA')} in tunnel mode, for which no RFC names "
            "selectors, with those that were asked for",
        ],
        fails=wrong,
        remedy="see softmesh status; if the bridge does not put it right, restart charon",
    )


_ENCAPSULATIONS: dict[SoftwireType, set[int]] = {
    TunnelType.IP_IN_IP_IPSEC_TRANSPORT: {4, 41},
    TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT: {137},
    TunnelType.GRE: {47},
    TunnelType.L2TPV3: {115},
}


def _unlike(softwire: Softwire, local: frozenset[str], remote: frozenset[str]) -> str:
    """How the selectors of an SA differ from those prescribed; empty where they do not."""
    near, far = {parse_selector(each) for each in local}, {parse_selector(each) for each in remote}
    if softwire.mode is Mode.TUNNEL:
        asked = [({parse_selector(str(p.local))}, {parse_selector(str(p.remote))}) for p in softwire.selectors]
        return (
            ""
            if (near, far) in asked
            else f"selectors {listed(sorted(local))} - {listed(sorted(remote))} were not asked for"
        )
    if isinstance(softwire.id.type, HostTraffic):
        asked = [({parse_selector(str(p.local))}, {parse_selector(str(p.remote))}) for p in softwire.selectors]
        return "" if (near, far) in asked else "selectors are not those of the BGP session"
    ends = parse_network(str(softwire.id.local)), parse_network(str(softwire.id.remote))
    numbers = _ENCAPSULATIONS.get(softwire.id.type, set())
    if any(near == {(ends[0], number, None)} and far == {(ends[1], number, None)} for number in numbers):
        return ""
    return f"selectors {listed(sorted(local))} - {listed(sorted(remote))} are not the endpoints with the encapsulation"


def _required(number: int, strength: Strength, text: str) -> Requirement:
    return Requirement(f"R5565-{number}", text, "RFC 5565 §13.3", strength)


CHECKS: tuple[tuple[Requirement, Check], ...] = (
    (
        _required(
            1, Strength.MUST, "What sets up tunnels (BGP) has an authentication mechanism, and it is used; MD5 will do."
        ),
        _control_protocol,
    ),
    (_required(2, Strength.SHOULD, "The tunnel type is negotiated as RFC 5566 has it."), _negotiated_type),
    (_required(3, Strength.MUST, "IPsec provides authentication and integrity for softwires."), _integrity),
    (_required(4, Strength.MUST, "ESP with null encryption, or else AH, is supported."), null_or_ah),
    (_required(5, Strength.MAY, "ESP with encryption is supported."), encryption),
    (
        _required(6, Strength.MUST, "The tunnel tail checks that packets on an SA have the source address expected."),
        _source_addresses,
    ),
    (_required(7, Strength.MUST, "Key distribution is automatic, by IKEv2."), automated_keying),
    (
        _required(
            8, Strength.MUST, "Without a PKI, RFC 5566's authenticator is used and validated before setting up an SA."
        ),
        _without_pki,
    ),
    (
        _required(
            9, Strength.MUST,
            "An SA's selectors are the encapsulation header's addresses and the protocol of the encapsulation.",
        ),
        _selectors,
    ),
)  # fmt: skip
