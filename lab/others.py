"""What other people have on a router: in its charon, and in its kernel; made by their tools, and looked at with them.

Their own IKE peer is a router in the core, with a charon of its own, and both ends are loaded by swanctl from files.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import vici
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lab.authority import Authority
from lab.charon import Charon
from lab.eventually import PATIENCE, eventually
from lab.mesh import Afbr
from lab.namespace import LAB, Namespace, link, program

Holdings: TypeAlias = Mapping[str, frozenset[str]]
"""By what was looked at, each thing that is there, spelled out."""

NUMBER = 200
"""Of their router in the core."""
_INSIDE = {"softmesh": ("198.51.100.1", "198.51.101.1"), "Softmesh-two": ("198.51.102.1", "198.51.103.1")}
"""Their live connections, each with the address behind either end; the names are nearly ours."""
_PROPOSAL = "aes256gcm16-prfsha384-x25519"
_COUNTED = re.compile(r"bytes|packets|use|established|rekey-time|life-time|install-time|reauth-time|tasks")
"""What of an SA in list-sas is an age or a count, or says what is under way just now."""
_NUMBERS = re.compile(r"uniqueid|reqid|.*spi|.*port|initiator|nat-|encap")
"""What of an SA another in its place has otherwise."""


class Others:
    """Other people's things on a router of a mesh, and their peer."""

    def __init__(self, afbr: Afbr) -> None:
        """Make all of it, as far as this kernel has it; their SAs are up."""
        mesh = afbr.mesh
        self.afbr = afbr
        self.ends = (afbr.endpoint, mesh.plan.endpoint(NUMBER))
        self.peer = Namespace("others", forwarding=True)
        link(self.peer, "core0", mesh.core, "others")
        mesh.core.ip("link", "set", "others", "master", "br0")
        self.peer.address("core0", f"{self.ends[1]}/{mesh.plan.core_length}")
        for inside in _INSIDE.values():
            for namespace, address in zip((afbr.namespace, self.peer), inside, strict=True):
                namespace.address("lo", f"{address}/32")
        self.charon = Charon(self.peer, libipsec=mesh.libipsec)
        self._authority = Authority("others")
        self._write(afbr.home / "others", *self.ends, sides=("left", "right"))
        self._write(LAB / "others" / "swanctl", *reversed(self.ends), sides=("right", "left"))
        self.load(self.charon, LAB / "others" / "swanctl")
        self.connect()

    def _write(self, home: Path, local: str, remote: str, *, sides: tuple[str, str]) -> None:
        """Files for swanctl at one end; ``sides``: its name and the other's."""
        for name in ("private", "x509", "x509ca", "x509crl"):
            (home / name).mkdir(parents=True, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        if sides[0] == "left":
            # One key for all that a host does: a mesh that takes another forgets it, and they do not.
            pem = (self.afbr.home / "identity.key").read_bytes()
        (home / "private" / "own.pem").write_bytes(pem)
        self._authority.write(home / "x509ca" / "ca.pem")
        self._authority.certify_file(home / "private" / "own.pem", [f"{sides[0]}.others"], home / "x509" / "own.pem")
        self._authority.write_revocation_list(home / "x509crl" / "ca.pem")
        way = 1 if sides[0] == "left" else -1
        both = f"version = 2\n local_addrs = {local}\n remote_addrs = {remote}\n proposals = {_PROPOSAL}\n"
        connections = ""
        for (name, inside), auth in zip(_INSIDE.items(), ("psk", "pubkey"), strict=True):
            own, others = inside[::way]
            certificates = ("certs = own.pem\n", "cacerts = ca.pem\n") if auth == "pubkey" else ("", "")
            connections += (
                f"{name} {{\n {both}"
                f" local {{\n auth = {auth}\n id = {sides[0]}.others\n {certificates[0]} }}\n"
                f" remote {{\n auth = {auth}\n id = {sides[1]}.others\n {certificates[1]} }}\n"
                f" children {{\n softmesh-{auth} {{\n local_ts = {own}/32\n remote_ts = {others}/32\n"
                "  esp_proposals = aes256gcm16-x25519\n }\n }\n}\n"
            )
        absent = self.afbr.mesh.plan.endpoint(201)
        connections += (
            f"soft-mesh-trap {{\n version = 2\n local_addrs = {local}\n remote_addrs = {absent}\n pools = theirs\n"
            " local {\n auth = psk\n id = trap\n }\n remote {\n auth = psk\n id = absent\n }\n"
            " children {\n"
            " trap {\n local_ts = 198.51.100.1/32\n remote_ts = 198.51.104.0/24\n start_action = trap\n }\n"
            " pass {\n local_ts = 198.51.100.1/32\n remote_ts = 198.51.105.0/24\n start_action = trap\n mode = pass\n"
            " }\n }\n}\n"
        )
        (home / "swanctl.conf").write_text(
            f"connections {{\n{connections}}}\n"
            "pools {\n theirs {\n addrs = 198.51.106.0/28\n dns = 198.51.106.53\n }\n}\n"
            "authorities {\n theirs {\n cacert = ca.pem\n crl_uris = http://crl.others/ca.crl\n }\n}\n"
            f"secrets {{\n ike-theirs {{\n id-1 = left.others\n id-2 = right.others\n secret = {'shared' * 4}\n }}\n"
            " eap-softmesh {\n id = carol\n secret = another\n }\n}\n"
        )

    def load(self, charon: Charon, home: Path) -> None:
        """``swanctl --load-all`` of their files, as their operator does it: whatever is not in them is unloaded."""
        subprocess.run(
            [program("swanctl"), "--load-all", "--noprompt", "--uri", f"unix://{charon.vici}"],
            env={**os.environ, "SWANCTL_DIR": str(home)},
            capture_output=True, text=True, check=True, timeout=30 * PATIENCE,
        )  # fmt: skip

    def connect(self) -> None:
        """Load the router's own part, and have their SAs come up."""
        self.load(self.afbr.charon, self.afbr.home / "others")
        for auth in ("psk", "pubkey"):
            self.afbr.charon.swanctl("--initiate", "--child", f"softmesh-{auth}", "--timeout", str(int(10 * PATIENCE)))
        eventually(self.carries, within=10, what="their own tunnels carry packets", every=0.2)

    def carries(self) -> bool:
        """Whether packets go through both of their tunnels."""
        return all(self.peer.ping(near, source=far, within=2) for near, far in _INSIDE.values())

    def in_charon(self, *, numbers: bool = True) -> Holdings:
        """What charon has that is not ours by its name; all its keys and pre-shared keys.

        ``numbers``: with those of SAs, which are others after they were made anew.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30 * PATIENCE)
            connection.connect(str(self.afbr.charon.vici))
            session = vici.Session(connection)
            left_out = _COUNTED if numbers else re.compile(f"{_COUNTED.pattern}|{_NUMBERS.pattern}")
            listed: dict[str, Iterable[Any]] = {
                "conns": _foreign(session.list_conns()),
                "sas": [_without(sa, left_out) for sa in _foreign(session.list_sas())],
                "policies": _foreign(session.list_policies({"pass": True, "trap": True, "drop": True})),
                "authorities": list(session.list_authorities()),
                "certs": list(session.list_certs({"type": "ANY"})),
                "pools": [session.get_pools({"leases": True})],
                "keys": session.get_keys().get("keys", []),
                "secrets": session.get_shared().get("keys", []),
            }
        return {section: frozenset(map(_spelled, things)) for section, things in listed.items()}

    def in_kernel(self, *, numbers: bool = True) -> Holdings:
        """All there is in the router's kernel, ours too; ``numbers``: with SPIs and such."""
        return kernel(self.afbr.namespace, numbers=numbers)

    def close(self) -> None:
        """Stop their peer."""
        self.peer.close()


def _foreign(listed: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those with no name of ours; policies are listed as connection/child."""
    return [event for event in listed if not any(name.startswith("softmesh-2") for name in event)]


def _without(value: Any, left_out: re.Pattern[str]) -> Any:
    if not isinstance(value, Mapping):
        return value
    kept = {name: _without(item, left_out) for name, item in value.items() if not left_out.match(name)}
    if "child-sas" in kept and left_out is not _COUNTED:
        # Listed by name and number.
        kept["child-sas"] = {name.rpartition("-")[0]: item for name, item in kept["child-sas"].items()}
    return kept


def _spelled(thing: Any) -> str:
    return json.dumps(thing, sort_keys=True, default=lambda octets: octets.decode("latin-1"))


def populate(namespace: Namespace) -> None:
    """Other people's things in a kernel: whatever it has of what they may have."""
    mandatory = (
        "link add sm-lan0 type veth peer name sm-lan1",
        "link add softmesh0 type veth peer name softmesh1",
        "link set sm-lan0 up",
        "link set softmesh0 up",
        "link set softmesh1 up",
        "address add 203.0.113.1/24 dev sm-lan0",
        "address add 2001:db8:cafe::1/64 dev sm-lan0 nodad",
        "route add blackhole 10.0.0.0/8 metric 4294967294 proto static",
        "route add blackhole 10.2.0.0/24 metric 4294967295 table 100",
        "route add unreachable 10.99.0.0/16 proto 194 metric 77",
        "route add blackhole 10.98.0.0/16 proto 194 metric 4294967294",
        "route add 10.2.0.0/16 dev softmesh0 proto 194 metric 11",
        "route add 10.97.0.0/16 dev softmesh0 proto 195 metric 10",
        "route add 192.0.2.0/24 via 203.0.113.2 proto bgp metric 20",
        "route add 10.2.0.0/24 dev softmesh0 proto 194 table 100 metric 10",
        "-6 route add 2001:db8:dead::/48 dev softmesh0 proto 194 metric 11",
        "-6 route add blackhole 2001:db8:beef::/48 proto 194 metric 1024",
        "-6 route add unreachable 2001:db8:1000::/36 metric 4294967294",
        "rule add pref 100 from 203.0.113.0/24 lookup 100",
        "rule add pref 219 fwmark 0x2a lookup 100 proto 194",
        "-6 rule add pref 100 from 2001:db8:cafe::/48 lookup 100",
    )
    namespace.ip("link", "set", "lo", "up")
    for line in mandatory:
        namespace.ip(*line.split())
    namespace.run(
        program("nft"),
        "add table inet softmesh2; add chain inet softmesh2 unprotected { type filter hook postrouting priority 150; };"
        'add rule inet softmesh2 unprotected ip daddr 203.0.113.66 counter drop comment "unprotected";'
        "add table ip softmesh; add set ip softmesh destinations { type ipv4_addr; flags interval; };"
        "add element ip softmesh destinations { 10.2.0.0/24 };"
        "add table inet theirs; add chain inet theirs input { type filter hook input priority 0; policy accept; };"
        'add counter inet theirs seen; add rule inet theirs input iifname "sm-*" counter name seen accept;',
    )
    settings = {"sm-lan0/rp_filter": 2, "all/log_martians": 1}
    script = "; ".join(f"echo {value} > /proc/sys/net/ipv4/conf/{name}" for name, value in settings.items())
    namespace.run("sh", "-c", script)


def populate_ipsec(namespace: Namespace, near: str) -> None:
    """The same of IPsec and tunnels, for a kernel that has them; ``near``: an IPv6 address of it."""
    far = f"{near.rpartition(':')[0]}:77"
    key = ("aead", "rfc4106(gcm(aes))", "0x" + "77" * 20, "128")
    for line in (
        "link add sm-0000beef type xfrm dev core0 if_id 0xbeef",
        "link add sm-0000cafe type vti6 local any remote any key 0xcafe",
        f"link add theirs-gre type ip6gre local {near} remote {far}",
        f"link add theirs-tnl type ip6tnl mode any local {near} remote {far}",
        "link add sm-dummy type dummy",
        "link set sm-0000beef up",
        "route add 198.51.107.0/24 dev sm-0000beef",
        f"xfrm policy add src 198.51.108.0/24 dst 198.51.109.0/24 dir out priority 7 "
        f"tmpl src {near} dst {far} proto esp reqid 7 mode tunnel",
        f"xfrm policy add src 198.51.107.0/24 dst 198.51.109.0/24 dir out if_id 0xbeef "
        f"tmpl src {near} dst {far} proto esp reqid 8 mode tunnel",
        "xfrm policy add src 10.2.0.0/24 dst 10.250.0.0/24 dir fwd action block",
    ):
        namespace.ip(*line.split())
    for source, destination, spi in ((near, far, "0x77"), (far, near, "0x78")):
        namespace.ip(
            *("xfrm", "state", "add", "src", source, "dst", destination, "proto", "esp", "spi", spi, "reqid", "7"),
            *("mode", "tunnel", *key),
        )


def kernel(namespace: Namespace, *, numbers: bool = True) -> Holdings:
    """Links, addresses, routes, rules, IPsec, firewall and settings of a namespace, without ages and counts."""
    things: dict[str, Collection[str]] = {}
    for section, command in {
        "links": ("-d", "-j", "link", "show"),
        "addresses": ("-j", "address", "show"),
        "routes": ("-4", "-d", "-j", "route", "show", "table", "all"),
        "routes of IPv6": ("-6", "-d", "-j", "route", "show", "table", "all"),
        "rules": ("-4", "-d", "-j", "rule", "show"),
        "rules of IPv6": ("-6", "-d", "-j", "rule", "show"),
    }.items():
        things[section] = [_spelled(entry) for entry in json.loads(namespace.ip(*command) or "[]") if entry]
    for section in ("policy", "state"):
        things[f"xfrm {section}"] = _xfrm(namespace.ip("xfrm", section, "list"), numbers=numbers)
    ruleset = json.loads(namespace.run(program("nft"), "-j", "list", "ruleset").stdout)["nftables"]
    things["nftables"] = [_spelled(_uncounted(item)) for item in ruleset if "metainfo" not in item]
    script = "cd /proc/sys/net && grep -rs '' ."
    # A device's own settings come and go with it; what the kernel counts there, it counts.
    settings = namespace.run("sh", "-c", script, check=False).stdout.splitlines()
    things["settings"] = [line for line in settings if "nf_conntrack_count" not in line]
    # charon's own interface, where ESP is in user space, comes and goes with charon, with another address each time.
    passing = re.compile("(?!)" if numbers else r'"ifname": "ipsec0"|"ipsec0", "dst": "fe80|/ipsec0/')
    return {
        section: frozenset(thing for thing in found if not passing.search(thing)) for section, found in things.items()
    }


def _xfrm(listing: str, *, numbers: bool) -> list[str]:
    """Each state or policy, in one line; of charon's only what says whose it is where SAs were made anew."""
    entries = re.split(r"\n(?=\S)", listing.strip())
    cleaned = []
    for entry in filter(None, entries):
        text = re.sub(r"(anti-replay|lastused|oseq|lifetime|\s+replay|add \d|expire|current).*", "", entry)
        if not numbers:
            text = re.sub(r"(spi|reqid|auth-trunc|aead|if_id|ptype|flag|output-mark|dport|sport)\s*\(?\S+.*", "", text)
        cleaned.append(" ".join(text.split()))
    return cleaned


def _uncounted(value: Any) -> Any:
    """A ruleset without packets and octets."""
    if isinstance(value, dict):
        return {name: _uncounted(item) for name, item in value.items() if name not in {"packets", "bytes"}}
    if isinstance(value, list):
        return [_uncounted(item) for item in value]
    return value


def lost(before: Holdings, after: Holdings) -> dict[str, list[str]]:
    """What was there and is no more, or is otherwise."""
    return {section: sorted(gone) for section, held in before.items() if (gone := held - after[section])}


def unlike(before: Holdings, after: Holdings) -> dict[str, list[str]]:
    """What is not as it was: ``-`` before what is gone, ``+`` before what has come."""
    return {
        section: [
            *(f"- {thing}" for thing in sorted(held - after[section])),
            *(f"+ {thing}" for thing in sorted(after[section] - held)),
        ]
        for section, held in before.items()
        if held != after[section]
    }
