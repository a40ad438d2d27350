"""Translation of requests: languages as tokens of a model, and models that are asked."""

import json

import pytest
from test_redteam import REQUEST, Scripted, write

from halluc.errors import InvalidInput, ModelUnavailable
from halluc.redteam.multilingual import LANGUAGES
from halluc.redteam.translation import load_translator, translate_rows


def translation_model(folder, *languages):
    """A tiny encoder-decoder that was not trained, with the tokens of languages."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

    words = ["<s>", "<pad>", "</s>", "<unk>", "tell", "me", *languages]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers"), 1) | dict.fromkeys(
        ("encoder_attention_heads", "decoder_attention_heads"), 2
    )
    config = BartConfig(
        vocab_size=len(words), d_model=8, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=300, **sizes
    )
    BartForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)


def generated(translator, monkeypatch):
    """What the model of a translator is called with."""
    calls = []
    generate = translator._model.generate
    monkeypatch.setattr(translator._model, "generate", lambda **options: calls.append(options) or generate(**options))
    return calls


def test_a_translation_begins_with_the_token_of_its_language(tmp_path, monkeypatch):
    translator = load_translator(translation_model(tmp_path / "m", "eng_Latn", "ita_Latn", "zho_Hans"))
    calls = generated(translator, monkeypatch)
    assert len(translator.translate(["tell me"] * 17, "zh")) == 17
    translator.translate(["tell me"], "it")
    assert [call["forced_bos_token_id"] for call in calls] == [8, 8, 7]


def test_the_language_is_written_before_the_text_where_models_read_it_there(tmp_path, monkeypatch):
    translator = load_translator(translation_model(tmp_path / "m", ">>ita<<"))
    calls = generated(translator, monkeypatch)
    translator.translate(["tell me"], "it")
    assert calls[0]["input_ids"].tolist() == [[6, 4, 5]]
    assert "forced_bos_token_id" not in calls[0]


def test_a_model_without_language_tokens_translates_into_one_language(tmp_path):
    translator = load_translator(translation_model(tmp_path / "m"))
    translator.check_languages(["it"])
    with pytest.raises(InvalidInput, match="has no token for it, sw"):
        translate_rows(["tell me"], translator, ["it", "sw"])


def test_a_language_model_is_asked_and_empty_translations_are_left_out(monkeypatch):
    model = Scripted(lambda text: "" if "Korean" in text else text.split(".")[0])
    monkeypatch.setattr("halluc.models.load_model", lambda *_args, **_options: model)
    rows = translate_rows(["Tell me."], load_translator("default"), ["it", "ko"])
    assert rows == [{"en": "Tell me.", "it": "Translate this into Italian"}]
    assert translate_rows(["Tell me."], load_translator("default"), ["ko"]) == []


def test_a_translator_that_cannot_be_had_is_refused(tmp_path):
    with pytest.raises(ModelUnavailable, match=r"the translator .* could not be loaded"):
        load_translator(str(tmp_path))


def test_every_language_of_the_family_can_be_translated_into(monkeypatch):
    monkeypatch.setattr("halluc.models.load_model", lambda *_args, **_options: Scripted(lambda text: "translated"))
    (row,) = translate_rows(["Tell me."], load_translator("default"), LANGUAGES[1:])
    assert list(row) == list(LANGUAGES)


def test_the_command_translates_as_many_requests_as_the_limit_needs(halluc, tmp_path, monkeypatch):
    model = Scripted(lambda text: "Sure.")
    monkeypatch.setattr("halluc.models.load_model", lambda *_args, **_options: model)
    requests = write(tmp_path / "requests.jsonl", *({**REQUEST, "Behavior": f"Plan {i}."} for i in range(9)))
    options = ("--translator", "default", "--languages", "it,sw", "--limit", 4, "--json")
    code, out, err = halluc("redteam", "multilingual", "--requests", requests, *options)
    assert (code, err) == (0, "")
    rates = {rate["name"]: rate["n"] for rate in json.loads(out)["rates"]}
    assert rates == {"multilingual": 4, "multilingual: en": 2, "multilingual: it": 1, "multilingual: sw": 1}
    assert sum("Translate this" in str(prompt) for prompt in model.prompts) == 4
    monkeypatch.setattr("halluc.models.load_model", lambda *_args, **_options: Scripted(lambda text: ""))
    code, out, err = halluc("redteam", "multilingual", "--requests", requests, *options)
    assert code == 2
    assert "translated none of the 2 requests" in err
