"""What of a machine is as a configuration needs it, and the command for what is not. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from softmesh.bgp.codepoints import TunnelType
from softmesh.config import Config
from softmesh.config.values import Guards
from softmesh.control.fabric import fabric_of
from softmesh.dataplane.mtu import inner_mtu
from softmesh.dataplane.route import METRIC
from softmesh.host.facts import Facts
from softmesh.host.finding import Finding, fail, ok, warn
from softmesh.mesh.softwire import InterfaceKind, Level, Network, inside

_RESTART = "systemctl restart strongswan"
_MODULES = {
    (InterfaceKind.IP_IN_IP, 4): "sit",
    (InterfaceKind.IP_IN_IP, 6): "ip6_tunnel",
    (InterfaceKind.GRE, 4): "ip_gre",
    (InterfaceKind.GRE, 6): "ip6_gre",
}
_FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
_STRICT = "1"
_LEAST_MTU, _USUAL_MTU = 1280, 1500
"""Octets: of IPv6 (RFC 8200 §5), and of Ethernet (RFC 894)."""
_IPSEC0_MTU = 1400
"""What kernel-libipsec's interface has."""


def judge(config: Config, facts: Facts) -> tuple[Finding, ...]:
    """Every finding, in the order in which they are best mended."""
    return (
        *_programs(facts),
        *_user(config, facts),
        *_charon(config, facts),
        *_ports(facts),
        *_kernel(config, facts),
        *_guards(config, facts),
        *_addresses(config, facts),
        *_libipsec(config, facts),
        *_forwarding(config, facts),
        *_reverse_path(config, facts),
        *_neighbors(config, facts),
        *_mtu(config, facts),
        *_routes(config, facts),
        *_service(facts),
    )


def tunnel_types(config: Config) -> frozenset[TunnelType]:
    """What peers may send to us, and what is configured; what we might send into depends on the peers."""
    announced = {tunnel.type for tunnel in config.announce.tunnels}
    return frozenset(announced | {wire.tunnel for wire in config.softwires}) - {TunnelType.TRANSMIT_TUNNEL_ENDPOINT}


def _programs(facts: Facts) -> Iterator[Finding]:
    packages = {"nft": "nftables", "setpriv": "util-linux", "ip": "iproute2"}
    for name in facts.missing:
        install = f"apt-get install {packages[name]}" if name in packages else "correct bgp.exabgp, or remove it"
        yield fail(name, "this program is not installed", install)
    if facts.exabgp:
        yield ok("ExaBGP", f"{facts.exabgp}, managed")


def _user(config: Config, facts: Facts) -> Iterator[Finding]:
    user = facts.user
    if user.net_admin:
        yield ok("privileges", f"the bridge runs as {user.name}, with CAP_NET_ADMIN")
    elif user.net_admin is False:
        why = f"the bridge runs as {user.name} without CAP_NET_ADMIN: no guards, routes and interfaces"
        yield fail("privileges", why, "run it by the unit (systemctl start softmesh), or as root")
    if facts.unit is not None and facts.unit.user != user.name:
        why = f"softmesh.service runs as {facts.unit.user}, and the file's directory is {user.name}'s"
        yield warn("user", why, f"chown -R {facts.unit.user}: the directory, if it is the file of the service")
    if facts.directory is None:
        return
    owner, mode = facts.directory
    path = shlex.quote(str(config.sockets.directory))
    if owner != user.uid:
        yield fail("sockets.directory", f"{path} is not {user.name}'s", f"chown -R {user.name}: {path}")
    elif mode & 0o077:
        yield fail("sockets.directory", f"{path} is open to others (mode {mode:04o})", f"chmod 700 {path}")


def _charon(config: Config, facts: Facts) -> Iterator[Finding]:
    if facts.charon is None:
        remedy = "systemctl start strongswan"
        if "Permission denied" in facts.silence:
            remedy = f"cp strongswan/softmesh-user.conf /etc/strongswan.d/ && {_RESTART}"
            if facts.settings_installed:
                remedy = _RESTART
        yield fail("charon", facts.silence, remedy)
        return
    charon = facts.charon
    esp = "kernel-libipsec's" if charon.kernel_libipsec else "the kernel's"
    yield ok("charon", f"{charon.version} answers {facts.user.name} on {config.charon.vici}; ESP is {esp}")
    needed = {"socket-default", "pem", "pkcs8", "pubkey"}
    if config.announces_authenticator is False or config.identity.certificate is not None:
        needed |= {"x509", "constraints"}
    if not charon.kernel_libipsec:
        needed.add("kernel-netlink")
    for plugin in sorted(needed - charon.plugins):
        yield fail(f"charon's plugin {plugin}", "not loaded", _load(plugin))
    if not facts.settings_installed:
        why = "/etc/strongswan.d has no softmesh.conf, with what a mesh needs of charon"
        yield warn("charon's settings", why, f"cp strongswan/softmesh.conf /etc/strongswan.d/ && {_RESTART}")


