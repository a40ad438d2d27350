"""Wrap a language model with retrieval at inference: `GroundedModel`.

retrieve -> pack sentences -> prompt -> generate -> cite -> judge -> calibrate, each step over the whole batch. Not covered:
the search and the prompt (preparation.py), the follow-up question of a conversation (conversation.py), citations and
verdicts (judging.py), what is shown of a stream (sentence_gate.py), and making a calibrator (halluc.confidence).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from halluc.answers import Answer, with_calibrated_confidence
from halluc.errors import InvalidInput, check_integer, check_number, check_texts
from halluc.grounding.asynchronous import AsyncTwins
from halluc.grounding.conversation import (
    REWRITE_OPTIONS,
    ChatReply,
    Conversation,
    drop_oldest_turns,
    read_conversation,
    rewrite_prompt,
    rewritten_question,
)
from halluc.grounding.judging import Part, cite, judge_answers, judge_parts, require_support
from halluc.grounding.preparation import Preparation, Prepared
from halluc.grounding.sentence_gate import REPLACEMENT, CheckedSentence, OnUnsupported, SentenceGate
from halluc.models.language_model import Generation, Prompt, check_options

if TYPE_CHECKING:
    from calibration import Calibrator
    from halluc.grounding.context import PackedPassage
    from halluc.models.language_model import ChatMessage, LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import PassageIndex

__all__ = ["GroundedModel"]


class GroundedModel(AsyncTwins):
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
            passage_tokens=passage_tokens,
            max_new_tokens=max_new_tokens,
            min_similarity=min_similarity,
        )
        self.k, self.mode, self.min_similarity = k, mode, min_similarity
        self.passage_tokens = self._preparation.passage_tokens

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
        check_texts("questions", questions)
        prepared = self.prepare([Conversation(question) for question in questions])
        prompts = [p.prompt for p in prepared if p.prompt is not None]
        generations = iter(self.lm.generate(prompts, max_new_tokens=self.max_new_tokens) if prompts else [])
        completed = [p.answer if p.prompt is None else with_generation(p, next(generations)[0]) for p in prepared]
        return self._judge(completed), [p.prompt for p in prepared]

    def chat(
        self,
        messages: Sequence[ChatMessage],
        *,
        n: int = 1,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,
    ) -> ChatReply:
        """Answer the last question of a conversation.

        If there are turns before it, the model rewrites the question to stand alone; it is searched and answered in that
        form. The oldest turns are dropped if the conversation is longer than the model's window; `dropped_turns` says how
        many.

        Args:
            messages: system messages (further instructions), and turns of user and assistant; the last one is the question.
            n: number of answers.
            max_new_tokens: longest answer; that of the model if None.
            temperature, top_p, stop: see `LanguageModel.generate`.
            seed: the same seed gives the same answers; None for another one each time.
            filter: metadata that passages must have; see `PassageIndex.search`.

        Raises:
            InvalidInput: the conversation or an option is unusable.
            ContextOverflow, RetrievalFailed: as `batch`.
        """
        options = self.sampling_options(max_new_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=stop)
        check_integer("n", n, 1)
        conversation = self.stand_alone(read_conversation(messages))
        prepared = self.prepare([conversation], filter=filter, max_new_tokens=options["max_new_tokens"])[0]
        generations: Sequence[Generation | None] = [None]
        if prepared.prompt is not None:
            generations = self.lm.generate([prepared.prompt], n=n, **options)[0]
        answers = self.finish([prepared] * len(generations), generations)
        answers = answers if len(answers) == n else answers * n
        return ChatReply(tuple(answers), conversation.question, prepared.dropped_turns)

    def stream(
        self,
        prompt: Prompt,
        *,
        on_unsupported: OnUnsupported | None = None,
        replacement: str = REPLACEMENT,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        filter: Mapping[str, Any] | None = None,
    ) -> Iterator[str | CheckedSentence | Answer]:
        """Yield the text of an answer in pieces as it is generated, then the whole `Answer`.

        With `on_unsupported`, or if the model has a `min_support`, the text comes by whole sentences, each after it was
        judged and followed by a `CheckedSentence`, so that no sentence is shown that the passages do not support. With a
        calibrator, which judges the whole answer, no text comes before the answer is complete. Closing the iterator ends
        the generation.

        Args:
            prompt: a question, or a conversation as for `chat`.
            on_unsupported: what happens to a sentence with a claim that the passages do not support: "mark" it with its
                label, "stop" before it, or "replace" it.
            replacement: what "replace" shows.
            max_new_tokens, temperature, top_p, seed, stop, filter: see `chat`.

        Raises:
            InvalidInput, ContextOverflow, RetrievalFailed: as `chat`; with the first piece.
        """
        gate = self.gate(on_unsupported, replacement)
        options = self.sampling_options(max_new_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=stop)
        if isinstance(prompt, str):
            check_texts("questions", [prompt])
        conversation = Conversation(prompt) if isinstance(prompt, str) else self.stand_alone(read_conversation(prompt))
        prepared = self.prepare([conversation], filter=filter, max_new_tokens=options["max_new_tokens"])[0]
        if prepared.prompt is None:
            yield self.finish([prepared], [None])[0]
            return
        pieces = self.lm.stream(prepared.prompt, **options)
        shown: list[str | CheckedSentence] = []
        generation: Generation | None = None
        for piece in pieces:
            if isinstance(piece, Generation):
                generation = piece
                sentences = gate.end() if gate else []
            elif gate is None:
                shown.append(piece)
                sentences = []
            else:
                sentences = gate.add(piece)
            for span in sentences:
                assert gate is not None
                shown += gate.decide(span, *judge_parts(self._required_verifier(), [prepared.part(gate.text, span)])[0])
            if self.calibrator is None:
                yield from shown
                shown = []
            if gate is not None and gate.stopped:
                break
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
        answer = self.finish([prepared], [generation], [gate])[0]
        # What a calibrator holds back is shown once it is known that the answer stands.
        yield from (piece for piece in shown if not answer.abstained or not isinstance(piece, str))
        yield answer

    def prompt(self, question: str, packed: Sequence[PackedPassage]) -> Prompt:
        """Build the conversation that the model sees for this question and these packed passages."""
        return self._preparation.prompt(Conversation(question), packed)

    # -- the steps, for a caller that runs them itself (halluc/server) ---------------------------------------------

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

    def judge_sentences(self, parts: Sequence[Part]) -> list[Any]:
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
        for i, answer in zip(ungated, self._judge([answers[i] for i in ungated]), strict=True):
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
        if answer.abstained or gate.on_unsupported is None:
            return require_support(answer, self.min_support)
        text = gate.answer_text.strip()
        if gate.stopped and not text:
            reason = "the passages do not support the first sentence of the answer"
            return replace(answer, text="", citations=(), abstained=True, reason=reason, confidence=0.0)
        reason = "the answer was cut before a sentence that the passages do not support" if gate.stopped else answer.reason
        return replace(answer, text=text, citations=cite(answer.question, text, prepared.packed), reason=reason)

    def _judge(self, answers: list[Answer]) -> list[Answer]:
        if self.verifier is None:
            return answers
        return [require_support(answer, self.min_support) for answer in judge_answers(self.verifier, answers)]

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
    citations = cite(prepared.answer.question, text, prepared.packed)
    return replace(prepared.answer, text=text, generation=generation, confidence=confidence, citations=citations)
