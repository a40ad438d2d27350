"""Who a pronoun means, where that is safe to say.

The subject of a text's sentences is followed through it (the backward-looking centre of centering theory, Grosz et al.
1995): a pronoun stands for the latest subject of its kind, if nothing else could be meant. Not here: pronouns whose
antecedent is in the same claim, which need no resolving, and "this", "that", "we", "you", which are never resolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from halluc.claims.parsing import SUBJECTS, is_person_noun, subject_of

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

__all__ = ["resolve_pronouns"]

_GENDER = {"he": "he", "him": "he", "his": "he", "she": "she", "her": "she", "hers": "she"}
_THINGS = {"it": "it", "its": "it", "they": "they", "their": "they"}
_LONGEST_NAME = 8
# Verbs and nouns that take an empty "it": "it seems that", "it is likely that", "it was in 1990 that".
_CLAUSES = ("ccomp", "xcomp", "advcl", "csubj", "acl", "relcl")


@dataclass
class _Centre:
    """What the text has been about so far."""

    person: str | None = None
    gender: str | None = None
    thing: str | None = None
    plural: bool = False
    names: dict[str, str | None] = field(default_factory=dict)


def resolve_pronouns(parses: Sequence[Doc | None]) -> list[dict[int, str]]:
    """Per sentence of one text, what stands in for the token at each index; possessives come as "Obama's"."""
    centre = _Centre()
    resolved: list[dict[int, str]] = []
    others: set[str] = set()
    for parse in parses:
        if parse is None:
            resolved.append({})
            centre.thing = None
            continue
        resolved.append(_resolve(parse, centre, others))
        others = {entity.text for entity in parse.ents if entity.label_ == "PERSON"}
    return resolved


def _resolve(parse: Doc, centre: _Centre, before: set[str]) -> dict[int, str]:
    root = next((token for token in parse if token.dep_ == "ROOT"), None)
    subject = subject_of(root) if root is not None else None
    replaced: dict[int, str] = {}
    people = {entity.text for entity in parse.ents if entity.label_ == "PERSON"}
    for name in people:
        # A surname that two people bear names neither.
        known = centre.names.setdefault(name.split()[-1], name) if len(name.split()) > 1 else None
        if known and not _same_name(known, name):
            centre.names[name.split()[-1]] = None
    if subject is None:
        centre.thing = None
    elif subject.tag_ == "PRP":
        replaced |= _replaced(subject, centre, before)
        if subject.i not in replaced:
            centre.thing = None
        elif subject.lower_ in _GENDER:
            centre.gender, centre.thing = _GENDER[subject.lower_], None
        # The other pronouns of the sentence mean its subject, which is named now; those before it are read backwards.
    elif subject.dep_ in SUBJECTS and subject.tag_ not in ("WP", "WDT", "EX"):
        if not _is_person(subject, centre):
            # "His father was a farmer.", "Critics praised her work.": the person is the one spoken of before.
            for token in _person_pronouns(parse, subject):
                named = {entity.text for entity in parse.ents if entity.label_ == "PERSON" and entity.start < token.i}
                replaced |= _replaced(token, centre, before | named)
        _move(centre, subject, _name(subject) if subject.pos_ in ("NOUN", "PROPN") else None)
    else:
        centre.thing = None
    if root is not None and subject is not None:
        for clause in (t for t in root.conjuncts if t.pos_ in ("VERB", "AUX")):
            follower = subject_of(clause)
            if follower is not None and follower.tag_ == "PRP" and len(people) < 2:
                replaced |= _replaced(follower, centre, set())
    return replaced


def _move(centre: _Centre, subject: Token, name: str | None) -> None:
    """Take the sentence's subject as what the text is about now."""
    if _is_person(subject, centre):
        alone = subject.text in (centre.person or "").split()
        full = centre.person if alone else centre.names.get(subject.text, name) or name
        if full and full != centre.person:
            centre.person, centre.gender = full, None
        if name and name.split()[-1] == subject.text and len(name.split()) > 1:
            centre.names.setdefault(subject.text, name)
        centre.thing = None
        return
    plural = subject.tag_ in ("NNS", "NNPS") or any(child.dep_ == "conj" for child in subject.children)
    centre.thing, centre.plural = name, plural


def _replaced(pronoun: Token, centre: _Centre, others: set[str]) -> dict[int, str]:
    """The replacement for one pronoun, or nothing where it is not safe."""
    word = pronoun.lower_
    name: str | None = None
    if word in _GENDER:
        # Somebody else in the sentence before may be meant, unless this gender has been said of the centre already.
        alone = not {other for other in others if not _same(other, centre.person)}
        if centre.gender == _GENDER[word] or (centre.gender is None and alone):
            name = centre.person
    elif word in _THINGS and centre.thing and not _is_empty(pronoun):
        wanted = "they" if centre.plural else "it"
        # A possessive in the middle of a sentence mostly means something in it.
        if _THINGS[word] == wanted and (pronoun.dep_ in SUBJECTS or pronoun.i == 0):
            name = centre.thing
    if not name:
        return {}
    if pronoun.tag_ == "PRP$" or pronoun.dep_ == "poss":
        return {pronoun.i: name + ("'" if name.endswith("s") and centre.plural and name == centre.thing else "'s")}
    return {pronoun.i: name}


def _is_empty(pronoun: Token) -> bool:
    if pronoun.lower_ != "it" or pronoun.dep_ not in SUBJECTS:
        return False
    verb = pronoun.head
    near = [verb, *(child for child in verb.children if child.dep_ in ("acomp", "attr", "oprd"))]
    clauses = [child for token in near for child in token.children if child.dep_ in _CLAUSES and child.i > verb.i]
    weather = verb.lower_ in ("seems", "seemed", "appears", "appeared", "takes", "took", "rained", "rains", "turns")
    return bool(clauses) or weather


def _person_pronouns(parse: Doc, subject: Token) -> list[Token]:
    """Pronouns that have no antecedent in their sentence: those before its verb, and objects ("her" may be either)."""
    verb = subject.head
    own = [t for t in parse if t.lower_ in _GENDER and t.tag_ in ("PRP", "PRP$")]
    before = [t for t in own if t.i < verb.i and t.dep_ in (*SUBJECTS, "poss", "pobj")]
    return before or [t for t in own if t.lower_ == "him" and t.dep_ in ("dobj", "pobj", "dative")][:1]


def _is_person(subject: Token, centre: _Centre) -> bool:
    if subject.text in centre.names or subject.text in (centre.person or "").split():
        return True
    if subject.tag_ != "NNP" or any(child.dep_ in ("det", "poss", "conj") for child in subject.children):
        return False
    # The small model takes unusual names for organisations or works; two plain capitalised words in a row are a name.
    if subject.ent_type_ == "PERSON":
        return True
    if not any(child.dep_ == "compound" for child in subject.children):
        return False
    said = [child for child in subject.head.children if child.dep_ == "attr"]
    return subject.ent_type_ == "" or any(is_person_noun(noun) for noun in said)


def _same_name(first: str, second: str) -> bool:
    """ "Barack Obama" and "Barack Hussein Obama", not "Michelle Obama"."""
    return first.split()[0] == second.split()[0]


def _same(name: str, centre: str | None) -> bool:
    return centre is not None and (name in centre or centre in name or name.split()[-1] == centre.split()[-1])


def _name(subject: Token) -> str | None:
    """The subject as a phrase: what stands to the left of its head, and what an "of" adds to it."""
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
