from __future__ import annotations

import base64
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from softmesh.bgp import exabgp_encapsulation
from softmesh.bgp.exabgp_process import ExaBgpNeighbor, ExaBgpSettings, ManagedExaBgp, render
from softmesh.bgp.route import Family
from softmesh.errors import OperatorError

SETTINGS = ExaBgpSettings(
    router_id="10.255.0.1",
    local_address="2001:db8:f::1",
    local_as=65000,
    neighbors=(ExaBgpNeighbor("2001:db8:f::fe", 65000, "change me"),),
    hook_command=("/usr/bin/softmesh", "hook", "--socket", "/run/softmesh/hook.sock", "--stale-time", "300"),
)
V4_SETTINGS = replace(
    SETTINGS,
    local_address="172.31.0.1",
    neighbors=(ExaBgpNeighbor("172.31.0.254", 65000),),
    graceful_restart=0,
)


def statements(text: str) -> list[str]:
    """A configuration without comments, quotes, layout and the password, which operators write as it is."""
    text = re.sub(r"#.*", "", text)
    return re.sub(r'md5-base64 true;|md5-password "[^"]*";', "", text).replace('"', "").split()


def test_four_over_six_is_the_file_we_ship_for_operators() -> None:
    assert statements(render(SETTINGS)) == statements(Path("exabgp/softmesh.conf").read_text())


def test_six_over_four_has_no_extended_next_hops() -> None:
    text = render(V4_SETTINGS)
    assert "nexthop" not in text
    assert "graceful-restart" not in text
    assert "md5-password" not in text
    assert "neighbor 172.31.0.254 {" in text


def test_the_next_hop_decides_over_extended_next_hops_and_not_the_session() -> None:
    assert "nexthop enable;" in render(replace(V4_SETTINGS, next_hop="2001:db8:f::1"))
    assert "nexthop" not in render(replace(SETTINGS, next_hop="172.31.0.1"))


def test_several_paths_are_asked_for_only_if_told_so() -> None:
    assert "add-path" not in render(SETTINGS)
    assert "add-path receive;" in render(replace(SETTINGS, add_path=True))


def test_a_single_family_is_all_that_is_negotiated() -> None:
    text = render(replace(SETTINGS, families=(Family.IPV6_UNICAST,)))
    assert "ipv4 unicast" not in text
    assert "nexthop" not in text


@pytest.mark.parametrize(
    "password",
    ["", "x" * 81, "\u00e9" * 41],
)
def test_a_password_tcp_md5_cannot_take_is_an_error_that_does_not_show_it(password: str) -> None:
    with pytest.raises(OperatorError) as caught:
        render(replace(SETTINGS, neighbors=(ExaBgpNeighbor("2001:db8:f::fe", 65000, password),)))
    said = str(caught.value)
    assert "password of 2001:db8:f::fe" in said
    assert "\n" not in said
    assert not password or password not in said


@pytest.mark.parametrize(
    "password", ["a; b } # c", "x" * 80, " lead ", "[(,)]", 'quo"te', "line\nbreak", "back\\slash", "\u00e9"]
)
def test_a_password_is_written_so_that_no_parser_can_mangle_it(password: str) -> None:
    text = render(replace(SETTINGS, neighbors=(ExaBgpNeighbor("2001:db8:f::fe", 65000, password),)))
    encoded = base64.b64encode(password.encode()).decode()
    assert f'md5-base64 true;\n    md5-password "{encoded}";\n' in text


