"""Resolve pronouns where that is safe.

The subject of the sentences is tracked through a text (the backward-looking center of centering theory, Grosz et al. 1995):
a pronoun refers to the latest subject of its kind, if the sentence before names nothing else that it could mean. "It" never
stands for a person. Not covered: pronouns whose
antecedent is in the same claim, and "this", "that", "we", "you", which are never resolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from halluc.claims.parsing import SUBJECTS, subject_of
from halluc.claims.persons import is_person_noun, may_be_person

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

__all__ = ["parses_that_matter", "resolve_pronouns"]

_GENDER = {"he": "he", "him": "he", "his": "he", "she": "she", "her": "she", "hers": "she"}
_THINGS = {"it": "it", "its": "it", "they": "they", "their": "they"}
_LONGEST_NAME = 8
_NO_RIVALS = ("PERSON", "DATE", "TIME", "PERCENT", "MONEY", "QUANTITY", "CARDINAL", "ORDINAL")
# "takes place", "took part", "took effect"
_IDIOMATIC = ("place", "part", "effect", "care", "advantage", "shape")
_GENDER_OF_NOUN = {
    **dict.fromkeys(
        ("father", "husband", "son", "brother", "uncle", "grandfather", "nephew", "king", "man", "boy", "stepfather"), "he"
    ),
    **dict.fromkeys(
        ("mother", "wife", "daughter", "sister", "aunt", "grandmother", "niece", "queen", "woman", "girl", "actress"), "she"
    ),
}
# Verbs and nouns that take an empty "it": "it seems that", "it is likely that", "it was in 1990 that".
_CLAUSES = ("ccomp", "xcomp", "advcl", "csubj", "acl", "relcl")


@dataclass
class _Center:
    """The person and the thing that the text is about, so far.

    Attributes:
        person, gender: name of the person, and the pronoun that the text uses for it.
        thing, plural: phrase of the thing, and whether it is plural.
        rival: pronoun of an unnamed person who was the subject since ("his wife"); "any" if its gender is unknown.
        rivals: numbers, "it" and "they", of other things in the last sentence.
        names: full name by surname.
    """

    person: str | None = None
    gender: str | None = None
    thing: str | None = None
    plural: bool = False
    rival: str | None = None
    rivals: frozenset[str] = frozenset()
    names: dict[str, str | None] = field(default_factory=dict)


def resolve_pronouns(parses: Sequence[Doc | None]) -> list[dict[int, str]]:
    """Resolve the pronouns of one text.

    Args:
        parses: its sentences, in order; None for a sentence that was not parsed. Those of `parses_that_matter` have their
            named entities.

    Returns:
        Per sentence, the replacement of the token at each index; possessives are replaced by "Obama's".
    """
    center = _Center()
    resolved: list[dict[int, str]] = []
    others: set[str] = set()
    for parse in parses:
        if parse is None:
            resolved.append({})
            center.thing = None
            continue
        resolved.append(_resolve(parse, center, others))
        others = {entity.text for entity in parse.ents if entity.label_ == "PERSON"}
        center.rivals = _other_things(parse)
    return resolved


def parses_that_matter(parses: Sequence[Doc | None]) -> list[Doc]:
    """List the sentences of one text whose named entities may decide what its pronouns stand for.

    A person may have been named anywhere before "he" or "she"; what "it" stands for is in the sentence before, or before
    that if its subject is a pronoun too. Whether a name is a person's may depend on all sentences before it.
    """
    needed: set[int] = set()
    # All sentences before this one are needed.
    bound = 0
    for i, parse in enumerate(parses):
        if parse is None:
            continue
        if any(token.lower_ in _GENDER for token in parse):
            bound = i + 1
        elif any(token.lower_ in _THINGS and (token.dep_ in SUBJECTS or token.i == 0) for token in parse):
            needed.add(i)
            while i > bound and (before := parses[i - 1]) is not None:
                i -= 1
                needed.add(i)
                subjects = {token.tag_ for token in before if token.dep_ in SUBJECTS}
                if subjects & {"NNP", "NNPS"}:
                    bound = max(bound, i + 1)
                if "PRP" not in subjects:
                    break
    return [parse for i, parse in enumerate(parses) if parse is not None and (i < bound or i in needed)]


def _resolve(parse: Doc, center: _Center, before: set[str]) -> dict[int, str]:
    root = next((token for token in parse if token.dep_ == "ROOT"), None)
    subject = subject_of(root) if root is not None else None
    replaced: dict[int, str] = {}
    people = {entity.text for entity in parse.ents if entity.label_ == "PERSON"}
    for name in people:
        # A surname that two people share identifies neither.
        known = center.names.setdefault(name.split()[-1], name) if len(name.split()) > 1 else None
        if known and not _same_name(known, name):
            center.names[name.split()[-1]] = None
    if subject is None:
        center.thing = None
    elif subject.tag_ == "PRP":
        replaced |= _replaced(subject, center, before)
        if subject.i not in replaced:
            center.thing = None
        elif subject.lower_ in _GENDER:
            center.gender, center.thing, center.rival = _GENDER[subject.lower_], None, None
        # The other pronouns of the sentence refer to its subject, which is now named.
    elif subject.dep_ in SUBJECTS and subject.tag_ not in ("WP", "WDT", "EX"):
        if not _is_person(subject, center):
            # "His father was a farmer.", "Critics praised her work.": the person was mentioned before.
            for token in _person_pronouns(parse, subject):
                named = {entity.text for entity in parse.ents if entity.label_ == "PERSON" and entity.start < token.i}
                replacement = _replaced(token, center, before | named)
                if replacement:
                    center.gender = _GENDER[token.lower_]
                replaced |= replacement
        _move(center, subject, _name(subject) if subject.pos_ in ("NOUN", "PROPN") else None)
    else:
        center.thing = None
    if root is not None and subject is not None:
        for clause in (t for t in root.conjuncts if t.pos_ in ("VERB", "AUX")):
            follower = subject_of(clause)
            if follower is not None and follower.tag_ == "PRP" and len(people) < 2:
                replaced |= _replaced(follower, center, set())
    return replaced


def _move(center: _Center, subject: Token, name: str | None) -> None:
    """Make the sentence's subject the center of the text."""
    if _is_person(subject, center):
        alone = subject.text in (center.person or "").split()
        full = center.person if alone else center.names.get(subject.text, name) or name
        if full and full != center.person:
            center.person, center.gender = full, None
        if name and name.split()[-1] == subject.text and len(name.split()) > 1:
            center.names.setdefault(subject.text, name)
        center.thing, center.rival = None, None
        return
    if may_be_person(subject):
        center.thing = None
        center.rival = _GENDER_OF_NOUN.get(subject.lower_, "any") if subject.tag_ == "NN" else None
        return
    if subject.tag_ in ("NNP", "NNPS") and not _is_named_thing(subject):
        center.thing = None
        return
    plural = subject.tag_ in ("NNS", "NNPS") or any(child.dep_ == "conj" for child in subject.children)
    center.thing, center.plural = name, plural


