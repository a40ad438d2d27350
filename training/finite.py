"""A loss or gradient that is not finite stops the run before it reaches the weights.

transformers by default hides such losses from the logs and trains on with weights that are nan.
"""

from __future__ import annotations

from typing import Any

from halluc.errors import InvalidInput

__all__ = ["stop_unless_finite"]

_MEND = "lower learning_rate, or look at the rows of that step"


def stop_unless_finite(trainer: Any) -> None:
    """Make `trainer.train()` raise `InvalidInput`, which names the step, where a loss or the gradient is nan or infinite."""
    import torch
    from transformers import TrainerCallback

    training_step = trainer.training_step

    def checked_step(*args: Any, **kwargs: Any) -> Any:
        loss = training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise InvalidInput(f"the loss of step {trainer.state.global_step + 1} is {loss.item()}; {_MEND}")
        return loss

    class StopUnlessFinite(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            # Under float16 the first gradients overflow by design, and such steps are skipped.
            if args.fp16:
                return
            norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
            if not torch.isfinite(norm):
                raise InvalidInput(f"the gradient of step {state.global_step + 1} is {norm.item()}; {_MEND}")

    trainer.training_step = checked_step
    trainer.add_callback(StopUnlessFinite())
