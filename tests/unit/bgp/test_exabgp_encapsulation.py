"""The Encapsulation SAFI (RFC 5512 §3) in an ExaBGP that does not know it: with the real one of this environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.speaker import message, reach, unreach
from softmesh.bgp import exabgp_encapsulation
from softmesh.bgp.announcement import Announcement, announce_command
from softmesh.bgp.exabgp_json import UpdateReceived, parse_line
from softmesh.bgp.route import Family, RouteKey

V4, V6 = bytes.fromhex("20 c0000205"), bytes.fromhex("80 20010db8000000000000000000000005")
UPDATE = 2


def exabgp(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """ExaBGP's own command with the SAFI."""
    argv = [sys.executable, "-m", exabgp_encapsulation.__name__, *arguments]
    return subprocess.run(argv, capture_output=True, check=False, timeout=60)


def decoded(body: bytes, family: Family) -> UpdateReceived:
    """What we make of what ExaBGP prints of an UPDATE."""
    done = exabgp("decode", "-f", family.value, message(UPDATE, body).hex())
    event = parse_line(done.stdout.strip())
    assert isinstance(event, UpdateReceived), (event, done)
    return event


def test_endpoints_are_received() -> None:
    event = decoded(reach(1, V4 + bytes.fromhex("20 c0000206")), Family.IPV4_ENCAPSULATION)
    assert event.announced == tuple(
        (RouteKey("127.0.0.1", Family.IPV4_ENCAPSULATION, f"192.0.2.{last}/32"), "192.0.2.2") for last in (5, 6)
    )
    event = decoded(reach(2, V6), Family.IPV6_ENCAPSULATION)
    key = RouteKey("127.0.0.1", Family.IPV6_ENCAPSULATION, "2001:db8::5/128")
    assert event.announced == ((key, "2001:db8::2"),)
    assert decoded(unreach(2, V6), Family.IPV6_ENCAPSULATION).withdrawn == (key,)


@pytest.mark.parametrize("endpoint", ["192.0.2.1", "2001:db8::1"])
def test_our_announcement_is_a_route_to_its_parser(endpoint: str, tmp_path: Path) -> None:
    length = 128 if ":" in endpoint else 32
    announcement = Announcement(
        f"{endpoint}/{length}", endpoint, b"\0\4\0\0", (0x030C000000000004,), encapsulation=True
    )
    command = announce_command(announcement).removeprefix("announce ")
    configuration = tmp_path / "exabgp.conf"
    configuration.write_text(
        "neighbor 127.0.0.1 { router-id 10.0.0.1; local-address 127.0.0.2; local-as 65000; peer-as 65000;\n"
        "family { ipv4 encap; ipv6 encap; }\n"
        # What "validate" calls a round trip adds the partial bit.
        f"static {{ {command.replace('0xc0', '0xe0')}; }} }}\n"
    )
    done = exabgp("validate", "-n", "-r", str(configuration))
    assert done.returncode == 0, done.stdout + done.stderr
    configuration.write_text(configuration.read_text().replace("safi encap", "safi unicast"))
    assert exabgp("validate", "-n", "-r", str(configuration)).returncode != 0


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="none"),
        pytest.param({"version.py": "version = '9.9'"}, id="rearranged"),
        pytest.param(
            {
                "version.py": "version = '9.9'",
                "protocol/family.py": "class SAFI:\n    names = {7: 'encapsulation'}\n",
                "bgp/message/update/nlri.py": "NLRI = None",
                "configuration/neighbor/family.py": "ParseFamily = None",
                "configuration/static.py": "ParseStatic = ParseStaticRoute = None",
            },
            id="with a SAFI 7 of its own",
        ),
    ],
)
def test_an_exabgp_that_cannot_be_given_it_is_one_line(files: dict[str, str], tmp_path: Path) -> None:
    """As an operator's of another Python, by path; no such ExaBGP exists, so it is made up."""
    for name, text in {"__init__.py": "", **files}.items():
        file = tmp_path / "exabgp" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    argv = [sys.executable, exabgp_encapsulation.__file__, "exabgp.conf"]
    done = subprocess.run(
        argv, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("softmesh: ")
    assert "bgp.families" in done.stderr
    assert ("9.9" in done.stderr) == bool(files)
    assert done.stderr.count("\n") == 1
