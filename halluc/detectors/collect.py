"""From a model and prompts to `Statistics`: everything that several detectors need is computed once.

One generation (greedy answer and samples over one prompt cache), one verifier call over all distinct pairs, one embedding
call over all distinct texts, one call per kind of question to the model itself. Not here: what asks the verifier and the
embedder for what (relations.py), and the detectors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.detectors.detector import Need
from halluc.detectors.statistics import Statistics
from halluc.errors import InvalidInput, ModelResponseError
from halluc.models.language_model import Generation, Prompt

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import Embedder, PassageIndex

__all__ = ["Cost", "Gathered", "Sources", "gather", "question_of", "ruled_out"]

_ALTERNATIVES = 10  # As in lm-polygraph; the paper (2403.04696) uses 10 too.

_INSIDE = {
    Need.distribution: "the distribution over the whole vocabulary",
    Need.spans: "the text of each token",
    Need.alternatives: "alternatives to each token with their text",
    Need.relevance: "the text of each token",
    Need.sample_relevance: "the text of each token",
    Need.hidden_state: "hidden states",
    Need.sample_hidden_state: "hidden states",
    Need.attention: "attention weights",
    Need.context_free: "log-probabilities of a given text",
}
_OF_SAMPLES = frozenset(need for need in Need if need.of_samples)
_BY_VERIFIER = frozenset(
    {Need.entailment, Need.answer_entailment, Need.sentence_entailment, Need.alternatives, Need.support}
)
_BY_EMBEDDER = frozenset({Need.similarity, Need.answer_similarity, Need.relevance, Need.sample_relevance})


@dataclass(frozen=True)
class Cost:
    """What computing something took: wall seconds, and tokens the language model read and wrote."""

    seconds: float = 0.0
    tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.tokens + other.tokens)

    def to_dict(self) -> dict[str, float | int]:
        """Plain values, ready for JSON."""
        return {"seconds": self.seconds, "tokens": self.tokens}


@dataclass(frozen=True)
class Sources:
    """Where statistics come from; `verifier` and `embedder` are loaded by name "default" when None and needed.

    Attributes:
        lm: the model whose answers are judged.
        verifier, embedder: measures of entailment and similarity.
        contexts: N texts the answers must follow, or None.
        index: passages the answers are held against, or None.
        samples: completions drawn per prompt.
        max_new_tokens, temperature, top_p, seed, stop: of the generation; the answer is greedy, samples are drawn.
    """

    lm: LanguageModel
    verifier: Verifier | None = None
    embedder: Embedder | None = None
    contexts: Sequence[str] | None = None
    index: PassageIndex | None = None
    samples: int = 5
    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop: Sequence[str] = ()


@dataclass(frozen=True)
class Gathered:
    """Statistics, and what there is to say about how they were made.

    Attributes:
        statistics: see there.
        generations: N answers; `token_logprobs` without the end of the turn.
        unavailable: a reason per need that could not be met.
        costs: what each need took beyond what it builds on; `answer` is the cost of the answers, which all share.
        answer: see costs.
        total: of everything.
    """

    statistics: Statistics
    generations: tuple[Generation, ...]
    unavailable: dict[Need, str]
    costs: dict[Need, Cost]
    answer: Cost
    total: Cost


def gather(
    sources: Sources, prompts: Sequence[Prompt], needs: Iterable[Need], *, answers: Sequence[str] | None = None
) -> Gathered:
    """Compute what is needed, each thing once.

    Args:
        sources: models and settings.
        prompts: N of them; plain questions where `sources.contexts` is given.
        needs: what detectors read.
        answers: N texts to judge; by default the model's greedy answers.

    Raises:
        InvalidInput: contexts or answers do not go with the prompts.
        ContextOverflow: a prompt and its completion do not fit the model's window.
    """
    begin = time.perf_counter()
    wanted = set(needs)
    questions = tuple(question_of(prompt) for prompt in prompts)
    asked = _with_contexts(prompts, questions, sources)
    unavailable = ruled_out(sources, wanted)
    work = _Work(sources, asked, questions, wanted - set(unavailable), unavailable)
    work.generate(answers)
    work.ask_verifier_and_embedder()
    work.ask_model()
    work.read_without_context()
    total = Cost(time.perf_counter() - begin, work.tokens)
    return Gathered(work.statistics, work.generations, work.unavailable, work.costs, work.answer_cost, total)


def question_of(prompt: Prompt) -> str:
    """The text of a prompt's last user turn.

    Raises:
        InvalidInput: a conversation has no user turn.
    """
    if isinstance(prompt, str):
        return prompt
    turns = [message["content"] for message in prompt if message.get("role") == "user"]
    if not turns:
        raise InvalidInput("a conversation has no turn of the user; pass the question as a message with role 'user'")
    return turns[-1]


def _with_contexts(prompts: Sequence[Prompt], questions: Sequence[str], sources: Sources) -> list[Prompt]:
    if sources.contexts is None:
        return list(prompts)
    from halluc.prompts import grounded_prompt

    if len(sources.contexts) != len(prompts):
        raise InvalidInput(f"{len(prompts)} prompts for {len(sources.contexts)} contexts; pass one context a prompt")
    for i, (prompt, context) in enumerate(zip(prompts, sources.contexts, strict=True)):
        if not isinstance(prompt, str):
            raise InvalidInput(f"prompt {i} is a conversation, which a context cannot be put into; pass the plain question")
        if not context.strip():
            raise InvalidInput(f"context {i} is empty; pass the text that the answer must follow")
    special = getattr(sources.lm, "special_tokens", ())
    return [
        grounded_prompt(question, [context], special) for question, context in zip(questions, sources.contexts, strict=True)
    ]


def ruled_out(sources: Sources, wanted: Iterable[Need]) -> dict[Need, str]:
    """A reason for each need of which it is plain before anything is computed that it cannot be met."""
    reasons: dict[Need, str] = {}
    name = sources.lm.name
    for need in wanted:
        if need in _INSIDE and not _is_local(sources.lm):
            reasons[need] = f"{name} does not tell {_INSIDE[need]}; load the model with transformers"
        elif need is Need.context_free and sources.contexts is None:
            reasons[need] = "there is no context; pass contexts"
        elif need is Need.support and sources.contexts is None and sources.index is None:
            reasons[need] = "there is no source to hold the answer against; pass contexts or an index"
        elif need in _OF_SAMPLES and sources.samples < 2:
            reasons[need] = f"samples is {sources.samples}; draw at least 2"
    return reasons


def _is_local(lm: object) -> bool:
    from halluc.models.transformers_model import TransformersModel

    return isinstance(lm, TransformersModel)


@dataclass
class _Work:
    """State of one `gather`: what is known so far, and what it took."""

    sources: Sources
    prompts: list[Prompt]
    questions: tuple[str, ...]
    wanted: set[Need]
    unavailable: dict[Need, str]
    statistics: Statistics = field(init=False)
    generations: tuple[Generation, ...] = ()
    alternatives: list[Any] = field(default_factory=list)
    sample_spans: list[Any] = field(default_factory=list)
    costs: dict[Need, Cost] = field(default_factory=dict)
    answer_cost: Cost = field(default_factory=Cost)
    tokens: int = 0

    def generate(self, answers: Sequence[str] | None) -> None:
        """Answers and samples."""
        if answers is not None and len(answers) != len(self.prompts):
            raise InvalidInput(f"{len(self.prompts)} prompts for {len(answers)} answers; pass one answer a prompt")
        begin = time.perf_counter()
        k = self.sources.samples if self.wanted & _OF_SAMPLES else 0
        answer = self._observe if _is_local(self.sources.lm) else self._generate_remotely
        drawn = answer(answers, k)
        seconds = time.perf_counter() - begin
        spoken = sum(len(own.token_ids) or len(own.token_logprobs) for own in self.generations)
        read = sum(self.sources.lm.count_tokens(prompt) for prompt in self.prompts)
        # Answer and samples are rows of one batch: its seconds are split by what each row wrote.
        share = spoken / (spoken + drawn) if drawn else 1.0
        self.answer_cost = Cost(seconds * share, read + spoken)
        self.costs[Need.samples] = Cost(seconds * (1 - share), drawn)
        self.tokens += read + spoken + drawn

    def _observe(self, answers: Sequence[str] | None, k: int) -> int:
        from halluc.models.internals import observe

        sources = self.sources
        seen = observe(
            sources.lm,  # type: ignore[arg-type]
            self.prompts,
            answers=answers,
            samples=k,
            max_new_tokens=sources.max_new_tokens,
            temperature=sources.temperature,
            top_p=sources.top_p,
            seed=sources.seed,
            stop=sources.stop,
            alternatives=_ALTERNATIVES if Need.alternatives in self.wanted else 0,
            hidden_state=bool(self.wanted & {Need.hidden_state, Need.sample_hidden_state}),
            attention=Need.attention in self.wanted,
        )
        self.generations = tuple(own.answer for own in seen)
        self.alternatives = [own.alternatives for own in seen]
        self.sample_spans = [own.sample_spans for own in seen]
        with_states = bool(self.wanted & {Need.hidden_state, Need.sample_hidden_state}) and bool(seen)
        self.statistics = Statistics(
            questions=self.questions,
            answers=tuple(own.answer.text for own in seen),
            token_logprobs=tuple(own.logprobs for own in seen),
            token_entropy=tuple(own.entropy for own in seen),
            token_self_certainty=tuple(own.self_certainty for own in seen),
            token_spans=tuple(own.spans for own in seen),
            hidden_state=np.stack([own.hidden_state for own in seen]) if with_states else np.empty(0),
            previous_attention=tuple(own.previous_attention for own in seen),
            lookback=tuple(own.lookback for own in seen),
            samples=tuple(tuple(sample.text for sample in own.samples) for own in seen),
            sample_logprobs=tuple(own.sample_logprobs for own in seen),
            sample_hidden_state=np.stack([own.sample_hidden_state for own in seen]) if with_states and k else np.empty(0),
        )
        if Need.attention in self.wanted and not all(own.lookback.size for own in seen):
            self.unavailable[Need.attention] = f"{sources.lm.name} does not give attention weights over the whole prompt"
            self.wanted.discard(Need.attention)
        return sum(values.size for own in seen for values in own.sample_logprobs)

    def _generate_remotely(self, answers: Sequence[str] | None, k: int) -> int:
        sources = self.sources
        if answers is None:
            greedy = sources.lm.generate(
                self.prompts, max_new_tokens=sources.max_new_tokens, seed=sources.seed, stop=sources.stop
            )
            self.generations = tuple(own[0] for own in greedy)
        else:
            self.generations = tuple(Generation(text) for text in answers)
        samples: list[list[Generation]] = [[] for _ in self.prompts]
        if k:
            samples = sources.lm.generate(
                self.prompts,
                n=k,
                max_new_tokens=sources.max_new_tokens,
                temperature=sources.temperature,
                top_p=sources.top_p,
                seed=sources.seed,
                stop=sources.stop,
            )
        self.statistics = Statistics(
            questions=self.questions,
            answers=tuple(own.text for own in self.generations),
            token_logprobs=tuple(np.array(own.token_logprobs) for own in self.generations),
            samples=tuple(tuple(sample.text for sample in own) for own in samples),
            sample_logprobs=tuple(tuple(np.array(sample.token_logprobs) for sample in own) for own in samples),
        )
        for need, spoken in (
            (Need.logprobs, self.generations),
            (Need.sample_logprobs, tuple(sample for own in samples for sample in own)),
        ):
            if any(own.text and not own.token_logprobs for own in spoken):
                of = "a given text" if need is Need.logprobs and answers is not None else "its tokens"
                self.unavailable[need] = f"{sources.lm.name} gives no log-probabilities of {of}"
                self.wanted.discard(need)
        return sum(len(sample.token_logprobs) for own in samples for sample in own)

    def ask_verifier_and_embedder(self) -> None:
        """Entailment, similarity and relevance."""
        from halluc.detectors.text_relations import Relations

        relations = Relations(self.statistics, self.alternatives, self.sample_spans, self.sources)
        if by_verifier := self.wanted & _BY_VERIFIER:
            self._timed_relations(relations.entail, by_verifier)
        if by_embedder := self.wanted & _BY_EMBEDDER:
            self._timed_relations(relations.embed, by_embedder)

    def _timed_relations(self, compute: Any, needs: set[Need]) -> None:
        begin = time.perf_counter()
        fields, asked = compute(needs)
        seconds = time.perf_counter() - begin
        self.statistics = replace(self.statistics, **fields)
        total = sum(asked.values())
        for need in needs:
            # One batch for all: its seconds are split by the texts each need asked about.
            self.costs[need] = Cost(seconds * asked[need] / total if total else 0.0)

    def ask_model(self) -> None:
        """What the model says of its own answers."""
        from halluc.detectors import reflection

        lm, s = self.sources.lm, self.statistics
        if Need.p_true in self.wanted:
            with self._charged(Need.p_true) as charge:
                p_true, tokens = reflection.p_true(lm, s)
                self.statistics = replace(self.statistics, p_true=p_true)
                charge(tokens)
        if Need.verbalised in self.wanted:
            with self._charged(Need.verbalised) as charge:
                verbalised, tokens = reflection.verbalised(lm, s)
                self.statistics = replace(self.statistics, verbalised=verbalised)
                charge(tokens)
        if Need.sentence_question in self.wanted:
            with self._charged(Need.sentence_question) as charge:
                no, tokens = reflection.sentence_no(lm, s)
                self.statistics = replace(self.statistics, sentence_no=no)
                charge(tokens)

    def read_without_context(self) -> None:
        """The answer's log-probabilities after the question alone."""
        if Need.context_free not in self.wanted:
            return
        from halluc.models.internals import observe

        with self._charged(Need.context_free) as charge:
            seen = observe(self.sources.lm, self.questions, answers=self.generations)  # type: ignore[arg-type]
            lengths = [own.size for own in self.statistics.token_logprobs]
            rows = tuple(own.logprobs[:length] for own, length in zip(seen, lengths, strict=True))
            self.statistics = replace(self.statistics, context_free_logprobs=rows)
            charge(sum(own.prompt_tokens + own.logprobs.size for own in seen))

    @contextmanager
    def _charged(self, need: Need) -> Iterator[Callable[[int], None]]:
        """Time a block, and make the need unavailable where the model cannot answer in the form it takes."""
        begin = time.perf_counter()
        tokens = 0

        def charge(count: int) -> None:
            nonlocal tokens
            tokens += count

        try:
            yield charge
        except ModelResponseError as error:
            self.unavailable[need] = str(error)
        self.costs[need] = Cost(time.perf_counter() - begin, tokens)
        self.tokens += tokens
