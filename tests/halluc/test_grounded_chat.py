"""Conversations with a grounded model, and streams that are judged sentence by sentence."""

import asyncio

import pytest
from stand_in_verifiers import SharedWords

from halluc import CheckedSentence, GroundedModel
from halluc.answers import Answer, Claim, Verdict
from halluc.errors import ContextOverflow, InvalidInput
from halluc.grounding.conversation import Conversation, drop_oldest_turns, read_conversation, rewritten_question
from halluc.grounding.sentence_gate import SentenceGate
from halluc.models.language_model import Generation
from retrieval import Passage, PassageIndex

PASSAGES = [
    Passage("fleming", "Alexander Fleming discovered penicillin in 1928.", "Penicillin", metadata={"field": "medicine"}),
    Passage("curie", "Marie Curie was born in Warsaw. She won two Nobel Prizes.", "Curie", metadata={"field": "physics"}),
]
QUESTION = "Who discovered penicillin?"
TRUE, FALSE = "Alexander Fleming discovered penicillin in 1928.", "Alexander Fleming discovered penicillin in 1999."


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = PassageIndex.create(tmp_path_factory.mktemp("chat") / "x.index")
    made.add(PASSAGES)
    return made


@pytest.fixture
def says(lm, monkeypatch):
    """Makes the model stream a text in small pieces; gives the number of pieces that were taken."""

    def use(text):
        taken = []

        def stream(prompt, **_options):
            for start in range(0, len(text), 7):
                taken.append(start)
                yield text[start : start + 7]
            yield Generation(text)

        monkeypatch.setattr(lm, "stream", stream, raising=False)
        return taken

    return use


def streamed(model, prompt=QUESTION, **options):
    *pieces, answer = model.stream(prompt, **options)
    assert isinstance(answer, Answer)
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    return text, [piece for piece in pieces if isinstance(piece, CheckedSentence)], answer


def test_with_min_support_nothing_unsupported_is_sent_before_the_abstention(lm, index, says):
    says(f"{FALSE} Sure.")
    text, sentences, answer = streamed(GroundedModel(lm, index, verifier=SharedWords(), min_support=0.5))
    assert text == ""
    assert [sentence.supported for sentence in sentences] == [False]
    assert answer.abstained
    assert answer.reason == "the least supported claim has support 0.00, below 0.50"


def test_with_min_support_a_supported_sentence_is_sent_as_soon_as_it_is_judged(lm, index, says):
    taken = says(f"{TRUE} {FALSE} And so on and so forth, for a long time.")
    stream = GroundedModel(lm, index, verifier=SharedWords(), min_support=0.5).stream(QUESTION)
    assert next(stream) == f"{TRUE} "
    assert len(taken) < 10
    *_, answer = stream
    assert answer.abstained
    # The generation ends with the sentence that failed.
    assert max(taken) < len(f"{TRUE} {FALSE} And so")


def test_a_text_of_which_nothing_was_checked_is_held_back(lm, index, says):
    says("What do you think? What do you want?")
    text, _, answer = streamed(GroundedModel(lm, index, verifier=SharedWords(), min_support=0.5))
    assert text == ""
    assert answer.reason == "nothing in the answer could be checked, and a support of 0.50 is required"


def test_an_unsupported_sentence_is_marked(lm, index, says):
    says(f"{TRUE} {FALSE} {TRUE}")
    text, sentences, answer = streamed(GroundedModel(lm, index, verifier=SharedWords()), on_unsupported="mark")
    assert text == f"{TRUE} {FALSE} [contradicted] {TRUE}"
    assert [sentence.supported for sentence in sentences] == [True, False, True]
    assert answer.text == f"{TRUE} {FALSE} {TRUE}"
    assert [answer.text[v.claim.start : v.claim.end] for v in answer.verdicts] == [TRUE, FALSE, TRUE]


def test_an_unsupported_sentence_is_replaced(lm, index, says):
    says(f"{TRUE} {FALSE} {TRUE}")
    text, _, answer = streamed(
        GroundedModel(lm, index, verifier=SharedWords()), on_unsupported="replace", replacement="(left out)"
    )
    assert text == answer.text == f"{TRUE} (left out) {TRUE}"
    assert [answer.text[v.claim.start : v.claim.end] for v in answer.verdicts] == [TRUE, "(left out)", TRUE]
    assert answer.verdicts[1].claim.text == FALSE
    assert answer.generation.text == f"{TRUE} {FALSE} {TRUE}"


