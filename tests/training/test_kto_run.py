import json
from itertools import pairwise

import pytest
from datasets import Dataset
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from training.cli import app
from training.runs.config import load_config
from training.runs.kto import KTORun, label_by_factuality, run_kto

PAIRS = {
    "prompt": ["a?", "b?"],
    "chosen": ["A", "B"],
    "rejected": ["C", "D"],
    "chosen_factuality": [0.9, 0.4],
    "rejected_factuality": [0.6, 0.1],
}


def labels(rows, **options):
    labeled = label_by_factuality(Dataset.from_dict(rows), **options)
    return {row["prompt"] + row["completion"]: row["label"] for row in labeled}


def test_pairs_are_labeled_by_their_side_or_by_a_threshold():
    assert labels(PAIRS) == {"a?A": True, "a?C": False, "b?B": True, "b?D": False}
    assert labels(PAIRS, threshold=0.5) == {"a?A": True, "a?C": True, "b?B": False, "b?D": False}
    assert labels(PAIRS, threshold=0.9) == {"a?A": True, "a?C": False, "b?B": False, "b?D": False}


def test_completions_are_labeled_by_their_label_or_by_a_threshold():
    rows = {"prompt": ["a?", "b?"], "completion": ["A", "B"]}
    assert labels(rows | {"label": [False, True]}) == {"a?A": False, "b?B": True}
    assert labels(rows | {"factuality": [0.7, 0.2]}, threshold=0.5) == {"a?A": True, "b?B": False}


def test_the_order_is_random_by_seed_so_that_neighbors_are_unrelated():
    rows = {"prompt": [str(i) for i in range(40)], "chosen": ["A"] * 40, "rejected": ["B"] * 40}
    one, same, other = (label_by_factuality(Dataset.from_dict(rows), seed=seed)["prompt"][:] for seed in (0, 0, 1))
    assert one == same != other
    assert sum(a == b for a, b in pairwise(one)) < 10


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ({"prompt": ["a?"], "completion": ["A"]}, {}, "no column 'label'; its columns are prompt, completion"),
        ({"prompt": ["a?"], "completion": ["A"], "factuality": [1.0]}, {}, "no label; set factuality_threshold"),
        ({"prompt": ["a?"], "completion": ["A"], "label": ["yes"]}, {}, "the label of row 0 is 'yes'; write true or false"),
        ({"prompt": ["a?"], "completion": ["A"], "label": [True]}, {}, "all 1 completions are desirable"),
        (PAIRS, {"threshold": 2.0}, "all 4 completions are undesirable; change factuality_threshold"),
        (PAIRS | {"rejected_factuality": [0.1, None]}, {"threshold": 0.5}, "rejected_factuality of row 1 is None"),
        ({"prompt": ["a?"], "chosen": ["A"]}, {}, "no column 'rejected'"),
        ({"prompt": [], "completion": [], "label": []}, {}, "there are no completions"),
    ],
)
def test_unusable_rows_are_named(rows, options, message):
    with pytest.raises(InvalidInput, match=message):
        label_by_factuality(Dataset.from_dict(rows), **options)


def test_the_command_trains_on_pairs_and_on_labeled_completions(configure, tmp_path):
    rows = [dict(zip(PAIRS, values, strict=True)) for values in zip(*PAIRS.values(), strict=True)]
    path = configure("examples", rows, factuality_threshold=0.9, max_steps=1)
    facts = json.loads(CliRunner().invoke(app, ["kto", str(path), "--json"], catch_exceptions=False).stdout)
    assert (facts["completions"], facts["desirable"], facts["steps"]) == (4, 1, 1)
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    rows = [{"prompt": "a?", "completion": text, "label": text == "A"} for text in "ABCD"]
    facts = run_kto(load_config(KTORun, configure("examples", rows, max_steps=1, output_dir=str(tmp_path / "labeled"))))
    assert (facts["completions"], facts["desirable"], facts["steps"]) == (4, 1, 1)
