"""What is counted of softwires: how fast they came up, how often, how long they were down, and why attempts failed."""

from __future__ import annotations

from ipaddress import ip_address

from softmesh.bgp.codepoints import TunnelType
from softmesh.charon.failure import Cause
from softmesh.control.lives import Lives
from softmesh.control.measurements import subject_classes
from softmesh.control.progress import Progress, State
from softmesh.mesh.softwire import SoftwireId

WIRE = SoftwireId(ip_address("2001:db8:f::1"), ip_address("2001:db8:f::2"), TunnelType.IPSEC_TUNNEL)


def passed(lives: Lives, now: float, *progress: Progress, received: float = 0.0) -> None:
    """A pass that found the one softwire so, or, with nothing, not wanted."""
    lives.passed(dict.fromkeys([WIRE], progress[0]) if progress else {}, now, lambda _: received)


def test_convergence_is_counted_from_the_update_and_once() -> None:
    lives = Lives(0.0)
    passed(lives, 10.1, Progress(State.CONNECTING, 10.1, attempts=1), received=10.0)
    passed(lives, 10.4, Progress(State.UP, 10.4), received=10.0)
    assert lives.convergence.sum == 10.4 - 10.0
    passed(lives, 20.0, Progress(State.CONNECTING, 20.0), received=10.0)
    passed(lives, 21.0, Progress(State.UP, 21.0), received=10.0)
    assert sum(lives.convergence.counts) == 1, "to come back up is no convergence"
    assert lives.wanted[WIRE].established == 2


def test_who_is_wanted_again_converges_again() -> None:
    lives = Lives(0.0)
    for at in (10.0, 50.0):
        passed(lives, at, Progress(State.WANTED, at), received=at)
        passed(lives, at + 2, Progress(State.UP, at + 2), received=at)
        passed(lives, at + 5)
    assert (sum(lives.convergence.counts), lives.convergence.sum) == (2, 4.0)


def test_what_stood_when_the_bridge_began_has_not_converged() -> None:
    lives = Lives(100.0)
    passed(lives, 100.5, Progress(State.UP, 100.5), received=3.0)
    passed(lives, 105.0, Progress(State.UP, 100.5), received=3.0)
    assert lives.wanted[WIRE].established == 0
    passed(lives, 110.0, Progress(State.CONNECTING, 110.0), received=3.0)
    passed(lives, 111.0, Progress(State.UP, 111.0), received=3.0)
    assert sum(lives.convergence.counts) == 0


def test_an_update_from_before_the_bridge_began_counts_from_there() -> None:
    lives = Lives(100.0)
    passed(lives, 100.5, Progress(State.CONNECTING, 100.5), received=3.0)
    passed(lives, 102.0, Progress(State.UP, 102.0), received=3.0)
    assert lives.convergence.sum == 2.0


def test_time_down_is_all_but_the_time_up() -> None:
    lives = Lives(0.0)
    passed(lives, 1.0, Progress(State.WANTED, 1.0))
    passed(lives, 4.0, Progress(State.UP, 4.0))
    passed(lives, 14.0, Progress(State.UP, 4.0))
    passed(lives, 15.0, Progress(State.DEGRADED, 15.0))
    passed(lives, 17.5, Progress(State.DEGRADED, 15.0))
    assert lives.wanted[WIRE].down == 3.0 + 2.5


def test_an_attempt_has_failed_once_there_is_another() -> None:
    lives = Lives(0.0)
    passed(lives, 1.0, Progress(State.CONNECTING, 1.0, attempts=1))
    passed(lives, 2.0, Progress(State.CONNECTING, 1.0, attempts=1, cause=Cause.SILENT))
    assert (lives.attempts, lives.failures) == (1, {})
    passed(lives, 3.0, Progress(State.CONNECTING, 1.0, attempts=2, cause=Cause.SILENT))
    passed(lives, 4.0, Progress(State.CONNECTING, 1.0, attempts=3))
    passed(lives, 5.0, Progress(State.UP, 5.0))
    assert (lives.attempts, lives.failures) == (3, {Cause.SILENT: 1, Cause.UNKNOWN: 1})


def test_a_softwire_goes_on_counting_when_it_comes_back() -> None:
    lives = Lives(0.0)
    for _ in range(2):
        passed(lives, 1.0, Progress(State.CONNECTING, 1.0))
        passed(lives, 2.0, Progress(State.UP, 2.0))
        passed(lives, 3.0)
        assert not lives.wanted
    passed(lives, 1.0, Progress(State.CONNECTING, 1.0))
    assert lives.wanted[WIRE].established == 2


def test_of_those_that_are_gone_the_oldest_are_forgotten() -> None:
    lives = Lives(0.0)
    many = [
        SoftwireId(WIRE.local, ip_address(f"2001:db8:f::1:{number:x}"), TunnelType.IPSEC_TUNNEL)
        for number in range(1025)
    ]
    lives.passed({wire: Progress(State.UP, 1.0) for wire in many}, 1.0, lambda _: 0.0)
    assert lives.passed({many[0]: Progress(State.UP, 1.0)}, 2.0, lambda _: 0.0) == []
    forgotten = lives.passed({}, 3.0, lambda _: 0.0)
    assert len(forgotten) == 1
    assert many[0] not in forgotten, "it was the last to go"


def test_problems_are_counted_without_addresses_and_paths() -> None:
    subjects = ("BGP session 2001:db8::1", "BGP session 10.0.0.1", "keys /etc/softmesh/my keys", "keys https://x/k")
    assert subject_classes((*subjects, "refused by charon", "data plane")) == {
        "BGP session": 2,
        "keys": 2,
        "refused by charon": 1,
        "data plane": 1,
    }
