"""Each requirement once met and once not; and that nothing passes because nobody could look."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest

from softmesh.bgp.announcement import Announcement, without_attribute
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.route import Neighbor as Peer
from softmesh.bgp.route import Route, SessionState
from softmesh.charon.ability import Ability
from softmesh.charon.observed import ChildSa, IkeSa, Observed
from softmesh.charon.packet import Section
from softmesh.cli.audit import lines, summary
from softmesh.config.values import (
    Admission,
    Announce,
    Bgp,
    Config,
    Guards,
    IdentityFiles,
    KeySource,
    Neighbor,
    SessionProtection,
    SoftwireEntry,
)
from softmesh.control.audit import charon_account
from softmesh.control.audit.charon_account import Account, LoadedConnection
from softmesh.control.audit.node import Facts, FileFact, Firewall, Node, Purpose
from softmesh.control.audit.report import CHECKS, answer, audit
from softmesh.control.audit.requirement import Finding, Row, Strength, Verdict
from softmesh.control.progress import Progress, State
from softmesh.control.sessions import SessionGuard
from softmesh.control.sessions import Verdict as SessionVerdict
from softmesh.control.settings import announcements_of, guard_of, policy_of
from softmesh.control.view import View
from softmesh.dataplane.guard import Guarded
from softmesh.dataplane.layout import Layout
from softmesh.dataplane.nft_listing import Table
from softmesh.dataplane.nft_ruleset import COUNTERS, elements, ruleset
from softmesh.mesh.credential import Certified, GroupKey, PinnedCertificate, PinnedKey
from softmesh.mesh.desired import fold
from softmesh.mesh.identity import Identity
from softmesh.mesh.policy import Fabric
from softmesh.mesh.trust import AnnouncedKeys
from softmesh.mesh.trust_policy import TrustMode, TrustPolicy
from tests.unit.mesh.routes import OURS, REFLECTOR, attribute, hash_of, route, spki

OWN = Identity(spki("own"), hash_of("own"), b"k" * 20, "Ed25519", b"the private key")
PEER = "2001:db8:f::2"
CONFIG = Config(
    endpoint=ip_address(OURS),
    bgp=Bgp(
        asn=65000, neighbors=(Neighbor(address=ip_address(REFLECTOR), password_file=Path("/etc/softmesh/bgp.pw")),)
    ),
    announce=Announce(prefixes=(ip_network("10.1.0.0/24"),)),
    identity=IdentityFiles(private_key=Path("/etc/softmesh/identity.key")),
    admission=Admission(endpoints=(ip_network("2001:db8:f::/64"),), prefixes=(ip_network("10.0.0.0/8"),)),
)
CHILD = ChildSa(
    "c", "8", "INSTALLED", "tunnel", "ESP", frozenset({"10.1.0.0/24"}), frozenset({"10.2.0.0/24"}),
    encr_alg="AES_GCM_16_256",
)  # fmt: skip
IKE = IkeSa("softmesh-x", "7", "ESTABLISHED", True, OURS, PEER, hash_of("own").hex(":"), hash_of("peer").hex(":"))
ACCOUNT = Account(
    frozenset({"AES_GCM_16", "AES_CBC", "NULL", "HMAC_SHA2_256_128"}),
    (LoadedConnection("softmesh-x", "IKEv2", (OURS,), (PEER,), frozenset({"public key"})),),
    ("2",),
)
LIBIPSEC = Ability("5.9.8", kernel_libipsec=True, ml_kem=False)
KERNEL = Ability("6.0.3", kernel_libipsec=False, ml_kem=True)
MD5 = SessionVerdict(SessionGuard.MD5, True, "its socket has a TCP-MD5 key")
SECRET = stat.S_IFREG | 0o600
FILES = (
    FileFact(Purpose.SECRET, "private key", "/etc/softmesh/identity.key", SECRET, 0),
    FileFact(Purpose.SOCKET, "control socket", "/run/softmesh/control.sock", stat.S_IFSOCK | 0o600, 0),
    FileFact(Purpose.VICI, "VICI socket", "/run/charon.vici", stat.S_IFSOCK | 0o770, 0),
    FileFact(Purpose.KEYS, "key directory", "/etc/softmesh/keys", stat.S_IFDIR | 0o755, 0),
)


def node(
    config: Config = CONFIG,
    *,
    routes: tuple[Route, ...] | None = None,
    trust: TrustPolicy | None = None,
    fabric: Fabric | None = None,
    session: SessionVerdict | None = MD5,
    child: ChildSa = CHILD,
    ike: tuple[IkeSa, ...] = (IKE,),
    ability: Ability | None = LIBIPSEC,
    account: Account | None = ACCOUNT,
    files: tuple[FileFact, ...] = FILES,
    charon: str = "",
    state: State = State.UP,
) -> Node:
    """A node with one softwire that is up, on which every requirement is met that this machine can meet."""
    fabric = fabric or Fabric(reason="policy, for charon's ESP is kernel-libipsec's")
    policy = policy_of(config, announcing=True, trust=trust, fabric=fabric)
    desired = fold((route(value=attribute()),) if routes is None else routes, policy, [AnnouncedKeys()])
    up = state is State.UP
    guard = guard_of(config, policy)
    carried = frozenset(prefix for softwire in desired.softwires.values() for prefix in softwire.prefixes)
    held = elements(guard, Guarded(destinations=carried), {})
    announced = announcements_of(config, (OWN,), announcing=True)
    view = View(
        now=100.0,
        endpoint=OURS,
        authenticators=(OWN.authenticator.hex(),),
        announcing=True,
        prefixes=("10.1.0.0/24",),
        hook_connected=True,
        charon=charon,
        awaited=(),
        neighbors={REFLECTOR: Peer(REFLECTOR, 65000, SessionState.UP, 40.0)},
        sessions={} if session is None else {REFLECTOR: session},
        desired=desired,
        progress={wire: Progress(state, 90.0) for wire in desired.softwires},
        installed=dict.fromkeys(desired.softwires, (child,) if up else ()),
        fabric=fabric,
        layout=Layout(blackholes=frozenset(config.admission.prefixes)),
        guards=config.dataplane.guards.value,
    )
    facts = Facts(
        account=account,
        firewall=Firewall(Table(ruleset(guard).shape, held, dict.fromkeys(COUNTERS, (0, 0)))),
        files=files,
        told=tuple(announced),
        self_signed=frozenset({OWN.authenticator}),
        user=0,
    )
    observed = Observed({}, ike, frozenset({OWN.key_id.hex()}))
    return Node(config, policy, (OWN,), announced, view, observed, ability, facts)


def changed(config: Config, **sections: Any) -> Config:
    """A configuration with keys of its sections changed."""
    return msgspec.structs.replace(
        config, **{name: msgspec.structs.replace(getattr(config, name), **keys) for name, keys in sections.items()}
    )


def configured(**sections: Any) -> Node:
    return node(changed(CONFIG, **sections))


def finding(of: Node, id_: str) -> Finding:
    (row,) = (row for row in audit(of) if row.requirement.id == id_)
    return row.finding


def verdicts(of: Node) -> dict[str, Verdict]:
    return {row.requirement.id: row.finding.verdict for row in audit(of)}


def with_table(of: Node, **changes: Any) -> Node:
    table = of.facts.firewall.table
    assert table is not None
    return replace(of, facts=replace(of.facts, firewall=Firewall(replace(table, **changes))))


def with_credential(of: Node, *credentials: Any) -> Node:
    """The same with softwires whose peers may authenticate by these."""
    softwires = {wire: replace(each, credentials=credentials) for wire, each in of.softwires.items()}
    return replace(of, view=replace(of.view, desired=replace(of.view.desired, softwires=softwires)))


def with_announced(of: Node, value: bytes) -> Node:
    return replace(of, announced=frozenset({Announcement("10.1.0.0/24", OURS, value)}))


def with_facts(**changes: Any) -> Node:
    return replace(node(), facts=replace(node().facts, **changes))


def own_attribute(**changes: Any) -> bytes:
    return attribute(**{"endpoint": OURS, "key": "own"} | changes)


def left_out() -> tuple[Announcement, ...]:
    """What ExaBGP is told where a neighbour refuses attribute 23."""
    return tuple(without_attribute(announcement) for announcement in node().announced)


def moded(name: str, mode: int) -> tuple[FileFact, ...]:
    return tuple(replace(file, mode=mode) if file.what == name else file for file in FILES)


def protected(guard: SessionGuard, *, satisfied: bool) -> SessionVerdict:
    return SessionVerdict(guard, satisfied, "as found")


def test_a_good_node_meets_all_that_it_can() -> None:
    found = verdicts(node())
    met = {Verdict.PASS, Verdict.NOT_APPLICABLE}
    assert {id_: verdict for id_, verdict in found.items() if verdict not in met} == {
        "M5": Verdict.OPERATOR,
        "M15": Verdict.OPERATOR,
        "M7": Verdict.WARN,
        "R5566-7c": Verdict.WARN,
    }
    assert found["M12"] is Verdict.NOT_APPLICABLE
    assert answer(node())["unmet"] == []
    assert answer(node())["partly"] == ["R5566-7c"]


def test_requirements_have_an_identity_a_source_and_a_sentence() -> None:
    ids = [requirement.id for requirement, _ in CHECKS]
    assert len(set(ids)) == len(ids)
    assert {f"M{n}" for n in range(1, 17)} <= set(ids)
    assert {f"R5565-{n}" for n in range(1, 10)} <= set(ids)
    assert {f"R5566-{n}" for n in (1, 2, 3, 4, 5, 6, "7a", "7b", "7c", 8)} <= set(ids)
    for requirement, _ in CHECKS:
        assert requirement.text.endswith((".", ")."))
        assert requirement.source.startswith("RFC ")


FORGONE = protected(SessionGuard.NONE, satisfied=True)
IGNORED = protected(SessionGuard.UNKNOWN, satisfied=False)
ALIEN = LoadedConnection("softmesh-y", "IKEv2", (OURS,), ("2001:db8:e::9",), frozenset({"public key"}))
OLD = replace(ACCOUNT, connections=(replace(ACCOUNT.connections[0], version="IKEv1/2"),), ike_versions=("1",))
CERTIFICATE = Certified(OURS, PEER, (b"authority",))
GROUP = GroupKey(OURS, PEER, b"planted secret", "d1ge57")
STRANGER = replace(IKE, remote_host="2001:db8:e::9")
GMAC_ALONE = {"integrity_proposals": ("aes256gmac-x25519",)}

CASES: list[tuple[str, Verdict, Callable[[], Node], str]] = [
    ("M1", Verdict.FAIL, lambda: configured(charon=GMAC_ALONE), "only encrypt can be had"),
    ("M1", Verdict.UNKNOWN, lambda: node(charon="gone", account=None), "charon does not answer: gone"),
    ("M2", Verdict.FAIL, lambda: node(session=FORGONE), "its routes count"),
    ("M2", Verdict.UNKNOWN, lambda: node(session=None), "nothing is known"),
    ("M2", Verdict.WARN, lambda: node(session=IGNORED), "do not count"),
    ("M3", Verdict.FAIL, lambda: configured(admission={"endpoints": (ip_network("::/0"),)}), "::/0: anybody"),
    ("M3", Verdict.FAIL, lambda: node(ike=(IKE, STRANGER)), "2001:db8:e::9, which is not admitted"),
    ("M4", Verdict.OPERATOR, lambda: configured(protection={"default": "integrity"}), "not encrypted"),
    ("M6", Verdict.WARN, lambda: node(session=FORGONE), "turned off"),
    ("M6", Verdict.UNKNOWN, lambda: node(session=None), "nothing is known"),
    ("M8", Verdict.FAIL, lambda: node(fabric=Fabric(unable=dict.fromkeys(TunnelType, "no"), reason="x")), "no tunnel"),
    ("M8", Verdict.UNKNOWN, lambda: node(fabric=Fabric()), "not chosen yet"),
    ("M9", Verdict.FAIL, lambda: configured(charon=GMAC_ALONE), "neither ESP with NULL encryption nor AH"),
    ("M10", Verdict.WARN, lambda: configured(charon={"esp_proposals": ("chacha20poly1305-x25519",)}), "CHACHA20"),
    ("M11", Verdict.FAIL, lambda: node(account=OLD), "softmesh-x takes IKEv1/2"),
    ("M11", Verdict.UNKNOWN, lambda: node(account=None), "does not answer"),
    ("M12", Verdict.WARN, lambda: node(trust=TrustPolicy(TrustMode.GROUP_PSK)), "any router of it can pose"),
    ("M13", Verdict.WARN, lambda: node(trust=TrustPolicy(TrustMode.GROUP_PSK)), "pre-shared key (every peer)"),
    ("M14", Verdict.FAIL, lambda: configured(announce={"authenticator": False}), "without our authenticator"),
    ("M14", Verdict.FAIL, lambda: with_credential(node(), PinnedKey(b"x" * 20, b"", "test")), "none that it"),
    ("M14", Verdict.FAIL, lambda: with_credential(node(), CERTIFICATE), "is not held to them"),
    ("M14", Verdict.FAIL, lambda: with_credential(node()), "nothing at all"),
    ("M14", Verdict.FAIL, lambda: node(ike=(replace(IKE, remote_id="00:11"),)), "whose key is not pinned"),
    ("M14", Verdict.FAIL, lambda: node(trust=TrustPolicy(TrustMode.PKI)), "takes peers without authenticator"),
    ("M14", Verdict.UNKNOWN, lambda: node(charon="gone"), "gone"),
    ("M16", Verdict.FAIL, lambda: configured(dataplane={"guards": Guards.NONE}), "no packet filter"),
    ("M16", Verdict.FAIL, lambda: configured(dataplane={"guards": Guards.ROUTES}), "no packet filter"),
    ("M16", Verdict.FAIL, lambda: with_table(node(), shape=frozenset()), "other rules"),
    ("M16", Verdict.FAIL, lambda: with_table(node(), elements={}), "set endpoints6 of the nftables table lacks"),
    ("M16", Verdict.FAIL, lambda: node(account=replace(ACCOUNT, connections=(ALIEN,))), "not one admitted"),
    ("T3", Verdict.UNKNOWN, lambda: node(charon="gone"), "gone"),
    ("R5565-1", Verdict.FAIL, lambda: node(session=FORGONE), "its routes count"),
    ("R5565-3", Verdict.FAIL, lambda: node(child=replace(CHILD, encr_alg="AES_CBC_256")), "(AES_CBC_256) has none"),
    ("R5565-3", Verdict.FAIL, lambda: configured(charon={"ah_proposals": ("aes256",)}), "proposal aes256 has none"),
    ("R5565-4", Verdict.FAIL, lambda: configured(charon=GMAC_ALONE), "neither"),
    ("R5565-7", Verdict.FAIL, lambda: node(account=OLD), "IKEv1"),
    ("R5565-8", Verdict.FAIL, lambda: configured(announce={"authenticator": False}), "without our authenticator"),
    ("R5565-8", Verdict.WARN, lambda: node(trust=TrustPolicy(TrustMode.GROUP_PSK)), "RFC 5619 §4.4.2 allows"),
    (
        "R5565-9", Verdict.FAIL, lambda: node(child=replace(CHILD, remote_ts=frozenset({"10.0.0.0/8"}))),
        "were not asked for",
    ),
    ("R5565-9", Verdict.UNKNOWN, lambda: node(charon="gone", state=State.WANTED), "gone"),
    ("R5566-1", Verdict.WARN, lambda: node(state=State.CONNECTING), "connecting; its packets go nowhere meanwhile"),
    ("R5566-1", Verdict.UNKNOWN, lambda: node(charon="gone"), "gone"),
    ("R5566-2", Verdict.WARN, lambda: with_announced(node(), own_attribute(kind=TunnelType.GRE)), "without an IPsec"),
    ("R5566-4", Verdict.FAIL, lambda: with_announced(node(), own_attribute(key="other")), hash_of("other").hex()),
    ("R5566-4", Verdict.WARN, lambda: with_announced(node(), own_attribute(announced=False)), "not told of"),
    ("R5566-4", Verdict.WARN, lambda: with_facts(told=left_out()), "and so without one, to 2001:db8:f::fe"),
    ("R5566-5", Verdict.FAIL, lambda: replace(node(), observed=Observed({}, (), frozenset())), "does not hold our key"),
    ("R5566-5", Verdict.FAIL, lambda: with_facts(self_signed=frozenset()), "no certificate of our key"),
    ("R5566-6", Verdict.WARN, lambda: node(session=FORGONE), "its routes count"),
    ("R5566-7a", Verdict.FAIL, lambda: node(ike=(replace(IKE, remote_id="00:11"),)), "whose key is not pinned"),
    (
        "R5566-7b", Verdict.FAIL, lambda: node(ike=(replace(IKE, remote_id="00:11", initiator=False),)),
        "whose key is not pinned",
    ),
    ("R5566-8", Verdict.WARN, lambda: configured(admission={"dampening": None}), "dampening is off"),
    ("K1", Verdict.FAIL, lambda: node(files=moded("private key", stat.S_IFREG | 0o644)), "open to others (mode 0644)"),
    ("K1", Verdict.FAIL, lambda: node(files=(replace(FILES[0], owner=33),)), "belongs to user 33"),
    ("K1", Verdict.UNKNOWN, lambda: node(files=(replace(FILES[0], mode=None, problem="Gone"),)), "Gone"),
    ("K2", Verdict.FAIL, lambda: node(files=moded("control socket", stat.S_IFSOCK | 0o660)), "mode 0660"),
    ("K2", Verdict.FAIL, lambda: node(files=moded("VICI socket", stat.S_IFSOCK | 0o777)), "mode 0777"),
    ("K3", Verdict.WARN, lambda: node(files=moded("key directory", stat.S_IFDIR | 0o777)), "none of its keys is used"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("id_", "verdict", "made", "evidence"), CASES, ids=[f"{id_} {text}" for id_, _, _, text in CASES]
)
def test_not_met(id_: str, verdict: Verdict, made: Callable[[], Node], evidence: str) -> None:
    assert finding(node(), id_).verdict not in {Verdict.FAIL, Verdict.UNKNOWN}, "met where nothing is amiss"
    found = finding(made(), id_)
    assert found.verdict is verdict, found
    assert evidence in " ".join(found.evidence)
    assert found.remedy.strip()


def test_every_requirement_that_can_fail_was_seen_to() -> None:
    seen = {id_ for id_, *_ in CASES}
    # R5565-5 is M10's check; the next need softwires of other kinds, and have tests of their own.
    others = {"M5", "M7", "M15", "R5565-2", "R5565-5", "R5565-6", "R5566-3", "R5566-7c"}
    assert {requirement.id for requirement, _ in CHECKS} == seen | others


def test_silence_is_never_a_pass() -> None:
    """With charon gone, whatever rests on what it holds cannot be shown."""
    found = verdicts(node(charon="Connection refused", account=None, ability=None))
    resting = {
        *("M1", "M8", "M9", "M11", "M14", "M16", "T3", "R5565-3", "R5565-4", "R5565-6", "R5565-7", "R5565-8"),
        *("R5566-1", "R5566-3", "R5566-5", "R5566-7a", "R5566-7b"),
    }
    assert {id_ for id_, verdict in found.items() if verdict is Verdict.UNKNOWN} >= resting
    assert set(answer(node(charon="gone"))["unmet"]) >= resting - {"T3"}


def test_a_node_without_peers_has_nothing_to_answer_for_but_shows_its_configuration() -> None:
    empty = node(routes=(), ike=(), account=replace(ACCOUNT, connections=(), ike_versions=()))
    found = verdicts(empty)
    assert answer(empty)["unmet"] == []
    for id_ in ("M11", "R5565-6", "R5565-9", "R5566-1", "R5566-7a", "R5566-7b"):
        assert found[id_] is Verdict.NOT_APPLICABLE, id_
    assert found["M14"] is Verdict.PASS
    assert "0 of 0 credentials" in " ".join(finding(empty, "M14").evidence)


def test_a_route_with_a_tunnel_in_the_clear_fails() -> None:
    """The softwire is down and nothing holds its packets back."""
    bare = node(changed(CONFIG, dataplane={"guards": Guards.NONE}), state=State.CONNECTING)
    found = finding(replace(bare, view=replace(bare.view, layout=Layout())), "R5566-1")
    assert found.verdict is Verdict.FAIL
    assert "10.2.0.0/24: its softwire is connecting, and nothing holds its packets back" in found.evidence


def transport(**changes: Any) -> Node:
    """Type 5, in transport mode, on a kernel with ESP."""
    kind = TunnelType.IP_IN_IP_IPSEC_TRANSPORT
    sa = replace(
        CHILD, mode="transport", local_ts=frozenset({f"{OURS}/128[ipencap]"}), remote_ts=frozenset({f"{PEER}/128[4]"})
    )
    fabric = Fabric(reason="route, by XFRM interfaces")
    values: dict[str, Any] = {
        "routes": (route(value=attribute(kind=kind)),), "child": sa, "fabric": fabric, "ability": KERNEL
    }  # fmt: skip
    return node(**values | changes)


def test_transport_mode_has_the_selectors_of_its_encapsulation() -> None:
    found = finding(transport(), "R5565-9")
    assert found.verdict is Verdict.PASS
    assert "1 of 1 CHILD SA in transport mode" in found.evidence[0]
    gre = replace(CHILD, mode="transport", local_ts=frozenset({f"{OURS}/128[gre]"}), remote_ts=frozenset({PEER}))
    assert finding(transport(child=gre), "R5565-9").verdict is Verdict.FAIL
    loose = replace(CHILD, mode="transport", local_ts=frozenset({f"{OURS}/128[4]"}), remote_ts=frozenset({"::/0[4]"}))
    assert finding(transport(child=loose), "R5565-9").verdict is Verdict.FAIL


def test_inner_sources_are_the_filters_affair_where_selectors_do_not_tell() -> None:
    assert finding(transport(), "R5565-6").verdict is Verdict.PASS
    bare = transport(config=changed(CONFIG, dataplane={"guards": Guards.ROUTES}))
    assert finding(bare, "R5565-6").verdict is Verdict.FAIL
    assert finding(configured(dataplane={"guards": Guards.NONE}), "R5565-6").verdict is Verdict.PASS, "by selectors"


def test_softwires_by_hand_are_told_of() -> None:
    assert finding(node(), "R5565-2").verdict is Verdict.PASS
    entry = SoftwireEntry(
        remote=ip_address(PEER), tunnel=TunnelType.IPSEC_TUNNEL, authenticators=(hash_of("peer"),),
        prefixes=(ip_network("10.3.0.0/24"),),
    )  # fmt: skip
    by_hand = node(msgspec.structs.replace(CONFIG, softwires=(entry,)), routes=())
    # Without a source for its key it would be pending: a directory would have it.
    desired = fold((), by_hand.policy, [_Directory()])
    found = finding(replace(by_hand, view=replace(by_hand.view, desired=desired)), "R5565-2")
    assert found.verdict is Verdict.WARN


class _Directory:
    def keys_for(self, _offer: object) -> list[PinnedKey]:
        return [PinnedKey(hash_of("peer"), spki("peer"), "keys/peer.pem")]


def test_policy_is_between_two_routers() -> None:
    assert finding(node(), "R5566-3").verdict is Verdict.PASS
    for addresses in (("%any",), (PEER, "2001:db8:f::3"), ("2001:db8:f::/64",)):
        wide = replace(ACCOUNT.connections[0], remote_addresses=addresses)
        found = finding(node(account=replace(ACCOUNT, connections=(wide,))), "R5566-3")
        assert found.verdict is Verdict.FAIL, addresses


def test_certificates_are_exchanged_where_there_are_any() -> None:
    assert finding(node(), "R5566-7c").verdict is Verdict.WARN
    pinned = PinnedCertificate(PinnedKey(hash_of("peer"), spki("peer"), "sub-TLV 254", b"der"), CERTIFICATE)
    certified = with_credential(node(), pinned)
    trust = TrustPolicy(TrustMode.PINNED_PKI, (b"authority",))
    certified = replace(certified, policy=replace(certified.policy, trust=trust))
    assert finding(certified, "R5566-7c").verdict is Verdict.PASS
    assert finding(certified, "R5566-7a").verdict is Verdict.PASS


def test_md5_is_known_to_be_weak() -> None:
    assert finding(node(), "M7").verdict is Verdict.WARN
    assert finding(node(session=protected(SessionGuard.IPSEC, satisfied=True)), "M7").verdict is Verdict.PASS
    assert finding(node(session=IGNORED), "M7").verdict is Verdict.NOT_APPLICABLE


def test_group_keys_are_weak_but_allowed() -> None:
    shared = with_credential(
        node(trust=TrustPolicy(TrustMode.GROUP_PSK), routes=(route(value=attribute(key=None)),)), GROUP
    )
    found = verdicts(shared)
    assert {found[id_] for id_ in ("M12", "M13", "R5565-8")} == {Verdict.WARN}
    assert found["M14"] is Verdict.NOT_APPLICABLE
    bound = finding(with_credential(node(), GROUP), "M14")
    assert bound.verdict is Verdict.FAIL, "a peer that announced an authenticator is not let off with a group key"


def test_configured_peers_are_no_strangers() -> None:
    """A neighbour under IPsec lies where it lies, and nobody else does."""
    far = Neighbor(address=ip_address("2001:db8:e::9"), protection=SessionProtection.IPSEC, authenticators=(b"x" * 20,))
    config = changed(CONFIG, bgp={"neighbors": (*CONFIG.bgp.neighbors, far)})
    assert finding(node(config, ike=(IKE, STRANGER)), "M3").verdict is Verdict.PASS
    assert finding(node(ike=(IKE, STRANGER)), "M3").verdict is Verdict.FAIL


def test_levels_of_a_kernel_are_shown_by_its_sas_alone() -> None:
    found = finding(node(ability=KERNEL), "M9")
    assert found.verdict is Verdict.PASS
    assert "only an SA would show" in " ".join(found.evidence)


def test_no_secret_is_in_the_answer() -> None:
    own = replace(OWN, private_key_pem=b"PLANTED PRIVATE KEY")
    everything = replace(
        with_credential(node(trust=TrustPolicy(TrustMode.GROUP_PSK, secret=b"planted secret")), GROUP), own=(own,)
    )
    told = json.dumps(answer(everything)) + "\n".join(lines(answer(everything)))
    assert "planted" not in told.lower()


def test_text_has_what_is_amiss_first() -> None:
    told = answer(configured(dataplane={"guards": Guards.NONE}))
    text = "\n".join(lines(told))
    assert summary(told).startswith(f"softmesh audit of {OURS}: ")
    assert "not met: M16" in summary(told)
    assert text.index("fail           M16") < text.index("pass           M1 ")
    assert "remedy: set dataplane.guards: full" in text
    assert all(len(line) <= 120 for line in text.splitlines()[1:])


def test_unmet_is_a_must_that_fails_or_cannot_be_shown() -> None:
    requirement = CHECKS[0][0]
    for verdict, unmet in ((Verdict.FAIL, True), (Verdict.UNKNOWN, True), (Verdict.WARN, False), (Verdict.PASS, False)):
        assert Row(requirement, Finding(verdict, ())).unmet is unmet
        assert not Row(replace(requirement, strength=Strength.SHOULD), Finding(verdict, ())).unmet


def test_account_reads_only_what_is_ours() -> None:
    side: Section = {"id": b"aa", "class": b"pre-shared key"}
    conn: Section = {
        "version": b"IKEv2",
        "local_addrs": [b"192.0.2.1"],
        "remote_addrs": [b"192.0.2.2"],
        "local-1": side,
    }
    found = charon_account.account(
        {"encryption": {"NULL": b"openssl"}, "aead": {"AES_GCM_16": b"openssl"}, "prf": {"PRF_HMAC_SHA1": b"openssl"}},
        [{"softmesh-a": conn, "theirs": {"version": b"IKEv1"}}],
        [{"softmesh-a": {"version": b"2"}}, {"theirs": {"version": b"1"}}],
    )
    assert found.algorithms == {"NULL", "AES_GCM_16"}
    assert found.connections == (
        LoadedConnection("softmesh-a", "IKEv2", ("192.0.2.1",), ("192.0.2.2",), frozenset({"pre-shared key"})),
    )
    assert found.ike_versions == ("2",)


def test_withdrawn_announcements_are_not_judged() -> None:
    away = replace(node(), announced=frozenset(), view=replace(node().view, announcing=False))
    assert finding(away, "R5566-2").verdict is Verdict.NOT_APPLICABLE
    assert finding(away, "R5566-4").verdict is Verdict.NOT_APPLICABLE


def test_directory_of_keys_may_be_missing() -> None:
    config = changed(CONFIG, trust={"keys": (KeySource(directory=Path("/etc/softmesh/keys")),)})
    assert finding(node(config), "K3").verdict is Verdict.PASS
    assert finding(node(files=FILES[:3]), "K3").verdict is Verdict.NOT_APPLICABLE
