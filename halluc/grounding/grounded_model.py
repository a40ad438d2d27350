"""Wrap a language model with retrieval at inference: `GroundedModel`.

retrieve -> pack sentences -> prompt -> generate -> cite -> judge -> calibrate, each step over the whole batch. Not covered:
the search itself (retrieval), the choice of text for the prompt (context.py, halluc.prompts), the judging of claims
(halluc.verification), and making a calibrator (halluc.confidence).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from halluc.answers import Answer, Citation, Verdict, with_calibrated_confidence
from halluc.claims import RuleClaimExtractor
from halluc.errors import ContextOverflow, InvalidInput, check_texts, leaf_errors_as_ours
from halluc.grounding.context import PackedPassage, pack_passages
from halluc.models.language_model import Generation, Prompt
from halluc.prompts import escape, grounded_prompt
from halluc.verification.evidence import terms
from halluc.verification.judge import Judge, answer_support

if TYPE_CHECKING:
    from calibration import Calibrator
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import Hit, PassageIndex

__all__ = ["GroundedModel"]

# Measured on 100 XQuAD development questions with SmolLM2-135M: it answers 51 % correctly from the best sentence, 43 % from
# the best two, 37 % from the whole best passage and 20 % from three passages. Larger models read longer contexts well, and
# for them recall counts more than focus.
_SMALL_MODEL_PARAMETERS = 1_000_000_000
_SMALL_MODEL_TOKENS = 16
_LARGE_MODEL_TOKENS = 2048


class GroundedModel:
    """A language model that answers from an index of passages, cites them, and abstains when it finds nothing.

    Args:
        lm: the model to wrap.
        index: where passages are retrieved.
        verifier: judges each claim of an answer against the passages retrieved; None leaves `Answer.verdicts` empty.
        calibrator: made by `halluc.calibrate` for this model. `Answer.confidence` is then calibrated, and an answer below
            the threshold becomes an abstention with its reason.
        k: passages retrieved per question.
        mode: "dense", "sparse" or "hybrid" (see `PassageIndex.search`).
        passage_tokens: tokens of passage text in a prompt, in whole sentences. The default is 16 (the best sentence) for a
            model known to have under a billion parameters and 2048 for others, limited by the model's window.
        max_new_tokens: longest answer.
        min_similarity: abstain if no passage has a cosine similarity of at least this to the question, in [-1, 1].
        min_support: abstain if the least supported claim of the answer has less support than this, in [0, 1], or if it is
            above 0 and nothing in the answer could be checked.

    Raises:
        InvalidInput: an option is out of range, or this model cannot produce the calibrator's confidence source.
    """

    def __init__(
        self,
        lm: LanguageModel,
        index: PassageIndex,
        *,
        verifier: Verifier | None = None,
        calibrator: Calibrator | None = None,
        k: int = 3,
        mode: Literal["dense", "sparse", "hybrid"] = "hybrid",
        passage_tokens: int | None = None,
        max_new_tokens: int = 48,
        min_similarity: float = 0.3,
        min_support: float = 0.0,
    ) -> None:
        for name, value in (("k", k), ("max_new_tokens", max_new_tokens), ("passage_tokens", passage_tokens)):
            if value is not None and value < 1:
                raise InvalidInput(f"{name} is {value}; pass at least 1")
        if not -1 <= min_similarity <= 1:
            raise InvalidInput(f"min_similarity is {min_similarity}; pass a cosine similarity in [-1, 1]")
        if not 0 <= min_support <= 1:
            raise InvalidInput(f"min_support is {min_support}; pass a probability in [0, 1]")
        if min_support and verifier is None:
            raise InvalidInput(f"min_support is {min_support} but nothing measures support; pass a verifier")
        self.lm = lm
        self.index = index
        self.verifier = verifier
        if calibrator is not None:
            from halluc.confidence.calibrate import check_calibrator

            check_calibrator(calibrator, verifier)
        self.calibrator = calibrator
        self.k = k
        self.mode = mode
        self.passage_tokens = _default_passage_tokens(lm) if passage_tokens is None else passage_tokens
        self.max_new_tokens = max_new_tokens
        self.min_similarity = min_similarity
        self.min_support = min_support
        self._special: tuple[str, ...] = getattr(lm, "special_tokens", ())
        self._template_tokens = lm.count_tokens(" ") - 1

    def ask(self, question: str) -> Answer:
        """Answer one question; see `batch`."""
        return self.batch([question])[0]

    def batch(self, questions: Sequence[str]) -> list[Answer]:
        """Answer questions greedily, with one call each of retrieval, generation and verification for all of them.

        Args:
            questions: (N,) questions.

        Returns:
            (N,) answers.

        Raises:
            InvalidInput: questions is a string in place of a list, or a question is empty or cannot be encoded.
            ContextOverflow: a question leaves no room for a passage in the model's window.
            RetrievalFailed: the index cannot be searched.
        """
        return self._calibrate(*self.uncalibrated(questions))

    def uncalibrated(self, questions: Sequence[str]) -> tuple[list[Answer], list[Prompt | None]]:
        """Answer questions without applying the calibrator; see `batch`.

        Returns:
            (N,) answers and (N,) prompts, None where the model was not asked.
        """
        answers, packed = self._retrieve(questions)
        prompts = [self.prompt(q, p) if p else None for q, p in zip(questions, packed, strict=True)]
        to_generate = [prompt for prompt in prompts if prompt is not None]
        generations = iter(self.lm.generate(to_generate, max_new_tokens=self.max_new_tokens) if to_generate else [])
        for i, prompt in enumerate(prompts):
            if prompt is not None:
                answers[i] = _with_generation(answers[i], next(generations)[0], packed[i])
        return self._verify(answers), prompts

    def stream(self, question: str) -> Iterator[str | Answer]:
        """Yield the answer's text in pieces as it is generated, then the whole `Answer`.

        Verdicts, `min_support` and the calibrator are applied to the finished text: only the final `Answer` says whether it
        stands or the model abstains.
        """
        answers, packed = self._retrieve([question])
        prompt = self.prompt(question, packed[0]) if packed[0] else None
        if prompt is not None:
            for piece in self.lm.stream(prompt, max_new_tokens=self.max_new_tokens):
                if isinstance(piece, str):
                    yield piece
                else:
                    answers[0] = _with_generation(answers[0], piece, packed[0])
        yield self._calibrate(self._verify(answers), [prompt])[0]

    def prompt(self, question: str, packed: Sequence[PackedPassage]) -> Prompt:
        """Build the conversation that the model sees for this question and these packed passages."""
        return grounded_prompt(question, [p.text for p in packed], self._special)

    def _retrieve(self, questions: Sequence[str]) -> tuple[list[Answer], list[list[PackedPassage]]]:
        """For each question an answer with its hits, abstained if they are too far, and the passages to read."""
        check_texts("questions", questions)
        if not questions:
            return [], []
        rooms = [self._room(question) for question in questions]
        answers: list[Answer] = []
        packed: list[list[PackedPassage]] = []
        with leaf_errors_as_ours():
            # The lowest possible threshold: every hit has its similarity then, in sparse search too.
            results = self.index.search(list(questions), k=self.k, mode=self.mode, min_similarity=-1.0)
        for question, hits, room in zip(questions, results, rooms, strict=True):
            answer = Answer(question, "", hits=tuple(hits))
            near = _near(hits, self.min_similarity)
            if near:
                packed.append(pack_passages(question, near, budget=self.passage_tokens, room=room, count_tokens=self._count))
                if not packed[-1]:
                    reason = f"no sentence of the passages fits the {room} tokens left in the model's window"
                    answer = replace(answer, abstained=True, reason=reason, confidence=0.0)
                answers.append(answer)
            else:
                best = max((hit.similarity for hit in hits if hit.similarity is not None), default=None)
                reason = (
                    "nothing was retrieved"
                    if best is None
                    else f"no passage is near the question: the best similarity is {best:.2f}, "
                    f"below {self.min_similarity:.2f}"
                )
                packed.append([])
                answers.append(replace(answer, abstained=True, reason=reason, confidence=0.0))
        return answers, packed

    def _room(self, question: str) -> int | None:
        """Tokens left for passages in the model's window; None if its window is not known."""
        window = self.lm.context_window
        if window is None:
            return None
        question_tokens = self.lm.count_tokens(self.prompt(question, []))
        room = window - question_tokens - self.max_new_tokens - _MARKUP_TOKENS * self.k
        if room < 1:
            raise ContextOverflow(
                f"the question takes {question_tokens} tokens with its prompt, which leaves no room for passages in the "
                f"{window} tokens of {self.lm.name}; shorten the question"
            )
        return room

    def _count(self, text: str) -> int:
        return self.lm.count_tokens(escape(text, self._special) or " ") - self._template_tokens

    def _verify(self, answers: list[Answer]) -> list[Answer]:
        """Judge the claims of each answer against the passages retrieved, and abstain below `min_support`.

        The whole passages count, not only what the model was shown of them: a right answer may come from a sentence that it
        was not shown, and be supported by a sentence beside that.
        """
        if self.verifier is None:
            return answers
        given = [i for i, answer in enumerate(answers) if not answer.abstained]
        claims = RuleClaimExtractor().extract(
            [answers[i].text for i in given], questions=[answers[i].question for i in given]
        )
        worthy = [
            (i, claim)
            for i, claims_of_answer in zip(given, claims, strict=True)
            for claim in claims_of_answer
            if claim.check_worthy
        ]
        passages = [[hit.passage for hit in answers[i].hits] for i, _ in worthy]
        judged = Judge(self.verifier).verdicts([claim for _, claim in worthy], passages, quote=True)
        verdicts: dict[int, list[Verdict]] = {i: [] for i in given}
        for (i, _), verdict in zip(worthy, judged, strict=True):
            verdicts[i].append(verdict)
        for i, claims_of_answer in zip(given, claims, strict=True):
            unchecked = tuple(claim for claim in claims_of_answer if not claim.check_worthy)
            answers[i] = self._require_support(replace(answers[i], verdicts=tuple(verdicts[i]), unchecked=unchecked))
        return answers

    def _require_support(self, answer: Answer) -> Answer:
        """The answer, or an abstention with its verdicts if its support is below `min_support`."""
        support = answer_support(answer.verdicts)
        if support >= self.min_support:
            return answer
        reason = (
            f"the least supported claim has support {support:.2f}, below {self.min_support:.2f}"
            if answer.verdicts
            else f"nothing in the answer could be checked, and a support of {self.min_support:.2f} is required"
        )
        return replace(answer, text="", citations=(), abstained=True, reason=reason, confidence=0.0)

    def _calibrate(self, answers: list[Answer], prompts: Sequence[Prompt | None]) -> list[Answer]:
        """Recalibrate the confidence of the answers, and abstain below the calibrator's threshold."""
        if self.calibrator is None:
            return answers
        from halluc.confidence import estimate_confidence

        given = [(i, prompt) for i, prompt in enumerate(prompts) if prompt is not None and not answers[i].abstained]
        raw = estimate_confidence(
            self.calibrator.source,
            [answers[i] for i, _ in given],
            lm=self.lm,
            prompts=[prompt for _, prompt in given],
            max_new_tokens=self.max_new_tokens,
        )
        calibrated = with_calibrated_confidence([answers[i] for i, _ in given], self.calibrator, raw)
        for (i, _), answer in zip(given, calibrated, strict=True):
            answers[i] = answer
        return answers


