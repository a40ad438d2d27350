"""Preference pairs of a draft and its revision: by chain-of-verification, or by the principles of a constitution.

The revision is chosen over the draft unless the two say the same, differ much in length, or the reward disagrees: models
that correct themselves are often wrong. Columns are those of sampled.py, plus some that document the revision.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.grading.matching import normalize_answer
from retrieval.files import whole_characters
from training.preferences.constitution import Principle, load_principles
from training.preferences.dataset import BuildPairs, PairFolder
from training.preferences.pairing import (
    PairOptions,
    check_prompts,
    checked_scores,
    length_ratio,
    pair_row,
    reward_name,
)
from training.rewards.completions import as_messages
from training.rewards.identity import content_identity

if TYPE_CHECKING:
    from datasets import Dataset

    from halluc.cove.chain import ChainOfVerification
    from halluc.models.language_model import LanguageModel, Prompt
    from training.rewards.composite import RewardFunction

__all__ = ["criticize_and_revise", "pairs_from_constitution", "pairs_from_verification", "replies"]

# What models write before a revision although the revision alone is requested.
_LABEL = re.compile(
    r"^\s*(?:here (?:is|['’]s) (?:the|my|a) )?(?:\w+ )?(?:revised|new|rewritten|corrected) answer\s*:\s*", re.I
)


def pairs_from_verification(
    chain: ChainOfVerification,
    questions: Sequence[str],
    reward: RewardFunction,
    *,
    min_margin: float = 0.1,
    max_length_ratio: float = 2.0,
    min_chosen: float | None = 0.5,
    columns: Mapping[str, Sequence[Any]] | None = None,
    batch_size: int = 16,
    out: str | Path | None = None,
    build: BuildPairs = PairFolder.build,
) -> Dataset:
    """Pair a draft (rejected) with the answer after chain-of-verification (chosen; arXiv 2309.11495).

    The column `checks` lists the verification questions with their answers.

    Args:
        chain: drafts, verifies and revises, with the model to train.
        questions: N questions.
        reward: scores draft and answer, with TRL's reward-function signature; such as `FactualityReward`.
        min_margin: least difference in score by which the answer must be better, above 0.
        max_length_ratio: most words of the longer text per word of the shorter one, at least 1.
        min_chosen: least score of the answer; None for any.
        columns: N values each that the reward takes, such as `context` or `references`.
        batch_size: questions per batch.
        out, build: see `training.build_preference_pairs`.

    Raises:
        InvalidInput: an option is out of range, a question cannot be used (its row is named), a column has another length, a
            score is not finite, no question gives a pair, or `out` cannot be used.
        ContextOverflow: a prompt of the chain exceeds the context window.
    """
    options = PairOptions(min_margin, max_length_ratio, batch_size, min_chosen)
    settings = {
        "method": "cove",
        "model": chain.lm.name,
        "reward": reward_name(reward),
        "variant": chain.variant,
        "source": chain.source,
        "verifier": chain.verifier.name if chain.verifier is not None else None,
        "max_questions": chain.max_questions,
        "max_new_tokens": chain.max_new_tokens,
        "passages": chain.k,
        **asdict(options),
    }
    contents = [chain.lm, chain.verifier, chain.index, reward]
    pairing = _Pairing(questions, reward, columns, options, contents if out is not None else [])

    def batch(number: int) -> dict[str, Any]:
        rows = pairing.rows(number)
        answers = chain.batch([questions[row] for row in rows])
        details = [{"checks": [f"{check.question} {check.answer}".strip() for check in answer.checks]} for answer in answers]
        return pairing.pairs(rows, [answer.draft for answer in answers], [answer.text for answer in answers], details)

    return build(PairFolder(out, settings, pairing.inputs), pairing.batches, batch, "verifying drafts")


def pairs_from_constitution(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    principles: str | Path | Sequence[Principle] | None = None,
    *,
    reward: RewardFunction | None = None,
    min_margin: float = 0.1,
    max_length_ratio: float = 2.0,
    min_chosen: float | None = 0.5,
    columns: Mapping[str, Sequence[Any]] | None = None,
    temperature: float = 1.0,
    max_new_tokens: int = 128,
    batch_size: int = 16,
    seed: int = 0,
    out: str | Path | None = None,
    build: BuildPairs = PairFolder.build,
) -> Dataset:
    """Pair a draft (rejected) with its revision after a critique (chosen; Constitutional AI, arXiv 2212.08073, sec. 3.1).

    The model answers, criticizes its answer by a principle that is drawn for the prompt, and revises it. The columns
    `principle` and `critique` hold the name of the principle and the critique.

    Args:
        lm: the model to train; it needs a chat template.
        prompts: N prompts; a string is one user turn.
        principles: a YAML file or a list; None uses constitution.yaml of this package.
        reward: scores draft and revision; None scores revisions 1 and drafts 0, without checking them.
        min_margin, max_length_ratio, min_chosen, columns: see `pairs_from_verification`.
        temperature: of the drafts; critiques and revisions are greedy.
        max_new_tokens: of each of the three.
        batch_size: prompts per batch.
        seed: of the drafts and of the draw of principles.
        out, build: see `training.build_preference_pairs`.

    Raises:
        InvalidInput: as `pairs_from_verification`, or the principles cannot be used.
        ContextOverflow: prompt, draft and critique exceed the context window.
    """
    if not temperature > 0:
        raise InvalidInput(f"temperature is {temperature}; pass a number above 0")
    if principles is None or isinstance(principles, str | Path):
        principles = load_principles(principles)
    if not principles:
        raise InvalidInput("there are no principles; pass at least one, or None for those of the package")
    options = PairOptions(min_margin, max_length_ratio, batch_size, min_chosen)
    pairing = _Pairing(prompts, reward, columns, options, [lm, reward] if out is not None else [])
    drawn = random.Random(seed).choices(principles, k=len(prompts))

    def batch(number: int) -> dict[str, Any]:
        rows = pairing.rows(number)
        conversations = [as_messages(prompts[row]) for row in rows]
        sampling: dict[str, Any] = {"temperature": temperature, "seed": seed + number}
        drafts = replies(lm, conversations, max_new_tokens, whole=True, **sampling)
        principles_of = [drawn[row] for row in rows]
        critiques, revisions = criticize_and_revise(lm, conversations, drafts, principles_of, max_new_tokens)
        details = [{"principle": p.name, "critique": text} for p, text in zip(principles_of, critiques, strict=True)]
        return pairing.pairs(rows, drafts, revisions, details)

    settings = {"method": "constitution", "model": lm.name, "reward": reward_name(reward), **asdict(options)}
    # The preference of a principle has no part in these pairs.
    used = [{name: text for name, text in p.to_dict().items() if name != "preference"} for p in principles]
    settings |= {"principles": used, "temperature": temperature}
    settings |= {"max_new_tokens": max_new_tokens, "seed": seed}
    return build(PairFolder(out, settings, pairing.inputs), pairing.batches, batch, "revising drafts")


def criticize_and_revise(
    lm: LanguageModel,
    conversations: Sequence[list[dict[str, str]]],
    drafts: Sequence[str],
    principles: Sequence[Principle],
    max_new_tokens: int,
) -> tuple[list[str], list[str]]:
    """Criticize drafts and revise them after the critique, by greedy replies.

    Args:
        lm: a model with a chat template.
        conversations: (N,) prompts.
        drafts: (N,) answers to them.
        principles: (N,) principles.
        max_new_tokens: of a critique and of a revision.

    Returns:
        (N,) critiques and (N,) revisions; both empty for an empty draft, which a chat template may refuse.
    """
    critiques, revisions = [""] * len(drafts), [""] * len(drafts)
    drafted = [i for i, draft in enumerate(drafts) if draft]
    if not drafted:
        return critiques, revisions
    requests = [[*conversations[i], _assistant(drafts[i]), _user(principles[i].critique)] for i in drafted]
    for i, critique in zip(drafted, replies(lm, requests, max_new_tokens), strict=True):
        critiques[i] = critique
    requests = [
        [*request, _assistant(critiques[i] or "I found nothing."), _user(principles[i].revision)]
        for request, i in zip(requests, drafted, strict=True)
    ]
    for i, revision in zip(drafted, replies(lm, requests, max_new_tokens, whole=True), strict=True):
        revisions[i] = _LABEL.sub("", revision).strip()
    return critiques, revisions


def replies(
    lm: LanguageModel, conversations: Sequence[Prompt], max_new_tokens: int, *, whole: bool = False, **sampling: Any
) -> list[str]:
    """Reply once to each of N conversations; for `sampling` see `LanguageModel.generate`.

    With `whole`, a reply that was cut by the token limit is empty.
    """
    sampled = lm.generate(conversations, max_new_tokens=max_new_tokens, **sampling)
    return [whole_characters(s[0].text).strip() if not whole or s[0].finish_reason != "length" else "" for s in sampled]


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


class _Pairing:
    """Makes pairs of drafts and revisions if the revision is better."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        reward: RewardFunction | None,
        columns: Mapping[str, Sequence[Any]] | None,
        options: PairOptions,
        contents: Sequence[Any],
    ) -> None:
        self.prompts, self.reward, self.columns, self.options = prompts, reward, dict(columns or {}), options
        check_prompts(prompts, self.columns)
        self.batches = options.batches(len(prompts))
        self.inputs = {"prompts": [as_messages(prompt) for prompt in prompts], "columns": self.columns}
        self.inputs |= {"contents": content_identity(contents)}

    def rows(self, batch: int) -> range:
        """The rows of a batch."""
        return self.options.rows(batch, len(self.prompts))

    def pairs(
        self, rows: Sequence[int], drafts: Sequence[str], revisions: Sequence[str], details: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The pairs of a batch with their details, and the number of rows that were left out for each reason."""
        changed = [i for i in range(len(rows)) if drafts[i] and revisions[i] and not _same(drafts[i], revisions[i])]
        similar = [i for i in changed if length_ratio(drafts[i], revisions[i]) <= self.options.max_length_ratio]
        scores = [1.0] * len(similar) + [0.0] * len(similar)
        if self.reward is not None and similar:
            row_of = [rows[i] for i in similar] * 2
            scores = checked_scores(
                self.reward,
                [self.prompts[row] for row in row_of],
                [revisions[i] for i in similar] + [drafts[i] for i in similar],
                {name: [values[row] for row in row_of] for name, values in self.columns.items()},
                rows=row_of,
            )
        pairs = [
            {**pair_row(self.prompts[rows[i]], (revisions[i], high), (drafts[i], low), row=rows[i]), **details[i]}
            for i, high, low in zip(similar, scores[: len(similar)], scores[len(similar) :], strict=True)
            if self.options.accepts(high, low)
        ]
        return {
            "pairs": pairs,
            "unchanged_empty_or_cut": len(rows) - len(changed),
            "of_different_length": len(changed) - len(similar),
            "reward_disagreed": len(similar) - len(pairs),
        }


def _same(one: str, other: str) -> bool:
    return normalize_answer(one) == normalize_answer(other)
