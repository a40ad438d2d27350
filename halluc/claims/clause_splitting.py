"""Split a parsed sentence into the statements it makes, where its grammar leaves no doubt.

Split are coordinated clauses and verb phrases ("was born in Rome and moved to Paris"), relative clauses and appositions set
off by commas ("Obama, who served two terms, ..."), participles and relative clauses of an "is a ..." ("is an actor born in
1949"), and lists of objects ("starred in A, B and C", in coordination.py). Kept whole is what a split could falsify:
conditions, alternatives, reported speech, restrictive clauses, negated pairs, collective readings ("between A and B").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.claims.coordination import Clause, Item, distribute, render
from halluc.claims.parsing import AUX, SUBJECTS, subject_of

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

__all__ = ["Statement", "split_sentence"]


@dataclass(frozen=True)
class Statement:
    """One statement of a sentence.

    The span of a statement that another one interrupts ("Milan, a city in the north, is rich") contains the span of the
    other.

    Attributes:
        text: the statement as a self-contained sentence.
        start, end: the characters [start, end) of the sentence that make it.
    """

    text: str
    start: int
    end: int


# Words that bind a pair together; a clause with one of them is not split.
_COLLECTIVE = {
    "or",
    "nor",
    "either",
    "neither",
    "respectively",
    "together",
    "jointly",
    "combined",
    "each",
    "not",
    "n't",
    "never",
}
_FINITE = ("VBD", "VBZ", "VBP")
_CONDITIONS = {"if", "unless", "until", "when", "whenever", "whether", "once", "provided", "lest"}
_NOUN_PATH = {*SUBJECTS, "dobj", "pobj", "prep", "attr", "appos", "agent", "conj", "oprd"}


def split_sentence(parse: Doc, replaced: Mapping[int, str]) -> list[Statement]:
    """Split a sentence into its statements.

    Args:
        parse: the sentence.
        replaced: per index of a token, the text that replaces it (`resolve_pronouns`).

    Returns:
        The statements in the order of the sentence; the sentence itself where nothing can be split.
    """
    whole = [Statement(_whole(parse, replaced), 0, len(parse.text))]
    sentences = list(parse.sents)
    if any(subject_of(span.root) is None or not _is_finite(span.root) for span in sentences):
        return whole
    clauses: list[Clause] = []
    for span in sentences:
        _expand(span.root, {token.i for token in span}, (), clauses)
    clauses = [piece for clause in clauses for piece in distribute(clause)]
    if len(clauses) < 2:
        return whole
    statements = []
    for clause in sorted(clauses, key=lambda c: c.first):
        text = render(clause.items, replaced)
        if len(re.findall(r"\w+", text)) < 3:
            return whole
        start, end = _trimmed(parse, clause.first, clause.last)
        statements.append(Statement(text, start, end))
    if len({statement.start for statement in statements}) < len(statements):
        return whole
    return statements


def _is_finite(verb: Token) -> bool:
    return verb.tag_ in _FINITE or any(child.dep_ in AUX for child in verb.children)


def _whole(parse: Doc, replaced: Mapping[int, str]) -> str:
    if not replaced:
        return str(parse.text)
    text = "".join(replaced.get(token.i, token.text) + token.whitespace_ for token in parse)
    return text[:1].upper() + text[1:]


def _trimmed(parse: Doc, first: int, last: int) -> tuple[int, int]:
    """Get the characters of tokens [first, last], without leading conjunctions and commas or trailing punctuation."""
    while first < last and (parse[first].is_punct or parse[first].dep_ == "cc") and parse[first].text not in "\"“'(":
        first += 1
    while last > first and parse[last].is_punct and parse[last].text not in "\"”')":
        last -= 1
    return parse[first].idx, parse[last].idx + len(parse[last].text)


def _expand(verb: Token, indices: set[int], lead: tuple[Item, ...], out: list[Clause]) -> None:
    """Append the clause of `verb` to `out`, and those that can be split from it.

    Args:
        verb: head of the clause.
        indices: the tokens of the clause, with everything that depends on them.
        lead: subject borrowed from another clause; empty where the clause has its own.
        out: the list that clauses are appended to.
    """
    doc = verb.doc
    cut: list[tuple[Token, set[int], tuple[Item, ...] | None]] = []
    remaining = set(indices)
    if not _is_conditional(verb):
        for follower in _coordinated(verb, indices):
            region = _subtree(follower) & remaining
            if subject_of(follower) is None and not (lead or subject_of(verb)):
                continue
            cut.append((follower, region, None))
            remaining -= region | _joint(doc, min(region), remaining)
    for modifier, noun in _modifiers(verb, remaining):
        region = _subtree(modifier) & remaining
        if modifier.i not in remaining or not _ends_cleanly(verb, max(region)):
            continue
        subject = _modified(verb, noun, modifier, region, remaining, lead)
        if subject is None:
            continue
        cut.append((modifier, region, subject))
        remaining -= region | _commas(doc, noun, region, remaining)
    own_subject = _subject_items(verb, remaining) or lead
    items = (*lead, *(doc[i] for i in sorted(remaining)))
    words = [i for i in remaining if not doc[i].is_punct and doc[i].dep_ != "cc"] or list(remaining)
    first, last = min(words), max(words)
    main = Clause(items, verb, first, last)
    out.append(main)
    for head, region, subject in cut:
        if subject is None:
            borrowed = () if subject_of(head) is not None else (*own_subject, *_borrowed_auxiliaries(verb, head))
            shared = _shared_object(verb, head, remaining)
            if shared:
                # "wrote and directed the film": the object follows the second verb only.
                place = out.index(main)
                items = tuple(item for item in items if isinstance(item, str) or not item.is_punct or item.i < verb.i)
                main = Clause((*items, *(doc[i] for i in shared)), verb, first, min(last, verb.i))
                out[place] = main
            _expand(head, region, borrowed, out)
        elif head.dep_ == "appos":
            copula = "is" if verb.tag_ in ("VBZ", "VBP") else "was"
            out.append(Clause((*subject, copula, *(doc[i] for i in sorted(region))), head, min(region), max(region)))
        elif head.dep_ == "acl":
            out.append(Clause((*subject, *(doc[i] for i in sorted(region))), head, min(region), max(region)))
        else:
            _expand(head, region - _relative_pronoun(head), subject, out)


def _ends_cleanly(verb: Token, last: int) -> bool:
    """Whether this token is followed by punctuation, a conjunction or the clause's verb; otherwise the parse is wrong."""
    if last + 1 >= len(verb.doc):
        return True
    following = verb.doc[last + 1]
    before_verb = last < verb.i and following.pos_ in ("VERB", "AUX")
    return (following.is_punct and following.text != "-") or following.dep_ == "cc" or before_verb


