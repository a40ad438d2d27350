"""Markdown and reStructuredText, read as the web pages that they become."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from retrieval.errors import UnreadableDocument
from retrieval.files import check_encodable
from retrieval.loaders.text import LoadedText, read_text
from retrieval.loaders.visible_html import visible_text

__all__ = ["load_markdown", "load_rst"]

_FRONT_MATTER = re.compile(r"\s*(---|\+\+\+)[ \t]*\r?\n(.*?)^(?:\1|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)


def load_markdown(path: Path) -> list[LoadedText]:
    """Read a Markdown file; front matter in YAML (---) or TOML (+++) is its metadata."""
    from markdown_it import MarkdownIt

    metadata, body = _front_matter(read_text(path))
    # The parser's own limit of 20 silently drops the text of deeper lists.
    parser = MarkdownIt("commonmark", {"maxNesting": 10_000}).enable("table")
    try:
        markup = parser.render(body)
    except RecursionError as error:
        raise UnreadableDocument(f"{path} is nested too deeply; leave it out") from error
    text, title = visible_text(markup, path)
    return [LoadedText(text, str(metadata.pop("title", None) or title or "") or None, metadata)]


def load_rst(path: Path) -> list[LoadedText]:
    """Read a reStructuredText file; nothing that it includes is read, and fields at its beginning are its metadata."""
    from docutils.core import publish_doctree, publish_from_doctree
    from docutils.nodes import docinfo, field
    from docutils.utils import SystemMessage

    settings = {
        "_disable_config": True,
        "file_insertion_enabled": False,
        "raw_enabled": False,
        "report_level": 5,
        "halt_level": 5,
        "warning_stream": False,
        "embed_stylesheet": False,
        "stylesheet_path": None,
        "line_length_limit": 10_000_000,
        "output_encoding": "unicode",
    }
    try:
        tree = publish_doctree(read_text(path), settings_overrides=settings)
        metadata: dict[str, Any] = {}
        for info in list(tree.findall(docinfo)):
            for entry in info.children:
                if isinstance(entry, field):
                    metadata[entry[0].astext().lower()] = entry[1].astext()
                else:
                    metadata[type(entry).__name__] = entry.astext()
            info.parent.remove(info)
        markup = publish_from_doctree(tree, writer="html5", settings_overrides=settings)
    except (RecursionError, SystemMessage, ValueError, AttributeError) as error:
        raise UnreadableDocument(f"{path} cannot be read as reStructuredText: {error or type(error).__name__}") from error
    text, title = visible_text(str(markup), path)
    return [LoadedText(text, title, metadata)]


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Split off front matter; text that only looks like it stays."""
    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, text
    values = _yaml(match[2]) if match[1] == "---" else _toml(match[2])
    if not isinstance(values, dict) or not values:
        return {}, text
    try:
        metadata = {str(key): _plain(value) for key, value in values.items() if value is not None}
        check_encodable(metadata)
    except (ValueError, RecursionError):
        return {}, text
    return metadata, text[match.end() :]


def _yaml(text: str) -> Any:
    import yaml

    try:
        # An alias can stand for text that is exponentially longer than the file.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            return None
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    """JSON values: dates and whatever else YAML and TOML have become text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not (abs(value) < float("inf")):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
