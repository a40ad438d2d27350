"""A run of KTO on completions labeled desirable or not by their factuality (arXiv 2402.01306), as a whole or by sentence.

Not covered: how factuality is scored (training/rewards), and the trainer (training/trainers/kto.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trl import KTOConfig  # type: ignore[attr-defined]

from halluc.errors import InvalidInput, check_number
from training.evaluation.of_a_run import EvaluationSettings
from training.rewards.completions import completion_text
from training.rewards.credit import located_sentences
from training.rewards.evidence import check_evidence
from training.runs.formats import read_training_rows
from training.runs.model import load_trainable, model_options, token_limit
from training.runs.row_checks import (
    check_columns,
    check_example_lengths,
    check_examples,
    check_pair_lengths,
    check_pairs,
    check_score,
    fit_conversations,
)
from training.runs.run import RunSettings, build_trainer, check_run, train_and_save, write_facts
from training.trainers.kto import SENTENCES, SentenceKTOTrainer

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["KTORun", "label_by_factuality", "run_kto"]

_EVIDENCE = ("context", "references", "question")


@dataclass
class KTORun(EvaluationSettings, RunSettings, KTOConfig):
    """Settings of a KTO run: TRL's `KTOConfig`, `EvaluationSettings`, `RunSettings`, and these.

    Attributes:
        examples: folder or JSON-lines file of preference pairs, or of completions with a label or a factuality
            (`label_by_factuality`).
        eval_examples: the same to evaluate on; None for none.
        factuality_threshold: least factuality of a desirable completion; None uses the label, or chosen and rejected.
        sentence_weight: weight, at least 0, of the loss of single sentences (`SentenceKTOTrainer`): supported ones are
            desirable and contradicted ones are not, whatever the label of their completion. Above 0 the examples need
            `context` or `references`, or completions with a column `sentences`: a list of {text, start, credit} with credit
            1 (supported), −1 (contradicted) or 0.
        sentence_verifier: judges the sentences of examples without that column, as `halluc.load_verifier` names it.
        learning_rate: TRL's default, 1e-6, is for training all weights; adapters need more.
    """

    examples: str = ""
    eval_examples: str | None = None
    factuality_threshold: float | None = None
    sentence_weight: float = 0.0
    sentence_verifier: str = "default"
    learning_rate: float = 5e-5

    def check(self) -> None:
        """Check that examples are named.

        Raises:
            InvalidInput: examples is not set, or sentence_weight cannot be used.
        """
        if not self.examples:
            raise InvalidInput("examples is not set; name a folder or file of preference pairs or labeled completions")
        check_number("sentence_weight", self.sentence_weight, 0)
        if self.sentence_weight and self.precompute_ref_log_probs:
            raise InvalidInput("sentence_weight is set, and precompute_ref_log_probs too; set one of them")


def run_kto(config: KTORun) -> dict[str, Any]:
    """Check and label the completions, train, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        The number of completions and of desirable ones, with a sentence_weight those of sentences, and the facts of
        `train_and_save`; written to run.json beside the model.

    Raises:
        InvalidInput: the rows cannot be trained on (the row is named), a setting cannot be used, or a loss is not finite.
        ModelUnavailable: the model cannot be loaded.
    """
    check_run(config)
    data_sets = [read_training_rows(path) for path in (config.examples, config.eval_examples) if path]
    for rows in data_sets:
        _labeled(rows, config)
        if config.sentence_weight:
            _check_sentences(rows)
    tokenizer, model = load_trainable(config.model, out=config.output_dir, **model_options(config))
    data_sets = [fit_conversations(rows, tokenizer) for rows in data_sets]
    for rows in data_sets:
        # The rows of the file, not of the shuffled result, so that messages name its rows.
        check_lengths = check_pair_lengths if "chosen" in rows.column_names else check_example_lengths
        check_lengths(rows, tokenizer, token_limit(model, config.max_length))
    labeled_sets = [_labeled(rows, config) for rows in data_sets]
    if config.sentence_weight:
        labeled_sets = [
            _with_sentences(labeled, rows, config) for labeled, rows in zip(labeled_sets, data_sets, strict=True)
        ]
    examples, eval_examples = (*labeled_sets, None)[:2]
    trainer = build_trainer(
        SentenceKTOTrainer,
        config,
        model=model,
        train_dataset=examples,
        eval_dataset=eval_examples,
        processing_class=tokenizer,
        sentence_weight=config.sentence_weight,
        locate=located_sentences,
    )
    # KTO's examples are shuffled, and pairs give two.
    trainer.rows_of_examples = examples["row"][:]
    counts = {"completions": len(examples), "desirable": sum(examples["label"])}
    if config.sentence_weight:
        credits = [span["credit"] for spans in examples[SENTENCES] for span in spans]
        counts |= {"supported_sentences": credits.count(1), "contradicted_sentences": credits.count(-1)}
    return write_facts(trainer, {**counts, **train_and_save(trainer, resume=config.resume)})


def _labeled(rows: Dataset, config: KTORun) -> Dataset:
    if {"chosen", "rejected"} & set(rows.column_names):
        check_pairs(rows, factuality=config.factuality_threshold is not None)
    labeled = label_by_factuality(rows, threshold=config.factuality_threshold, seed=config.seed)
    if "completion" in rows.column_names:
        check_examples(rows)
    return labeled


def _check_sentences(rows: Dataset) -> None:
    """Check that the sentences of each completion are labeled, or can be."""
    if SENTENCES not in rows.column_names:
        if not {"context", "references"} & set(rows.column_names):
            raise InvalidInput(
                f"sentence_weight is set, and the examples have no column 'context', 'references' or {SENTENCES!r}; add one"
            )
        check_evidence(rows, indexed=False)
        return
    if "completion" not in rows.column_names:
        raise InvalidInput(f"preference pairs have a column {SENTENCES!r}; give each completion a row of its own")
    for number, row in enumerate(rows):
        text = completion_text(row["completion"])
        for span in row[SENTENCES]:
            if span.get("credit") not in (-1, 0, 1):
                raise InvalidInput(
                    f"a sentence of row {number} has the credit {span.get('credit')!r}; write 1 (supported), -1 "
                    "(contradicted) or 0"
                )
            if not isinstance(span.get("text"), str) or span["text"] not in text or not isinstance(span.get("start"), int):
                raise InvalidInput(
                    f"the sentence {str(span.get('text'))[:60]!r} is not in the completion of row {number}; write its text "
                    "as it is there, and start, its place"
                )


def _with_sentences(labeled: Dataset, rows: Dataset, config: KTORun) -> Dataset:
    """Add the column `sentences`: that of the rows, or the verdicts of the verifier."""
    from halluc.verification import load_verifier
    from training.rewards.factuality import FactualityReward

    numbers = labeled["row"][:]
    if SENTENCES in rows.column_names:
        sentences = [rows[number][SENTENCES] for number in numbers]
    else:
        reward = FactualityReward(load_verifier(config.sentence_verifier))
        columns: dict[str, Any] = {
            name: [rows[number][name] for number in numbers] for name in _EVIDENCE if name in rows.column_names
        }
        reward(prompts=labeled["prompt"][:], completions=labeled["completion"][:], row=numbers, **columns)
        sentences = [[asdict(span) for span in spans] for spans in reward.credits]
    return labeled.add_column(SENTENCES, sentences)


def label_by_factuality(rows: Dataset, *, threshold: float | None = None, seed: int = 0) -> Dataset:
    """Label single completions as desirable or not: TRL's unpaired preference format.

    The order of the result is random. TRL's KTO takes rows in order and estimates the KL of a batch from its completions on
    each other's prompts, which must be unrelated.

    Args:
        rows: preference pairs (prompt, chosen, rejected), which give two completions each; or completions (prompt,
            completion) with a label or a factuality.
        threshold: least factuality of a desirable completion, if there is a factuality (for pairs, chosen_factuality and
            rejected_factuality). None uses the label, or chosen as desirable and rejected as undesirable.
        seed: of the order.

    Returns:
        Rows with prompt, completion, label (true for a desirable completion) and the number of the row they come from.

    Raises:
        InvalidInput: there is no row, a column is missing, a label or factuality cannot be used (the row is named), or all
            completions get the same label.
    """
    from datasets import Dataset

    paired = bool({"chosen", "rejected"} & set(rows.column_names))
    sides = ("chosen", "rejected") if paired else ("completion",)
    scores = [f"{side}_factuality" if paired else "factuality" for side in sides]
    needed = scores if threshold is not None else [] if paired else ["label"]
    kind = "preference pairs" if paired else "completions"
    if needed == ["label"] and "label" not in rows.column_names and "factuality" in rows.column_names:
        raise InvalidInput(f"the data set of {kind} has a factuality and no label; set factuality_threshold")
    check_columns(rows, ("prompt", *sides, *needed), kind)
    labeled = [
        {
            "prompt": row["prompt"],
            "completion": row[side],
            "label": _label(row, number, side, score, threshold),
            "row": number,
        }
        for number, row in enumerate(rows)
        for side, score in zip(sides, scores, strict=True)
    ]
    if len({row["label"] for row in labeled}) == 1:
        label = "desirable" if labeled[0]["label"] else "undesirable"
        raise InvalidInput(f"all {len(labeled)} completions are {label}; change factuality_threshold, or add others")
    return Dataset.from_list(labeled).shuffle(seed=seed).flatten_indices()


def _label(row: dict[str, Any], number: int, side: str, score: str, threshold: float | None) -> bool:
    if threshold is not None:
        check_score(number, score, row[score])
        return bool(row[score] >= threshold)
    label = row["label"] if side == "completion" else side == "chosen"
    if label not in (True, False):
        raise InvalidInput(f"the label of row {number} is {label!r}; write true or false")
    return bool(label)