def _coordinated(verb: Token, indices: set[int]) -> list[Token]:
    """List the verbs joined to this one by "and" or "but" that can be split from it."""
    joined = [c for c in verb.children if c.dep_ == "conj" and c.i in indices and c.pos_ in ("VERB", "AUX")]
    if not joined:
        return []
    words = {token.lower_ for token in verb.doc if token.dep_ in ("cc", "preconj", "neg", "advmod") and token.head == verb}
    if words & _COLLECTIVE:
        return []
    separable = []
    for follower in joined:
        auxiliaries = [child for child in follower.children if child.dep_ in AUX]
        if follower.i == verb.i + 2 and not auxiliaries and not _shared_object(verb, follower, indices):
            continue
        if follower.i > 0 and verb.doc[follower.i - 1].text == "-":
            continue
        finite = follower.tag_ in _FINITE if not auxiliaries else auxiliaries[0].tag_ in (*_FINITE, "MD")
        # A verb that is not finite must have the form of the first; the tagger takes some past forms for participles.
        alike = not auxiliaries and (follower.tag_ == verb.tag_ or (follower.tag_ == "VBN" and verb.tag_ == "VBD"))
        if finite or (alike and subject_of(follower) is None):
            separable.append(follower)
    return separable


def _is_conditional(verb: Token) -> bool:
    clauses = [child for child in verb.children if child.dep_ == "advcl"]
    return any(grandchild.lower_ in _CONDITIONS for child in clauses for grandchild in child.children)


def _borrowed_auxiliaries(verb: Token, follower: Token) -> tuple[Item, ...]:
    """Get the auxiliaries that the second verb shares with the first: "has" for "lost" in "has won gold and lost silver"."""
    if any(child.dep_ in AUX for child in follower.children) or follower.tag_ in ("VBZ", "VBP", "VBD"):
        return ()
    auxiliaries = tuple(c for c in verb.children if c.dep_ in AUX and c.i < verb.i)
    # The tagger takes "was born and won" for a second participle; a passive has no object.
    passive = any(c.dep_ == "auxpass" for c in auxiliaries)
    return () if passive and any(c.dep_ == "dobj" for c in follower.children) else auxiliaries


def _shared_object(verb: Token, follower: Token, indices: set[int]) -> list[int]:
    """List the tokens of the object that two adjacent verbs share, where it follows the second only."""
    if follower.i != verb.i + 2 or verb.nbor().dep_ != "cc":
        return []
    objects = [child for child in follower.children if child.dep_ == "dobj"]
    return sorted(_subtree(objects[0])) if objects else []


def _modifiers(verb: Token, indices: set[int]) -> list[tuple[Token, Token]]:
    """List (modifier, noun) pairs that can be split from the clause of `verb`, in the order of the sentence."""
    pairs = []
    for i in sorted(indices):
        token = verb.doc[i]
        if token.dep_ not in ("relcl", "appos", "acl"):
            continue
        noun = token.head
        if noun.i in indices and _reaches(noun, verb, indices):
            pairs.append((token, noun))
    return pairs


def _reaches(noun: Token, verb: Token, indices: set[int]) -> bool:
    """Whether only nouns and prepositions lie between the noun and the verb: no reported speech, no condition."""
    while noun != verb:
        if noun.dep_ not in _NOUN_PATH or noun.i not in indices:
            return False
        noun = noun.head
    return True


