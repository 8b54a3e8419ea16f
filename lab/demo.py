"""``make demo``: a mesh of IPsec softwires comes up from BGP alone, on real daemons, before your eyes.

Four AFBRs and a BIRD route reflector, each in a network namespace of its own, in both directions: IPv4 islands over
an IPv6 core, then IPv6 islands over an IPv4 core. Nothing is configured for any peer. Exit status 0 only if all of it
was seen: six softwires up, traffic as ESP and nothing else, the leaver gone on both sides and back again, and no
security association for an impostor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping
from itertools import permutations
from typing import Any

from lab.capture import ESP, PLAINTEXT, Capture
from lab.eventually import NotReached, eventually, holds
from lab.impostor import Impostor
from lab.mesh import MIXED, Afbr, Direction, Mesh, meshed
from softmesh.bgp.codepoints import TunnelType
from softmesh.bgp.sub_tlv import Authenticator, EgressEndpoint, PublicKey, SubTlv
from softmesh.bgp.tunnel_encapsulation import Tunnel, encode
from softmesh.control.client import ask
from softmesh.mesh.admission import address
from softmesh.mesh.identity import load_identity

ROUTERS = 4
PINGS = 3
_MARK = {
    "up": "up",
    "degraded": "part",
    "connecting": "…",
    "wanted": "…",
    "pending-key": "no key",
    "refused": "no",
}


class Failed(AssertionError):
    """Something the demo promises was not seen."""


def main() -> int:
    """Show both directions; returns the exit status."""
    began = time.monotonic()
    try:
        for direction in MIXED:
            show(direction)
    except (Failed, NotReached, AssertionError) as error:
        print(f"\nDEMO FAILED: {error}", file=sys.stderr)
        return 1
    print(f"\nAll shown, in {time.monotonic() - began:.0f} s; namespaces, daemons and keys are gone.")
    return 0


def show(direction: Direction) -> None:
    """Show one direction from the first daemon to the last."""
    core, island = ("IPv6", "IPv4") if direction is Direction.FOUR_OVER_SIX else ("IPv4", "IPv6")
    print(f"\n━━ {direction.value}: {island} islands, {core} core " + "━" * 40)
    with Mesh(direction, ROUTERS) as mesh:
        afbrs = list(mesh.afbrs.values())
        print(f"{ROUTERS} AFBRs, a BIRD route reflector, TCP-MD5 on every BGP session, a new Ed25519 key in each.")
        print(f"mesh.yaml of {afbrs[0].namespace.name}, all of it:\n")
        print("".join(f"    {line}\n" for line in afbrs[0].configuration.read_text().splitlines()))
        capture = Capture(mesh.core, "br0", "core")
        fill(mesh, afbrs)
        traffic(mesh, afbrs, capture)
        leave(mesh, afbrs)
        impostor(mesh, afbrs)
        audit(afbrs)
        capture.stop()
        check("the whole time, plaintext packets in the core", capture.count(PLAINTEXT), lambda n: n == 0)


def fill(mesh: Mesh, afbrs: list[Afbr]) -> None:
    """Start softmesh everywhere and watch the matrix of softwires fill up."""
    began = time.monotonic()
    mesh.start()
    drawn = ""

    def settled() -> bool:
        nonlocal drawn
        matrix = draw(afbrs)
        if matrix != drawn:
            print(f"after {time.monotonic() - began:.1f} s\n{matrix}")
            drawn = matrix
        return meshed(afbrs)

    eventually(settled, within=60, what="all six softwires are up", every=0.2)
    pairs = ROUTERS * (ROUTERS - 1) // 2
    print(
        f"✓ {pairs} softwires up, both ends agreeing, {time.monotonic() - began:.1f} s after the daemons were started"
    )


def draw(afbrs: Collection[Afbr]) -> str:
    """The matrix of softwires, each seen from both its ends."""
    states = {afbr.number: afbr.wires() for afbr in afbrs}
    rows = [" " * 12 + "".join(f"{afbr.namespace.name:>8}  " for afbr in afbrs).rstrip()]
    for left in afbrs:
        cells = [
            "·" if left is right else _MARK.get(states[left.number].get(right.endpoint, {}).get("state", ""), "-")
            for right in afbrs
        ]
        rows.append(f"    {left.namespace.name:<8}" + "".join(f"{cell:>8}  " for cell in cells).rstrip())
    return "\n".join(rows)


def traffic(mesh: Mesh, afbrs: list[Afbr], capture: Capture) -> None:
    """Ping from every island to every other and look at the wire."""
    esp = capture.count(ESP)
    for left, right in permutations(afbrs, 2):
        said = left.island.pinged(mesh.plan.host(right.number, 10), count=PINGS, within=5)
        if " 0% packet loss" not in said:
            raise Failed(f"{left.island.name} pings {right.island.name}: {said}")
    pairs = ROUTERS * (ROUTERS - 1)
    print(f"✓ {pairs} ways between islands, {PINGS} pings on each: all answered")
    # Every echo request and every reply crossed the core once, as ESP.
    expected = pairs * PINGS * 2
    eventually(
        lambda: capture.count(ESP) - esp >= expected,
        within=10,
        what=f"the capture holds {expected} ESP packets or more",
    )
    check("ESP packets in the core meanwhile", capture.count(ESP) - esp, lambda n: n >= expected)
    check("plaintext packets in the core", capture.count(PLAINTEXT), lambda n: n == 0)
    first, second = afbrs[0], afbrs[1]
    print(f"\n$ softmesh explain {mesh.plan.host(second.number, 10)}        (on {first.namespace.name})")
    print(first.softmesh("explain", mesh.plan.host(second.number, 10), "-c", str(first.configuration)))


def leave(mesh: Mesh, afbrs: list[Afbr]) -> None:
    """One router withdraws; its softwires go on both sides, the others' stay; then it returns."""
    leaver, others = afbrs[-1], afbrs[:-1]
    before = {afbr.number: other_spis(afbr, leaver) for afbr in others}
    began = time.monotonic()
    print(f"\n$ softmesh withdraw        (on {leaver.namespace.name})")
    print(leaver.softmesh("withdraw", "-c", str(leaver.configuration)).strip())
    eventually(
        lambda: not sas(leaver) and not any(leaver.endpoint in sas(afbr) for afbr in others) and not leaver.up(),
        within=20, what=f"no security association of {leaver.namespace.name} is left on any side", every=0.2,
    )  # fmt: skip
    print(f"after {time.monotonic() - began:.1f} s\n{draw(afbrs)}")
    check("softwires of the leaver on any side", len(leaver.up()), lambda n: n == 0)
    reached = others[0].island.ping(mesh.plan.host(leaver.number, 10))
    check("its island answers pings", reached, lambda reached: not reached)
    kept = all(before[afbr.number] == other_spis(afbr, leaver) for afbr in others)
    check("the other softwires kept their SPIs", kept, lambda kept: kept)
    print(f"\n$ softmesh announce        (on {leaver.namespace.name})")
    print(leaver.softmesh("announce", "-c", str(leaver.configuration)).strip())
    began = time.monotonic()
    eventually(lambda: meshed(afbrs), within=30, what="the leaver is back", every=0.2)
    print(f"after {time.monotonic() - began:.1f} s\n{draw(afbrs)}")
    answered = eventually(
        lambda: others[0].island.ping(mesh.plan.host(leaver.number, 10)),
        within=10,
        what="its island answers again",
    )
    check("its island answers pings again", answered, lambda answered: answered)


