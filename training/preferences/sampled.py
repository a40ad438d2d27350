"""Preference pairs by factuality, in TRL's preference format with two more columns for `FactualityDPOTrainer`.

Every function returns a `datasets.Dataset` with the columns

    prompt, chosen, rejected                    conversations (lists of messages)
    chosen_factuality, rejected_factuality      numbers on one scale, the chosen one the larger

Not here: pairs of a draft and its revision (revision_pairs.py), how truth is scored (rewards.py), files (pair_files.py), and
whether a data set can be trained on (pair_checks.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.grading.matching import normalize_answer
from halluc.grading.refusal import abstains
from training.preferences.dataset import PairFolder, checked_scores
from training.rewards.completions import as_messages

if TYPE_CHECKING:
    from datasets import Dataset

    from halluc.models.language_model import LanguageModel, Prompt
    from training.rewards.composite import RewardFunction

__all__ = [
    "as_messages",
    "build_preference_pairs",
    "check_lengths",
    "length_ratio",
    "pair_row",
    "pairs_from_answers",
    "reward_name",
]


def build_preference_pairs(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    reward: RewardFunction,
    *,
    k: int = 8,
    gap: float = 0.1,
    longest_ratio: float = 2.0,
    abstention: str | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
    temperature: float = 1.0,
    max_new_tokens: int = 128,
    batch_size: int = 16,
    seed: int = 0,
    out: str | Path | None = None,
) -> Dataset:
    """Sample k completions of each prompt, score them, and pair the best with the worst (FactTune, arXiv 2311.08401).

    Of a prompt's completions, empty ones are dropped and those equal but for case, punctuation and articles count once. The
    pair with the widest gap in score is taken whose lengths are alike, since DPO otherwise learns length (arXiv 2403.19159).
    A prompt whose completions are all about as true gives no pair.

    With an `abstention` the model learns where its knowledge ends (arXiv 2403.18349): where the answers to a prompt earn
    less on average than the abstention, it is chosen over the worst of them; elsewhere the best answer is chosen over it,
    beside the pair of answers. Give a reward that ranks wrong below abstained (`training.rewards.kinds.ternary_truth`).

    Args:
        lm: samples the completions: the model that is to be trained.
        prompts: N prompts; a string is one user turn.
        reward: scores completions, with TRL's reward-function signature; `FactualityReward`.
        k: completions per prompt, at least 2.
        gap: least difference in score between chosen and rejected, above 0.
        longest_ratio: most words of the longer completion for each word of the shorter one, at least 1.
        abstention: what the model is to say where it does not know, like "I don't know."; paired whatever its length.
        columns: N values each that the reward takes, e.g. `context` or `answers`.
        temperature, max_new_tokens: of sampling.
        batch_size: prompts sampled and scored at a time.
        seed: of sampling; batch i samples with seed + i.
        out: new folder to save the data set and its manifest.json to; `datasets.load_from_disk` reads it. Finished batches
            are kept beside it: the same call after a break goes on where it stopped, and a finished folder is read.

    Raises:
        InvalidInput: an option is out of range, the abstention does not read as one, a column has another length than the
            prompts, a score is not finite, no prompt gives a pair, or `out` holds another data set.
    """
    if k < 2:
        raise InvalidInput(f"k is {k}; a pair needs at least 2 completions per prompt")
    if not gap > 0 or not longest_ratio >= 1 or not temperature > 0 or batch_size < 1:
        raise InvalidInput(
            f"gap is {gap}, longest_ratio {longest_ratio}, temperature {temperature}, batch_size {batch_size}; pass a gap "
            "and a temperature above 0, a ratio and a batch of at least 1"
        )
    if abstention is not None and not abstains(abstention):
        raise InvalidInput(f'the abstention {abstention!r} does not read as one; say something like "I don\'t know."')
    columns = dict(columns or {})
    check_lengths(columns, len(prompts))
    settings = {
        "method": "sampled",
        "model": lm.name,
        "reward": reward_name(reward),
        "k": k,
        "gap": gap,
        "longest_ratio": longest_ratio,
        "abstention": abstention,
        "temperature": temperature,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "seed": seed,
    }

    def batch(number: int) -> dict[str, Any]:
        rows = range(number * batch_size, min((number + 1) * batch_size, len(prompts)))
        asked = [prompts[row] for row in rows]
        sampled = lm.generate(asked, n=k, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed + number)
        silence = [] if abstention is None else [abstention]
        texts = [[g.text.strip() for g in own] + silence for own in sampled]
        owners = [row for row, own in zip(rows, texts, strict=True) for _ in own]
        scores = iter(
            checked_scores(
                reward,
                [prompts[row] for row in owners],
                [text for own in texts for text in own],
                {name: [values[row] for row in owners] for name, values in columns.items()},
                rows=owners,
            )
        )
        pairs, dropped = [], 0
        for row, own in zip(rows, texts, strict=True):
            scored = [(text, next(scores)) for text in own]
            if abstention is None:
                found = _widest_pair(scored, gap, longest_ratio)
            else:
                found = _pairs_with_abstention(scored[:-1], scored[-1], gap, longest_ratio)
            dropped += not found
            pairs += [pair_row(prompts[row], *pair) for pair in found]
        return {"pairs": pairs, "prompts_without_pair": dropped}

    inputs = {"prompts": [as_messages(prompt) for prompt in prompts], "columns": columns}
    return PairFolder(out, settings, inputs).build(-(-len(prompts) // batch_size), batch, "sampling pairs")


def pairs_from_answers(
    questions: Sequence[Prompt],
    right: Sequence[str],
    wrong: Sequence[str],
    *,
    reward: RewardFunction | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
    out: str | Path | None = None,
) -> Dataset:
    """Pairs from rows with a right and a hallucinated answer, such as HaluEval's questions (arXiv 2305.11747).

    Args:
        questions: N prompts.
        right, wrong: N answers each.
        reward: scores the answers; rows whose right answer does not score higher are left out and counted in the manifest.
            None scores right answers 1 and wrong ones 0.
        columns: N values each that the reward takes, e.g. `context`.
        out: see `build_preference_pairs`.

    Raises:
        InvalidInput: lengths differ, an answer is empty or equal to its counterpart (the row is named), a score is not
            finite, no row is left, or `out` holds another data set.
    """
    columns = dict(columns or {})
    for name, values in {"right": right, "wrong": wrong, **columns}.items():
        if len(values) != len(questions):
            raise InvalidInput(f"there are {len(values)} {name} for {len(questions)} questions; give one for each")
    for row, (good, bad) in enumerate(zip(right, wrong, strict=True)):
        if not good.strip() or not bad.strip():
            raise InvalidInput(f"the {'wrong' if good.strip() else 'right'} answer of row {row} is empty; drop the row")
        if good.strip() == bad.strip():
            raise InvalidInput(f"the right and the wrong answer of row {row} are both {good[:60]!r}; drop the row")

    def batch(_: int) -> dict[str, Any]:
        count = len(questions)
        scores = [1.0] * count + [0.0] * count
        if reward is not None:
            doubled = {name: [*values, *values] for name, values in columns.items()}
            scores = checked_scores(
                reward, [*questions, *questions], [*right, *wrong], doubled, rows=[*range(count), *range(count)]
            )
        pairs = [
            pair_row(question, (good.strip(), up), (bad.strip(), down))
            for question, good, bad, up, down in zip(questions, right, wrong, scores[:count], scores[count:], strict=True)
            if up > down
        ]
        return {"pairs": pairs, "rows_scored_otherwise": count - len(pairs)}

    inputs = {"questions": [as_messages(q) for q in questions], "right": [*right], "wrong": [*wrong], "columns": columns}
    return PairFolder(out, {"method": "answers", "reward": reward_name(reward)}, inputs).build(1, batch, "scoring pairs")


Scored = tuple[str, float]


def _widest_pair(scored: Sequence[Scored], gap: float, longest_ratio: float) -> list[tuple[Scored, Scored]]:
    """The (better, worse) completions furthest apart in score among those about as long as each other, or nothing."""
    alike = [
        (better, worse)
        for better, worse in combinations(_ranked(scored), 2)
        if better[1] - worse[1] >= gap and length_ratio(better[0], worse[0]) <= longest_ratio
    ]
    return [max(alike, key=lambda pair: pair[0][1] - pair[1][1])] if alike else []


def _pairs_with_abstention(
    scored: Sequence[Scored], abstention: Scored, gap: float, longest_ratio: float
) -> list[tuple[Scored, Scored]]:
    """Abstention over the worst answer where answering does not pay, else the best answer over it and the widest pair."""
    answers = [(text, score) for text, score in scored if text and not abstains(text)]
    if not answers:
        return []
    ranked = _ranked(answers)
    # The mean is over samples, not over distinct answers: it estimates what answering this prompt earns.
    if fmean(score for _, score in answers) < abstention[1]:
        pairs = [(abstention, min(ranked, key=lambda one: one[1]))]
    else:
        pairs = [*_widest_pair(answers, gap, longest_ratio), (ranked[0], abstention)]
    return [(better, worse) for better, worse in pairs if better[1] - worse[1] >= gap]


def _ranked(scored: Sequence[Scored]) -> list[Scored]:
    """Distinct texts, the best score first and the more frequent first among equals; empty ones dropped."""
    counts = Counter(normalize_answer(text) for text, _ in scored if text)
    distinct: dict[str, Scored] = {}
    for text, score in scored:
        if text:
            distinct.setdefault(normalize_answer(text), (text, score))
    return sorted(distinct.values(), key=lambda one: (-one[1], -counts[normalize_answer(one[0])]))


def reward_name(reward: RewardFunction | None) -> str:
    """What the manifest calls the reward."""
    return "1 for chosen, 0 for rejected" if reward is None else getattr(reward, "__name__", type(reward).__name__)


def check_lengths(columns: Mapping[str, Sequence[Any]], prompts: int) -> None:
    """Refuse columns that have another length than the prompts, with InvalidInput."""
    for name, values in columns.items():
        if len(values) != prompts:
            raise InvalidInput(f"the column {name!r} has {len(values)} values for {prompts} prompts; give one for each")


def length_ratio(one: str, other: str) -> float:
    """Words of the longer text for each word of the shorter one; both must have words."""
    lengths = sorted((len(one.split()), len(other.split())))
    return lengths[1] / lengths[0]


def pair_row(prompt: Prompt, chosen: Scored, rejected: Scored) -> dict[str, Any]:
    """One pair with the columns above, from (text, factuality) of each side."""
    return {
        "prompt": as_messages(prompt),
        "chosen": [{"role": "assistant", "content": chosen[0]}],
        "rejected": [{"role": "assistant", "content": rejected[0]}],
        "chosen_factuality": chosen[1],
        "rejected_factuality": rejected[1],
    }
