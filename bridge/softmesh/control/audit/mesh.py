"""The requirements of RFC 5619 §1 and §4 on a softwire mesh (M1 to M16), and its threat of replay (§4.3)."""

from __future__ import annotations

from collections import Counter

from softmesh.charon.connection import Child
from softmesh.control.audit import evidence
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
from softmesh.control.sessions import SessionGuard
from softmesh.mesh.admission import address
from softmesh.mesh.credential import Certified, GroupKey, PinnedCertificate, PinnedKey
from softmesh.mesh.refusal import Rule
from softmesh.mesh.softwire import Level, Mode, Network
from softmesh.mesh.trust_policy import TrustMode

_SMALLEST_WINDOW = 32
_GOOD_WINDOW = 64
"""Packets (RFC 4303 §3.4.3)."""


def _levels(node: Node) -> Finding:
    """M1."""
    unable = {level: evidence.cannot(node, level) for level in Level}
    able = [level for level in Level if not unable[level]]
    rules = node.config.protection.rules
    return conclude(
        [
            f"to be had of this charon: {listed(able)}",
            *(f"not {level}: {why}" for level, why in unable.items() if why),
            f"softwires get {node.config.protection.default}, {len(rules)} rules say otherwise",
            evidence.sas_by_level(node),
        ],
        fails=[f"only {listed(able)} can be had"] if len(able) < 2 else [],
        silence=node.silence,
        remedy="set charon.integrity_proposals: [null-sha256-x25519], which charon has, and let protection.rules say "
        "which softwires get it",
    )


def _control_plane(node: Node) -> Finding:
    """M2."""
    found = evidence.sessions(node)
    return conclude(
        found.protected,
        fails=found.forgone,
        unknown=found.unknown,
        warns=found.ignored,
        remedy="set bgp.neighbors[].password_file here and at the neighbour, and protection to md5, ao or ipsec",
    )


def _trust_relation(node: Node) -> Finding:
    """M3."""
    admission = node.config.admission
    boundless = [
        f"admission.endpoints has {network}: anybody" for network in admission.endpoints if not network.prefixlen
    ]
    strangers = [
        f"IKE_SA {sa.unique_id} is with {sa.remote_host}, which is not admitted"
        for sa in node.ike_sas()
        if (remote := address(sa.remote_host)) not in node.named_peers
        and not any(remote in network for network in admission.endpoints)
    ]
    refused = Counter(
        decision.refusals[0].rule
        for decision in node.view.desired.decisions.values()
        if decision.offer is None and decision.refusals and decision.refusals[0].rule is not Rule.OWN
    )
    by_rule = ", ".join(f"{count} by {rule}" for rule, count in sorted(refused.items()))
    origins = "any AS" if admission.origin_as is None else f"AS {listed(admission.origin_as)}"
    return conclude(
        [
            f"admitted are endpoints in {listed(admission.endpoints)} and prefixes in {listed(admission.prefixes)}, of "
            f"{origins}, from {listed(node.config.admitted_neighbors)}",
            f"refused now: {refused.total()} routes{f' ({by_rule})' if by_rule else ''}",
            f"with admitted endpoints: {counted(len(node.ike_sas()) - len(strangers), len(node.ike_sas()), 'IKE_SA')}",
        ],
        fails=[*boundless, *strangers],
        remedy="list in admission.endpoints the networks that your AFBRs' addresses lie in, and no others",
    )


def _untrusted_core(node: Node) -> Finding:
    """M4."""
    open_ones = [wire for wire, softwire in node.softwires.items() if softwire.profile.level is not Level.ENCRYPT]
    if not open_ones and node.config.protection.default is Level.ENCRYPT:
        encrypted = counted(len(node.softwires), len(node.softwires), "softwire")
        return conclude(["level encrypt is the default", f"{encrypted} encrypted"])
    return Finding(
        Verdict.OPERATOR,
        (
            f"{counted(len(open_ones), len(node.softwires), 'softwire')} not encrypted; the default level is "
            f"{node.config.protection.default}: right only where every router of the core is trusted",
        ),
        "set protection.default: encrypt, or a rule for the peers beyond other providers",
    )


def _customer_edge(node: Node) -> Finding:
    """M5."""
    return Finding(
        Verdict.OPERATOR,
        (f"this node cannot see who is behind {listed(node.config.announce.prefixes)}",),
        "see to it on the PE-CE link, and announce.prefixes what is really there",
    )


