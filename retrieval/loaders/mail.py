"""E-mail messages: the plain text of the body, or its HTML as a reader sees it; attachments are named, not read."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path
from typing import cast

from retrieval.errors import UnreadableDocument
from retrieval.files import whole_characters
from retrieval.loaders.text import LoadedText, decode, read_bytes
from retrieval.loaders.visible_html import visible_text

__all__ = ["load_eml"]


def load_eml(path: Path) -> list[LoadedText]:
    """Read a message; its title is its subject, and sender, recipients, date and names of attachments are metadata."""
    try:
        message = email.message_from_bytes(read_bytes(path), policy=email.policy.default)
        body = message.get_body(("plain", "html"))
        headers = {
            name: whole_characters(str(message[name])).strip() for name in ("from", "to", "cc", "date") if message[name]
        }
        subject = whole_characters(str(message["subject"] or "")).strip()
        attachments = [name for part in message.iter_attachments() if (name := part.get_filename())]
        content = b"" if body is None else cast(bytes, body.get_payload(decode=True) or b"")
        charset = None if body is None else body.get_content_charset()
        is_html = body is not None and body.get_content_subtype() == "html"
    # The parser of headers raises whatever malformed ones lead to.
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnreadableDocument(f"{path} cannot be read as an e-mail message: {error}") from error
    text = decode(content, path, declared=charset)
    if is_html:
        text, _ = visible_text(text, path)
    metadata = {**headers, **({"attachments": attachments} if attachments else {})}
    # A message of a subject alone is one too.
    paragraphs = [part for part in (subject, text.strip()) if part]
    return [LoadedText("\n\n".join(paragraphs), subject or None, metadata)]
