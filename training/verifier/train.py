"""Train a verifier: a network that reads evidence and claim and gives the label of the pair and of each token of the claim.

It starts from the weights of a sentence encoder, or of an earlier run. The embeddings are frozen; the upper layers and the
two heads are trained, and only what changed is saved. A run saves checkpoints and resumes from the last one. Not covered:
the settings (config.py), the data (pairs.py), what the network reads (encoding.py), in which order (sampling.py) and learns
from (loss.py, distillation.py), calibration (thresholds.py), the files (halluc/verification/weights.py) and inference
(halluc/verification/pair_verifier.py).
"""

from __future__ import annotations

import json
import math
import random
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.files import read_json, write_json
from training.rows import check_output_folder
from training.verifier.config import VerifierConfig
from training.verifier.data_sets import read_pairs
from training.verifier.distillation import add_teacher
from training.verifier.encoding import PairCollator, encode
from training.verifier.loss import verifier_loss
from training.verifier.pairs import Pair
from training.verifier.sampling import EpochSampler
from training.verifier.thresholds import best_span_threshold, calibrate, calibrate_answers, calibration_pairs
from training.verifier.unlabeled import unlabeled_pairs

if TYPE_CHECKING:
    import torch

    from halluc.verification.pair_encoder import PairEncoder

__all__ = ["read_all_pairs", "train_verifier", "training_pairs"]

_RUN, _CHECKPOINTS = "run.json", "checkpoints"
_KIND, _VERSION = "verifier run", 1
# New heads learn faster than the encoder below them.
_HEAD_RATE = 2.0
# Names of parameters of words and positions, which are those of the base, and of the modules with attention weights.
_FROZEN = ("embeddings.", "relative_attention_bias")
_ATTENTION = ("attention.self.dropout", "attention.attn.dropout")


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
    pairs = read_all_pairs(config, Path(data))
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
        answer_calibrator=calibrate_answers(verifier, calibration),
        span_threshold=best_span_threshold(verifier, calibration),
        facts=facts,
        packed=config.packed,
    )
    shutil.rmtree(out / _CHECKPOINTS, ignore_errors=True)
    (out / _RUN).unlink()
    return facts


def read_all_pairs(config: VerifierConfig, data: Path) -> list[Pair]:
    """Read the pairs of the first seed, and those of the training part that the other seeds add, without duplicates."""
    pairs = read_pairs(data, config.sources, seed=config.seed)
    known = {(pair.evidence, pair.claim) for pair in pairs}
    for seed in range(config.seed + 1, config.seed + config.claim_seeds):
        for pair in read_pairs(data, config.sources, seed=seed):
            if pair.part == "train" and (pair.evidence, pair.claim) not in known:
                known.add((pair.evidence, pair.claim))
                pairs.append(pair)
    return pairs


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

    from halluc.verification import load_verifier

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
    excerpts = random.Random(config.seed).choices(config.excerpts or [config.max_tokens], k=len(train))
    rows = encode(train, tokenizer, excerpts)
    sampler = EpochSampler(
        [len(row["input_ids"]) for row in rows],
        [config.repeats_of(pair) for pair in train],
        config.batch_size,
        config.seed,
    )
    if config.teacher is not None:
        add_teacher(rows, train, excerpts, [config.teacher_share_of(pair) for pair in train], load_verifier(config.teacher))
    trainer = _trainer(config, trained, rows, sampler, tokenizer, out, run)
    checkpoints = out / _CHECKPOINTS
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    if config.lora_rank:
        model = trained.merge_and_unload()
    return model.eval(), tokenizer


def _initial(config: VerifierConfig) -> tuple[PairEncoder, Any]:
    import torch

    from halluc.verification.verifier import reading_window, room_for_claims
    from halluc.verification.weights import new_pair_encoder, read_weights

    if config.start is not None:
        start = read_weights(Path(config.start))
        model, tokenizer = start.model, start.tokenizer
    else:
        model, tokenizer = new_pair_encoder(config.base)
    tokenizer.split_special_tokens = True
    # Refuses excerpts that are too long before hours of training, not after them.
    room_for_claims(
        tokenizer, reading_window(model, tokenizer), max(config.max_tokens, *config.excerpts, 1), config.base or "MiniLM"
    )
    for name, parameter in model.encoder.named_parameters():
        parameter.requires_grad_(not any(part in name for part in _FROZEN))
    if config.frozen_layers >= len(model.layers):
        raise InvalidInput(
            f"frozen_layers is {config.frozen_layers}, but the encoder has {len(model.layers)} layers; leave some to train"
        )
    for layer in model.layers[: config.frozen_layers]:
        layer.requires_grad_(False)
    for name, module in model.named_modules():
        # On a CPU dropout takes half of the time; of attention it would also prevent the fast kernels of GPUs.
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0 if name.endswith(_ATTENTION) else config.dropout
    return model, tokenizer


def _trainer(
    config: VerifierConfig,
    model: Any,
    rows: Sequence[dict[str, Any]],
    sampler: EpochSampler,
    tokenizer: Any,
    out: Path,
    run: dict[str, Any],
) -> Any:
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    steps = math.ceil(len(sampler) * config.epochs / config.batch_size)
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
            return verifier_loss(model, inputs, config.span_share)

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return sampler

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