def _advertisement(node: Node) -> Finding:
    """M6."""
    found = evidence.sessions(node)
    return conclude(
        [
            *found.protected,
            *(
                f"bgp.neighbors asks of {each.address}: {each.protection or 'any protection'}"
                f"{', with a password' if each.password_file else ''}{', with GTSM' if each.gtsm else ''}"
                for each in node.config.bgp.neighbors
            ),
        ],
        warns=[*(f"turned off: {why}" for why in found.forgone), *found.ignored],
        unknown=found.unknown,
        remedy="set bgp.neighbors[].password_file, and protection to anything but none",
    )


def _md5_is_weak(node: Node) -> Finding:
    """M7."""
    found = evidence.sessions(node)
    if not found.protected:
        return not_applicable("no session is protected")
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(found.kinds.items()))
    md5 = found.kinds[SessionGuard.MD5]
    return conclude(
        [f"sessions by protection: {kinds}"],
        warns=[f"{md5} rest on TCP-MD5, with keys changed by hand"] if md5 else [],
        remedy="set bgp.neighbors[].protection: ipsec, with authenticators, where MD5 is too little",
    )


def _ipsec_tunnels(node: Node) -> Finding:
    """M8."""
    usable, unable = evidence.usable_tunnels(node)
    modes = Counter(sa.mode for _, sa in node.sas())
    unchosen = "" if node.view.fabric.reason else "the data plane is not chosen yet"
    return conclude(
        [
            f"usable: {listed([kind.label for kind in usable])}",
            f"CHILD SAs that stand: {modes[Mode.TUNNEL]} in tunnel mode, {modes[Mode.TRANSPORT]} in transport mode",
            *(f"not here: {kind.label}: {why}" for kind, why in unable.items()),
        ],
        fails=[] if usable else ["no tunnel type can be had"],
        unknown=[unchosen] if unchosen else [],
        silence=node.silence,
        remedy="let select.tunnels and dataplane.mode have a type that this kernel can; softmesh status says why not",
    )


def null_or_ah(node: Node) -> Finding:
    """M9, and RFC 5565 §13.3."""
    able = {level: evidence.able(node, level) for level in (Level.INTEGRITY, Level.AH)}
    named = {Level.INTEGRITY: "ESP without encryption", Level.AH: "AH"}
    return conclude(
        [
            *(f"{named[level]}: {listed(proposals)}" for level, (proposals, _) in able.items() if proposals),
            *(
                f"not {named[level]} ({listed(evidence.offered(node, level))}): {why}"
                for level, (_, why) in able.items()
                if why
            ),
            evidence.sas_by_level(node),
        ],
        fails=["neither ESP with NULL encryption nor AH can be had"]
        if not any(proposals for proposals, _ in able.values())
        else [],
        silence=node.silence,
        remedy="set charon.integrity_proposals: [null-sha256-x25519]",
    )


def encryption(node: Node) -> Finding:
    """M10, and RFC 5565 §13.3."""
    why = evidence.cannot(node, Level.ENCRYPT)
    return conclude(
        [f"offered: {listed(node.config.charon.esp_proposals)}", evidence.sas_by_level(node)],
        warns=[why] if why else [],
        silence=node.silence,
        remedy="set charon.esp_proposals: [aes256gcm16-x25519]",
    )


def automated_keying(node: Node) -> Finding:
    """M11, and RFC 5565 §13.3."""
    old, account = evidence.ike_versions(node)
    held = node.facts.account
    if held is not None and not held.connections and not held.ike_versions and not node.silence:
        return not_applicable("charon has neither a connection nor an IKE_SA of ours")
    methods: Counter[str] = Counter()
    for connection in held.connections if held is not None else ():
        methods["/".join(sorted(connection.methods))] += 1
    return conclude(
        [
            *account,
            f"authentication: {listed([f'{count} by {method}' for method, count in sorted(methods.items())])}",
            "no key of the configuration makes an SA by hand",
        ],
        fails=old,
        silence=node.silence,
        remedy="unload what is not the bridge's (swanctl --list-conns), and restart softmesh run",
    )


def _group_key(node: Node) -> Finding:
    """M12."""
    scopes = [who for who, policy in evidence.trust_scopes(node) if policy.mode is TrustMode.GROUP_PSK]
    if not scopes:
        return not_applicable("no trust mode is group-psk")
    held = counted(len(node.group_keyed()), len(node.softwires), "softwire")
    return conclude(
        [f"{held} authenticated by a key that every router of the group has"],
        warns=[f"group-psk for {listed(scopes)}: any router of it can pose as any other"],
        remedy="set trust.mode (or groups[].trust.mode): pinned, which needs no PKI either",
    )


