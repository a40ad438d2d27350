"""Extract claims with a language model, which lists the independent facts in each sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from halluc.answers import Claim
from halluc.claims.abstention import abstains, content_span, is_hedged
from halluc.claims.check_worthiness import is_question, states_nothing_alone
from halluc.claims.extractor import checked_texts
from halluc.claims.markup import final_answer, plain_text
from halluc.claims.rule_extractor import joined_to_question
from halluc.claims.sentences import Sentence, answer_sentences
from halluc.prompts import escape

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel, Prompt

__all__ = ["LMClaimExtractor", "parse_claims"]

_SYSTEM = (
    "You break a sentence into independent facts. Write one fact per line, each line starting with '- '. Each fact is a "
    "full sentence that can be understood alone: name people and things instead of using pronouns. Add nothing that the "
    "sentence does not say."
)
_EXAMPLES = (
    (
        "He made his acting debut in the film The Moon is the Sun's Dream (1992), and continued to appear in small roles "
        "throughout the 1990s.",
        "Song Kang-ho is a South Korean actor.",
        "- Song Kang-ho made his acting debut in the film The Moon is the Sun's Dream.\n"
        "- The Moon is the Sun's Dream was released in 1992.\n"
        "- Song Kang-ho continued to appear in small roles throughout the 1990s.",
    ),
)
_CONTEXT_SENTENCES = 3
_MARK = re.compile(r"^\s*(?:[-*•–+]|\(?\d{1,3}[.):]|[a-z][.)])\s+(.*\S)\s*$")
_TALK = re.compile(
    r"^\W*(?:here (?:are|is)|the (?:independent |atomic )?facts|facts?:|sure|none|no facts?|sentence:|note:)", re.I
)


class LMClaimExtractor:
    """`ClaimExtractor` that prompts a language model (FActScore's decomposition, arXiv 2305.14251, section 3.1).

    Each check-worthy sentence is one prompt, with the preceding sentences as context for its pronouns; the prompts of all
    texts are one call of `generate`. Each claim has the span of its sentence. Where the model's output holds no claim, the
    sentence itself is the claim, also where the model refuses: no sentence goes unchecked. Models of a few hundred million
    parameters invent facts here; use one of several billion, or `RuleClaimExtractor`.

    Args:
        lm: the model to prompt.
        max_new_tokens: longest list of facts per sentence, in tokens; a line cut off there is left out.
    """

    def __init__(self, lm: LanguageModel, *, max_new_tokens: int = 256) -> None:
        self.lm = lm
        self.max_new_tokens = max_new_tokens
        self.name = f"lm:{lm.name}"

    def extract(self, texts: Sequence[str], *, questions: Sequence[str | None] | None = None) -> list[list[Claim]]:
        """See `ClaimExtractor.extract`.

        Raises:
            ContextOverflow: a sentence does not fit the model's context window.
        """
        texts, questions = checked_texts(texts, questions)
        answers = [plain_text(text) for text in texts]
        sentences = answer_sentences(answers, questions)
        claims: list[list[list[Claim]]] = [[[] for _ in of_text] for of_text in sentences]
        prompts: list[Prompt] = []
        places: list[tuple[int, int]] = []
        for t, (of_text, question) in enumerate(zip(sentences, questions, strict=True)):
            for s, sentence in enumerate(of_text):
                if not sentence.check_worthy:
                    claims[t][s] = [Claim(sentence.text, sentence.start, sentence.end, check_worthy=False)]
                elif question is not None and states_nothing_alone(sentence.text, sentence.parse):
                    claims[t][s] = _claims([joined_to_question(question, sentence.text)], sentence)
                else:
                    prompts.append(self._prompt(of_text, s, question))
                    places.append((t, s))
        replies = self.lm.generate(prompts, max_new_tokens=self.max_new_tokens) if prompts else []
        for (t, s), reply in zip(places, replies, strict=True):
            sentence = sentences[t][s]
            facts = parse_claims(reply[0].text, complete=reply[0].finish_reason != "length")
            claims[t][s] = _claims(facts or [sentence.text], sentence)
        return [
            answer.in_original([claim for of_sentence in of_text for claim in of_sentence])
            for answer, of_text in zip(answers, claims, strict=True)
        ]

    def _prompt(self, sentences: Sequence[Sentence], s: int, question: str | None) -> Prompt:
        special = getattr(self.lm, "special_tokens", ())
        before = " ".join(sentence.text for sentence in sentences[max(0, s - _CONTEXT_SENTENCES) : s])
        before = f"{question} {before}" if question else before
        messages = [{"role": "system", "content": _SYSTEM}]
        for example, context, facts in _EXAMPLES:
            messages.append({"role": "user", "content": _request(example, context)})
            messages.append({"role": "assistant", "content": facts})
        messages.append({"role": "user", "content": _request(escape(sentences[s].text, special), escape(before, special))})
        return messages


def _request(sentence: str, context: str) -> str:
    return f"Context: {context}\nSentence: {sentence}" if context else f"Sentence: {sentence}"


def _claims(texts: Sequence[str], sentence: Sentence) -> list[Claim]:
    return [Claim(text, sentence.start, sentence.end, hedged=sentence.hedged or is_hedged(text)) for text in texts]


def parse_claims(output: str, *, complete: bool = True) -> list[str]:
    """Parse the claims in a model's output: the strings of its JSON, its list items or, where it has none, its plain lines.

    Left out are thoughts, repeated lines, headings, small talk ("Here are the facts:"), questions, refusals, lines without a
    letter, and the last line of an output that was cut off.

    Args:
        output: what the model wrote.
        complete: whether the output ended by itself.

    >>> parse_claims('{"claims": ["Rome is old.", "Rome is in Italy."]}'), parse_claims("- **The bridge** opened.")
    (['Rome is old.', 'Rome is in Italy.'], ['The bridge opened.'])
    """
    text = final_answer(output)
    candidates = _json_strings(text)
    if candidates is None:
        lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("```")]
        if not complete:
            lines = lines[:-1]
        candidates = [match[1] for line in lines if (match := _MARK.match(line))] or lines
    claims = [plain_text(candidate).text.strip().strip("*_` ") for candidate in candidates]
    return list(dict.fromkeys(claim for claim in claims if _states_a_fact(claim)))


def _states_a_fact(line: str) -> bool:
    if not any(map(str.isalpha, line)) or line.endswith(":") or is_question(line) or _TALK.match(line):
        return False
    return content_span(line) is not None and not abstains(line)


def _json_strings(text: str) -> list[str] | None:
    """The claims in a reply that is JSON, also in a code block or after a sentence; None if it is not.

    Read are a list of strings or of objects that hold one, and an object with such a list.
    """
    begin = min((i for i in (text.find("["), text.find("{")) if i >= 0), default=-1)
    if begin < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text[begin:])
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        value = next((item for item in value.values() if isinstance(item, list)), None)
    if not isinstance(value, list) or not value:
        return None if not isinstance(value, list) else []
    strings = [
        next((field for field in item.values() if isinstance(field, str)), None) if isinstance(item, dict) else item
        for item in value
    ]
    return [string for string in strings if isinstance(string, str)] or None
