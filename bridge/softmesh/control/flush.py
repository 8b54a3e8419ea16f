"""All that is ours, removed: connections and SAs, then routes and interfaces, the guards last."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from softmesh.charon.actions import Action, TerminateIke, UnloadConnection, UnloadSecret
from softmesh.charon.driver import Driver
from softmesh.charon.vici import ViciConnection
from softmesh.config import Config
from softmesh.control.kept_routes import KEPT_ROUTES
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
    _routes(config.sockets.directory / KEPT_ROUTES, done, left)
    return Flushed(tuple(done), tuple(left))


def _routes(path: Path, done: list[str], left: list[str]) -> None:
    """What was kept for the next start, which would ask for the same softwires again."""
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        left.append(f"{path}: cannot be removed: {error.strerror}")
    else:
        done.append(f"remove {path}")


async def _charon(path: Path, done: list[str], left: list[str]) -> None:
    connection = await ViciConnection.open(path)
    try:
        driver = Driver(connection)
        observed = await driver.observe(secrets=False)
        actions: list[Action] = [UnloadConnection(name) for name in observed.connections]
        actions += [TerminateIke(ike.unique_id, ike.connection) for ike in observed.ike_sas]
        for action in actions:
            await driver.apply(action)
            done.append(action.describe())
        for _ in range(int(_PATIENCE / _POLL)):
            if not (await driver.observe(secrets=False)).ike_sas:
                break
            await asyncio.sleep(_POLL)
        else:
            left.append(f"charon still has SAs of ours after {_PATIENCE:g} s: try again")
        # Last: charon may hold more of others than it can list, and then it gives no answer at all.
        for name in await driver.secrets() or ():
            await driver.unload_secret(name)
            done.append(UnloadSecret(name).describe())
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
