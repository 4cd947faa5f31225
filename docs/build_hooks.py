"""Pages of the site that are generated from the source (MkDocs calls these functions).

Reads the source's text: neither torch nor Detectron2 has to be there.
"""

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_PACKAGE = Path(__file__).resolve().parents[1] / "pading"
_COMMANDS = """# Commands

`pading NAME` runs a command; `pading NAME --help` lists its options. In a checkout the scripts in
`tools/` do the same.
"""
_INTRODUCTION = """# Configuration reference

Keys that pading adds to Detectron2's. A configuration file or KEY VALUE pairs set them. The
schedule and the data loading have [Detectron2's own keys](https://detectron2.readthedocs.io/en/latest/modules/config.html).
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the references of commands and of configuration keys."""
    keys = (_PACKAGE / "config" / "__init__.py").read_text(encoding="utf-8")
    files.append(File.generated(config, "configuration.md", content=configuration_page(keys)))
    files.append(
        File.generated(config, "commands.md", content=commands_page(_PACKAGE / "commands"))
    )
    return files


def commands_page(folder: Path) -> str:
    """What the help of each command begins or ends with, as it is printed.

    Args:
        folder: of the commands' modules; its ``__init__.py`` assigns COMMANDS.
    """
    blocks = [_COMMANDS]
    for statement in ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "COMMANDS":
            for name in ast.literal_eval(statement.value):
                source = (folder / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
                text = ast.get_docstring(ast.parse(source))
                blocks.append(f"## {name}\n\n```text\n{text}\n```\n")
    return "\n".join(blocks)


def configuration_page(source: str) -> str:
    """A heading for each key, its default and the comment above it.

    Args:
        source: of the module whose functions ``_add_..._keys(cfg)`` assign the defaults.
    """
    lines = source.splitlines()
    blocks = [_INTRODUCTION]
    for function in ast.parse(source).body:
        if not (isinstance(function, ast.FunctionDef) and function.name.startswith("_add_")):
            continue
        names = {"cfg": ""}
        for statement in function.body:
            if isinstance(statement, ast.Assign):
                blocks += _block(statement, names, lines)
    return "\n".join(blocks)


def _block(statement: ast.Assign, names: dict[str, str], lines: list[str]) -> list[str]:
    """What the page says of one assignment; remembers short names of sections in ``names``."""
    target, *others = statement.targets
    if not isinstance(target, ast.Attribute):
        return []
    first, _, rest = ast.unparse(target).partition(".")
    if first not in names:
        return []
    key = f"{names[first]}{rest}"
    value = ast.unparse(statement.value)
    if value == "CfgNode()":
        names.update((ast.unparse(other), f"{key}.") for other in others)
        return []
    above = []
    for line in reversed(lines[: statement.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    return [f"## {key}\n", f"Default: `{value}`\n", " ".join(above).replace("<", "&lt;") + "\n"]
