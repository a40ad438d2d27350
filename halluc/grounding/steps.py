"""The steps of a grounded answer, for a caller that runs them itself: in other threads, or between other requests.

Not covered: their order (`GroundedModel`, halluc/server), the search and the prompt (preparation.py), the follow-up question
of a conversation (conversation.py), verdicts (judging.py), citations (citing.py), and what is shown of a stream
(sentence_gate.py).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from halluc.answers import Answer, Claim, Verdict, with_calibrated_confidence
from halluc.errors import InvalidInput, check_integer, check_number
from halluc.grounding.answerability import DEFAULT_THRESHOLD
from halluc.grounding.citing import cite_by_verdicts, cite_by_words
from halluc.grounding.conversation import (
    REWRITE_OPTIONS,
    Conversation,
    drop_oldest_turns,
    rewrite_prompt,
    rewritten_question,
)
from halluc.grounding.judging import Part, judge_answers, judge_parts, require_support
from halluc.grounding.preparation import Preparation, Prepared
from halluc.grounding.sentence_gate import REPLACEMENT, OnUnsupported, SentenceGate
from halluc.models.language_model import Generation, Prompt, check_options

if TYPE_CHECKING:
    from calibration import Calibrator
    from halluc.grounding.context import PackedPassage
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore, Reranker

__all__ = ["GroundedSteps", "with_generation"]


class GroundedSteps:
    """What a grounded model does for each answer; for the arguments see `GroundedModel`."""

    def __init__(
        self,
        lm: LanguageModel,
        index: PassageStore,
        *,
        verifier: Verifier | None = None,
        calibrator: Calibrator | None = None,
        k: int = 3,
        mode: Literal["dense", "sparse", "hybrid"] = "hybrid",
        rerank: Reranker | str | None = None,
        passage_tokens: int | None = None,
        max_new_tokens: int = 48,
        min_answerability: float = DEFAULT_THRESHOLD,
        min_support: float = 0.0,
    ) -> None:
        check_integer("max_new_tokens", max_new_tokens, 1)
        check_number("min_support", min_support, 0, 1)
        if min_support and verifier is None:
            raise InvalidInput(f"min_support is {min_support} but nothing measures support; pass a verifier")
        self.lm = lm
        self.index = index
        self.verifier = verifier
        if calibrator is not None:
            from halluc.confidence.calibrate import check_calibrator

            check_calibrator(calibrator, verifier)
        self.calibrator = calibrator
        self.max_new_tokens = max_new_tokens
        self.min_support = min_support
        self._preparation = Preparation(
            lm,
            index,
            k=k,
            mode=mode,
            rerank=rerank,
            passage_tokens=passage_tokens,
            max_new_tokens=max_new_tokens,
            min_answerability=min_answerability,
        )
        self.k, self.mode, self.min_answerability = k, mode, min_answerability
        self.passage_tokens = self._preparation.passage_tokens

    def prompt(self, question: str, packed: Sequence[PackedPassage]) -> Prompt:
        """Build the conversation that the model sees for this question and these packed passages."""
        return self._preparation.prompt(Conversation(question), packed)

    def prepare(
        self,
        conversations: Sequence[Conversation],
        *,
        filter: Mapping[str, Any] | None = None,
        max_new_tokens: int | None = None,
    ) -> list[Prepared]:
        """Retrieve and pack passages for questions that stand alone, and write their prompts."""
        return self._preparation.prepare(
            conversations, filter=filter, max_new_tokens=self.max_new_tokens if max_new_tokens is None else max_new_tokens
        )

    def rewriting(self, conversation: Conversation) -> tuple[Conversation, Prompt | None]:
        """Get the prompt that makes the question of a conversation stand alone; None if there are no turns before it.

        The conversation comes back without the turns that do not fit the model's window.
        """
        special: tuple[str, ...] = getattr(self.lm, "special_tokens", ())
        window = self.lm.context_window
        room = None if window is None else window - REWRITE_OPTIONS["max_new_tokens"]
        conversation = drop_oldest_turns(
            conversation, lambda c: rewrite_prompt(c, special), count=self.lm.count_tokens, room=room
        )
        return conversation, rewrite_prompt(conversation, special) if conversation.history else None

    def stand_alone(self, conversation: Conversation) -> Conversation:
        """Rewrite the question of a conversation so that it can be understood without the turns before it."""
        conversation, prompt = self.rewriting(conversation)
        if prompt is None:
            return conversation
        generation = self.lm.generate([prompt], **REWRITE_OPTIONS)[0][0]
        return replace(conversation, question=rewritten_question(conversation, generation))

    def sampling_options(self, max_new_tokens: int | None, *, seed: int | None, **options: Any) -> dict[str, Any]:
        """Complete and check the options of a generation: an answer's default length, and a seed if there is none."""
        if max_new_tokens is None:
            max_new_tokens = self.max_new_tokens
        if seed is None:
            seed = secrets.randbits(32) if options.get("temperature") else 0
        options |= {"max_new_tokens": max_new_tokens, "seed": seed}
        check_options(**options)
        return options

    def gate(self, on_unsupported: OnUnsupported | None = None, replacement: str = REPLACEMENT) -> SentenceGate | None:
        """Make the gate that holds a stream back; None if it needs none."""
        gate = SentenceGate(on_unsupported, min_support=self.min_support, replacement=replacement)
        if on_unsupported is not None:
            self._required_verifier()
        return gate if on_unsupported is not None or self.min_support > 0 else None

    def judge_sentences(self, parts: Sequence[Part]) -> list[tuple[tuple[Verdict, ...], tuple[Claim, ...]]]:
        """Judge sentences that a gate returned, together; see `judge_parts`."""
        return judge_parts(self._required_verifier(), parts)

    def finish(
        self,
        prepared: Sequence[Prepared],
        generations: Sequence[Generation | None],
        gates: Sequence[SentenceGate | None] | None = None,
    ) -> list[Answer]:
        """Make answers of generations: citations, verdicts, support and confidence.

        Args:
            prepared: (N,) what was asked.
            generations: (N,) what the model returned; None where it was not asked, or where a gate stopped it.
            gates: (N,) the gates that the texts went through, whose verdicts then count; None for no gate.
        """
        gates = [None] * len(prepared) if gates is None else gates
        answers: list[Answer] = []
        for p, generation, gate in zip(prepared, generations, gates, strict=True):
            if p.prompt is None:
                answers.append(p.answer)
            elif gate is not None:
                answers.append(self._gated(p, generation, gate))
            else:
                assert generation is not None
                answers.append(with_generation(p, generation))
        ungated = [i for i, gate in enumerate(gates) if gate is None]
        judged = self._judge([answers[i] for i in ungated], [prepared[i] for i in ungated])
        for i, answer in zip(ungated, judged, strict=True):
            answers[i] = answer
        return self._calibrate(answers, [p.prompt for p in prepared])

    # -- private ---------------------------------------------------------------------------------------------------

    def _required_verifier(self) -> Verifier:
        if self.verifier is None:
            raise InvalidInput("on_unsupported needs verdicts, and this model has no verifier; pass one")
        return self.verifier

    def _gated(self, prepared: Prepared, generation: Generation | None, gate: SentenceGate) -> Answer:
        """The answer of which a gate has judged the sentences."""
        # A stopped generation has no log-probabilities: what is known of it is its text.
        answer = with_generation(prepared, generation or Generation(gate.text))
        answer = replace(answer, verdicts=gate.verdicts, unchecked=gate.unchecked)
        if answer.abstained:
            return answer
        if gate.on_unsupported is None and require_support(answer, self.min_support).abstained:
            return require_support(answer, self.min_support)
        text = gate.answer_text.strip()
        if not text:
            reason = (
                "the passages do not support the first sentence of the answer"
                if gate.stopped
                else "the answer was cut within its first sentence; allow more tokens"
            )
            return replace(answer, text="", citations=(), abstained=True, reason=reason, confidence=0.0)
        reason = "the answer was cut before a sentence that the passages do not support" if gate.stopped else answer.reason
        return _cited(replace(answer, text=text, reason=reason), prepared)

    def _judge(self, answers: list[Answer], prepared: Sequence[Prepared]) -> list[Answer]:
        if self.verifier is None:
            return answers
        return [
            require_support(_cited(answer, p), self.min_support)
            for answer, p in zip(judge_answers(self.verifier, answers), prepared, strict=True)
        ]

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


def _cited(answer: Answer, prepared: Prepared) -> Answer:
    """The judged answer with the citations that its verdicts give."""
    return answer if answer.abstained else replace(answer, citations=cite_by_verdicts(answer, prepared.packed))


def with_generation(prepared: Prepared, generation: Generation) -> Answer:
    """Make an answer of what the model returned, not judged yet."""
    text = generation.text.strip()
    if not text:
        return replace(
            prepared.answer,
            generation=generation,
            abstained=True,
            reason="the model returned an empty answer",
            confidence=0.0,
        )
    logprobs = generation.token_logprobs
    confidence = math.exp(sum(logprobs) / len(logprobs)) if logprobs else None
    citations = cite_by_words(prepared.answer.question, text, prepared.packed)
    return replace(prepared.answer, text=text, generation=generation, confidence=confidence, citations=citations)
