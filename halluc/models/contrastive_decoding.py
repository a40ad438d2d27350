"""Decoding against hallucination: contrast a model with itself without the context, or with its own lower layers.

Context-aware decoding (Shi et al. 2023, arXiv 2305.14739) and DoLa (Chuang et al. 2023, arXiv 2309.03883): the formulas as
functions of logits, logits processors that apply them in transformers' `generate`, and `generate_context_aware` and
`generate_dola` for a `TransformersModel`. Greedy search and sampling only: beams change the order of rows between steps,
which the processors do not follow. Not here: decoding as usual (transformers_model.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import LogitsProcessor, LogitsProcessorList, RepetitionPenaltyLogitsProcessor, StoppingCriteriaList

from halluc.errors import InvalidInput
from halluc.models.hooks import StopStrings, TokenLogprobs
from halluc.models.language_model import Generation, Prompt

if TYPE_CHECKING:
    from halluc.models.transformers_model import TransformersModel

__all__ = [
    "ContextAwareDecoding",
    "DoLa",
    "context_aware_logits",
    "dola_logits",
    "generate_context_aware",
    "generate_dola",
    "jensen_shannon_divergence",
]


def context_aware_logits(with_context: torch.Tensor, without_context: torch.Tensor, *, alpha: float) -> torch.Tensor:
    """(1 + alpha)·logit(y | context, question) - alpha·logit(y | question), (..., V) (arXiv 2305.14739, eq. 2)."""
    return (1 + alpha) * with_context - alpha * without_context


def jensen_shannon_divergence(logits_p: torch.Tensor, logits_q: torch.Tensor) -> torch.Tensor:
    """Divergence in nats, in [0, log 2], of the distributions that two (..., V) logits stand for; shape (...)."""
    log_p, log_q = logits_p.log_softmax(-1), logits_q.log_softmax(-1)
    p, q = log_p.exp(), log_q.exp()
    # The mixture's logarithm where neither is so small that its own is -inf.
    log_m = torch.logaddexp(log_p, log_q) - torch.log(torch.tensor(2.0))
    terms = torch.xlogy(p, p) - torch.where(p > 0, p * log_m, 0) + torch.xlogy(q, q) - torch.where(q > 0, q * log_m, 0)
    return (terms.sum(-1) / 2).clamp(min=0)


def dola_logits(mature: torch.Tensor, premature: torch.Tensor, *, relative_top: float) -> torch.Tensor:
    """log q_N(y) - log q_M(y) for plausible tokens, -inf for others, (..., V) (arXiv 2309.03883, eq. 3 and 4).

    Args:
        mature: (..., V) logits of the last layer, q_N.
        premature: (..., V) logits of the layer contrasted with, q_M.
        relative_top: a token is plausible if its probability in the last layer is at least this share, in [0, 1], of the
            likeliest token's (the adaptive plausibility constraint; the paper's alpha).
    """
    log_n, log_m = mature.log_softmax(-1), premature.log_softmax(-1)
    # log(0) is -inf, which leaves every token in.
    least = log_n.amax(-1, keepdim=True) + torch.tensor(float(relative_top)).log()
    return torch.where(log_n >= least, log_n - log_m, -torch.inf)


class ContextAwareDecoding(LogitsProcessor):
    """Context-aware decoding in `generate`: the same model runs beside on the prompts without their context.

    Args:
        model: the transformers model that generates.
        input_ids, attention_mask: (B, L) the prompts without context, padded on the left, in the order of the rows.
        alpha: weight of the contrast, at least 0; the paper uses 0.5 for summaries and 1 for conflicts of knowledge.

    A processor is good for one call of `generate`.
    """

    def __init__(self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, alpha: float) -> None:
        _check_alpha(alpha)
        self._model = model
        self._ids, self._mask = input_ids, attention_mask
        self._alpha = alpha
        self._cache: Any = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        """(B, V) contrasted logits; `input_ids` ends with the tokens chosen in the last step."""
        if self._cache is not None:
            self._ids = input_ids[:, -1:]
            self._mask = torch.cat([self._mask, torch.ones_like(self._ids)], 1)
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -self._ids.shape[1] :]
        output = self._model(
            input_ids=self._ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = output.past_key_values
        return context_aware_logits(scores.float(), output.logits[:, -1].float(), alpha=self._alpha)


class DoLa(LogitsProcessor):
    """Decoding by contrasting layers in `generate`, with the premature layer chosen anew for each token and row.

    Of the candidate layers the one whose distribution is farthest from the last layer's by Jensen-Shannon divergence is
    contrasted with (eq. 2). A layer's distribution is the output head on its raw hidden state, as in the paper. Use it as a
    context manager: hooks on the model read the hidden states while it is open.

    Args:
        model: a transformers decoder with a list of layers and an output head.
        layers: "low" or "high": the even layers of the lower or upper half, which the paper chooses between on
            development rows (upper for short facts, lower for long reasoning); or layer numbers. Layer j is the hidden
            state after j layers, 0 the embeddings. "low" leaves out 0 where the head shares the embeddings' weights, as
            there it only repeats the last token.
        relative_top: see `dola_logits`.

    Attributes:
        chosen: per step the (B,) premature layers.

    Raises:
        InvalidInput: a layer does not exist, an option is out of range, or the model's layers cannot be found.
    """

    def __init__(
        self, model: Any, *, layers: Literal["low", "high"] | Sequence[int] = "high", relative_top: float = 0.1
    ) -> None:
        if not 0 <= relative_top <= 1:
            raise InvalidInput(f"relative_top is {relative_top}; pass a share in [0, 1]")
        self._blocks = _layers(model)
        self._head = model.get_output_embeddings()
        self._relative_top = relative_top
        self.candidates = _candidates(layers, len(self._blocks), bool(model.config.get_text_config().tie_word_embeddings))
        self.chosen: list[torch.Tensor] = []
        self._hidden: dict[int, torch.Tensor] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> DoLa:
        for layer in self.candidates:
            self._hooks.append(self._blocks[layer].register_forward_pre_hook(self._reader(layer), with_kwargs=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._hidden.clear()

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        """(B, V) contrasted log-probabilities."""
        if not self._hidden:
            raise InvalidInput("DoLa has seen no hidden state; call generate inside 'with DoLa(model) as dola:'")
        mature = scores.float()
        premature = torch.stack([self._head(self._hidden[layer]).float() for layer in self.candidates])
        best = jensen_shannon_divergence(mature.expand_as(premature), premature).argmax(0)
        self.chosen.append(torch.tensor(self.candidates)[best.cpu()])
        rows = torch.arange(len(best), device=best.device)
        return dola_logits(mature, premature[best, rows], relative_top=self._relative_top)

    def _reader(self, layer: int) -> Callable[..., None]:
        def read(_block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            self._hidden[layer] = hidden[:, -1]

        return read


def generate_context_aware(
    lm: TransformersModel,
    prompts: Sequence[Prompt],
    prompts_without_context: Sequence[Prompt],
    *,
    alpha: float = 0.5,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
    stop: Sequence[str] = (),
) -> list[Generation]:
    """One completion of each prompt by context-aware decoding (arXiv 2305.14739).

    Args:
        lm: a transformers model; the cost is that of two of its generations.
        prompts: with the context to be faithful to.
        prompts_without_context: (N,) the same questions without it.
        alpha: weight of the contrast; 0 decodes as usual.
        max_new_tokens, temperature, seed, stop: as for `LanguageModel.generate`.

    Returns:
        (N,) completions; `token_logprobs` are those of the model itself, with the context.

    Raises:
        InvalidInput: the lists differ in length, or an option is out of range.
        ContextOverflow: a prompt and `max_new_tokens` do not fit the context window.
    """
    _check_alpha(alpha)
    if len(prompts) != len(prompts_without_context):
        raise InvalidInput(
            f"{len(prompts)} prompts for {len(prompts_without_context)} without context; pass one of each for each question"
        )
    bare = lm._encode(prompts_without_context)
    lm._check_window(bare, [max_new_tokens] * len(bare))

    def generate(rows: list[int], run: _Run) -> torch.Tensor:
        own_ids, own_mask = lm._pad([bare[row] for row in rows], left=True)
        return run([ContextAwareDecoding(lm.model, own_ids, own_mask, alpha=alpha)])

    return _generate(lm, prompts, generate, max_new_tokens, temperature, seed, stop)


def generate_dola(
    lm: TransformersModel,
    prompts: Sequence[Prompt],
    *,
    layers: Literal["low", "high"] | Sequence[int] = "high",
    relative_top: float = 0.1,
    repetition_penalty: float = 1.2,
    max_new_tokens: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
    stop: Sequence[str] = (),
) -> list[Generation]:
    """One completion of each prompt by DoLa (arXiv 2309.03883).

    Args:
        lm: a transformers model.
        prompts: what to complete.
        layers, relative_top: see `DoLa`.
        repetition_penalty: at least 1, which is none; contrasting makes models repeat themselves, and the paper uses 1.2.
        max_new_tokens, temperature, seed, stop: as for `LanguageModel.generate`.

    Returns:
        (N,) completions; `token_logprobs` are those of the model itself.

    Raises:
        InvalidInput: an option is out of range, or the model's layers cannot be found.
        ContextOverflow: a prompt and `max_new_tokens` do not fit the context window.
    """
    if repetition_penalty < 1:
        raise InvalidInput(f"repetition_penalty is {repetition_penalty}; pass at least 1")

    def generate(rows: list[int], run: _Run) -> torch.Tensor:
        with DoLa(lm.model, layers=layers, relative_top=relative_top) as dola:
            return run([dola, RepetitionPenaltyLogitsProcessor(repetition_penalty)] if repetition_penalty > 1 else [dola])

    return _generate(lm, prompts, generate, max_new_tokens, temperature, seed, stop)


_Run = Callable[[list[LogitsProcessor]], torch.Tensor]


def _generate(
    lm: TransformersModel,
    prompts: Sequence[Prompt],
    generate: Callable[[list[int], _Run], torch.Tensor],
    max_new_tokens: int,
    temperature: float,
    seed: int,
    stop: Sequence[str],
) -> list[Generation]:
    """`TransformersModel.generate` with other logits processors, batch by batch."""
    if max_new_tokens < 1 or not 0 <= temperature < float("inf"):
        raise InvalidInput(
            f"max_new_tokens is {max_new_tokens} and temperature {temperature}; pass at least 1, and 0 or a positive number"
        )
    encoded = lm._encode(prompts)
    lm._check_window(encoded, [max_new_tokens] * len(encoded))
    sampling: dict[str, Any] = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {}
    results: dict[int, Generation] = {}
    with torch.inference_mode(), torch.random.fork_rng(devices=lm._cuda_devices()):
        torch.manual_seed(seed)
        for rows in lm._batches([len(ids) for ids in encoded], copies=1):
            ids, mask = lm._pad([encoded[row] for row in rows], left=True)
            recorder = TokenLogprobs()
            length = ids.shape[1]
            stopping = [StopStrings(lm.tokenizer, tuple(stop), length)] if stop else []

            def run(
                processors: list[LogitsProcessor],
                ids: torch.Tensor = ids,
                mask: torch.Tensor = mask,
                recorder: TokenLogprobs = recorder,
                stopping: list[StopStrings] = stopping,
            ) -> torch.Tensor:
                sequences: torch.Tensor = lm.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max_new_tokens,
                    eos_token_id=lm._end_ids,
                    pad_token_id=lm._pad_id,
                    # The recorder reads the model's own logits, before the contrast.
                    logits_processor=LogitsProcessorList([recorder, *processors]),
                    stopping_criteria=StoppingCriteriaList(stopping),
                    **sampling,
                )
                return sequences

            new = generate(rows, run)[:, length:]
            logprobs = recorder.finish(new)
            for i, row in enumerate(rows):
                results[row] = lm._generation(new[i], logprobs[i], tuple(stop), recorder.top(i))
    return [results[row] for row in range(len(prompts))]


def _check_alpha(alpha: float) -> None:
    if not 0 <= alpha < float("inf"):
        raise InvalidInput(f"alpha is {alpha}; pass 0 (no contrast) or a positive number")


def _layers(model: Any) -> Any:
    """The decoder's list of layers: the module list as long as the configuration says."""
    count = model.config.get_text_config().num_hidden_layers
    found = [m for m in model.base_model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    if not found or model.get_output_embeddings() is None:
        raise InvalidInput(f"{type(model).__name__} shows no list of {count} layers and an output head; DoLa needs both")
    return found[0]


def _candidates(layers: Literal["low", "high"] | Sequence[int], count: int, tied: bool) -> list[int]:
    if isinstance(layers, str) and layers not in ("low", "high"):
        raise InvalidInput(f"layers is {layers!r}; pass 'low', 'high' or layer numbers")
    middle = count // 2
    if layers == "low":
        chosen = list(range(2 if tied else 0, middle, 2))
    elif layers == "high":
        chosen = list(range(middle + middle % 2, count, 2))
    else:
        chosen = sorted(set(layers))
    if not chosen or not all(0 <= layer < count for layer in chosen):
        raise InvalidInput(f"layers are {chosen}; pass numbers from 0 to {count - 1}, below the last of {count} layers")
    return chosen
