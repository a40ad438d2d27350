"""Wrap a language model with retrieval at inference: `GroundedModel`.

retrieve -> pack sentences -> prompt -> generate -> cite -> judge -> calibrate, each step over the whole batch. Not covered:
the steps themselves (steps.py), and making a calibrator (halluc.confidence).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from halluc.answers import Answer
from halluc.errors import check_integer, check_texts
from halluc.grounding.asynchronous import AsyncTwins
from halluc.grounding.conversation import ChatReply, Conversation, read_conversation
from halluc.grounding.sentence_gate import REPLACEMENT, CheckedSentence, OnUnsupported, SentenceGate
from halluc.grounding.steps import GroundedSteps, with_generation
from halluc.models.language_model import Generation, Prompt

if TYPE_CHECKING:
    from halluc.grounding.preparation import Prepared
    from halluc.models.language_model import ChatMessage

__all__ = ["GroundedModel"]


class GroundedModel(GroundedSteps, AsyncTwins):
    """A language model that answers from an index of passages, cites them, and abstains when it finds nothing.

    Args:
        lm: the model to wrap.
        index: where passages are retrieved.
        verifier: judges each claim of an answer against the passages retrieved; None leaves `Answer.verdicts` empty.
        calibrator: made by `halluc.calibrate` for this model. `Answer.confidence` is then calibrated, and an answer below
            the threshold becomes an abstention with its reason.
        k: passages retrieved per question.
        mode: "dense", "sparse" or "hybrid" (see `PassageStore.search`).
        rerank: puts the first hits in a better order: "default" (comes with halluc), another `retrieval.Reranker`, or the
            folder or hub id of one.
        passage_tokens: tokens of passage text in a prompt, in whole sentences. By default what was measured for the packaged
            models (16 to 300), and 16 to 2048 by the size of others, limited by the model's window;
            `halluc.choose_passage_tokens` measures it.
        max_new_tokens: longest answer.
        min_answerability: abstain if the probability that the passages answer the question is below this, in [0, 1]; 0 to
            answer whatever was retrieved (see `halluc.grounding.answerability`).
        min_support: abstain if the least supported claim of the answer has less support than this, in [0, 1], or if it is
            above 0 and nothing in the answer could be checked.

    Raises:
        InvalidInput: an option is out of range, or this model cannot produce the calibrator's confidence source.
    """

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
        return self._judge(completed, prepared), [p.prompt for p in prepared]

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
            filter: metadata that passages must have; see `PassageStore.search`.

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
        try:
            for piece in pieces:
                if isinstance(piece, Generation):
                    generation = piece
                shown += self._gated_piece(prepared, piece, gate)
                if self.calibrator is None:
                    yield from shown
                    shown = []
                if gate is not None and gate.stopped:
                    break
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        answer = self.finish([prepared], [generation], [gate])[0]
        # What a calibrator holds back is shown once it is known that the answer stands.
        yield from (piece for piece in shown if not answer.abstained or not isinstance(piece, str))
        yield answer

    def _gated_piece(
        self, prepared: Prepared, piece: str | Generation, gate: SentenceGate | None
    ) -> list[str | CheckedSentence]:
        """What is shown now that this piece of text, or the end, has come."""
        if gate is None:
            return [piece] if isinstance(piece, str) else []
        shown: list[str | CheckedSentence] = []
        for span in gate.add(piece) if isinstance(piece, str) else gate.end(piece.finish_reason):
            shown += gate.decide(span, *self.judge_sentences([prepared.part(gate.text, span)])[0])
        return shown
