from __future__ import annotations

from softmesh.charon import ability
from softmesh.charon.ability import Ability
from softmesh.charon.packet import Section

VERSION: Section = {"daemon": b"charon-systemd", "version": b"5.9.8", "sysname": b"Linux", "release": b"6.1.176"}
"""Recorded, shortened, as are the others."""
STATS: Section = {
    "uptime": {"running": b"1 second"},
    "plugins": [b"charon-systemd", b"openssl", b"kernel-netlink", b"vici"],
}
ALGORITHMS: Section = {
    "encryption": {"AES_CBC": b"openssl"},
    "dh": {"MODP_2048": b"openssl", "CURVE_25519": b"openssl"},
}

PLUGINS = frozenset({"charon-systemd", "openssl", "kernel-netlink", "vici"})


def test_charon_5_9_8_has_no_ml_kem() -> None:
    assert ability.of(VERSION, STATS, ALGORITHMS) == Ability(
        "5.9.8", kernel_libipsec=False, ml_kem=False, plugins=PLUGINS
    )


def test_charon_6_1_0_has_it() -> None:
    algorithms: Section = {"ke": {"CURVE_25519": b"openssl", "ML_KEM_768": b"openssl"}}
    assert ability.of({**VERSION, "version": b"6.1.0"}, STATS, algorithms).ml_kem


def test_esp_in_user_space_is_a_plugin() -> None:
    assert ability.of(VERSION, {"plugins": [b"kernel-libipsec", b"kernel-netlink"]}, ALGORITHMS).kernel_libipsec


def test_what_is_not_told_is_not_there() -> None:
    assert ability.of({}, {"plugins": b"kernel-libipsec"}, {"ke": b"ML_KEM_768"}) == Ability("", False, False)
