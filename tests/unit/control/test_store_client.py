"""A key store that is asked over real sockets: what it gives, and how little it can do when it gives something else."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from lab.authority import Authority
from lab.eventually import until
from softmesh.bgp.codepoints import TunnelType
from softmesh.config.values import KeySource
from softmesh.control.key_stores import KeyStores
from softmesh.mesh.key_store import MAX_OCTETS, StoreKeys
from softmesh.mesh.selection import Offer
from tests.unit.mesh.routes import hash_of, spki

HASH = hash_of("peer")
OFFER = Offer(TunnelType.IPSEC_TUNNEL, ip_address("2001:db8:f::2"), None, (HASH,), (), "a test")
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


class Store:
    """A server on the loopback that answers every request with ``behave``."""

    def __init__(self) -> None:
        self.behave: Callable[[asyncio.StreamWriter], Awaitable[None]] = self.gives(spki("peer"))
        self.requests: list[str] = []
        self.open = 0
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/keys/{{sha1}}"

    @staticmethod
    def gives(content: bytes, head: bytes = OK) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(head + content)
            await writer.drain()

        return answer

    @staticmethod
    def drips(head: bytes, drop: bytes, every: float) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(head)
            while True:
                writer.write(drop)
                await writer.drain()
                await asyncio.sleep(every)

        return answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await self.behave(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def listening(store: Store, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    server = await asyncio.start_server(store.serve, "127.0.0.1", store.port, ssl=tls)
    store.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()


class Asker:
    """The stores of one bridge."""

    def __init__(self, directory: Path) -> None:
        self.problems: dict[str, str] = {}
        self.found = 0
        self.stores = KeyStores(directory / "keys", on_found=self._on_found, report=self.problems.__setitem__)

    def _on_found(self) -> None:
        self.found += 1

    def ask(self, store: Store, *, timeout: float = 0.3, ca_file: Path | None = None) -> StoreKeys:
        """Configure one store, and want the peer's key."""
        keys = self.stores.configure([KeySource(url=store.url, timeout=timeout, ca_file=ca_file)])[store.url]
        keys.keys_for(OFFER)
        return keys

    def problem(self, store: Store) -> str:
        return self.problems.get(f"keys {store.url}", "")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.stores.run())
        try:
            yield
        finally:
            task.cancel()
            began = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 1, "nothing that is under way keeps it from ending"


@pytest.fixture
def asker(tmp_path: Path) -> Asker:
    return Asker(tmp_path)


async def found(keys: StoreKeys) -> bool:
    return bool(keys.keys_for(OFFER))


