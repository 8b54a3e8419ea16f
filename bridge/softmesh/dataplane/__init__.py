"""What the kernel has and does: tunnel interfaces, routes into them, and guards against cleartext."""
