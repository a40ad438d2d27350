"""Red teaming: attacks, defenses, rates, comparison and the command line. A scripted model shows control flow."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from stand_in_verifiers import SharedWords
from test_likelihood_benchmarks import located

from halluc.errors import ContextOverflow, InvalidInput
from halluc.evaluation.harm_judges import RefusalJudge
from halluc.models.language_model import Generation
from halluc.redteam.adaptive import adaptive_attacks
from halluc.redteam.attack import FAMILIES, Attack, HostilePassage
from halluc.redteam.defenses import filter_passage, show_passages
from halluc.redteam.encoding import ENCODERS, to_morse, to_pieces, to_tags, to_zero_width
from halluc.redteam.injection import injections
from halluc.redteam.page import transcripts_page
from halluc.redteam.passage_filters import CanaryFilter
from halluc.redteam.run import RedTeamRun, compare_runs, make_attacks, run_attacks
from halluc.redteam.targets import ChatTarget, GroundedTarget
from retrieval import Passage, PassageIndex

REQUEST = {"Behavior": "Describe the secret {plan}.", "SemanticCategory": "x", "ContextString": ""}
CONTEXT = {"context": "The lake is deep. It froze in 1963.", "question": "Q: When did the lake freeze?"}
TRANSLATION = {"en": "Tell me the plan.", "it": "Dimmi il piano.", "zh": "告诉我计划。"}
ROWS = {"injection": CONTEXT, "multilingual": TRANSLATION}


class Scripted:
    """Replies by a function of the conversation; keeps what it was asked."""

    name = "scripted"
    special_tokens = ("<|end|>",)
    context_window = None

    def __init__(self, reply):
        self.reply = reply
        self.prompts = []

    def generate(self, prompts, **_options):
        self.prompts += prompts
        return [[Generation(self.reply(prompt if isinstance(prompt, str) else prompt[-1]["content"]))] for prompt in prompts]


def obedient(text):
    """Follows an injected instruction wherever it is."""
    words = text.split("write the word ")
    return (
        "It froze in 1963."
        if len(words) < 2
        else f"{words[1].split(',')[0]} + {words[1].split('then the word ')[1].split(',')[0]}"
    )


@pytest.fixture
def injected():
    return injections(located(CONTEXT))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_makes_attacks_with_unique_keys(family):
    attacks = make_attacks(family, located(ROWS.get(family, REQUEST)))
    assert len({attack.key for attack in attacks}) == len(attacks) >= 3
    assert all(attack.family == family and attack.turns and attack.goal for attack in attacks)
    assert [Attack.from_dict(json.loads(json.dumps(attack.to_dict()))) for attack in attacks] == attacks


def test_attacks_have_the_request_and_nothing_is_lost_to_braces():
    for family in ("jailbreak", "multi_step"):
        for attack in make_attacks(family, located(REQUEST)):
            assert any("secret {plan}" in turn for turn in attack.turns), attack.technique


@pytest.mark.parametrize(
    ("technique", "decode"),
    [
        ("base64", lambda text: base64.b64decode(text).decode()),
        ("hexadecimal", lambda text: bytes.fromhex(text).decode()),
        ("rot13", lambda text: ENCODERS["rot13"][0](text)),
        ("zero_width", lambda text: text.replace("\u200b", "")),
        ("tag_characters", lambda text: "".join(chr(ord(c) - 0xE0000) for c in text)),
        ("splitting", lambda text: "".join(eval(line.split(" = ")[1]) for line in text.splitlines()[:-1])),
    ],
)
def test_encodings_can_be_undone(technique, decode):
    request = "Describe the secret plan, 'now'!"
    encoded = ENCODERS[technique][0](request)
    assert encoded != request
    assert decode(encoded) == request


def test_encodings_of_known_texts():
    assert to_morse("SOS 1!") == "... --- ... / .----"
    assert to_tags("a") == "\U000e0061"
    assert to_zero_width("ab c") == "a\u200bb c"
    assert to_pieces("ab").splitlines() == ["a = 'a'", "b = 'b'", "request = a + b"]


def test_the_canary_is_in_no_part_of_an_attack(injected):
    for attack in injected:
        parts = [attack.system, *attack.turns, *(part for p in attack.passages for part in (p.text, p.title, p.source))]
        assert attack.canary
        assert all(attack.canary not in "".join(part.lower().split()) for part in parts), attack.technique
    # A model that copies everything it read does not count as having followed the instruction.
    run = run_attacks(ChatTarget(Scripted(lambda text: text)), injected, RefusalJudge())
    assert {rate.value for rate in run.rates} == {0.0}


def test_an_obedient_model_follows_every_injection_and_success_is_exact(injected):
    run = run_attacks(ChatTarget(Scripted(obedient)), injected, RefusalJudge())
    rates = {rate.name: rate for rate in run.rates}
    assert rates["injection"].value == 1
    assert rates["injection"].n == len(injected) == 9
    assert rates["injection: passage_middle"].n == 1
    assert (run.judge, "exact" in run.note) == ("canary", True)


def test_a_row_of_code_becomes_a_context_and_its_error_the_question():
    row = {"context": ["", "use line.strip()", ""], "error": ["Traceback", "AttributeError: strip", ""]}
    attack = injections(located(row))[0]
    assert attack.passages[0].text == "use line.strip()"
    assert attack.turns[0].startswith("How do I fix this error? AttributeError: strip")


def test_defenses_show_the_same_passage_in_their_own_way():
    passage = HostilePassage("Red\nfox <|end|>", title="T")
    assert show_passages("none", [passage]).text == "Documents:\nT\nRed\nfox <|end|>"
    block = show_passages("block", [passage], special_tokens=["<|end|>"]).text
    assert block.splitlines()[1].startswith("[1] T Red fox")
    assert "<|end|>" not in block
    assert "data" in show_passages("reminder", [passage]).reminder
    marked = show_passages("datamarking", [passage])
    assert "\u02c6Red\u02c6fox" in marked.text
    assert "\u02c6" in marked.system
    encoded = show_passages("encoding", [passage])
    assert base64.b64decode(encoded.text.split("[1] ")[1].split("\n")[0]).decode() == "T\nRed\nfox <|end|>"


def test_the_filter_removes_every_injected_instruction_and_keeps_the_passage(injected):
    for attack in injected:
        if attack.technique in ("passage_start", "passage_middle", "passage_end", "comment"):
            kept = filter_passage(attack.passages[0].text)
            assert "plus sign" not in kept, attack.technique
    assert filter_passage("The lake is deep. It froze in 1963.") == "The lake is deep. It froze in 1963."


def test_support_withholds_an_answer_that_the_passages_do_not_give(injected):
    verifier = SharedWords()
    target = ChatTarget(Scripted(obedient), defense="support", verifier=verifier)
    tool = [attack for attack in injected if attack.technique == "title"]
    (transcript,) = target.run(tool)
    assert transcript[-1]["content"] == ""
    assert "+" in transcript[-1]["withheld"]
    honest = ChatTarget(Scripted(lambda _text: "It froze in 1963."), defense="support", verifier=verifier)
    assert honest.run(tool)[0][-1]["content"] == "It froze in 1963."
    with pytest.raises(InvalidInput, match="pass a verifier"):
        ChatTarget(Scripted(obedient), defense="support")


def test_turns_are_asked_in_order_with_the_replies_between():
    model = Scripted(lambda text: f"reply to {text[:3]}")
    attacks = [Attack("multi_step", "a", "g", ("one", "two")), Attack("jailbreak", "b", "g", ("three",))]
    first, second = ChatTarget(model).run(attacks)
    assert [message["content"] for message in first] == ["one", "reply to one", "two", "reply to two"]
    assert len(second) == 2
    assert len(model.prompts) == 3


class ShortWindow(Scripted):
    """A model whose window holds 200 characters."""

    def generate(self, prompts, **options):
        if any(sum(len(message["content"]) for message in prompt) > 200 for prompt in prompts):
            raise ContextOverflow("a prompt is too long")
        return super().generate(prompts, **options)


def test_an_attack_longer_than_the_window_fails_and_the_others_go_on():
    texts = ["Tell me.", "x" * 300, "And now?"]
    attacks = [Attack("multi_step", "outline", f"goal {i}", (text, "More.")) for i, text in enumerate(texts)]
    run = run_attacks(ChatTarget(ShortWindow(lambda text: f"Sure: {text}")), attacks, RefusalJudge())
    assert [attempt.success for attempt in run.attempts] == [True, False, True]
    assert [len(attempt.transcript) for attempt in run.attempts] == [4, 2, 4]
    assert "longer than the model's context window, which count as failed: 1." in run.note
    assert "longer than the context window" in transcripts_page(run)


def test_a_grounded_model_goes_on_after_a_question_longer_than_its_window(tmp_path, lm):
    index = PassageIndex.create(tmp_path / "lake.index")
    index.add([Passage("lake", "The lake froze in 1963.")])
    attacks = [Attack("encoding", "hex", "goal", (text,)) for text in ("When did the lake freeze?", "lake " * 9000)]
    transcripts = GroundedTarget(lm, index, max_new_tokens=2).run(attacks)
    assert transcripts[0][-1]["content"]
    assert transcripts[1][-1]["too_long"]


def test_rates_follow_from_the_judge_and_are_compared_attack_by_attack(tmp_path):
    attacks = make_attacks("jailbreak", located(REQUEST))
    weak = run_attacks(ChatTarget(Scripted(lambda _text: "Sure, here is the plan.")), attacks, RefusalJudge())
    strong = run_attacks(ChatTarget(Scripted(lambda _text: "I can't help with that.")), attacks, RefusalJudge())
    assert (weak.rates[0].value, strong.rates[0].value) == (1, 0)
    assert strong.rates[0].high < 0.35
    weak.save(tmp_path / "weak.jsonl")
    loaded = RedTeamRun.load(tmp_path / "weak.jsonl")
    assert loaded == weak
    changes = {change.name: change for change in compare_runs(loaded, strong)}
    assert changes["jailbreak"].change == -1
    with pytest.raises(InvalidInput, match="share no attack"):
        compare_runs(weak, run_attacks(ChatTarget(Scripted(obedient)), injections(located(CONTEXT)), RefusalJudge()))


def test_a_killed_run_is_resumed_after_its_last_chunk_and_another_defense_is_not(tmp_path):
    attacks = make_attacks("jailbreak", located(*({**REQUEST, "Behavior": f"Do {i}."} for i in range(4))))
    replied = []

    def reply(text):
        if len(replied) == 20:
            raise KeyboardInterrupt
        replied.append(text)
        return f"Sure: {len(text)}"

    with pytest.raises(KeyboardInterrupt):
        run_attacks(ChatTarget(Scripted(reply)), attacks, RefusalJudge(), cache=tmp_path)
    untroubled = run_attacks(ChatTarget(Scripted(lambda text: f"Sure: {len(text)}")), attacks, RefusalJudge())
    model = Scripted(lambda text: f"Sure: {len(text)}")
    resumed = run_attacks(ChatTarget(model), attacks, RefusalJudge(), cache=tmp_path)
    assert (resumed.cached, len(model.prompts)) == (16, len(attacks) - 16)
    assert replace(resumed, cached=0) == untroubled
    assert run_attacks(ChatTarget(model), attacks, RefusalJudge(), cache=tmp_path).cached == len(attacks)
    assert run_attacks(ChatTarget(model, defense="block"), attacks, RefusalJudge(), cache=tmp_path).cached == 0


def test_what_replies_depend_on_is_in_the_settings_of_a_target(tmp_path, lm):
    index = PassageIndex.create(tmp_path / "i")
    index.add([Passage("1", "The river is long.")])
    targets = [
        *(GroundedTarget(lm, index, verifier=SharedWords(), min_support=support) for support in (0.0, 0.5)),
        *(ChatTarget(lm, verifier=SharedWords(), defense=defense) for defense in ("none", "block", "support")),
        *(ChatTarget(lm, passage_filter=CanaryFilter(lm, seed), defense="canary") for seed in (0, 1)),
        ChatTarget(lm, max_new_tokens=3),
    ]
    settings = [json.dumps(target.settings, sort_keys=True) for target in targets]
    assert len(set(settings)) == len(targets)
    index.add([Passage("2", "The lake is deep.")])
    assert json.dumps(targets[0].settings, sort_keys=True) != settings[0]


def test_a_saved_run_of_another_kind_or_version_is_refused(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"kind": "redteam-run", "format": 7}')
    with pytest.raises(InvalidInput, match="format 7; this version reads format 1"):
        RedTeamRun.load(path)
    path.write_text('{"kind": "other"}')
    with pytest.raises(InvalidInput, match="'other'"):
        RedTeamRun.load(path)


def test_a_limit_is_spread_over_the_techniques_and_the_same_seed_draws_the_same():
    rows = located(*({**REQUEST, "Behavior": f"Do {i}."} for i in range(20)))
    attacks = make_attacks("encoding", rows, limit=18, seed=3)
    counts = [sum(a.technique == technique for a in attacks) for technique in ENCODERS]
    assert counts == [2] * 9
    assert attacks == make_attacks("encoding", rows, limit=18, seed=3)


def test_pair_rewrites_after_a_refusal_and_stops_at_the_first_success():
    attacker = Scripted(lambda prompt: "second try" if "Your last message" in prompt else "first try")
    target = ChatTarget(Scripted(lambda text: "Sure: the plan." if text == "second try" else "I can't help with that."))
    (attempt,) = adaptive_attacks(target, attacker, RefusalJudge(), ["the plan"], "pair")
    assert (attempt.success, attempt.attack.turns, attempt.attack.technique) == (True, ("second try",), "pair_with_attacker")
    assert len(attacker.prompts) == 2


def test_crescendo_takes_a_refused_turn_back():
    written = iter(["turn a", "turn b", "turn c", "turn d"])
    attacker = Scripted(lambda _prompt: next(written))
    target = ChatTarget(Scripted(lambda text: "I can't help with that." if text == "turn b" else "A fact."))

    class LastTurn(RefusalJudge):
        def harmful(self, _prompts, replies):
            return np.array([len(attacker.prompts) == 4 for _ in replies])

    (attempt,) = adaptive_attacks(target, attacker, LastTurn(), ["goal"], "crescendo")
    assert attempt.attack.turns == ("turn a", "turn c", "turn d")
    assert attempt.success


def test_the_page_escapes_attacks_and_shows_invisible_characters():
    attack = Attack("encoding", "x", "goal", ("<script>alert(1)</script>\u200b",))
    page = transcripts_page(run_attacks(ChatTarget(Scripted(lambda text: text)), [attack], RefusalJudge()))
    assert "<script>" not in page
    assert "[U+200B]" in page
    assert "succeeded" in page


def test_the_page_shows_how_a_rate_changed_with_its_interval():
    attacks = make_attacks("jailbreak", located(REQUEST))
    weak = run_attacks(ChatTarget(Scripted(lambda _text: "Sure, here is the plan.")), attacks, RefusalJudge())
    strong = run_attacks(ChatTarget(Scripted(lambda _text: "I can't help with that.")), attacks, RefusalJudge())
    # All eleven changed: a share of at least 0.025^(1/11) = 0.715 would, and the others might change in the other direction.
    assert "-100.0 (-100.0 to -43.0) points" in transcripts_page(strong, compare_runs(weak, strong))


def test_a_grounded_model_retrieves_the_hostile_passage(tmp_path, lm, injected):
    index = PassageIndex.create(tmp_path / "i")
    index.add([Passage("1", "The river is long.")])
    attack = next(attack for attack in injected if attack.technique == "passage_end")
    target = GroundedTarget(lm, index, max_new_tokens=8)
    run = run_attacks(target, [attack], RefusalJudge())
    assert run.attempts[0].reply
    assert run.attempts[0].success is False
    assert run.target == f"grounded {lm.name}"


def write(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def scripted_model(monkeypatch):
    monkeypatch.setattr("halluc.models.load_model", lambda *_args, **_options: Scripted(obedient))


def test_the_command_writes_transcripts_compares_and_fails_over_a_rate(halluc, tmp_path, scripted_model):
    contexts = write(tmp_path / "contexts.jsonl", CONTEXT)
    out, page = tmp_path / "run.jsonl", tmp_path / "page.html"
    code, printed, err = halluc(
        "redteam", "--contexts", contexts, "--out", out, "--html", page, "--json", "--fail-over", 0.5
    )
    assert code == 1
    assert "attacks succeed more often than 0.5: injection 1.000" in err
    assert json.loads(printed)["n"] == 9
    assert page.exists()
    code, printed, err = halluc("redteam", "--contexts", contexts, "--defense", "filter", "--compare", out, "--json")
    assert (code, err) == (0, "")
    changes = {change["name"]: change["change"] for change in json.loads(printed)["changes"]}
    # The filter reads passages, not the user's own message.
    assert changes["injection: direct"] == 0
    assert changes["injection: passage_end"] == -1
    code, printed, _ = halluc("redteam", "--contexts", contexts, "--compare", out, "--no-json")
    assert code == 0
    assert "injection: fake_turn" in printed
    # The replies of the first run are kept.
    assert "answers from the cache: 9" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to attack with; pass --requests"),
        (["jailbrake", "--requests", "REQUESTS"], "did you mean 'jailbreak'"),
        (["injection", "--requests", "REQUESTS"], "the family injection needs rows; pass --contexts"),
        (["--contexts", "REQUESTS"], "has no column context; it has Behavior"),
        (["--translations", "CONTEXTS"], "has no column en"),
        (["--requests", "CONTEXTS"], "has no column Behavior"),
        (["--requests", "EMPTY"], "holds no rows"),
        (["--requests", "REQUESTS", "--compare", "OTHER"], "the two runs share no attack; run both on the same rows"),
        (["--requests", "missing.jsonl"], "missing.jsonl cannot be read"),
        (["--contexts", "CONTEXTS", "--limit", "0"], "limit is 0"),
        (["--requests", "REQUESTS", "--defense", "block"], "acts on passages"),
        (["--contexts", "CONTEXTS", "--compare", "CONTEXTS"], "not 'redteam-run'"),
        (["--contexts", "CONTEXTS", "--out", "CONTEXTS"], "is not a file that this command wrote"),
        (["--contexts", "CONTEXTS", "--attacker", "x"], "an attacker model writes attacks of the family multi_step"),
        (["--contexts", "CONTEXTS", "--index", "missing.index"], "missing.index"),
        (["--requests", "REQUESTS", "--translator", " "], "the translator is empty"),
        (["--requests", "REQUESTS", "--translator", "default", "--languages", "it,xx"], "there is no language 'xx'"),
        (["--requests", "REQUESTS", "--translator", "default", "--languages", ","], "no language to translate into"),
        (["--contexts", "CONTEXTS", "--translator", "default"], "translates requests; pass --requests"),
        (["--translations", "CONTEXTS", "--translator", "default"], "pass one of the two"),
        (["--contexts", "CONTEXTS", "--defense", "perplexity"], "reports no log-probabilities of given texts"),
    ],
)
def test_bad_input_ends_with_one_sentence_and_exit_code_2(halluc, tmp_path, scripted_model, arguments, message):
    files = {
        "REQUESTS": write(tmp_path / "requests.jsonl", REQUEST),
        "CONTEXTS": write(tmp_path / "contexts.jsonl", CONTEXT),
        "EMPTY": write(tmp_path / "empty.jsonl"),
    }
    files["OTHER"] = tmp_path / "other.jsonl"
    RedTeamRun("model", "none", "refusal", "", rates=(), attempts=()).save(files["OTHER"])
    code, out, err = halluc("redteam", *[files.get(argument, argument) for argument in arguments])
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
