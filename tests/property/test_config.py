"""Whatever is in the file: a configuration or a ConfigurationError of one line, nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.configuration import outcome
from softmesh.config import examine, values
from softmesh.config.schema import schema
from softmesh.mesh.trust_policy import TrustPolicy
from tests.unit.config.authority import ENDPOINT, LABELLED
from tests.unit.config.site import EXAMPLES, GOOD, Site

FULL = (EXAMPLES / "full.yaml").read_text()
PATIENT = settings(deadline=None)
"""On a busy machine any one example may take long."""
VALIDATOR = jsonschema.Draft202012Validator(schema())


@pytest.fixture(scope="module")
def router() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as directory:
        yield Site(Path(directory))


@PATIENT
@given(content=st.binary(max_size=400))
def test_any_octets(router: Site, content: bytes) -> None:
    assert outcome(router, content) is None


@PATIENT
@given(content=st.text(max_size=400))
def test_any_text(router: Site, content: str) -> None:
    outcome(router, content.encode("utf-8", "surrogatepass"))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
YAML_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@PATIENT
@given(value=YAML_VALUES | st.dates() | st.datetimes())
def test_any_yaml(router: Site, value: object) -> None:
    assert outcome(router, yaml.safe_dump(value, allow_unicode=True).encode()) is None


LEAVES = [
    (section, key)
    for section, keys in yaml.safe_load(FULL).items()
    for key in (keys if isinstance(keys, dict) else [None])
]


@PATIENT
@given(where=st.sampled_from(LEAVES), value=YAML_VALUES)
def test_any_value_in_the_place_of_another(router: Site, where: tuple[str, str | None], value: object) -> None:
    whole = yaml.safe_load(FULL)
    section, key = where
    if key is None:
        whole[section] = value
    else:
        whole[section][key] = value
    text = yaml.safe_dump(whole, allow_unicode=True)
    config = outcome(router, text.encode())
    if config is not None:
        # What is loaded is what the schema allows: editors and the program agree.
        assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []


@PATIENT
@given(data=st.data())
def test_full_example_mutated(router: Site, data: st.DataObject) -> None:
    content = bytearray(FULL.encode())
    for _ in range(data.draw(st.integers(1, 6), label="changes")):
        position = data.draw(st.integers(0, len(content) - 1), label="position")
        match data.draw(st.sampled_from(["replace", "insert", "delete", "repeat"]), label="change"):
            case "replace":
                content[position] = data.draw(st.sampled_from(b":-[]{}#&*!|>'\"%@` \n\t\r0a~\x00\x7f\xc3\xff"))
            case "insert":
                content[position:position] = data.draw(st.binary(min_size=1, max_size=8))
            case "delete":
                del content[position : position + data.draw(st.integers(1, 40))]
            case "repeat":
                length = data.draw(st.integers(1, 80))
                content[position:position] = content[position : position + length]
        if not content:
            break
    outcome(router, bytes(content))


@PATIENT
@given(lines=st.lists(st.sampled_from(FULL.splitlines()), max_size=60))
def test_lines_of_the_full_example_in_any_order(router: Site, lines: list[str]) -> None:
    outcome(router, "\n".join(lines).encode())


URLS = (
    st.text(max_size=30)
    | st.builds("{}{{sha1}}{}".format, st.text(max_size=20), st.text(max_size=20))
    | st.builds("https://{}{{sha1}}{}".format, st.text(max_size=20), st.text(max_size=20))
    | st.from_regex(values.STORE_URL, fullmatch=True)
)
TEMPLATES = st.text(max_size=30) | st.from_regex(values.IDENTITY_TEMPLATE, fullmatch=True)


def with_trust(trust: dict[str, object]) -> str:
    return GOOD + yaml.safe_dump({"trust": trust}, allow_unicode=True)


@PATIENT
@given(url=URLS)
def test_stores_are_where_they_say(router: Site, url: str) -> None:
    text = with_trust({"keys": [{"url": url}]})
    config = outcome(router, text.encode("utf-8", "surrogatepass"))
    if config is None:
        return
    (source,) = config.trust.keys
    assert source.url == url
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []
    parts = urlsplit(url.replace("{sha1}", "ab" * 20))
    assert parts.scheme in {"http", "https"}
    assert parts.hostname
    assert (parts.username, parts.password, parts.fragment) == (None, None, "")
    assert url.isascii()
    assert "ab" * 20 in parts.path + parts.query


@PATIENT
@given(before=st.text("abc/:.{}", max_size=12), after=st.text("abc/:.{}", max_size=12))
def test_no_password_of_a_url_is_shown(router: Site, before: str, after: str) -> None:
    text = with_trust({"keys": [{"url": f"{before}opensesame@{after}"}]})
    problems = [str(problem) for problem in router.examine(text).problems]
    assert problems
    assert not any("opensesame" in problem for problem in problems)


@PATIENT
@given(template=TEMPLATES)
def test_identities_are_names(router: Site, template: str) -> None:
    text = with_trust({"mode": "pinned+pki", "authorities": ["ca.pem"], "identity": template}).replace(
        "identity.key\n", "identity.key\n  certificate: identity.crt\n"
    )
    config = outcome(router, text.encode("utf-8", "surrogatepass"))
    if config is not None:
        # Our certificate has two names.
        assert TrustPolicy(identity=template).identity_of(config.endpoint) in {ENDPOINT, LABELLED}
        assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []


IPV4_MAPPED = IPv6Network("::ffff:0:0/96")
"""Refused, so that nothing more is said of its list."""
NETWORKS = st.builds(
    lambda number, length: ip_network((number >> (32 - length) << (32 - length), length)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
) | st.builds(
    lambda number, length: ip_network((number >> (128 - length) << (128 - length), length)),
    st.integers(2**32, 2**128 - 1),
    st.integers(0, 128),
).filter(lambda network: network.version == 4 or not network.subnet_of(IPV4_MAPPED))


@PATIENT
@given(networks=st.lists(NETWORKS, max_size=12))
def test_overlap_of_announced_prefixes_is_found_exactly(
    router: Site, networks: list[IPv4Network | IPv6Network]
) -> None:
    listed = ", ".join(f'"{network}"' for network in networks)
    router.file.write_text(GOOD.replace("[10.1.0.0/24]", f"[{listed}]"))
    found = [problem for problem in examine(router.file, files=False).errors if "keep one of them" in problem.remedy]
    clash = any(
        one.version == other.version and one.overlaps(other)
        for index, one in enumerate(networks)
        for other in networks[:index]
    )
    assert bool(found) == clash


@PATIENT
@given(networks=st.lists(NETWORKS, min_size=1, max_size=5))
def test_networks_are_read_as_they_are_written(router: Site, networks: list[IPv4Network | IPv6Network]) -> None:
    listed = "".join(f"\n    - '{network}'" for network in networks)
    text = GOOD.replace("  prefixes: [10.0.0.0/8]", f"  prefixes: {listed}")
    config = router.examine(text).config
    assert config is not None
    assert config.admission.prefixes == tuple(networks)
