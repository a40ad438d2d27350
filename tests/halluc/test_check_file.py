"""`halluc check --batch`: rows in, results out, and nothing lost on the way."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stand_in_verifiers import SharedWords

from halluc.errors import ContextOverflow, InvalidInput
from halluc.verification.check_file import check_rows, read_results
from retrieval import Passage, PassageIndex


def write(path, rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows(n):
    return [{"id": f"r{i}", "answer": f"Town {i} is old.", "context": f"Town {i} is old."} for i in range(n)]


def results(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_row_gets_one_line_with_its_report(tmp_path):
    lines = [*rows(2), "\n", {"answer": "5", "context": "There are 5 towns.", "question": "There are how many?"}]
    done = check_rows(write(tmp_path / "in", lines), tmp_path / "out", verifier=SharedWords())
    assert done.to_dict() == {"checked": 3, "resumed": 0, "broken": []}
    lines = results(tmp_path / "out")
    assert [(line["line"], line["id"], line["score"]) for line in lines] == [(1, "r0", 1.0), (2, "r1", 1.0), (4, None, 0.6)]
    assert lines[2]["verdicts"][0]["claim"]["text"] == "There are how many? 5"


def test_broken_lines_are_named_by_number_and_the_rest_is_done(tmp_path):
    lines = [
        rows(1)[0],
        "{torn\n",
        "[1]\n",
        {"answer": "a"},
        {"answer": 3, "context": "c"},
        {"answer": "Yes it is.", "context": "c"},
    ]
    path = write(tmp_path / "in", lines)
    path.write_bytes(path.read_bytes() + b'{"answer": "\xff", "context": "c"}\n')
    done = check_rows(path, tmp_path / "out", verifier=SharedWords())
    assert done.checked == 2
    problems = ["is not JSON", "is not an object but a list", "has no text as its 'context'", "has no text as its 'answer'"]
    for number, problem in zip((2, 3, 4, 5, 7), [*problems, "is not UTF-8 text"], strict=True):
        assert any(f"line {number} of" in sentence and problem in sentence for sentence in done.broken)
    # Once fixed, the line is done by the next run, and nothing else is.
    lines[1] = rows(2)[1]
    again = check_rows(write(tmp_path / "in", lines), tmp_path / "out", verifier=SharedWords())
    assert (again.checked, again.resumed) == (1, 2)
    assert sorted(line["line"] for line in results(tmp_path / "out")) == [1, 2, 6]


def test_a_torn_last_line_is_cut_off_and_done_again(tmp_path):
    path = write(tmp_path / "in", rows(3))
    check_rows(path, tmp_path / "out", verifier=SharedWords())
    complete = (tmp_path / "out").read_bytes()
    (tmp_path / "out").write_bytes(complete[:-10])
    done = check_rows(path, tmp_path / "out", verifier=SharedWords())
    assert (done.checked, done.resumed) == (1, 2)
    assert (tmp_path / "out").read_bytes() == complete


def test_results_of_changed_rows_are_refused_before_any_row_is_checked(tmp_path):
    path = write(tmp_path / "in", rows(40)[:20])
    check_rows(path, tmp_path / "out", verifier=SharedWords())
    before = (tmp_path / "out").read_bytes()
    changed = rows(40)
    changed[19]["answer"] = "Town 19 is new."
    verifier = SharedWords()
    with pytest.raises(InvalidInput, match=r"holds a result for line 20 of .*, which has changed since"):
        check_rows(write(path, changed), tmp_path / "out", verifier=verifier)
    assert verifier.calls == 0
    assert (tmp_path / "out").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"chapter one, never saved elsewhere",
        b"chapter one\n",
        b"my notes\nand more",
        b'{"line": 1, "text": "a file of lines, but not of ours"}\n',
        b'{"line": 1, "text": "a file of lines, but not of ours"}',
        b"\x00\xff\x00",
        b"\n",
    ],
)
def test_a_file_of_something_else_is_not_written_to(tmp_path, content):
    # An unfinished last line was taken for a result and removed.
    path = write(tmp_path / "in", rows(1))
    (tmp_path / "out").write_bytes(content)
    verifier = SharedWords()
    with pytest.raises(InvalidInput, match=r"line 1 of .* is not a result of 'halluc check'"):
        check_rows(path, tmp_path / "out", verifier=verifier)
    assert (tmp_path / "out").read_bytes() == content
    assert verifier.calls == 0


def test_notes_after_the_results_are_not_removed(tmp_path):
    path = write(tmp_path / "in", rows(2))
    check_rows(path, tmp_path / "out", verifier=SharedWords())
    content = (tmp_path / "out").read_bytes() + b"see chapter one"
    (tmp_path / "out").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"line 3 of .* does not begin like one"):
        check_rows(path, tmp_path / "out", verifier=SharedWords())
    assert (tmp_path / "out").read_bytes() == content


def test_a_result_cut_off_anywhere_is_completed(tmp_path):
    # Every beginning of a result is one, down to its first byte.
    path = write(tmp_path / "in", rows(1))
    check_rows(path, tmp_path / "out", verifier=SharedWords())
    complete = (tmp_path / "out").read_bytes()
    for length in [*range(60), len(complete) - 1]:
        (tmp_path / "out").write_bytes(complete[:length])
        assert check_rows(path, tmp_path / "out", verifier=SharedWords()).checked == 1
        assert (tmp_path / "out").read_bytes() == complete


def test_files_that_cannot_be_used_are_named(tmp_path):
    path = write(tmp_path / "in", rows(1))
    with pytest.raises(InvalidInput, match="the file of rows itself"):
        check_rows(path, path, verifier=SharedWords())
    with pytest.raises(InvalidInput, match="nowhere"):
        check_rows(tmp_path / "nowhere", tmp_path / "new", verifier=SharedWords())
    with pytest.raises(InvalidInput, match="there is no folder"):
        check_rows(path, tmp_path / "no" / "out", verifier=SharedWords())
    with pytest.raises(InvalidInput, match="is a folder"):
        check_rows(path, tmp_path, verifier=SharedWords())


def test_a_row_with_a_lone_surrogate_is_named_and_the_others_are_done(tmp_path):
    # It stopped every run, without a name.
    lines = rows(20)
    lines[1] = '{"answer": "Paris \\ud83d is in France.", "context": "Paris is in France."}\n'
    lines[2]["context"] = "Town \udc00 is old."
    path = write(tmp_path / "in", lines)
    for checked, resumed in ((18, 0), (0, 18)):
        done = check_rows(path, tmp_path / "out", verifier=SharedWords())
        assert (done.checked, done.resumed) == (checked, resumed)
        assert len(done.broken) == 2
        for sentence, number in zip(done.broken, (2, 3), strict=True):
            assert f"line {number} of {path} has a lone surrogate" in sentence
    lines[1:3] = rows(3)[1:]
    assert check_rows(write(path, lines), tmp_path / "out", verifier=SharedWords()).checked == 2
    assert sorted(line["line"] for line in results(tmp_path / "out")) == list(range(1, 21))


def test_a_row_that_the_verifier_refuses_is_named_and_the_others_are_done(tmp_path):
    # Whatever the reason, one row does not stop the rows beside it.
    class Narrow(SharedWords):
        def probabilities(self, pairs):
            if any("Town 7" in claim for _, claim in pairs):
                raise ContextOverflow("the prompt is too long")
            return super().probabilities(pairs)

    done = check_rows(write(tmp_path / "in", rows(10)), tmp_path / "out", verifier=Narrow())
    assert done.checked == 9
    assert done.broken == (f"line 8 of {tmp_path / 'in'} cannot be checked: the prompt is too long",)


@pytest.mark.parametrize("score", ["NaN", "Infinity", "1e999", "2", '"high"', "true"])
def test_a_result_with_a_score_that_is_no_share_is_refused_by_line(tmp_path, score):
    path = write(tmp_path / "in", rows(2))
    check_rows(path, tmp_path / "out", verifier=SharedWords())
    content = (tmp_path / "out").read_text(encoding="utf-8").replace('"score": 1.0', f'"score": {score}')
    (tmp_path / "out").write_text(content, encoding="utf-8")
    for use in (
        lambda: check_rows(path, tmp_path / "out", verifier=SharedWords()),
        lambda: list(read_results(tmp_path / "out")),
    ):
        with pytest.raises(InvalidInput, match=r"line 1 of .* is not a result of 'halluc check'"):
            use()
    assert (tmp_path / "out").read_text(encoding="utf-8") == content


def test_a_probability_that_is_not_finite_is_not_written(tmp_path):
    # Such a line could not be read again.
    class Broken(SharedWords):
        def probabilities(self, pairs):
            return super().probabilities(pairs) * float("nan")

    with pytest.raises(InvalidInput, match="shared words gave line 1 a probability that is not finite"):
        check_rows(write(tmp_path / "in", rows(1)), tmp_path / "out", verifier=Broken())
    assert (tmp_path / "out").read_bytes() == b""


@pytest.fixture
def index(tmp_path):
    with PassageIndex.create(tmp_path / "x.index") as index:
        index.add([Passage(f"p{i}", f"Town {i} is old.") for i in range(3)])
    with PassageIndex.open(tmp_path / "x.index") as index:
        yield index


def test_results_of_another_verifier_index_or_k_are_refused(tmp_path, index):
    # Results of index A were resumed with index B, and with a grown A.
    path, out = write(tmp_path / "in", rows(2)), tmp_path / "out"
    check_rows(path, out, verifier=SharedWords(), index=index)
    before = out.read_bytes()
    renamed, retrained = SharedWords(), SharedWords()
    renamed.name, retrained.fingerprint = "another", "other weights"
    with PassageIndex.create(tmp_path / "y.index") as other:
        other.add([Passage(f"p{i}", f"Town {i} is new.") for i in range(3)])
        for options, difference in (
            ({"verifier": renamed}, "verifier 'shared words', not 'another'"),
            ({"verifier": retrained}, "verifier fingerprint None, not 'other weights'"),
            ({"k": 5}, "k 3, not 5"),
            ({"index": other}, "index '.*', not '.*'"),
            ({"index": None}, "index '.*', not None"),
        ):
            with pytest.raises(InvalidInput, match=f"holds results made with {difference}"):
                check_rows(path, out, **{"verifier": SharedWords(), "index": index, **options})
    index.add([Passage("p3", "Town 3 is old.")])
    with pytest.raises(InvalidInput, match=r"holds results made with index '.*', not '.*'"):
        check_rows(path, out, verifier=SharedWords(), index=index)
    assert out.read_bytes() == before


def test_a_copy_of_the_index_resumes(tmp_path, index):
    path, out = write(tmp_path / "in", rows(3)), tmp_path / "out"
    check_rows(path, out, verifier=SharedWords(), index=index)
    shutil.copytree(tmp_path / "x.index", tmp_path / "copy.index")
    with PassageIndex.open(tmp_path / "copy.index") as copy:
        assert check_rows(path, out, verifier=SharedWords(), index=copy).resumed == 3


def test_only_one_process_writes_results(tmp_path):
    # Two processes wrote every row twice.
    path, out = write(tmp_path / "in", rows(200)), tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", SLOW, path, out], cwd=Path(__file__).parent) as other:
        wait_for_results(out, other)
        with pytest.raises(InvalidInput, match=f"another process is writing to {out}"):
            check_rows(path, out, verifier=SharedWords())
        other.kill()
    # The lock of a killed process is gone with it.
    check_rows(path, out, verifier=SharedWords())
    assert sorted(line["line"] for line in results(out)) == list(range(1, 201))


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


def wait_for_results(out, process):
    deadline = time.monotonic() + 120
    while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)


def test_a_run_killed_half_way_resumes_where_it_stopped(tmp_path):
    path, out = write(tmp_path / "in", rows(200)), tmp_path / "out"
    run = subprocess.Popen([sys.executable, "-c", SLOW, path, out], cwd=Path(__file__).parent)
    wait_for_results(out, run)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    before = len(results(out))
    assert 0 < before < 200
    done = check_rows(path, out, verifier=SharedWords())
    assert (done.checked, done.resumed) == (200 - before, before)
    assert sorted(line["line"] for line in results(out)) == list(range(1, 201))