def test_the_text_stops_before_an_unsupported_sentence(lm, index, says):
    taken = says(f"{TRUE} {FALSE} " + "And on it goes. " * 50)
    text, _, answer = streamed(GroundedModel(lm, index, verifier=SharedWords()), on_unsupported="stop")
    assert text.strip() == answer.text == TRUE
    assert not answer.abstained
    assert answer.reason == "the answer was cut before a sentence that the passages do not support"
    assert max(taken) < 150
    says(FALSE)
    text, _, answer = streamed(GroundedModel(lm, index, verifier=SharedWords()), on_unsupported="stop")
    assert (text, answer.abstained) == ("", True)


def test_verdicts_while_streaming_need_a_verifier(lm, index):
    with pytest.raises(InvalidInput, match="on_unsupported needs verdicts"):
        next(GroundedModel(lm, index).stream(QUESTION, on_unsupported="mark"))
    with pytest.raises(InvalidInput, match="on_unsupported is 'hide'; pass 'mark', 'stop', 'replace' or None"):
        next(GroundedModel(lm, index, verifier=SharedWords()).stream(QUESTION, on_unsupported="hide"))


def test_a_gate_moves_the_places_of_claims_to_the_text_shown():
    gate = SentenceGate("replace", replacement="x")
    assert gate.add("  One is. Two ") == [(0, 8)]
    verdict = Verdict(Claim("One is.", 0, 7), "refuted", 0.1)
    shown, checked = gate.decide((0, 8), [verdict])
    assert shown == "x "
    assert (checked.text, checked.supported) == ("One is.", False)
    assert gate.add("is") == []
    assert gate.end() == [(8, 14)]
    gate.decide((8, 14), [Verdict(Claim("Two is", 8, 14), "supported", 0.9)])
    assert gate.shown == gate.answer_text == "x Two is"
    assert [(v.claim.start, v.claim.end) for v in gate.verdicts] == [(0, 1), (2, 8)]


def test_the_asynchronous_twins_give_the_same(lm, index):
    model = GroundedModel(lm, index)

    async def run():
        pieces = [piece async for piece in model.stream_async(QUESTION)]
        one, (other,) = await asyncio.gather(model.ask_async(QUESTION), model.batch_async([QUESTION]))
        reply = await model.chat_async([{"role": "user", "content": QUESTION}])
        return pieces, one, other, reply

    (*pieces, streamed_answer), one, other, reply = asyncio.run(run())
    assert "".join(pieces).strip() == streamed_answer.text == one.text == other.text == reply.answer.text
    assert "Fleming" in one.text


def test_closing_an_asynchronous_stream_ends_the_generation(lm, index, says):
    taken = says("word " * 400)

    async def run():
        stream = GroundedModel(lm, index).stream_async(QUESTION)
        await anext(stream)
        await stream.aclose()

    asyncio.run(run())
    assert len(taken) < 3


# -- conversations -----------------------------------------------------------------------------------------------------

TURNS = [
    {"role": "user", "content": "Who discovered penicillin?"},
    {"role": "assistant", "content": "Alexander Fleming."},
    {"role": "user", "content": "And when did he discover it?"},
]


def test_a_follow_up_question_is_rewritten_and_answered(lm, index, monkeypatch):
    prompts = []
    generate = type(lm).generate

    def scripted(batch, **options):
        prompts.extend(batch)
        if len(prompts) == 1:
            return [[Generation("When did Alexander Fleming discover penicillin?")]]
        return generate(lm, batch, **options)

    monkeypatch.setattr(lm, "generate", scripted, raising=False)
    reply = GroundedModel(lm, index).chat([{"role": "system", "content": "Be brief."}, *TURNS])
    assert "User: Who discovered penicillin?\nAssistant: Alexander Fleming." in prompts[0][-1]["content"]
    assert reply.question == "When did Alexander Fleming discover penicillin?"
    assert prompts[1][0]["content"].endswith("Be brief.")
    assert [message["role"] for message in prompts[1]] == ["system", "user", "assistant", "user"]
    assert prompts[1][-1]["content"].endswith(f"Question: {reply.question}")
    assert "1928" in reply.answer.text
    assert reply.dropped_turns == 0


