"""MPNet as the base of a verifier; a small random one replaces it."""

import pytest

from halluc.errors import ModelUnavailable
from halluc.verification.weights import new_pair_encoder
from retrieval.encoders import pull_encoder


def test_a_pulled_encoder_is_the_base_of_a_verifier_by_its_name(small_mpnet):
    pull_encoder("mpnet")
    model, tokenizer = new_pair_encoder("mpnet")
    assert (model.config.model_type, model.config.num_labels) == ("mpnet", 3)
    by_folder, _ = new_pair_encoder(str(small_mpnet))
    weights = model.layers[1].output.dense.weight
    assert weights.equal(by_folder.layers[1].output.dense.weight)
    assert tokenizer.tokenize("ab.") == ["a", "##b", "."]


def test_a_base_that_is_not_pulled_or_no_encoder_is_one_sentence(small_mpnet, tmp_path):
    with pytest.raises(ModelUnavailable, match=r"^mpnet .* has not been pulled; fetch it with 'halluc models pull mpnet'"):
        new_pair_encoder("mpnet")
    with pytest.raises(ModelUnavailable, match=r"is not a folder with a config\.json; name the folder of an encoder$"):
        new_pair_encoder(str(tmp_path))