def impostor(mesh: Mesh, afbrs: list[Afbr]) -> None:
    """A fifth router, with a BGP session of its own, that lies about its key."""
    liar = Impostor(mesh, ROUTERS + 1)
    stolen = bytes.fromhex(afbrs[0].status()["authenticator"])
    print(f"\nAn impostor at {liar.endpoint} announces itself with the authenticator of {afbrs[0].namespace.name}:")
    try:
        liar.announce(attribute(liar, [Authenticator(stolen)]))
        refused(liar, afbrs, {"pending-key"})
        victim = afbrs[1]
        answer = liar.attack(victim.number, stolen)
        print(f"  it asks {victim.namespace.name} for the softwire itself; charon answers: {answer}")
        check("it has an IKE_SA", liar.established(), lambda established: not established)
        print("Now with that router's real public key beside the authenticator, which anybody can copy:")
        liar.announce(attribute(liar, [Authenticator(stolen), _stolen_key(afbrs[0])]))
        refused(liar, afbrs, {"connecting", "wanted"})
        print(f"  {victim.namespace.name} is asked again: {liar.attack(victim.number, stolen)}")
        check("it has an IKE_SA", liar.established(), lambda established: not established)
        print("And with no authenticator at all:")
        liar.announce(attribute(liar, []))
        refused(liar, afbrs, {"refused"})
        check("the real mesh is untouched", meshed(afbrs), lambda untouched: untouched)
    finally:
        liar.close()


