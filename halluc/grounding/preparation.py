"""From a question to a prompt: retrieve passages, abstain if they do not answer it, pack their sentences into the window.

Not covered: whether passages answer a question (answerability.py), the choice of sentences (context.py), and what happens
to the prompt (grounded_model.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from halluc.answers import Answer
from halluc.errors import ContextOverflow, check_integer, check_number, leaf_errors_as_ours
from halluc.grounding.answerability import answerability
from halluc.grounding.context import PackedPassage, pack_passages
from halluc.grounding.conversation import Conversation, drop_oldest_turns
from halluc.grounding.judging import Part
from halluc.models.language_model import Prompt
from halluc.prompts import escape, grounded_prompt

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from retrieval import Hit, PassageStore, Reranker

__all__ = ["Preparation", "Prepared"]

# Tokens of passages from which each packaged model answered most tuning questions of XQuAD; of equally good sizes the
# smallest (benchmarks/models.py --part tune). The largest one also answers far more questions of HotpotQA, which need two
# passages, from 300 than from 64. `choose_passage_tokens` measures others.
_MEASURED_TOKENS = {
    "SmolLM2-135M-Instruct": 16,
    "Qwen2.5-Coder-0.5B-Instruct": 64,
    "Qwen2.5-Coder-1.5B-Instruct": 300,
}
# Of a model that was not measured: the least is enough for the smallest, and large ones read long contexts well.
_TOKENS_BY_PARAMETERS = ((300_000_000, 16), (1_000_000_000, 64), (3_000_000_000, 300))
_LARGE_MODEL_TOKENS = 2048
# The right passage is among so many hits of a hybrid search nearly always, and reading more takes longer.
_RERANK_DEPTH = 10
# The number, brackets and line break around a passage, rounded up.
_MARKUP_TOKENS = 8


@dataclass(frozen=True)
class Prepared:
    """A question before the model answers it.

    Attributes:
        answer: the question with its hits; an abstention if the model need not be asked.
        packed: the passages that the model reads.
        prompt: what it is sent; None if it is not asked.
        dropped_turns: how many of the oldest turns of the conversation were left out.
    """

    answer: Answer
    packed: tuple[PackedPassage, ...] = ()
    prompt: Prompt | None = None
    dropped_turns: int = 0

    def part(self, text: str, span: tuple[int, int]) -> Part:
        """A sentence of the answer, to be judged against the passages retrieved."""
        return Part(self.answer.question, text, *span, tuple(hit.passage for hit in self.answer.hits))


class Preparation:
    """Retrieves and packs; for the arguments see `GroundedModel`."""

    def __init__(
        self,
        lm: LanguageModel,
        index: PassageStore,
        *,
        k: int,
        mode: Literal["dense", "sparse", "hybrid"],
        rerank: Reranker | str | None,
        passage_tokens: int | None,
        max_new_tokens: int,
        min_answerability: float,
    ) -> None:
        check_integer("k", k, 1)
        if passage_tokens is not None:
            check_integer("passage_tokens", passage_tokens, 1)
        check_number("min_answerability", min_answerability, 0, 1)
        self.lm, self.index, self.k = lm, index, k
        self.reranker: Reranker | None = None
        if rerank is not None:
            from retrieval.rerank import checked_reranker

            with leaf_errors_as_ours():
                self.reranker = checked_reranker(rerank)
        self.mode: Literal["dense", "sparse", "hybrid"] = mode
        self.passage_tokens = _default_passage_tokens(lm) if passage_tokens is None else passage_tokens
        self.max_new_tokens, self.min_answerability = max_new_tokens, min_answerability
        self._special: tuple[str, ...] = getattr(lm, "special_tokens", ())
        self._template_tokens = lm.count_tokens(" ") - 1

    def prepare(
        self, conversations: Sequence[Conversation], *, filter: Mapping[str, Any] | None = None, max_new_tokens: int
    ) -> list[Prepared]:
        """Search for all questions together, and write a prompt for each that the passages seem to answer.

        Args:
            conversations: (N,) questions that stand alone, with the turns before them.
            filter: metadata that passages must have.
            max_new_tokens: room to leave for the answer.

        Raises:
            ContextOverflow: a question leaves no room for a passage in the model's window.
            RetrievalFailed: the index cannot be searched.
        """
        if not conversations:
            return []
        fitted = [self._fitted(conversation, max_new_tokens) for conversation in conversations]
        rooms = [self._room(conversation, max_new_tokens) for conversation in fitted]
        with leaf_errors_as_ours():
            # The lowest possible threshold: every hit has its similarity then, in sparse search too.
            results = self.index.search(
                [c.question for c in fitted],
                k=self.k,
                mode=self.mode,
                filter=filter,
                min_similarity=-1.0,
                rerank=self.reranker,
                rerank_depth=max(self.k, _RERANK_DEPTH),
            )
        scores = answerability([c.question for c in fitted], results)
        return [self._packed(*row) for row in zip(fitted, results, scores, rooms, strict=True)]

    def prompt(self, conversation: Conversation, packed: Sequence[PackedPassage]) -> Prompt:
        """Build the conversation that the model sees for this question and these packed passages."""
        return grounded_prompt(
            conversation.question,
            [p.text for p in packed],
            self._special,
            system=conversation.system,
            history=conversation.history,
        )

    def _packed(self, conversation: Conversation, hits: Sequence[Hit], score: float, room: int | None) -> Prepared:
        question = conversation.question
        answer = Answer(question, "", hits=tuple(hits), answerability=score)
        if not hits:
            return _unasked(answer, "nothing was retrieved", conversation)
        if score < self.min_answerability:
            reason = (
                f"the passages do not seem to answer the question: the probability is {score:.2f}, below "
                f"{self.min_answerability:.2f}"
            )
            return _unasked(answer, reason, conversation)
        packed = pack_passages(question, hits, budget=self.passage_tokens, room=room, count_tokens=self._count)
        if not packed:
            reason = f"no sentence of the passages fits the {room} tokens left in the model's window"
            return _unasked(answer, reason, conversation)
        return Prepared(answer, tuple(packed), self.prompt(conversation, packed), conversation.dropped_turns)

    def _fitted(self, conversation: Conversation, max_new_tokens: int) -> Conversation:
        """The conversation without its oldest turns, if those leave too little room for passages."""
        window = self.lm.context_window
        if window is None:
            return conversation
        passages = min(self.passage_tokens, window // 4)
        room = window - max_new_tokens - _MARKUP_TOKENS * self.k - passages
        return drop_oldest_turns(conversation, lambda c: self.prompt(c, []), count=self.lm.count_tokens, room=room)

    def _room(self, conversation: Conversation, max_new_tokens: int) -> int | None:
        """Tokens left for passages in the model's window; None if its window is not known."""
        window = self.lm.context_window
        if window is None:
            return None
        question_tokens = self.lm.count_tokens(self.prompt(conversation, []))
        room = window - question_tokens - max_new_tokens - _MARKUP_TOKENS * self.k
        if room < 1:
            raise ContextOverflow(
                f"the question takes {question_tokens} tokens with its prompt, which leaves no room for passages in the "
                f"{window} tokens of {self.lm.name}; shorten the question"
            )
        return room

    def _count(self, text: str) -> int:
        return self.lm.count_tokens(escape(text, self._special) or " ") - self._template_tokens


def _unasked(answer: Answer, reason: str, conversation: Conversation) -> Prepared:
    abstention = replace(answer, abstained=True, reason=reason, confidence=0.0)
    return Prepared(abstention, dropped_turns=conversation.dropped_turns)


def _default_passage_tokens(lm: LanguageModel) -> int:
    if (measured := _MEASURED_TOKENS.get(lm.name)) is not None:
        return measured
    parameters: int | None = getattr(lm, "num_parameters", None)
    if parameters is None:
        return _LARGE_MODEL_TOKENS
    return next((tokens for most, tokens in _TOKENS_BY_PARAMETERS if parameters < most), _LARGE_MODEL_TOKENS)
