"""BERT on plain PyTorch computes what transformers and sentence-transformers compute."""

import json

import numpy as np
import pytest

from retrieval import load_embedder
from retrieval.encoders import encoder_folder

TEXTS = ["Who found penicillin?", "[PAD] is a token.", "", "A longer sentence, about moulds that kill bacteria. " * 40]


@pytest.fixture(scope="module")
def reference():
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder_folder()))
    model.tokenizer.split_special_tokens = True
    return model


def test_the_default_embedder_gives_the_vectors_of_sentence_transformers(reference):
    embedder = load_embedder()
    expected = reference.encode(TEXTS, normalize_embeddings=True)
    assert np.abs(embedder.encode(TEXTS) - expected).max() < 1e-5
    assert embedder.max_tokens == reference.max_seq_length - 2
    assert embedder.dimension == reference.get_embedding_dimension()


def test_an_encoder_gives_the_hidden_states_of_transformers_for_pairs_with_padding(reference):
    import torch
    from transformers import AutoModel

    from retrieval.bert import load_bert

    encoder = load_bert(encoder_folder())
    batch = reference.tokenizer(TEXTS, TEXTS[::-1], padding=True, truncation=True, max_length=90, return_tensors="pt")
    with torch.inference_mode():
        hidden = encoder(**batch).last_hidden_state
        expected = AutoModel.from_pretrained(encoder_folder()).eval()(**batch).last_hidden_state
    real = batch["attention_mask"].bool()
    assert torch.allclose(hidden[real], expected[real], atol=1e-4)


@pytest.mark.parametrize(
    "changed", [{"model_type": "mpnet"}, {"hidden_act": "relu"}, {"position_embedding_type": "relative_key"}]
)
def test_another_architecture_is_left_to_transformers(tmp_path, changed):
    from retrieval.bert import load_bert

    settings = json.loads((encoder_folder() / "config.json").read_text()) | changed
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "model.safetensors").symlink_to(encoder_folder() / "model.safetensors")
    assert load_bert(tmp_path) is None


def test_weights_that_lack_a_layer_are_named(tmp_path):
    from retrieval.bert import load_bert

    settings = json.loads((encoder_folder() / "config.json").read_text()) | {"num_hidden_layers": 7}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "model.safetensors").symlink_to(encoder_folder() / "model.safetensors")
    with pytest.raises(ValueError, match=r"has no encoder\.layer\.6\."):
        load_bert(tmp_path)
