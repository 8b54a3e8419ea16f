"""What is known of charon right after our own actions, without asking it again."""

from __future__ import annotations

from softmesh.charon.actions import Action, Initiate, LoadConnection, UnloadConnection
from softmesh.charon.observed import Observed
from softmesh.charon.render import render
from tests.unit.control.world import OWN, softwire


def test_loads_and_unloads_are_certain_and_sas_are_not() -> None:
    (old,) = render(softwire("2001:db8:f::8"), (OWN.own_key,))
    (new,) = render(softwire(sites=2), (OWN.own_key,))
    before = Observed({old.name: frozenset({"c"})}, (), frozenset({"key"}))
    actions: list[Action] = [LoadConnection(new), Initiate(new.name, new.children[0].name), UnloadConnection(old.name)]
    after = before.after(actions)
    assert after == Observed({new.name: frozenset(child.name for child in new.children)}, (), frozenset({"key"}))
    assert before.connections == {old.name: frozenset({"c"})}
    assert after.after([UnloadConnection("softmesh-gone-already")]) == after
