"""Each session and family gets our End-of-RIB once, and only where the family is in use."""

from __future__ import annotations

from softmesh.bgp.end_of_rib import EndOfRibDebt
from softmesh.bgp.route import Family

V4, V6 = Family.IPV4_UNICAST, Family.IPV6_UNICAST


def test_each_family_in_use_is_told_once_a_session() -> None:
    debt = EndOfRibDebt()
    assert debt.pay() == []
    debt.family_used("10.0.1.1", V4)
    debt.family_used("10.0.1.1", V4)
    assert debt.pay() == ["neighbor 10.0.1.1 announce eor ipv4 unicast"]
    debt.family_used("10.0.1.1", V4)
    debt.family_used("10.0.1.1", V6)
    assert debt.pay() == ["neighbor 10.0.1.1 announce eor ipv6 unicast"]


def test_a_new_session_is_owed_everything_again() -> None:
    debt = EndOfRibDebt()
    for neighbor in ("10.0.1.1", "10.0.1.9"):
        debt.family_used(neighbor, V4)
    assert len(debt.pay()) == 2
    debt.session_changed("10.0.1.1")
    debt.family_used("10.0.1.9", V4)
    assert debt.pay() == []
    debt.family_used("10.0.1.1", V4)
    assert debt.pay() == ["neighbor 10.0.1.1 announce eor ipv4 unicast"]


def test_what_is_owed_to_a_lost_session_is_not_paid() -> None:
    debt = EndOfRibDebt()
    debt.family_used("10.0.1.1", V4)
    debt.session_changed("10.0.1.1")
    assert debt.pay() == []
