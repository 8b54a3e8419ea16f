"""``python -m softmesh`` is the command ``softmesh``."""

import sys

from softmesh.cli import main

sys.exit(main())
