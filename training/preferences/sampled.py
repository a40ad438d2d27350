"""Preference pairs by factuality, in TRL's preference format plus two columns for `FactualityDPOTrainer`.

Every function that makes pairs returns a `datasets.Dataset` with the columns

    row                                         number of the prompt that the pair belongs to
    prompt, chosen, rejected                    conversations (lists of messages)
    chosen_factuality, rejected_factuality      numbers on one scale, the chosen one larger

Not covered: pairs of a draft and its revision (revised.py), how factuality is scored (training/rewards), the files
(dataset.py), and whether a data set can be trained on (training/runs/row_checks.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from halluc.claims.abstention import abstains
from halluc.errors import InvalidInput
from halluc.grading.matching import normalize_answer
from retrieval.files import whole_characters
from training.preferences.dataset import BuildPairs, PairFolder
from training.preferences.pairing import (
    PairOptions,
    Scored,
    check_prompts,
    checked_scores,
    length_ratio,
    pair_row,
    reward_name,
)
from training.rewards.completions import as_messages, check_one_each, check_text_or_messages
from training.rewards.identity import content_identity

if TYPE_CHECKING:
    from datasets import Dataset

    from halluc.models.language_model import LanguageModel, Prompt
    from training.rewards.composite import RewardFunction

__all__ = ["SamplingOptions", "build_preference_pairs", "pairs_from_answers"]


@dataclass(frozen=True)
class SamplingOptions:
    """How `build_preference_pairs` samples; see there.

    Raises:
        InvalidInput: an option is out of range, or the abstention does not read as one.
    """

    n_samples: int
    temperature: float
    max_new_tokens: int
    abstention: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_samples < 2:
            raise InvalidInput(f"n_samples is {self.n_samples}; a pair needs at least 2 completions per prompt")
        if not self.temperature > 0:
            raise InvalidInput(f"temperature is {self.temperature}; pass a number above 0")
        if self.max_new_tokens < 1:
            raise InvalidInput(f"max_new_tokens is {self.max_new_tokens}; pass at least 1")
        if self.abstention is not None:
            check_text_or_messages("the abstention", self.abstention)
            if not abstains(self.abstention):
                raise InvalidInput(
                    f'the abstention {self.abstention!r} does not read as one; say something like "I don\'t know."'
                )


def build_preference_pairs(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    reward: RewardFunction,
    *,
    n_samples: int = 8,
    min_margin: float = 0.1,
    max_length_ratio: float = 2.0,
    min_chosen: float | None = 0.5,
    abstention: str | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
    temperature: float = 1.0,
    max_new_tokens: int = 128,
    batch_size: int = 16,
    seed: int = 0,
    out: str | Path | None = None,
    build: BuildPairs = PairFolder.build,
) -> Dataset:
    """Sample completions of each prompt, score them, and pair the best with the worst (FactTune, arXiv 2311.08401).

    Completions that are empty or cut by `max_new_tokens` are dropped, and those that differ only in case, punctuation and
    articles count once. Only completions of similar length are paired, since DPO otherwise learns length (arXiv 2403.19159);
    among those, the pair with the largest margin in score is taken. A prompt whose completions score about the same, or none
    of which is good, gives no pair: DPO would learn to say the best of several wrong answers.

    With an `abstention` the model learns to say that it does not know (arXiv 2403.18349). If the answers to a prompt earn
    less on average than the abstention, it is chosen over the worst of them. Otherwise the best answer is chosen over it, in
    addition to the pair of answers. Use a reward in which wrong earns less than abstained (`ternary_truth`).

    Args:
        lm: the model to train, which samples the completions.
        prompts: N prompts; a string is one user turn.
        reward: scores completions, with TRL's reward-function signature; such as `FactualityReward`.
        n_samples: completions per prompt, at least 2.
        min_margin: least difference in score between chosen and rejected, above 0.
        max_length_ratio: most words of the longer completion per word of the shorter one, at least 1.
        min_chosen: least score of a chosen completion; None for any. The default is for scores in [0, 1] or [−1, 1].
        abstention: what the model should say if it does not know, like "I don't know."; paired regardless of its length, and
            chosen at any score.
        columns: N values each that the reward takes, such as `context` or `references`.
        temperature, max_new_tokens: of sampling.
        batch_size: prompts sampled and scored together.
        seed: of sampling; batch i samples with seed + i.
        out: new folder for the data set and its manifest.json; `datasets.load_from_disk` reads it. The same call resumes an
            interrupted build, and reads a finished one. One process at a time may build a folder.
        build: builds the data set from the folder, the number of batches, and the function that makes one (see
            `training.runs.pairs`, which shares the batches among workers).

    Raises:
        InvalidInput: an option is out of range, the abstention does not read as one, a prompt cannot be used (its row is
            named), a column has another length, a score is not finite, no prompt gives a pair, or `out` cannot be written or
            holds other pairs, or another process is building it.
    """
    options = PairOptions(min_margin, max_length_ratio, batch_size, min_chosen)
    sampling = SamplingOptions(n_samples, temperature, max_new_tokens, abstention, seed)
    columns = dict(columns or {})
    check_prompts(prompts, columns)

    def batch(number: int) -> dict[str, Any]:
        rows = options.rows(number, len(prompts))
        samples, cut = _sample(lm, [prompts[row] for row in rows], sampling, seed + number)
        return {**_pair_samples(rows, samples, prompts, reward, columns, options, abstention), "cut_samples": cut}

    settings = {"method": "sampled", "model": lm.name, "reward": reward_name(reward), **asdict(sampling), **asdict(options)}
    inputs: dict[str, Any] = {"prompts": [as_messages(prompt) for prompt in prompts], "columns": columns}
    inputs |= {"contents": content_identity([lm, reward]) if out is not None else None}
    return build(PairFolder(out, settings, inputs), options.batches(len(prompts)), batch, "sampling pairs")


def pairs_from_answers(
    questions: Sequence[Prompt],
    right: Sequence[str],
    wrong: Sequence[str],
    *,
    reward: RewardFunction | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
    out: str | Path | None = None,
    build: BuildPairs = PairFolder.build,
) -> Dataset:
    """Make pairs from rows with a right and a hallucinated answer, such as HaluEval's questions (arXiv 2305.11747).

    Args:
        questions: N prompts.
        right, wrong: N answers each.
        reward: scores the answers; rows whose right answer does not score higher are left out and counted in the manifest.
            None scores right answers 1 and wrong answers 0.
        columns: N values each that the reward takes, such as `context`.
        out, build: see `build_preference_pairs`.

    Raises:
        InvalidInput: lengths differ, an answer is missing, empty or equal to its counterpart (the row is named), a score is
            not finite, no row is left, or `out` cannot be used.
    """
    columns = dict(columns or {})
    check_one_each("questions", questions, right=right, wrong=wrong)
    check_prompts(questions, columns)
    _check_answers(right, wrong)
    count = len(questions)

    def batch(_: int) -> dict[str, Any]:
        scores = [1.0] * count + [0.0] * count
        if reward is not None:
            doubled = {name: [*values, *values] for name, values in columns.items()}
            rows = [*range(count), *range(count)]
            scores = checked_scores(reward, [*questions, *questions], [*right, *wrong], doubled, rows=rows)
        pairs = [
            pair_row(question, (good.strip(), high), (bad.strip(), low), row=row)
            for row, (question, good, bad, high, low) in enumerate(
                zip(questions, right, wrong, scores[:count], scores[count:], strict=True)
            )
            if high > low
        ]
        return {"pairs": pairs, "rows_scored_otherwise": count - len(pairs)}

    inputs: dict[str, Any] = {
        "questions": [as_messages(q) for q in questions],
        "right": [*right],
        "wrong": [*wrong],
        "columns": columns,
    }
    inputs |= {"contents": content_identity(reward) if out is not None else None}
    return build(PairFolder(out, {"method": "answers", "reward": reward_name(reward)}, inputs), 1, batch, "scoring pairs")


def _check_answers(right: Sequence[str], wrong: Sequence[str]) -> None:
    for row, (good, bad) in enumerate(zip(right, wrong, strict=True)):
        for name, answer in (("right", good), ("wrong", bad)):
            check_text_or_messages(f"the {name} answer of row {row}", answer)
            if not isinstance(answer, str) or not answer.strip():
                raise InvalidInput(f"the {name} answer of row {row} is {answer!r}; write a text or drop the row")
        if good.strip() == bad.strip():
            raise InvalidInput(f"the right and the wrong answer of row {row} are both {good[:60]!r}; drop the row")


def _sample(
    lm: LanguageModel, prompts: Sequence[Prompt], options: SamplingOptions, seed: int
) -> tuple[list[list[str]], int]:
    """The samples of each prompt, and how many others were cut by the token limit."""
    samples = lm.generate(
        prompts,
        n=options.n_samples,
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        seed=seed,
    )
    whole = [[sample for sample in samples_of_row if sample.finish_reason != "length"] for samples_of_row in samples]
    texts = [[whole_characters(sample.text).strip() for sample in samples_of_row] for samples_of_row in whole]
    return texts, sum(map(len, samples)) - sum(map(len, texts))


def _pair_samples(
    rows: Sequence[int],
    texts: Sequence[Sequence[str]],
    prompts: Sequence[Prompt],
    reward: RewardFunction,
    columns: Mapping[str, Sequence[Any]],
    options: PairOptions,
    abstention: str | None,
) -> dict[str, Any]:
    """Score the samples of a batch, and pair those of each prompt."""
    added = [] if abstention is None else [abstention]
    candidates = [[*samples, *added] for samples in texts]
    row_of = [row for row, samples in zip(rows, candidates, strict=True) for _ in samples]
    scores = iter(
        checked_scores(
            reward,
            [prompts[row] for row in row_of],
            [text for samples in candidates for text in samples],
            {name: [values[row] for row in row_of] for name, values in columns.items()},
            rows=row_of,
        )
    )
    pairs, without_pair = [], 0
    for row, samples in zip(rows, candidates, strict=True):
        scored = [(text, next(scores)) for text in samples]
        if abstention is None:
            pairs_of_row = _widest_pair(scored, options)
        else:
            pairs_of_row = _pairs_with_abstention(scored[:-1], scored[-1], options)
        without_pair += not pairs_of_row
        pairs += [pair_row(prompts[row], *pair, row=row) for pair in pairs_of_row]
    return {"pairs": pairs, "prompts_without_pair": without_pair}


def _widest_pair(scored: Sequence[Scored], options: PairOptions) -> list[tuple[Scored, Scored]]:
    """The (better, worse) completions with the largest margin among those of similar length; empty if there are none."""
    similar = [
        (better, worse)
        for better, worse in combinations(_ranked(scored), 2)
        if options.accepts(better[1], worse[1]) and length_ratio(better[0], worse[0]) <= options.max_length_ratio
    ]
    return [max(similar, key=lambda pair: pair[0][1] - pair[1][1])] if similar else []


def _pairs_with_abstention(
    scored: Sequence[Scored], abstention: Scored, options: PairOptions
) -> list[tuple[Scored, Scored]]:
    """The abstention over the worst answer if answering does not pay; else the best answer over it, and the widest pair."""
    answers = [(text, score) for text, score in scored if text and not abstains(text)]
    if not answers:
        return []
    ranked = _ranked(answers)
    # The mean is over samples, not over distinct answers: it estimates what answering this prompt earns.
    if fmean(score for _, score in answers) < abstention[1]:
        pairs = [(abstention, min(ranked, key=lambda answer: answer[1]))]
    else:
        pairs = [*_widest_pair(answers, options), (ranked[0], abstention)]
    return [
        (better, worse)
        for better, worse in pairs
        if (better[1] - worse[1] >= options.min_margin if better is abstention else options.accepts(better[1], worse[1]))
    ]


def _ranked(scored: Sequence[Scored]) -> list[Scored]:
    """Distinct texts by score, best first; of equal scores the more frequent text first. Empty texts are dropped."""
    counts = Counter(normalize_answer(text) for text, _ in scored if text)
    distinct: dict[str, Scored] = {}
    for text, score in scored:
        if text:
            distinct.setdefault(normalize_answer(text), (text, score))
    return sorted(distinct.values(), key=lambda candidate: (-candidate[1], -counts[normalize_answer(candidate[0])]))
