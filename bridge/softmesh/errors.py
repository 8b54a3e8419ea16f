"""The kinds of error: the other side sent garbage, the operator's input is wrong, or nobody answers.

A bug of ours is neither: it surfaces as whatever Python raises.
"""

from __future__ import annotations


class SoftmeshError(Exception):
    """Base of the errors a user sees; ``str()`` is one line that names the place and the remedy."""


class PeerError(SoftmeshError):
    """Something outside sent what it must not: malformed JSON, a VICI frame out of bounds, a bad sub-TLV."""


class OperatorError(SoftmeshError):
    """Configuration, a file, a socket or an argument is not what it must be."""


class Unreachable(SoftmeshError):
    """A socket that should answer does not: the bridge's, the hook's or charon's."""
