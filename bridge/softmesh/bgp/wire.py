"""Reading octets within bounds: nothing is read past an element's end, and every failure says where."""

from __future__ import annotations

from softmesh.errors import PeerError


class DecodeError(PeerError):
    """Octets that are not what they must be; ``offset`` counts from the start of the outermost element."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


class Reader:
    """Reads big-endian numbers and runs of octets, in order, never beyond its end.

    ``nested`` hands out a reader of an inner element: whatever happens inside, this one goes on after it.
    """

    __slots__ = ("_end", "_octets", "offset")

    def __init__(self, octets: bytes, offset: int = 0, end: int | None = None) -> None:
        self._octets = octets
        self.offset = offset
        self._end = len(octets) if end is None else end

    @property
    def remaining(self) -> int:
        """Octets not yet read."""
        return self._end - self.offset

    def u8(self) -> int:
        """The next octet; raises DecodeError where none is left."""
        start = self.offset
        if start >= self._end:
            raise self._short(1)
        self.offset = start + 1
        return self._octets[start]

    def u16(self) -> int:
        """The next two octets as a number; raises DecodeError where fewer are left."""
        start = self.offset
        end = start + 2
        if end > self._end:
            raise self._short(2)
        self.offset = end
        return self._octets[start] << 8 | self._octets[start + 1]

    def take(self, size: int) -> bytes:
        """The next ``size`` octets; raises DecodeError where fewer are left."""
        start = self.offset
        end = start + size
        if end > self._end:
            raise self._short(size)
        self.offset = end
        return self._octets[start:end]

    def nested(self, size: int) -> Reader:
        """A reader of the next ``size`` octets, which this one skips; DecodeError where fewer are left."""
        start = self.offset
        end = start + size
        if end > self._end:
            raise self._short(size)
        self.offset = end
        return Reader(self._octets, start, end)

    def _short(self, size: int) -> DecodeError:
        left = self._end - self.offset
        return DecodeError(f"{size} octets expected at offset {self.offset}, {left} left", self.offset)
