"""What charon says on its VICI socket: packets, messages, and what is made of each kind of message."""

from __future__ import annotations

from random import Random
from typing import Any

from fuzz import mutation
from fuzz.target import Target, demand
from softmesh.charon import ability, listing
from softmesh.charon.failure import ALERT, LOG, Failures
from softmesh.charon.observed import Observed
from softmesh.charon.packet import Framer, Kind, Section, frame, read_message, read_packet, write_message
from softmesh.control.plan import plan
from softmesh.control.progress import Pace
from softmesh.control.wanted_layout import encapsulated, installed
from softmesh.errors import PeerError
from tests.unit.charon.examples import CHILD, CONNECTION, IKE_SA
from tests.unit.control.world import HIGHER, LOWER, OWN, World, desired, softwire

_WANTED = desired(softwire(HIGHER, sites=2), softwire(LOWER))
_LINES = (
    "2001:db8:f::2 is initiating an IKE_SA",
    "received proposals: IKE:AES_GCM_16_256/PRF_HMAC_SHA2_384/CURVE_25519",
    "configured proposals: IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519",
    "received proposals unacceptable",
    "received NO_PROPOSAL_CHOSEN notify error",
    "no trusted Ed25519 public key found for 'aa'",
    "selected proposal: IKE:AES_GCM_16_256",
)


def _logged(line: str) -> tuple[str, Section]:
    return LOG, {"ikesa-name": CONNECTION.encode(), "ikesa-uniqueid": b"1", "msg": line.encode()}


def _standing() -> dict[str, Any]:
    """list-sas' account of a softwire that the planner wants, as charon would tell it."""
    world = World()
    for action in plan(_WANTED, world.observed(), {}, 0.0, own=(OWN,), pace=Pace(), may_remove=True).actions:
        world.apply((action,))
    (name, *_) = world.connections
    child = world.connections[name].children[0]
    listed: Any = IKE_SA["child-sas"]
    section: dict[str, Any] = {
        **IKE_SA,
        "remote-host": world.connections[name].remote_address.encode(),
        "child-sas": {
            f"{child.name}-15": {
                **listed[f"{CHILD}-15"],
                "name": child.name.encode(),
                "local-ts": [child.local_ts.encode()],
                "remote-ts": [child.remote_ts.encode()],
                "if-id-in": b"2a",
                "mark-in": b"2a",
                "mark-mask-in": b"ffffffff",
            }
        },
    }
    return {name: section}


MESSAGES: tuple[tuple[str, Section], ...] = (
    ("list-sa", {CONNECTION: IKE_SA}),
    ("list-sa", _standing()),
    ("child-rekey", {CONNECTION: {"old": IKE_SA, "new": IKE_SA}}),
    ("list-conn", {CONNECTION: {"local_addrs": [b"2001:db8:f::1"], "children": {CHILD: {"mode": b"TUNNEL"}}}}),
    ("list-cert", {"type": b"X509_CRL", "data": b"\x30\x03\x02\x01\x00"}),
    (ALERT, {"type": b"peer-auth-failed", "ike-sa": {CONNECTION: IKE_SA}}),
    *(_logged(line) for line in _LINES),
    ("", {"keys": [OWN.key_id.hex().encode(), b"softmesh-peer-1234"]}),
    ("", {"version": b"5.9.8", "plugins": [b"kernel-libipsec"], "ike": {"ML_KEM_768": b"openssl"}}),
    ("", {"ikesas": {"total": b"1", "half-open": b"0"}}),
    ("", {"success": b"no", "errmsg": b"connection 'softmesh-x' not found"}),
)


def packet(event: str, message: Section) -> bytes:
    """A reply's or an event's packet, framed."""
    name = event.encode()
    head = bytes([Kind.EVENT, len(name)]) + name if event else bytes([Kind.CMD_RESPONSE])
    return frame(head + write_message(message))


_PACKETS = tuple(packet(event, message) for event, message in MESSAGES)
CORPUS = (b"".join(_PACKETS), *_PACKETS)


def mutate(stream: bytes, chance: Random) -> bytes:
    """Damaged octets; or sound packets of messages whose values, names or sections were changed."""
    if chance.random() < 0.3:
        return mutation.octets(stream, chance)
    return b"".join(
        packet(event, _changed(message, chance))
        for event, message in (chance.choice(MESSAGES) for _ in range(chance.choice((1, 2, 3))))
    )


def _changed(message: Section, chance: Random) -> Section:
    changed: Section = {}
    for name, value in message.items():
        match chance.randrange(12):
            case 0:
                continue
            case 1:
                changed[mutation.octets(name.encode(), chance).decode("utf-8", "replace")[:60]] = value
            case 2:
                changed[name] = chance.choice((b"", b"9" * 5000, b"-1", "²".encode(), b"\xff", b"yes", b"\x1b[31m"))
            case 3:
                changed[name] = chance.choice(([], [b""], {}, {name: value}, [b"10.0.0.0/8[tcp/%s]" % (b"9" * 5000)]))
            case 4 if isinstance(value, bytes):
                changed[name] = mutation.octets(value, chance)
            case _:
                changed[name] = _changed(value, chance) if isinstance(value, dict) else value
    return changed


def check(stream: bytes) -> str:
    """How many packets were whole, and what the last came to."""
    count, outcome, failures = 0, "", Failures()
    cut = len(stream) * 2 // 3
    try:
        framer = Framer()
        packets = [*framer.feed(stream[:cut]), *framer.feed(stream[cut:])]
    except PeerError as error:
        return str(error)[:30]
    for octets in packets:
        count += 1
        try:
            received = read_packet(octets)
            message = read_message(received.body)
        except PeerError as error:
            demand(str(error).isprintable(), f"the error is one line: {error!r}")
            outcome = "refused"
            continue
        demand(read_message(write_message(message)) == message, "what was read is written the same")
        outcome = f"{received.kind.name} {_made_of(received.event, message, failures)}"
    return f"{count} packets, {outcome}"


def _made_of(event: str, message: Section, failures: Failures) -> str:
    listing.is_up(message)
    listing.ike_sa_count(message)
    ability.of(message, message, message)
    failures.hear(event, message, [CONNECTION])
    for failure in failures.told.values():
        demand(failure.reason.isprintable(), f"a reason can be shown: {failure.reason!r}")
    observed = Observed(
        listing.connections([message]),
        listing.ike_sas([message]),
        listing.key_ids(message),
        listing.secret_names(message),
        listing.certificates([message]),
    )
    # What the bridge does with a look at charon.
    encapsulated(observed)
    list(installed(observed))
    planned = plan(
        _WANTED, observed, {}, 100.0, own=(OWN,), pace=Pace(), may_remove=True, failures=failures.told, retired=["00"]
    )
    for action in planned.actions:
        demand(action.describe(), "an action says what it is")
    for progress in planned.progress.values():
        demand(progress.reason.isprintable(), f"a reason can be shown: {progress.reason!r}")
    return f"{len(observed.ike_sas)} IKE_SAs, {len(planned.actions)} actions"


TARGET = Target(CORPUS, mutate, check)
