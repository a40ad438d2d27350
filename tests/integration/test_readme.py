"""The README's code does what the README says."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_three_uses_run_as_written(lm, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["answer"].citations[0].passage_id == "Super_Bowl_50#0"
    assert names["answer"].verdicts
    assert names["rule"].threshold < 1
    assert names["reward"](prompts=["?"], completions=[""]) == [0.0]