def _public_keys(node: Node) -> Finding:
    """M13."""
    kinds: Counter[str] = Counter()
    for _, credential in node.credentials():
        match credential:
            case PinnedKey():
                kinds["pinned public key"] += 1
            case PinnedCertificate() | Certified():
                kinds["certificate"] += 1
            case GroupKey():
                kinds["group key"] += 1
    modes = {f"{who}: {policy.mode}" for who, policy in evidence.trust_scopes(node)}
    shared = len(set(node.group_keyed()))
    scopes = [who for who, policy in evidence.trust_scopes(node) if policy.mode is TrustMode.GROUP_PSK]
    return conclude(
        [
            f"trust.mode for {listed(sorted(modes))}",
            f"softwires' credentials: {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items())) or 'none'}",
        ],
        warns=[f"{counted(shared, len(node.softwires), 'softwire')} by pre-shared key ({listed(scopes)})"]
        if scopes
        else [],
        remedy="set trust.mode: pinned or pki",
    )


def authenticators(node: Node) -> Finding:
    """M14."""
    scopes = evidence.trust_scopes(node)
    bare = [who for who, policy in scopes if evidence.without_pki(policy)]
    lax = [
        f"{who}: mode {policy.mode} without an authority takes peers without authenticator"
        for who, policy in scopes
        if evidence.without_pki(policy) and policy.mode is TrustMode.PKI
    ]
    if not bare:
        flaws = evidence.unproven(node)
        found = f"a PKI or a group key vouches for every peer ({listed([f'{who}: {p.mode}' for who, p in scopes])})"
        return conclude([], fails=flaws, remedy=_TRUST_REMEDY) if flaws else not_applicable(found)
    missing, _, tunnels = evidence.announced_authenticators(node)
    silent = [f"{len(missing)} of {tunnels} tunnels are announced without our authenticator: {listed(missing)}"]
    wrong, seen = evidence.misidentified(node)
    credentials, flaws = sum(1 for _ in node.credentials()), evidence.unproven(node)
    refused = sum(
        any(
            refusal is not None and refusal.rule in {Rule.AUTHENTICATOR, Rule.KEY, Rule.CERTIFICATE}
            for refusal in (*decision.refusals, decision.lacking)
        )
        for decision in node.view.desired.decisions.values()
    )
    return conclude(
        [
            f"no PKI for {listed(bare)}: a peer must have announced an authenticator; {refused} routes are refused "
            "now for want of one, or of its key",
            f"{counted(credentials - len(flaws), credentials, 'credential')} of wanted softwires of an authenticator "
            "that the peer announced, or certified",
            f"{counted(seen - len(wrong), seen, 'IKE_SA')} with a peer that is known by the hash of such a key",
        ],
        fails=[*lax, *flaws, *wrong, *(silent if missing else [])],
        silence=node.silence if node.softwires else "",
        remedy=_TRUST_REMEDY,
    )


_TRUST_REMEDY = (
    "leave announce.authenticator and trust.mode to their defaults, and restart softmesh run where an SA is wrong"
)


def _customer_links(node: Node) -> Finding:
    """M15."""
    return Finding(
        Verdict.OPERATOR,
        (f"the links to {listed(node.config.announce.prefixes)} are not this node's to protect",),
        "protect the PE-CE link where it is not trusted",
    )


def _access_control(node: Node) -> Finding:
    """M16."""
    filters, blackholes = evidence.filters(node), evidence.blackholes(node)
    account = node.facts.account
    admitted = [*node.config.admission.endpoints]
    named = set(map(str, node.named_peers))
    loaded = account.connections if account is not None else ()
    wide = [
        f"connection {connection.name} is for {listed(connection.remote_addresses)}, which is not one admitted peer"
        for connection in loaded
        if len(connection.remote_addresses) != 1
        or not (
            connection.remote_addresses[0] in named
            or any(_within(connection.remote_addresses[0], network) for network in admitted)
        )
    ]
    ike = (
        "from endpoints of softwires only"
        if node.config.dataplane.admitted_only
        else "from anywhere, and refused there"
    )
    return conclude(
        [
            *filters.evidence,
            *blackholes.evidence,
            f"sessions: in charon {counted(len(loaded) - len(wide), len(loaded), 'connection')} of ours for one "
            f"admitted peer; IKE is taken {ike}",
        ],
        fails=[*filters.absent, *blackholes.absent, *wide],
        silence=node.silence,
        remedy="set dataplane.guards: full (needs nftables); softmesh status shows what keeps the bridge from it",
    )


