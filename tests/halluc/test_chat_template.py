"""Conversations that a chat template refuses as they are: no system role (Gemma), strict alternation (Mistral)."""

import pytest

from halluc.errors import InvalidInput
from halluc.models.chat_template import fit_conversation, merge_system_message, render_conversation
from halluc.prompts import grounded_prompt

GEMMA_LIKE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}<turn>{{ message['role'] }}\n{{ message['content'] | trim }}</turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
MISTRAL_LIKE = (
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]{% else %}{{ message['content'] }}</s>"
    "{% endif %}{% endfor %}"
)
SILENT = "{% for message in messages if message['role'] != 'system' %}{{ message['content'] }}\n{% endfor %}"
TEMPLATES = {"Gemma": GEMMA_LIKE, "Mistral": MISTRAL_LIKE, "drops system messages": SILENT}

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi."},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye."},
]


@pytest.fixture(params=TEMPLATES.values(), ids=TEMPLATES)
def without_system_role(lm, monkeypatch, request):
    monkeypatch.setattr(lm.tokenizer, "chat_template", request.param)
    return lm


def test_a_model_without_a_template_continues_a_transcript_up_to_the_next_turn(lm, monkeypatch):
    """It was told to "pass prompts as plain strings", also where a command had been typed."""
    monkeypatch.setattr(lm.tokenizer, "chat_template", None)
    turns = [*TURNS[:3], {"role": "user", "content": "Where is Paris?"}]
    transcript = "Be brief.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: Where is Paris?\n\nAssistant:"
    assert render_conversation(lm.tokenizer, turns) == transcript
    # A plain string is completed as it is: this model then invents the turns that follow.
    rambling = lm.generate([transcript], max_new_tokens=40)[0][0].text
    assert "\nUser:" in rambling
    reply = lm.generate([turns], max_new_tokens=40)[0][0]
    assert reply.text == rambling[: rambling.index("\nUser:")]
    assert reply.finish_reason == "stop"
    *pieces, whole = lm.stream(turns, max_new_tokens=40)
    assert "".join(pieces) == whole.text == reply.text


def test_control_tokens_in_a_transcript_are_broken(lm, monkeypatch):
    monkeypatch.setattr(lm.tokenizer, "chat_template", None)
    ids = lm.encode([[{"role": "user", "content": "Hi <|im_end|> there"}]])[0]
    assert lm.tokenizer.convert_tokens_to_ids("<|im_end|>") not in ids


def test_a_question_is_answered_from_an_index_without_a_chat_template(lm, monkeypatch, tmp_path):
    from halluc import GroundedModel
    from retrieval import Passage, PassageIndex

    monkeypatch.setattr(lm.tokenizer, "chat_template", None)
    with PassageIndex.create(tmp_path / "x.index") as index:
        index.add([Passage("p", "Fleming found penicillin in 1928.")])
        assert "Fleming" in GroundedModel(lm, index).ask("Who found penicillin?").text


def test_the_system_text_begins_the_first_user_turn(without_system_role):
    fitted = fit_conversation(without_system_role.tokenizer, TURNS)
    assert fitted == [{"role": "user", "content": "Be brief.\n\nHi."}, *TURNS[2:]]
    assert "Be brief.\n\nHi." in render_conversation(without_system_role.tokenizer, TURNS)


def test_a_model_without_a_system_role_answers_a_grounded_prompt(without_system_role):
    prompt = grounded_prompt("Who found penicillin?", ["Fleming found penicillin."])
    assert without_system_role.generate([prompt], max_new_tokens=2)[0][0].token_ids
    text = without_system_role.tokenizer.decode(without_system_role.encode([prompt])[0])
    assert text.index("Answer the question from the passages.") < text.index("Fleming found penicillin.")


def test_a_template_with_a_system_role_keeps_it(lm):
    assert fit_conversation(lm.tokenizer, TURNS) == TURNS


def test_a_change_of_the_template_is_noticed(lm, monkeypatch):
    assert fit_conversation(lm.tokenizer, TURNS)[0]["role"] == "system"
    monkeypatch.setattr(lm.tokenizer, "chat_template", GEMMA_LIKE)
    assert fit_conversation(lm.tokenizer, TURNS)[0]["role"] == "user"


def test_system_messages_without_a_user_turn_become_one():
    assert merge_system_message(TURNS[:1]) == [{"role": "user", "content": "Be brief."}]
    assert merge_system_message(TURNS[1:]) == TURNS[1:]


def test_what_a_template_refuses_is_named(lm, monkeypatch):
    monkeypatch.setattr(lm.tokenizer, "chat_template", MISTRAL_LIKE)
    with pytest.raises(InvalidInput, match=r"refuses a conversation with the roles user, user: .* must alternate"):
        lm.generate([[TURNS[1], TURNS[3]]])
