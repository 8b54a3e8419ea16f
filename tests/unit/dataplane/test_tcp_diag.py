"""The kernel's account of TCP sockets: as octets here, from a kernel in tests/lab."""

from __future__ import annotations

import pickle
import socket
import struct
from dataclasses import asdict, astuple
from ipaddress import ip_address

import pytest

from softmesh.dataplane.tcp_diag import TcpSession, established, read, request
from softmesh.errors import PeerError

SECRET = b"Zq7!xW9#kV2$uY4%"
MARK, MD5SIG, CONGESTION = 15, 18, 4
ADDRESSES = {socket.AF_INET: ("192.0.2.1", "192.0.2.254"), socket.AF_INET6: ("2001:db8:f::1", "2001:db8:f::fe")}


def attribute(kind: int, value: bytes) -> bytes:
    padded = value + bytes(-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + padded


def key(address: str, length: int | None = None, secret: bytes = SECRET) -> bytes:
    """struct tcp_diag_md5sig."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    octets = socket.inet_pton(family, address)
    whole = len(octets) * 8 if length is None else length
    return struct.pack("=BBH16s80s", family, whole, len(secret), octets, secret)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 4711) + body


def connection(family: int, *attributes: bytes, ends: tuple[str, str] | None = None) -> bytes:
    """A message of the kernel's about an established connection."""
    local, remote = (socket.inet_pton(family, end) for end in ends or ADDRESSES[socket.AddressFamily(family)])
    body = struct.pack("!BBBBHH16s16s", family, 1, 0, 0, 40000, 179, local, remote)
    return message(20, body.ljust(72, b"\1") + b"".join(attributes))


DONE = message(3, bytes(4))


def only(datagram: bytes) -> TcpSession:
    (session,), _ = read(memoryview(datagram))
    return session


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_ends_and_whether_there_is_a_key(family: int) -> None:
    local, remote = map(ip_address, ADDRESSES[socket.AddressFamily(family)])
    mark, noise = attribute(MARK, bytes(4)), attribute(CONGESTION, b"bbr\0")
    signed = connection(family, noise, mark, attribute(MD5SIG, key(str(remote))))
    assert only(signed) == TcpSession(local, remote, md5=True)
    assert only(connection(family, noise, mark)) == TcpSession(local, remote, md5=False)
    assert only(connection(family, noise)) == TcpSession(local, remote, md5=None), "not told to us"


@pytest.mark.parametrize(
    ("keys", "covered"),
    [
        ([key("192.0.2.254")], True),
        ([key("192.0.2.7")], False),
        ([key("192.0.2.7"), key("192.0.2.254")], True),
        ([key("192.0.2.0", 24)], True),
        ([key("255.255.255.255", 0)], True),
        ([key("::", 0)], False),
        ([key("192.0.2.254", secret=b"")], False),
    ],
)
def test_a_key_counts_for_those_it_is_for(keys: list[bytes], covered: bool) -> None:
    assert only(connection(socket.AF_INET, attribute(MD5SIG, b"".join(keys)))).md5 is covered


def test_a_mapped_address_is_that_which_it_maps() -> None:
    mapped = connection(
        socket.AF_INET6, attribute(MD5SIG, key("192.0.2.254")), ends=("::ffff:192.0.2.1", "::ffff:192.0.2.254")
    )
    assert only(mapped) == TcpSession(ip_address("192.0.2.1"), ip_address("192.0.2.254"), md5=True)


def test_nothing_of_the_key_is_kept() -> None:
    session = only(connection(socket.AF_INET, attribute(MD5SIG, key("192.0.2.254"))))
    assert session.md5
    for form in (repr(session), str(astuple(session)), str(asdict(session)), pickle.dumps(session)):
        octets = form if isinstance(form, bytes) else form.encode()
        for length in range(4, len(SECRET) + 1):
            assert not any(SECRET[at : at + length] in octets for at in range(len(SECRET) - length + 1))


def test_nothing_of_the_key_is_in_an_error() -> None:
    broken = connection(socket.AF_INET, attribute(MD5SIG, key("192.0.2.254", 77)))
    with pytest.raises(PeerError) as caught:
        read(memoryview(broken))
    assert SECRET.decode() not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_answer_ends_with_its_last_datagram() -> None:
    first = connection(socket.AF_INET) + connection(socket.AF_INET)
    assert [len(read(memoryview(octets))[0]) for octets in (first, DONE)] == [2, 0]
    assert [read(memoryview(octets))[1] for octets in (first, DONE, first + DONE)] == [True, False, False]


def test_a_refusal_is_the_kernels_error() -> None:
    with pytest.raises(FileNotFoundError):
        read(memoryview(message(2, struct.pack("=i", -2) + bytes(16))))


@pytest.mark.parametrize("cut", [17, 20, 60, 80, 87])
def test_what_is_cut_short_makes_no_sense(cut: int) -> None:
    whole = connection(socket.AF_INET, attribute(MARK, bytes(4)), attribute(MD5SIG, key("192.0.2.254")))
    with pytest.raises(PeerError, match="makes no sense"):
        read(memoryview(whole[:cut]))
    relabelled = struct.pack("=I", cut) + whole[4:cut]
    try:
        sessions, _ = read(memoryview(relabelled))
    except PeerError:
        return
    assert [session.md5 for session in sessions] != [True], "what was not seen does not count"


def test_the_request_asks_for_established_connections_with_the_port() -> None:
    octets = request(socket.AF_INET6, 179)
    assert struct.unpack_from("=IHH", octets) == (len(octets), 20, 0x301)
    family, protocol, extensions, states = struct.unpack_from("=BBBxI", octets, 16)
    assert (family, protocol, extensions, states) == (socket.AF_INET6, socket.IPPROTO_TCP, 2, 2)
    assert octets.count(struct.pack("=BBH", 0, 0, 179)) == 4


@pytest.mark.parametrize(
    ("source", "destination", "accepted"),
    [(179, 40000, True), (40000, 179, True), (179, 179, True), (178, 180, False), (180, 178, False), (1, 2, False)],
)
def test_the_filter_as_the_kernel_runs_it(source: int, destination: int, accepted: bool) -> None:
    octets = request(socket.AF_INET, 179)[72 + 4 :]
    at = 0
    while at < len(octets):
        code, yes, no = struct.unpack_from("=BBH", octets, at)
        (port,) = struct.unpack_from("=2xH", octets, at + 4) if at + 8 <= len(octets) else (0,)
        held = {1: False, 2: source >= port, 3: source <= port, 4: destination >= port, 5: destination <= port}[code]
        at += yes if held else no
    assert (at == len(octets)) is accepted


async def test_this_machines_kernel_answers() -> None:
    """With no BGP here there is nothing to find; a connection that has no key is found in tests/lab."""
    assert all(isinstance(session, TcpSession) for session in await established())
