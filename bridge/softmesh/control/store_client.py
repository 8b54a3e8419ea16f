"""Asking a key store over HTTP or HTTPS (RFC 9110) for what is due.

Whatever the store does, a try ends after ``timeout`` seconds and takes in 64 KiB of content at most; nothing it says
counts but the content under the address that was asked for: no redirect, no cookie, no proxy, no compression.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from softmesh.control.kept_keys import KeptKeys
from softmesh.errors import PeerError
from softmesh.mesh.key_store import MAX_FOUND, MAX_OCTETS, StoreKeys


class _NoKey(PeerError):
    """The store answered, with something else."""


class _NoAnswer(PeerError):
    """The store did not answer, or not in time."""


class StoreClient:
    """Fetches what ``keys`` wants until cancelled.

    ``timeout`` in seconds; ``ca_file``: CA certificates for HTTPS, None: the system's. Both may change while running.
    ``on_found`` is called after a key was found, and when it is time to ask ``keys`` for all offers again;
    ``report`` with what is the matter, empty for nothing.
    """

    def __init__(
        self,
        keys: StoreKeys,
        kept: KeptKeys,
        *,
        on_found: Callable[[], None],
        report: Callable[[str], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.keys = keys
        self._kept = kept
        self._on_found = on_found
        self._report = report
        self._monotonic = monotonic
        self._wake = asyncio.Event()
        self._timeout = 5.0
        self._ca_file: Path | None = None
        self._tls: ssl.SSLContext | None = None
        keys.on_wanted = self._wake.set
        keys.restore(kept.load())

    def configure(self, timeout: float, ca_file: Path | None) -> None:
        """Set what may change while running; the file of the CA is read again, and all that failed is tried again."""
        self._timeout, self._ca_file, self._tls = timeout, ca_file, None
        self.keys.hasten()

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with asyncio.TaskGroup() as tries:
            while True:
                self._wake.clear()
                if self.keys.review():
                    self._on_found()
                while (digest := self.keys.take()) is not None:
                    tries.create_task(self._try(digest), name=f"fetch {digest.hex()}")
                self._report("; ".join(filter(None, (self.keys.problem, self._kept.problem))))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.keys.wake_at - self._monotonic()):
                        await self._wake.wait()

    async def _try(self, digest: bytes) -> None:
        try:
            data = await self._fetch(self.keys.where(digest))
        except _NoAnswer as error:
            self.keys.failed(digest, str(error), unreachable=True)
        except _NoKey as error:
            self.keys.failed(digest, str(error))
        else:
            key = self.keys.answered(digest, data)
            if key is not None:
                self._kept.keep(key)
                if len(self.keys) >= MAX_FOUND:
                    self._kept.retain(self.keys.found)
                self._on_found()
        self._wake.set()

    async def _fetch(self, url: str) -> bytes:
        """The content at a URL. Raises _NoAnswer and _NoKey."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._content(url)
        except TimeoutError:
            raise _NoAnswer(f"no whole answer within {self._timeout:g} s; see to the store or the way to it") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RuntimeError) as error:
            # The CA may have changed: its file is read again for the next try.
            self._tls = None
            raise _NoAnswer(f"no answer ({_why(error)}); see to the store or the way to it") from None

    async def _content(self, url: str) -> bytes:
        # A client, hence a connection, for each try: one that is cancelled may keep its place in httpx's pool for good.
        # Its timeout is that of each step, and longer than the one that counts.
        async with (
            httpx.AsyncClient(
                verify=self._context(url), trust_env=False, follow_redirects=False, timeout=2 * self._timeout
            ) as client,
            client.stream("GET", url, headers={"accept-encoding": "identity"}) as answer,
        ):
            if answer.status_code in {404, 410}:
                raise _NoKey("the store does not have it; put the peer's public key or certificate there")
            if answer.status_code != 200:
                raise _NoKey(f"answered {answer.status_code}, not 200; correct the URL or the store")
            content = bytearray()
            async for part in answer.aiter_raw():
                content += part
                if len(content) > MAX_OCTETS:
                    raise _NoKey(f"more than {MAX_OCTETS} octets, which is no key; correct the store")
            return bytes(content)

    def _context(self, url: str) -> ssl.SSLContext:
        if not url.startswith("https:"):
            # Of no use here, but httpx would read all CAs it brings along to make one.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._tls is None:
            try:
                self._tls = ssl.create_default_context(cafile=self._ca_file)
            except (OSError, ssl.SSLError):
                raise _NoAnswer(
                    f"no CA certificates can be read from {self._ca_file}; correct trust.keys[].ca_file"
                ) from None
        return self._tls


def _why(error: BaseException) -> str:
    """What went wrong below httpx, which says little of it, and at times what the store said."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError) and cause.reason:
            return f"TLS: {cause.reason.lower().replace('_', ' ')}"
        if isinstance(cause, OSError) and cause.errno:
            # asyncio puts words of its own there, with the address; the resolver's numbers are no errno.
            return str(cause.strerror) if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)
    return "the connection ends early, or what comes over it is not HTTP"


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _causes(member)
    below = error.__cause__ or error.__context__
    if below is not None:
        yield from _causes(below)
