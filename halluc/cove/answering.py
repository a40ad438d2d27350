"""Answer the verification questions of chains: by the model alone, or by the model reading passages of an index.

Not covered: questions that the verifier answers, which are the claims of the draft (chain.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from halluc.cove.calls import ChainState, ModelCalls
from halluc.cove.parsing import parse_answers, parse_question_answers
from halluc.cove.trace import Check, Source, Step
from halluc.grounding.answerability import answerability
from halluc.grounding.context import pack_passages

if TYPE_CHECKING:
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.models.language_model import Prompt
    from retrieval import Hit

__all__ = ["ANSWER_TOKENS", "NO_QUESTION", "QUESTION_TOKENS", "Answerer"]

# Tokens of a verification question, and of its answer.
QUESTION_TOKENS = 32
ANSWER_TOKENS = 48
NO_QUESTION = "no verification question could be read from the plan"


@dataclass(frozen=True)
class _Source:
    """What the index has on a query: the hits, and the sentences of them that fit the prompt; both may be empty."""

    hits: tuple[Hit, ...] = ()
    texts: tuple[str, ...] = ()


class Answerer:
    """Answers verification questions.

    Args:
        calls: the model.
        grounded: its index, and how much of a passage it reads; None for a model alone.
        max_questions: most questions per draft.
    """

    def __init__(self, calls: ModelCalls, grounded: GroundedModel | None, max_questions: int) -> None:
        self.calls = calls
        self.grounded = grounded
        self.max_questions = max_questions
        self.source: Source = "model" if grounded is None else "retrieval"

    def plan_and_answer(self, states: Sequence[ChainState]) -> None:
        """Plan and answer the questions in one call per chain (the joint variant)."""
        sources = self._sources([f"{state.question} {state.draft}" for state in states], [1] * len(states))
        prompts: list[list[Prompt]] = [
            [
                self.calls.prompt(
                    "joint",
                    limit=str(self.max_questions),
                    question=self.calls.as_data(state.question),
                    draft=self.calls.as_data(state.draft),
                    passages=self.calls.passages(source.texts),
                )
            ]
            for state, source in zip(states, sources, strict=True)
        ]
        outputs = self.calls.run(states, prompts, self.max_questions * (QUESTION_TOKENS + ANSWER_TOKENS))
        for output, source in zip(outputs, sources, strict=True):
            pairs = parse_question_answers(output.text, self.max_questions)
            output.state.checks = [Check(question, answer, hits=source.hits) for question, answer in pairs]
            lines = tuple(f"{question} {answer}".strip() for question, answer in pairs)
            output.state.steps.append(Step("plan and execute", self.source, output.calls, lines))
            output.state.stopped = "" if pairs else NO_QUESTION

    def answer_together(self, states: Sequence[ChainState]) -> None:
        """Answer the questions of a chain in one call, which does not see the draft (the two-step variant)."""
        sharing = [len(state.checks) for state in states for _ in state.checks]
        sources = self._sources(_questions(states), sharing)
        self._add_hits(states, sources)
        remaining = iter(sources)
        prompts: list[list[Prompt]] = []
        for state in states:
            texts = dict.fromkeys(text for _ in state.checks for text in next(remaining).texts)
            questions = [self.calls.as_data(check.question) for check in state.checks]
            numbered = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, 1))
            passages = self.calls.passages(list(texts))
            prompts.append([self.calls.prompt("answers", questions=numbered, passages=passages)])
        for output in self.calls.run(states, prompts, self.max_questions * ANSWER_TOKENS):
            checks = output.state.checks
            answers = parse_answers(output.text, len(checks))
            output.state.checks = [replace(check, answer=text) for check, text in zip(checks, answers, strict=True)]
            output.state.steps.append(Step("execute", self.source, output.calls, tuple(answers)))

    def answer_one_by_one(self, states: Sequence[ChainState]) -> None:
        """Answer each question in its own call, which sees neither the draft nor the other questions."""
        questions = _questions(states)
        sources = self._sources(questions, [1] * len(questions))
        self._add_hits(states, sources)
        remaining = iter(sources)
        prompts = [
            [prompt for check in state.checks if (prompt := self._question_prompt(check, next(remaining)))]
            for state in states
        ]
        for output in self.calls.run(states, prompts, ANSWER_TOKENS):
            answers = iter([" ".join(generation.text.split()) for generation in output.generations])
            # A question without passages was not asked.
            output.state.checks = [
                replace(check, answer=next(answers)) if self.source == "model" or check.hits else check
                for check in output.state.checks
            ]
            read = tuple(check.answer for check in output.state.checks)
            output.state.steps.append(Step("execute", self.source, output.calls, read))

    def _question_prompt(self, check: Check, source: _Source) -> str | None:
        question = self.calls.as_data(check.question)
        if self.source == "model":
            return self.calls.prompt("answer", question=question)
        if not source.texts:
            return None
        return self.calls.prompt("answer_from_passages", question=question, passages=self.calls.passages(source.texts))

    def _add_hits(self, states: Sequence[ChainState], sources: Sequence[_Source]) -> None:
        remaining = iter(sources)
        for state in states:
            state.checks = [replace(check, hits=next(remaining).hits) for check in state.checks]

    def _sources(self, queries: Sequence[str], sharing: Sequence[int]) -> list[_Source]:
        """Search the index; empty sources without an index, or where the passages do not seem to answer.

        Args:
            queries: N queries.
            sharing: per query, the number of queries whose passages share one prompt.
        """
        if self.grounded is None or not queries:
            return [_Source() for _ in queries]
        grounded, window = self.grounded, self.calls.lm.context_window
        sources = []
        results = grounded.index.search(list(queries), k=grounded.k)
        scores = answerability(queries, results)
        for query, hits, score, share in zip(queries, results, scores, sharing, strict=True):
            if not hits or score < grounded.min_answerability:
                sources.append(_Source())
                continue
            # Half of the window is left for the rest of the prompt and the completion.
            room = None if window is None else max(1, window // (2 * share))
            budget = max(1, grounded.passage_tokens // share)
            packed = pack_passages(query, hits, budget=budget, room=room, count_tokens=self.calls.count_tokens)
            sources.append(_Source(tuple(hits) if packed else (), tuple(passage.text for passage in packed)))
        return sources


def _questions(states: Sequence[ChainState]) -> list[str]:
    return [check.question for state in states for check in state.checks]
