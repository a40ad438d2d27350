"""`detect`: what is shared, what is skipped, and why. The scripted models only check control flow."""

import json
import math

import numpy as np
import pytest

import halluc
from halluc.detectors.detector import Detector, Family
from halluc.detectors.statistics import Statistic
from halluc.detectors.table import DETECTORS
from halluc.errors import InvalidInput
from halluc.models.language_model import Generation

PROMPTS = ["What is the capital of France?", "Name a color."]


class WordOverlap:
    """A scripted verifier that records the pairs it judges.

    Support is the share of the claim's words in the evidence, and 0 where its last word is not there: the answer after the
    question.
    """

    name = "word overlap"

    def __init__(self):
        self.calls = []

    def probabilities(self, pairs):
        self.calls.append(list(pairs))
        support = np.array([self._overlap(evidence, claim) for evidence, claim in pairs])
        return np.stack([support, (1 - support) / 2, (1 - support) / 2], 1)

    def support(self, pairs):
        return self.probabilities(pairs)[:, 0]

    @staticmethod
    def _overlap(evidence, claim):
        words, known = claim.lower().split(), evidence.lower().split()
        return sum(word in known for word in words) / len(words) if words[-1] in known else 0.0


class ScriptedEndpoint:
    """Fixed texts, with or without log-probabilities."""

    name = "scripted"
    context_window = None

    def __init__(self, *, logprobs):
        self.logprobs = logprobs
        self.calls = 0

    def count_tokens(self, prompt):
        return 5

    def generate(self, prompts, *, n=1, temperature=0.0, top_logprobs=0, **_options):
        self.calls += 1
        texts = ["Paris"] if temperature == 0 else ["Paris", "Rome", "Paris", "Paris", "Lyon"][:n]
        known = (-0.5,) if self.logprobs else ()
        top = ((("True", -0.1), ("False", -2.4)),) if self.logprobs and top_logprobs else ()
        return [[Generation(text, token_logprobs=known, top_logprobs=top) for text in texts] for _ in prompts]


@pytest.fixture(scope="module")
def everything(lm):
    verifier = WordOverlap()
    return halluc.detect(lm, PROMPTS, n_samples=3, max_new_tokens=8, verifier=verifier), verifier


def test_every_detector_runs_or_says_why_not(everything):
    found, _ = everything
    assert set(found) | set(found.skipped) == set(DETECTORS)
    assert set(found.skipped) == {"support", "least_support", "context_attribution"}
    assert "pass contexts" in found.skipped["support"]
    with pytest.raises(KeyError, match="did not run: there is no source"):
        found["support"]
    for name, values in found.items():
        assert values.shape == (2,)
        assert np.isfinite(values).all() or name == "verbalized_confidence"


def test_all_detectors_share_one_call_of_the_verifier_without_a_pair_twice(everything):
    _, verifier = everything
    assert len(verifier.calls) == 1
    assert len(set(verifier.calls[0])) == len(verifier.calls[0])


def test_the_model_generates_once_for_all_detectors(lm, monkeypatch):
    calls = []
    generate = lm.model.generate
    monkeypatch.setattr(lm.model, "generate", lambda **options: calls.append(1) or generate(**options))
    names = ["perplexity", "semantic_entropy", "eigen_score", "rauq", "cocoa", "lexical_similarity"]
    halluc.detect(lm, PROMPTS, detectors=names, n_samples=2, max_new_tokens=4, verifier=WordOverlap())
    assert len(calls) == 1


def test_scores_follow_from_the_statistics_kept(everything):
    found, _ = everything
    expected = [-own.mean() for own in found.statistics.token_logprobs]
    assert found["perplexity"] == pytest.approx(expected)
    assert found.generations[0].text == found.statistics.answers[0]


def test_costs_are_of_each_detector_alone_and_no_more_than_the_whole(everything):
    found, _ = everything
    assert (
        found.costs["perplexity"].tokens < found.costs["lexical_similarity"].tokens < found.costs["selfcheck_prompt"].tokens
    )
    assert all(0 < cost.seconds <= found.total.seconds for cost in found.costs.values())
    assert found.costs["p_true"].tokens < found.total.tokens


def test_claims_are_scored_by_the_tokens_that_spell_them(lm):
    answer = "Paris is the capital. It is in Spain."
    found = halluc.detect(lm, PROMPTS[:1], detectors=["perplexity", "lexical_similarity"], answers=[answer], n_samples=2)
    first, second = found.claims()[0]
    spans, logprobs = found.statistics.token_spans[0], found.statistics.token_logprobs[0]
    end = answer.index(".") + 1
    assert first.scores == {"perplexity": pytest.approx(-logprobs[spans[:, 0] < end].mean())}
    assert second.scores["perplexity"] != first.scores["perplexity"]


