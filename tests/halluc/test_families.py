"""Other people's verifiers, compared with the computation that their authors published, on tiny models."""

import json

import numpy as np
import pytest
import torch
from tiny_verifiers import save_tiny, save_tiny_hhem

from halluc import load_verifier
from halluc.errors import InvalidInput, ModelUnavailable
from halluc.verification.families import FAMILIES, pair_columns
from halluc.verification.verifier import Verifier

EVIDENCE = "Marie Curie was born in Warsaw in 1867. She won the Nobel Prize in Physics in 1903 with her husband Pierre."
OTHER = "The museum opens at nine. Tickets cost twelve euros, and children under six enter free of charge."
PAIRS = [
    (EVIDENCE, "Marie Curie was born in Warsaw."),
    (EVIDENCE, "She won the prize in 1921."),
    (OTHER, "Children pay twelve euros."),
    (OTHER, "The museum is free."),
]


def _agree(verifier, expected, pairs=PAIRS):
    """The verifier gives the expected support for each pair, alone and in a batch, and rows that agree with it."""
    assert isinstance(verifier, Verifier)
    assert np.ptp(expected) > 1e-3, "the reference does not distinguish the pairs, so it would not show a wrong reading"
    support = verifier.support(pairs)
    assert support == pytest.approx(expected, abs=1e-5)
    assert verifier.support(pairs[:1]) == pytest.approx(expected[:1], abs=1e-5)
    table = verifier.probabilities(pairs)
    assert table.sum(1) == pytest.approx(np.ones(len(pairs)))
    assert table[:, 0] == pytest.approx(support)
    assert verifier.support([]).shape == (0,)


def _softmax_of_one_text(model, tokenizer, texts, column=1):
    with torch.no_grad():
        return [torch.softmax(model(**tokenizer(t, return_tensors="pt")).logits, -1)[0, column].item() for t in texts]


