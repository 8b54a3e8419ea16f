"""Which of several equal connections is to be loaded, where charon has forgotten one whose IKE_SA still stands. Pure.

An IKE_SA keeps the configuration it was made with. As long as its connection is loaded that is the very same object,
and children added to the one are known to the other. Once somebody has unloaded the connection (``swanctl --load-all``
unloads all that is not in his files) and it is loaded again, the IKE_SA knows none of the children that come later, and
refuses each with TS_UNACCEPTABLE for as long as it lives. So it is made anew, by a connection of another name: the plan
then makes before it breaks, as for any that has been superseded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

from softmesh.charon.connection import Connection

_NAMES = 4
_OVER_TIME = 1440
"""charon's default in seconds, where a connection has none of its own: a tenth of the rekeying time."""


def incarnation(connection: Connection, *, loaded: Collection[str], occupied: Collection[str]) -> Connection:
    """The connection under the name by which it is loaded, else under the first name that no IKE_SA has.

    ``loaded``: names of connections that charon has; ``occupied``: of those that IKE_SAs were made from.
    """
    if connection.name in loaded:
        return connection
    others = [_renewed(connection, again) for again in range(1, _NAMES)]
    free = (each for each in (connection, *others) if each.name not in occupied)
    # With as many IKE_SAs left over as there are names something else is amiss, and no name is better than another.
    return next((each for each in others if each.name in loaded), next(free, connection))


@lru_cache(maxsize=16384)
def _renewed(connection: Connection, again: int) -> Connection:
    """The same in all that matters, but not to charon, which takes a standing IKE_SA for an equal connection."""
    name, _, digest = connection.name.rpartition("-")
    other = hashlib.sha256(f"{digest} {again}".encode()).hexdigest()[: len(digest)]
    return replace(connection, name=f"{name}-{other}", over_time=(connection.over_time or _OVER_TIME) + again)
