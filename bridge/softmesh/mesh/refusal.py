"""Why something was refused: the rule and the facts it met, kept as data."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Rule(enum.StrEnum):
    """The rule that refused; the value is what status, metrics and logs show."""

    OWN = "own"
    NEIGHBOR = "neighbor"
    EBGP = "ebgp"
    SESSION = "session"
    FAMILY = "family"
    ORIGIN_AS = "origin-as"
    PREFIX = "prefix"
    CAPTURE = "capture"
    WITHDRAWN = "treat-as-withdraw"
    NO_TUNNEL = "no-tunnel"
    TUNNEL = "tunnel"
    ENDPOINT = "endpoint"
    AUTHENTICATOR = "authenticator"
    KEY = "key"
    CERTIFICATE = "certificate"
    OWNER = "owner"
    ARRIVALS = "arrivals"
    DAMPENED = "dampened"
    STALE = "stale"
    SELECTORS = "selectors"
    DATA_PLANE = "data-plane"
    MAX_SOFTWIRES = "max-softwires"
    MAX_SELECTORS = "max-selectors"
    NOT_BEST = "not-best"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal: ``detail`` is a sentence for people that names the value, the limit and where it is set."""

    rule: Rule
    detail: str
