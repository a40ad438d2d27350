import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stand_in_verifiers import SharedWords

from halluc.errors import InvalidInput
from halluc.verification.check_file import check_rows


def write(path, rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows(n):
    return [{"id": f"r{i}", "answer": f"Town {i} is old.", "context": f"Town {i} is old."} for i in range(n)]


def results(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_row_gets_one_line_with_its_report(tmp_path):
    given = [*rows(2), "\n", {"answer": "5", "context": "There are 5 towns.", "question": "There are how many?"}]
    done = check_rows(write(tmp_path / "in", given), tmp_path / "out", verifier=SharedWords())
    assert done.to_dict() == {"checked": 3, "resumed": 0, "broken": []}
    lines = results(tmp_path / "out")
    assert [(line["line"], line["id"], line["score"]) for line in lines] == [(1, "r0", 1.0), (2, "r1", 1.0), (4, None, 0.6)]
    assert lines[2]["verdicts"][0]["claim"]["text"] == "There are how many? 5"


def test_broken_lines_are_named_by_number_and_the_rest_is_done(tmp_path):
    given = [
        rows(1)[0],
        "{torn\n",
        "[1]\n",
        {"answer": "a"},
        {"answer": 3, "context": "c"},
        {"answer": "Yes it is.", "context": "c"},
    ]
    path = write(tmp_path / "in", given)
    path.write_bytes(path.read_bytes() + b'{"answer": "\xff", "context": "c"}\n')
    done = check_rows(path, tmp_path / "out", verifier=SharedWords())
    assert done.checked == 2
    problems = ["is not JSON", "is not an object but a list", "has no text as its 'context'", "has no text as its 'answer'"]
    for number, problem in zip((2, 3, 4, 5, 7), [*problems, "is not UTF-8 text"], strict=True):
        assert any(f"line {number} of" in sentence and problem in sentence for sentence in done.broken)
    # Mended, the line is done by the next run, and nothing else is.
    given[1] = rows(2)[1]
    again = check_rows(write(tmp_path / "in", given), tmp_path / "out", verifier=SharedWords())
    assert (again.checked, again.resumed) == (1, 2)
    assert sorted(line["line"] for line in results(tmp_path / "out")) == [1, 2, 6]


def test_a_torn_last_line_is_cut_off_and_done_again(tmp_path):
    path = write(tmp_path / "in", rows(3))
    check_rows(path, tmp_path / "out", verifier=SharedWords())
    whole = (tmp_path / "out").read_bytes()
    (tmp_path / "out").write_bytes(whole[:-10])
    done = check_rows(path, tmp_path / "out", verifier=SharedWords())
    assert (done.checked, done.resumed) == (1, 2)
    assert (tmp_path / "out").read_bytes() == whole


def test_results_of_changed_rows_or_another_verifier_are_refused(tmp_path):
    path = write(tmp_path / "in", rows(3))
    check_rows(path, tmp_path / "out", verifier=SharedWords())
    before = (tmp_path / "out").read_bytes()
    other = SharedWords()
    other.name = "another"
    with pytest.raises(InvalidInput, match=r"line 1 of .* another verifier"):
        check_rows(path, tmp_path / "out", verifier=other)
    changed = rows(3)
    changed[1]["answer"] = "Town 1 is new."
    with pytest.raises(InvalidInput, match="line 2 of"):
        check_rows(write(path, changed), tmp_path / "out", verifier=SharedWords())
    assert (tmp_path / "out").read_bytes() == before


def test_a_file_of_something_else_is_not_written_to(tmp_path):
    path = write(tmp_path / "in", rows(1))
    (tmp_path / "out").write_text("my notes\n")
    with pytest.raises(InvalidInput, match=r"line 1 of .* is not a result"):
        check_rows(path, tmp_path / "out", verifier=SharedWords())
    assert (tmp_path / "out").read_text() == "my notes\n"
    with pytest.raises(InvalidInput, match="the file of rows itself"):
        check_rows(path, path, verifier=SharedWords())
    with pytest.raises(InvalidInput, match="nowhere"):
        check_rows(tmp_path / "nowhere", tmp_path / "new", verifier=SharedWords())
    with pytest.raises(InvalidInput, match="cannot be"):
        check_rows(path, tmp_path / "no" / "out", verifier=SharedWords())


SLOW = """
import sys, time
from pathlib import Path
from stand_in_verifiers import SharedWords
from halluc.verification.check_file import check_rows

class Slow(SharedWords):
    def probabilities(self, pairs):
        time.sleep(0.5)
        return super().probabilities(pairs)

check_rows(Path(sys.argv[1]), Path(sys.argv[2]), verifier=Slow())
"""


def test_a_run_killed_half_way_goes_on_where_it_stopped(tmp_path):
    path, out = write(tmp_path / "in", rows(200)), tmp_path / "out"
    run = subprocess.Popen([sys.executable, "-c", SLOW, path, out], cwd=Path(__file__).parent)
    deadline = time.monotonic() + 120
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline and run.poll() is None:
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    before = len(results(out))
    assert 0 < before < 200
    done = check_rows(path, out, verifier=SharedWords())
    assert (done.checked, done.resumed) == (200 - before, before)
    assert sorted(line["line"] for line in results(out)) == list(range(1, 201))
