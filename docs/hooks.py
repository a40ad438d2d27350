"""Pages of the documentation that are made of other files: README, model cards, notebooks, public names and commands.

MkDocs loads this file (`hooks` in mkdocs.yml). Each of these texts is written once, in its own place.
"""

from __future__ import annotations

import ast
import html
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/halluc/halluc/blob/main/"
PACKAGES = ("halluc", "retrieval", "calibration", "training", "halluc.evaluation", "halluc.redteam")

# A line `<!-- README.md: Limits -->` is replaced by that section of the README, without its heading.
SECTION = re.compile(r"^<!-- ([\w./]+): (.+) -->$", re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that have no file of their own in docs/."""
    pages = {f"reference/{name}.md": reference(name) for name in PACKAGES}
    pages["reference/integrations.md"] = integrations()
    pages["reference/commands.md"] = commands()
    for name in ("default", "large"):
        card = f"halluc/verification/{name}/README.md"
        pages[f"benchmarks/{name}-verifier.md"] = with_absolute_links((ROOT / card).read_text(encoding="utf-8"), card)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = notebook(path)
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the sections of other files in their places."""
    return SECTION.sub(lambda match: section(match[1], match[2]), markdown)


def section(name: str, heading: str) -> str:
    """The text of a section of level 2."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{name} has no section {heading!r}")
    return with_absolute_links(found[1].strip(), name)


def with_absolute_links(text: str, name: str) -> str:
    """Links to files of the repository become links to its web page."""

    def absolute(match: re.Match[str]) -> str:
        target = (ROOT / name).parent / match[1]
        if "://" in match[1] or match[1].startswith("#"):
            return match[0]
        return f"]({REPOSITORY}{target.resolve().relative_to(ROOT).as_posix()})"

    return re.sub(r"\]\(([^)\s]+)\)", absolute, text)


def reference(package: str) -> str:
    """A page with the public names of a package, in the order of its stub."""
    folder = ROOT / package.replace(".", "/")
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    stub = (folder / "__init__.pyi").read_text(encoding="utf-8")
    names = re.findall(r"^from \.([\w.]*) import (\w+) as \2$", stub, re.MULTILINE)
    objects = "\n\n".join(f"::: {package}.{module}.{name}" for module, name in names)
    return f"# `{package}`\n\n{docstring.splitlines()[0]}\n\n{objects}\n"


def integrations() -> str:
    """A page with the adapters, each a module that is imported by its name."""
    modules = sorted(path.stem for path in (ROOT / "halluc/integrations").glob("[!_]*.py"))
    options = "    options:\n      heading_level: 2\n      show_root_full_path: true\n"
    objects = "\n\n".join(f"::: halluc.integrations.{name}\n{options}" for name in modules)
    return f"# Integrations\n\n{objects}\n"


def commands() -> str:
    """A page with the help of each command; it is read from the code, which is not run."""
    lines = [
        "# Commands",
        "",
        "`halluc COMMAND --help` lists the options of a command.",
        "",
        "| command | what it does |",
        "|---|---|",
    ]
    for path in sorted((ROOT / "halluc/cli").glob("*.py")):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef) and (command := command_name(path.stem, function)):
                summary = (ast.get_docstring(function) or "").split("\n\n")[0].replace("\n", " ")
                lines.append(f"| `halluc {command}` | {html.escape(summary, quote=False)} |")
    # Commands that are made in a loop.
    lines += [
        "| `halluc index add`, `halluc index update`, `halluc index sync` | Change an [index](../guides/ground.md). |",
        "| `halluc eval NAME` | Run a benchmark: see [the guide](../guides/evaluate.md). |",
        "| `halluc train RUN` | Train a model or a verifier: see [the guide](../guides/train.md). |",
    ]
    return "\n".join(lines) + "\n"


def command_name(module: str, function: ast.FunctionDef) -> str | None:
    """The name of the command that a function is: one with the module's name, or one that is registered in a group."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith(".command"):
            group = {"evaluate": "eval"}.get(module, module)
            name = (
                decorator.args[0].value if decorator.args and isinstance(decorator.args[0], ast.Constant) else function.name
            )
            return f"{group} {name}"
    return module if function.name == module else None


def notebook(path: Path) -> str:
    """A notebook with its outputs."""
    parts = [f"[Open the notebook]({REPOSITORY}notebooks/{path.name})\n"]
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(with_absolute_links(source, f"notebooks/{path.name}"))
            continue
        parts.append(f"```python\n{source}\n```")
        parts += [shown for output in cell["outputs"] if (shown := output_block(output))]
    title, *rest = parts[1:]
    return "\n\n".join([title, parts[0], *rest]) + "\n"


def output_block(output: dict[str, Any]) -> str:
    """An output of a cell: an image, else a table, else a text."""
    data = output.get("data", {})
    markup = re.sub(r"<style.*?</style>", "", "".join(data.get("text/html", "")), flags=re.DOTALL)
    if "image/png" in data:
        image = "".join(data["image/png"]).replace("\n", "")
        return f'<div class="notebook-output"><img alt="Output of the cell above" src="data:image/png;base64,{image}"></div>'
    if "<table" in markup:
        return f'<div class="notebook-output">{" ".join(markup.split())}</div>'
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""
