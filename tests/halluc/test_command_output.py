"""What all commands print with: nothing that a terminal would obey, and JSON that is always valid."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from typing import get_args

import pytest

import halluc.cli.calibration
from halluc.answers import LABEL_NAMES, Answer, Citation, Claim, Label, Verdict
from halluc.cli.ask import print_answer
from halluc.cli.main import main
from halluc.cli.output import console, print_json, print_notice, visible

# What retitles a terminal, writes to its clipboard, clears its screen; one control character of Latin-1, and DEL.
ESCAPES = "\x1b]0;title\x07 \x1b]52;c;ZXZpbA==\x07 \x1b[2J \x9b2J \x7f"


def unsafe(text):
    return sorted({character for character in text if visible(character) != character})


def test_every_control_character_is_shown_and_every_other_character_is_kept():
    for code in range(0x110000):
        character = chr(code)
        controls = code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000
        assert (visible(character) == character) == (not controls or character in "\t\n"), hex(code)
    assert visible("a\x1b[2J\x07b") == "a␛[2J␇b"


def test_escapes_in_text_and_tables_do_not_reach_the_terminal(capsys):
    from rich.table import Table
    from rich.text import Text

    table = Table(ESCAPES)
    table.add_row(Text(ESCAPES))
    out = console()
    out.print(ESCAPES, style="bold")
    out.print(table)
    print_notice(ESCAPES)
    print_json({ESCAPES: ESCAPES})
    printed = capsys.readouterr()
    assert unsafe(printed.out + printed.err) == []
    assert "␛]52;c;ZXZpbA==" in printed.out


def test_escapes_in_the_name_of_what_is_loading_do_not_reach_the_terminal():
    # The spinner, which only a terminal shows.
    code = f"from halluc.cli.output import working; import time\nwith working({ESCAPES!r}): time.sleep(0.5)"
    leader, follower = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stderr=follower):
        os.close(follower)
        shown = b""
        # The other end is closed when the process ends, which is an error here.
        with contextlib.suppress(OSError):
            while piece := os.read(leader, 1024):
                shown += piece
    os.close(leader)
    text = shown.decode()
    assert "␛]52;c;ZXZpbA==␇" in text
    # What is left are rich's own codes: colors, the cursor hidden and shown, lines cleared and left upward.
    assert unsafe(re.sub(r"\x1b\[[0-9;]*[mKA]|\x1b\[\?25[lh]|\r", "", text)) == []


def test_text_is_never_read_as_markup_or_emoji(capsys):
    out = console()
    out.print("[bold]x[/bold] :smile: [/y]")
    assert capsys.readouterr().out == "[bold]x[/bold] :smile: [/y]\n"


def test_an_answer_with_escapes_in_every_part_prints_none_of_them(capsys):
    verdict = Verdict(Claim(ESCAPES, 0, 1), "supported", 1.0)
    citation = Citation(1, ESCAPES, ESCAPES, ESCAPES, ESCAPES)
    print_answer(Answer(ESCAPES, ESCAPES, (verdict,), 0.5, citations=(citation,)))
    print_answer(Answer(ESCAPES, "", abstained=True, reason=ESCAPES))
    assert unsafe(capsys.readouterr().out) == []


def test_json_is_valid_whatever_it_holds(capsys):
    # NaN is not JSON. Half a surrogate pair cannot be encoded as UTF-8.
    print_json({"numbers": [float("nan"), float("inf"), (1.5,)], "text": "bad \ud83d half\x9b"})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed, parse_constant=pytest.fail) == {
        "numbers": [None, None, [1.5]],
        "text": "bad \ud83d half\x9b",
    }


def test_text_can_be_printed_in_an_encoding_that_lacks_it():
    # "unexpected UnicodeEncodeError" wherever standard output was not UTF-8.
    code = (
        "from halluc.cli.output import accept_any_text, console, print_json, print_notice; accept_any_text();"
        "print_json('café ␛ \U0001f600'); console().print('café ␛'); print_notice('café ␛')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    json_line, text = done.stdout.decode("latin-1").splitlines()
    assert json_line.isascii()
    assert json.loads(json_line) == "café ␛ \U0001f600"
    assert (text, done.stderr.decode("latin-1")) == ("café ?", "halluc: café ?\n")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["halluc", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code or 0


def test_an_error_that_names_a_file_with_escapes_shows_them(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "index", "info", tmp_path / ESCAPES) == 2
    printed = capsys.readouterr().err
    assert unsafe(printed) == []
    assert "␛]0;title␇" in printed


def test_piped_output_can_be_text_and_output_on_a_terminal_can_be_json(monkeypatch, capsys):
    assert run(monkeypatch, "detect", "--list") == 0
    assert json.loads(capsys.readouterr().out)
    assert run(monkeypatch, "detect", "--list", "--no-json") == 0
    assert "what it is" in capsys.readouterr().out
    assert on_a_terminal("detect", "--list").startswith(("┏", "┌"))
    assert on_a_terminal("detect", "--list", "--json").startswith("[")


def on_a_terminal(*arguments):
    """The first characters that the command prints if standard output is a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", "from halluc.cli.main import main; main()", *arguments]
    with subprocess.Popen(command, stdout=follower) as process:
        os.close(follower)
        first = os.read(leader, 1024).decode(errors="ignore").strip()
        process.kill()
    os.close(leader)
    return first


def test_every_label_has_one_name_for_people():
    assert set(LABEL_NAMES) == set(get_args(Label))
    assert list(LABEL_NAMES.values()) == ["supported", "contradicted", "not supported by the evidence"]


def test_the_command_line_knows_every_recalibrator():
    from calibration import RECALIBRATORS

    assert get_args(halluc.cli.calibration.RecalibratorName) == ("auto", *RECALIBRATORS)


def test_commands_print_in_no_other_way():
    """What is printed past the console is not made visible."""
    import ast
    from pathlib import Path

    import halluc.cli
    import training.cli

    commands = [*Path(halluc.cli.__file__).parent.glob("*.py"), Path(training.cli.__file__)]
    for path in commands:
        if path.name == "output.py":
            continue
        called = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
        assert not called & {"print", "typer.echo", "sys.stdout.write", "sys.stderr.write", "Console"}, path
