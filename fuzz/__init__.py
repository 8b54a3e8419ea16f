"""Hostile input by the million: ``python -m fuzz MINUTES [TARGET…]``. One file a target, each with its oracle."""
