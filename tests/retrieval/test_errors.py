"""How errors of libraries are put into sentences."""

import pytest

from retrieval.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("no such repository.\nCheck the name."), "no such repository"),
        (ValueError("  cut short ... "), "cut short"),
        (KeyError(), "KeyError"),
        (OSError("\n"), "OSError"),
    ],
)
def test_the_message_of_a_library_is_one_line_or_the_type_of_the_error(error, line):
    assert first_line(error) == line
