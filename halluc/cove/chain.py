"""Chain-of-verification (Dhuliawala et al. 2023, arXiv 2309.11495): draft, plan questions, answer them, revise.

`ChainOfVerification` runs the chain for many questions at once, each step in one batched call. Not covered: the prompts
(prompts.py, templates/), answering the questions (answering.py), parsing completions (parsing.py), and editing an answer
against evidence without questions (`halluc.revise`).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from halluc.answers import Label, Verdict
from halluc.claims import RuleClaimExtractor
from halluc.cove.answering import NO_QUESTION, QUESTION_TOKENS, Answerer
from halluc.cove.calls import ChainState, ModelCalls
from halluc.cove.parsing import Consistency, parse_consistency, parse_questions
from halluc.cove.prompts import load_prompts
from halluc.cove.trace import Check, Source, Step, Variant, VerifiedAnswer
from halluc.errors import InvalidInput, check_texts, leaf_errors_as_ours
from halluc.grounding.grounded_model import GroundedModel
from halluc.models.language_model import Generation, Prompt
from halluc.verification.check import check_many

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = ["ChainOfVerification"]

_JUDGMENT_TOKENS = 12


class ChainOfVerification:
    """A language model that verifies its own answers.

    Variants (section 3.3 of the paper): "joint" plans and answers the questions in one call; "two-step" answers them
    together in a call that does not see the draft; "factored" answers each in its own call, which sees neither the draft nor
    the other questions; "factor+revise" is factored, and then cross-checks the draft with each answer in its own call. If
    the cross-checks find no contradiction, the draft is returned unchanged.

    The questions are answered by the model itself; with `index`, by the model reading the passages retrieved for each
    question (in the joint variant, for the question and the draft); with `index` and `verifier`, by the verifier. A verifier
    judges statements, so in every variant the claims of the draft then replace the planned questions, each judged by itself;
    in "factor+revise" the verdict is also the cross-check.

    Args:
        lm: any language model.
        variant: see above.
        verifier: judges the claims of the draft, and those of the final answer, against the index.
        index: passages to answer from.
        prompts: a folder with files that replace shipped prompts of the same names (`halluc/cove/templates`).
        max_questions: most verification questions per draft; the verifier judges all claims.
        max_new_tokens: longest draft and longest final answer, in tokens.
        k: passages per question or claim.

    Raises:
        InvalidInput: the variant is unknown, a verifier has no index, an option is out of range, or a prompt file cannot be
            used.
    """

    def __init__(
        self,
        lm: LanguageModel,
        variant: Variant = "factored",
        *,
        verifier: Verifier | None = None,
        index: PassageStore | None = None,
        prompts: str | Path | None = None,
        max_questions: int = 5,
        max_new_tokens: int = 128,
        k: int = 3,
    ) -> None:
        if variant not in get_args(Variant):
            raise InvalidInput(f"there is no variant {variant!r}; pass one of {', '.join(get_args(Variant))}")
        if verifier is not None and index is None:
            raise InvalidInput("the verifier has nothing to judge by; pass an index with it")
        for name, value in (("max_questions", max_questions), ("max_new_tokens", max_new_tokens), ("k", k)):
            if not isinstance(value, int) or value < 1:
                raise InvalidInput(f"{name} is {value!r}; pass a whole number of at least 1")
        self.lm = lm
        self.variant = variant
        self.verifier = verifier
        self.index = index
        self.max_questions = max_questions
        self.max_new_tokens = max_new_tokens
        self.k = k
        self.source: Source = "model" if index is None else "retrieval" if verifier is None else "verifier"
        self._calls = ModelCalls(lm, load_prompts(prompts))
        grounded = None if index is None else GroundedModel(lm, index, k=k)
        self._answerer = Answerer(self._calls, grounded, max_questions)

    def ask(self, question: str) -> VerifiedAnswer:
        """Answer one question; see `batch`."""
        return self.batch([question])[0]

    def batch(self, questions: Sequence[str]) -> list[VerifiedAnswer]:
        """Answer questions; each step is one model call (or one search and one verifier call) for all of them.

        A chain ends early, with the draft as its answer, if the draft states nothing to check or no question can be parsed
        from the plan; `VerifiedAnswer.stopped` has the reason. Generation is greedy, and the number of calls is bounded,
        whatever the model writes.

        Args:
            questions: (N,) questions.

        Returns:
            (N,) answers.

        Raises:
            InvalidInput: questions is a string in place of a list, or a question is empty or cannot be encoded.
            ContextOverflow: a prompt of a step does not fit the model's context window.
            RetrievalFailed: the index cannot be searched.
        """
        from retrieval.progress import progress_bar

        check_texts("questions", questions)
        states = [ChainState(question) for question in questions]
        steps = (self._draft, self._plan, self._execute, self._cross_check, self._revise)
        with leaf_errors_as_ours(), progress_bar("verifying", len(steps)) as advance:
            for step in steps:
                running = [state for state in states if not state.stopped]
                if running:
                    step(running)
                advance(1)
            return self._answers(states)

    async def ask_async(self, question: str) -> VerifiedAnswer:
        """`ask` without blocking the event loop; see `batch_async`."""
        return (await self.batch_async([question]))[0]

    async def batch_async(self, questions: Sequence[str]) -> list[VerifiedAnswer]:
        """`batch` in a thread of its own.

        Concurrent chains share an endpoint's `max_concurrency`; on a model in this process they compete for the same cores,
        and one `batch` of all questions is faster.
        """
        check_texts("questions", questions)
        return await asyncio.to_thread(self.batch, list(questions))

    # -- the steps -------------------------------------------------------------------------------------------------

    def _draft(self, states: list[ChainState]) -> None:
        as_data = self._calls.as_data
        prompts: list[list[Prompt]] = [[self._calls.prompt("baseline", question=as_data(s.question))] for s in states]
        for output in self._calls.run(states, prompts, self.max_new_tokens):
            output.state.draft, output.state.generation = output.text.strip(), output.generations[0]
            output.state.steps.append(Step("baseline", "model", output.calls, (output.state.draft,)))
        claims = RuleClaimExtractor().extract(
            [state.draft for state in states], questions=[state.question for state in states]
        )
        for state, of_draft in zip(states, claims, strict=True):
            if not state.draft:
                state.stopped = "the model returned an empty answer"
            elif not any(claim.check_worthy and re.search(r"\w", claim.text) for claim in of_draft):
                state.stopped = "the draft states nothing that could be checked"

    def _plan(self, states: list[ChainState]) -> None:
        if self.source == "verifier":
            return  # the claims take the place of questions, and are extracted where they are judged
        if self.variant == "joint":
            self._answerer.plan_and_answer(states)
            return
        as_data, limit = self._calls.as_data, str(self.max_questions)
        prompts: list[list[Prompt]] = [
            [self._calls.prompt("plan", limit=limit, question=as_data(state.question), draft=as_data(state.draft))]
            for state in states
        ]
        for output in self._calls.run(states, prompts, self.max_questions * QUESTION_TOKENS):
            questions = parse_questions(output.text, self.max_questions)
            output.state.checks = [Check(question, "") for question in questions]
            output.state.steps.append(Step("plan", "model", output.calls, tuple(questions)))
            output.state.stopped = "" if questions else NO_QUESTION

    def _execute(self, states: list[ChainState]) -> None:
        if self.source == "verifier":
            self._judge(states)
        elif self.variant == "two-step":
            self._answerer.answer_together(states)
        elif self.variant != "joint":
            self._answerer.answer_one_by_one(states)

    def _judge(self, states: list[ChainState]) -> None:
        verdicts = self._verdicts([state.draft for state in states], states)
        for state, of_draft in zip(states, verdicts, strict=True):
            state.checks = [_check_of(verdict) for verdict in of_draft]
            state.steps.append(Step("plan", "verifier", (), tuple(verdict.claim.text for verdict in of_draft)))
            state.steps.append(Step("execute", "verifier", (), tuple(check.answer for check in state.checks)))

    def _verdicts(self, texts: Sequence[str], states: Sequence[ChainState]) -> list[tuple[Verdict, ...]]:
        """The verifier's verdicts on the claims of each text; none without a verifier, or for an empty text."""
        written = [i for i, text in enumerate(texts) if text]
        if self.verifier is None or not written:
            return [() for _ in texts]
        reports = check_many(
            [texts[i] for i in written],
            index=self.index,
            verifier=self.verifier,
            k=self.k,
            questions=[states[i].question for i in written],
        )
        verdicts = {i: report.verdicts for i, report in zip(written, reports, strict=True)}
        return [verdicts.get(i, ()) for i in range(len(texts))]

    def _cross_check(self, states: list[ChainState]) -> None:
        if self.variant != "factor+revise":
            return
        if self.source != "verifier":
            self._compare_with_draft(states)
        for state in states:
            # A claim that no passage supports contradicts nothing, but the draft is revised all the same.
            if all(
                check.consistency in (None, "consistent") and check.label in (None, "supported") for check in state.checks
            ):
                state.stopped = "no check contradicts the draft"

    def _compare_with_draft(self, states: list[ChainState]) -> None:
        as_data = self._calls.as_data
        # An empty answer has nothing to compare with the draft.
        prompts: list[list[Prompt]] = [
            [
                self._calls.prompt(
                    "cross_check", draft=as_data(state.draft), check=as_data(f"{check.question} {check.answer}")
                )
                for check in state.checks
                if check.answer
            ]
            for state in states
        ]
        for output in self._calls.run(states, prompts, _JUDGMENT_TOKENS):
            judgments = iter([parse_consistency(generation.text) for generation in output.generations])
            output.state.checks = [
                replace(check, consistency=next(judgments)) if check.answer else check for check in output.state.checks
            ]
            read = tuple(check.consistency or "unreadable" for check in output.state.checks)
            output.state.steps.append(Step("cross-check", "model", output.calls, read))

    def _revise(self, states: list[ChainState]) -> None:
        as_data = self._calls.as_data
        prompts: list[list[Prompt]] = [
            [
                self._calls.prompt(
                    "revise",
                    question=as_data(state.question),
                    draft=as_data(state.draft),
                    checks="\n".join(f"- {as_data(_summary(check))}" for check in state.checks),
                )
            ]
            for state in states
        ]
        for output in self._calls.run(states, prompts, self.max_new_tokens):
            text = _ANSWER_LABEL.sub("", output.text).strip()
            output.state.steps.append(Step("revise", "model", output.calls, (text,)))
            if text:
                output.state.final, output.state.generation = text, output.generations[0]
            else:
                output.state.stopped = "the model returned an empty revision"

    def _answers(self, states: list[ChainState]) -> list[VerifiedAnswer]:
        verdicts = self._verdicts([state.answer for state in states], states)
        return [
            VerifiedAnswer(
                question=state.question,
                text=state.answer,
                verdicts=of_answer,
                confidence=_confidence(state.generation),
                abstained=not state.answer,
                reason="" if state.answer else state.stopped,
                hits=tuple({hit.passage.id: hit for check in state.checks for hit in check.hits}.values()),
                generation=state.generation,
                draft=state.draft,
                checks=tuple(state.checks),
                trace=tuple(state.steps),
                variant=self.variant,
                stopped=state.stopped,
            )
            for state, of_answer in zip(states, verdicts, strict=True)
        ]


