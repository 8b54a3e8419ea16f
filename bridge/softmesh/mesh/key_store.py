"""Keys from a store addressed by hash: which are wanted, which of those are due, what was found. Pure, but for a clock.

What is under a hash cannot change, so a key once found stays. A hash the store had no key for is tried again after 5 s,
then after twice as long each time, 300 s at most; what failed while the store did not answer, within 5 s of its first
answer.

How long a flood of hashes can keep a wanted one waiting: 4 are asked for at once, and a try ends after ``timeout``
seconds whatever the store does. The first hash of each router goes before the second of any, and one that nobody has
tried before one that is tried again. So a router's flood delays another router by one timeout at most, while its own
tries that are under way end; n routers with unknown keys delay the next by n/4 timeouts more. A reflector's client can
pass for many routers (RFC 4456 §8), so the worst is that of 1024 hashes, which is as many as are looked for: 257
timeouts, with a store that lets every try run out, and as many round trips with one that answers. Where more are
wanted, those of routers that want most go first; among as many routers, a lot decides that is drawn every minute.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

from softmesh.mesh.credential import PinnedKey
from softmesh.mesh.public_key import KeyFileError, MisplacedPrivateKeyError, authenticator, find_keys
from softmesh.mesh.selection import Offer

MAX_OCTETS = 65536
"""Octets of an answer."""
MAX_BLOCKS = 16
"""PEM blocks of an answer: more cost time to read, and one key was asked for."""
MAX_WANTED = 1024
"""Hashes to look for, of one store."""
MAX_FOUND = 4096
"""Keys kept, of one store."""
AT_ONCE = 4
"""Hashes to ask a store for at the same time."""
FIRST_RETRY = 5.0
LAST_RETRY = 300.0
"""Seconds from a failure to the next try."""
REVIEW = 60.0
"""Seconds after which whoever wants hashes is asked which of them he still does."""


def key_in(data: bytes, wanted: bytes, where: str) -> PinnedKey:
    """The key among the octets of an answer, PEM or DER, that hashes to ``wanted``; ``where`` becomes its origin.

    Raises KeyFileError where there is none, or a private key too.
    """
    if data.count(b"-----BEGIN") > MAX_BLOCKS:
        raise KeyFileError(where, f"more than {MAX_BLOCKS} PEM blocks, of which none is used", "correct the store")
    try:
        found = find_keys(data, where)
    except MisplacedPrivateKeyError as error:
        raise MisplacedPrivateKeyError(where, error.message, "take it off the store, and replace the key") from None
    except KeyFileError:
        found = ()
    for key in found:
        if authenticator(key.spki) == wanted:
            return PinnedKey(wanted, key.spki, where, key.certificate)
    raise KeyFileError(where, "what the store has does not hash to it, and is not used", "correct the store")


@dataclass(slots=True)
class _Want:
    """A hash that is looked for."""

    router: str
    """Who announced it."""
    rank: int
    """How many others of the same router were wanted before it."""
    order: int
    asked: float
    """When somebody last wanted it."""
    failures: int = 0
    due: float = -inf
    """Before any other as long as nobody has tried it."""
    reason: str = ""
    unreachable: bool = False
    """Whether the last try failed for want of any answer."""
    under_way: bool = False


@dataclass(slots=True)
class _Found:
    """A key that was found."""

    key: PinnedKey
    asked: float


class StoreKeys:
    """The keys of one store: a source for the fold, and the work list of whoever asks the store.

    ``url`` has ``{sha1}`` where the hash goes. ``on_wanted`` is called when there is something new to ask for.
    """

    def __init__(
        self, url: str, *, monotonic: Callable[[], float], chance: Callable[[], float] = random.random
    ) -> None:
        self.url = url
        self.on_wanted: Callable[[], None] = lambda: None
        self._monotonic = monotonic
        self._chance = chance
        self._wants: dict[bytes, _Want] = {}
        self._of_router: Counter[str] = Counter()
        self._found: dict[bytes, _Found] = {}
        self._orders = 0
        self._passed_over = 0
        """Hashes there was no room for since the last review."""
        self._overflow = self._overflowed = False
        """Whether not all that is wanted has room; and whether that was so until the last review."""
        self._reviewed = -inf
        self._review_due = inf
        self._reached = True

    def __len__(self) -> int:
        return len(self._found)

    def where(self, authenticator: bytes) -> str:
        """The URL of a hash."""
        return self.url.replace("{sha1}", authenticator.hex())

    # For the fold.

    def keys_for(self, offer: Offer) -> Sequence[PinnedKey]:
        """What was found so far for the offer's authenticators; the others are looked for from now on."""
        now = self._monotonic()
        router = str(offer.endpoint) if offer.claim is None else offer.claim.announcer
        keys: list[PinnedKey] = []
        fresh = False
        for digest in offer.authenticators:
            found = self._found.get(digest)
            if found is not None:
                found.asked = now
                keys.append(found.key)
            elif digest in self._wants:
                self._wants[digest].asked = now
                self._advance(digest, router)
            else:
                fresh = self._want(digest, router, now) or fresh
        if fresh:
            self.on_wanted()
        return keys

    def _want(self, digest: bytes, router: str, now: float) -> bool:
        if self._review_due == inf:
            self._review_due = now + REVIEW
        if len(self._wants) >= MAX_WANTED:
            self._overflow = True
            if not self._make_room(router):
                return False
        self._wants[digest] = _Want(router, self._of_router[router], self._orders, now)
        self._of_router[router] += 1
        self._orders += 1
        return True

    def _advance(self, digest: bytes, router: str) -> None:
        """A hash that several announce goes as far to the front as any of them brings it, for it may be copied."""
        want = self._wants[digest]
        if self._of_router[router] < want.rank and router != want.router:
            self._leave(want.router)
            want.router, want.rank = router, self._of_router[router]
            self._of_router[router] += 1

    def _make_room(self, router: str) -> bool:
        """Forget a hash for a new one of a router: one of the router with most, or where it has as many itself, any.

        In the latter case by reservoir sampling: all that are wanted have the same chance to be among those kept.
        """
        most, count = max(self._of_router.items(), key=lambda item: item[1])
        if count > self._of_router[router] + 1:
            idle = [d for d, want in self._wants.items() if want.router == most and not want.under_way]
            place = len(idle) - 1
        else:
            self._passed_over += 1
            place = int(self._chance() * (MAX_WANTED + self._passed_over))
            if place >= MAX_WANTED:
                return False
            idle = [d for d, want in self._wants.items() if not want.under_way]
        if not 0 <= place < len(idle):
            return False
        self._forget(idle[place])
        return True

    def _forget(self, digest: bytes) -> None:
        self._leave(self._wants.pop(digest).router)

    def _leave(self, router: str) -> None:
        self._of_router[router] -= 1
        if not self._of_router[router]:
            del self._of_router[router]

    # For whoever asks the store.

    @property
    def wake_at(self) -> float:
        """When there will be something to take or to review if nothing happens before."""
        due = [self._review_due]
        if self._under_way < AT_ONCE:
            due += [want.due for want in self._wants.values() if not want.under_way]
        return min(due)

    @property
    def _under_way(self) -> int:
        return sum(want.under_way for want in self._wants.values())

    def take(self) -> bytes | None:
        """The hash to ask for next, which then is under way until it was ``answered`` or ``failed``; None for none."""
        if self._under_way >= AT_ONCE:
            return None
        now = self._monotonic()
        due = [(digest, want) for digest, want in self._wants.items() if want.due <= now and not want.under_way]
        if not due:
            return None
        digest, want = min(due, key=lambda item: (item[1].rank, item[1].due, item[1].order))
        want.under_way = True
        return digest

    def answered(self, digest: bytes, data: bytes) -> PinnedKey | None:
        """What the store has under a hash; returns the key where there is one in it."""
        try:
            key = key_in(data, digest, self.where(digest))
        except KeyFileError as error:
            self.failed(digest, f"{error.message}; {error.remedy}")
            return None
        if not self._keep(key):
            self.failed(digest, f"the key is not kept, for {MAX_FOUND} others of this store are in use")
            return None
        self._forget(digest)
        self._heard()
        return key

    def failed(self, digest: bytes, reason: str, *, unreachable: bool = False) -> None:
        """A try ended without key; ``unreachable``: and without an answer."""
        want = self._wants[digest]
        want.under_way = False
        want.reason = reason
        want.unreachable = unreachable
        delay: float = min(FIRST_RETRY * 2.0**want.failures, LAST_RETRY)
        # Not all at the same moment, nor all routers of the mesh.
        want.due = self._monotonic() + delay * (1 - 0.25 * self._chance())
        want.failures = min(want.failures + 1, 16)
        if unreachable:
            self._reached = False
        else:
            self._heard()

    def hasten(self) -> None:
        """Try everything again now: there may be reason to believe that it succeeds."""
        now = self._monotonic()
        for want in self._wants.values():
            want.due = min(want.due, now)
        self.on_wanted()

    def _heard(self) -> None:
        """The store answers: what failed while it did not need not wait any longer."""
        if self._reached:
            return
        self._reached = True
        now = self._monotonic()
        for want in self._wants.values():
            if want.unreachable and not want.under_way:
                want.due = min(want.due, now + FIRST_RETRY * self._chance())

    def _keep(self, key: PinnedKey) -> bool:
        if len(self._found) >= MAX_FOUND and key.authenticator not in self._found:
            oldest = min(self._found, key=lambda digest: self._found[digest].asked)
            if self._found[oldest].asked >= self._reviewed:
                return False
            del self._found[oldest]
        self._found[key.authenticator] = _Found(key, self._monotonic())
        return True

    def restore(self, keys: Iterable[PinnedKey]) -> None:
        """Take over keys that were found before; whoever passes them has held them against their hashes."""
        for key in keys:
            if len(self._found) < MAX_FOUND:
                self._found[key.authenticator] = _Found(key, -inf)

    @property
    def found(self) -> Iterator[bytes]:
        """The hashes of all keys kept."""
        return iter(self._found)

    def review(self) -> bool:
        """Whether it is time to have ``keys_for`` called again for all offers there are.

        The fold need not ask again for what has not changed. What nobody asked for between one review and the next is
        not wanted any more, and forgotten.
        """
        now = self._monotonic()
        if now < self._review_due:
            return False
        forgotten = [d for d, want in self._wants.items() if want.asked < self._reviewed and not want.under_way]
        for digest in forgotten:
            self._forget(digest)
        again = bool(self._wants)
        self._reviewed, self._passed_over = now, 0
        self._overflowed, self._overflow = self._overflow, False
        self._review_due = now + REVIEW if again else inf
        return again

    @property
    def problem(self) -> str:
        """Why hashes are still wanted, in one line; empty where nothing is the matter."""
        reasons: dict[str, list[bytes]] = {}
        for digest, want in self._wants.items():
            if want.reason:
                reasons.setdefault(want.reason, []).append(digest)
        lines = [
            f"authenticator {digests[0].hex()}{' and others' if len(digests) > 1 else ''}: {reason}"
            for reason, digests in reasons.items()
        ]
        if self._overflow or self._overflowed:
            lines.insert(0, f"more than {MAX_WANTED} keys are wanted that were not found yet; some must wait")
        return "; ".join(lines[:4])
