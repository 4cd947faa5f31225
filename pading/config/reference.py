"""The reference page of all keys, made from their declarations."""

from itertools import groupby

from detectron2.config import get_cfg

from pading.config.key import ANY, Key
from pading.config.keys import KEYS, add_pading_config, value_of


def reference_page() -> str:
    """A Markdown page: a table for each section, a row for each key."""
    cfg = get_cfg()
    add_pading_config(cfg)
    cfg.MODEL.DEVICE = "cuda where there is a GPU, else cpu"
    lines = [
        "# Configuration",
        "",
        "Every key that pading adds to Detectron2's, or checks. A key is set in a YAML file, or as "
        "`KEY VALUE` behind the options of a command.",
    ]
    for section, keys in groupby(KEYS, key=_section):
        lines += ["", f"## {section}", "", "| key | default | allowed | what for |"]
        lines.append("|:--|:--|:--|:--|")
        for key in keys:
            allowed = "" if key.rule is ANY else key.rule.wanted
            cells = (f"`{key.name}`", f"`{value_of(cfg, key.name)!r}`", allowed, key.comment)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _section(key: Key) -> str:
    sections = key.name.split(".")[:-1]
    return ".".join(sections[:2]) or "General"


if __name__ == "__main__":
    print(reference_page(), end="")
