"""A mesh of real daemons under random events for a while, and what must hold all the time."""
