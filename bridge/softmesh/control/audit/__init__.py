"""What the RFCs require of a softwire mesh, held against this node as it is now (``softmesh audit``).

``requirement`` has the values, ``node`` what is looked at, ``mesh``, ``framework``, ``tunnels`` and ``upkeep`` the
requirements themselves with the function that judges each, ``report`` all of them together. Only ``facts`` looks at
anything outside this process; the rest is pure.
"""
