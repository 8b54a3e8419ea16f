"""The one configuration file: typed values, where they come from, and what can be wrong with them."""

from softmesh.config.loading import DEFAULT_PATH, Examination, examine, load
from softmesh.config.problems import ConfigurationError, Place, Problem, Severity
from softmesh.config.shared_secrets import read_group_key, read_password
from softmesh.config.values import Config, Neighbor

__all__ = [
    "DEFAULT_PATH",
    "Config",
    "ConfigurationError",
    "Examination",
    "Neighbor",
    "Place",
    "Problem",
    "Severity",
    "examine",
    "load",
    "read_group_key",
    "read_password",
]