def test_gtsm_sends_with_the_most_and_takes_nothing_less() -> None:
    (neighbor, *_) = SETTINGS.neighbors
    text = render(replace(SETTINGS, neighbors=(replace(neighbor, gtsm=True),)))
    assert "    outgoing-ttl 255;\n    incoming-ttl 255;\n" in text
    assert "ttl" not in render(SETTINGS)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"router_id": "2001:db8::1"}, "bgp.router_id"),
        ({"router_id": "10.0.0.1; }"}, "bgp.router_id"),
        ({"local_address": "fe80::1%eth0"}, "bgp.local_address"),
        ({"local_address": "10.0.0.1"}, "another family"),
        ({"neighbors": ()}, "bgp.neighbors"),
        ({"neighbors": (ExaBgpNeighbor("rr.example", 65000),)}, "rr.example"),
        ({"neighbors": (ExaBgpNeighbor("2001:db8:f::fe", 0),)}, "asn of 2001:db8:f::fe"),
        ({"families": ()}, "bgp.families"),
        ({"local_as": 1 << 32}, "bgp.asn"),
        ({"hold_time": 2}, "bgp.hold_time"),
        ({"graceful_restart": 4096}, "bgp.graceful_restart"),
        ({"hook_command": ("/opt/it's/softmesh",)}, "hook command"),
        ({"hook_command": ("/opt/a\nb",)}, "hook command"),
    ],
)
def test_values_exabgp_cannot_be_given_are_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(OperatorError, match=re.escape(named)) as caught:
        render(replace(SETTINGS, **change))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_no_secret_in_argv_environment_or_representation(tmp_path: Path) -> None:
    managed = ManagedExaBgp(SETTINGS, tmp_path, on_log=print, on_end=print)
    assert "change me" not in " ".join(managed.argv())
    assert "change me" not in str(managed.environment({"PATH": "/bin"}))
    assert "change me" not in repr(SETTINGS)


def test_environment_of_another_exabgp_is_not_inherited(tmp_path: Path) -> None:
    managed = ManagedExaBgp(SETTINGS, tmp_path, on_log=print, on_end=print)
    environment = managed.environment({"exabgp.tcp.bind": "::", "EXABGP_ETC": "/x", "exabgp_cli_pipe": "/y", "A": "b"})
    assert environment["exabgp.tcp.bind"] == ""
    assert environment["A"] == "b"
    assert not {"EXABGP_ETC", "exabgp_cli_pipe"} & set(environment)


ENCAPSULATING = replace(SETTINGS, families=(Family.IPV4_UNICAST, Family.IPV6_ENCAPSULATION))


def test_the_encapsulation_safi_is_given_to_the_exabgp_of_this_python(tmp_path: Path) -> None:
    managed = ManagedExaBgp(ENCAPSULATING, tmp_path, on_log=print, on_end=print)
    assert managed.argv()[-4:-1] == [sys.executable, "-m", "softmesh.bgp.exabgp_encapsulation"]
    assert "    ipv6 encap;\n" in render(ENCAPSULATING)
    assert ManagedExaBgp(SETTINGS, tmp_path, on_log=print, on_end=print).argv()[-2] == "exabgp"


@pytest.mark.parametrize("first", ["#!/usr/bin/python3", "#! /opt/exa/bin/python3.11 -I", "#!/usr/bin/env python3"])
def test_or_to_that_of_an_operator_by_the_python_of_its_program(first: str, tmp_path: Path) -> None:
    program = tmp_path / "exabgp"
    program.write_text(f"{first}\nimport exabgp\n")
    program.chmod(0o755)
    managed = ManagedExaBgp(ENCAPSULATING, tmp_path, on_log=print, on_end=print, program=str(program))
    words = first.removeprefix("#!").split()
    assert managed.argv()[-2 - len(words) : -1] == [*words, exabgp_encapsulation.__file__]


@pytest.mark.parametrize("first", [b"#!/bin/sh", b"\x7fELF\xff", b""])
def test_a_program_that_names_no_python_cannot_be_given_it(first: bytes, tmp_path: Path) -> None:
    program = tmp_path / "exabgp"
    program.write_bytes(first + b"\n")
    program.chmod(0o755)
    managed = ManagedExaBgp(ENCAPSULATING, tmp_path, on_log=print, on_end=print, program=str(program))
    with pytest.raises(OperatorError, match=r"bgp\.exabgp.*bgp\.families"):
        managed.argv()


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    managed = ManagedExaBgp(SETTINGS, tmp_path / "run", on_log=print, on_end=print, program="/nonexistent/exabgp")
    with pytest.raises(OperatorError, match="/nonexistent/exabgp"):
        await managed.run()
