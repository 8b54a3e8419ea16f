"""/metrics of a real mesh: what it says while all is well, while a peer is away, once it has left, and of rekeying."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from lab.eventually import eventually
from lab.mesh import Afbr, Direction, Mesh, meshed
from lab.namespace import program
from softmesh.web.metric_catalogue import CATALOGUE, Kind
from tests.unit.queries import DASHBOARD, MONITORING, RULES, queries, selected

PORT = 8180
"""As in monitoring/prometheus.yml."""
PROMETHEUS = 9090
PINGS = 2
"""Of 84 octets each, every way."""
_FETCH = "import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=30).read())"


class Scrape:
    """One scrape of a router."""

    def __init__(self, afbr: Afbr) -> None:
        self.text = afbr.namespace.run(sys.executable, "-c", _FETCH, f"http://127.0.0.1:{PORT}/metrics").stdout
        self._samples = [sample for family in text_string_to_metric_families(self.text) for sample in family.samples]
        self.names = {sample.name for sample in self._samples}
        self.families = set(re.findall(r"^# TYPE (\S+)", self.text, re.MULTILINE))

    def of(self, name: str, **labels: str) -> list[tuple[Mapping[str, str], float]]:
        """The samples of a name that have these labels."""
        return [
            (sample.labels, sample.value)
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float:
        """The only one; minus one where there is none."""
        found = self.of(name, **labels)
        assert len(found) < 2, f"several samples of {name} have {labels}: {found}"
        return found[0][1] if found else -1.0

    def state(self, softwire: str) -> str | None:
        """The state of a softwire; None where it has no series."""
        holds = [labels["state"] for labels, value in self.of("softmesh_softwire_state", softwire=softwire) if value]
        assert len(holds) < 2, f"{softwire} is in several states: {holds}"
        return holds[0] if holds else None

    def bytes(self, softwire: str) -> tuple[float, float]:
        """Octets in and out."""
        name = "softmesh_softwire_bytes_total"
        return (
            self.value(name, softwire=softwire, direction="in"),
            self.value(name, softwire=softwire, direction="out"),
        )


def scraped(afbr: Afbr, condition: Callable[[Scrape], object], *, within: float, what: str) -> Scrape:
    """The first scrape for which the condition holds."""
    last: list[Scrape] = []

    def holds() -> object:
        last[:] = [Scrape(afbr)]
        return condition(last[0])

    eventually(holds, within=within, what=what, every=0.3)
    return last[0]


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Three AFBRs over an IPv6 core that serve metrics, and all softwires up; the last test sends one away."""
    with Mesh(Direction.FOUR_OVER_SIX, 3, settings={"http": {"port": PORT}, "bgp": {"stale_time": 3}}) as mesh:
        mesh.start()
        eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="every softwire is up")
        yield mesh


def wire(mesh: Mesh, number: int) -> str:
    """How the softwire to a router is called."""
    return f"{mesh.plan.endpoint(number)}/ipsec-tunnel-mode"


