"""Whether this machine has what a mesh.yaml asks of it, and the command for what it lacks."""
