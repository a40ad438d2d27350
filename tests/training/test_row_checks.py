"""Rows are checked before a model is loaded, and what cannot be trained on is named by its row."""

import subprocess
import sys

import pytest
from datasets import Dataset
from transformers import AutoTokenizer

from halluc.errors import InvalidInput
from halluc.models.packaged_models import pull
from training.preferences.sampled import pairs_from_answers
from training.runs.row_checks import check_examples, check_pair_lengths, check_pairs, check_prompts

QUESTIONS = ["Who discovered penicillin?", "When was it?"]


def user(content):
    return [{"role": "user", "content": content}]


def assistant(content):
    return [{"role": "assistant", "content": content}]


@pytest.fixture
def pairs():
    return pairs_from_answers(QUESTIONS, ["Alexander Fleming", "1928"], ["Marie Curie", "1800"])


def changed(pairs, **columns):
    return Dataset.from_dict({**{name: pairs[name][:] for name in pairs.column_names}, **columns})


def test_pairs_that_would_be_trained_on_wrongly_are_named_by_row(pairs, tokenizer):
    say = [[{"role": "assistant", "content": text}] for text in ("1800", "1800")]
    silent = [[{"role": "assistant", "content": text}] for text in ("x", " ")]
    for broken, message in [
        (pairs.remove_columns("chosen"), "no column 'chosen'; its columns are row, prompt, rejected,"),
        (pairs.rename_column("rejected_factuality", "reject_factuality"), "did you mean 'reject_factuality'"),
        (changed(pairs, chosen=say, rejected=say), "chosen and rejected of row 0 are equal, '1800'"),
        (changed(pairs, rejected=silent), "the rejected completion of row 1 is empty"),
        (changed(pairs, chosen_factuality=[1.0, float("nan")]), "chosen_factuality of row 1 is nan"),
        (pairs.select([]), "there are no preference pairs"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            check_pairs(broken)
    check_pairs(pairs.remove_columns("rejected_factuality"), factuality=False)


def test_a_prompt_or_a_completion_that_does_not_fit_is_named(pairs, tokenizer):
    longest = max(
        len(tokenizer.apply_chat_template([*row["prompt"], *row[side]], return_dict=True)["input_ids"])
        for row in pairs
        for side in ("chosen", "rejected")
    )
    check_pair_lengths(pairs, tokenizer, longest)
    with pytest.raises(InvalidInput, match=rf"the prompt with the \w+ completion of row \d has {longest} tokens"):
        check_pair_lengths(pairs, tokenizer, longest - 1)
    with pytest.raises(InvalidInput, match=r"the prompt of row 0 has \d+ tokens, more than the max_length of 5"):
        check_pair_lengths(pairs, tokenizer, 5)


def test_conversations_need_a_chat_template(pairs):
    bare = AutoTokenizer.from_pretrained(pull("smollm2-135m"))
    bare.chat_template = None
    with pytest.raises(InvalidInput, match="has no chat template"):
        check_pair_lengths(pairs, bare, None)
    plain = changed(pairs, prompt=QUESTIONS, chosen=[" Fleming", " 1928"], rejected=[" Curie", " 1800"])
    check_pair_lengths(plain, bare, 40)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"prompt": [user("a?"), None]}, r"the prompt of row 1 is missing \(null\); write a text or drop the row"),
        ({"chosen": [None, assistant("b")]}, r"the chosen completion of row 0 is missing \(null\)"),
        ({"rejected": [assistant("a"), assistant(None)]}, "the rejected completion of row 1 has a message with the content"),
        ({"chosen": ["text", "text"]}, "the prompt of row 0 is a conversation and its chosen completion is text"),
        ({"prompt": ["a?", "b?"]}, "the prompt of row 0 is text and its chosen completion is a conversation"),
        ({"prompt": [3, 4]}, "the prompt of row 0 is '3'; write a text, or a list of messages"),
        ({"prompt": [[{"content": "a?"}], [{"content": "b?"}]]}, "the prompt of row 0 has a message without a role"),
        (
            {"chosen": [assistant("a"), [{"role": "asistant", "content": "b"}]]},
            "the chosen completion of row 1 has a message with the role 'asistant', which is none of system, ",
        ),
        ({"chosen_factuality": ["high", "low"]}, "chosen_factuality of row 0 is high"),
    ],
)
def test_missing_values_and_mixed_forms_are_named_by_row(pairs, columns, message):
    """They ended as a TypeError or ValueError, or the chat template was blamed."""
    with pytest.raises(InvalidInput, match=message):
        check_pairs(changed(pairs, **columns))


@pytest.mark.parametrize(
    ("check", "rows", "message"),
    [
        (check_prompts, [{"prompt": "a?"}, {"prompt": None}], r"the prompt of row 1 is missing \(null\)"),
        (check_examples, [{"prompt": None, "completion": "b"}], r"the prompt of row 0 is missing \(null\)"),
        (
            check_examples,
            [{"messages": assistant("b")}, {"messages": None}],
            "the conversation of row 1 is missing or empty",
        ),
        (
            check_examples,
            [{"messages": [*user(None), *assistant("b")]}],
            "the prompt of row 0 has a message with the content",
        ),
        (check_prompts, [{"prompt": user([{"type": "text", "text": "a?"}])}], "the prompt of row 0 has a message with the"),
    ],
)
def test_missing_values_of_other_data_sets_are_named_too(check, rows, message):
    with pytest.raises(InvalidInput, match=message):
        check(Dataset.from_list(rows))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"prompt": "a?", "chosen": null, "rejected": "b"}', "the chosen completion of row 0 is missing"),
        (
            '{"prompt": "a?", "chosen": "x", "rejected": "b"}\n'
            '{"prompt": [{"role": "user", "content": "b?"}], "chosen": "x", "rejected": "b"}',
            "prompt of row 1 is [{",
        ),
        (r'{"prompt": "a \ud83d?", "chosen": "x", "rejected": "b"}', "line 1 of pairs.jsonl has a lone surrogate"),
    ],
)
def test_the_command_names_the_row_with_exit_code_2_before_it_loads_the_model(tmp_path, lines, message):
    (tmp_path / "pairs.jsonl").write_text(lines + "\n")
    (tmp_path / "dpo.yaml").write_text(
        "model: not/there\nfactuality_weight: 0\npairs: pairs.jsonl\nuse_cpu: true\nbf16: false\n"
    )
    command = [sys.executable, "-c", "from halluc.cli.main import main; main()", "train", "dpo", "dpo.yaml"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert message in result.stderr
