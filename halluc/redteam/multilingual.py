"""Harmful requests in ten languages (MultiJail, Deng et al. 2023, arXiv 2310.06474).

Rows have the request in English as `en`, and in other languages under their codes. The technique is the language, English
included, so that the others compare with it. Not covered: translating requests that have no translations
(translation.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Row, text_column
from halluc.redteam.attack import Attack

__all__ = ["LANGUAGES", "translated_requests"]

LANGUAGES = ("en", "zh", "it", "vi", "ar", "ko", "th", "bn", "sw", "jv")
"""Codes of the columns: English, Chinese, Italian, Vietnamese, Arabic, Korean, Thai, Bengali, Swahili, Javanese."""


def translated_requests(rows: Sequence[Row]) -> list[Attack]:
    """Read each request in each language that its row has.

    Raises:
        InvalidInput: a row has no English request, or no other language.
    """
    attacks = []
    for where, row in rows:
        goal = text_column(row, ["en"], where)
        languages = [code for code in LANGUAGES if isinstance(row.get(code), str) and row[code].strip()]
        if len(languages) < 2:
            raise InvalidInput(f"{where} has no translation; write columns such as {', '.join(LANGUAGES[1:4])}")
        attacks += [Attack("multilingual", code, goal, (row[code],)) for code in languages]
    return attacks
