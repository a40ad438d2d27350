"""From documents to passages that fit the embedder: whole sentences, with their place in the document."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retrieval.errors import DocumentError, EmptyCorpus, InvalidQuery
from retrieval.files import check_encodable
from retrieval.passages import Document, Passage

if TYPE_CHECKING:
    from retrieval.embedders import Embedder

__all__ = ["sentence_spans", "split_documents"]


def split_documents(
    documents: Iterable[Document],
    *,
    max_tokens: int | None = None,
    overlap: int = 1,
    embedder: Embedder | None = None,
) -> list[Passage]:
    """Cut documents into passages of whole sentences.

    Args:
        documents: what to cut; `document.text[passage.start:passage.end] == passage.text` holds for every passage.
        max_tokens: longest passage in the embedder's tokens, special tokens not counted; by default, and at most, as many
            as the embedder reads.
        overlap: number of sentences at the end of a passage that the next one repeats, as far as they fit.
        embedder: whose tokenizer counts; the default embedder if None.

    Returns:
        Passages in the order of the documents; those of a document with pages have the number of the page on which they
        begin in their metadata, as "page". A document that fits is one passage with the document's id; the passages of
        others are numbered `id#0`, `id#1`, … A sentence longer than `max_tokens` is cut between tokens.

    Raises:
        EmptyCorpus: there are no documents, or none has text.
        DocumentError: one is not a `Document`, or its text has a lone surrogate.
        InvalidQuery: max_tokens or overlap is out of range.
    """
    if embedder is None:
        from retrieval.embedders import load_embedder

        embedder = load_embedder()
    limit = embedder.max_tokens if max_tokens is None else max_tokens
    if limit < 1 or overlap < 0:
        raise InvalidQuery(f"max_tokens is {limit} and overlap {overlap}; pass at least 1 and at least 0")
    if limit > embedder.max_tokens:
        raise InvalidQuery(
            f"max_tokens is {limit}, but the embedder {embedder.name} reads only {embedder.max_tokens} tokens of a passage; "
            "pass at most that, or leave it out"
        )
    passages: list[Passage] = []
    for document in _checked_documents(documents):
        spans = _spans(document.text, limit, overlap, embedder)
        for number, (start, end) in enumerate(spans):
            passages.append(
                Passage(
                    id=document.id if len(spans) == 1 else f"{document.id}#{number}",
                    text=document.text[start:end],
                    title=document.title,
                    metadata=_with_page(document, start),
                    source=document.source,
                    document_id=document.id,
                    start=start,
                    end=end,
                )
            )
    if not passages:
        raise EmptyCorpus("there is no text in the documents; nothing to split")
    return passages


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Find the character spans [start, end) of the sentences of an English text, without the white space around them.

    Abbreviations that sentencex does not know end no sentence, and those that it takes for one everywhere may:

    >>> text = "Ms. Lind paid approx. 3 bn. Euros. The answer is no. Paris is big."
    >>> [text[start:end] for start, end in sentence_spans(text)]
    ['Ms. Lind paid approx. 3 bn. Euros.', 'The answer is no.', 'Paris is big.']
    """
    from sentencex import get_sentence_boundaries

    text = _without_open_quotations(text)
    spans: list[tuple[int, int]] = []
    position = 0
    # Sentences are located again, because the library's own offsets may count bytes instead of characters.
    for boundary in get_sentence_boundaries("en", text):
        sentence = boundary["text"].strip()
        if not sentence:
            continue
        start = text.index(sentence, position)
        position = start + len(sentence)
        if spans and _continues(text, *spans[-1], start):
            spans[-1] = (spans[-1][0], position)
        else:
            spans.append((start, position))
    return [piece for span in spans for piece in _cut_after_abbreviations(text, *span)]


# The closing marks of each opening one.
_CLOSING = {"„": "“”", "“": "”", "«": "»", "»": "«", "‘": "’", "‹": "›"}
_QUOTATION_MARK = re.compile("[„“”«»‘’‹›]")
_FEW_QUOTATIONS, _LONGEST_QUOTATION = 100, 1000