def test_the_answer_is_judged_against_its_context(lm):
    found = halluc.detect(
        lm,
        ["Where is the tower?"] * 2,
        detectors=["support", "least_support", "context_attribution"],
        contexts=["The tower is in Oslo."] * 2,
        answers=["The tower is in Oslo.", "The tower is in Oslo. Bananas grow there quickly."],
        verifier=WordOverlap(),
    )
    assert found["support"][0] == pytest.approx(0)
    assert found["least_support"][1] > found["support"][1] > 0
    # The context makes the answer likelier than it is without.
    assert (found["context_attribution"] < 0).all()


def test_an_index_is_searched_for_evidence(tmp_path, lm):
    from retrieval import Passage, PassageIndex

    with PassageIndex.create(tmp_path / "x.index") as index:
        index.add([Passage(id="a", text="The tower is in Oslo."), Passage(id="b", text="Bananas are yellow.")])
        found = halluc.detect(
            lm, ["q"], detectors=["support"], answers=["The tower is in Oslo."], index=index, verifier=WordOverlap()
        )
    assert found["support"] == pytest.approx([0])


def test_an_endpoint_without_log_probabilities_runs_what_needs_none():
    lm = ScriptedEndpoint(logprobs=False)
    found = halluc.detect(lm, PROMPTS, verifier=WordOverlap())
    ran = {"discrete_semantic_entropy", "number_of_semantic_sets", "lexical_similarity", "selfcheck_ngram", "selfcheck_nli"}
    assert ran <= set(found)
    assert found["discrete_semantic_entropy"] == pytest.approx([-(0.6 * math.log(0.6) + 0.4 * math.log(0.2))] * 2)
    assert "returns no log-probabilities of its tokens" in found.skipped["perplexity"]
    assert "does not expose attention weights" in found.skipped["rauq"]
    assert "log-probabilities" in found.skipped["p_true"]
    assert "eigen_score" in found.skipped


def test_an_endpoint_with_log_probabilities_runs_more():
    lm = ScriptedEndpoint(logprobs=True)
    found = halluc.detect(lm, PROMPTS, detectors=["perplexity", "semantic_entropy", "p_true"], verifier=WordOverlap())
    assert found["perplexity"] == pytest.approx([0.5, 0.5])
    assert found["p_true"][0] < 0.5
    # Greedy, samples, and one question about the answers.
    assert lm.calls == 3
    assert not found.skipped


class LikelihoodEndpoint(ScriptedEndpoint):
    """An endpoint whose samples differ in likelihood."""

    def generate(self, prompts, *, n=1, temperature=0.0, **_options):
        texts = ["Paris"] if temperature == 0 else ["Paris", "Rome", "Paris", "Lyon"][:n]
        logprobs = {"Paris": (-0.5, -1.5), "Rome": (-3.0,), "Lyon": (-0.25,)}
        return [[Generation(text, token_logprobs=logprobs[text]) for text in texts] for _ in prompts]


def test_semantic_entropy_weights_meanings_by_the_likelihood_of_their_samples():
    """Mean log-probabilities are -1 (twice), -3 and -0.25; a count of samples would give another entropy."""
    lm = LikelihoodEndpoint(logprobs=True)
    found = halluc.detect(lm, PROMPTS[:1], detectors=["semantic_entropy"], n_samples=4, verifier=WordOverlap())
    mass = np.array([2 * math.exp(-1), math.exp(-3), math.exp(-0.25)])
    share = mass / mass.sum()
    assert found["semantic_entropy"] == pytest.approx([-(share * np.log(share)).sum()])


def test_answers_and_contexts_may_be_given_for_some_prompts(lm):
    """The statistics of each row are those of a call of its own."""
    names = ["perplexity", "support", "context_attribution", "lexical_similarity"]
    prompts = ["What is the capital of France?", "Where is the tower?", "Name a color."]
    answers, contexts = [None, "In Oslo.", "Blue."], [None, "The tower is in Oslo.", None]
    options = {"detectors": names, "verifier": WordOverlap(), "n_samples": 2, "max_new_tokens": 6}
    mixed = halluc.detect(lm, prompts, answers=answers, contexts=contexts, **options)
    assert mixed.statistics.answers[1:] == ("In Oslo.", "Blue.")
    assert "Paris" in mixed.statistics.answers[0]
    for i, (prompt, answer, context) in enumerate(zip(prompts, answers, contexts, strict=True)):
        alone = halluc.detect(lm, [prompt], answers=[answer], contexts=[context], **options)
        assert alone.statistics.answers == (mixed.statistics.answers[i],)
        assert alone["perplexity"] == pytest.approx(mixed["perplexity"][[i]], rel=1e-3)
        for name in ("support", "context_attribution"):
            if context is None:
                assert np.isnan(mixed[name][i])
                assert name in alone.skipped
            else:
                assert alone[name] == pytest.approx(mixed[name][[i]], rel=1e-3)


