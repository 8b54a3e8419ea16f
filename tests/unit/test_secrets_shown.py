"""No value that holds a secret shows it when it is printed, and no error does: a traceback prints both."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import importlib
import logging
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import softmesh
from softmesh.bgp.exabgp_process import ExaBgpNeighbor, ExaBgpSettings, ManagedExaBgp
from softmesh.charon.actions import LoadKey, LoadSecret
from softmesh.charon.connection import Secret
from softmesh.charon.packet import frame, request_packet
from softmesh.config import read_group_key, read_password
from softmesh.errors import SoftmeshError
from softmesh.mesh.credential import GroupKey
from softmesh.mesh.identity import identity_from_pem
from softmesh.mesh.key_directory import KeyDirectory
from softmesh.mesh.public_key import public_keys
from softmesh.mesh.trust_policy import TrustPolicy

SECRET = "correct-horse-battery-staple"
KEY = Ed25519PrivateKey.generate()
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
SEED = KEY.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
FORMS = [
    SECRET,
    base64.b64encode(SECRET.encode()).decode(),
    PEM.splitlines()[1].decode(),
    SEED.hex(),
    base64.b64encode(SEED).decode(),
    repr(SEED)[2:-1],
]

_SECRET = re.compile(r"(?<!public_)(secret|password|private|psk|pem)(?!_(file|digest|octets))")
_NO_SECRETS = {
    # Paths of files.
    "OwnKey.private_key", "IdentityFiles.private_key",
    # Of charon.connection.Secret, whose own repr leaves it out; or its name.
    "LoadSecret.secret", "Connection.secret", "Observed.secrets",
}  # fmt: skip


def shows(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


def test_the_search_finds_what_is_there() -> None:
    for form in FORMS:
        assert shows(f"before {form} after") == [form]
    assert shows(repr(PEM)) == [FORMS[2]]
    assert shows(repr({"key": SEED})) == [FORMS[5]]


def fields() -> Iterator[tuple[str, str, bool]]:
    """Each field of each value in the package that is called as if it held a secret, and whether ``repr`` shows it."""
    for module in pkgutil.walk_packages(softmesh.__path__, "softmesh."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if not isinstance(value, type) or value.__module__ != module.name:
                continue
            if dataclasses.is_dataclass(value):
                shown = {field.name: field.repr for field in dataclasses.fields(value)}
            elif issubclass(value, msgspec.Struct):
                shown = dict.fromkeys(value.__struct_fields__, True)
            else:
                continue
            for name, visible in shown.items():
                if _SECRET.search(name):
                    yield value.__name__, name, visible


def test_every_field_that_is_called_a_secret_is_left_out_of_repr() -> None:
    found = {f"{owner}.{name}": visible for owner, name, visible in fields()}
    held = {"ExaBgpNeighbor.password", "Identity.private_key_pem", "GroupKey.secret", "LoadKey.private_key"}
    assert held <= found.keys(), "or the search finds nothing"
    assert {name for name, visible in found.items() if visible} <= _NO_SECRETS


def holders() -> dict[str, object]:
    """One of each value that holds a secret, whatever it is called there."""
    group = GroupKey("192.0.2.1", "192.0.2.2", SECRET.encode(), "digest")
    neighbor = ExaBgpNeighbor("192.0.2.254", 65000, SECRET)
    settings = ExaBgpSettings("192.0.2.1", "192.0.2.1", 65000, (neighbor,), ("/usr/bin/softmesh", "hook"))
    return {
        "Identity": identity_from_pem(PEM, "identity.key"),
        "LoadKey": LoadKey(PEM),
        "GroupKey": group,
        "TrustPolicy": TrustPolicy(secret=SECRET.encode(), secret_digest="digest"),
        "Secret": Secret("softmesh-192.0.2.2-digest", "192.0.2.2", SECRET.encode()),
        "LoadSecret": LoadSecret(Secret("softmesh-192.0.2.2-digest", "192.0.2.2", SECRET.encode())),
        "ExaBgpNeighbor": neighbor,
        "ExaBgpSettings": settings,
        "ManagedExaBgp": ManagedExaBgp(settings, Path("/nonexistent"), on_log=print, on_end=print),
    }


@pytest.mark.parametrize("name", holders())
def test_no_value_shows_its_secret(name: str) -> None:
    value = holders()[name]
    described = value.describe() if isinstance(value, LoadKey | LoadSecret) else ""
    assert shows(f"{value!r} {value!s} {[value]} {described}") == []


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("read", [read_password, read_group_key])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"{SECRET}\n{SECRET}\n".encode(), id="two lines"),
        pytest.param(f"{SECRET} \n".encode(), id="blank"),
        pytest.param(f"{SECRET}é\n".encode(), id="not ASCII"),
        pytest.param(SECRET.encode() * 20, id="too long"),
        pytest.param(SECRET.encode() * 200, id="far too long"),
        pytest.param(b"\n" + SECRET.encode(), id="empty first line"),
    ],
)
def test_errors_about_a_shared_secret_do_not_show_it(read: object, content: bytes, tmp_path: Path) -> None:
    assert callable(read)
    said = failure(lambda: read(written(tmp_path, content)))
    assert shows(said) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PEM.replace(b"PRIVATE KEY-----\n", b"PRIVATE KEY-----\nAAAA\n", 1), id="damaged"),
        pytest.param(PEM[:-20], id="cut short"),
        pytest.param(PEM.replace(b"-----", b"----"), id="no armour"),
        pytest.param(PEM.replace(b"PRIVATE", b"PUBLIC"), id="called public"),
        pytest.param(SEED, id="raw"),
        pytest.param(KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), id="DER"),
    ],
)
def test_errors_about_a_key_do_not_show_it(content: bytes, tmp_path: Path) -> None:
    assert shows(failure(lambda: identity_from_pem(content, "identity.key"))) == []
    # The same file, put among the peers' public keys by mistake.
    assert shows(failure(lambda: public_keys(content, "keys/peer.pem"))) == []
    written(tmp_path, content)
    directory = KeyDirectory(tmp_path)
    directory.scan()
    assert directory.problems
    assert shows(" ".join(directory.problems)) == []


def failure(attempt: object) -> str:
    """All that a traceback could print of an error and of those it came of."""
    assert callable(attempt)
    with pytest.raises(SoftmeshError) as caught:
        attempt()
    said = []
    error: BaseException | None = caught.value
    while error is not None:
        said += [repr(error), str(error), repr(error.args)]
        error = error.__context__
    return "\n".join(said)


async def test_what_asyncio_says_of_a_task_nobody_waited_for_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(*holding: object) -> None:
        await asyncio.sleep(0)
        raise RuntimeError(*holding)

    loop = asyncio.get_running_loop()
    with caplog.at_level(logging.DEBUG, "asyncio"):
        task = asyncio.create_task(fail(*holders().values()))
        await asyncio.wait([task])
        loop.call_exception_handler(
            {"message": "Task exception was never retrieved", "task": task, "exception": task.exception()}
        )
        # A callback's arguments are shown too.
        loop.call_soon(lambda *_: 1 / 0, *holders().values())
        await asyncio.sleep(0)
    assert "GroupKey(" in caplog.text
    assert "Exception in callback" in caplog.text
    assert shows(caplog.text) == []


def test_a_message_too_long_for_charon_is_not_shown() -> None:
    with pytest.raises(ValueError, match="octets") as caught:
        frame(request_packet("load-shared", {"data": [SECRET * 1000] * 30}))
    assert shows(repr(caught.value)) == []
