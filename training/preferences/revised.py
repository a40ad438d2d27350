"""Preference pairs of a draft and what became of it: verified answers, and answers revised by principles.

The revision is chosen over the draft, unless the two say the same, differ much in length, or the reward disagrees: a model
that corrects itself is wrong often enough. Columns are those of preferences.py, and some tell how the revision was made.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.grading.matching import normalize_answer
from training.preferences.constitution import Principle, load_principles
from training.preferences.dataset import PairFolder, checked_scores
from training.preferences.sampled import check_lengths, length_ratio, pair_row, reward_name
from training.rewards.completions import as_messages

if TYPE_CHECKING:
    from datasets import Dataset

    from halluc.cove.chain import ChainOfVerification
    from halluc.models.language_model import LanguageModel, Prompt
    from training.rewards.composite import RewardFunction

__all__ = ["pairs_from_constitution", "pairs_from_verification"]

# What models put before a revision although they are asked for it alone.
_LABEL = re.compile(
    r"^\s*(?:here (?:is|['’]s) (?:the|my|a) )?(?:\w+ )?(?:revised|new|rewritten|corrected) answer\s*:\s*", re.I
)


def pairs_from_verification(
    chain: ChainOfVerification,
    questions: Sequence[str],
    reward: RewardFunction,
    *,
    gap: float = 0.1,
    longest_ratio: float = 2.0,
    columns: Mapping[str, Sequence[Any]] | None = None,
    batch_size: int = 16,
    out: str | Path | None = None,
) -> Dataset:
    """Pairs of a draft (rejected) and the answer after a chain of verification (chosen; arXiv 2309.11495).

    The column `checks` lists the verification questions with their answers.

    Args:
        chain: drafts, verifies and revises, with the model that is to be trained.
        questions: N questions.
        reward: scores draft and answer, with TRL's reward-function signature; `FactualityReward`.
        gap: least difference in score by which the answer must be better, above 0.
        longest_ratio: most words of the longer of the two for each word of the shorter one, at least 1.
        columns: N values each that the reward takes, e.g. `context` or `answers`.
        batch_size: questions at a time.
        out: see `training.build_preference_pairs`.

    Raises:
        InvalidInput: an option is out of range, a column has another length than the questions, a question is empty, a score
            is not finite, no question gives a pair, or `out` holds another data set.
        ContextOverflow: a prompt of the chain does not fit the model's window.
    """
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
        "gap": gap,
        "longest_ratio": longest_ratio,
        "batch_size": batch_size,
    }
    pairing = _Pairing(questions, reward, columns, gap, longest_ratio, batch_size)

    def batch(number: int) -> dict[str, Any]:
        rows = pairing.rows(number)
        answers = chain.batch([questions[row] for row in rows])
        checks = [{"checks": [f"{check.question} {check.answer}".strip() for check in own.checks]} for own in answers]
        return pairing.batch(rows, [own.draft for own in answers], [own.text for own in answers], checks)

    return PairFolder(out, settings, pairing.inputs).build(pairing.batches, batch, "verifying drafts")


def pairs_from_constitution(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    principles: str | Path | Sequence[Principle] | None = None,
    *,
    reward: RewardFunction | None = None,
    gap: float = 0.1,
    longest_ratio: float = 2.0,
    columns: Mapping[str, Sequence[Any]] | None = None,
    temperature: float = 1.0,
    max_new_tokens: int = 128,
    batch_size: int = 16,
    seed: int = 0,
    out: str | Path | None = None,
) -> Dataset:
    """Pairs of a draft (rejected) and its revision after a critique (chosen; Constitutional AI, arXiv 2212.08073, sec. 3.1).

    The model answers, criticises its answer by a principle drawn for the prompt, and revises it. The columns `principle` and
    `critique` hold the name of the principle and what the model found.

    Args:
        lm: the model that is to be trained; it needs a chat template.
        prompts: N prompts; a string is one user turn.
        principles: a YAML file or a list; None takes training/constitution.yaml.
        reward: scores draft and revision; None scores revisions 1 and drafts 0, on the model's word alone.
        gap, longest_ratio, columns: see `pairs_from_verification`.
        temperature: of the drafts; critiques and revisions are greedy.
        max_new_tokens: of each of the three.
        batch_size: prompts at a time.
        seed: of the drafts and of the draw of principles.
        out: see `training.build_preference_pairs`.

    Raises:
        InvalidInput: as `pairs_from_verification`, or the principles cannot be used.
        ContextOverflow: prompt, draft and critique do not fit the model's window.
    """
    if not temperature > 0:
        raise InvalidInput(f"temperature is {temperature}; pass a number above 0")
    found = load_principles(principles) if principles is None or isinstance(principles, str | Path) else list(principles)
    if not found:
        raise InvalidInput("there are no principles; pass at least one, or None for those that come with the package")
    settings = {
        "method": "constitution",
        "model": lm.name,
        "reward": reward_name(reward),
        "principles": [principle.to_dict() for principle in found],
        "gap": gap,
        "longest_ratio": longest_ratio,
        "temperature": temperature,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "seed": seed,
    }
    pairing = _Pairing(prompts, reward, columns, gap, longest_ratio, batch_size)
    drawn = random.Random(seed).choices(found, k=len(prompts))

    def say(conversations: Sequence[Prompt], **sampling: Any) -> list[str]:
        return [own[0].text.strip() for own in lm.generate(conversations, max_new_tokens=max_new_tokens, **sampling)]

    def batch(number: int) -> dict[str, Any]:
        rows = pairing.rows(number)
        asked = [as_messages(prompts[row]) for row in rows]
        drafts = say(asked, temperature=temperature, seed=seed + number)
        # What there is nothing of cannot be criticised, and a template may refuse it.
        going = [i for i, draft in enumerate(drafts) if draft]
        revised, critiques = [""] * len(drafts), [""] * len(drafts)
        if going:
            talks = [[*asked[i], _said(drafts[i]), _request(drawn[rows[i]].critique)] for i in going]
            for i, critique in zip(going, say(talks), strict=True):
                critiques[i] = critique
            talks = [
                [*talk, _said(critiques[i] or "I found nothing."), _request(drawn[rows[i]].revision)]
                for talk, i in zip(talks, going, strict=True)
            ]
            for i, text in zip(going, say(talks), strict=True):
                revised[i] = _LABEL.sub("", text).strip()
        audits = [
            {"principle": drawn[row].name, "critique": critique} for row, critique in zip(rows, critiques, strict=True)
        ]
        return pairing.batch(rows, drafts, revised, audits)

    return PairFolder(out, settings, pairing.inputs).build(pairing.batches, batch, "revising drafts")


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _request(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


class _Pairing:
    """Drafts and revisions of prompts, to pairs where the revision is better."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        reward: RewardFunction | None,
        columns: Mapping[str, Sequence[Any]] | None,
        gap: float,
        longest_ratio: float,
        batch_size: int,
    ) -> None:
        if not gap > 0 or not longest_ratio >= 1 or batch_size < 1:
            raise InvalidInput(
                f"gap is {gap}, longest_ratio {longest_ratio}, batch_size {batch_size}; pass a gap above 0, a ratio and a "
                "batch of at least 1"
            )
        self.prompts, self.reward, self.columns = prompts, reward, dict(columns or {})
        check_lengths(self.columns, len(prompts))
        self.gap, self.longest_ratio, self.size = gap, longest_ratio, batch_size
        self.batches = -(-len(prompts) // batch_size)
        self.inputs = {"prompts": [as_messages(prompt) for prompt in prompts], "columns": self.columns}

    def rows(self, number: int) -> range:
        """The rows of a batch."""
        return range(number * self.size, min((number + 1) * self.size, len(self.prompts)))

    def batch(
        self, rows: Sequence[int], drafts: Sequence[str], revised: Sequence[str], audits: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The pairs of a batch, with the audit columns, and how many rows were left out for which reason."""
        changed = [i for i in range(len(rows)) if drafts[i] and revised[i] and not _same(drafts[i], revised[i])]
        alike = [i for i in changed if length_ratio(drafts[i], revised[i]) <= self.longest_ratio]
        scores = [1.0] * len(alike) + [0.0] * len(alike)
        if self.reward is not None and alike:
            owners = [rows[i] for i in alike] * 2
            scores = checked_scores(
                self.reward,
                [self.prompts[row] for row in owners],
                [revised[i] for i in alike] + [drafts[i] for i in alike],
                {name: [values[row] for row in owners] for name, values in self.columns.items()},
                rows=owners,
            )
        pairs = [
            {**pair_row(self.prompts[rows[i]], (revised[i], up), (drafts[i], down)), **audits[i]}
            for i, up, down in zip(alike, scores[: len(alike)], scores[len(alike) :], strict=True)
            if up - down >= self.gap
        ]
        return {
            "pairs": pairs,
            "unchanged_or_empty": len(rows) - len(changed),
            "of_unlike_length": len(changed) - len(alike),
            "reward_disagreed": len(alike) - len(pairs),
        }


def _same(one: str, other: str) -> bool:
    return normalize_answer(one) == normalize_answer(other)