def test_an_index_judges_the_answers_that_have_no_context(tmp_path):
    from retrieval import Passage, PassageIndex

    with PassageIndex.create(tmp_path / "x.index") as index:
        index.add([Passage(id="a", text="The tower is in Oslo.")])
        found = halluc.detect(
            ScriptedEndpoint(logprobs=False),
            ["q", "q"],
            detectors=["support"],
            answers=["The tower is in Oslo."] * 2,
            contexts=[None, "Nothing is known of it."],
            index=index,
            verifier=WordOverlap(),
        )
    assert found["support"] == pytest.approx([0, 1])


def test_an_endpoint_answers_the_prompts_without_an_answer():
    found = halluc.detect(
        ScriptedEndpoint(logprobs=True), PROMPTS, detectors=["perplexity", "lexical_similarity"], answers=[None, "Blue"]
    )
    assert found.statistics.answers == ("Paris", "Blue")
    # An endpoint returns no log-probabilities of a given text.
    assert found["perplexity"] == pytest.approx([0.5, np.nan], nan_ok=True)
    alone = halluc.detect(ScriptedEndpoint(logprobs=True), PROMPTS, detectors=["perplexity"], answers=["Red", "Blue"])
    assert alone.skipped == {"perplexity": "scripted returns no log-probabilities of a given text"}


def test_a_custom_detector_runs_with_those_of_the_table():
    length = Detector(
        "length", Family.sampling, frozenset({Statistic.samples}), lambda s: np.array([len(a) for a in s.answers])
    )
    found = halluc.detect(ScriptedEndpoint(logprobs=False), PROMPTS, detectors=["lexical_similarity", length])
    assert found["length"].tolist() == [5, 5]


def test_results_are_plain_json(everything):
    found, _ = everything
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert len(report["rows"]) == 2
    assert report["rows"][0]["scores"]["perplexity"] == pytest.approx(found["perplexity"][0])


def test_every_detector_says_what_it_is():
    for name, detector in DETECTORS.items():
        assert detector.name == name
        assert len(detector.summary) > 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detectors": ["nonsense"]}, "there is no detector 'nonsense'; there are max_sequence_probability"),
        ({"detectors": "perplexity"}, "pass a list"),
        ({"detectors": []}, "the list of detectors is empty"),
        ({"answers": ["x"]}, "2 prompts, 1 answers"),
        ({"contexts": ["x"]}, "2 prompts, 1 contexts"),
        ({"contexts": ["x", " "]}, r"contexts\[1\] is empty"),
        ({"answers": "xy"}, "answers is 'xy'; pass a list"),
        ({"contexts": "xy"}, "contexts is 'xy'; pass a list"),
        ({"answers": ["x", 3]}, r"answers\[1\] is 3, not a text"),
        ({"answers": ["x", "\ud83d"]}, r"answers\[1\] has a lone surrogate"),
        ({"contexts": ["\ud83d", "x"]}, r"contexts\[0\] has a lone surrogate"),
        ({"detectors": 3}, "detectors is 3; pass a list of names"),
        ({"contexts": 3}, "contexts is '3'; pass a list"),
        ({"n_samples": "5"}, "n_samples is '5'; pass a whole number"),
        ({"n_samples": 2.5}, "n_samples is 2.5; pass a whole number"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"stop": "ab"}, "stop is one string"),
        ({"detectors": [3]}, "3 is neither a name nor a Detector"),
    ],
)
def test_unusable_arguments_are_named(options, message):
    with pytest.raises(InvalidInput, match=message):
        halluc.detect(ScriptedEndpoint(logprobs=True), PROMPTS, **{"detectors": ["perplexity"], **options})


def test_no_prompts_are_refused_and_one_sample_skips_a_detector():
    lm = ScriptedEndpoint(logprobs=True)
    with pytest.raises(InvalidInput, match="no prompts"):
        halluc.detect(lm, [])
    with pytest.raises(InvalidInput, match="a prompt is neither text nor a list of messages"):
        halluc.detect(lm, [3])
    with pytest.raises(InvalidInput, match="prompts is 'why"):
        halluc.detect(lm, "why?")
    found = halluc.detect(lm, PROMPTS, detectors=["lexical_similarity"], n_samples=1)
    assert found.skipped == {"lexical_similarity": "n_samples is 1; draw at least 2"}
