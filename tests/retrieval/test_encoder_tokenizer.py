import json
import subprocess
import sys

import pytest
from transformers import AutoTokenizer

from retrieval.encoder_tokenizer import EncoderTokenizer, load_tokenizer
from retrieval.encoders import encoder_folder

TEXTS = [
    "",
    "Fleming found Penicillin.",
    "  Zürich,\tnaïve [SEP] [PAD] 東京 🙂 x\u0301 ﬁ",
    "word " * 700,
    "don't 3,5 a_b-c\n\n",
]
PAIRS = ["who?", "a " * 300, "[CLS] [MASK]", "claim " * 400, ""]


@pytest.fixture(params=[False, True])
def tokenizers(request):
    ours, theirs = load_tokenizer(encoder_folder()), AutoTokenizer.from_pretrained(encoder_folder())
    assert isinstance(ours, EncoderTokenizer)
    ours.split_special_tokens = theirs.split_special_tokens = request.param
    return ours, theirs


@pytest.mark.parametrize("pairs", [None, PAIRS])
@pytest.mark.parametrize(
    "options",
    [
        {"verbose": False},
        {"add_special_tokens": False, "return_offsets_mapping": True, "truncation": False},
        {"truncation": "longest_first", "max_length": 60, "return_offsets_mapping": True},
        {"truncation": True},
    ],
)
def test_tokens_are_those_of_transformers(tokenizers, pairs, options):
    ours, theirs = (tokenizer(TEXTS, pairs, **options) for tokenizer in tokenizers)
    assert dict(ours) == dict(theirs)
    assert all(ours.sequence_ids(row) == theirs.sequence_ids(row) for row in range(len(TEXTS)))


def test_padded_tensors_are_those_of_transformers(tokenizers):
    ours, theirs = (t(TEXTS, padding=True, truncation=True, max_length=9, return_tensors="pt") for t in tokenizers)
    assert {name: tensor.tolist() for name, tensor in ours.to("cpu").items()} == {k: v.tolist() for k, v in theirs.items()}
    columns = dict(tokenizers[0](TEXTS))
    rows = [{name: values[row] for name, values in columns.items()} for row in range(len(TEXTS))]
    for given in (columns, rows):
        for side in (None, "left"):
            ours, theirs = (t.pad(given, padding_side=side, return_tensors="pt") for t in tokenizers)
            assert {k: v.tolist() for k, v in ours.items()} == {k: v.tolist() for k, v in theirs.items()}


def test_its_limits_are_those_of_transformers(tokenizers):
    ours, theirs = tokenizers
    assert ours.model_max_length == theirs.model_max_length
    assert ours.pad_token_id == theirs.pad_token_id
    assert list(ours.model_input_names) == theirs.model_input_names
    assert [ours.num_special_tokens_to_add(pair) for pair in (False, True)] == [2, 3]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer\.json is damaged"):
        load_tokenizer(tmp_path)


def test_embedding_does_not_import_transformers():
    code = "import sys, retrieval; retrieval.load_embedder().encode(['a']); print('transformers' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
