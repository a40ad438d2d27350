import json
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from halluc import load_model
from halluc.errors import InvalidInput
from training.cli import app
from training.evaluation.page import render_evaluation
from training.evaluation.results import read_evaluation
from training.runs.config import load_config
from training.runs.sft import SFTRun, run_sft

EXAMPLES = [{"prompt": f"What is {i} plus {i}?", "completion": "I don't know."} for i in range(4)]
QUESTIONS = [{"question": f"What is {i} <b>plus</b> 1?", "references": [str(i + 1)] if i else []} for i in range(3)]
TEXTS = [{"text": "The Panthers defense gave up just 308 points."}]
CHOICES = [{"prefix": "Two and two is", "completions": [" four", " five"], "right": 0}]


@pytest.fixture
def files(tmp_path):
    paths = {}
    for name, rows in {"questions": QUESTIONS, "text": TEXTS, "choices": CHOICES}.items():
        paths[name] = str(tmp_path / f"{name}.jsonl")
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


def command(*arguments):
    return CliRunner().invoke(app, ["evaluate", *arguments], catch_exceptions=False)


def test_a_run_is_evaluated_before_and_after_and_the_adapter_loads_as_a_model(configure, files, tiny, tmp_path):
    settings = {f"eval_{name}": path for name, path in files.items()}
    config = configure("examples", EXAMPLES, learning_rate=0.05, max_steps=6, eval_max_new_tokens=4, **settings)
    facts = run_sft(load_config(SFTRun, config))
    metrics = {row["name"]: row for row in facts["evaluation"]}
    before, after = (metrics["perplexity"][side]["value"] for side in ("before", "after"))
    # The adapter was learnt on other text, so that it must show on this one.
    assert abs(after - before) > 1
    out = tmp_path / "out"
    assert json.loads((out / "run.json").read_text())["evaluation"] == facts["evaluation"]
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert evaluation["differences"] == facts["evaluation"]
    assert evaluation["before"]["n"] == {"questions": 3, "texts": 1, "choices": 1}
    assert "&lt;b&gt;plus" in (out / "evaluation.html").read_text()
    base = command(tiny, "--questions", files["questions"], "--text", files["text"], "--max-new-tokens", "4")
    (tmp_path / "base.json").write_text(base.stdout)
    assert json.loads(base.stdout)["metrics"]["perplexity"]["value"] == pytest.approx(before)
    beside = command(
        str(out),
        "--questions", files["questions"], "--text", files["text"], "--max-new-tokens", "4",
        "--before", str(tmp_path / "base.json"), "--html", str(tmp_path / "page.html"), "--json",
    )  # fmt: skip
    again = json.loads(beside.stdout)
    assert again["after"]["metrics"]["perplexity"]["value"] == pytest.approx(after)
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_a_loaded_adapter_gives_the_same_output_as_the_merged_model(tiny, tmp_path):
    import torch
    from peft import get_peft_model

    from training.runs.model import lora_config

    lm = load_model(tiny)
    before = lm.score(["Who?"], ["Nobody at all"])[0].token_logprobs
    adapted = get_peft_model(lm.model, lora_config(2))
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    adapted.save_pretrained(tmp_path / "adapter")
    lm.tokenizer.save_pretrained(tmp_path / "adapter")
    lm.model = adapted.merge_and_unload()
    merged = lm.score(["Who?"], ["Nobody at all"])[0].token_logprobs
    loaded = load_model(str(tmp_path / "adapter")).score(["Who?"], ["Nobody at all"])[0].token_logprobs
    assert loaded == pytest.approx(merged, abs=1e-4)
    assert max(abs(one - other) for one, other in zip(loaded, before, strict=True)) > 0.01


def test_without_questions_nothing_is_evaluated_and_other_files_are_refused(configure, files, tmp_path):
    facts = run_sft(load_config(SFTRun, configure("examples", EXAMPLES, max_steps=1)))
    assert "evaluation" not in facts
    assert not (tmp_path / "out" / "evaluation.json").exists()
    with pytest.raises(InvalidInput, match="eval_text or eval_choices is set but eval_questions is not"):
        run_sft(load_config(SFTRun, configure("examples", EXAMPLES, eval_text=files["text"])))
    with pytest.raises(InvalidInput, match="there is no nowhere"):
        run_sft(load_config(SFTRun, configure("examples", EXAMPLES, eval_questions="nowhere")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--questions", "nowhere"], "there is no nowhere"),
        (["--questions", "QUESTIONS", "--before", "QUESTIONS"], "is not JSON"),
        (["--questions", "QUESTIONS", "--html", "nowhere/page.html"], "nowhere/page.html cannot be written"),
        (["--questions", "QUESTIONS", "--html", "TEXT"], "is not a file that this command wrote"),
        (["--questions", "TEXT"], "question row 0 has the references None"),
        (["--questions", "QUESTIONS", "--choices", "TEXT"], "choice row 0 has the prefix None"),
    ],
)
def test_unusable_files_are_named(files, tiny, arguments, message):
    filled = [{"QUESTIONS": files["questions"], "TEXT": files["text"]}.get(argument, argument) for argument in arguments]
    with pytest.raises(InvalidInput, match=message):
        command(tiny, *filled)


def test_the_page_escapes_what_models_say_and_loads_nothing(tmp_path, tiny, files):
    result = command(tiny, "--questions", files["questions"], "--max-new-tokens", "2")
    (tmp_path / "one.json").write_text(result.stdout)
    page = render_evaluation(read_evaluation(tmp_path / "one.json"))
    links = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attrs):
            links.extend(value for name, value in attrs if name in ("src", "href"))
            assert tag != "script"

    Links().feed(page)
    assert links
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links)
    assert "What is 1 &lt;b&gt;plus&lt;/b&gt; 1?" in page