def _load(plugin: str) -> str:
    return f"sed -i 's/load = no/load = yes/' /etc/strongswan.d/charon/{plugin}.conf && {_RESTART}"


def _ports(facts: Facts) -> Iterator[Finding]:
    for port in (500, 4500):
        listeners = [each for each in facts.listeners if each.port == port]
        # One may have the port of IPv4, and another that of IPv6.
        foreign = {each.pid: each for each in listeners if each.program and not each.program.startswith("charon")}
        for pid, other in foreign.items():
            why = f"{other.program} (process {pid}) has it, so charon cannot"
            yield fail(f"UDP port {port}", why, f"kill {pid} && {_RESTART}")
        if foreign or facts.charon is None:
            continue
        if listeners:
            yield ok(f"UDP port {port}", "charon's")
        else:
            yield warn(f"UDP port {port}", "nobody listens there, charon is configured for another", _RESTART)


def _kernel(config: Config, facts: Facts) -> Iterator[Finding]:
    if facts.kernel is None:
        yield fail("kernel", facts.kernel_problem, "ask as root: sudo softmesh check --host")
        return
    if facts.charon is None:
        return
    types = tunnel_types(config)
    fabric = fabric_of(config.dataplane, facts.kernel, facts.charon)
    if TunnelType.IPSEC_TUNNEL in types and TunnelType.IPSEC_TUNNEL not in fabric.unable:
        yield ok("data plane", fabric.reason)
    for kind in sorted(types & fabric.unable.keys(), key=lambda kind: kind.value):
        yield fail(kind.label, fabric.unable[kind], _mend_type(facts))
    locked = facts.sysctls.get("kernel.modules_disabled") == _STRICT
    if facts.charon.kernel_libipsec:
        return
    levels = {config.protection.default, *(rule.level for rule in config.protection.rules)}
    for transform in {"ah" if level is Level.AH else "esp" for level in levels}:
        version = config.endpoint.version
        if why := facts.transforms.get(transform):
            load = f"modprobe {transform}{version}" if transform == "ah" else _load("kernel-libipsec")
            yield fail(f"kernel's {transform.upper()}", why, _at_boot(load, locked=locked))
        else:
            yield ok(f"kernel's {transform.upper()}", f"there over IPv{version}")
    for interface in _interfaces(config):
        which = (interface, config.endpoint.version)
        if why := facts.unkind.get(which):
            yield fail(f"kernel's {_MODULES[which]}", why, _at_boot(f"modprobe {_MODULES[which]}", locked=locked))


def _interfaces(config: Config) -> Iterator[InterfaceKind]:
    types = tunnel_types(config)
    if config.dataplane.interfaces:
        if types & {TunnelType.IP_IN_IP_IPSEC_TRANSPORT, TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT}:
            yield InterfaceKind.IP_IN_IP
        if TunnelType.GRE in types:
            yield InterfaceKind.GRE


def _mend_type(facts: Facts) -> str:
    if facts.charon is not None and facts.charon.kernel_libipsec:
        unload = "sed -i 's/load = yes/load = no/' /etc/strongswan.d/charon/kernel-libipsec.conf"
        return f"{unload} && {_RESTART}, where the kernel has ESP; or announce and configure type 4 alone"
    return "modprobe -a xfrm_interface mpls_router mpls_iptunnel"


def _at_boot(command: str, *, locked: bool) -> str:
    if not locked:
        return command
    return f"kernel.modules_disabled is 1: load it at boot, by a line in /etc/modules ({command})"


def _guards(config: Config, facts: Facts) -> Iterator[Finding]:
    if config.dataplane.guards is not Guards.FULL:
        return
    problem = facts.firewall.problem
    if facts.firewall.table is not None and not facts.firewall.table.ours:
        remedy = "nft delete table inet softmesh"
        yield fail("guards", "the nftables table inet softmesh was not made by softmesh", remedy)
    elif not problem or "No such file" in problem:
        yield ok("guards", "nftables is there")
    elif "nft" not in facts.missing:
        yield fail("guards", problem, "apt-get install nftables, or set dataplane.guards: routes")


def _addresses(config: Config, facts: Facts) -> Iterator[Finding]:
    wanted = {"endpoint": config.endpoint, "bgp.local_address": config.local_address}
    device = next((path.device for path in facts.paths.values()), "DEVICE")
    seen = set()
    for key, address in wanted.items():
        if address in seen:
            continue
        seen.add(address)
        if address in facts.addresses:
            yield ok(key, f"{address} is this machine's")
        else:
            remedy = f"ip address add {address}/{address.max_prefixlen} dev {device}"
            yield fail(key, f"{address} is no address of this machine", remedy)


def _libipsec(config: Config, facts: Facts) -> Iterator[Finding]:
    if facts.charon is None or not facts.charon.kernel_libipsec:
        return
    for prefix in config.announce.prefixes:
        if not any(address in prefix for address in facts.addresses if address.version == prefix.version):
            first = prefix[1] if prefix.num_addresses > 1 else prefix[0]
            why = "kernel-libipsec needs an address of this machine inside it, or its CHILD SAs fail"
            yield fail(f"prefix {prefix}", why, f"ip address add {first}/{prefix.max_prefixlen} dev lo")