def _within(text: str, network: Network) -> bool:
    try:
        return address(text) in network
    except ValueError:
        return False


def _replay(node: Node) -> Finding:
    """T3."""
    if node.silence:
        return conclude([], silence=node.silence)
    if node.ability is not None and node.ability.kernel_libipsec:
        return conclude(
            ["charon's kernel-libipsec checks a window of 128 packets on every SA, and has no setting for it"]
        )
    window = Child("", Mode.TUNNEL, "", "", Level.ENCRYPT, ()).to_vici().get("replay_window")
    if window is None:
        return conclude(
            [],
            warns=["connections do not say how large the window is: charon.replay_window decides (32, if not changed)"],
            remedy="set charon.replay_window = 64 in strongswan.conf and restart charon",
        )
    size = int(str(window))
    return conclude(
        [f"every CHILD SA is loaded with a window of {size} packets"],
        fails=["replayed packets are not told"] if size < _SMALLEST_WINDOW else [],
        warns=[f"less than {_GOOD_WINDOW}"] if _SMALLEST_WINDOW <= size < _GOOD_WINDOW else [],
        remedy="this is not configurable: report it",
    )


def _required(id_: str, source: str, strength: Strength, text: str) -> Requirement:
    return Requirement(id_, text, f"RFC 5619 {source}", strength)


CHECKS: tuple[tuple[Requirement, Check], ...] = (
    (_required("M1", "§1", Strength.MUST, "The mesh supports various levels of protection for data packets."), _levels),
    (
        _required("M2", "§1", Strength.MUST, "The control plane is protected against modification and spoofing."),
        _control_plane,
    ),
    (
        _required("M3", "§4.2", Strength.MUST, "All AFBRs have a trust relationship or an agreement with each other."),
        _trust_relation,
    ),
    (
        _required("M4", "§4.2", Strength.INFO, "Across several domains, routers between AFBRs may not be trusted."),
        _untrusted_core,
    ),
    (
        _required("M5", "§4.2", Strength.OPERATOR, "PE and CE have a trust relationship (MUST)."),
        _customer_edge,
    ),
    (
        _required(
            "M6", "§4.4.1", Strength.MUST,
            "What advertises softwires supports authentication, which the operator may turn off.",
        ),
        _advertisement,
    ),
    (
        _required("M7", "§4.4.1", Strength.INFO, "TCP-MD5 is inadequate in some circumstances; IPsec is not."),
        _md5_is_weak,
    ),
    (
        _required("M8", "§4.4.2", Strength.MUST, "Softwires support IPsec for the transport of data packets."),
        _ipsec_tunnels,
    ),
    (_required("M9", "§4.4.2", Strength.MUST, "ESP with NULL encryption, or else AH, is supported."), null_or_ah),
    (
        _required("M10", "§4.4.2", Strength.MAY, "ESP with encryption may be applied where the core is not trusted."),
        encryption,
    ),
    (_required("M11", "§4.4.2", Strength.MUST, "Keys are distributed by IKEv2, automatically."), automated_keying),
    (
        _required("M12", "§4.4.2", Strength.INFO, "A pre-shared key is the same in all routers: a group key."),
        _group_key,
    ),
    (
        _required("M13", "§4.4.2", Strength.SHOULD, "Public keys are used where policy wants stronger key management."),
        _public_keys,
    ),
    (
        _required(
            "M14", "§4.4.2", Strength.MUST,
            "Without a PKI, the authenticator of RFC 5566 is used before an SA is established.",
        ),
        authenticators,
    ),
    (
        _required("M15", "§4.4.2", Strength.OPERATOR, "PE-CE links that are not trusted are encrypted (MAY)."),
        _customer_links,
    ),
    (
        _required(
            "M16", "§4.4.2", Strength.MUST,
            "Access control, by packet filters and at the admission of sessions, is a necessary adjunct.",
        ),
        _access_control,
    ),
    (
        Requirement(
            "T3", "Packets that were recorded and sent again are told by an anti-replay window of 32 or more.",
            "RFC 5619 §4.3, RFC 4303 §3.4.3", Strength.SHOULD,
        ),
        _replay,
    ),
)  # fmt: skip
