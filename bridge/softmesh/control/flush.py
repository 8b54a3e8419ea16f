"""All that is ours, removed: connections and SAs, then routes and interfaces, the guards last."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from softmesh.charon.actions import Action, TerminateIke, UnloadConnection, UnloadSecret
from softmesh.charon.driver import Driver
from softmesh.charon.vici import ViciConnection
from softmesh.config import Config
from softmesh.dataplane import difference
from softmesh.dataplane.kernel import Kernel
from softmesh.dataplane.nftables import Nftables
from softmesh.errors import SoftmeshError

_PATIENCE = 5.0
"""Seconds that SAs have to go."""
_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Flushed:
    """What came of it, a line each."""

    done: tuple[str, ...]
    left: tuple[str, ...]
    """What could not be removed, and why."""


async def flush(config: Config) -> Flushed:
    """Remove what is ours; what others have is not touched. Idempotent."""
    done: list[str] = []
    left: list[str] = []
    for removal in (_charon(config.charon.vici, done, left), _kernel(done, left), _guards(done)):
        try:
            await removal
        except SoftmeshError as error:
            left.append(str(error))
    return Flushed(tuple(done), tuple(left))


async def _charon(path: Path, done: list[str], left: list[str]) -> None:
    connection = await ViciConnection.open(path)
    try:
        driver = Driver(connection)
        observed = await driver.observe()
        actions: list[Action] = [UnloadConnection(name) for name in observed.connections]
        actions += [UnloadSecret(name) for name in observed.secrets]
        actions += [TerminateIke(ike.unique_id, ike.connection) for ike in observed.ike_sas]
        for action in actions:
            await driver.apply(action)
            done.append(action.describe())
        for _ in range(int(_PATIENCE / _POLL)):
            if not (await driver.observe()).ike_sas:
                return
            await asyncio.sleep(_POLL)
        left.append(f"charon still has SAs of ours after {_PATIENCE:g} s: try again")
    finally:
        await connection.close()


async def _kernel(done: list[str], left: list[str]) -> None:
    kernel = Kernel()
    state = await kernel.observe(frozenset())
    steps = difference.everything(state.layout)
    refused = dict(await kernel.apply(steps))
    done.extend(step.describe() for step in steps if step not in refused)
    left.extend(f"{step.describe()}: {why}" for step, why in refused.items())


async def _guards(done: list[str]) -> None:
    if await Nftables().remove():
        done.append("remove nftables table inet softmesh")
