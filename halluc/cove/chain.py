"""Chain-of-verification (Dhuliawala et al. 2023, arXiv 2309.11495): draft, plan questions, answer them, revise.

`ChainOfVerification` runs the chain for many questions at once, each step one batched call. Not here: the prompts
(cove_prompts.py, prompts_cove/), the reading of what comes back (cove_parsing.py), and editing an answer against evidence
without questions (revision.py).
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from halluc.answers import Label, Verdict
from halluc.claims import RuleClaimExtractor
from halluc.cove.parsing import Consistency, parse_answers, parse_consistency, parse_question_answers, parse_questions
from halluc.cove.prompts import fill, load_prompts
from halluc.cove.trace import Call, Check, Source, Step, Variant, VerifiedAnswer
from halluc.errors import InvalidInput
from halluc.grounding.context import pack_passages
from halluc.grounding.grounded_model import GroundedModel
from halluc.models.language_model import Generation, Prompt
from halluc.prompts import escape, passage_block
from halluc.verification.check import check_many

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import Hit, PassageIndex

__all__ = ["ChainOfVerification", "Variant"]

# Tokens a verification question and its answer may take.
_QUESTION_TOKENS = 32
_ANSWER_TOKENS = 48
_JUDGEMENT_TOKENS = 12
_STEPS = 5


class ChainOfVerification:
    """A language model that checks its own answers.

    Variants (section 3.3 of the paper): "joint" plans and answers the questions in one call; "two-step" answers them
    together in a call that does not see the draft; "factored" answers each in a call of its own, which sees neither the
    draft nor the other questions; "factor+revise" is factored, and then cross-checks the draft with each answer in a call of
    its own. Where a cross-check was made and nothing contradicts the draft, the draft stands and is not rewritten.

    What answers the questions: the model itself; with `index`, the model reading the passages found for each question
    (in the joint variant, those found for the question and the draft); with `index` and `verifier`, the verifier.
    It judges statements, so the draft's claims then take the place of planned questions, each judged by itself in every
    variant; in "factor+revise" the verdict is also the cross-check.

    Args:
        lm: any language model.
        variant: see above.
        verifier: judges the draft's claims, and those of the final answer, against the index.
        index: passages to answer from.
        prompts: a folder with files that replace shipped prompts of the same names (`halluc/cove/templates`).
        max_questions: most verification questions a draft; the verifier judges all its claims.
        max_new_tokens: longest draft and longest final answer.
        k: passages a question or claim.

    Raises:
        InvalidInput: the variant is unknown, a verifier has no index, an option is out of range, or a prompt file is
            unusable.
    """

    def __init__(
        self,
        lm: LanguageModel,
        variant: Variant = "factored",
        *,
        verifier: Verifier | None = None,
        index: PassageIndex | None = None,
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
            if value < 1:
                raise InvalidInput(f"{name} is {value}; pass at least 1")
        self.lm = lm
        self.variant = variant
        self.verifier = verifier
        self.index = index
        self.max_questions = max_questions
        self.max_new_tokens = max_new_tokens
        self.k = k
        self.source: Source = "model" if index is None else "retrieval" if verifier is None else "verifier"
        self._prompts = load_prompts(prompts)
        self._grounded = None if index is None else GroundedModel(lm, index, k=k)
        self._special: tuple[str, ...] = getattr(lm, "special_tokens", ())
        self._exact = hasattr(lm, "tokenizer")
        self._template_tokens = lm.count_tokens(" ") - 1

    def ask(self, question: str) -> VerifiedAnswer:
        """Answer one question; see `batch`."""
        return self.batch([question])[0]

    def batch(self, questions: Sequence[str]) -> list[VerifiedAnswer]:
        """Answer questions, every step in one model call (or one search and one verifier call) for all of them.

        A chain ends early, with the draft as its answer, if the draft states nothing to check or no question can be read
        from the plan; `VerifiedAnswer.stopped` says so. Generation is greedy, and the number of calls is bounded, whatever
        the model writes.

        Raises:
            InvalidInput: a question is empty.
            ContextOverflow: a prompt of a step does not fit the model's window.
        """
        from retrieval.progress import progress_bar

        if isinstance(questions, str):
            raise InvalidInput("questions is a string; pass a list of questions")
        for i, question in enumerate(questions):
            if not isinstance(question, str) or not question.strip():
                raise InvalidInput(f"question {i} is empty; ask something")
        chains = [_Chain(question) for question in questions]
        with progress_bar("verifying", _STEPS) as advance:
            for step in (self._draft, self._plan, self._execute, self._cross_check, self._revise):
                going = [chain for chain in chains if not chain.ended]
                if going:
                    step(going)
                advance(1)
        return self._finished(chains)

    async def ask_async(self, question: str) -> VerifiedAnswer:
        """`ask` without blocking the event loop; see `batch_async`."""
        return (await self.batch_async([question]))[0]

    async def batch_async(self, questions: Sequence[str]) -> list[VerifiedAnswer]:
        """`batch` in a thread of its own.

        Chains under way together share an endpoint's `max_concurrency`; on a model in this process they compete for the same
        cores, and one `batch` of all questions is faster.
        """
        return await asyncio.to_thread(self.batch, list(questions))

    # -- the steps -------------------------------------------------------------------------------------------------

    def _draft(self, chains: list[_Chain]) -> None:
        prompts = [[self._fill("baseline", question=self._safe(chain.question))] for chain in chains]
        for chain, (generation,), calls in self._generate(chains, prompts, self.max_new_tokens):
            chain.draft, chain.generation = generation.text.strip(), generation
            chain.steps.append(Step("baseline", "model", calls, (chain.draft,)))
        claims = RuleClaimExtractor().extract(
            [chain.draft for chain in chains], questions=[chain.question for chain in chains]
        )
        for chain, own in zip(chains, claims, strict=True):
            if not chain.draft:
                chain.stopped = "the model returned an empty answer"
            elif not any(claim.check_worthy and re.search(r"\w", claim.text) for claim in own):
                chain.stopped = "the draft states nothing that could be checked"

    def _plan(self, chains: list[_Chain]) -> None:
        if self.source == "verifier":
            return  # its questions are the claims, which are found where they are judged
        if self.variant == "joint":
            self._plan_and_execute(chains)
            return
        prompts = [[self._planning("plan", chain)] for chain in chains]
        for chain, (generation,), calls in self._generate(chains, prompts, self.max_questions * _QUESTION_TOKENS):
            questions = parse_questions(generation.text, self.max_questions)
            chain.checks = [Check(question, "") for question in questions]
            chain.steps.append(Step("plan", "model", calls, tuple(questions)))
            chain.stopped = "" if questions else _NO_QUESTION

    def _plan_and_execute(self, chains: list[_Chain]) -> None:
        queries = [f"{chain.question} {chain.draft}" for chain in chains]
        tokens = self.max_questions * (_QUESTION_TOKENS + _ANSWER_TOKENS)
        found = self._passages(queries, together=[1] * len(chains))
        prompts = [
            [self._planning("joint", chain, passages=self._block(texts))]
            for chain, (_, texts) in zip(chains, found, strict=True)
        ]
        hits = [own for own, _ in found]
        for own, (chain, (generation,), calls) in zip(hits, self._generate(chains, prompts, tokens), strict=True):
            pairs = parse_question_answers(generation.text, self.max_questions)
            chain.checks = [Check(question, answer, hits=own) for question, answer in pairs]
            chain.steps.append(
                Step(
                    "plan and execute",
                    self.source,
                    calls,
                    tuple(f"{question} {answer}".strip() for question, answer in pairs),
                )
            )
            chain.stopped = "" if pairs else _NO_QUESTION

    def _execute(self, chains: list[_Chain]) -> None:
        if self.source == "verifier":
            self._judge(chains)
        elif self.variant == "two-step":
            self._answer_together(chains)
        elif self.variant != "joint":
            self._answer_apart(chains)

    def _judge(self, chains: list[_Chain]) -> None:
        reports = self._checked([chain.draft for chain in chains], chains)
        for chain, verdicts in zip(chains, reports, strict=True):
            chain.checks = [_judged(verdict) for verdict in verdicts]
            chain.steps.append(Step("plan", "verifier", (), tuple(verdict.claim.text for verdict in verdicts)))
            chain.steps.append(Step("execute", "verifier", (), tuple(check.answer for check in chain.checks)))

    def _checked(self, texts: Sequence[str], chains: Sequence[_Chain]) -> list[tuple[Verdict, ...]]:
        """Per text what the verifier says of its claims; nothing without a verifier, or of an empty text."""
        written = [i for i, text in enumerate(texts) if text]
        if self.verifier is None or not written:
            return [() for _ in texts]
        reports = check_many(
            [texts[i] for i in written],
            index=self.index,
            verifier=self.verifier,
            k=self.k,
            questions=[chains[i].question for i in written],
        )
        verdicts = {i: report.verdicts for i, report in zip(written, reports, strict=True)}
        return [verdicts.get(i, ()) for i in range(len(texts))]

    def _answer_together(self, chains: list[_Chain]) -> None:
        found = self._passages(
            [check.question for chain in chains for check in chain.checks],
            together=[len(chain.checks) for chain in chains for _ in chain.checks],
        )
        prompts = []
        for chain in chains:
            own, found = found[: len(chain.checks)], found[len(chain.checks) :]
            texts = list(dict.fromkeys(text for _, read in own for text in read))
            chain.checks = [replace(check, hits=hits) for check, (hits, _) in zip(chain.checks, own, strict=True)]
            listed = "\n".join(f"{i}. {self._safe(check.question)}" for i, check in enumerate(chain.checks, 1))
            prompts.append([self._fill("answers", questions=listed, passages=self._block(texts))])
        tokens = self.max_questions * _ANSWER_TOKENS
        for chain, (generation,), calls in self._generate(chains, prompts, tokens):
            answers = parse_answers(generation.text, len(chain.checks))
            chain.checks = [replace(check, answer=answer) for check, answer in zip(chain.checks, answers, strict=True)]
            chain.steps.append(Step("execute", self.source, calls, tuple(answers)))

    def _answer_apart(self, chains: list[_Chain]) -> None:
        questions = [check.question for chain in chains for check in chain.checks]
        found = iter(self._passages(questions, together=[1] * len(questions)))
        prompts: list[list[Prompt]] = []
        for chain in chains:
            prompts.append([])
            for i, check in enumerate(chain.checks):
                hits, texts = next(found)
                chain.checks[i] = replace(check, hits=hits)
                if self.source == "model":
                    prompts[-1].append(self._fill("answer", question=self._safe(check.question)))
                elif texts:
                    block = self._block(texts)
                    prompts[-1].append(
                        self._fill("answer_from_passages", question=self._safe(check.question), passages=block)
                    )
        for chain, generations, calls in self._generate(chains, prompts, _ANSWER_TOKENS):
            written = iter([" ".join(generation.text.split()) for generation in generations])
            # A question for which nothing was found was not asked.
            chain.checks = [
                replace(check, answer=next(written)) if self.source == "model" or check.hits else check
                for check in chain.checks
            ]
            chain.steps.append(Step("execute", self.source, calls, tuple(check.answer for check in chain.checks)))

    def _cross_check(self, chains: list[_Chain]) -> None:
        if self.variant != "factor+revise":
            return
        if self.source != "verifier":
            # An empty answer has nothing to compare with.
            prompts: list[list[Prompt]] = [
                [
                    self._fill(
                        "cross_check", draft=self._safe(chain.draft), check=self._safe(f"{check.question} {check.answer}")
                    )
                    for check in chain.checks
                    if check.answer
                ]
                for chain in chains
            ]
            for chain, generations, calls in self._generate(chains, prompts, _JUDGEMENT_TOKENS):
                judgements = iter([parse_consistency(generation.text) for generation in generations])
                chain.checks = [
                    replace(check, consistency=next(judgements)) if check.answer else check for check in chain.checks
                ]
                read = tuple(check.consistency or "unreadable" for check in chain.checks)
                chain.steps.append(Step("cross-check", "model", calls, read))
        for chain in chains:
            # A claim that no passage supports is no contradiction, but not left as it is either.
            if all(
                check.consistency in (None, "consistent") and check.label in (None, "supported") for check in chain.checks
            ):
                chain.stopped = "no check contradicts the draft"

    def _revise(self, chains: list[_Chain]) -> None:
        prompts: list[list[Prompt]] = [
            [
                self._fill(
                    "revise",
                    question=self._safe(chain.question),
                    draft=self._safe(chain.draft),
                    checks="\n".join(f"- {self._safe(_told(check))}" for check in chain.checks),
                )
            ]
            for chain in chains
        ]
        for chain, (generation,), calls in self._generate(chains, prompts, self.max_new_tokens):
            text = _LABEL.sub("", generation.text).strip()
            chain.steps.append(Step("revise", "model", calls, (text,)))
            if text:
                chain.final, chain.generation = text, generation
            else:
                chain.stopped = "the model returned an empty revision"

    def _finished(self, chains: list[_Chain]) -> list[VerifiedAnswer]:
        verdicts = self._checked([chain.final or chain.draft for chain in chains], chains)
        return [
            VerifiedAnswer(
                question=chain.question,
                text=chain.final or chain.draft,
                verdicts=own,
                confidence=_confidence(chain.generation),
                abstained=not (chain.final or chain.draft),
                reason="" if chain.final or chain.draft else chain.stopped,
                hits=tuple({hit.passage.id: hit for check in chain.checks for hit in check.hits}.values()),
                generation=chain.generation,
                draft=chain.draft,
                checks=tuple(chain.checks),
                trace=tuple(chain.steps),
                variant=self.variant,
                stopped=chain.stopped,
            )
            for chain, own in zip(chains, verdicts, strict=True)
        ]

    # -- private ---------------------------------------------------------------------------------------------------

    def _generate(
        self, chains: Sequence[_Chain], prompts: Sequence[Sequence[Prompt]], max_new_tokens: int
    ) -> list[tuple[_Chain, list[Generation], tuple[Call, ...]]]:
        """One batched call for the prompts of all chains; per chain its generations and its calls for the trace."""
        flat = [prompt for own in prompts for prompt in own]
        generations = iter(self.lm.generate(flat, max_new_tokens=max_new_tokens) if flat else [])
        results = []
        for chain, own in zip(chains, prompts, strict=True):
            written = [next(generations)[0] for _ in own]
            results.append((chain, written, tuple(map(self._call, own, written))))
        return results

    def _call(self, prompt: Prompt, generation: Generation) -> Call:
        new = len(generation.token_ids) or len(generation.token_logprobs)
        counted = bool(new) or not generation.text
        if not counted:
            new = max(0, self.lm.count_tokens(generation.text) - self._template_tokens)
        return Call(prompt, generation.text, self.lm.count_tokens(prompt), new, self._exact and counted)

    def _passages(self, queries: Sequence[str], *, together: Sequence[int]) -> list[tuple[tuple[Hit, ...], list[str]]]:
        """Per query the hits and the sentences of them to read; none where there is no index or nothing near in it.

        together: how many queries' passages share the prompt that a query's go into.
        """
        if self._grounded is None:
            return [((), []) for _ in queries]
        grounded, window = self._grounded, self.lm.context_window
        found = grounded.index.search(list(queries), k=self.k) if queries else []
        results: list[tuple[tuple[Hit, ...], list[str]]] = []
        for query, hits, sharing in zip(queries, found, together, strict=True):
            if not any(hit.similarity is None or hit.similarity >= grounded.min_similarity for hit in hits):
                results.append(((), []))
                continue
            # Half of the window is left for the rest of the prompt and for what is generated.
            room = None if window is None else max(1, window // (2 * sharing))
            budget = max(1, grounded.passage_tokens // sharing)
            packed = pack_passages(query, hits, budget=budget, room=room, count_tokens=self._count)
            results.append((tuple(hits) if packed else (), [passage.text for passage in packed]))
        return results

    def _count(self, text: str) -> int:
        return self.lm.count_tokens(escape(text, self._special) or " ") - self._template_tokens

    def _planning(self, name: str, chain: _Chain, **values: str) -> str:
        texts = {"question": self._safe(chain.question), "draft": self._safe(chain.draft)}
        return self._fill(name, limit=str(self.max_questions), **texts, **values)

    def _fill(self, name: str, **values: str) -> str:
        return fill(self._prompts[name], **values)

    def _block(self, texts: Sequence[str]) -> str:
        return f"Passages:\n{passage_block(texts, self._special)}\n\n" if texts else ""

    def _safe(self, text: str) -> str:
        """Text as data: control tokens broken up, lines kept."""
        return "\n".join(escape(line, self._special) for line in text.strip().splitlines() if line.strip())


@dataclass
class _Chain:
    """What one question has come to so far."""

    question: str
    draft: str = ""
    final: str = ""
    stopped: str = ""
    generation: Generation | None = None
    checks: list[Check] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return bool(self.stopped)


_NO_QUESTION = "no verification question could be read from the plan"
_LABEL = re.compile(r"^\s*(?:corrected|final|revised)\s+answer\s*:\s*", re.I)


def _judged(verdict: Verdict) -> Check:
    quote = verdict.evidence[0].text if verdict.evidence else ""
    said = {"supported": "Yes: ", "refuted": "No: ", "not_enough_info": ""}[verdict.label]
    answer = f"{said}{quote}" if said else "No passage says so."
    agreements: dict[Label, Consistency | None] = {"supported": "consistent", "refuted": "inconsistent"}
    return Check(
        f"Is it true that: {verdict.claim.text}",
        answer,
        agreements.get(verdict.label),
        verdict.label,
        verdict.support,
        evidence=verdict.evidence,
    )


def _told(check: Check) -> str:
    """A check as the revision reads it."""
    told = f"{check.question} {check.answer or 'unknown'}"
    return f"{told} ({_AGREEMENT[check.consistency]})" if check.consistency else told


_AGREEMENT = {
    "consistent": "agrees with the answer",
    "partially consistent": "agrees with the answer in part",
    "inconsistent": "contradicts the answer",
}


def _confidence(generation: Generation | None) -> float | None:
    if generation is None or not generation.text.strip():
        return 0.0
    logprobs = generation.token_logprobs
    return math.exp(sum(logprobs) / len(logprobs)) if logprobs else None