def audit(afbrs: list[Afbr]) -> None:
    """Hold every router against what the RFCs require of it."""
    print("\n$ softmesh audit        (on each router; the first line of each)")
    for afbr in afbrs:
        print(f"  {afbr.softmesh('audit', '-c', str(afbr.configuration), check=False).partition(chr(10))[0]}")
    unmet = [id_ for afbr in afbrs for id_ in ask(afbr.home / "run" / "control.sock", "audit")["unmet"]]
    check("MUST requirements unmet on any router", len(unmet), lambda n: n == 0)


def attribute(liar: Impostor, claims: list[SubTlv]) -> bytes:
    """What the impostor says of itself."""
    return encode([Tunnel(TunnelType.IPSEC_TUNNEL, (EgressEndpoint(address(liar.endpoint)), *claims))])


def _stolen_key(afbr: Afbr) -> SubTlv:
    return PublicKey(load_identity(afbr.home / "identity.key").spki)


def refused(liar: Impostor, afbrs: list[Afbr], states: set[str]) -> None:
    """Every router has heard the impostor, none gives it a softwire, and each says why."""

    def heard() -> Mapping[str, Any]:
        rows = {afbr.namespace.name: afbr.wires().get(liar.endpoint, {}) for afbr in afbrs}
        return rows if all(row.get("state") in states for row in rows.values()) else {}

    rows = eventually(heard, within=30, what=f"every router shows {liar.endpoint} as {' or '.join(sorted(states))}")
    name, row = next(iter(rows.items()))
    print(f"  {name}: {row['remote']} {row['state']}: {row['reason']}")
    holds(
        lambda: not any(liar.endpoint in afbr.up() for afbr in afbrs),
        during=1.5,
        what="the impostor has no softwire",
    )
    check(
        "security associations with it that carry traffic",
        sum(liar.endpoint in afbr.up() for afbr in afbrs),
        lambda n: n == 0,
    )


def sas(afbr: Afbr) -> str:
    """What charon itself lists, asked with strongSwan's own tool."""
    return afbr.charon.swanctl("--list-sas")


def other_spis(afbr: Afbr, leaver: Afbr) -> dict[str, tuple[str, str]]:
    """The SPIs of all softwires but those to the leaver."""
    return {name: spis for name, spis in afbr.spis().items() if not name.startswith(f"{leaver.endpoint} ")}


def check(what: str, value: Any, accept: Callable[[Any], bool]) -> None:
    """Print what was seen; raise Failed if it is not what was promised."""
    shown = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
    if not accept(value):
        raise Failed(f"{what}: {shown}")
    print(f"✓ {what}: {shown}")


if __name__ == "__main__":
    sys.exit(main())
