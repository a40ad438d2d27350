"""The default claim extractor: parsed sentences, split and with pronouns resolved where that is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halluc.answers import Claim
from halluc.claims.abstention import is_hedged
from halluc.claims.check_worthiness import states_nothing_alone
from halluc.claims.clause_splitting import Statement, split_sentence
from halluc.claims.coordination import reads_entities
from halluc.claims.coreference import parses_that_matter, resolve_pronouns
from halluc.claims.extractor import checked_texts
from halluc.claims.markup import plain_text
from halluc.claims.parsing import SUBJECTS, add_entities
from halluc.claims.sentences import Sentence, answer_sentences

__all__ = ["RuleClaimExtractor", "extract_claims", "joined_to_question"]

_UNRESOLVED = ("it", "he", "she", "they", "this", "that", "these", "those")


def extract_claims(text: str, *, question: str | None = None) -> list[Claim]:
    """Extract the check-worthy claims of one text with the default extractor, `RuleClaimExtractor`.

    Args:
        text: the answer.
        question: what the text answers; see `ClaimExtractor.extract`.

    Returns:
        The check-worthy claims, in the order of the text.

    Raises:
        InvalidInput: the text or the question is not a string that UTF-8 can encode.
    """
    return [claim for claim in RuleClaimExtractor().extract([text], questions=[question])[0] if claim.check_worthy]


class RuleClaimExtractor:
    """`ClaimExtractor` by rules over a dependency parse (atomic facts as in FActScore, arXiv 2305.14251, section 3.1).

    A sentence is one claim unless its grammar shows several. A wrong split is worse than none, so doubtful sentences stay
    whole (`clause_splitting` lists the cases). The rules are for English; text in other languages yields its sentences.

    Time and memory grow linearly with the text; a sentence that repeats is parsed once.
    """

    name = "rules"

    def extract(self, texts: Sequence[str], *, questions: Sequence[str | None] | None = None) -> list[list[Claim]]:
        """See `ClaimExtractor.extract`."""
        texts, questions = checked_texts(texts, questions)
        answers = [plain_text(text) for text in texts]
        sentences = answer_sentences(answers, questions)
        _add_entities(sentences)
        return [
            answer.in_original(_claims_of_text(sentences_of_answer, question))
            for answer, sentences_of_answer, question in zip(answers, sentences, questions, strict=True)
        ]


def _add_entities(sentences: Sequence[Sequence[Sentence]]) -> None:
    """Add the named entities of those sentences whose claims they may change."""
    parses = [[sentence.parse for sentence in sentences_of_answer] for sentences_of_answer in sentences]
    distinct = {id(parse): parse for of_answer in parses for parse in of_answer if parse is not None}
    add_entities(
        [
            *(parse for of_answer in parses for parse in parses_that_matter(of_answer)),
            *(parse for parse in distinct.values() if reads_entities(parse)),
        ]
    )


def _claims_of_text(sentences: Sequence[Sentence], question: str | None) -> list[Claim]:
    replacements = resolve_pronouns([sentence.parse for sentence in sentences])
    return [
        claim
        for sentence, replaced in zip(sentences, replacements, strict=True)
        for claim in _claims_of_sentence(sentence, replaced, question)
    ]


def _claims_of_sentence(sentence: Sentence, replaced: Mapping[int, str], question: str | None) -> list[Claim]:
    if not sentence.check_worthy:
        return [Claim(sentence.text, sentence.start, sentence.end, check_worthy=False)]
    if question is not None and _needs_question(sentence, replaced):
        statements = [Statement(joined_to_question(question, sentence.text), 0, sentence.end - sentence.start)]
    elif sentence.parse is None:
        statements = [Statement(sentence.text, 0, sentence.end - sentence.start)]
    else:
        statements = split_sentence(sentence.parse, replaced)
    return [
        Claim(
            statement.text,
            sentence.start + statement.start,
            sentence.start + statement.end,
            hedged=sentence.hedged or is_hedged(statement.text),
        )
        for statement in statements
    ]


def joined_to_question(question: str, answer: str) -> str:
    """Join a fragment to the question it answers: the form in which verifiers are trained on short answers."""
    return f"{question} {answer}"


def _needs_question(sentence: Sentence, replaced: Mapping[int, str]) -> bool:
    if states_nothing_alone(sentence.text, sentence.parse):
        return True
    if sentence.parse is None:
        return False
    subject = next((token for token in sentence.parse if token.dep_ in SUBJECTS), None)
    return subject is not None and subject.lower_ in _UNRESOLVED and subject.i not in replaced
