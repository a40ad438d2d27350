"""Break control tokens: text that a tokenizer or a model would take for the structure of a prompt.

A retrieved passage, a question or a model's reply can contain anything, also the control tokens of a chat template. They are
found by their form, in any disguise that Unicode allows. Not covered: prompts that contain such text (prompts.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

__all__ = ["break_control_tokens"]

# Control tokens by form, because the tokenizer of an endpoint is not visible. None of them contains white space.
_FORMS = re.compile(
    r"""
      <\|[^<>\s]{0,80}>               # <|im_start|>, <|turn>
    | <[^<>\s]{0,80}\|>               # <turn|>
    | \[\|[^\[\]\s]{0,80}\|\]         # [|endofturn|]
    | (?i:<(?:/\s*)?passages?\b)      # the delimiter of prompts.passage_block, however it ends
    | (?P<tag></?(?P<word>[\w:.~-]{1,60})/?>)           # <start_of_turn>, </s>, <eop>: unless it is HTML or code
    | \[/?(?:[A-Z]+(?:_[A-Z0-9]+)+|[a-z]?[A-Z]{3,}[0-9]*|(?i:inst|system_prompt|(?:available_)?tool_?\w*))\]   # [INST]
    | [\[\]]\w{0,10}~!?\w{0,10}[\[\]] # ]~b]
    | >>[A-Z_]{2,40}<<                # >>QUESTION<<
    """,
    re.VERBOSE,
)
# Elements of HTML, SVG and MathML that text and code often contain. Not listed: names that are also control tokens (s,
# mask, image, audio, video).
_HTML = frozenset(
    """
    a abbr address article aside b base bdi bdo big blockquote body br button canvas caption center circle cite code col
    colgroup data datalist dd defs del details dfn dialog div dl dt em embed fieldset figcaption figure font footer form g
    h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input ins kbd label legend li line link main map mark math
    menu meta meter mfrac mi mn mo mrow msqrt msub msup nav noscript object ol optgroup option output p param path picture
    polygon polyline pre progress q rect rp rt ruby samp script search section select slot small source span strike strong
    style sub summary sup svg table tbody td template text textarea tfoot th thead time title tr track tspan tt u ul use
    var wbr
    """.split()  # noqa: SIM905
)
# One-word tags that are control tokens even directly after a letter, where others are type parameters (List<int>).
_CONTROL_WORDS = re.compile(
    r"/?(?:s|bos|eos|bot|eot|bom|eom|sop|eop|eod|eoa|eoh|pad|unk|sep|cls|mask|sys|inst|system|user|human|assistant|model|"
    r"tool|turn|think|thinking|image|audio|video|\w*unused\w*|\w*reserved\w*|special\w*|\w+_\w+|\w+:\w+)",
    re.IGNORECASE,
)


def break_control_tokens(text: str, special_tokens: Iterable[str] = (), *, by_form: bool = True) -> str:
    """Put a space after the first character of each control token, so that no tokenizer takes it for one.

    Control tokens are found after Unicode compatibility normalization (full-width letters and signs) and across characters
    without width. Comparisons, HTML elements, type parameters and numbers in brackets are left alone.

    Args:
        text: untrusted text.
        special_tokens: strings that the model's own tokenizer turns into control tokens.
        by_form: also break what looks like a control token of another tokenizer, or like the delimiters of
            `halluc.prompts.passage_block`.

    Returns:
        The text; breaking it again changes nothing.
    """
    special = tuple(special_tokens)
    while breaks := _breaks(text, special, by_form):
        edges = [0, *breaks, len(text)]
        text = " ".join(text[start:end] for start, end in pairwise(edges))
    return text


def _breaks(text: str, special_tokens: tuple[str, ...], by_form: bool) -> list[int]:
    """Positions in the text at which a space is needed, ascending."""
    view, position_of = _normalized(text)
    starts = []
    if special_tokens:
        starts = [match.start() for match in _special_pattern(special_tokens).finditer(view)]
    if by_form:
        starts += [match.start() for match in _FORMS.finditer(view) if not _is_ordinary(match, view)]
    return sorted({position_of[start] + 1 for start in starts})


def _normalized(text: str) -> tuple[str, list[int]]:
    """The text as a lenient reader sees it, and for each of its characters the position in the text."""
    if text.isascii():
        return text, list(range(len(text)))
    view, position_of = [], []
    for position, character in enumerate(text):
        for plain in unicodedata.normalize("NFKC", character):
            if not _is_invisible(plain):
                view.append(plain)
                position_of.append(position)
    return "".join(view), position_of


def _is_invisible(character: str) -> bool:
    # Format characters, variation selectors, the combining grapheme joiner, and fillers.
    return (
        unicodedata.category(character) == "Cf"
        or "\ufe00" <= character <= "\ufe0f"
        or character in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


def _is_ordinary(match: re.Match[str], view: str) -> bool:
    """Whether a match of `_FORMS` is a tag of HTML, or a type parameter in code."""
    if match["tag"] is None:
        return False
    word = match["word"]
    if word.lower() in _HTML:
        return True
    before = view[match.start() - 1] if match.start() else ""
    return (before.isalnum() or before == "_") and not _CONTROL_WORDS.fullmatch(word)


@lru_cache(maxsize=16)
def _special_pattern(special_tokens: tuple[str, ...]) -> re.Pattern[str]:
    # Without white space around it, which a space would not break.
    visible = {_normalized(token)[0].strip() for token in special_tokens}
    tokens = sorted((token for token in visible if len(token) > 1), key=len, reverse=True)
    # A pattern that never matches, if there are no tokens.
    return re.compile("|".join(map(re.escape, tokens)) or r"(?!)", re.IGNORECASE)