def _replaced(pronoun: Token, center: _Center, others: set[str]) -> dict[int, str]:
    """Get the replacement of one pronoun; empty where it is not safe."""
    word = pronoun.lower_
    name: str | None = None
    if word in _GENDER:
        # The pronoun may refer to another person of the previous sentence, unless the text has used it for the center.
        alone = not {other for other in others if not _same(other, center.person)}
        unrivaled = center.rival is None or (center.rival != "any" and center.rival != _GENDER[word])
        if unrivaled and (center.gender == _GENDER[word] or (center.gender is None and alone and center.rival is None)):
            name = center.person
    elif word in _THINGS and center.thing and not _is_empty(pronoun):
        wanted = "they" if center.plural else "it"
        # The antecedent of a possessive inside a sentence is mostly in that sentence.
        if _THINGS[word] == wanted and wanted not in center.rivals and (pronoun.dep_ in SUBJECTS or pronoun.i == 0):
            name = center.thing
    if not name:
        return {}
    if pronoun.tag_ == "PRP$" or pronoun.dep_ == "poss":
        return {pronoun.i: name + ("'" if name.endswith("s") and center.plural and name == center.thing else "'s")}
    return {pronoun.i: name}


def _other_things(parse: Doc) -> frozenset[str]:
    """The numbers, "it" and "they", of things beside the subject that the next sentence may be about.

    Not among them are what a copula says of the subject, places and dates ("in France", "in May"), and persons.
    """
    root = next((token for token in parse if token.dep_ == "ROOT"), None)
    subject = subject_of(root) if root is not None else None
    numbers = set()
    for token in parse:
        if (
            token == subject
            or token.lower_ in _IDIOMATIC
            or token.pos_ not in ("NOUN", "PROPN")
            or token.ent_type_ in _NO_RIVALS
        ):
            continue
        if token.dep_ in ("dobj", "agent", "nsubj", "nsubjpass", "dative", "appos", "oprd") or (
            token.dep_ == "conj" and token.head.dep_ == "dobj"
        ):
            is_number = any(child.dep_ == "nummod" for child in token.children)
            if not may_be_person(token) and not is_number:
                numbers.add("they" if token.tag_ in ("NNS", "NNPS") else "it")
    return frozenset(numbers)


