"""Distribute lists over their statement: "is an actor, director and producer" makes three statements.

Also covered are the two cases where one phrase says two things: "an American actor" (a nationality), "born on ... in ..."
(a date and a place), and `Clause`, which becomes a sentence with `render`. Not covered: splitting a sentence into clauses
(clause_splitting.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from halluc.claims.parsing import subject_of
from halluc.claims.persons import is_person_noun

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

__all__ = ["Clause", "Item", "distribute", "render"]

Item: TypeAlias = "Token | str"
"""A token of the sentence, or a word that is not in it."""


@dataclass(frozen=True)
class Clause:
    """A statement before it is rendered as a sentence.

    Attributes:
        items: its words, in order.
        verb: its verb.
        first, last: the first and last token of the sentence that only this statement covers.
    """

    items: tuple[Item, ...]
    verb: Token
    first: int
    last: int

    @property
    def indices(self) -> list[int]:
        """Indices in the sentence of the items that come from it."""
        return [item.i for item in self.items if not isinstance(item, str)]


# A list after these is one unit: "between A and B", "a mixture of A and B", "combined A and B".
_JOINING_PREPOSITIONS = {"between", "among", "amongst", "of", "versus", "per", "than"}
_JOINING_VERBS = ("alternat", "blend", "combin", "compar", "compos", "compris", "connect", "consist", "constitut",
                  "distinguish", "divid", "divorc", "form", "join", "link", "marr", "meet", "merg", "met", "mix", "separat",
                  "total", "unit")  # fmt: skip
# Words that bind a list together or reverse its meaning.
_COLLECTIVE = {"all", "both", "but", "combined", "each", "either", "instead", "jointly", "n't", "neither", "never", "no",
               "nor", "not", "only", "or", "rather", "respectively", "together", "unlike"}  # fmt: skip
_QUANTIFIERS = {"numerous", "many", "several", "various", "multiple", "some", "other", "few"}
_TIMES = {"throughout", "during", "since", "until", "after", "before"}
_EVENTS = {"born", "died"}
_PATH = {"dobj", "attr", "pobj", "prep", "acomp", "agent", "oprd"}
_MAX_MEMBERS = 12
_HEADS_OF_LISTS = ("dobj", "attr", "pobj", "acomp", "oprd")


def reads_entities(parse: Doc) -> bool:
    """Whether the named entities of a sentence may decide how `distribute` splits it."""
    words = {token.lower_ for token in parse}
    if not words.isdisjoint(_EVENTS):
        return True
    if "and" in words and any(token.dep_ == "conj" and token.head.dep_ in _HEADS_OF_LISTS for token in parse):
        return True
    return any(token.dep_ == "amod" and token.head.dep_ == "attr" for token in parse)


def distribute(clause: Clause) -> list[Clause]:
    """Return the clause once for each member of its longest list; the clause itself where no list is safe to distribute."""
    pieces = _per_member(clause)
    pieces = [part for piece in pieces for part in _nationality(piece)]
    return [part for piece in pieces for part in _events(piece)]


def _per_member(clause: Clause) -> list[Clause]:
    doc = clause.verb.doc
    inside = set(clause.indices)
    if any(doc[i].lower_ in _COLLECTIVE for i in inside) or clause.verb.lower_.startswith(_JOINING_VERBS):
        return [clause]
    lists = [members for i in sorted(inside) if (members := _members(doc[i], clause, inside))]
    if not lists:
        return [clause]
    members = max(lists, key=len)
    head = members[0]
    region = sorted({t.i for t in head.subtree} & inside)
    low, high = region[0], region[-1]
    pieces = []
    for number, member in enumerate(members):
        own_tokens = _own_tokens(member, inside)
        items: list[Item] = []
        placed = False
        for item in clause.items:
            if isinstance(item, str) or not low <= item.i <= high:
                items.append(item)
            elif not placed:
                items += [*_shared(head, member), *(doc[i] for i in own_tokens)]
                placed = True
        first = clause.first if number == 0 else own_tokens[0]
        last = own_tokens[-1] if number < len(members) - 1 else max(clause.last, own_tokens[-1])
        pieces.append(Clause(tuple(items), clause.verb, min(first, own_tokens[0]), last))
    return pieces


def _members(head: Token, clause: Clause, inside: set[int]) -> list[Token]:
    """List the members of the list that `head` opens; empty if it opens none, or one that must stay together."""
    if head.dep_ not in _HEADS_OF_LISTS or not any(c.dep_ == "conj" for c in head.children):
        return []
    members = [head, *head.conjuncts]
    if not 2 <= len(members) <= _MAX_MEMBERS or any(m.i not in inside for m in members):
        return []
    if any(m.pos_ not in (("ADJ", "VERB") if head.dep_ == "acomp" else ("NOUN", "PROPN", "NUM")) for m in members):
        return []
    node = head
    while node != clause.verb:
        if node.dep_ not in _PATH or node.i not in inside:
            return []
        if node.dep_ == "prep" and node.lower_ in _JOINING_PREPOSITIONS:
            return []
        node = node.head
    joints = [c for m in members for c in m.children if c.dep_ == "cc"]
    if len(joints) != 1 or joints[0].lower_ != "and":
        return []
    if any(e.start <= members[k].i < e.end and e.start <= members[k + 1].i < e.end
           for e in head.doc.ents for k in range(len(members) - 1)):  # fmt: skip
        return []
    if head.dep_ == "attr":
        subject = subject_of(clause.verb)
        if clause.verb.lower_ in ("are", "were") or (subject is not None and subject.tag_ in ("NNS", "NNPS")):
            return []
    # "the kings and queens of France": whose queens? "two sons and daughters": how many of each?
    after = [[c for c in m.children if c.i > m.i] for m in members]
    if any(c.dep_ in ("relcl", "acl", "advcl", "appos") for following in after for c in following):
        return []
    after = [[c for c in following if c.dep_ == "prep" and c.lower_ not in _TIMES] for following in after]
    if after[-1] and not after[0]:
        return []
    # The parser may have missed the beginning of the list: '"A," "B," and "C"'.
    start = min(t.i for t in head.subtree) - 1
    start -= start > 0 and head.doc[start].text in ('"', "“")
    if start > 0 and head.doc[start].is_punct and head.doc[start].text != ":":
        return []
    # "a reggae and dancehall artist" is one person, "an actor and film producer" has two occupations.
    if (len(members) == 2 and head.tag_ == "NN" and head.nbor().dep_ == "cc" and not is_person_noun(head)
            and any(c.dep_ == "compound" for c in members[1].children)
            and not any(c.dep_ in ("det", "poss") for c in members[1].children)):  # fmt: skip
        return []
    counted = [any(c.dep_ == "nummod" for c in m.children) for m in members]
    if counted[0] and not all(counted):
        return []
    if any(
        c.dep_ in ("amod", "det") and c.lower_ in ("first", "last", "two", "three", "these", "those", "same")
        for c in head.children
    ):
        return []
    return members


def _own_tokens(member: Token, inside: set[int]) -> list[int]:
    """List the tokens of the member itself, without the members that depend on it."""
    doc = member.doc
    joined = {t.i for child in member.children if child.dep_ in ("conj", "cc", "preconj") for t in child.subtree}
    tokens = [t.i for t in member.subtree if t.i in inside and t.i not in joined]
    # A comma or a quotation mark at either end may belong to another member.
    while tokens and tokens[-1] != member.i and doc[tokens[-1]].is_punct:
        tokens.pop()
    while tokens and tokens[0] != member.i and doc[tokens[0]].is_punct:
        tokens.pop(0)
    return tokens


def _shared(head: Token, member: Token) -> list[Item]:
    """Get the article, possessive or quantifier of the first member that this member leaves out."""
    if member == head:
        return []
    if any(c.dep_ in ("det", "poss", "nummod") or c.lower_ in _QUANTIFIERS for c in member.children):
        return []
    for child in head.children:
        if child.i > head.i:
            continue
        if child.dep_ == "poss" and member.pos_ == "NOUN":
            return list(child.subtree)
        if child.dep_ == "det" and child.lower_ in ("a", "an") and member.tag_ == "NN":
            first = min(t.i for t in member.subtree)
            return ["an" if member.doc[first].lower_[0] in "aeiou" else "a"]
        if child.dep_ == "det" and child.lower_ == "the" and member.pos_ == head.pos_:
            return [child]
        if child.lower_ in _QUANTIFIERS and member.tag_ == head.tag_:
            return [child]
    return []


def _nationality(clause: Clause) -> list[Clause]:
    """Split "is an American actor" into "is American" and "is an actor"."""
    doc = clause.verb.doc
    inside = set(clause.indices)
    noun = next((c for c in clause.verb.children if c.dep_ == "attr" and c.i in inside), None)
    if noun is None or clause.verb.lower_ not in ("is", "was") or noun.tag_ != "NN":
        return [clause]
    article = next((c for c in noun.children if c.dep_ == "det" and c.lower_ in ("a", "an")), None)
    adjectives = [c for c in noun.children if c.dep_ == "amod" and c.ent_type_ == "NORP" and c.i in inside]
    if article is None or article.i + 1 not in inside or len(adjectives) != 1 or adjectives[0].i != article.i + 1:
        return [clause]
    adjective = adjectives[0]
    if adjective.ent_iob_ != "B" or doc[adjective.i + 1].ent_iob_ == "I" or not doc[adjective.i + 1].is_alpha:
        return [clause]
    before: list[Item] = []
    for item in clause.items:
        if not isinstance(item, str) and item == article:
            break
        before.append(item)
    rest = [item for item in clause.items[len(before) :] if isinstance(item, str) or item not in (article, adjective)]
    following = doc[adjective.i + 1].lower_
    new_article = "an" if following[0] in "aeiou" else "a"
    return [
        Clause((*before, adjective), clause.verb, clause.first, adjective.i),
        Clause((*before, new_article, *rest), clause.verb, adjective.i + 1, max(clause.last, adjective.i + 1)),
    ]


def _events(clause: Clause) -> list[Clause]:
    """Split "born on a day in a place" into two statements."""
    verb = clause.verb
    inside = set(clause.indices)
    right = [c for c in verb.children if c.i > verb.i and c.i in inside and not c.is_punct]
    if verb.lower_ not in _EVENTS or not right or any(c.dep_ != "prep" or c.lower_ not in ("on", "in", "at") for c in right):
        return [clause]
    # "on May 3, 1946, in Lockhart": the parse may attach the place to the date.
    nested = [c for place in right for day in place.children if day.ent_type_ == "DATE" for c in day.children]
    right += [c for c in nested if c.dep_ == "prep" and c.lower_ in ("in", "at") and c.i in inside]
    if len(right) < 2:
        return [clause]
    places = sorted(right, key=lambda place: place.i)
    ends = [place.i for place in places[1:]] + [max(inside) + 1]
    regions = [[t.i for t in place.subtree if t.i in inside and t.i < end] for place, end in zip(places, ends, strict=True)]
    regions = [_stripped(region, verb) for region in regions]
    taken = {i for region in regions for i in region}
    stem: list[Item] = [
        item for item in clause.items if isinstance(item, str) or (item.i not in taken and item.i < regions[0][0])
    ]
    pieces = []
    for number, region in enumerate(regions):
        items = (*stem, *(verb.doc[i] for i in region))
        pieces.append(Clause(items, verb, clause.first if number == 0 else region[0], region[-1]))
    return pieces


def _stripped(region: list[int], verb: Token) -> list[int]:
    while len(region) > 1 and verb.doc[region[-1]].is_punct:
        region = region[:-1]
    return region


def render(items: Iterable[Item], replaced: Mapping[int, str]) -> str:
    """Write the items as one sentence, with an initial capital and a full stop.

    Args:
        items: the words.
        replaced: per index of a token, the text that replaces it.
    """
    text = ""
    for item in items:
        if isinstance(item, str):
            text += item + " "
        else:
            text += replaced.get(item.i, item.text) + item.whitespace_
            # The word ended its line, or preceded a comma that was removed.
            text += "" if item.whitespace_ or _joins(item) else " "
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s+([,.;:!?%)\]])", r"\1", text)
    text = re.sub(r"[,;:]+(?=\s*[,;:.])", "", text)
    text = re.sub(r"([(\[])\s+", r"\1", text)
    text = text.strip(" ,;:-–—").rstrip(".!? ,;:")
    text = re.sub(r'[.,](["”])$', r"\1", text)
    if text.count('"') % 2 or text.count("“") != text.count("”"):
        text = re.sub('["“”]', "", text).strip()
    if text.count("(") != text.count(")"):
        text = re.sub("[()]", "", text).strip()
    # An abbreviation at the end keeps a single full stop.
    return f"{text[:1].upper()}{text[1:]}."


def _joins(token: Token) -> bool:
    """Whether the next token is written directly after this one and belongs to it ("Obama" + "'s")."""
    if token.i + 1 >= len(token.doc):
        return True
    following = token.nbor()
    return not (following.is_punct and following.text in (",", ".", ";", ":", "!", "?"))
