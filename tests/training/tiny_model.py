"""A model of SmolLM2's architecture and tokenizer, small enough to be trained in several processes of a test."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

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
