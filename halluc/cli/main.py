"""Entry point of the `halluc` command: its groups, and how errors become exit codes.

Exit codes: 0 done; 1 failed, or a check is below its threshold; 2 unusable arguments or input. Not covered: the commands
themselves, one file per command or group of commands, and printing (output.py).
"""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import entry_points, requires
from typing import Annotated

import typer

from halluc.cli import ask, calibration, check, cove, detect, evaluate, index, mcp, models, redteam, serve
from halluc.cli.output import accept_any_text, console, print_notice

__all__ = ["app", "main"]

_HELP = "Detect, ground, calibrate and train away hallucinations of language models."
app = typer.Typer(
    name="halluc",
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ask")(ask.ask)
app.command("check")(check.check)
app.command("cove")(cove.cove)
app.command("detect")(detect.detect)
app.command("mcp")(mcp.mcp)
app.command("redteam")(redteam.redteam)
app.command("serve")(serve.serve)
app.add_typer(calibration.app, name="calibration")
app.add_typer(evaluate.app, name="eval")
app.add_typer(index.app, name="index")
app.add_typer(models.app, name="models")

for _entry in entry_points(group="halluc.commands"):
    app.add_typer(_entry.load(), name=_entry.name)


def _print_version(requested: bool) -> None:
    if requested:
        from halluc import __version__

        console().print(f"halluc {__version__}")
        raise typer.Exit


@app.callback(help=_HELP)
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error ends as one line on standard error and an exit code, never as a traceback."""
    from calibration.errors import CalibrationError
    from halluc.errors import HallucError, ModelResponseError, ModelUnavailable
    from retrieval.errors import RetrievalError

    accept_any_text()
    try:
        app()
    except (ModelUnavailable, ModelResponseError) as error:
        _fail(error, 1)
    except (HallucError, RetrievalError, CalibrationError) as error:
        _fail(error, 2)
    except BrokenPipeError:
        # The reader of a pipe has closed it (halluc … | head); Python would complain again while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("HALLUC_DEBUG"):
            raise
        library = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if extra := _extra_with(library):
            _fail(f"{library} is not installed; install it with pip install 'halluc[{extra}]'", 2)
        _fail(f"unexpected {type(error).__name__}: {error} (set HALLUC_DEBUG=1 to see where)", 1)


def _extra_with(library: str) -> str | None:
    """The extra of halluc that brings a library, if one does."""
    name = library.lower().replace("_", "-")
    for requirement in requires("halluc") or ():
        match = re.match(r"""([\w.-]+).*extra == ['"]([\w-]+)['"]""", requirement)
        if match and match[1].lower().replace("_", "-") == name and match[2] != "dev":
            return match[2]
    return None


def _fail(error: object, code: int) -> None:
    print_notice(error)
    sys.exit(code)