def _without_open_quotations(text: str) -> str:
    """The text with an apostrophe for each opening mark that is not closed soon, if there are many marks.

    For each opening mark, sentencex reads on until it is closed, which may be the end of the text.
    """
    marks = list(_QUOTATION_MARK.finditer(text))
    if len(marks) < _FEW_QUOTATIONS:
        return text
    following: dict[str, int] = {}
    closing_of: dict[int, int] = {}
    for match in reversed(marks):
        places = [following[mark] for mark in _CLOSING.get(match[0], "") if mark in following]
        if places and min(places) - match.start() <= _LONGEST_QUOTATION:
            closing_of[match.start()] = min(places)
        following[match[0]] = match.start()
    characters, closing = list(text), set()
    for match in marks:
        if match.start() in closing or match[0] not in _CLOSING:
            continue
        if match.start() in closing_of:
            closing.add(closing_of[match.start()])
        else:
            characters[match.start()] = "’"
    return "".join(characters)


# A name, a number or more of the phrase follows these.
_BEFORE_MORE = (
    r"Ms|Mr|Mrs|Mx|Dr|Drs|Prof|Profs|Ste|Mt|Ft|Gen|Sen|Rep|Gov|Capt|Cpt|Lt|Col|Sgt|Cpl|Maj|Cmdr|Adm|Rev|Hon|Pres|Supt|Fr"
    r"|Sr?ta|Mme|Mlle|Messrs|Amb|Atty|approx|appr|ca|circa|e\.\s?g|i\.\s?e|cf|vs|viz|esp|incl|excl|resp|aka"
)
# A number follows these, or a sentence.
_BEFORE_NUMBER = (
    r"[Nn]os?|[Nn]r|[Ff]igs?|[Ee]qs?|[Tt]abs?|[Vv]ols?|[Cc]hs?|[Cc]hap|pp?|[Aa]rts?|[Ss]ecs?|[Pp]aras?|[Mm]ax|[Mm]in|[Ee]st|c"
    r"|[Aa]pp|[Ee]x|[Pp]t|[Rr]ef|[Ll]ine|§"
)
# More of the phrase follows these, or a sentence that begins with one of the words below.
_BEFORE_EITHER = (
    r"[A-Z]|(?:[A-Z]\.){1,4}[A-Z]|bn|mn|tn|mio|mrd|etc|al|St|Inc|Ltd|Co|Corp|Bros|Jr|Sr|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?"
    r"|Oct|Nov|Dec|Mon|Tues?|Wed|Thurs?|Fri|Sat|Sun|a\.m|p\.m|Ph\.D|Dept|dept|Univ|Ave|Blvd|Rd|Hwy|Assn|Mfg|hrs?|mins?|secs?"
    r"|lbs?|oz|ft|sq"
)
_FIRST_WORD = re.compile(
    r"(?:The|A|An|This|That|These|Those|It|He|She|They|We|I|You|Its|His|Her|Their|Our|My|Your|There|Here|In|On|At|By|For"
    r"|From|With|After|Before|During|Since|Until|When|While|Where|Although|Though|Because|If|As|But|And|Or|So|Then|However"
    r"|Moreover|Therefore|Thus|Also|Later|Today|Now|One|Some|Many|Most|All|Both|Each|Other|Another|No|Not|What|Who|How|Why)\b"
)
_ENDS_IN_ABBREVIATION = re.compile(
    rf"(?:^|(?<=[\s(\[\"'“‘/–—-]))(?:(?P<more>{_BEFORE_MORE})|(?P<number>{_BEFORE_NUMBER})|(?P<either>{_BEFORE_EITHER}))\.$"
)
_LONGEST_ABBREVIATION = 12
_CUT = re.compile(rf"(?<=\s)(?:{_BEFORE_EITHER})\.\s+(?={_FIRST_WORD.pattern})|(?<=\s)no\.\s+(?=[A-Z])", re.MULTILINE)


