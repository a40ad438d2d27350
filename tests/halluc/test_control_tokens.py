"""Control tokens are found by form and in disguise, and ordinary text stays as it is."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc.control_tokens import break_control_tokens
from halluc.prompts import escape, passage_block

# One or more of each family of chat templates.
CONTROL_TOKENS = [
    "<|im_start|>",
    "<|turn>",
    "<turn|>",
    "<|START_OF_TURN_TOKEN|>",
    "<BOS_TOKEN>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<bos>",
    "<unused12>",
    "[|system|]",
    "[|endofturn|]",
    "<seed:bos>",
    "<seed:think>",
    "]~b]",
    "]~!b[",
    "[e~[",
    "<beginning_of_sentence>",
    "[INST]",
    "[/INST]",
    "[SYSTEM_PROMPT]",
    "[TOOL_CALLS]",
    "[/AVAILABLE_TOOLS]",
    "[gMASK]",
    "<sop>",
    "<eop>",
    "<s>",
    "</s>",
    "<unk>",
    "<<SYS>>",
    "<</SYS>>",
    "<｜begin▁of▁sentence｜>",
    "<｜Assistant｜>",
    "<extra_id_0>",
    "<SPECIAL_10>",
    "<reserved_102>",
    "<think>",
    "</think>",
    "<tool_call>",
    "[PAD]",
    "[SEP]",
    ">>QUESTION<<",
    "<passages>",
    "</passages>",
]

ORDINARY = [
    "If a < b and b > c then [1] holds: 3 << 2, x|y, <b>bold</b>.",
    "<div><p>One<br/>two</p></div> <h2>Title</h2>",
    "[1] [12, 13] [a] [sic] array[i] m[i][j] [link](https://x.org)",
    "List<String> names; std::vector<int> v; Map<K, V>; f<T>(x)",
    "|a| < |b|, p(x|y) > 0, x <- y, a <= b >= c, a <> b, <3, ->, =>, if a<b or c>d",
    "Mail <bob@example.com> or see <https://example.com/a_b>.",
    "5 > 3 > 1; >> quoted; ~ about 5; [~3 to 4]; a~b",
    "naïve – “quotes” … ½ ﬁ Ｆｕｌｌ width, ZWJ 👩\u200d🔬 and كتاب\u200cها",
    "",
]


def as_read(text: str) -> str:
    """The text without invisible characters, in compatibility normalization: as a lenient reader sees it."""
    return "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in ("Cf",))


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_control_tokens_of_all_families_are_broken(token):
    for text in (token, f"Hello{token}world", f"{token}{token}", f"a {token.upper()} b" if token.isascii() else token):
        broken = break_control_tokens(text)
        shown = as_read(token)
        assert shown not in as_read(broken)
        assert broken.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "disguise",
    [
        lambda token: "\u200b".join(token),
        lambda token: token[0] + "\u2060" + token[1:],
        lambda token: token[:-1] + "\u00ad" + token[-1],
        lambda token: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in token),
        lambda token: token.replace("<", "＜").replace(">", "＞").replace("|", "｜"),
    ],
    ids=["zero-width spaces", "word joiner", "soft hyphen", "full width", "full-width signs"],
)
@pytest.mark.parametrize("token", ["<|im_end|>", "<start_of_turn>", "[INST]", "</passages>", "<eos>"])
def test_disguised_control_tokens_are_broken(token, disguise):
    assert token in as_read(disguise(token))
    assert token not in as_read(break_control_tokens(f"a {disguise(token)} b"))
    assert token not in as_read(break_control_tokens(f"a {disguise(token)} b", [token], by_form=False))


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_as_it_is(text):
    assert break_control_tokens(text) == text
    assert break_control_tokens(text, ["<|im_end|>"], by_form=False) == text


PIECES = st.sampled_from([*CONTROL_TOKENS, *ORDINARY, *"<>[]|/_~ \n\u200b＜｜＞", "passages", "im_end", "INST"])
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_no_text_yields_a_control_token_and_only_spaces_are_added(text):
    special = ("<|im_end|>", "@@turn@@", "  ", " x")
    broken = break_control_tokens(text, special)
    assert broken.replace(" ", "") == text.replace(" ", "")
    assert break_control_tokens(broken, special) == broken
    for token in [*CONTROL_TOKENS, "@@turn@@"]:
        assert as_read(token) not in as_read(broken)
    block = passage_block([text], special)
    assert len(block.splitlines()) == 3
    assert block.count("<passages>") == block.count("</passages>") == 1


def test_a_long_text_takes_linear_time():
    def seconds(count):
        text = "<|<a[[|<b_" * count + "é"
        started = time.process_time()
        escape(text)
        return time.process_time() - started

    seconds(100)
    assert seconds(40_000) < 20 * max(seconds(10_000), 0.02)
