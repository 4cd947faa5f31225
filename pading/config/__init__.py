"""Configuration: every key declared once, and how files and KEY VALUE pairs are read."""

from pading.config.keys import KEYS, add_pading_config, check_settings, value_of
from pading.config.published_keys import PUBLISHED_KEYS
from pading.config.reading import (
    config_from_yaml,
    config_path,
    leaves,
    list_configs,
    load_config,
    overridden,
    override,
)
from pading.config.yaml_files import flat_line, read_yaml

__all__ = [
    "KEYS",
    "PUBLISHED_KEYS",
    "add_pading_config",
    "check_settings",
    "config_from_yaml",
    "config_path",
    "flat_line",
    "leaves",
    "list_configs",
    "load_config",
    "overridden",
    "override",
    "read_yaml",
    "value_of",
]
