"""The planner, its loop, and what the running bridge answers."""
