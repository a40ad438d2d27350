"""The default extractor: sentences, parsed, cut where that is safe, with pronouns resolved where that is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halluc.answers import Claim
from halluc.claims.check_worthiness import is_check_worthy, states_nothing_alone
from halluc.claims.coreference import resolve_pronouns
from halluc.claims.extractor import checked_texts
from halluc.claims.parsing import Sentence, parsed_sentences
from halluc.claims.splitting import split_sentence

__all__ = ["RuleClaimExtractor", "joined_to_question"]

_UNRESOLVED = ("it", "he", "she", "they", "this", "that", "these", "those")


class RuleClaimExtractor:
    """`ClaimExtractor` by rules over a dependency parse (atomic facts as in FActScore, arXiv 2305.14251, section 3.1).

    A sentence is one claim unless its grammar shows several; a wrong cut is worse than none, so that doubtful sentences stay
    whole (splitting.py says which). Made for English; text in other languages comes out as its sentences.
    """

    name = "rules"

    def extract(self, texts: Sequence[str], *, questions: Sequence[str | None] | None = None) -> list[list[Claim]]:
        """See `ClaimExtractor.extract`."""
        texts, asked = checked_texts(texts, questions)
        return [
            [
                claim
                for sentence, replaced in zip(own, resolved, strict=True)
                for claim in _claims(sentence, replaced, question)
            ]
            for own, question in zip(parsed_sentences(texts), asked, strict=True)
            for resolved in [resolve_pronouns([sentence.parse for sentence in own])]
        ]


def _claims(sentence: Sentence, replaced: Mapping[int, str], question: str | None) -> list[Claim]:
    if not is_check_worthy(sentence.text, sentence.parse, asked=question is not None):
        return [Claim(sentence.text, sentence.start, sentence.end, check_worthy=False)]
    if question is not None and _needs_question(sentence, replaced):
        return [Claim(joined_to_question(question, sentence.text), sentence.start, sentence.end)]
    if sentence.parse is None:
        return [Claim(sentence.text, sentence.start, sentence.end)]
    return [
        Claim(part.text, sentence.start + part.start, sentence.start + part.end)
        for part in split_sentence(sentence.parse, replaced)
    ]


def joined_to_question(question: str, answer: str) -> str:
    """A fragment with the question it answers, the form in which verifiers are trained on short answers."""
    return f"{question} {answer}"


def _needs_question(sentence: Sentence, replaced: Mapping[int, str]) -> bool:
    if states_nothing_alone(sentence.text, sentence.parse):
        return True
    if sentence.parse is None:
        return False
    subject = next((t for t in sentence.parse if t.dep_ in ("nsubj", "nsubjpass")), None)
    return subject is not None and subject.lower_ in _UNRESOLVED and subject.i not in replaced
