"""Models small enough to be trained in a test: of SmolLM2's architecture, on disk, and a random Llama."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from halluc.models.packaged_models import pull

SHAPE = {"num_hidden_layers": 2, "hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 3, "head_dim": 16}


def save_tiny_model(folder, *, dropout=0.0):
    """Write it to `folder`; with dropout in its attention, a training step depends on the state of random numbers."""
    config = AutoConfig.from_pretrained(pull("smollm2-135m"))
    for name, value in SHAPE.items():
        setattr(config, name, value)
    config.num_key_value_heads = 3
    config.attention_dropout = dropout
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(pull("smollm2-135m")).save_pretrained(folder)
    return str(folder)


def tiny_llama(tokenizer, seed):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    return LlamaForCausalLM(config)
