"""Softmesh: the bridge between BGP and IPsec.

A softwire mesh (RFC 5565) whose softwires are secured by IPsec from what BGP says alone (RFC 5566, RFC 5619,
RFC 9012). ``bgp`` holds what the network says, ``mesh`` what ought to exist, ``charon`` what strongSwan has and
does, ``control`` the planner and its loop, ``cli`` the commands.
"""

__version__ = "0.1.0"
