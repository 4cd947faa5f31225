"""Pages of the site that lie elsewhere or are generated (MkDocs calls these functions).

Reads the source's text: neither torch nor Detectron2 has to be there.
"""

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = _ROOT / "pading"
_COMMANDS = """# Commands

`pading NAME` runs a command; `pading NAME --help` lists its options. In a checkout the scripts in
`tools/` do the same.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the commands and the data sets; ``make docs`` writes the configuration keys before."""
    data_sets = (_ROOT / "datasets" / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "datasets.md", content=data_sets))
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
