"""Tiny verifiers of every architecture, with random weights and a real tokenizer, saved as folders like those of the hub."""

import json
from pathlib import Path

from retrieval.progress import no_transformers_bars

CORPUS = [
    "Marie Curie was born in Warsaw in 1867. She won the Nobel Prize in Physics in 1903 with her husband Pierre.",
    "The museum opens at nine. Tickets cost twelve euros, and children under six enter free of charge.",
    "Document: the bridge over the river was opened in 1859. Claim: the bridge is old. Answer: Yes. No.",
    "Yes Yes Yes No No No yes yes no no predict: 0 1 true false premise hypothesis passage output options",
    "Choose your answer: based on the paragraph above can we conclude that it is so? I think the answer is",
    "Determine if the hypothesis is true given the premise. Summarize the following text. Briefly answer the question.",
    *["Yes", "yes"] * 8,
] * 4
SPECIAL = {
    "t5": {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    "roberta": {
        "cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>",
        "eos_token": "</s>",
    },
    "bert": {
        "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "bos_token": "[CLS]",
        "eos_token": "[SEP]",
    },
    "llama": {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "<|end|>"},
}  # fmt: skip
_TEMPLATES = {
    "t5": ("$A </s>", "$A </s> $B </s>"),
    "roberta": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "bert": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "llama": ("<s> $A", "<s> $A <s> $B"),
}
_CHAT = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SIZE = 400


def tiny_tokenizer(kind):
    """A byte-level tokenizer of `SIZE` tokens, with the special tokens of an architecture."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = list(dict.fromkeys(SPECIAL[kind].values()))
    if kind == "llama":
        special += ["<|system|>", "<|user|>", "<|assistant|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    single, pair = _TEMPLATES[kind]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(token, tokenizer.token_to_id(token)) for token in special]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL[kind])
    fast.add_special_tokens({"additional_special_tokens": special})
    if kind == "llama":
        fast.chat_template = _CHAT
    return fast


def save_tiny(folder: Path, architecture, *, labels=None, **settings):
    """Save a model of an architecture with random weights that differ enough to give varied probabilities."""
    import torch
    import transformers

    torch.manual_seed(0)
    kind = {"T5": "t5", "Roberta": "roberta", "Llama": "llama", "Qwen2": "llama"}.get(architecture.split("For")[0], "bert")
    tokenizer = tiny_tokenizer(kind)
    model_class = getattr(transformers, architecture)
    small = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 514 if kind == "roberta" else 2048,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if kind == "t5":
        small = {
            "vocab_size": len(tokenizer), "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2,
            "decoder_start_token_id": 0,
        }  # fmt: skip
    if kind == "llama":
        small["num_key_value_heads"] = 2
    if architecture.startswith("DebertaV2"):
        small |= {
            "relative_attention": True,
            "type_vocab_size": 0,
            "position_biased_input": False,
            "pos_att_type": "p2c|c2p",
        }
    if labels is not None:
        small |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    model = model_class(model_class.config_class(**small | settings))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    with no_transformers_bars():
        model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # For some types of models, the tokenizer that is loaded divides text otherwise than the one that was saved.
    return model, transformers.AutoTokenizer.from_pretrained(folder)


_HHEM_CONFIGURATION = """
from transformers import PretrainedConfig


class HHEMv2Config(PretrainedConfig):
    model_type = "HHEMv2"
    foundation = ""
    prompt = ""
"""
_HHEM_MODEL = '''
from transformers import AutoConfig, PreTrainedModel, T5ForTokenClassification

from .configuration_tiny import HHEMv2Config


class TinyHHEM(PreTrainedModel):
    """Like the published model: a token classifier inside, of which the first token counts, and no call of post_init."""

    config_class = HHEMv2Config

    def __init__(self, config):
        super().__init__(config)
        self.t5 = T5ForTokenClassification(AutoConfig.from_pretrained(config.foundation))

    def forward(self, **inputs):
        outputs = self.t5(**inputs)
        outputs.logits = outputs.logits[:, 0, :]
        return outputs
'''


def save_tiny_hhem(folder: Path):
    """Save a model with code of its own, whose tokenizer is that of its foundation; returns the inner model and it."""
    from safetensors.torch import save_file

    foundation = folder / "foundation"
    model, tokenizer = save_tiny(foundation, "T5ForTokenClassification")
    (folder / "configuration_tiny.py").write_text(_HHEM_CONFIGURATION)
    (folder / "modeling_tiny.py").write_text(_HHEM_MODEL)
    config = {
        "architectures": ["TinyHHEM"],
        "auto_map": {
            "AutoConfig": "configuration_tiny.HHEMv2Config",
            "AutoModelForSequenceClassification": "modeling_tiny.TinyHHEM",
        },
        "model_type": "HHEMv2",
        "foundation": str(foundation),
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    weights = {f"t5.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return model, tokenizer
