"""Print the JSON Schema of the configuration file: ``python -m softmesh.config > mesh.schema.json``."""

import sys

from softmesh.config.schema import schema_text

sys.stdout.write(schema_text())
