from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from softmesh.charon.actions import (
    Initiate,
    LoadConnection,
    LoadKey,
    TerminateChild,
    TerminateIke,
    UnloadConnection,
)
from softmesh.charon.connection import OWNED
from softmesh.charon.packet import MAX_NAME, read_message, write_message
from softmesh.charon.render import load_key_message, merge, render
from softmesh.mesh.credential import OwnKey
from softmesh.mesh.softwire import Interface, InterfaceKind, Level, Profile, Softwire
from tests.unit.charon.examples import (
    FIRST,
    LOCAL,
    OWN,
    OWN_AUTHENTICATOR,
    PEER,
    REMOTE,
    SECOND,
    pinned,
    softwire,
    spki,
    transport,
)


def test_a_connection_pins_one_key_between_two_addresses() -> None:
    (connection,) = render(softwire(), OWN)
    sent = read_message(write_message(connection.to_vici()))[connection.name]
    assert isinstance(sent, dict)
    assert sent["local_addrs"] == [LOCAL.encode()]
    assert sent["remote_addrs"] == [REMOTE.encode()]
    assert sent["local"] == {"auth": b"pubkey", "id": f"@#{OWN_AUTHENTICATOR.hex()}".encode()}
    assert sent["remote"] == {
        "auth": b"pubkey",
        "id": f"@#{PEER.authenticator.hex()}".encode(),
        "pubkeys": [PEER.spki],
    }
    assert sent["send_cert"] == b"never"
    assert sent["send_certreq"] == b"no"
    assert sent["version"] == b"2"
    assert sent["mobike"] == b"no"
    assert sent["unique"] == b"no"


def test_a_child_starts_and_closes_nothing_by_itself() -> None:
    (connection,) = render(softwire(), OWN)
    (child,) = connection.children
    sent = read_message(write_message(child.to_vici()))
    assert sent["start_action"] == sent["close_action"] == b"none"
    assert (sent["local_ts"], sent["remote_ts"]) == ([b"10.1.0.0/24"], [b"10.2.0.0/24"])
    assert sent["esp_proposals"] == [b"aes256gcm16-x25519"]
    assert sent["mode"] == b"tunnel"


def test_prefixes_change_the_children_and_not_the_connection() -> None:
    (one,) = render(softwire(FIRST), OWN)
    (two,) = render(softwire(FIRST, SECOND), OWN)
    assert one.name == two.name
    assert set(one.children) < set(two.children)
    assert [child.name for child in two.children] == sorted(child.name for child in two.children)


@pytest.mark.parametrize(
    "changed",
    [
        softwire(keys=(pinned(3),)),
        softwire(profile=Profile(Level.ENCRYPT, ("aes128-sha256-x25519",), ("aes256gcm16-x25519",))),
        softwire(remote="2001:db8:f::3"),
    ],
    ids=["key", "proposals", "address"],
)
def test_what_matters_to_ike_changes_the_name(changed: Softwire) -> None:
    (connection,) = render(softwire(), OWN)
    (other,) = render(changed, OWN)
    assert other.name != connection.name


def test_our_own_key_changes_the_name() -> None:
    assert render(softwire(), OWN)[0].name != render(softwire(), (OwnKey(bytes(20)),))[0].name


def test_esp_proposals_change_the_child_and_not_the_connection() -> None:
    (connection,) = render(softwire(), OWN)
    profile = replace(softwire().profile, proposals=("aes128gcm16",))
    (other,) = render(softwire(profile=profile), OWN)
    assert other.name == connection.name
    assert other.children[0].name != connection.children[0].name


