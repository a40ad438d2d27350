"""The packaged verifiers: probabilities of pairs, and spans of words."""

import numpy as np
import pytest

from calibration.platt_map import PlattMap
from halluc.errors import InvalidInput, ModelUnavailable
from halluc.verification import load_verifier
from halluc.verification.verifier import SpanVerifier

EVIDENCE = "Marie Curie was born in Warsaw in 1867. She won the Nobel Prize in Physics in 1903 with her husband Pierre."
SUPPORTED = [
    "Marie Curie was born in Warsaw.",
    "She won the Nobel Prize in Physics in 1903.",
    "Marie Curie was born in 1867.",
]
UNSUPPORTED = [
    "Marie Curie was born in Paris.",
    "She won the Nobel Prize in Physics in 1921.",
    "Ants build nests of leaves.",
]


@pytest.fixture(scope="module")
def verifier():
    return load_verifier()


def test_it_distinguishes_supported_claims_from_others(verifier):
    assert isinstance(verifier, SpanVerifier)
    support = verifier.support([(EVIDENCE, claim) for claim in SUPPORTED + UNSUPPORTED])
    assert support.shape == (6,)
    assert (support[:3] >= 0.5).all(), support
    assert (support[3:] < 0.5).all(), support


def test_probabilities_are_rows_of_three_that_agree_with_support_and_labels(verifier):
    pairs = [(EVIDENCE, claim) for claim in SUPPORTED + UNSUPPORTED]
    table = verifier.probabilities(pairs)
    assert table.shape == (6, 3)
    assert table.sum(1) == pytest.approx(np.ones(6))
    assert ((table >= 0) & (table <= 1)).all()
    assert table[:, 0].tolist() == verifier.support(pairs).tolist()
    assert verifier.support([]).shape == (0,)


def test_a_pair_is_judged_alike_alone_in_a_batch_and_repeated(verifier):
    pairs = [(EVIDENCE, claim) for claim in SUPPORTED + UNSUPPORTED] + [("Rain fell. " * 60, "It was dry.")]
    together = verifier.support(pairs * 2)
    assert together[:7].tolist() == together[7:].tolist()
    alone = np.concatenate([verifier.support([pair]) for pair in pairs])
    assert together[:7] == pytest.approx(alone, abs=0.02)


def test_a_sentence_is_found_anywhere_in_evidence_of_100_000_words(verifier):
    filler = "The committee met again and spoke at length about the budget of the coming year. " * 6250
    half = len(filler) // 2 // 81 * 81
    evidence = f"{filler[:half]}The bridge over the Tamar was opened in 1859. {filler[half:]}"
    assert len(evidence.split()) > 90_000
    supported, other = verifier.support(
        [
            (evidence, "The bridge over the Tamar was opened in 1859."),
            (evidence, "The bridge over the Tamar was closed in 1972."),
        ]
    )
    assert supported >= 0.5 > other


