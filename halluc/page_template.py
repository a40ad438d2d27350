"""Templates of self-contained HTML pages, in which all text is escaped.

Not covered: the pages of `calibration`, a leaf package that may not import this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["PAGE_MARKER", "page_template"]

PAGE_MARKER = '<meta name="generator" content="halluc">'
"""Near the beginning of every page, so that a command replaces a page that halluc wrote, but no other file."""


def page_template(package: str, name: str) -> Template:
    """Load a template from the folder `templates` of a package; a name that is not passed to it is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