def test_a_conversation_of_one_question_is_not_rewritten(lm, index):
    model = GroundedModel(lm, index)
    reply = model.chat([{"role": "user", "content": QUESTION}])
    assert reply.question == QUESTION
    assert reply.answer == model.ask(QUESTION)


def test_a_filter_limits_the_passages(lm, index):
    model = GroundedModel(lm, index, min_answerability=0)
    reply = model.chat([{"role": "user", "content": QUESTION}], filter={"field": "physics"})
    assert [hit.passage.id for hit in reply.answer.hits] == ["curie"]


def test_samples_differ_and_a_seed_repeats_them(lm, index):
    model = GroundedModel(lm, index, max_new_tokens=12)
    messages = [{"role": "user", "content": QUESTION}]
    options = {"n": 3, "temperature": 1.5}
    seeded = model.chat(messages, seed=1, **options)
    assert len(seeded.answers) == 3
    assert [a.text for a in seeded.answers] == [a.text for a in model.chat(messages, seed=1, **options).answers]
    first, second = (model.chat(messages, **options) for _ in range(2))
    assert [a.text for a in first.answers] != [a.text for a in second.answers]
    assert len(model.chat(messages, n=2).answers) == 2
    cut = model.chat(messages, stop=["Fleming"]).answer
    assert "Fleming" not in cut.text


def test_the_oldest_turns_are_dropped_when_the_conversation_is_longer_than_the_window(lm, index, monkeypatch):
    monkeypatch.setattr(lm.model.config, "max_position_embeddings", 400)
    old = [{"role": "user", "content": "word " * 250}, {"role": "assistant", "content": "Yes."}]
    reply = GroundedModel(lm, index, max_new_tokens=8).chat([*old, *TURNS])
    assert reply.dropped_turns == 2
    assert reply.answer.generation is not None
    with pytest.raises(ContextOverflow):
        GroundedModel(lm, index).chat([{"role": "user", "content": "word " * 400}])


def test_dropping_keeps_a_turn_and_its_reply_together():
    turns = tuple({"role": role, "content": "x"} for role in ("user", "assistant", "user", "assistant"))
    conversation = Conversation("q", history=turns)
    kept = drop_oldest_turns(conversation, lambda c: "x" * len(c.history), count=len, room=3)
    assert (len(kept.history), kept.dropped_turns) == (2, 2)
    assert drop_oldest_turns(conversation, lambda c: "", count=len, room=None) == conversation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"When was Bram Stoker born?"', "When was Bram Stoker born?"),
        ("Last question: Where?", "Where?"),
        ("", "And when?"),
        ("I don't know.", "And when?"),
    ],
)
def test_an_unusable_rewriting_leaves_the_question_as_it_was(text, expected):
    assert rewritten_question(Conversation("And when?"), Generation(text)) == expected


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("Hi?", "messages is one string"),
        ([], "the conversation ends with no question"),
        ([{"role": "system", "content": "x"}], "ends with no question"),
        (TURNS[:2], "ends with a message of the assistant"),
        ([{"role": "user", "content": " "}], "the last message is empty"),
        ([{"role": "user", "content": ["x"]}], r"messages\[0\] has the content"),
    ],
)
def test_what_is_no_conversation_with_a_question_is_refused(messages, message):
    with pytest.raises(InvalidInput, match=message):
        read_conversation(messages)


def test_a_system_message_reaches_a_model_whose_template_has_no_system_role(lm, index, monkeypatch):
    from test_chat_template import GEMMA_LIKE, MISTRAL_LIKE

    for template in (GEMMA_LIKE, MISTRAL_LIKE):
        monkeypatch.setattr(lm.tokenizer, "chat_template", template)
        # What is retrieved for a question that this model rewrote by a foreign template does not matter here.
        grounded = GroundedModel(lm, index, max_new_tokens=4, min_answerability=0)
        reply = grounded.chat([{"role": "system", "content": "Be brief."}, *TURNS])
        assert reply.answer.generation is not None
