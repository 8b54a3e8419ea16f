"""ExaBGP with the Encapsulation SAFI (RFC 5512 §3, AFI/SAFI 1/7 and 2/7), which it does not know of itself.

Run in place of ExaBGP's own command, with the same arguments: the SAFI is entered into ExaBGP's tables, then ExaBGP's
main takes over. ``ipv4 encap`` and ``ipv6 encap`` are families then, and ``route 192.0.2.1/32 safi encap next-hop
192.0.2.1 attribute […]`` announces an endpoint, in the configuration as in the API.

Imports nothing of Softmesh: run by its path, it works under any Python that has an ExaBGP.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

SAFI_NUMBER = 7
SAFI_NAME = "encap"

_AFIS = {"ipv4": 4, "ipv6": 16}
"""Octets of an address."""
# RFC 5512 §3 wants next hops of the AFI; GoBGP has 16 octets in AFI 1 too, where its session is IPv6.
_NEXT_HOPS = {"ipv4": (4, 16, 32), "ipv6": (16, 32)}
_PATH_ID = 4


class UnexpectedExaBgpError(Exception):
    """The ExaBGP of this Python is not built as those that can be given the SAFI."""


def main() -> None:
    """Run ExaBGP with the SAFI; exits as it does, with a line on standard error where that cannot be."""
    try:
        register()
    except UnexpectedExaBgpError as error:
        sys.exit(
            f"softmesh: {_version()} cannot be given SAFI 7 ({error}): use ExaBGP 4.2 or 5.0, or take "
            "ipv4 encap and ipv6 encap out of bgp.families"
        )
    application = import_module("exabgp.application")
    # 4.2 has one main for each of its programs, 5.0 one for all.
    run = getattr(application, "run_exabgp", None) or import_module("exabgp.application.main").main
    sys.exit(run())


def register() -> None:
    """Enter the SAFI into the tables of the ExaBGP of this Python, once.

    Raises UnexpectedExaBgpError.
    """
    try:
        _register()
        _try_out()
    except (ImportError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise UnexpectedExaBgpError(f"{type(error).__name__}: {error}") from error


def _register() -> None:
    family = import_module("exabgp.protocol.family")
    nlri = import_module("exabgp.bgp.message.update.nlri").NLRI
    parse_family = import_module("exabgp.configuration.neighbor.family").ParseFamily
    static = import_module("exabgp.configuration.static")
    safis = family.SAFI
    if SAFI_NUMBER in safis.names:
        raise ValueError("it knows a SAFI 7 already")
    safi = type(safis.unicast)(SAFI_NUMBER)
    safis.common[safi.pack()] = safi
    safis.codes[SAFI_NAME] = safi
    safis.names[SAFI_NUMBER] = SAFI_NAME
    safis.cache[safi] = safi
    for name in _AFIS:
        afi = family.AFI.codes[name]
        family.Family.size[afi, safi] = _NEXT_HOPS[name], 0
        parse_family.convert[name][SAFI_NAME] = afi, safi
        nlri.register(afi, safi)(EncapsulationNlri)
    # A word in a route, after which its NLRI is of this SAFI.
    for section in (static.ParseStaticRoute, static.ParseStatic):
        section.known["safi"] = _parse_safi
        section.action["safi"] = "nlri-set"
        section.assign["safi"] = "safi"


def _parse_safi(tokeniser: Callable[[], str]) -> object:
    word = tokeniser()
    if word != SAFI_NAME:
        raise ValueError(f"{word!r} is no SAFI a route can be given; write {SAFI_NAME}")
    return import_module("exabgp.protocol.family").SAFI.codes[SAFI_NAME]


class EncapsulationNlri:
    """How octets become ExaBGP's own kind of prefix: a length in bits, then the endpoint's address (RFC 5512 §3).

    One whose length is no host's passes, since it can be told where the next one begins: whoever uses it refuses it,
    and it alone (RFC 7606 §5.3). One that does not fit ends the session, as ExaBGP has it in other families.
    """

    @staticmethod
    def unpack_nlri(afi: int, safi: int, octets: bytes, action: object, addpath: object) -> tuple[Any, bytes]:
        """The NLRI that ``octets`` begin with, and what is left of them. Raises ExaBGP's Notify."""
        prefix = octets[_PATH_ID:] if addpath else octets
        if not prefix or prefix[0] > 8 * _AFIS[str(afi)] or len(prefix) <= (prefix[0] + 7) // 8:
            # UPDATE Message Error, Invalid Network Field (RFC 4271 §6.3).
            raise import_module("exabgp.bgp.message.notification").Notify(3, 10, f"{afi} {safi}: the NLRI does not fit")
        inet = import_module("exabgp.bgp.message.update.nlri").INET
        unpacked: tuple[Any, bytes] = inet.unpack_nlri(afi, safi, octets, action, addpath)
        return unpacked


def _try_out() -> None:
    """Take an endpoint through the tables, as an UPDATE would. Raises ValueError where that changes it."""
    family = import_module("exabgp.protocol.family")
    codecs = import_module("exabgp.bgp.message.update.nlri").NLRI.registered_nlri
    for name, size in _AFIS.items():
        octets = bytes((8 * size, *range(1, size + 1)))
        afi, safi = family.AFI.codes[name], family.SAFI.codes[SAFI_NAME]
        nlri, left = codecs[f"{afi}/{safi}"].unpack_nlri(afi, safi, octets, None, False)
        if nlri.pack_nlri() != octets or left or f"{nlri.afi} {nlri.safi}" != f"{name} {SAFI_NAME}":
            raise ValueError(f"{name} {SAFI_NAME} does not survive its tables")


def _version() -> str:
    try:
        return f"ExaBGP {import_module('exabgp.version').version}"
    except (ImportError, AttributeError):
        return "this Python's ExaBGP"


if __name__ == "__main__":
    main()
