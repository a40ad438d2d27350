"""What is attacked: a model or an endpoint with a defense, or a grounded model with an index.

A conversation that the model's context window cannot hold ends with an empty reply, marked `too_long`: that attack fails,
and the others go on. Not covered: the attacks (one file per family) and the defenses (defenses.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from halluc.errors import InvalidInput
from halluc.evaluation.context_limits import TooLong, compute_those_that_fit
from halluc.grounding.answerability import DEFAULT_THRESHOLD
from halluc.models.weights_digest import weights_digest
from halluc.redteam.attack import Attack
from halluc.redteam.defenses import FILTERS, Defense, ShownPassages, show_passages
from halluc.verification.verifier import verifier_settings

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from halluc.redteam.passage_filters import PassageFilter
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = ["ChatTarget", "GroundedTarget", "Target", "Transcript"]

Transcript = list[dict[str, str]]

_TOO_LONG = {"role": "assistant", "content": "", "too_long": "longer than the context window of the model"}


class Target(Protocol):
    """Something that replies to attacks."""

    @property
    def name(self) -> str:
        """What results call the target."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the replies depend on besides the attacks, as plain JSON values, for a cache."""

    def run(self, attacks: Sequence[Attack]) -> list[Transcript]:
        """Carry out (N,) attacks; return (N,) conversations that end with the target's reply."""


