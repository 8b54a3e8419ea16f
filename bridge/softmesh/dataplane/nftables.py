"""The guards in the kernel: the table ``inet softmesh`` by way of the ``nft`` program."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from softmesh.dataplane import nft_listing
from softmesh.dataplane.guard import Guard, Guarded
from softmesh.dataplane.nft_listing import Table
from softmesh.dataplane.nft_ruleset import COUNTERS, TABLE, Elements, change, elements, ruleset
from softmesh.errors import OperatorError, Unreachable

_INSTEAD = "or set dataplane.guards: routes"
_ABSENT = "No such file or directory"


class Nftables:
    """Keeps the table ``inet softmesh`` as it ought to be, and touches nothing else in the ruleset.

    Every method raises OperatorError, one line with the remedy, where the program or the kernel's support is missing,
    where nft refuses, and where the table is somebody else's; PeerError where its listing cannot be read;
    Unreachable where nft does not answer in time.
    """

    def __init__(self, program: str = "nft", *, within: float = 10.0) -> None:
        self._program = program
        self._within = within
        self._turn = asyncio.Lock()
        self._last: tuple[Guard, Guarded] | None = None
        """What the table was last made to be."""
        self._held: Elements | None = None
        """What its sets hold, as far as nobody else changed them; None: look first."""
        self._remembered: Elements = {}
        """What they held when they were last seen, in case somebody removes the table: ``nft flush ruleset``."""

    async def ensure(self, guard: Guard, guarded: Guarded) -> None:
        """Make the guards so. Idempotent; with the same values as the last time it does not even look."""
        async with self._turn:
            if self._held is not None and self._last == (guard, guarded):
                return
            if self._held is None or self._last is None or ruleset(guard) != ruleset(self._last[0]):
                await self._settle(guard, guarded)
            else:
                try:
                    await self._change(guard, guarded, self._held)
                except _Refused:
                    # Somebody else was at it since.
                    await self._settle(guard, guarded)

    async def audit(self) -> bool:
        """Look at the table and put right what somebody else changed; returns whether there was anything.

        Before the first ``ensure`` there is nothing to compare with, and nothing happens.
        """
        async with self._turn:
            return self._last is not None and await self._settle(*self._last)

    async def counters(self) -> Mapping[str, int]:
        """Packets dropped, by counter: those of ``nft_ruleset.COUNTERS``.

        Empty where there is no table. They go on counting when the bridge restarts, and end with the table.
        """
        try:
            counted = await self._run("--json", "list", "counters", "table", *TABLE.split())
        except _Refused as refused:
            if _ABSENT in refused.reason:
                return {}
            raise
        packets = nft_listing.table(counted).counted
        return {name: packets[name][0] for name in COUNTERS if name in packets}

    async def remove(self) -> bool:
        """Remove the guards and all they remember; returns whether there were any."""
        async with self._turn:
            self._last = self._held = None
            self._remembered = {}
            if await self._look() is None:
                return False
            await self._script(f"delete table {TABLE}\n")
            return True

    async def _settle(self, guard: Guard, guarded: Guarded) -> bool:
        """Look, and make the table what it ought to be; returns whether it was not."""
        self._held = None
        rules = ruleset(guard)
        found = await self._look()
        if found is not None and found.shape == rules.shape and found.elements.keys() == rules.sets.keys():
            return await self._change(guard, guarded, found.elements)
        wanted = elements(guard, guarded, self._remembered if found is None else found.elements)
        load = rules.load({} if found is None else found.counted) + change({}, wanted)
        if found is None:
            await self._script(load)
        else:
            held = {name: found.elements.get(name, frozenset()) for name in wanted}
            exchange = rules.exchange([chain for chain, *_ in found.shape], found.elements)
            try:
                await self._script(exchange + change(held, wanted))
            except _Refused:
                # Sets or chains of its names are of another kind: somebody's, or another release's.
                await self._script(load)
        self._made(guard, guarded, wanted)
        return True

    async def _change(self, guard: Guard, guarded: Guarded, held: Elements) -> bool:
        self._held = None
        wanted = elements(guard, guarded, held)
        script = change(held, wanted)
        if script:
            await self._script(script)
        self._made(guard, guarded, wanted)
        return bool(script)

    def _made(self, guard: Guard, guarded: Guarded, wanted: Elements) -> None:
        self._last, self._held, self._remembered = (guard, guarded), wanted, wanted

    async def _look(self) -> Table | None:
        """The table, None where there is none; raises OperatorError where it is not ours."""
        try:
            listing = await self._run("--json", "list", "table", *TABLE.split())
        except _Refused as refused:
            if _ABSENT in refused.reason:
                return None
            raise
        found = nft_listing.table(listing)
        if not found.ours:
            raise OperatorError(f"nftables table {TABLE} was not made by softmesh: give it another name, {_INSTEAD}")
        return found

    async def _script(self, script: str) -> None:
        """Do all of a script or nothing of it."""
        await self._run("-f", "-", script=script)

    async def _run(self, *arguments: str, script: str = "") -> bytes:
        """Run nft; returns what it printed. Raises _Refused with its words where it ends with an error."""
        try:
            process = await asyncio.create_subprocess_exec(
                self._program,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # Daemons may have no sbin on their path, and words are only known in one language.
                env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"},
            )
        except FileNotFoundError as error:
            raise OperatorError(f"{self._program} is not installed: apt-get install nftables, {_INSTEAD}") from error
        except OSError as error:
            raise OperatorError(f"{self._program} does not run: {error.strerror}: make it, {_INSTEAD}") from error
        try:
            async with asyncio.timeout(self._within):
                output, errors = await process.communicate(script.encode())
        except TimeoutError as error:
            raise Unreachable(
                f"{self._program} did not end within {self._within:g} s: try again, {_INSTEAD}"
            ) from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise _Refused(self._program, errors.decode(errors="replace"))
        return output


class _Refused(OperatorError):
    """nft ended with an error."""

    def __init__(self, program: str, errors: str) -> None:
        said = next((line for line in errors.splitlines() if "Error: " in line), errors.partition("\n")[0])
        self.reason = said.rpartition("Error: ")[2].strip() or "it ended without a word"
        super().__init__(f"{program}: {self.reason}: {self._remedy()}, {_INSTEAD}")

    def _remedy(self) -> str:
        if "not permitted" in self.reason:
            return "run as root or with CAP_NET_ADMIN"
        if "not supported" in self.reason or "cache initialization" in self.reason:
            return "this kernel has no nftables for inet (CONFIG_NF_TABLES_INET)"
        return "see what is amiss with nft list ruleset"