_ANSWER_LABEL = re.compile(r"^\s*(?:corrected|final|revised)\s+answer\s*:\s*", re.I)
_PREFIXES: dict[Label, str] = {"supported": "Yes: ", "refuted": "No: "}
_AGREEMENTS: dict[Label, Consistency] = {"supported": "consistent", "refuted": "inconsistent"}


def _check_of(verdict: Verdict) -> Check:
    """A verdict on a claim as an answered verification question."""
    quote = verdict.evidence[0].text if verdict.evidence else ""
    prefix = _PREFIXES.get(verdict.label)
    return Check(
        question=f"Is it true that: {verdict.claim.text}",
        answer=f"{prefix}{quote}" if prefix else "No passage says so.",
        consistency=_AGREEMENTS.get(verdict.label),
        label=verdict.label,
        support=verdict.support,
        evidence=verdict.evidence,
    )


_AGREEMENT_TEXTS: dict[Consistency, str] = {
    "consistent": "agrees with the answer",
    "partially consistent": "agrees with the answer in part",
    "inconsistent": "contradicts the answer",
}


def _summary(check: Check) -> str:
    """A check as one line of the revision's prompt."""
    line = f"{check.question} {check.answer or 'unknown'}"
    return f"{line} ({_AGREEMENT_TEXTS[check.consistency]})" if check.consistency else line


def _confidence(generation: Generation | None) -> float | None:
    """Length-normalized likelihood of a completion; 0 for an empty one, None without log-probabilities."""
    if generation is None or not generation.text.strip():
        return 0.0
    logprobs = generation.token_logprobs
    return math.exp(sum(logprobs) / len(logprobs)) if logprobs else None