def _is_named_thing(name: Token) -> bool:
    """Whether a proper noun surely names a thing."""
    if name.ent_type_ == "PERSON":
        return False
    has_article = any(child.dep_ == "det" for child in name.children)
    return has_article or name.ent_type_ in (
        "ORG",
        "GPE",
        "LOC",
        "FAC",
        "PRODUCT",
        "EVENT",
        "WORK_OF_ART",
        "LAW",
        "LANGUAGE",
    )


def _is_empty(pronoun: Token) -> bool:
    if pronoun.lower_ != "it" or pronoun.dep_ not in SUBJECTS:
        return False
    verb = pronoun.head
    near = [verb, *(child for child in verb.children if child.dep_ in ("acomp", "attr", "oprd"))]
    clauses = [child for token in near for child in token.children if child.dep_ in _CLAUSES and child.i > verb.i]
    weather = verb.lower_ in ("seems", "seemed", "appears", "appeared", "takes", "took", "rained", "rains", "turns")
    return bool(clauses) or weather


def _person_pronouns(parse: Doc, subject: Token) -> list[Token]:
    """List the pronouns without an antecedent in their sentence: those before its verb, and "him" as an object.

    "Her" may be an object or a possessive.
    """
    verb = subject.head
    pronouns = [t for t in parse if t.lower_ in _GENDER and t.tag_ in ("PRP", "PRP$")]
    before = [t for t in pronouns if t.i < verb.i and t.dep_ in (*SUBJECTS, "poss", "pobj")]
    return before or [t for t in pronouns if t.lower_ == "him" and t.dep_ in ("dobj", "pobj", "dative")][:1]


def _is_person(subject: Token, center: _Center) -> bool:
    if subject.text in center.names or subject.text in (center.person or "").split():
        return True
    if subject.tag_ != "NNP" or any(child.dep_ in ("det", "poss", "conj") for child in subject.children):
        return False
    # The small model tags unusual names as organizations or works; two consecutive capitalized words are a name.
    if subject.ent_type_ == "PERSON":
        return True
    if not any(child.dep_ == "compound" for child in subject.children):
        return False
    attributes = [child for child in subject.head.children if child.dep_ == "attr"]
    return subject.ent_type_ == "" or any(is_person_noun(noun) for noun in attributes)


def _same_name(first: str, second: str) -> bool:
    """Whether two names share their first word: "Barack Obama" and "Barack Hussein Obama", not "Michelle Obama"."""
    return first.split()[0] == second.split()[0]


def _same(name: str, center: str | None) -> bool:
    return center is not None and (name in center or center in name or name.split()[-1] == center.split()[-1])


def _name(subject: Token) -> str | None:
    """Write the subject as a phrase: the words left of its head, and what an "of" adds to it."""
    end = subject.i + 1
    for child in subject.children:
        if child.dep_ == "prep" and child.lower_ in ("of", "in", "for") and child.i == end:
            end = max(token.i for token in child.subtree) + 1
    start = min(token.i for token in subject.subtree if token.i <= subject.i)
    span = subject.doc[start:end]
    if len(span) > _LONGEST_NAME or any(token.tag_ in ("PRP$", "PRP", "WDT", "WP", "CC") for token in span):
        return None
    text = span.text.strip(" ,;\"'“”")
    if span[0].tag_ == "DT":
        if span[0].lower_ not in ("the", "a", "an"):
            return None
        text = "the" + text[len(span[0].text) :] if span[0].lower_ in ("a", "an") and subject.tag_ != "NNP" else text
    return text
