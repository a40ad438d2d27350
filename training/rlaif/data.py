"""The data that the model makes in an RLAIF run: answers, revisions, pairs of answers, and labels of preferences.

Each stage is a file of readable JSON lines (training/preferences/stage_file.py). Sources: Constitutional AI (arXiv
2212.08073, sections 3.1 and 4.1) and RLAIF (arXiv 2309.00267). Not covered: the training runs (run.py) and the report
(report.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.files import write_text
from halluc.grading.matching import normalize_answer
from retrieval.files import whole_characters
from training.preferences.ai_labels import draw_principles, label_preferences
from training.preferences.constitution import Principle
from training.preferences.pairing import length_ratio, pair_row
from training.preferences.revised import criticize_and_revise, replies
from training.preferences.stage_file import build_stage, json_lines
from training.rewards.completions import as_messages, completion_text
from training.rlaif.settings import RLAIFConfig
from training.trainers.soft_labels import PROBABILITY

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel, Prompt

__all__ = ["label_answers", "label_human_pairs", "make_revisions", "sample_answers", "write_examples", "write_pairs"]

Load = Callable[[], "LanguageModel"]
"""Loads a model on the first call; a stage that is complete does not call it."""

Rows = list[dict[str, Any]]


def make_revisions(config: RLAIFConfig, prompts: Sequence[Prompt], principles: Sequence[Principle], load: Load) -> Rows:
    """Answer each prompt (responses.jsonl), then criticize and revise the answer (revisions.jsonl).

    Returns:
        Rows with row, prompt (messages), response, rounds (principle, critique and revision each), and revision, the last
        text that is not empty.
    """
    out = Path(config.output_dir)
    conversations = [as_messages(prompt) for prompt in prompts]

    def respond(numbers: range) -> Rows:
        batch = [conversations[number] for number in numbers]
        texts = replies(load(), batch, config.max_new_tokens, temperature=config.temperature, seed=_seed(config, numbers))
        return [
            {"row": number, "prompt": prompt, "response": text}
            for number, prompt, text in zip(numbers, batch, texts, strict=True)
        ]

    responses = build_stage(out / "responses.jsonl", len(prompts), config.batch_size, respond, "answering")
    drawn = draw_principles(principles, len(prompts), count=min(config.revisions, len(principles)), seed=config.seed)

    def revise(numbers: range) -> Rows:
        rows = [{**responses[number], "rounds": []} for number in numbers]
        texts = [row["response"] for row in rows]
        for round_number in range(config.revisions):
            chosen = [drawn[number][round_number % len(drawn[number])] for number in numbers]
            critiques, revisions = criticize_and_revise(
                load(), [row["prompt"] for row in rows], texts, chosen, config.max_new_tokens
            )
            for row, principle, critique, revision in zip(rows, chosen, critiques, revisions, strict=True):
                row["rounds"].append({"principle": principle.name, "critique": critique, "revision": revision})
            texts = [revision or text for revision, text in zip(revisions, texts, strict=True)]
        return [{**row, "revision": text} for row, text in zip(rows, texts, strict=True)]

    return build_stage(out / "revisions.jsonl", len(prompts), config.batch_size, revise, "revising")


def write_examples(config: RLAIFConfig, revisions: Sequence[Mapping[str, Any]]) -> int:
    """Write the examples of the fine-tuning, examples.jsonl: prompts with revisions that are not empty.

    Returns:
        The number of examples.

    Raises:
        InvalidInput: all revisions are empty.
    """
    examples = [
        {"prompt": row["prompt"], "completion": [{"role": "assistant", "content": row["revision"]}]}
        for row in revisions
        if row["revision"].strip()
    ]
    if not examples:
        raise InvalidInput(f"{config.model} gave an empty answer to every prompt; check its chat template and the prompts")
    write_text(Path(config.output_dir) / "examples.jsonl", json_lines(examples))
    return len(examples)


def sample_answers(config: RLAIFConfig, prompts: Sequence[Prompt], load: Load) -> Rows:
    """Sample answers of the fine-tuned model (samples.jsonl).

    Returns:
        Rows with row, prompt (messages) and answers, two for each pair.
    """
    conversations = [as_messages(prompt) for prompt in prompts]

    def sample(numbers: range) -> Rows:
        sampled = load().generate(
            [conversations[number] for number in numbers],
            n=2 * config.pairs_per_prompt,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=_seed(config, numbers),
        )
        return [
            {
                "row": number,
                "prompt": conversations[number],
                "answers": [whole_characters(answer.text).strip() for answer in answers],
            }
            for number, answers in zip(numbers, sampled, strict=True)
        ]

    path = Path(config.output_dir) / "samples.jsonl"
    return build_stage(path, len(prompts), config.batch_size, sample, "sampling answers")


def label_answers(config: RLAIFConfig, samples: Rows, principles: Sequence[Principle], load: Load) -> Rows:
    """Label the pairs of answers under principles (labels.jsonl).

    Returns:
        Rows with row (of the prompt), prompt, first, second, probability (that the first is better) and votes.
    """
    pairs = [
        {"row": row["row"], "prompt": row["prompt"], "first": first, "second": second}
        for row in samples
        for first, second in zip(row["answers"][::2], row["answers"][1::2], strict=True)
    ]
    return _labeled(config, "labels", pairs, principles, load)


def label_human_pairs(config: RLAIFConfig, pairs: Rows, principles: Sequence[Principle], load: Load) -> Rows:
    """Label pairs that people labeled (human_labels.jsonl); the first answer is the one that they chose."""
    rows = [
        {
            "row": number,
            "prompt": as_messages(row["prompt"]),
            "first": completion_text(row["chosen"]),
            "second": completion_text(row["rejected"]),
        }
        for number, row in enumerate(pairs)
    ]
    return _labeled(config, "human_labels", rows, principles, load)


def write_pairs(config: RLAIFConfig, labels: Rows) -> dict[str, int]:
    """Write the preference pairs of labels that are sure enough, pairs.jsonl.

    The columns are those of `training.build_preference_pairs`, with probabilities as factuality, and `probability`.

    Returns:
        The number of pairs, and of labels that were left out for each reason.

    Raises:
        InvalidInput: no label gives a pair.
    """
    pairs: Rows = []
    counts = {"equal_or_empty": 0, "of_different_length": 0, "undecided": 0}
    for label in labels:
        first, second, probability = label["first"], label["second"], label["probability"]
        if not first or not second or normalize_answer(first) == normalize_answer(second):
            counts["equal_or_empty"] += 1
        elif length_ratio(first, second) > config.max_length_ratio:
            counts["of_different_length"] += 1
        elif abs(2 * probability - 1) < config.min_margin:
            counts["undecided"] += 1
        else:
            ranked = sorted([(first, probability), (second, 1 - probability)], key=lambda answer: -answer[1])
            pairs.append({**pair_row(label["prompt"], *ranked, row=label["row"]), PROBABILITY: ranked[0][1]})
    if not pairs:
        reasons = ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in counts.items())
        raise InvalidInput(
            f"no label gave a pair ({reasons}); lower min_margin, raise max_length_ratio or temperature, or add prompts"
        )
    write_text(Path(config.output_dir) / "pairs.jsonl", json_lines(pairs))
    return {"pairs": len(pairs), **counts}


def _labeled(config: RLAIFConfig, name: str, rows: Rows, principles: Sequence[Principle], load: Load) -> Rows:
    drawn = draw_principles(principles, len(rows), count=config.principles_per_label, seed=config.seed)

    def label(numbers: range) -> Rows:
        batch = [rows[number] for number in numbers]
        prompts, first, second = ([row[column] for row in batch] for column in ("prompt", "first", "second"))
        labels = label_preferences(load(), prompts, first, second, [drawn[number] for number in numbers])
        return [{**row, **label.to_dict()} for row, label in zip(batch, labels, strict=True)]

    path = Path(config.output_dir) / f"{name}.jsonl"
    return build_stage(path, len(rows), config.batch_size, label, "labeling")


def _seed(config: RLAIFConfig, numbers: range) -> int:
    """The seed of a batch, which does not depend on where a run was interrupted."""
    return config.seed + numbers.start // config.batch_size