def test_a_mesh_that_is_well(mesh: Mesh) -> None:
    first = mesh.afbrs[1]
    scrape = scraped(
        first,
        # A look on behalf of whoever asks may see them up before the pass that counts them; and charon counts as away
        # while it takes more than a second for an answer.
        lambda scrape: (
            scrape.value("softmesh_softwires", state="up", cause="") == 2
            and scrape.value("softmesh_softwire_convergence_seconds_count") == 2
            and scrape.value("softmesh_bgp_session_protection", neighbor=mesh.reflector_address, protection="md5") == 1
            and scrape.value("softmesh_charon_connected") == 1
        ),
        within=20,
        what="two softwires are shown up, and counted, and the session is judged",
    )
    assert scrape.value("softmesh_softwires_desired") == 2
    assert {scrape.state(wire(mesh, number)) for number in (2, 3)} == {"up"}
    assert scrape.value("softmesh_hook_connected") == 1
    assert 0 < scrape.value("softmesh_softwire_convergence_seconds_sum") < 60
    assert scrape.value("softmesh_softwire_child_sas", softwire=wire(mesh, 2)) == 1
    assert scrape.value("softmesh_softwire_established_total", softwire=wire(mesh, 2)) == 1
    assert scrape.value("softmesh_attempts_total") >= 2, "it has the lower endpoint of both"
    assert scrape.value("softmesh_vici_command_duration_seconds_count", command="list-sas") >= 1
    assert scrape.value("softmesh_bgp_session_state", neighbor=mesh.reflector_address, state="up") == 1
    assert scrape.value("softmesh_bgp_routes", neighbor=mesh.reflector_address, family="ipv4 unicast") == 2
    assert scrape.value("softmesh_hook_delay_seconds_count") >= 0
    assert scrape.value("softmesh_pass_duration_seconds_count") >= 1
    linted = subprocess.run(
        [program("promtool"), "check", "metrics"], input=scrape.text, capture_output=True, text=True, check=False
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")
    # What the dashboard and the rules ask for is there, under the names they use.
    asked = {
        name for query in queries(json.loads(DASHBOARD.read_text()), RULES.read_text()) for name in selected(query)
    }
    histograms = {each.name for each in CATALOGUE if each.kind is Kind.HISTOGRAM}
    told = scrape.names | scrape.families | {f"{name}{part}" for name in histograms for part in ("_bucket", "_count")}
    assert asked <= told | {"up", "ALERTS"}


def test_counters_go_on_through_rekeying_and_setting_up_anew(mesh: Mesh) -> None:
    first, name = mesh.afbrs[1], wire(mesh, 2)
    seen = [Scrape(first).bytes(name)]

    def carry() -> None:
        """Traffic both ways, and all of it counted before anything is done to the SA."""
        enough = [octets + PINGS * 84 for octets in seen[-1]]
        # The other end may be rid of the SA before a moment later than we are.
        eventually(lambda: first.island.ping(mesh.plan.host(2, 10), count=PINGS), within=20, what="pings are answered")
        counted = scraped(
            first,
            lambda scrape: all(now >= then for now, then in zip(scrape.bytes(name), enough, strict=True)),
            within=10,
            what="the pings are counted",
        )
        seen.append(counted.bytes(name))

    carry()
    for what in ("ike", "child"):
        spis, rekeyed = first.spis(), Scrape(first).value("softmesh_rekeyings_total", sa=what)
        _rekey(first, what, mesh.plan.endpoint(2))
        scraped(
            first,
            lambda scrape, rekeyed=rekeyed, what=what: scrape.value("softmesh_rekeyings_total", sa=what) == rekeyed + 1,  # type: ignore[misc]
            within=10,
            what=f"the rekeying of the {what} SA is counted",
        )
        # The old CHILD SA may be listed with the new one for a while.
        eventually(
            lambda spis=spis, what=what: (spis == first.spis()) is (what == "ike"),  # type: ignore[misc]
            within=20, what="SPIs are new after the rekeying of a CHILD SA, and of no other",
        )  # fmt: skip
        seen.append(Scrape(first).bytes(name))
        carry()
    old = set(first.spis().items())
    first.charon.swanctl("--terminate", "--ike", _connection(first, mesh.plan.endpoint(2)))
    eventually(
        lambda: mesh.plan.endpoint(2) in first.up() and len(old & set(first.spis().items())) == 1,
        within=20, what="it is set up anew, and the other stands",
    )  # fmt: skip
    seen.append(Scrape(first).bytes(name))
    carry()
    assert seen == sorted(seen), f"octets went back: {seen}"
    assert [out for _, out in seen] == sorted(out for _, out in seen), f"octets went back: {seen}"
    assert min(seen[-1]) >= 4 * PINGS * 84, f"octets were lost: {seen}"
    # In this SA alone there is less: the sum is ours.
    assert first.up()[mesh.plan.endpoint(2)]["bytes_out"] < seen[-1][1]
    scraped(
        first,
        lambda scrape: scrape.value("softmesh_softwire_established_total", softwire=name) >= 2,
        within=10,
        what="that it was set up anew is counted",
    )


def test_prometheus_takes_it_and_an_alert_fires(mesh: Mesh, tmp_path: Path) -> None:
    third = mesh.afbrs[3]
    # As shipped, but in a hurry.
    rules = re.sub(r"^( +for): .*$", r"\1: 1s", RULES.read_text(), flags=re.MULTILINE)
    (tmp_path / RULES.name).write_text(rules)
    settings = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
    prometheus = third.namespace.start(
        program("prometheus"), f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{PROMETHEUS}", log=f"{third.namespace.name}/prometheus.log",
    )  # fmt: skip
    try:
        eventually(
            lambda: [(each["health"], each["lastError"]) for each in asked(third, "targets")["activeTargets"]]
            == [("up", "")],
            within=30, what="Prometheus has scraped the bridge", every=0.5,
        )  # fmt: skip
        # That the bridge is absent was true before the first scrape.
        eventually(lambda: not firing(third), within=30, what="no alert fires", every=0.5)
        third.charon.stop()
        eventually(lambda: "SoftmeshCharonAway" in firing(third), within=30, what="the alert fires", every=0.5)
        third.charon.start()
        eventually(lambda: not firing(third) & {"SoftmeshCharonAway"}, within=30, what="it ends", every=0.5)
    finally:
        prometheus.stop()
    eventually(lambda: meshed(mesh.afbrs.values()), within=30, what="every softwire is up again")


def asked(afbr: Afbr, what: str) -> dict[str, Any]:
    """What Prometheus' API says, once it listens."""
    url = f"http://127.0.0.1:{PROMETHEUS}/api/v1/{what}"
    said = eventually(
        lambda: afbr.namespace.run(sys.executable, "-c", _FETCH, url, check=False).stdout,
        within=30, what="Prometheus answers", every=0.5,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(said)["data"]
    return found


def firing(afbr: Afbr) -> set[str]:
    """The alerts that fire."""
    return {each["labels"]["alertname"] for each in asked(afbr, "alerts")["alerts"] if each["state"] == "firing"}


def test_a_peer_that_is_away_is_shown_so_until_it_is_withdrawn(mesh: Mesh) -> None:
    first, second = mesh.afbrs[1], mesh.afbrs[2]
    second.charon.stop()
    scrape = scraped(
        first,
        lambda scrape: scrape.value("softmesh_softwire_cause", softwire=wire(mesh, 2), cause="silent") == 1,
        within=60,
        what="the softwire is shown with the cause of its failure",
    )
    assert scrape.state(wire(mesh, 2)) == "connecting"
    assert scrape.value("softmesh_softwires", state="connecting", cause="silent") == 1
    assert scrape.value("softmesh_softwire_child_sas", softwire=wire(mesh, 2)) == 0
    assert scrape.value("softmesh_softwire_down_seconds_total", softwire=wire(mesh, 2)) > 0
    assert scrape.state(wire(mesh, 3)) == "up"
    scraped(
        first,
        lambda scrape: scrape.value("softmesh_attempts_failed_total", cause="silent") >= 1,
        within=60,
        what="a failed attempt is counted",
    )
    second.softmesh("withdraw", "-c", str(second.configuration))
    scraped(
        first,
        lambda scrape: scrape.state(wire(mesh, 2)) is None and scrape.value("softmesh_softwires_desired") == 1,
        within=30,
        what="it has no series any more, and is not counted",
    )


def _connection(afbr: Afbr, remote: str) -> str:
    (name,) = {
        match[1]
        for match in re.finditer(rf"^(softmesh-{remote}-\S+):", afbr.charon.swanctl("--list-sas"), re.MULTILINE)
    }
    return name


def _rekey(afbr: Afbr, what: str, remote: str) -> None:
    connection = _connection(afbr, remote)
    name = connection
    if what == "child":
        (child,) = afbr.up()[remote]["children"]
        name = child["name"]
    afbr.charon.swanctl("--rekey", f"--{what}", name)