# -- one templated text --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def modules_of_models(tmp_path_factory):
    """One folder for the code that models bring: the import system finds only the first that it was shown."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("modules"))
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", folder)
        yield


def test_minicheck_t5_weighs_two_tokens_at_the_first_step_of_the_decoder(tmp_path):
    folder = tmp_path / "MiniCheck-Flan-T5-Large"
    model, tokenizer = save_tiny(folder, "T5ForConditionalGeneration")
    expected = []
    for evidence, claim in PAIRS:
        inputs = tokenizer("predict: " + evidence + "</s>" + claim, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs, decoder_input_ids=torch.tensor([[0]])).logits[0, -1]
        expected.append(torch.softmax(logits[[3, 209]], dim=0)[1].item())
    _agree(load_verifier(folder), expected)


def test_minicheck_t5_reads_chunks_of_500_words_and_the_best_one_counts(tmp_path):
    folder = tmp_path / "MiniCheck-Flan-T5-Large"
    save_tiny(folder, "T5ForConditionalGeneration")
    verifier = load_verifier(folder)
    # With 10 words each, 50 sentences are a chunk.
    sentences = [f"It is {i} of the ten or so we saw." for i in range(110)]
    chunks = [" ".join(sentences[:50]), " ".join(sentences[50:100]), " ".join(sentences[100:])]
    claim = "It is 5."
    assert verifier._chunks(" ".join(sentences)) == chunks
    parts = verifier.support([(chunk, claim) for chunk in chunks])
    assert verifier.support([(" ".join(sentences), claim)]) == pytest.approx([parts.max()], abs=1e-5)


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("RobertaForSequenceClassification", "MiniCheck-RoBERTa-Large"),
        ("DebertaV2ForSequenceClassification", "MiniCheck-DeBERTa-v3-Large"),
    ],
)
def test_minicheck_classifiers_read_document_and_claim_as_one_text(tmp_path, architecture, name):
    model, tokenizer = save_tiny(tmp_path / name, architecture)
    texts = [evidence + tokenizer.eos_token + claim for evidence, claim in PAIRS]
    expected = _softmax_of_one_text(model, tokenizer, texts)
    _agree(load_verifier(tmp_path / name), expected)


def test_factcg_reads_its_question_about_the_claim(tmp_path):
    folder = tmp_path / "FactCG-DeBERTa-v3-Large"
    model, tokenizer = save_tiny(folder, "DebertaV2ForSequenceClassification")
    texts = [
        f'{evidence}\n\nChoose your answer: based on the paragraph above can we conclude that "{claim}"?\n\n'
        "OPTIONS:\n- Yes\n- No\nI think the answer is "
        for evidence, claim in PAIRS
    ]
    _agree(load_verifier(folder), _softmax_of_one_text(model, tokenizer, texts))


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "Qwen2ForCausalLM"])
def test_bespoke_minicheck_gives_the_probability_of_yes(tmp_path, architecture):
    folder = tmp_path / "Bespoke-MiniCheck-7B"
    model, tokenizer = save_tiny(folder, architecture)
    family = next(family for family in FAMILIES if family.name == "bespoke-minicheck")
    yes = [i for i in range(len(tokenizer)) if tokenizer.decode([i]).lower() == "yes"]
    assert len(yes) == 2
    expected = []
    for evidence, claim in PAIRS:
        chat = [
            {"role": "system", "content": family.system},
            {"role": "user", "content": f"Document: {evidence}\nClaim: {claim}"},
        ]
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            logits = model(input_ids=ids["input_ids"]).logits[0, -1]
        expected.append(torch.softmax(logits, 0)[yes].sum().item())
    _agree(load_verifier(folder), expected)


def test_hhem_runs_its_own_code_only_if_it_is_trusted(tmp_path, monkeypatch):
    folder = tmp_path / "hallucination_evaluation_model"
    folder.mkdir()
    model, tokenizer = save_tiny_hhem(folder)
    with pytest.raises(
        ModelUnavailable, match="runs Python code that comes with it; read that code, then pass trust_remote"
    ):
        load_verifier(folder)
    expected = []
    for evidence, claim in PAIRS:
        text = f"<pad> Determine if the hypothesis is true given the premise?\n\nPremise: {evidence}\n\nHypothesis: {claim}"
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits
        expected.append(torch.softmax(logits[0, 0], 0)[1].item())
    _agree(load_verifier(folder, trust_remote_code=True), expected)


def test_text_that_spells_a_special_token_stays_text(tmp_path):
    folder = tmp_path / "minicheck"
    _, tokenizer = save_tiny(folder, "RobertaForSequenceClassification")
    verifier = load_verifier(folder)
    ids = verifier._encode(verifier._plain("One.</s>Two.<pad>"), verifier._plain("<s>Three </s>"))
    assert ids.count(tokenizer.eos_token_id) == 2
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.pad_token_id not in ids
    # Braces mean nothing either.
    assert verifier.support([("{claim} {evidence}", "{eos}")]).shape == (1,)


def test_a_chunk_that_does_not_fit_the_window_is_cut_and_a_claim_is_refused(tmp_path):
    folder = tmp_path / "minicheck-roberta"
    save_tiny(folder, "RobertaForSequenceClassification")
    verifier = load_verifier(folder)
    assert verifier.window == 512
    word = "x" * 5000
    assert verifier.support([(word, "It is so."), (word, "It is not so.")]).shape == (2,)
    with pytest.raises(InvalidInput, match=r"the claim that begins 'x+' has \d+ tokens, which leaves no room for evidence"):
        verifier.support([(EVIDENCE, word)])


# -- tokens --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lettucedect-base-modernbert-en-v1", "tinylettuce-ettin-17m-en"])
def test_lettucedetect_supports_a_claim_as_much_as_its_worst_token(tmp_path, name):
    model, tokenizer = save_tiny(tmp_path / name, "ModernBertForTokenClassification")
    expected, spans = [], []
    for evidence, claim in PAIRS:
        unsupported = _unsupported_tokens(
            model, tokenizer, f"Summarize the following text:\npassage 1: {evidence}\noutput:", claim
        )
        expected.append(1 - max(p for _, _, p in unsupported))
        # But for spans of white space alone.
        spans.append([span for span in _joined(unsupported) if claim[span[0] : span[1]].strip()])
    verifier = load_verifier(tmp_path / name)
    _agree(verifier, expected)
    found = verifier.unsupported_spans(PAIRS)
    assert any(spans)
    for (_, claim), of_reference, of_verifier in zip(PAIRS, spans, found, strict=True):
        # The same characters, but for white space at the ends.
        assert [claim[s.start : s.end] for s in of_verifier] == [claim[s:e].strip() for s, e, _ in of_reference]
        assert [s.probability for s in of_verifier] == pytest.approx([p for *_, p in of_reference], abs=1e-5)


def test_lettucedetect_reads_the_question_of_an_answer(tmp_path):
    folder = tmp_path / "lettucedect"
    model, tokenizer = save_tiny(folder, "ModernBertForTokenClassification")
    prompt = (
        "Briefly answer the following question:\nWho was she?\nBear in mind that your response should be strictly based on "
        f"the following 1 passages:\npassage 1: {EVIDENCE}\nIn case the passages do not contain the necessary information "
        'to answer the question, please reply with: "Unable to answer based on given passages."\noutput:'
    )
    answer = "Marie Curie, born in Paris."
    tokens = _unsupported_tokens(model, tokenizer, prompt, answer)
    threshold = sorted(p for *_, p in tokens)[len(tokens) // 2]
    spans = load_verifier(folder).unsupported_spans([(EVIDENCE, answer)], questions=["Who was she?"], threshold=threshold)[0]
    reference = _joined(tokens, threshold - 1e-6)
    assert [answer[s.start : s.end] for s in spans] == [answer[s:e].strip() for s, e, _ in reference]


def test_a_token_is_as_unsupported_as_in_the_window_that_supports_it_best(tmp_path):
    folder = tmp_path / "lettucedect"
    save_tiny(folder, "ModernBertForTokenClassification", labels=["hallucinated", "supported"])
    whole, cut = load_verifier(folder), load_verifier(folder, max_tokens=40)
    claim = "Marie Curie was born in Warsaw."
    units = cut._units(EVIDENCE + " " + OTHER, claim, None)
    assert len(units) > 1
    parts = np.stack([whole._tokens([(unit, claim)], [None])[0][1] for unit in units])
    assert cut.support([(EVIDENCE + " " + OTHER, claim)]) == pytest.approx([1 - parts.min(0).max()], abs=1e-5)
    # The label that means unsupported is the one of that name.
    assert whole.family.labels == (0, 1)


def _unsupported_tokens(model, tokenizer, prompt, claim):
    """(start, end, probability) of each token of the claim, as published: the last ones but the final separator."""
    encoded = tokenizer(prompt, claim, return_offsets_mapping=True, return_tensors="pt")
    offsets = encoded.pop("offset_mapping")[0].tolist()
    count = len(tokenizer(claim, add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        probabilities = torch.softmax(model(**encoded).logits, -1)[0, :, 1].tolist()
    return [(*offsets[i], probabilities[i]) for i in range(len(offsets) - count - 1, len(offsets) - 1)]


def _joined(tokens, threshold=0.5):
    spans, last = [], None
    for start, end, probability in tokens:
        if probability < threshold:
            last = None
        elif last is None:
            last = [start, end, probability]
            spans.append(last)
        else:
            last[1:] = end, max(last[2], probability)
    return spans


# -- pairs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        (["not_entailment", "entailment"], (1, 0)),
        (["SUPPORTED", "UNSUPPORTED"], (0, 1)),
        (["hallucinated", "fine"], (1, 0)),
        (["contradiction", "entailment", "neutral"], (1, 0, 2)),
        (["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], (2, 0, 1)),
        (["Supports", "Refutes", "Not enough info"], (0, 1, 2)),
        (["CORRECT", "INCORRECT"], (0, 1)),
        (["LABEL_0"], (0,)),
    ],
)
def test_the_labels_of_a_pair_are_understood_in_any_order(labels, columns):
    assert pair_columns("m", {"id2label": dict(enumerate(labels))}) == columns


@pytest.mark.parametrize(
    "architecture",
    ["RobertaForSequenceClassification", "DebertaV2ForSequenceClassification", "BertForSequenceClassification"],
)
def test_an_nli_model_reads_a_pair_and_its_labels_by_name(tmp_path, architecture):
    labels = ["contradiction", "neutral", "entailment"]
    model, tokenizer = save_tiny(tmp_path / "nli", architecture, labels=labels)
    rows = []
    for evidence, claim in PAIRS:
        with torch.no_grad():
            rows.append(torch.softmax(model(**tokenizer(evidence, claim, return_tensors="pt")).logits[0], 0).tolist())
    verifier = load_verifier(tmp_path / "nli")
    _agree(verifier, [row[2] for row in rows])
    assert verifier.probabilities(PAIRS) == pytest.approx(np.array([[row[2], row[0], row[1]] for row in rows]), abs=1e-5)


def test_hhem_1_has_one_logit(tmp_path):
    model, tokenizer = save_tiny(
        tmp_path / "hallucination_evaluation_model", "DebertaV2ForSequenceClassification", labels=["LABEL_0"]
    )
    with torch.no_grad():
        logits = [model(**tokenizer(*pair, return_tensors="pt")).logits.item() for pair in PAIRS]
    _agree(load_verifier(tmp_path / "hallucination_evaluation_model"), [1 / (1 + np.exp(-logit)) for logit in logits])


def test_a_pair_of_roberta_stays_within_its_positions(tmp_path):
    # RoBERTa has 514 positions, of which it uses 512; the tokenizer may not say so.
    save_tiny(tmp_path / "nli", "RobertaForSequenceClassification", labels=["not_entailment", "entailment"])
    verifier = load_verifier(tmp_path / "nli")
    assert verifier.support([("The old mill stood by the river. " * 200, "word " * 50)]).shape == (1,)


# -- recognition ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "architecture", "labels", "message"),
    [
        (
            "my-model",
            "DebertaV2ForSequenceClassification",
            None,
            r"my-model, 'LABEL_0', 'LABEL_1', do not say which means support; pass columns=.*'factcg'.*#FAMILY",
        ),
        ("minicheck-abc", "BertForSequenceClassification", ["A", "B", "C"], "do not say which means support"),
        (
            "ms-marco-MiniLM",
            "BertForSequenceClassification",
            ["LABEL_0"],
            "not one of support; to read it as support, pass family='pair'",
        ),
        (
            "my-t5",
            "T5ForConditionalGeneration",
            None,
            "pass family= 'minicheck-flan-t5', or write .*my-t5#minicheck-flan-t5",
        ),
        ("my-llama", "LlamaForCausalLM", None, "use the verifier 'lm'"),
        ("my-tagger", "ModernBertForTokenClassification", ["O", "B"], "pass family= 'lettucedetect'"),
        ("my-tagger", "ModernBertForTokenClassification", ["O", "B", "I"], "pass family= 'lettucedetect'"),
        ("my-bert", "BertForMaskedLM", None, "is a BertForMaskedLM, which no family of verifiers is read from"),
    ],
)
def test_a_model_of_no_known_family_is_refused(tmp_path, name, architecture, labels, message):
    save_tiny(tmp_path / name, architecture, labels=labels)
    with pytest.raises(InvalidInput, match=message):
        load_verifier(tmp_path / name)


def test_a_family_can_be_named_by_option_or_after_the_path(tmp_path):
    folder = tmp_path / "my-model"
    model, tokenizer = save_tiny(folder, "DebertaV2ForSequenceClassification")
    texts = [evidence + "[SEP]" + claim for evidence, claim in PAIRS]
    expected = _softmax_of_one_text(model, tokenizer, texts)
    _agree(load_verifier(folder, family="minicheck"), expected)
    _agree(load_verifier(f"{folder}#minicheck"), expected)
    assert load_verifier(f"{folder}#factcg").support(PAIRS) != pytest.approx(expected, abs=1e-4)
    for family, message in (
        ("lettuce", "the family of verifiers is 'lettuce'; pass 'minicheck-flan-t5'"),
        ("lettucedetect", "is not the architecture of the family 'lettucedetect'"),
    ):
        with pytest.raises(InvalidInput, match=message):
            load_verifier(f"{folder}#{family}")
    with pytest.raises(InvalidInput, match="columns goes with a model that reads a pair"):
        load_verifier(folder, family="factcg", columns=(0, 1))
    assert load_verifier(folder, columns=(1, 0)).columns == (1, 0)


def test_a_model_in_the_cache_of_the_hub_is_recognized_by_its_id(tmp_path):
    folder = tmp_path / "models--yaxili96--FactCG-DeBERTa-v3-Large" / "snapshots" / "0123abcd"
    save_tiny(folder, "DebertaV2ForSequenceClassification")
    assert load_verifier(folder).family.name == "factcg"


def test_a_model_without_trained_weights_or_without_a_configuration_is_refused(tmp_path):
    folder = tmp_path / "minicheck"
    save_tiny(folder, "BertForMaskedLM")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertForSequenceClassification"]}))
    with pytest.raises(ModelUnavailable, match="it has no weights for"):
        load_verifier(folder)
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        load_verifier(tmp_path)


def test_the_options_of_a_templated_verifier_are_checked_and_change_its_fingerprint(tmp_path):
    folder = tmp_path / "minicheck"
    save_tiny(folder, "BertForSequenceClassification")
    verifiers = [load_verifier(folder), load_verifier(folder, max_tokens=50), load_verifier(f"{folder}#factcg")]
    assert len({verifier.fingerprint for verifier in verifiers}) == 3
    assert load_verifier(folder).fingerprint == verifiers[0].fingerprint
    for max_tokens in (0, 5000):
        with pytest.raises(InvalidInput, match=f"max_tokens is {max_tokens}; pass 1 to"):
            load_verifier(folder, max_tokens=max_tokens)


def test_every_family_has_a_template_a_source_and_a_license():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert "{evidence}" in family.template
        assert ("{claim}" in family.template) == (family.head != "token")
        assert family.source
        assert family.license


# -- command line --------------------------------------------------------------------------------------------------------


def test_the_command_line_names_a_family_and_trusts_code_only_with_a_flag(halluc, tmp_path, monkeypatch):
    context = tmp_path / "context.txt"
    context.write_text(EVIDENCE)
    plain, with_code = tmp_path / "my-model", tmp_path / "my-hhem"
    save_tiny(plain, "BertForSequenceClassification")
    with_code.mkdir()
    save_tiny_hhem(with_code)
    for arguments, code, message in (
        ((plain,), 2, "do not say which means support"),
        ((f"{plain}#factcg",), 0, ""),
        ((f"{plain}#fact",), 2, "the family of verifiers is 'fact'"),
        ((with_code,), 1, "--trust-remote-code"),
        ((with_code, "--trust-remote-code"), 0, ""),
    ):
        exit_code, out, err = halluc("check", "She was born in Warsaw.", "-c", context, "--verifier", *arguments)
        assert (exit_code, bool(out)) == (code, code == 0), err
        assert message in err
        assert err.count("\n") == (code != 0)
    # It permits code; it is no option of a verifier without any.
    assert halluc("check", "She was born in Warsaw.", "-c", context, "--trust-remote-code")[0] == 0
