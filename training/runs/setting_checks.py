"""Settings that TRL and transformers accept and then fail on, or train nothing with: refused before a model is loaded.

Not covered: settings that a kind of run adds (its `check`), and types (config.py).
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

from halluc.errors import InvalidInput

__all__ = ["check_settings"]

_COUNTS = ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps")
# The losses of TRL's trainers that find out at their first step.
_LOSSES = {
    "DPOConfig": (
        "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
        "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
    ),
    "KTOConfig": ("kto", "apo_zero_unpaired"),
    "GRPOConfig": ("grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"),
}  # fmt: skip
# Least and largest value, and whether these two are allowed; None for no limit.
_RANGES = {
    "learning_rate": (0, None, True), "weight_decay": (0, None, True), "max_grad_norm": (0, None, True),
    "adam_beta1": (0, 1, False), "adam_beta2": (0, 1, False), "adam_epsilon": (0, None, True),
    "warmup_steps": (0, None, True), "save_total_limit": (1, None, True), "save_steps": (0, None, False),
    "seed": (0, 2**32 - 1, True), "max_length": (1, None, True), "label_smoothing": (0, 0.5, True),
    "temperature": (0, None, False), "top_p": (0, 1, True), "kl_coefficient": (0, None, True),
    "desirable_weight": (0, None, True), "undesirable_weight": (0, None, True),
}  # fmt: skip
# Losses in which β is a factor or a divisor without which nothing is learned.
_NEED_BETA = ("DPOConfig", "KTOConfig", "ORPOConfig")


def check_settings(config: Any) -> None:
    """Check settings of a trainer.

    Args:
        config: a dataclass that inherits from the configuration of a trainer.

    Raises:
        InvalidInput: a number is out of range, a loss is unknown, or a library that a setting needs is not installed.
    """
    for name in _COUNTS:
        if getattr(config, name) < 1:
            raise InvalidInput(f"{name} is {getattr(config, name)}; pass at least 1")
    for name, (low, high, closed) in _RANGES.items():
        _check_range(name, getattr(config, name, None), low, high, closed)
    if not str(config.output_dir).strip():
        raise InvalidInput("output_dir is empty; name a folder")
    if config.resume_from_checkpoint:
        raise InvalidInput(
            f"resume_from_checkpoint is {config.resume_from_checkpoint!r}, but a run resumes the last checkpoint of its "
            "output_dir by itself; leave it out"
        )
    if config.max_steps == 0 or config.max_steps < -1:
        raise InvalidInput(f"max_steps is {config.max_steps}; pass at least 1, or -1 for whole epochs")
    if config.max_steps < 0 and not config.num_train_epochs > 0:
        raise InvalidInput(f"num_train_epochs is {config.num_train_epochs}, which trains nothing; pass a number above 0")
    bases = {base.__name__ for base in type(config).__mro__}
    _check_beta(config, bases)
    _check_losses(config, bases)
    _check_libraries(config)


def _check_range(name: str, value: Any, low: float, high: float | None, closed: bool) -> None:
    # Some settings may also be words, such as a temperature of "auto".
    if value is None or isinstance(value, (str, bool)):
        return
    if (
        not math.isfinite(value)
        or value < low
        or (high is not None and value > high)
        or (not closed and value in (low, high))
    ):
        if high is None:
            limits = f"{low} or more" if closed else f"a number above {low}"
        else:
            limits = f"a number from {low} to {high}" if closed else f"a number above {low} and below {high}"
        raise InvalidInput(f"{name} is {value}; pass {limits}")


def _check_beta(config: Any, bases: set[str]) -> None:
    beta = getattr(config, "beta", None)
    if beta is None:
        return
    if bases & set(_NEED_BETA):
        if not (math.isfinite(beta) and beta > 0):
            raise InvalidInput(f"beta is {beta}; pass a number above 0")
    elif not (math.isfinite(beta) and beta >= 0):
        raise InvalidInput(f"beta is {beta}; pass 0 or more")


def _check_losses(config: Any, bases: set[str]) -> None:
    for base, known in _LOSSES.items():
        if base not in bases:
            continue
        losses = config.loss_type if isinstance(config.loss_type, list) else [config.loss_type]
        for loss in losses:
            if loss not in known:
                raise InvalidInput(f"loss_type is {loss!r}; choose from {', '.join(known)}")


def _check_libraries(config: Any) -> None:
    from transformers.integrations import integration_utils
    from transformers.utils.import_utils import is_liger_kernel_available

    reports = config.report_to if isinstance(config.report_to, list) else [config.report_to]
    for name in reports:
        available = getattr(integration_utils, f"is_{name}_available", None)
        if available is not None and not available():
            raise InvalidInput(f"report_to is {name!r}, which is not installed; install {name}, or set report_to to none")
    if config.use_liger_kernel and not is_liger_kernel_available():
        raise InvalidInput("use_liger_kernel is true, and liger-kernel is not installed; install it, or set it to false")
    if getattr(config, "use_vllm", False) and find_spec("vllm") is None:
        raise InvalidInput("use_vllm is true, and vllm is not installed; install trl[vllm], or set it to false")
