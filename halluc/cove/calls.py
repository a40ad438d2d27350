"""The model calls of chains of verification: prompts in, completions and their trace out, for many chains at once.

Not covered: the steps (chain.py) and the text of the prompts (prompts.py, templates/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from typing import TYPE_CHECKING

from halluc.cove.prompts import fill
from halluc.cove.trace import Call, Check, Step
from halluc.models.language_model import Generation, Prompt
from halluc.prompts import escape, passage_block

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel

__all__ = ["ChainState", "ModelCalls", "StepOutput"]


@dataclass
class ChainState:
    """One question's chain, so far.

    Attributes:
        question: what was asked.
        draft, final: the baseline answer and its revision; empty until there is one.
        stopped: why the chain ended early; empty while it runs.
        generation: the completion that is the answer.
        checks: the verification questions, with their answers once there are any.
        steps: the steps taken.
    """

    question: str
    draft: str = ""
    final: str = ""
    stopped: str = ""
    generation: Generation | None = None
    checks: list[Check] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def answer(self) -> str:
        """The revision, or the draft where there is none."""
        return self.final or self.draft


@dataclass(frozen=True)
class StepOutput:
    """What the model wrote for one chain in one step.

    Attributes:
        state: the chain.
        generations: one completion per prompt.
        calls: the same, as recorded in the trace.
    """

    state: ChainState
    generations: tuple[Generation, ...]
    calls: tuple[Call, ...]

    @property
    def text(self) -> str:
        """The text of the first completion."""
        return self.generations[0].text


class ModelCalls:
    """Fills prompts and runs them in batches.

    Args:
        lm: the model.
        templates: the prompts by name.
    """

    def __init__(self, lm: LanguageModel, templates: Mapping[str, Template]) -> None:
        self.lm = lm
        self._templates = templates
        self._special: tuple[str, ...] = getattr(lm, "special_tokens", ())
        self._exact = hasattr(lm, "tokenizer")
        self._template_tokens = lm.count_tokens(" ") - 1

    def prompt(self, name: str, **values: str) -> str:
        """Fill a template; the values must be safe (see `as_data`)."""
        return fill(self._templates[name], **values)

    def as_data(self, text: str) -> str:
        """Break control tokens up and drop blank lines, so that a text in a prompt cannot act as one."""
        return "\n".join(escape(line, self._special) for line in text.strip().splitlines() if line.strip())

    def passages(self, texts: Sequence[str]) -> str:
        """Write passages as the block that templates call `passages`; empty without passages."""
        return f"Passages:\n{passage_block(texts, self._special)}\n\n" if texts else ""

    def count_tokens(self, text: str) -> int:
        """Count the tokens that a text takes in a prompt."""
        return self.lm.count_tokens(escape(text, self._special) or " ") - self._template_tokens

    def run(
        self, states: Sequence[ChainState], prompts: Sequence[Sequence[Prompt]], max_new_tokens: int
    ) -> list[StepOutput]:
        """Complete the prompts of all chains in one batch; one output per chain."""
        flat = [prompt for of_chain in prompts for prompt in of_chain]
        completions = iter(self.lm.generate(flat, max_new_tokens=max_new_tokens) if flat else [])
        outputs = []
        for state, of_chain in zip(states, prompts, strict=True):
            generations = tuple(next(completions)[0] for _ in of_chain)
            outputs.append(StepOutput(state, generations, tuple(map(self._call, of_chain, generations))))
        return outputs

    def _call(self, prompt: Prompt, generation: Generation) -> Call:
        new_tokens = len(generation.token_ids) or len(generation.token_logprobs)
        counted = bool(new_tokens) or not generation.text
        if not counted:
            new_tokens = max(0, self.lm.count_tokens(generation.text) - self._template_tokens)
        return Call(prompt, generation.text, self.lm.count_tokens(prompt), new_tokens, self._exact and counted)
