"""Real daemons in network namespaces: what the demo, the lab tests and the benches are built from.

Everything here runs inside ``lab/sandbox``, whose end takes all of it away.
"""
