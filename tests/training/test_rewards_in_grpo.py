"""TRL's own trainer calls the rewards: a step of GRPO on a tiny random Llama."""

import pytest
import torch
from datasets import Dataset
from scripted import Scripted
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from halluc.errors import InvalidInput
from halluc.models.packaged_models import pull
from training import CompositeReward, FactualityReward
from training.monitoring.reward_gap import stop_on_reward_hacking
from training.rewards.composite import length_reward
from training.runs.run import train_and_save


@pytest.fixture
def make(tmp_path):
    def trainer(reward, callbacks=(), **settings):
        tokenizer = AutoTokenizer.from_pretrained(pull("smollm2-135m"))
        torch.manual_seed(0)
        shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        arguments = {"per_device_train_batch_size": 2, "num_generations": 2, "max_completion_length": 8, "logging_steps": 1}
        arguments |= {
            "use_cpu": True,
            "bf16": False,
            "report_to": "none",
            "disable_tqdm": True,
            "save_steps": 1,
            "max_steps": 1,
        }
        rows = {"prompt": [[{"role": "user", "content": "Who was it?"}]] * 2, "context": ["It was Fleming."] * 2}
        return GRPOTrainer(
            model=LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)),
            reward_funcs=[reward],
            args=GRPOConfig(str(tmp_path), **(arguments | settings)),
            train_dataset=Dataset.from_dict(rows),
            processing_class=tokenizer,
            callbacks=list(callbacks),
        )

    return trainer


def test_grpo_gives_the_columns_to_the_reward_and_logs_its_terms(make):
    verifier = Scripted({"": (0.9, 0.0)})
    factuality = FactualityReward(verifier, held_out_verifier=Scripted({"": (0.4, 0.0)}))
    reward = CompositeReward(factuality=factuality, length=length_reward(1, 100))
    trainer = make(reward, [stop_on_reward_hacking(factuality)])
    trainer.train()
    logged = next(entry for entry in trainer.state.log_history if "rewards/composite/mean" in entry)
    assert {"composite/factuality", "composite/length", "factuality/support", "factuality/held_out_gap"} <= set(logged)
    assert logged["rewards/composite/mean"] == pytest.approx(logged["composite/factuality"] + logged["composite/length"])
    assert verifier.calls
    assert {evidence for pairs in verifier.calls for evidence, _ in pairs} == {"It was Fleming."}


def test_a_reward_that_is_not_finite_stops_the_run_and_the_checkpoint_is_kept(make, tmp_path):
    verifier = Scripted({"": (0.9, 0.0)})
    trainer = make(FactualityReward(verifier), max_steps=2)

    class Breaking(TrainerCallback):
        def on_save(self, *_, **__):
            verifier.script = {"": (float("nan"), 0.0)}

    trainer.add_callback(Breaking)
    with pytest.raises(InvalidInput, match=r"stopped at step 1: the reward of row 0, .* is nan.*checkpoint-1"):
        train_and_save(trainer, resume=True)
    assert (tmp_path / "checkpoint-1" / "model.safetensors").is_file()