def _forwarding(config: Config, facts: Facts) -> Iterator[Finding]:
    for version in sorted({prefix.version for prefix in config.announce.prefixes}):
        name = _FORWARDING[version]
        value = facts.sysctls.get(name)
        if value == "0":
            why = f"{name} is 0: nothing goes between island and softwires"
            yield fail(f"forwarding of IPv{version}", why, f"sysctl -w {name}=1")
        elif value is not None:
            yield ok(f"forwarding of IPv{version}", f"{name} is {value}")


def _reverse_path(config: Config, facts: Facts) -> Iterator[Finding]:
    if TunnelType.MPLS_IN_IP_IPSEC_TRANSPORT not in tunnel_types(config):
        return
    names = [f"net.ipv4.conf.{where}.rp_filter" for where in ("all", "lo")]
    # The larger counts.
    if max(facts.sysctls.get(name, "0") for name in names) == _STRICT:
        why = "strict: what comes under label 0 is looked at as coming from lo, and dropped"
        yield fail("rp_filter", why, " && ".join(f"sysctl -w {name}=2" for name in names))


def _neighbors(config: Config, facts: Facts) -> Iterator[Finding]:
    for neighbor in config.bgp.neighbors:
        path = facts.paths.get(neighbor.address)
        what = f"neighbour {neighbor.address}"
        if path is None:
            yield fail(what, "there is no route to it", f"ip route add {neighbor.address} via GATEWAY")
        elif path.device.startswith(("sm-", "ipsec")):
            why = f"it would be reached through the softwire {path.device}, which needs it to come up"
            yield fail(what, why, f"ip route add {neighbor.address} via GATEWAY")
        else:
            yield ok(what, f"by {path.device}, packets up to {path.mtu} octets")


def _mtu(config: Config, facts: Facts) -> Iterator[Finding]:
    least = min(facts.paths.values(), key=lambda path: path.mtu, default=None)
    if least is None:
        return
    core = config.dataplane.core_mtu or least.mtu
    in_udp = facts.charon is not None and facts.charon.kernel_libipsec
    largest = _inner(config, core, in_udp=in_udp)
    # The sum is never below what IPv6 needs: a smaller core gives the same.
    if largest == _inner(config, core - 16, in_udp=in_udp):
        need = next(mtu for mtu in range(_LEAST_MTU, 2048) if _inner(config, mtu, in_udp=in_udp) > largest)
        why = (
            f"the core carries {core} octets by {least.device}, of the {need} needed: large packets leave in fragments"
        )
        yield warn("MTU", why, f"ip link set {least.device} mtu {max(_USUAL_MTU, need)}")
    else:
        left = min(largest, _IPSEC0_MTU) if in_udp else largest
        yield ok("MTU", f"of {core} octets in the core {left} are left for packets in softwires")


def _inner(config: Config, core: int, *, in_udp: bool) -> int:
    over, proposals = config.endpoint.version, config.charon.esp_proposals
    return inner_mtu(core, InterfaceKind.XFRM, over, Level.ENCRYPT, proposals, encapsulated_in_udp=in_udp)


def _routes(config: Config, facts: Facts) -> Iterator[Finding]:
    for route in facts.routes:
        if not _passes_by(config, route.prefix):
            continue
        what = f"route to {route.prefix}"
        where = "nowhere" if route.blackhole else f"to {route.device}"
        if route.metric == METRIC:
            yield fail(what, f"somebody's, with metric {METRIC}, which ours are to have", route.command)
        else:
            why = f"somebody's: packets that it is for go {where} instead of into a softwire"
            yield warn(what, why, route.command)


def _passes_by(config: Config, prefix: Network) -> bool:
    """Whether a route takes away what peers may bring."""
    admitted = any(inside(prefix, outer) for outer in config.admission.prefixes)
    ours = any(inside(prefix, outer) for outer in (*config.announce.prefixes, *config.admission.endpoints))
    return admitted and not ours


def _service(facts: Facts) -> Iterator[Finding]:
    if not facts.systemd:
        return
    unit = facts.unit
    if unit is None:
        remedy = "install the unit (docs/install.md), then systemctl enable --now softmesh"
        yield warn("service", "systemd has no unit softmesh.service: nobody starts the bridge", remedy)
        return
    if unit.active == "failed":
        yield fail("service", "softmesh.service has failed", "journalctl -u softmesh; systemctl restart softmesh")
    elif unit.active != "active":
        yield warn("service", f"softmesh.service is {unit.active}", "systemctl start softmesh")
    elif unit.enabled:
        yield ok("service", "softmesh.service is active, and enabled")
    if not unit.enabled:
        yield warn("service", "softmesh.service is not started at boot", "systemctl enable softmesh")
