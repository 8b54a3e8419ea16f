"""Who is answered by the web server: a Host header names us only if it is an address or ``localhost``."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from softmesh.web.server import names_us

PORTS = st.one_of(st.just(""), st.integers(0, 99999).map(":{}".format))
LABELS = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@given(st.text())
def test_any_text(host: str) -> None:
    if names_us(host):
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        assert name.lower() == "localhost" or is_address(name)


@given(st.lists(LABELS, min_size=2, max_size=5), PORTS)
def test_no_domain_is_ours(labels: list[str], port: str) -> None:
    assert not names_us(".".join(labels) + port)
    assert not names_us("localhost." + ".".join(labels) + port)
    assert not names_us("127.0.0.1." + ".".join(labels) + port)


@given(st.ip_addresses(), PORTS)
def test_every_address_is(address: object, port: str) -> None:
    text = str(address)
    assert names_us((f"[{text}]" if ":" in text else text) + port)