# The number, brackets and line break around a passage, rounded up.
_MARKUP_TOKENS = 8


def _default_passage_tokens(lm: LanguageModel) -> int:
    parameters: int | None = getattr(lm, "num_parameters", None)
    small = parameters is not None and parameters < _SMALL_MODEL_PARAMETERS
    return _SMALL_MODEL_TOKENS if small else _LARGE_MODEL_TOKENS


def _near(hits: Sequence[Hit], threshold: float) -> list[Hit]:
    """All hits if any is near enough, else none: a hybrid search may rank a distant one first for the words it shares."""
    return list(hits) if any(h.similarity is not None and h.similarity >= threshold for h in hits) else []


def _with_generation(answer: Answer, generation: Generation, packed: Sequence[PackedPassage]) -> Answer:
    text = generation.text.strip()
    if not text:
        return replace(
            answer, generation=generation, abstained=True, reason="the model returned an empty answer", confidence=0.0
        )
    logprobs = generation.token_logprobs
    confidence = math.exp(sum(logprobs) / len(logprobs)) if logprobs else None
    citations = _cite(answer.question, text, packed)
    return replace(answer, text=text, generation=generation, confidence=confidence, citations=citations)


def _cite(question: str, text: str, packed: Sequence[PackedPassage]) -> tuple[Citation, ...]:
    """The passages that the answer cites as [number]; if it cites none, those that share words with it.

    A small model seldom cites by itself. Words of the question do not count: they do not show where an answer came from.
    """
    marked = {int(number) for number in re.findall(r"\[(\d{1,3})\]", text)}
    used = [number for number in range(1, len(packed) + 1) if number in marked]
    if not used:
        answer_terms = {term for term in terms(text) - terms(question) if len(term) > 3 or term.isdigit()}
        used = [number for number, passage in enumerate(packed, 1) if answer_terms & terms(passage.text)]
    cited = [(number, packed[number - 1]) for number in used]
    return tuple(
        Citation(number, p.hit.passage.id, p.hit.passage.title, p.hit.passage.source, p.text) for number, p in cited
    )
