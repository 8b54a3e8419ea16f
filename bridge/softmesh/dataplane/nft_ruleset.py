"""The table ``inet softmesh``: its rules, and what its sets hold, as text for ``nft -f``. Pure.

What leaves without IPsec, ``rt ipsec missing`` tells at postrouting: the route has no transformation left to do. What
came without, ``meta ipsec missing`` tells at input, which is before the tunnel interfaces get it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import collapse_addresses, ip_network, summarize_address_range
from typing import TypeAlias

from softmesh.dataplane.guard import Guard, Guarded
from softmesh.errors import OperatorError
from softmesh.mesh.softwire import Address, Network

TABLE = "inet softmesh"
SIGN = "signature"
"""The chain whose one rule says, in its comment, that the table is ours and which rules it has."""
COUNTERS = {
    "unprotected": "for destinations that softwires carry, leaving without IPsec",
    "encapsulation_out": "to endpoints, encapsulated without IPsec",
    "encapsulation_in": "from endpoints, encapsulated without IPsec",
    "spoofed": "out of a softwire with a source address that is not its peer's",
    "not_admitted": "IKE, ESP and AH from endpoints without a softwire",
    "bgp_in_clear": "BGP that is to be under IPsec and is not",
    "bgp_from_afar": "BGP with a TTL below 255 from neighbours next to us",
}

Elements: TypeAlias = Mapping[str, frozenset[str]]
"""By set, what it holds, spelled in the one way that ``nft_listing`` spells it too."""

_WORD = {4: "ip", 6: "ip6"}
_ENCAPSULATIONS = "{ 4, 41, 47, 115, 137 }"
_L2TP = 1701
_BGP = 179
_LINK_SCOPE: Mapping[int, tuple[Network, ...]] = {
    4: tuple(map(ip_network, ("169.254.0.0/16", "224.0.0.0/24", "255.255.255.255/32"))),
    6: tuple(map(ip_network, ("fe80::/10", "ff02::/16"))),
}
"""Destinations that no router forwards; a softwire of a default route does not carry them either."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, and what an operator reads about it."""

    text: str
    comment: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order."""

    name: str
    rules: tuple[Rule, ...]
    hook: str | None = None
    """None: other chains jump to it."""
    priority: int = 0

    @property
    def shape(self) -> Shape:
        """What of it can be seen in a listing."""
        return (self.name, self.hook, self.priority, tuple(rule.comment for rule in self.rules))


Shape: TypeAlias = tuple[str, str | None, int, tuple[str, ...]]
"""A chain's name, hook, priority and the comments of its rules."""


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The rules: all that depends neither on the softwires nor on any list in the configuration."""

    sets: Mapping[str, str]
    """Declarations without the name."""
    chains: tuple[Chain, ...]

    @property
    def shape(self) -> frozenset[Shape]:
        """What can be seen of the chains in a listing; the digest in it stands for the rest."""
        return frozenset(chain.shape for chain in (*self.chains, self._signature))

    @property
    def _signature(self) -> Chain:
        digest = hashlib.sha256(repr((self.sets, self.chains)).encode()).hexdigest()[:16]
        return Chain(SIGN, (Rule("return", f"softmesh's own, rules {digest}"),))

    def load(self, counted: Mapping[str, tuple[int, int]]) -> str:
        """The script that puts the table, its sets empty, in place of whatever table has its name, in one transaction.

        ``counted``: packets and octets that counters begin with.
        """
        return f"add table {TABLE}\ndelete table {TABLE}\n{self._declaration(counted)}"

    def exchange(self, chains: Collection[str], sets: Collection[str]) -> str:
        """The script that puts these rules in place of others in a table that has these chains and sets.

        Sets keep what they hold and counters count on. Where the whole table is exchanged, ``load``, a packet may slip
        through between the old rules and the new sets; here none does.
        """
        surplus = [f"delete chain {TABLE} {name}\n" for name in sorted(set(chains) - {each[0] for each in self.shape})]
        surplus += [f"delete set {TABLE} {name}\n" for name in sorted(set(sets) - self.sets.keys())]
        return f"flush table {TABLE}\n{''.join(surplus)}{self._declaration({})}"

    def _declaration(self, counted: Mapping[str, tuple[int, int]]) -> str:
        lines = [f"table {TABLE} {{"]
        lines.append(_comment("softmesh's guards against cleartext; softmesh flush removes them", 1))
        for name, meaning in COUNTERS.items():
            packets, octets = counted.get(name, (0, 0))
            start = f"packets {packets} bytes {octets}\n"
            lines.append(f"\tcounter {name} {{\n\t\t{start}{_comment(meaning, 2)}\n\t}}")
        for name, declaration in self.sets.items():
            kind = "map" if " : " in declaration else "set"
            lines.append(f"\t{kind} {name} {{\n\t\t{declaration}\n\t}}")
        # Bottom up: a jump needs its target.
        for chain in reversed((*self.chains, self._signature)):
            lines.append(f"\tchain {chain.name} {{")
            if chain.hook is not None:
                lines.append(f"\t\ttype filter hook {chain.hook} priority {chain.priority}; policy accept;")
            lines.extend(f'\t\t{rule.text} comment "{rule.comment}"' for rule in chain.rules)
            lines.append("\t}")
        return "\n".join([*lines, "}", ""])


def ruleset(guard: Guard) -> Ruleset:
    """The rules for an endpoint."""
    version = guard.endpoint.version
    address = _type(version)
    interval = "; flags interval"
    # Names go with their type, or a change of the core's family could not be made while the table stands.
    sets = {
        "core_devices": 'type ifname; comment "the endpoints are or were reached through these"',
        "configured_devices": 'type ifname; comment "dataplane.core_devices"',
        f"endpoints{version}": f'type {address}{interval}; comment "where peers may be"',
        f"admitted{version}": f'type {address}; comment "endpoints of softwires"',
        f"labels{version}": f'type {address} : mark; comment "marks of labelled packets by endpoint, for lo"',
        "marks": "type mark",
    }
    for v in (4, 6):
        inner = _type(v)
        sets |= {
            f"destinations{v}": f'type {inner}{interval}; comment "softwires carry or carried these"',
            f"exempt{v}": f'type {inner}{interval}; comment "endpoints, BGP neighbours, ours, link scope"',
            f"sources{v}": f"type ifname . {inner}{interval}",
            f"labelled{v}": f"type mark . {inner}{interval}",
            f"under_ipsec{v}": f'type {inner}; comment "BGP neighbours whose sessions IPsec protects"',
            f"near{v}": f'type {inner}; comment "BGP neighbours next to us"',
        }
    chains = (
        _inner_sources(),
        *_arrivals(guard.endpoint, admitted_only=guard.admitted_only),
        *_departures(guard.endpoint),
        *_sessions(),
    )
    return Ruleset(sets, chains)


def _drop(counter: str) -> str:
    return f"counter name {counter} drop"


def _inner_sources() -> Chain:
    spoofed = _drop("spoofed")
    why = "inner source not the peer's: RFC 5565 section 13.3, RFC 4213 section 3.6"
    rules = [
        Rule(
            f"iifname @{devices} meta ipsec missing {ip} saddr @destinations{v} {ip} saddr != @exempt{v} {spoofed}",
            "from beside a softwire what comes through one: RFC 4301 section 5.2",
        )
        for devices in ("core_devices", "configured_devices")
        for v, ip in _WORD.items()
    ]
    rules += [Rule(f'iifname "sm-*" iifname . {ip} saddr != @sources{v} {spoofed}', why) for v, ip in _WORD.items()]
    rules += [
        Rule(f'iifname "lo" meta mark . {ip} saddr != @labelled{v} meta mark @marks {spoofed}', f"under a label: {why}")
        for v, ip in _WORD.items()
    ]
    rules.append(Rule('iifname "lo" meta mark @marks meta mark set 0', "the mark has done its work"))
    return Chain("inner_sources", tuple(rules), "prerouting", -300)


def _arrivals(ours: Address, *, admitted_only: bool) -> tuple[Chain, ...]:
    core, version = _WORD[ours.version], ours.version
    stranger, refused = f"{core} daddr {ours} {core} saddr != @admitted{version}", _drop("not_admitted")
    hooked = []
    if admitted_only:
        hooked = [
            Rule(f"{stranger} udp dport {{ 500, 4500 }} {refused}", "IKE from admitted endpoints only"),
            Rule(f"{stranger} meta l4proto {{ 50, 51 }} {refused}", "ESP and AH from admitted endpoints only"),
        ]
    unprotected = [
        Rule(f"meta l4proto {_ENCAPSULATIONS} {_drop('encapsulation_in')}", "came in the clear: RFC 4023 section 8.1"),
        *(
            Rule(f"udp {port} {_L2TP} {_drop('encapsulation_in')}", "L2TP came in the clear: RFC 3193 section 4")
            for port in ("sport", "dport")
        ),
    ]
    if core == "ip6":
        # An IPv6 packet under AH shows the protocol behind AH, before it is verified and afterwards.
        behind = "AH is verified next; what it protects comes by once more"
        unprotected.insert(0, Rule("ip6 nexthdr 51 return", behind))
        if admitted_only:
            hooked.append(Rule(f"{stranger} ip6 nexthdr 51 {refused}", "AH from admitted endpoints only"))
    from_peer = f"{core} daddr {ours} {core} saddr @endpoints{version}"
    hooked += [
        Rule(f"{from_peer} meta ipsec missing jump unprotected_arrivals", "from where peers may be, without IPsec"),
        Rule(f"{core} daddr {ours} meta l4proto 137 jump labels_of_peers", "MPLS-in-IP: RFC 4023"),
    ]
    # The route of label 0 or 2 is the kernel's own and leads through lo; the mark keeps whose packet it is.
    labels = (
        Rule("@th,0,20 != { 0, 2 } return", "not an explicit null label: RFC 3032 section 2.1"),
        Rule("meta mark set 0", "whatever marked the outer packet"),
        Rule(f"meta mark set {core} saddr map @labels{version}", "whose packet it is"),
        Rule(f"meta mark 0 {_drop('spoofed')}", "no softwire carries labels from there"),
    )
    return (
        Chain("arrivals", tuple(hooked), "input", -10),
        Chain("unprotected_arrivals", tuple(unprotected)),
        Chain("labels_of_peers", labels),
    )


def _departures(ours: Address) -> tuple[Chain, ...]:
    core, version = _WORD[ours.version], ours.version
    clear = "rt ipsec missing"
    rules = (
        Rule(
            f"{core} saddr {ours} {core} daddr @endpoints{version} {clear} jump unprotected_departures",
            "to where peers may be",
        ),
        Rule(f"oifname @core_devices {clear} jump unprotected_core", "into the core without IPsec"),
        Rule(f"oifname @configured_devices {clear} jump unprotected_core", "into the core without IPsec"),
    )
    encapsulated = [
        Rule(f"meta l4proto {_ENCAPSULATIONS} {_drop('encapsulation_out')}", "RFC 5619 section 4.4.2"),
        *(
            Rule(f"udp {port} {_L2TP} {_drop('encapsulation_out')}", "L2TP: RFC 3193 section 4")
            for port in ("sport", "dport")
        ),
    ]
    if core == "ip6":
        encapsulated.insert(0, Rule("ip6 nexthdr 51 return", "AH protects it; IPv6 shows the protocol behind AH"))
    carried = tuple(
        Rule(
            f"{ip} daddr @destinations{v} {ip} daddr != @exempt{v} {_drop('unprotected')}",
            "only a softwire may carry it: RFC 5619 section 4.4.2",
        )
        for v, ip in _WORD.items()
    )
    # After source NAT, which is the last to choose another route.
    return (
        Chain("departures", rules, "postrouting", 150),
        Chain("unprotected_departures", tuple(encapsulated)),
        Chain("unprotected_core", carried),
    )


def _sessions() -> tuple[Chain, ...]:
    clear, afar = _drop("bgp_in_clear"), _drop("bgp_from_afar")
    unprotected = (
        # As with what is encapsulated: IPv6 shows the protocol behind AH, before it is verified too.
        Rule("ip6 nexthdr 51 return", "AH protects it, or is verified next"),
        *(Rule(f"tcp {port} {_BGP} {clear}", "RFC 5619 section 4.4.1") for port in ("sport", "dport")),
    )
    distant = tuple(Rule(f"tcp {port} {_BGP} {afar}", "GTSM: RFC 5082 section 3") for port in ("sport", "dport"))
    arriving = [
        *(
            Rule(f"{ip} saddr @near{v} {ip} {ttl} < 255 jump distant_bgp", "a router has passed it on")
            for v, ip, ttl in ((4, "ip", "ttl"), (6, "ip6", "hoplimit"))
        ),
        *(
            Rule(f"{ip} saddr @under_ipsec{v} meta ipsec missing jump unprotected_bgp", "from BGP neighbours")
            for v, ip in _WORD.items()
        ),
    ]
    leaving = [
        Rule(f"{ip} daddr @under_ipsec{v} rt ipsec missing jump unprotected_bgp", "to BGP neighbours")
        for v, ip in _WORD.items()
    ]
    return (
        Chain("bgp_arrivals", tuple(arriving), "input", -10),
        Chain("bgp_departures", tuple(leaving), "postrouting", 150),
        Chain("unprotected_bgp", unprotected),
        Chain("distant_bgp", distant),
    )


def elements(guard: Guard, guarded: Guarded, held: Elements) -> Elements:
    """What the sets ought to hold; ``held``: what they hold, for some only grow.

    Their elements in the kernel are the memory of what was protected once, also when the bridge starts anew.

    Raises OperatorError for an interface with a name that nftables has no word for.
    """
    destinations = _by_version(guarded.destinations)
    exempt = _by_version([*guard.endpoints, *guard.local_prefixes, *map(ip_network, guard.outside)])
    sources = {_quoted(name): _by_version(prefixes) for name, prefixes in guarded.sources.items()}
    marks = _marks(guarded.labelled)
    labelled = {marks[remote]: _by_version(prefixes) for remote, prefixes in guarded.labelled.items()}
    version = guard.endpoint.version
    wanted = {
        "core_devices": held.get("core_devices", frozenset()) | set(map(_quoted, guarded.core_devices)),
        "configured_devices": frozenset(map(_quoted, guard.core_devices)),
        f"endpoints{version}": _texts(_collapsed(_by_version(guard.endpoints)[version])),
        f"admitted{version}": frozenset(str(address) for address in guarded.admitted if address.version == version),
        f"labels{version}": frozenset(f"{remote} : {mark}" for remote, mark in marks.items()),
        "marks": frozenset(marks.values()),
    }
    for v in (4, 6):
        name = f"destinations{v}"
        kept = held.get(name, frozenset())
        new = [network for network in destinations[v] if network_text(network) not in kept]
        # nftables refuses intervals that overlap, and to take one out for a larger one would open a gap.
        wanted[name] = kept | _texts(beyond(new, map(ip_network, kept))) if new else kept
        wanted[f"exempt{v}"] = _texts(_collapsed([*exempt[v], *_LINK_SCOPE[v]]))
        for name, neighbors in (("under_ipsec", guard.under_ipsec), ("near", guard.near)):
            wanted[f"{name}{v}"] = frozenset(str(address) for address in neighbors if address.version == v)
        for name, allowed in ((f"sources{v}", sources), (f"labelled{v}", labelled)):
            wanted[name] = frozenset(
                f"{key} . {text}" for key, prefixes in allowed.items() for text in _texts(_collapsed(prefixes[v]))
            )
    return wanted


def change(before: Elements, after: Elements) -> str:
    """The script that turns what sets hold into what they ought to hold; empty where that is the same."""
    lines = []
    for verb, old, new in (("delete", after, before), ("add", before, after)):
        for name in sorted(new):
            differing = new[name] - old.get(name, frozenset())
            if differing:
                lines.append(f"{verb} element {TABLE} {name} {{ {', '.join(sorted(differing))} }}\n")
    return "".join(lines)


def beyond(new: Iterable[Network], held: Iterable[Network]) -> Iterable[Network]:
    """What of new networks lies outside those held, which do not overlap; all are of one family."""
    spans = sorted((int(network.network_address), int(network.broadcast_address)) for network in held)
    firsts = [first for first, _ in spans]
    for network in _collapsed(new):
        at, end = int(network.network_address), int(network.broadcast_address)
        kind = type(network.network_address)
        for first, last in spans[max(bisect_right(firsts, at) - 1, 0) : bisect_right(firsts, end)]:
            if last < at:
                continue
            if first > at:
                yield from summarize_address_range(kind(at), kind(first - 1))
            at = last + 1
        if at <= end:
            yield from summarize_address_range(kind(at), kind(end))


def _marks(remotes: Iterable[Address]) -> Mapping[Address, str]:
    """A mark for each endpoint, the same after every restart; 32 bits, not 0, unlikely to be anybody else's."""
    marks: dict[Address, str] = {}
    taken: set[int] = {0}
    for remote in sorted(remotes, key=lambda address: (address.version, int(address))):
        salt = 0
        while (mark := _mark(remote, salt)) in taken:
            salt += 1
        taken.add(mark)
        marks[remote] = f"0x{mark:08x}"
    return marks


def _mark(remote: Address, salt: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{salt} {remote}".encode(), digest_size=4).digest())


def _type(version: int) -> str:
    return f"ipv{version}_addr"


def _comment(text: str, depth: int) -> str:
    return "\t" * depth + f'comment "{text}"'


def _by_version(networks: Iterable[Network]) -> Mapping[int, list[Network]]:
    parted: dict[int, list[Network]] = {4: [], 6: []}
    for network in networks:
        parted[network.version].append(network)
    return parted


def network_text(network: Network) -> str:
    """A prefix as an element; one of a single address is that address."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _collapsed(networks: Iterable[Network]) -> Iterable[Network]:
    """Networks of one family as few that do not overlap."""
    return collapse_addresses(networks)  # type: ignore[type-var]


def _texts(networks: Iterable[Network]) -> frozenset[str]:
    return frozenset(map(network_text, networks))


def _quoted(device: str) -> str:
    # nft has no escape for a quote, and takes an asterisk at the end for any ending.
    if '"' in device or "*" in device or "\\" in device:
        raise OperatorError(f"interface {device}: nftables cannot name it: rename it, or set dataplane.guards: routes")
    return f'"{device}"'