class ChatTarget:
    """A model or endpoint that is shown passages, if there are any, in the way of a defense.

    Args:
        lm: the model; `halluc serve` and other servers are reached as http://host:port/v1#model.
        defense: how passages are shown.
        verifier: judges answers if the defense is "support".
        passage_filter: filters passages if the defense is "perplexity" or "canary".
        max_new_tokens: longest reply.
        min_support: "support" withholds an answer with a claim below this, in [0, 1].

    Raises:
        InvalidInput: the defense is "support" and there is no verifier, or it is a filter and there is none.
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        defense: Defense = "none",
        verifier: Verifier | None = None,
        passage_filter: PassageFilter | None = None,
        max_new_tokens: int = 128,
        min_support: float = 0.5,
    ) -> None:
        if defense == "support" and verifier is None:
            raise InvalidInput("the defense support judges answers by the passages; pass a verifier")
        if (defense in FILTERS) != (passage_filter is not None):
            raise InvalidInput(f"the defenses {' and '.join(FILTERS)}, and no other, need a filter of passages; pass one")
        self.lm, self.defense, self.verifier, self.passage_filter = lm, defense, verifier, passage_filter
        self.max_new_tokens, self.min_support = max_new_tokens, min_support
        self.name = lm.name

    @property
    def settings(self) -> dict[str, Any]:
        """Model, defense and what it judges by."""
        settings = {**_model_settings(self.lm, self.max_new_tokens), "defense": self.defense}
        if self.passage_filter is not None:
            settings |= self.passage_filter.settings
        return settings | _support_settings(self.verifier, self.min_support if self.defense == "support" else 0.0)

    def run(self, attacks: Sequence[Attack]) -> list[Transcript]:
        """Carry out attacks; turn i of all attacks that have one is one call of the model."""
        attacks = self._filtered(attacks)
        transcripts = [self._system(attack) for attack in attacks]
        for turn in range(max((len(attack.turns) for attack in attacks), default=0)):
            active = [i for i, attack in enumerate(attacks) if turn < len(attack.turns) and _TOO_LONG not in transcripts[i]]
            for i in active:
                transcripts[i].append({"role": "user", "content": self._user(attacks[i], turn)})
            replies = compute_those_that_fit(self._generate, [transcripts[i] for i in active])
            for i, reply in zip(active, replies, strict=True):
                transcripts[i].append(_TOO_LONG if isinstance(reply, TooLong) else {"role": "assistant", "content": reply})
        if self.defense == "support":
            self._withhold_unsupported(attacks, transcripts)
        return transcripts

    def _generate(self, conversations: Sequence[Transcript]) -> list[str]:
        replies = self.lm.generate(conversations, max_new_tokens=self.max_new_tokens)
        return [completions[0].text.strip() for completions in replies]

    def _filtered(self, attacks: Sequence[Attack]) -> list[Attack]:
        """The attacks with what the filter leaves of their passages."""
        if self.passage_filter is None:
            return list(attacks)
        kept = iter(self.passage_filter.apply([passage for attack in attacks for passage in attack.passages]))
        return [
            replace(attack, passages=tuple(p for p in [next(kept) for _ in attack.passages] if p is not None))
            for attack in attacks
        ]

    def _system(self, attack: Attack) -> Transcript:
        shown = self._shown(attack).system if attack.passages else ""
        text = " ".join(filter(None, [attack.system, shown]))
        return [{"role": "system", "content": text}] if text else []

    def _user(self, attack: Attack, turn: int) -> str:
        # Passages come with the first turn.
        if turn or not attack.passages:
            return attack.turns[turn]
        shown = self._shown(attack)
        return "\n\n".join(filter(None, [shown.text, shown.reminder, f"Question: {attack.turns[turn]}"]))

    def _shown(self, attack: Attack) -> ShownPassages:
        special = getattr(self.lm, "special_tokens", ())
        return show_passages(self.defense, attack.passages, special_tokens=special)

    def _withhold_unsupported(self, attacks: Sequence[Attack], transcripts: Sequence[Transcript]) -> None:
        from halluc.verification.check import check_many
        from halluc.verification.judge import answer_support

        rows = [i for i, attack in enumerate(attacks) if attack.passages and transcripts[i][-1]["content"]]
        if not rows:
            return
        reports = check_many(
            [transcripts[i][-1]["content"] for i in rows],
            contexts=[[passage.text for passage in attacks[i].passages] for i in rows],
            questions=[attacks[i].turns[-1] for i in rows],
            verifier=self.verifier,
        )
        for i, report in zip(rows, reports, strict=True):
            if answer_support(report.verdicts) < self.min_support:
                transcripts[i][-1] = {"role": "assistant", "content": "", "withheld": report.answer}


class GroundedTarget:
    """A grounded model. Attacks with passages are run on an index of those passages; others on the given index.

    An application has many passages, so those of all attacks of one technique are indexed together, and each question
    retrieves among them.

    Args:
        lm: the model.
        index: answers attacks without passages.
        verifier: judges answers if `min_support` is above 0.
        min_support: withholds an answer with a claim below this, in [0, 1].
        min_answerability: abstains if the probability that the passages answer the question is below this, in [0, 1]; 0
            to attack the model's reading alone.
        max_new_tokens: longest reply.
    """

    def __init__(
        self,
        lm: LanguageModel,
        index: PassageStore,
        *,
        verifier: Verifier | None = None,
        min_support: float = 0.0,
        min_answerability: float = DEFAULT_THRESHOLD,
        max_new_tokens: int = 128,
    ) -> None:
        self.lm, self.index, self.verifier = lm, index, verifier
        self.min_support, self.min_answerability, self.max_new_tokens = min_support, min_answerability, max_new_tokens
        self.name = f"grounded {lm.name}"

    @property
    def settings(self) -> dict[str, Any]:
        """Model, index and what withholds answers."""
        settings = {**_model_settings(self.lm, self.max_new_tokens), "index": self.index.content_hash}
        settings["min_answerability"] = self.min_answerability
        return settings | _support_settings(self.verifier, self.min_support)

    def run(self, attacks: Sequence[Attack]) -> list[Transcript]:
        """Ask the last turn of each attack, since a grounded model answers single questions."""
        transcripts: list[Transcript] = [[] for _ in attacks]
        rows_of: dict[str, list[int]] = {}
        for i, attack in enumerate(attacks):
            rows_of.setdefault(attack.technique if attack.passages else "", []).append(i)
        for technique, rows in rows_of.items():
            questions = [attacks[i].turns[-1] for i in rows]
            if technique:
                with _hostile_index([attacks[i] for i in rows]) as index:
                    answers = self._ask(index, questions)
            else:
                answers = self._ask(self.index, questions)
            for i, question, answer in zip(rows, questions, answers, strict=True):
                reply = _TOO_LONG if isinstance(answer, TooLong) else {"role": "assistant", "content": answer}
                transcripts[i] = [{"role": "user", "content": question}, reply]
        return transcripts

    def _ask(self, index: PassageStore, questions: Sequence[str]) -> list[str | TooLong]:
        from halluc.grounding.grounded_model import GroundedModel

        model = GroundedModel(
            self.lm,
            index,
            verifier=self.verifier,
            min_support=self.min_support,
            min_answerability=self.min_answerability,
            max_new_tokens=self.max_new_tokens,
        )
        return compute_those_that_fit(lambda batch: [answer.text for answer in model.batch(batch)], questions)


def _model_settings(lm: LanguageModel, max_new_tokens: int) -> dict[str, Any]:
    return {"model": lm.name, "weights": weights_digest(lm), "max_new_tokens": max_new_tokens}


def _support_settings(verifier: Verifier | None, min_support: float) -> dict[str, Any]:
    if verifier is None or not min_support:
        return {}
    return {**verifier_settings(verifier), "min_support": min_support}


@contextmanager
def _hostile_index(attacks: Sequence[Attack]) -> Iterator[PassageStore]:
    from retrieval import Passage, PassageIndex

    passages = [
        Passage(f"{i}-{j}", passage.text, passage.title or None, source=passage.source or None)
        for i, attack in enumerate(attacks)
        for j, passage in enumerate(attack.passages)
    ]
    with tempfile.TemporaryDirectory() as folder:
        index = PassageIndex.create(Path(folder) / "hostile.index")
        index.add(passages)
        yield index
