"""Contradictions of the data plane. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from softmesh.config.finding import Finding, error, warning
from softmesh.config.prefixes import Overlaps
from softmesh.config.values import Config, DataPlaneMode, Guards, Selectors
from softmesh.mesh.softwire import INTERFACE_PREFIX


def dataplane_contradictions(config: Config) -> Iterator[Finding]:
    """Look at ``dataplane``, and at what its guards make of ``admission``."""
    dataplane = config.dataplane
    if dataplane.selectors is Selectors.ANY and dataplane.mode is not DataPlaneMode.ROUTE:
        yield error(
            ("dataplane", "selectors"),
            f"any needs interfaces to route into, and dataplane.mode {dataplane.mode} does not promise them",
            "set dataplane.mode: route, or selectors: prefixes",
            ("dataplane", "mode"),
        )
    if dataplane.admitted_only and dataplane.guards is not Guards.FULL:
        yield error(
            ("dataplane", "admitted_only"),
            f"is a matter of the nftables table, which dataplane.guards {dataplane.guards} leaves out",
            "set dataplane.guards: full, or remove it",
            ("dataplane", "guards"),
        )
    if dataplane.guards is Guards.NONE:
        yield warning(
            ("dataplane", "guards"),
            "none lets packets for peers' networks leave in the clear while their softwire is down",
            "set it to full or routes, unless something else stops them",
        )
    else:
        yield from _blackholes(config)
    if len(set(dataplane.core_devices)) < len(dataplane.core_devices):
        yield error(("dataplane", "core_devices"), "an interface is given twice", "keep one of each")
    for index, device in enumerate(dataplane.core_devices):
        if device.startswith(INTERFACE_PREFIX):
            yield error(
                ("dataplane", "core_devices", index),
                f"{device} is named as our own tunnel interfaces are",
                "name the interface towards the core",
            )


def _blackholes(config: Config) -> Iterator[Finding]:
    endpoints = Overlaps(config.admission.endpoints)
    for index, network in enumerate(config.admission.prefixes):
        if not network.prefixlen:
            yield warning(
                ("admission", "prefixes", index),
                f"{network} gets no blackhole route: what no softwire carries follows the default route in the clear",
                "list the networks of the islands",
                ("dataplane", "guards"),
            )
        elif (core := endpoints.find(network)) is not None:
            yield warning(
                ("admission", "prefixes", index),
                f"{network} overlaps {core} of admission.endpoints: its blackhole route cuts off endpoints that only "
                "a shorter route leads to",
                "admit more specific networks",
                ("admission", "endpoints"),
                ("dataplane", "guards"),
            )
