"""The life of a mesh on a router where other people have things: all that a bridge and its operator may ever do."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lab.eventually import NotReached, eventually
from lab.mesh import Mesh, meshed
from lab.others import Others, lost, unlike
from lab.rollover import make_key, use
from softmesh.mesh.identity import load_identity

_UP = 40.0


class Life:
    """A mesh of two, of whose first router others have a share."""

    def __init__(self, mesh: Mesh, others: Others) -> None:
        """Look at what there is before."""
        self.mesh = mesh
        self.others = others
        self.left, self.right = mesh.afbrs[1], mesh.afbrs[2]
        self.keys = [self.left.home / "identity.key"]
        """Ours, that which counts last."""
        # With and without the numbers that SAs have: others' charon gives them new ones when it is started again.
        self._charon = {numbers: others.in_charon(numbers=numbers) for numbers in (True, False)}
        self._kernel = {numbers: others.in_kernel(numbers=numbers) for numbers in (True, False)}

    def live(self) -> None:
        """All of it: after each step what others have is there still, and in the end there is nothing else."""
        self._same_sas = True
        for step in (self.starts, self.prefixes_change, self.key_rolls, self.settings_change, self.dies, self.reloads):
            step()
            self._untouched(step)
        self.leaves()
        self._as_before()
        self._same_sas = False
        self.charon_is_restarted()
        self._untouched(self.charon_is_restarted)
        self.leaves()
        self._as_before()

    def starts(self) -> None:
        """The mesh comes up."""
        self.mesh.start()
        self._meshed()

    def prefixes_change(self) -> None:
        """A prefix of the other router's comes and goes."""
        prefix = self.mesh.plan.island(2, 1)
        self.right.add_site(1)
        self.right.settings["announce"]["prefixes"].append(prefix)
        self.right.reload()
        eventually(lambda: self._carried(prefix), within=_UP, what="the new prefix is carried", every=0.2)
        self.right.settings["announce"]["prefixes"].remove(prefix)
        self.right.reload()
        eventually(lambda: not self._carried(prefix), within=_UP, what="it is no more", every=0.2)

    def key_rolls(self) -> None:
        """Twice ours is replaced by another that was announced before; charon forgets those that it has from us."""
        for old, new in (("identity", "next"), ("next", "last")):
            self.keys.append(make_key(self.left, new))
            for order in ((old, new), (new, old), (new,)):
                use(self.left, *(f"{name}.key" for name in order))
                known = {load_identity(self.left.home / f"{name}.key").authenticator.hex() for name in order}
                eventually(
                    lambda known=known: self._known() == known,  # type: ignore[misc]
                    within=_UP, what=f"the peer knows {order}", every=0.2,
                )  # fmt: skip
            self._meshed()
        # The first is a host key, which others gave charon too.
        held = [True, False, True]
        eventually(lambda: [self._held(path) for path in self.keys] == held, within=_UP, what="charon has the last key")

    def settings_change(self) -> None:
        """Everybody goes over to a group key and other guards, and back."""
        group_key = secrets.token_urlsafe(24)
        for afbr in self.mesh.afbrs.values():
            (afbr.home / "group.key").write_text(f"{group_key}\n")
            (afbr.home / "group.key").chmod(0o600)
        for trust, guards in (
            ({"mode": "group-psk", "secret_file": "group.key"}, "routes"),
            ({"mode": "pinned"}, "full"),
        ):
            for afbr in self.mesh.afbrs.values():
                afbr.settings["trust"] = trust
                afbr.settings["announce"]["authenticator"] = guards == "full"
                afbr.settings["dataplane"] = {**afbr.settings.get("dataplane", {}), "guards": guards}
                afbr.reload()
            eventually(
                lambda guards=guards: self._by_group_key() == (guards == "routes"),  # type: ignore[misc]
                within=_UP, what=f"the softwire is up by {trust['mode']}", every=0.2,
            )  # fmt: skip
            self._untouched(self.settings_change)

    def dies(self) -> None:
        """The bridge is killed, and started again."""
        assert self.left.bridge is not None
        self.left.bridge.kill()
        self.left.start()
        self._meshed()
        # A softwire is seen to stand long before BGP does, which is what we shall leave by.
        eventually(
            lambda: not self.left.status().get("removal_awaits", True) and not self.mesh.bird.restarting(),
            within=_UP, what="BGP is whole again, both ways", every=0.2,
        )  # fmt: skip

    def reloads(self) -> None:
        """The others' operator loads his files again, whereupon ours must be loaded again too."""
        self.others.load(self.left.charon, self.left.home / "others")
        eventually(
            lambda: "softmesh-2" in self.left.charon.swanctl("--list-conns"), within=_UP, what="ours are loaded again"
        )
        self._meshed()

    def charon_is_restarted(self) -> None:
        """By the others' operator, while the mesh is up."""
        self.left.start()
        eventually(
            lambda: self.left.status()["softwires"] is not None and self._announces(),
            within=_UP,
            what="it announces again",
        )
        self._meshed()
        self.left.charon.restart()
        self.others.connect()
        self._meshed()

    def leaves(self) -> None:
        """We withdraw, stop, and clean up."""
        self.left.softmesh("withdraw", "-c", str(self.left.configuration))
        eventually(
            lambda: "softmesh-2" not in self.left.charon.swanctl("--list-sas"), within=_UP, what="ours are closed"
        )
        eventually(
            lambda: not self.mesh.bird.prefixes() & set(self.left.settings["announce"]["prefixes"]),
            within=_UP, what="the reflector has heard it", every=0.2,
        )  # fmt: skip
        assert self.left.bridge is not None
        self.left.bridge.stop()
        self.left.softmesh("flush", "-c", str(self.left.configuration))

    def _announces(self) -> bool:
        return "announcing" in self.left.softmesh("announce", "-c", str(self.left.configuration), check=False)

    def _meshed(self) -> None:
        eventually(lambda: meshed(self.mesh.afbrs.values()), within=_UP, what="the mesh is up", every=0.2)

    def _carried(self, prefix: str) -> bool:
        return any(prefix in pair for pair in self.left.spis())

    def _known(self) -> set[str]:
        return set(self.right.wires().get(self.left.endpoint, {}).get("authenticators", ()))

    def _held(self, key: Path) -> bool:
        return f'"{load_identity(key).key_id.hex()}"' in self.others.in_charon()["keys"]

    def _by_group_key(self) -> bool | None:
        """Whether the softwire is up by a pre-shared key; None where it is not up at all."""
        if not meshed(self.mesh.afbrs.values()):
            return None
        return any("softmesh-2" in name for name in self.others.in_charon()["secrets"])

    def _untouched(self, step: Callable[[], None]) -> None:
        """See that all the others had is there still; what is ours has come beside it."""
        numbers = self._same_sas
        for place, before, now in (
            ("charon", self._charon[numbers], self.others.in_charon(numbers=numbers)),
            ("the kernel", self._kernel[numbers], self.others.in_kernel(numbers=numbers)),
        ):
            gone = lost(before, now)
            assert not gone, f"{place} after {step.__name__}: {gone}"
        eventually(self.others.carries, within=10, what=f"theirs carry packets after {step.__name__}")

    def _as_before(self) -> None:
        """See that there is what there was before us, and nothing besides but keys, which charon does not give back.

        Our private one stays, which others may use too, and public ones of peers, which it has no command to forget.
        """
        # Who has not heard yet that we are gone asks for his softwire, and is refused: for a moment that is an SA.
        with suppress(NotReached):
            eventually(lambda: not any(self._left().values()), within=20, what="nothing of ours is there", every=0.5)
        differing = self._left()
        assert not any(differing.values()), differing
        eventually(self.others.carries, within=10, what="theirs carry packets in the end")

    def _left(self) -> dict[str, dict[str, list[str]]]:
        """What is not as it was before us, in charon and in the kernel."""
        numbers = self._same_sas
        differing = unlike(self._charon[numbers], self.others.in_charon(numbers=numbers))
        kept = {f'+ "{load_identity(path).key_id.hex()}"' for path in self.keys}
        left = {
            section: [line for line in lines if line not in kept and not (line[0] == "+" and '"PUBKEY"' in line)]
            for section, lines in differing.items()
        }
        in_charon = {section: lines for section, lines in left.items() if lines}
        return {
            "charon": in_charon,
            "the kernel": unlike(self._kernel[numbers], self.others.in_kernel(numbers=numbers)),
        }
