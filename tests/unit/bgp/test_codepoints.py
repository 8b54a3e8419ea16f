"""Names and numbers of the registries."""

from __future__ import annotations

import re

from softmesh.bgp.codepoints import SubTlvType, TunnelType, sub_tlv_name, tunnel_type_name


def test_tunnel_types_have_their_iana_names() -> None:
    assert list(TunnelType) == list(range(29))
    assert TunnelType.IPSEC_TUNNEL.label == tunnel_type_name(4) == "IPsec in Tunnel-mode"
    assert tunnel_type_name(2) == "GRE"
    assert tunnel_type_name(13) == "MPLS in UDP Encapsulation"
    assert len({t.label for t in TunnelType}) == len(TunnelType)


def test_tunnel_types_have_a_keyword_each() -> None:
    assert len({t.keyword for t in TunnelType}) == len(TunnelType)
    assert all(re.fullmatch("[a-z0-9-]+", t.keyword) for t in TunnelType)
    assert TunnelType.GRE.keyword == "gre"
    assert TunnelType.DPS.keyword == "dynamic-path-selection-dps-tunnel-encapsulation"


def test_unknown_numbers_have_a_name_too() -> None:
    assert tunnel_type_name(60000) == "tunnel type 60000"
    assert sub_tlv_name(99) == "sub-TLV 99"
    assert all(not sub_tlv_name(t).startswith("sub-TLV") for t in SubTlvType)