@pytest.mark.parametrize(
    ("level", "key"), [(Level.ENCRYPT, "esp_proposals"), (Level.INTEGRITY, "esp_proposals"), (Level.AH, "ah_proposals")]
)
def test_the_level_says_which_protocol_is_proposed(level: Level, key: str) -> None:
    profile = Profile(level, ("aes256gcm16-prfsha384-x25519",), ("the-proposal",))
    (connection,) = render(softwire(profile=profile), OWN)
    sent = connection.children[0].to_vici()
    assert {name: sent[name] for name in sent if name.endswith("_proposals")} == {key: ["the-proposal"]}


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (InterfaceKind.XFRM, {"if_id_in": "0xa1b2c3d4", "if_id_out": "0xa1b2c3d4"}),
        (InterfaceKind.VTI, {"mark_in": "0xa1b2c3d4", "mark_out": "0xa1b2c3d4"}),
        (InterfaceKind.IP_IN_IP, {}),
        (InterfaceKind.GRE, {}),
    ],
)
def test_interfaces_bind_the_children_of_tunnel_mode(kind: InterfaceKind, keys: dict[str, str]) -> None:
    (plain,) = render(softwire(), OWN)
    (bound,) = render(replace(softwire(), interface=Interface(kind, 0xA1B2C3D4)), OWN)
    sent = bound.children[0].to_vici()
    assert {name: sent[name] for name in sent if name.startswith(("if_id", "mark", "set_"))} == keys
    # Two planes share the connection; the child has another name only where it has other content.
    assert bound.name == plain.name
    assert (bound.children[0].name == plain.children[0].name) is not bool(keys)


def test_each_key_has_a_connection_of_its_own() -> None:
    connections = render(softwire(keys=(pinned(2), pinned(3))), OWN)
    assert [connection.remote.public_keys for connection in connections] == [(spki(2),), (spki(3),)]
    assert len({connection.name for connection in connections}) == 2


def test_softwires_that_share_a_connection_are_merged() -> None:
    (red,) = render(softwire(FIRST, color=1), OWN)
    (blue,) = render(softwire(FIRST, SECOND, color=2), OWN)
    (elsewhere,) = render(softwire(remote="2001:db8:f::3"), OWN)
    merged = merge([blue, elsewhere, red])
    assert [connection.name for connection in merged] == sorted({red.name, elsewhere.name})
    assert next(each for each in merged if each.name == red.name).children == blue.children


@pytest.mark.parametrize("protocol", [4, 41, 137])
def test_transport_mode_selects_the_hosts_and_the_protocol_by_number(protocol: int) -> None:
    (connection,) = render(transport(protocol), OWN)
    (child,) = connection.children
    assert child.mode == "transport"
    assert child.local_ts == f"{LOCAL}/128[{protocol}]"
    assert child.remote_ts == f"{REMOTE}/128[{protocol}]"


def test_names_are_ours_and_fit_vici_at_their_longest() -> None:
    full = ":".join(["ffff"] * 8)
    longest = softwire((f"{full}/128", f"{full}/128"), remote=full)
    (connection,) = render(longest, OWN)
    assert connection.name.startswith(OWNED)
    assert len(connection.name) <= MAX_NAME
    # list-sas appends a number of up to ten digits.
    assert len(connection.children[0].name) + 11 <= MAX_NAME
    assert write_message(connection.to_vici())


def test_names_are_the_same_in_every_process() -> None:
    (connection,) = render(softwire(FIRST, SECOND), OWN)
    script = (
        "from tests.unit.charon.examples import *\n"
        "from softmesh.charon.render import render\n"
        "(c,) = render(softwire(FIRST, SECOND), OWN)\n"
        "print(c.name, *(child.name for child in c.children))"
    )
    root = Path(__file__).parents[3]
    printed = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": f"{root}:{root / 'bridge'}", "PYTHONHASHSEED": "7"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert printed.split() == [connection.name, *(child.name for child in connection.children)]


def test_no_key_is_printed() -> None:
    secret = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    action = LoadKey(secret)
    assert load_key_message(secret) == {"type": "any", "data": secret}
    assert "c2VjcmV0" not in repr(action) + str(action) + action.describe()


def test_actions_say_what_they_do_in_one_line() -> None:
    (connection,) = render(softwire(), OWN)
    child = connection.children[0].name
    lines = [
        action.describe()
        for action in (
            LoadConnection(connection),
            UnloadConnection(connection.name),
            Initiate(connection.name, child),
            TerminateIke("7", connection.name),
            TerminateChild("9", child),
        )
    ]
    assert lines == [
        f"load connection {connection.name} (children: {child})",
        f"unload connection {connection.name}",
        f"initiate {child} of {connection.name}",
        f"terminate IKE_SA 7 of {connection.name} by force",
        f"terminate CHILD_SA 9 of {child}",
    ]
