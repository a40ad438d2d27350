"""PPO for language models with reward functions of TRL's signature (arXiv 1707.06347, 2203.02155).

One iteration samples a completion for each prompt of a batch, scores it, and then takes several passes of minibatches over
the batch. The policy has a value head on its last hidden states; the reference is the policy before training: the model
without its adapter, or a frozen copy. transformers' `Trainer` provides optimizer, schedule, logs, checkpoints and processes.
Not covered: the formulas (ppo_objective.py) and the rewards (training/rewards).
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, Trainer, TrainingArguments
from trl.trainer.utils import RepeatSampler

from halluc.errors import InvalidInput
from halluc.models.causal_network import end_tokens, padding_token
from training.trainers.ppo_objective import (
    adapted_kl_coefficient,
    explained_variance,
    generalized_advantages,
    masked_mean,
    policy_loss,
    token_rewards,
    value_loss,
    whitened,
)

__all__ = ["PPOConfig", "PPOTrainer", "PolicyWithValue"]

_VALUE_HEAD, _EXPERIENCE = "value_head.safetensors", "experience.safetensors"


@dataclass
class PPOConfig(TrainingArguments):
    """Settings of `PPOTrainer`, in addition to `TrainingArguments`.

    Attributes:
        per_device_train_batch_size: prompts per iteration and process.
        num_mini_batches: parts that a batch is trained on one by one; each is one optimizer step.
        num_ppo_epochs: passes over the batch.
        max_completion_length: longest completion, in tokens.
        temperature: of sampling, above 0; the objective uses the probabilities at this temperature.
        top_p: of sampling, in (0, 1].
        kl_coefficient: β, weight of the KL to the reference; the initial one if a target is set.
        kl_target: KL in nats per completion near which β is adapted; None for a fixed β.
        kl_rate: how fast β adapts, at least 0.
        clip_range, value_clip_range: ε of the policy's ratio and of the value, above 0.
        value_weight: weight of the value loss.
        gamma, lam: of the generalized advantage estimates, in [0, 1].
        missing_eos_penalty: subtracted from the score of a completion that was cut at max_completion_length.
    """

    per_device_train_batch_size: int = 16
    num_mini_batches: int = 4
    num_ppo_epochs: int = 2
    max_completion_length: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    kl_coefficient: float = 0.05
    kl_target: float | None = None
    kl_rate: float = 0.1
    clip_range: float = 0.2
    value_clip_range: float = 0.2
    value_weight: float = 0.1
    gamma: float = 1.0
    lam: float = 0.95
    missing_eos_penalty: float = 0.0
    remove_unused_columns: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_mini_batches", "num_ppo_epochs", "max_completion_length", "temperature", "clip_range"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} is {getattr(self, name)}; pass a number above 0")
        for name in ("gamma", "lam", "top_p"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}; pass a number from 0 to 1")
        if self.kl_target is not None and not self.kl_target > 0:
            raise InvalidInput(f"kl_target is {self.kl_target}; pass a KL above 0, in nats per completion, or null")
        if self.per_device_train_batch_size % self.num_mini_batches:
            raise InvalidInput(
                f"per_device_train_batch_size is {self.per_device_train_batch_size}, which num_mini_batches "
                f"{self.num_mini_batches} does not divide; change one of them"
            )
        if self.gradient_accumulation_steps != 1:
            raise InvalidInput(
                f"gradient_accumulation_steps is {self.gradient_accumulation_steps}; set num_mini_batches instead, which "
                "already splits a batch"
            )


class PolicyWithValue(nn.Module):
    """A causal language model and a linear value head on its last hidden states.

    Args:
        policy: the language model; its dropout is turned off, so that the ratio of probabilities is 1 before the first step.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy
        self.config = policy.config
        self.value_head = nn.Linear(policy.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        for module in policy.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    def activation_checkpointing_enable(self, *args: Any, **kwargs: Any) -> None:
        """Recompute activations of the policy in the backward pass, to save memory."""
        self.policy.enable_input_require_grads()
        self.policy.activation_checkpointing_enable(*args, **kwargs)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, n_completion: int, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute log-probabilities, values and entropies at the last `n_completion` tokens.

        Args:
            input_ids: (B, P + T) prompts, padded on the left, and completions.
            attention_mask: (B, P + T).
            n_completion: T.
            temperature: by which logits are divided.

        Returns:
            (B, T) log-probabilities of the tokens, (B, T) values of the states before them, and (B, T) entropies in nats.
        """
        output = self.policy(
            input_ids=input_ids,
            output_hidden_states=True,
            logits_to_keep=n_completion + 1,
            use_cache=False,
            **_places(self.policy, attention_mask),
        )
        logprobs, entropies = _token_logprobs(output.logits[:, :-1] / temperature, input_ids[:, -n_completion:])
        before = output.hidden_states[-1][:, -n_completion - 1 : -1]
        values = self.value_head(before.to(self.value_head.weight.dtype)).squeeze(-1)
        return logprobs, values.float(), entropies


def _places(policy: Any, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """The mask, and the positions of the tokens: without them, padding on the left shifts those of absolute positions."""
    model = policy.get_base_model() if hasattr(policy, "get_base_model") else policy
    if "position_ids" not in signature(model.forward).parameters:
        return {"attention_mask": attention_mask}
    positions = (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)
    return {"attention_mask": attention_mask, "position_ids": positions}


def _token_logprobs(logits: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.float()
    normalizer = torch.logsumexp(logits, dim=-1)
    logprobs = logits.gather(-1, tokens[..., None]).squeeze(-1) - normalizer
    with torch.no_grad():
        entropies = normalizer - (torch.softmax(logits, dim=-1) * logits).sum(-1)
    return logprobs, entropies


def _rows(rows: Any) -> Any:
    """The collator: the rows as they are, for the prompts are tokenized where they are sampled from."""
    return rows


@dataclass(frozen=True)
class _Experience:
    """What an iteration trains on: (B, P + T) input_ids and attention_mask, and (B, T) tensors over the completions."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    mask: torch.Tensor
    logprobs: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor

    def rows(self, numbers: torch.Tensor) -> _Experience:
        return _Experience(*(getattr(self, field.name)[numbers] for field in fields(self)))

    def tensors(self) -> dict[str, torch.Tensor]:
        return {field.name: getattr(self, field.name).contiguous() for field in fields(self)}


class PPOTrainer(Trainer):
    """Trains a causal language model by PPO.

    Logs `reward`, `kl` (to the reference, in nats per completion), `kl_coefficient`, `entropy`, `policy_loss`, `value_loss`,
    `clip_fraction`, `ratio`, `explained_variance` and `completion_length`, and what the rewards log. A checkpoint holds the
    completions that are being trained on, so that a run resumes within an iteration.

    Args:
        model: the language model.
        reward_funcs: one or more functions of TRL's signature; their rewards are added, None counts as 0.
        args: the settings.
        train_dataset: rows with `prompt`, texts or conversations, and the columns that the rewards need.
        processing_class: the tokenizer.
        peft_config: adapter to train; None trains all weights, and keeps a copy of them as the reference.
        credit: changes advantages of tokens after whitening, given tokenizer, (B, T) tokens, mask and advantages; such as
            `FactualityReward.credited`. None changes nothing.
        callbacks: of transformers.

    Raises:
        InvalidInput: the data set has fewer rows than an iteration needs, or the tokenizer has no end token.
    """

    def __init__(
        self,
        model: Any,
        reward_funcs: Callable[..., Any] | Sequence[Callable[..., Any]],
        args: PPOConfig,
        train_dataset: Any,
        processing_class: Any,
        *,
        peft_config: Any = None,
        credit: Callable[..., torch.Tensor] | None = None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        needed = args.per_device_train_batch_size * args.world_size
        if len(train_dataset) < needed:
            raise InvalidInput(
                f"there are {len(train_dataset)} prompts, and an iteration needs {needed}; lower per_device_train_batch_size"
            )
        self._end_ids = end_tokens(processing_class, model)
        if not self._end_ids:
            raise InvalidInput("the tokenizer has no end token, so completions would never end; set its eos_token")
        self.reward_funcs = [reward_funcs] if callable(reward_funcs) else list(reward_funcs)
        self._credit = credit
        self._reference: Any = None
        if peft_config is not None:
            from peft import get_peft_model

            model = get_peft_model(model, peft_config)
        else:
            self._reference = copy.deepcopy(model).eval().requires_grad_(False)
        self._metrics: dict[str, list[float]] = defaultdict(list)
        self._experience: _Experience | None = None
        self.kl_coefficient = args.kl_coefficient
        self._steps_per_iteration = args.num_ppo_epochs * args.num_mini_batches
        super().__init__(
            PolicyWithValue(model),
            args,
            train_dataset=train_dataset,
            processing_class=processing_class,
            data_collator=_rows,
            callbacks=list(callbacks),
        )
        self.model_accepts_loss_kwargs = False
        if self._reference is not None:
            self._reference.to(self.accelerator.device)

    # -- one iteration -------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        # Every batch of prompts is given once per optimizer step of its iteration.
        arguments: Any = self.args
        rows: Any = train_dataset if train_dataset is not None else self.train_dataset
        return RepeatSampler(
            data_source=rows,
            mini_repeat_count=1,
            batch_size=arguments.per_device_train_batch_size * arguments.world_size,
            repeat_count=self._steps_per_iteration,
            seed=arguments.seed,
        )

    def _prepare_inputs(self, inputs: Any) -> Any:
        step = self.state.global_step % self._steps_per_iteration
        if step == 0 or self._experience is None:
            self._experience = self._sample(inputs)
        experience = self._experience
        arguments: Any = self.args
        # The order depends on the step alone, so that a resumed run has the same.
        epoch, part = divmod(step, arguments.num_mini_batches)
        generator = torch.Generator().manual_seed(arguments.seed + self.state.global_step - step + epoch)
        order = torch.randperm(len(experience.mask), generator=generator).chunk(arguments.num_mini_batches)
        return experience.rows(order[part].to(experience.mask.device))

    def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> torch.Tensor:
        """Compute the policy loss plus the weighted value loss of a minibatch."""
        arguments: Any = self.args
        batch: _Experience = inputs
        logprobs, values, entropies = model(
            batch.input_ids, batch.attention_mask, batch.mask.shape[1], arguments.temperature
        )
        loss, clipped = policy_loss(logprobs, batch.logprobs, batch.advantages, batch.mask, clip_range=arguments.clip_range)
        error = value_loss(values, batch.values, batch.returns, batch.mask, clip_range=arguments.value_clip_range)
        ratio = masked_mean(torch.exp((logprobs - batch.logprobs) * batch.mask), batch.mask)
        measured = {"policy_loss": loss, "value_loss": error, "clip_fraction": clipped, "ratio": ratio}
        measured["entropy"] = masked_mean(entropies, batch.mask)
        for name, value in measured.items():
            self._log_metric(name, value.item())
        total: torch.Tensor = loss + arguments.value_weight * error
        return total

    @torch.no_grad()
    def _sample(self, rows: Sequence[Mapping[str, Any]]) -> _Experience:
        """Sample a completion for each prompt, score it, and estimate advantages."""
        arguments: Any = self.args
        model = self.accelerator.unwrap_model(self.model)
        training = model.training
        model.eval()
        input_ids, attention_mask, mask = self._completions(model, [row["prompt"] for row in rows])
        count = mask.shape[1]
        with self.compute_loss_context_manager():
            logprobs, values, _ = model(input_ids, attention_mask, count, arguments.temperature)
            with model.policy.disable_adapter() if self._reference is None else nullcontext():
                policy = self._reference or model.policy
                output = policy(input_ids=input_ids, logits_to_keep=count + 1, **_places(policy, attention_mask))
        reference, _ = _token_logprobs(output.logits[:, :-1] / arguments.temperature, input_ids[:, -count:])
        scores = self._scores(rows, input_ids[:, -count:], mask)
        kl = ((logprobs - reference) * mask).sum(dim=1).mean()
        rewards = token_rewards(scores, logprobs, reference, mask, self.kl_coefficient)
        advantages, returns = generalized_advantages(rewards, values, mask, gamma=arguments.gamma, lam=arguments.lam)
        self._log_iteration(scores, kl, values, returns, mask)
        if arguments.kl_target is not None:
            mean_kl = float(self.accelerator.gather(kl.reshape(1)).mean())
            self.kl_coefficient = adapted_kl_coefficient(
                self.kl_coefficient, mean_kl, target=arguments.kl_target, rate=arguments.kl_rate
            )
        model.train(training)
        advantages = whitened(advantages, mask)
        if self._credit is not None:
            advantages = self._credit(self.processing_class, input_ids[:, -count:], mask, advantages)
        return _Experience(input_ids, attention_mask, mask, logprobs, values, advantages, returns)

    def _completions(
        self, model: PolicyWithValue, prompts: Sequence[Any]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, P + T) tokens and attention mask, and the (B, T) mask of the completions, up to the token that ends them."""
        arguments: Any = self.args
        tokenizer: Any = self.processing_class
        encoded = [self._prompt_ids(prompt) for prompt in prompts]
        padding = padding_token(tokenizer, self._end_ids)
        longest = max(map(len, encoded))
        device = self.accelerator.device
        ids = torch.tensor([[padding] * (longest - len(row)) + row for row in encoded], device=device)
        attention = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in encoded], device=device)
        generation = GenerationConfig(
            max_new_tokens=arguments.max_completion_length,
            do_sample=True,
            temperature=arguments.temperature,
            top_p=arguments.top_p,
            top_k=0,
            pad_token_id=padding,
            eos_token_id=self._end_ids,
        )
        with self.compute_loss_context_manager():
            sequences = model.policy.generate(
                input_ids=ids, attention_mask=attention, generation_config=generation, disable_compile=True
            )
        completions = sequences[:, longest:]
        ended = torch.isin(completions, torch.tensor(self._end_ids, device=device)).long()
        # The first end token belongs to the completion; what follows is padding.
        mask = (ended.cumsum(dim=1) - ended == 0).float()
        return sequences, torch.cat([attention, mask.long()], dim=1), mask

    def _prompt_ids(self, prompt: Any) -> list[int]:
        tokenizer: Any = self.processing_class
        if isinstance(prompt, str):
            return list(tokenizer(prompt)["input_ids"])
        return list(
            tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
        )

    def _scores(self, rows: Sequence[Mapping[str, Any]], completions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B,) sum of the rewards of each completion."""
        arguments: Any = self.args
        tokenizer: Any = self.processing_class
        lengths = mask.sum(dim=1).long().tolist()
        ids = [row[:length].tolist() for row, length in zip(completions, lengths, strict=True)]
        prompts = [row["prompt"] for row in rows]
        replies: list[Any] = tokenizer.batch_decode(ids, skip_special_tokens=True)
        if not isinstance(prompts[0], str):
            replies = [[{"role": "assistant", "content": text}] for text in replies]
        columns = {name: [row[name] for row in rows] for name in rows[0] if name not in ("prompt", "completion")}
        total = torch.zeros(len(rows))
        for function in self.reward_funcs:
            values = function(
                prompts=prompts,
                completions=replies,
                completion_ids=ids,
                trainer_state=self.state,
                log_metric=self._log_metric,
                log_extra=lambda *_: None,
                **columns,
            )
            total += torch.tensor([0.0 if value is None else float(value) for value in values])
        cut = torch.tensor([row[-1] not in self._end_ids for row in ids], dtype=torch.float32)
        scores: torch.Tensor = (total - arguments.missing_eos_penalty * cut).to(mask.device)
        return scores

    # -- logs and files ------------------------------------------------------------------------------------------------

    def _log_metric(self, name: str, value: float) -> None:
        self._metrics[name].append(value)

    def _log_iteration(
        self, scores: torch.Tensor, kl: torch.Tensor, values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor
    ) -> None:
        self._log_metric("reward", scores.mean().item())
        self._log_metric("kl", kl.item())
        self._log_metric("kl_coefficient", self.kl_coefficient)
        self._log_metric("explained_variance", explained_variance(values, returns, mask).item())
        self._log_metric("completion_length", mask.sum(dim=1).mean().item())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the means of what was measured since the last log."""
        means = {name: sum(values) / len(values) for name, values in self._metrics.items()}
        self._metrics.clear()
        super().log({**logs, **means}, start_time)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        from safetensors.torch import save_file

        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        model = self.accelerator.unwrap_model(self.model)
        model.policy.save_pretrained(folder)
        self.processing_class.save_pretrained(folder)  # type: ignore[union-attr]
        save_file(
            {name: tensor.contiguous() for name, tensor in model.value_head.state_dict().items()}, folder / _VALUE_HEAD
        )

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        from safetensors.torch import save_file

        super()._save_optimizer_and_scheduler(output_dir)
        if self._experience is not None:
            coefficient = torch.tensor([self.kl_coefficient], dtype=torch.float64)
            path = Path(output_dir) / self._experience_file()
            save_file({**self._experience.tensors(), "kl_coefficient": coefficient}, path)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        from safetensors.torch import load_file, load_model

        folder = Path(resume_from_checkpoint)
        target = self.accelerator.unwrap_model(self.model)
        if self._reference is None:
            from peft import load_peft_weights, set_peft_model_state_dict

            set_peft_model_state_dict(target.policy, load_peft_weights(str(folder), device="cpu"))
        else:
            load_model(target.policy, folder / "model.safetensors", strict=False)
        target.value_head.load_state_dict(load_file(folder / _VALUE_HEAD))
        if (path := folder / self._experience_file()).is_file():
            saved = load_file(path, device=str(self.accelerator.device))
            self.kl_coefficient = float(saved.pop("kl_coefficient"))
            self._experience = _Experience(**saved)

    def _experience_file(self) -> str:
        number = self.args.process_index
        return f"{number}-{_EXPERIENCE}" if self.args.world_size > 1 else _EXPERIENCE
