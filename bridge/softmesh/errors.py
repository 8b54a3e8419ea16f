"""The kinds of error: the other side sent garbage, the operator's input is wrong, or nobody answers.

A bug of ours is neither: it surfaces as whatever Python raises.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Text on one line for a log or a terminal: what cannot be printed is escaped, for others may have written it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class SoftmeshError(Exception):
    """Base of the errors a user sees; ``str()`` is one line that names the place and the remedy."""

    def __str__(self) -> str:
        return printable(super().__str__())


class PeerError(SoftmeshError):
    """Something outside sent what it must not: malformed JSON, a VICI frame out of bounds, a bad sub-TLV."""


class OperatorError(SoftmeshError):
    """Configuration, a file, a socket or an argument is not what it must be."""


class Unreachable(SoftmeshError):
    """A socket that should answer does not: the bridge's, the hook's or charon's."""