def _modified(
    verb: Token, noun: Token, modifier: Token, region: set[int], remaining: set[int], lead: tuple[Item, ...]
) -> tuple[Item, ...] | None:
    """Get the subject of the statement that a modifier makes; None where the modifier must stay in its clause."""
    doc = verb.doc
    start = min(region)
    set_off = start > 0 and doc[start - 1].text in (",", "(", "–", "—")
    # "is an actor born in 1949": the subject of the sentence, if the noun is one of many ("a", not "the").
    kind = noun
    while kind.dep_ == "conj" and kind.head.dep_ in ("conj", "attr"):
        kind = kind.head
    classified = kind.dep_ == "attr" and kind.head == verb and _article(kind) in ("a", "an") and kind.i < start
    subject = _subject_items(verb, remaining) or lead
    copula = verb.text if verb.tag_ in _FINITE else "was"
    if modifier.dep_ == "acl":
        if modifier.tag_ != "VBN" or not (classified or (set_off and noun.tag_ == "NNP")):
            return None
        described = subject if classified else _noun_items(noun, start, remaining)
        past = modifier.lower_ in ("born", "founded", "established", "created", "formed", "released", "published", "built")
        return (*described, "was" if past else copula) if described else None
    if modifier.dep_ == "appos":
        if not set_off or modifier.pos_ != "NOUN" or _article(modifier) is None or noun.tag_ not in ("NNP", "NNPS"):
            return None
        if any(child.dep_ in ("conj", "cc") for token in (noun, modifier) for child in token.children):
            return None
        return _noun_items(noun, start, remaining)
    pronoun = next((c for c in modifier.children if c.dep_ in SUBJECTS and c.lower_ in ("who", "which", "that")), None)
    if pronoun is None or pronoun.i != start:
        return None
    if classified and noun.i == start - 1:
        return subject or None
    if not set_off or pronoun.lower_ == "that":
        return None
    plural = noun.tag_ in ("NNS", "NNPS")
    verbs = [modifier, *(c for c in modifier.children if c.dep_ in AUX)]
    agrees = not any(t.lower_ in (("is", "was", "has") if plural else ("are", "were", "have")) for t in verbs)
    # "moved to Paris by train, which pleased him": "which" may refer to the whole clause.
    adjacent = noun.i == start - 2 and (noun.tag_ in ("NNP", "NNPS") or modifier.text in ("is", "was", "are", "were"))
    if pronoun.lower_ == "which" and not adjacent:
        return None
    return _noun_items(noun, start, remaining) if agrees else None


def _article(noun: Token) -> str | None:
    return next(
        (child.lower_ for child in noun.children if child.dep_ == "det" and child.lower_ in ("a", "an", "the")), None
    )


def _noun_items(noun: Token, before: int, remaining: set[int]) -> tuple[Item, ...]:
    """Get the noun phrase up to the token `before`, without coordinated nouns."""
    joined = {i for child in noun.children if child.dep_ in ("conj", "cc", "preconj") for i in _subtree(child)}
    indices = sorted(i for i in _subtree(noun) & remaining if i < before and i not in joined)
    while indices and noun.doc[indices[-1]].is_punct and noun.doc[indices[-1]].text not in "\"”')":
        indices.pop()
    return tuple(noun.doc[i] for i in indices)


def _subject_items(verb: Token, remaining: set[int]) -> tuple[Item, ...]:
    subject = subject_of(verb)
    if subject is None or subject.i not in remaining or subject.lower_ in ("who", "which", "that", "whose"):
        return ()
    return tuple(verb.doc[i] for i in sorted(_subtree(subject) & remaining))


def _relative_pronoun(verb: Token) -> set[int]:
    return {c.i for c in verb.children if c.dep_ in SUBJECTS and c.lower_ in ("who", "which", "that")}


def _joint(doc: Doc, start: int, remaining: set[int]) -> set[int]:
    """Get the conjunction and comma in front of a coordinated clause."""
    joint = set()
    while start - 1 in remaining and (doc[start - 1].dep_ == "cc" or doc[start - 1].text in (",", ";")):
        start -= 1
        joint.add(start)
    return joint


def _commas(doc: Doc, noun: Token, region: set[int], remaining: set[int]) -> set[int]:
    """Get the punctuation that sets a region off; a comma between list members stays."""
    before, after = min(region) - 1, max(region) + 1
    removed = {i for i in (before,) if i in remaining and doc[i].text in (",", "(", "–", "—")}
    if after in remaining and doc[after].text in (",", ")", "–", "—") and removed:
        listed = any(c.dep_ == "conj" for c in noun.children) and after + 1 < len(doc) and doc[after + 1].dep_ != "cc"
        if not listed or doc[after].text == ")":
            removed.add(after)
    return removed


def _subtree(token: Token) -> set[int]:
    return {t.i for t in token.subtree}
