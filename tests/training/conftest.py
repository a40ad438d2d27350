"""What tests of training share: a tokenizer, a tiny model on disk, and settings in YAML that train it in a second."""

import json

import pytest
from tiny_model import save_tiny_model
from transformers import AutoTokenizer

from halluc.models.packaged_models import pull

SETTINGS = {
    "lora_rank": 2,
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "logging_steps": 1,
    "save_steps": 1,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tokenizer():
    """That of the packaged model."""
    return AutoTokenizer.from_pretrained(pull("smollm2-135m"))


@pytest.fixture
def configure(tmp_path, tiny):
    """Write rows and settings, and give the path of the settings: configure("pairs", rows, beta=0.2)."""

    def write(column, rows, **settings):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        values = {"model": tiny, column: str(tmp_path / "rows.jsonl"), "output_dir": str(tmp_path / "out"), **SETTINGS}
        if column == "prompts":
            values |= {"num_generations": 2, "max_completion_length": 8}
        values |= settings
        path = tmp_path / "run.yaml"
        path.write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in values.items()))
        return path

    return write