def _continues(text: str, start: int, end: int, following: int) -> bool:
    """Whether the sentence [start, end) ends in an abbreviation that the text from `following` belongs to."""
    match = _ENDS_IN_ABBREVIATION.search(text[max(start, end - _LONGEST_ABBREVIATION) : end])
    if match is None or "\n" in text[end:following]:
        return False
    if match["more"]:
        return True
    if match["number"]:
        # "No." alone is a reply.
        return text[following].isdigit() and (match["number"] != "No" or end - start > len("No."))
    return _FIRST_WORD.match(text, following) is None


def _cut_after_abbreviations(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a sentence where an abbreviation in it is followed by the first word of another sentence."""
    for match in _CUT.finditer(text, start, end):
        yield start, match.start() + len(match[0].rstrip())
        start = match.end()
    yield start, end


def _with_page(document: Document, start: int) -> Mapping[str, Any]:
    if not document.page_starts:
        return document.metadata
    return {**document.metadata, "page": max(1, bisect_right(document.page_starts, start))}


def _checked_documents(documents: Any) -> Iterator[Document]:
    if isinstance(documents, (str, bytes, Document)) or not isinstance(documents, Iterable):
        raise DocumentError(f"documents is a {type(documents).__name__}; pass a list of Document(id, text)")
    for i, document in enumerate(documents):
        if not isinstance(document, Document) or not isinstance(document.text, str):
            raise DocumentError(f"documents[{i}] is {document!r:.80}; pass Document(id, text)")
        try:
            check_encodable(document.text)
        except ValueError as error:
            raise DocumentError(f"the text of document {document.id!r} {error}") from error
        yield document


def _spans(text: str, limit: int, overlap: int, embedder: Embedder) -> list[tuple[int, int]]:
    """Cut a text into spans that have at most `limit` tokens each.

    Tokens of sentences do not add up to those of a passage: a word that a cut ends, or two sentences without a space
    between them, may be tokenized otherwise. So the spans are counted as they are, and cut again, shorter by the excess,
    where one is too long.
    """
    target = limit
    while True:
        spans = list(_windows(_pieces(text, target, embedder), target, overlap))
        longest = max(map(len, embedder.token_offsets([text[start:end] for start, end in spans])), default=0)
        if longest <= limit:
            return spans
        if target == 1:
            raise InvalidQuery(
                f"max_tokens is {limit}, but a single character can have {longest} tokens; pass at least that"
            )
        target = max(1, target - (longest - limit))


def _pieces(text: str, limit: int, embedder: Embedder) -> list[tuple[int, int, int]]:
    """Find (start, end, tokens) of each sentence; sentences that are too long are cut between tokens."""
    spans = sentence_spans(text)
    pieces = []
    for (start, end), offsets in zip(spans, embedder.token_offsets([text[s:e] for s, e in spans]), strict=True):
        for first in range(0, max(len(offsets), 1), limit):
            # A cut piece runs to the start of the next token, so that no character between tokens is lost.
            left = start if first == 0 else start + offsets[first][0]
            after = first + limit
            right = start + offsets[after][0] if after < len(offsets) else end
            pieces.append((left, right, len(offsets[first : first + limit])))
    return pieces


def _windows(pieces: Sequence[tuple[int, int, int]], limit: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Join pieces to spans of at most `limit` tokens, each beginning with the last `overlap` pieces of the one before."""
    first = 0
    while first < len(pieces):
        last, tokens = first, pieces[first][2]
        while last + 1 < len(pieces) and tokens + pieces[last + 1][2] <= limit:
            last += 1
            tokens += pieces[last][2]
        yield pieces[first][0], pieces[last][1]
        if last + 1 == len(pieces):
            return
        # Step back by the overlap, but always past the window's start, and only as far as the next piece still fits.
        following = max(first + 1, last + 1 - overlap)
        while following <= last and sum(tokens for _, _, tokens in pieces[following : last + 2]) > limit:
            following += 1
        first = following