async def test_a_key_is_fetched_once_and_kept_on_disk(
    asker: Asker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    store = Store()
    async with listening(store), asker.running():
        keys = asker.ask(store)
        await until(lambda: found(keys), within=5, what="the key is found")
        (key,) = keys.keys_for(OFFER)
        assert (key.spki, key.origin) == (spki("peer"), store.url.replace("{sha1}", HASH.hex()))
        assert asker.found == 1
        assert asker.problem(store) == ""
        (request,) = store.requests
        assert request.startswith(f"GET /keys/{HASH.hex()} HTTP/1.1\r\n")
        assert "cookie" not in request.lower()
        assert "accept-encoding: identity" in request.lower()
        # The configuration is read again: what was found stays.
        assert asker.ask(store) is keys
        assert len(store.requests) == 1
    (directory,) = (tmp_path / "keys").iterdir()
    (file,) = directory.iterdir()
    assert file.name == HASH.hex()
    assert [path.stat().st_mode & 0o777 for path in (directory.parent, directory, file)] == [0o700, 0o700, 0o600]

    # A restart, with the store down.
    again = Asker(tmp_path)
    assert again.ask(store).keys_for(OFFER) == [key]
    # Another store's keys are none of this one's, and a damaged file is none.
    other = Store()
    other.port = store.port + 1
    assert again.ask(other).keys_for(OFFER) == []
    file.write_bytes(spki("another"))
    assert Asker(tmp_path).ask(store).keys_for(OFFER) == []
    assert not file.exists()


@pytest.mark.parametrize(
    ("behave", "problem"),
    [
        pytest.param(Store.gives(spki("another")), "does not hash to it", id="another key"),
        pytest.param(Store.gives(b"", b"HTTP/1.1 404 Not Found\r\n\r\n"), "does not have it", id="absent"),
        pytest.param(Store.gives(spki("peer"), b"HTTP/1.1 503 Busy\r\n\r\n"), "answered 503", id="an error"),
        pytest.param(
            Store.gives(b"", b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
            "answered 302",
            id="redirect",
        ),
        pytest.param(Store.gives(b"x" * (MAX_OCTETS + 1)), f"more than {MAX_OCTETS} octets", id="too long"),
        pytest.param(Store.drips(OK, b"x" * 4096, 0.0), f"more than {MAX_OCTETS} octets", id="endless"),
        pytest.param(Store.drips(OK, b"x", 0.02), "no whole answer within 0.3 s", id="slow content"),
        pytest.param(
            Store.drips(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.02), "no whole answer within 0.3 s", id="slow head"
        ),
        pytest.param(
            Store.drips(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.02), "no whole answer within 0.3 s", id="never final"
        ),
        pytest.param(Store.drips(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096, 0.0), "not HTTP", id="endless head"),
        pytest.param(Store.gives(b"SSH-2.0-x\r\n\r\n", b""), "not HTTP", id="no HTTP"),
        pytest.param(Store.gives(b"", b""), "ends early", id="silence"),
        pytest.param(
            Store.gives(spki("peer")[:20], b"HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"), "ends early", id="cut off"
        ),
        pytest.param(
            Store.gives(spki("peer"), b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"),
            "",
            id="a coding it is not in",
        ),
    ],
)
async def test_what_a_store_may_do(
    asker: Asker, behave: Callable[[asyncio.StreamWriter], Awaitable[None]], problem: str
) -> None:
    store = Store()
    store.behave = behave
    async with listening(store), asker.running():
        keys = asker.ask(store)

        async def settled() -> bool:
            return bool(asker.problem(store)) or bool(keys.keys_for(OFFER))

        await until(settled, within=5, what="the try has ended")
        assert problem in asker.problem(store)
        assert bool(keys.keys_for(OFFER)) is (not problem)
        assert "\n" not in asker.problem(store)

        async def closed() -> bool:
            return store.open == 0

        await until(closed, within=5, what="the connection is closed")
        # It mends its ways; whoever sends SIGHUP need not wait.
        store.behave = Store.gives(spki("peer"))
        asker.ask(store)
        await until(lambda: found(keys), within=5, what="the key is found")

        async def over() -> bool:
            return asker.problem(store) == ""

        await until(over, within=5, what="the problem is over")


async def test_nobody_listens(asker: Asker) -> None:
    store = Store()
    async with listening(store):
        pass
    async with asker.running():
        asker.ask(store)

        async def told() -> bool:
            return "no answer (" in asker.problem(store)

        await until(told, within=5, what="the problem is told")
        assert "(Connection refused)" in asker.problem(store)


async def test_slow_answers_hold_no_more_than_some_connections_and_not_each_other(asker: Asker) -> None:
    store = Store()

    async def behave(writer: asyncio.StreamWriter) -> None:
        if HASH.hex() in store.requests[-1]:
            await Store.gives(spki("peer"))(writer)
        else:
            await Store.drips(OK, b"x", 0.02)(writer)

    store.behave = behave
    async with listening(store), asker.running():
        keys = asker.stores.configure([KeySource(url=store.url, timeout=0.3)])[store.url]
        hashes = tuple(hash_of(str(number)) for number in range(200))
        flood = Offer(TunnelType.IPSEC_TUNNEL, ip_address("2001:db8:f::66"), None, hashes, (), "a test")
        keys.keys_for(flood)

        async def busy() -> bool:
            return store.open == 4

        await until(busy, within=5, what="it is asked for the flood's hashes")
        began = time.monotonic()
        await until(lambda: found(keys), within=5, what="the key is found")
        assert time.monotonic() - began < 1.0, "one timeout, and what it takes to fetch"
        assert len(store.requests) <= 3 * 4, "4 at once, for a timeout each"


async def test_a_store_that_is_configured_no_more_is_asked_no_more(asker: Asker) -> None:
    store, other = Store(), Store()
    store.behave = Store.drips(OK, b"x", 0.02)
    async with listening(store), listening(other), asker.running():
        asker.ask(store, timeout=60)

        async def asked() -> bool:
            return store.open == 1

        await until(asked, within=5, what="the store is being asked")
        keys = asker.ask(other)

        async def left() -> bool:
            return store.open == 0

        await until(left, within=5, what="it is let go of")
        await until(lambda: found(keys), within=5, what="the other is asked instead")
        assert asker.stores.configure([]) == {}


def server_tls(authority: Authority, directory: Path, names: list[str]) -> ssl.SSLContext:
    key = Ed25519PrivateKey.generate()
    chain = directory / "server.pem"
    chain.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + authority.certify(key.public_key(), names).public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


async def test_https_by_a_ca_of_ones_own(asker: Asker, tmp_path: Path) -> None:
    authority, stranger = Authority("stores"), Authority("others")
    ca_file = tmp_path / "ca.pem"
    store = Store()
    store.scheme = "https"

    async def refused(reason: str) -> None:
        async def told() -> bool:
            return reason in asker.problem(store)

        await until(told, within=5, what=f"it is told: {reason}")
        assert keys.keys_for(OFFER) == []

    async with listening(store, server_tls(authority, tmp_path, ["127.0.0.1"])), asker.running():
        keys = asker.ask(store, timeout=5, ca_file=ca_file)
        await refused(f"no CA certificates can be read from {ca_file}")
        stranger.write(ca_file)
        asker.ask(store, timeout=5, ca_file=ca_file)
        await refused("its certificate is refused: unable to get local issuer certificate")
        asker.ask(store, timeout=5)
        await refused("its certificate is refused")
        assert store.requests == []
        authority.write(ca_file)
        asker.ask(store, timeout=5, ca_file=ca_file)
        await until(lambda: found(keys), within=5, what="the key is found")


async def test_https_to_another_name(asker: Asker, tmp_path: Path) -> None:
    authority = Authority("stores")
    authority.write(tmp_path / "ca.pem")
    store = Store()
    store.scheme = "https"
    async with listening(store, server_tls(authority, tmp_path, ["127.0.0.2"])), asker.running():
        asker.ask(store, timeout=5, ca_file=tmp_path / "ca.pem")

        async def told() -> bool:
            return "is not valid for '127.0.0.1'" in asker.problem(store)

        await until(told, within=5, what="the name is told")


async def test_where_keys_cannot_be_kept_they_are_used_all_the_same(asker: Asker, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file in the way")
    store = Store()
    async with listening(store), asker.running():
        keys = asker.ask(store)
        await until(lambda: found(keys), within=5, what="the key is found")

        async def told() -> bool:
            return "keys cannot be written" in asker.problem(store)

        await until(told, within=5, what="the problem is told")


async def test_what_a_wreck_left_behind_is_cleared_away(asker: Asker, tmp_path: Path) -> None:
    store = Store()
    async with listening(store), asker.running():
        keys = asker.ask(store)
        await until(lambda: found(keys), within=5, what="the key is found")
    (directory,) = (tmp_path / "keys").iterdir()
    for name in (f"{HASH.hex()}.new", "0" * 40, "notes"):
        (directory / name).write_bytes(b"half a k")
    (directory / ("1" * 40)).symlink_to("/etc/passwd")
    assert Asker(tmp_path).ask(store).keys_for(OFFER) != []
    assert [path.name for path in directory.iterdir()] == [HASH.hex()]
