"""A writer killed with SIGKILL at any moment loses nothing it has acknowledged and leaves an index that opens."""

import os
import random
import subprocess
import sys
import time

from retrieval import PassageIndex

ROUNDS = int(os.environ.get("HALLUC_KILL_ROUNDS", "6"))

WRITER = """
import sys, numpy as np
from retrieval import Passage, PassageIndex
index = PassageIndex.open(sys.argv[1])
rng = np.random.default_rng()
for i in range(10_000):
    vectors = rng.standard_normal((3, 384)).astype("float32")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"{sys.argv[2]}-{i}-{j}" for j in range(3)]
    index.add([Passage(name, name) for name in names], vectors=vectors)
    if i % 5 == 4:
        print("deleting", f"{sys.argv[2]}-{i - 1}-0", flush=True)
        index.delete([f"{sys.argv[2]}-{i - 1}-0"])
        print("deleted", f"{sys.argv[2]}-{i - 1}-0", flush=True)
    print("added", *names, flush=True)
"""


def test_a_killed_writer_loses_no_acknowledged_passage(tmp_path, embedder):
    path = tmp_path / "x.index"
    PassageIndex.create(path, embedder=embedder)
    rng = random.Random(0)
    added, deleting, deleted = set(), set(), set()
    for number in range(ROUNDS):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)], stdout=subprocess.PIPE, text=True)
        first = writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.6))
        writer.kill()
        for line in [first, *writer.stdout]:
            # The last line may be cut short by the kill; only a whole line is an acknowledgement.
            if line.endswith("\n"):
                verb, *names = line.split()
                {"added": added, "deleting": deleting, "deleted": deleted}[verb].update(names)
        writer.wait()
        index = PassageIndex.open(path)
        ids = {passage.id for passage in index}
        # A deletion that was started and not acknowledged may have happened or not.
        assert added - deleting <= ids
        assert not (deleted & ids)
        assert len(index) == len(ids)
    assert len(added) > ROUNDS
