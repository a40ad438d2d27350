"""Other people's sequence classifiers as verifiers."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from halluc.errors import InvalidInput
from halluc.verification import load_verifier
from retrieval.encoders import encoder_folder

EVIDENCE = "Marie Curie was born in Warsaw in 1867. She won the Nobel Prize in Physics in 1903 with her husband Pierre."
CLAIMS = ["Marie Curie was born in Warsaw.", "Marie Curie was born in Paris.", "Ants build nests of leaves."]


@pytest.fixture(scope="module")
def as_hub_model(tmp_path_factory):
    """The packaged verifier as a folder that transformers writes, with its labels in another order."""
    folder = tmp_path_factory.mktemp("hub")
    verifier = load_verifier()
    state = verifier.model.state_dict()
    labels = {0: "neutral", 1: "entailment", 2: "contradiction"}
    config = AutoConfig.for_model(**(verifier.model.config.to_dict() | {"id2label": labels}))
    model = AutoModelForSequenceClassification.from_config(config)
    order = torch.tensor([2, 0, 1])
    names = {f"bert.{name.removeprefix('encoder.')}": state[name] for name in state if name.startswith("encoder.")}
    names |= {f"bert.pooler.dense.{kind}": state[f"pair_head.0.{kind}"] for kind in ("weight", "bias")}
    names |= {f"classifier.{kind}": state[f"pair_head.2.{kind}"][order] for kind in ("weight", "bias")}
    model.load_state_dict(names)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder_folder()).save_pretrained(folder)
    return folder


def test_any_nli_cross_encoder_is_a_verifier(as_hub_model):
    other = load_verifier(as_hub_model, max_tokens=192)
    assert other.columns == (1, 2, 0)
    pairs = [(EVIDENCE, claim) for claim in CLAIMS]
    verifier = load_verifier()
    assert verifier.calibrator.predict(other.support(pairs)) == pytest.approx(verifier.support(pairs), abs=0.02)


def test_a_model_with_one_logit_gives_its_sigmoid(as_hub_model, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(as_hub_model)
    model.classifier = torch.nn.Linear(384, 1)
    model.config.id2label = {0: "LABEL_0"}
    model.num_labels = 1
    model.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(as_hub_model)
    tokenizer.save_pretrained(tmp_path)
    table = load_verifier(str(tmp_path)).probabilities([(EVIDENCE, CLAIMS[0])])
    with torch.no_grad():
        logit = model(**tokenizer(EVIDENCE, CLAIMS[0], return_tensors="pt")).logits.item()
    expected = 1 / (1 + np.exp(-logit))
    assert table[0] == pytest.approx([expected, 0, 1 - expected], abs=0.02)


def test_labels_that_say_nothing_are_refused_unless_columns_are_passed(as_hub_model, tmp_path):
    shutil.copytree(as_hub_model, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["id2label"] = {"0": "A", "1": "B", "2": "C"}
    config["label2id"] = {"A": 0, "B": 1, "C": 2}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match=r"'A', 'B', 'C', do not say which means support; pass columns="):
        load_verifier(str(tmp_path / "m"))
    assert load_verifier(str(tmp_path / "m"), columns=(1, 2, 0)).columns == (1, 2, 0)


def test_columns_that_the_model_does_not_have_are_refused(as_hub_model):
    for columns in ((0, 3), (1, 1), (-1,), (0, 1, 2, 0)):
        with pytest.raises(InvalidInput, match="has the logits 0 to 2"):
            load_verifier(as_hub_model, columns=columns)