def test_letters_that_the_tokenizer_splits_still_fit(verifier):
    evidence = "대한민국 수도는 서울 " * 16
    excerpt, claim = verifier._units([(evidence, "word " * 100)])[0]
    assert sum(verifier._lengths([excerpt, claim])) <= 509
    assert verifier.support([(evidence, "word " * 100)]).shape == (1,)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("", "claim"), "the evidence of pair 1 is empty"),
        (("evidence", " \n"), "the claim of pair 1 is empty"),
        ((b"evidence", "claim"), r"pair 1 is \(bytes, str\), not \(evidence, claim\)"),
        (("evidence", None), r"pair 1 is \(str, NoneType\)"),
        (("one",), r"pair 1 is \(str\)"),
        ("ab", r"pair 1 is \(str\)"),
        (("evidence", "word " * 600), "the claim that begins 'word word .* has 600 tokens, more than the"),
    ],
)
def test_a_pair_that_cannot_be_judged_is_named(verifier, pair, message):
    with pytest.raises(InvalidInput, match=message):
        verifier.support([(EVIDENCE, SUPPORTED[0]), pair])


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("", InvalidInput, "the verifier is ''"),
        (None, InvalidInput, "the verifier is None"),
        ("no/such-model", ModelUnavailable, "the verifier 'no/such-model' cannot be loaded"),
    ],
)
def test_a_verifier_that_does_not_exist_is_named(name, error, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(error, match=message):
        load_verifier(name)


def test_the_default_verifier_is_loaded_once_per_process(verifier):
    # A bare halluc.check(...) loaded it anew at each call.
    assert load_verifier() is load_verifier("default") is verifier
    other = load_verifier(batch_tokens=100)
    assert other is not verifier
    assert other.fingerprint == verifier.fingerprint


def test_the_fingerprint_covers_all_that_decides_a_probability(verifier):
    import copy

    shorter = load_verifier(max_tokens=100)
    uncalibrated, retrained, stricter, without_answers = (load_verifier(batch_tokens=1) for _ in range(4))
    uncalibrated.calibrator = None
    without_answers.answer_calibrator = None
    stricter.span_threshold += 0.01
    retrained.model = copy.deepcopy(retrained.model)
    retrained.model.pair_head[2].bias.data[0] += 0.01
    prints = {v.fingerprint for v in (verifier, shorter, uncalibrated, retrained, stricter, without_answers)}
    assert len(prints) == 6


def test_a_question_with_its_answer_has_its_own_calibrator(verifier):
    context = "The Tamarind Bridge opened in 1987. Paula Ostrov was its engineer."
    pairs = [(context, "Who was the engineer? Paula Ostrov"), (context, "Paula Ostrov built the bridge.")]
    strict = load_verifier(batch_tokens=1)
    strict.answer_calibrator = PlattMap(1.0, -20.0)
    answer, statement = strict.support(pairs)
    assert answer < 0.01
    assert statement == pytest.approx(verifier.support(pairs)[1], abs=1e-6)


def test_the_output_setting_of_scikit_learn_does_not_reach_the_verifier(verifier):
    from sklearn import config_context

    pairs = [("Paris is the capital of France.", "The capital of France is Paris.")]
    with config_context(transform_output="pandas"):
        probabilities = load_verifier(batch_tokens=1).support(pairs)
    assert probabilities == pytest.approx(verifier.support(pairs), abs=1e-5)


def test_an_option_of_another_verifier_is_refused(lm):
    with pytest.raises(InvalidInput, match="max_tokens is an option of cross-encoders"):
        load_verifier("lm", lm=lm, max_tokens=3)
    with pytest.raises(InvalidInput, match="lm goes with the verifier 'lm'"):
        load_verifier("default", lm=lm)
    with pytest.raises(InvalidInput, match="max_tokens is 510, which leaves no room for a claim"):
        load_verifier(max_tokens=510)
    with pytest.raises(InvalidInput, match="max_tokens is 0; read at least one token"):
        load_verifier(max_tokens=0)
    with pytest.raises(InvalidInput, match="columns is an option of other people's verifiers, not of 'default'"):
        load_verifier(columns=(0, 1, 2))
    with pytest.raises(InvalidInput, match="nonsense is not an option of 'default'; leave it out"):
        load_verifier(nonsense=1)


def test_the_wrong_word_of_a_claim_is_marked(verifier):
    right = "Marie Curie was born in Warsaw in 1867."
    claims = [right, right.replace("Warsaw", "Lisbon"), right.replace("1867", "1912")]
    spans = verifier.unsupported_spans([(EVIDENCE, claim) for claim in claims])
    assert spans[0] == ()
    assert any("Lisbon" in claims[1][span.start : span.end] for span in spans[1])
    assert any("1912" in claims[2][span.start : span.end] for span in spans[2])
    for claim, own_spans in zip(claims, spans, strict=True):
        for span in own_spans:
            assert 0 <= span.start < span.end <= len(claim)
            assert verifier.span_threshold <= span.probability <= 1
            assert span.kind in ("conflict", "baseless")


def test_spans_are_places_in_the_claim_as_it_was_written(verifier, monkeypatch):
    monkeypatch.setattr(verifier, "span_threshold", 0.5)
    evidence = "The satellite weighs 3420 kg. It was launched on 14 March 2019 from Kourou."
    claim = "The  satellite, which weighs 3,420 kilograms,\nwas launched on 2019-03-14 from Baikonur."
    (spans,) = verifier.unsupported_spans([(evidence, claim)])
    marked = " ".join(claim[span.start : span.end] for span in spans)
    assert "Baikonur" in marked
    assert "3,420" not in marked
    assert "2019" not in marked


def test_a_pair_whose_probabilities_were_read_is_not_read_again_for_its_spans(monkeypatch):
    verifier = load_verifier(batch_tokens=2048)
    pairs = [(EVIDENCE, claim) for claim in SUPPORTED + UNSUPPORTED]
    before = verifier.probabilities(pairs)
    monkeypatch.setattr(verifier, "_forward", lambda units, _model: [] if not units else pytest.fail("read again"))
    assert len(verifier.unsupported_spans(pairs)) == 6
    assert verifier.probabilities(pairs).tolist() == before.tolist()


def test_what_is_kept_of_earlier_pairs_is_bounded(monkeypatch):
    monkeypatch.setattr("halluc.verification.pair_verifier._MAX_READINGS", 10)
    monkeypatch.setattr("halluc.verification.pair_verifier._MAX_TEXTS", 2)
    verifier = load_verifier(batch_tokens=2048)
    pairs = [(f"{EVIDENCE} Line {i}.", claim) for i in range(5) for claim in SUPPORTED]
    together = verifier.support(pairs)
    apart = np.concatenate([verifier.support(pairs[i : i + 3]) for i in range(0, 15, 3)])
    assert together == pytest.approx(apart, abs=0.02)
    assert len(verifier._readings) <= 10
    assert len(verifier._texts) <= 2


def test_a_sentence_of_the_evidence_is_supported_and_nothing_in_it_is_marked(verifier):
    sentence = "Glorp the wug of 12 flims no zib has quelled"
    evidence = f"Nothing is known. {sentence}. All is well."
    assert verifier.support([(evidence, f"{sentence}.")])[0] > 0.9
    assert verifier.unsupported_spans([(evidence, f"{sentence}.")]) == [()]


def test_a_claim_on_another_subject_is_never_refuted(verifier):
    pairs = [
        ("The meeting is at noon in room 4.", "Paris is in Germany."),
        ("The library closes at 8 pm on weekdays.", "Gold is lighter than iron."),
        ("Patients should not take the tablets with grapefruit juice.", "The team lost the final."),
    ]
    supported, refuted, unknown = verifier.probabilities(pairs).T
    assert (supported < 0.5).all()
    assert (refuted < unknown).all()
