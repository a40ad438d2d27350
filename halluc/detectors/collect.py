"""Compute `Statistics` from a model and prompts; whatever several detectors need is computed once.

That is one generation (greedy answer and samples over one prompt cache), one verifier call to compare samples and one to
judge claims, one embedding call over all distinct texts, and one call for each kind of question to the model itself. Not
covered: which texts the verifier and the embedder compare (text_relations.py), and the detectors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.detectors.statistics import FloatArray, Resources, Statistic, Statistics, is_local, unavailable_statistics
from halluc.errors import InvalidInput, ModelResponseError
from halluc.models.language_model import Generation, Prompt
from retrieval.records import Record

if TYPE_CHECKING:
    from halluc.models.internals import Observation

__all__ = ["CollectedStatistics", "Cost", "collect_statistics", "question_of"]

_ALTERNATIVES = 10  # As in lm-polygraph; the paper (2403.04696) uses 10 too.

_FROM_SAMPLES = frozenset(statistic for statistic in Statistic if statistic.needs_samples)
_FROM_VERIFIER = frozenset(
    {
        Statistic.entailment,
        Statistic.answer_entailment,
        Statistic.sentence_entailment,
        Statistic.alternatives,
    }
)
_FROM_EMBEDDER = frozenset(
    {Statistic.similarity, Statistic.answer_similarity, Statistic.relevance, Statistic.sample_relevance}
)
_HIDDEN_STATES = frozenset({Statistic.hidden_state, Statistic.sample_hidden_state})


@dataclass(frozen=True)
class Cost(Record):
    """The cost of a computation: wall time in seconds, and tokens that the language model read and wrote."""

    seconds: float = 0.0
    tokens: float = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.tokens + other.tokens)

    def per_answer(self, n: int) -> Cost:
        """The cost of one of n answers."""
        return Cost(self.seconds / n, self.tokens / n)


@dataclass(frozen=True)
class CollectedStatistics:
    """Statistics, with what could not be computed and what the rest cost.

    Attributes:
        statistics: the arrays.
        generations: N answers; their `token_logprobs` leave out the end of the turn.
        unavailable: per statistic that could not be computed, the reason.
        costs: per statistic, its cost beyond that of the statistics it builds on.
        answer_cost: the cost of the answers, which all detectors share.
        total: the cost of everything together.
    """

    statistics: Statistics
    generations: tuple[Generation, ...]
    unavailable: dict[Statistic, str]
    costs: dict[Statistic, Cost]
    answer_cost: Cost
    total: Cost


def collect_statistics(
    resources: Resources,
    prompts: Sequence[Prompt],
    wanted: Iterable[Statistic],
    *,
    answers: Sequence[str | None] | None = None,
) -> CollectedStatistics:
    """Compute statistics of N answers, each once.

    Args:
        resources: models, evidence and settings.
        prompts: N prompts; those with a context must be plain questions.
        wanted: what to compute.
        answers: N texts to judge; the model answers greedily where an answer is None.

    Raises:
        InvalidInput: contexts or answers do not match the prompts.
        ContextOverflow: a prompt and its completion do not fit the model's context window.
    """
    begin = time.perf_counter()
    requested = set(wanted)
    unavailable = unavailable_statistics(resources, requested)
    collection = _Collection(
        resources,
        _with_contexts(prompts, resources),
        tuple(question_of(prompt) for prompt in prompts),
        requested - set(unavailable),
        unavailable,
    )
    collection.generate([None] * len(prompts) if answers is None else answers)
    collection.compare_texts()
    collection.ask_model()
    collection.score_without_context()
    total = Cost(time.perf_counter() - begin, collection.tokens)
    return CollectedStatistics(
        collection.statistics,
        collection.generations,
        collection.unavailable,
        collection.costs,
        collection.answer_cost,
        total,
    )


def question_of(prompt: Prompt) -> str:
    """Get the text of a prompt's last user turn.

    Raises:
        InvalidInput: a conversation has no user turn, or its content is not text.
    """
    if isinstance(prompt, str):
        return prompt
    if not isinstance(prompt, Sequence) or not all(isinstance(message, Mapping) for message in prompt):
        raise InvalidInput("a prompt is neither text nor a list of messages with role and content")
    turns = [message.get("content") for message in prompt if isinstance(message, Mapping) and message.get("role") == "user"]
    if not turns:
        raise InvalidInput("a conversation has no user turn; pass the question as a message with the role 'user'")
    if not isinstance(turns[-1], str):
        raise InvalidInput(f"the content of a user turn is {turns[-1]!r}; pass a text")
    return turns[-1]


def _with_contexts(prompts: Sequence[Prompt], resources: Resources) -> list[Prompt]:
    from halluc.prompts import grounded_prompt

    special = getattr(resources.lm, "special_tokens", ())
    grounded: list[Prompt] = []
    for i, prompt in enumerate(prompts):
        context = resources.context(i)
        if context is None:
            grounded.append(prompt)
        elif isinstance(prompt, str):
            grounded.append(grounded_prompt(prompt, [context], special))
        else:
            raise InvalidInput(
                f"prompts[{i}] is a conversation, to which a context cannot be added; pass the question as text"
            )
    return grounded


@dataclass
class _Collection:
    """The state of one `collect_statistics`: what has been computed, and its cost."""

    resources: Resources
    prompts: list[Prompt]
    questions: tuple[str, ...]
    wanted: set[Statistic]
    unavailable: dict[Statistic, str]
    statistics: Statistics = field(init=False)
    generations: tuple[Generation, ...] = ()
    alternatives: list[Any] = field(default_factory=list)
    sample_spans: list[Any] = field(default_factory=list)
    costs: dict[Statistic, Cost] = field(default_factory=dict)
    answer_cost: Cost = field(default_factory=Cost)
    tokens: int = 0

    def generate(self, answers: Sequence[str | None]) -> None:
        """Generate the missing answers and the samples."""
        begin = time.perf_counter()
        k = self.resources.n_samples if self.wanted & _FROM_SAMPLES else 0
        if is_local(self.resources.lm):
            sample_tokens = self._generate_locally(answers, k)
        else:
            sample_tokens = self._generate_remotely(answers, k)
        seconds = time.perf_counter() - begin
        answer_tokens = sum(len(answer.token_ids) or len(answer.token_logprobs) for answer in self.generations)
        prompt_tokens = sum(self.resources.lm.count_tokens(prompt) for prompt in self.prompts)
        # Answers and samples are rows of one batch: its seconds are divided in proportion to the tokens of each.
        share = answer_tokens / (answer_tokens + sample_tokens) if sample_tokens else 1.0
        self.answer_cost = Cost(seconds * share, prompt_tokens + answer_tokens)
        self.costs[Statistic.samples] = Cost(seconds * (1 - share), sample_tokens)
        self.tokens += prompt_tokens + answer_tokens + sample_tokens

    def _generate_locally(self, answers: Sequence[str | None], k: int) -> int:
        """Fill the statistics from the model's internals; return the number of tokens in samples."""
        observations = self._observe(answers, k)
        self.generations = tuple(one.answer for one in observations)
        self.alternatives = [one.alternatives for one in observations]
        self.sample_spans = [one.sample_spans for one in observations]
        has_states = bool(self.wanted & _HIDDEN_STATES)
        self.statistics = Statistics(
            questions=self.questions,
            answers=tuple(one.answer.text for one in observations),
            token_logprobs=tuple(one.logprobs for one in observations),
            token_entropy=tuple(one.entropy for one in observations),
            token_self_certainty=tuple(one.self_certainty for one in observations),
            token_spans=tuple(one.spans for one in observations),
            hidden_state=_stack([one.hidden_state for one in observations] if has_states else []),
            previous_attention=tuple(one.previous_attention for one in observations),
            lookback=tuple(one.lookback for one in observations),
            samples=tuple(tuple(sample.text for sample in one.samples) for one in observations),
            sample_logprobs=tuple(one.sample_logprobs for one in observations),
            sample_hidden_state=_stack([one.sample_hidden_state for one in observations] if has_states and k else []),
        )
        if Statistic.attention in self.wanted and not all(one.lookback.size for one in observations):
            self._drop(
                Statistic.attention, f"{self.resources.lm.name} does not return attention weights over the whole prompt"
            )
        return sum(logprobs.size for one in observations for logprobs in one.sample_logprobs)

    def _observe(self, answers: Sequence[str | None], k: int) -> list[Observation]:
        """Observe all prompts: one pass for those that are answered, one for those whose answer is given."""
        from halluc.models.internals import observe

        resources = self.resources
        observed: dict[int, Observation] = {}
        for are_given in (False, True):
            rows = [i for i, answer in enumerate(answers) if (answer is not None) == are_given]
            if not rows:
                continue
            observations = observe(
                resources.lm,  # type: ignore[arg-type]
                [self.prompts[i] for i in rows],
                answers=[answers[i] or "" for i in rows] if are_given else None,
                samples=k,
                max_new_tokens=resources.max_new_tokens,
                temperature=resources.temperature,
                top_p=resources.top_p,
                seed=resources.seed,
                stop=resources.stop,
                alternatives=_ALTERNATIVES if Statistic.alternatives in self.wanted else 0,
                hidden_state=bool(self.wanted & _HIDDEN_STATES),
                attention=Statistic.attention in self.wanted,
            )
            observed.update(zip(rows, observations, strict=True))
        return [observed[i] for i in range(len(answers))]

    def _generate_remotely(self, answers: Sequence[str | None], k: int) -> int:
        """Fill the statistics that an endpoint returns; return the number of tokens in samples."""
        resources = self.resources
        missing = [i for i, answer in enumerate(answers) if answer is None]
        greedy = dict(zip(missing, self._complete([self.prompts[i] for i in missing]), strict=True))
        self.generations = tuple(greedy[i][0] if answer is None else Generation(answer) for i, answer in enumerate(answers))
        samples: list[list[Generation]] = [[] for _ in self.prompts]
        if k:
            samples = self._complete(self.prompts, n=k, temperature=resources.temperature, top_p=resources.top_p)
        self.statistics = Statistics(
            questions=self.questions,
            answers=tuple(generation.text for generation in self.generations),
            token_logprobs=tuple(
                np.array(generation.token_logprobs or ([np.nan] if generation.text else []), dtype=np.float64)
                for generation in self.generations
            ),
            samples=tuple(tuple(sample.text for sample in drawn) for drawn in samples),
            sample_logprobs=tuple(tuple(np.array(sample.token_logprobs) for sample in drawn) for drawn in samples),
        )
        written = [generation for generation in self.generations if generation.text]
        if written and not any(generation.token_logprobs for generation in written):
            of = "its tokens" if len(missing) == len(answers) else "a given text"
            self._drop(Statistic.logprobs, f"{resources.lm.name} returns no log-probabilities of {of}")
        if any(sample.text and not sample.token_logprobs for drawn in samples for sample in drawn):
            self._drop(Statistic.sample_logprobs, f"{resources.lm.name} returns no log-probabilities of its tokens")
        return sum(len(sample.token_logprobs) for drawn in samples for sample in drawn)

    def _complete(self, prompts: Sequence[Prompt], **options: Any) -> list[list[Generation]]:
        if not prompts:
            return []
        resources = self.resources
        return resources.lm.generate(
            prompts, max_new_tokens=resources.max_new_tokens, seed=resources.seed, stop=resources.stop, **options
        )

    def _drop(self, statistic: Statistic, reason: str) -> None:
        self.unavailable[statistic] = reason
        self.wanted.discard(statistic)

    def compare_texts(self) -> None:
        """Compute entailment, similarity and relevance."""
        from halluc.detectors.text_relations import TextRelations

        relations = TextRelations(self.statistics, self.alternatives, self.sample_spans, self.resources)
        for statistics, compute in (
            (self.wanted & _FROM_VERIFIER, relations.by_verifier),
            (self.wanted & {Statistic.support}, relations.by_judge),
            (self.wanted & _FROM_EMBEDDER, relations.by_embedder),
        ):
            if not statistics:
                continue
            begin = time.perf_counter()
            arrays, counts = compute(statistics)
            seconds = time.perf_counter() - begin
            self.statistics = replace(self.statistics, **arrays)
            total = sum(counts.values())
            for statistic in statistics:
                # One batch for all: its seconds are divided in proportion to the texts of each statistic.
                self.costs[statistic] = Cost(seconds * counts[statistic] / total if total else 0.0)

    def ask_model(self) -> None:
        """Ask the model about its own answers."""
        from halluc.detectors import self_judgment

        for statistic, name, ask in (
            (Statistic.p_true, "p_true", self_judgment.p_true),
            (Statistic.verbalized, "verbalized", self_judgment.stated_confidence),
            (Statistic.sentence_question, "sentence_no", self_judgment.sentence_no),
        ):
            if statistic in self.wanted:
                with self._charged(statistic) as charge:
                    values, tokens = ask(self.resources.lm, self.statistics)
                    arrays: dict[str, Any] = {name: values}
                    self.statistics = replace(self.statistics, **arrays)
                    charge(tokens)

    def score_without_context(self) -> None:
        """Compute the answers' log-probabilities after the question alone, for answers that have a context."""
        if Statistic.context_free not in self.wanted:
            return
        from halluc.models.internals import observe

        rows = [i for i in range(len(self.questions)) if self.resources.context(i) is not None]
        with self._charged(Statistic.context_free) as charge:
            observations = observe(
                self.resources.lm,  # type: ignore[arg-type]
                [self.questions[i] for i in rows],
                answers=[self.generations[i] for i in rows],
            )
            logprobs = [np.full(logprobs.size, np.nan) for logprobs in self.statistics.token_logprobs]
            for i, observation in zip(rows, observations, strict=True):
                logprobs[i] = observation.logprobs[: logprobs[i].size]
            self.statistics = replace(self.statistics, context_free_logprobs=tuple(logprobs))
            charge(sum(observation.prompt_tokens + observation.logprobs.size for observation in observations))

    @contextmanager
    def _charged(self, statistic: Statistic) -> Iterator[Callable[[int], None]]:
        """Time a block; the statistic is unavailable if the model's reply cannot be used."""
        begin = time.perf_counter()
        tokens = 0

        def charge(count: int) -> None:
            nonlocal tokens
            tokens += count

        try:
            yield charge
        except ModelResponseError as error:
            self.unavailable[statistic] = str(error)
        self.costs[statistic] = Cost(time.perf_counter() - begin, tokens)
        self.tokens += tokens


def _stack(rows: list[FloatArray]) -> FloatArray:
    return np.stack(rows) if rows else np.empty(0)
