"""Equal quantities are written equally, and everything else stays."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc.quantities import find_quantities, normalize_quantities

# Each line: what all of its writings become, then the writings.
EQUAL = (
    ("3420 kilograms", "3,420 kilograms", "3420 kg", "3 420 kg", "3\u202f420 kg", "3420kg", "3420 kilos"),
    ("5 March 2021", "2021-03-05", "March 5, 2021", "March 5th, 2021", "5th of March 2021", "Mar. 5, 2021", "05 March 2021"),
    ("25 December 2021", "25/12/2021", "12/25/2021", "25.12.2021", "2021/12/25"),
    ("5 March", "March 5", "5th March", "March 5th", "5th of March"),
    ("18%", "18 percent", "18 per cent", "18 %", "eighteen percent"),
    ("12 people", "twelve people"),
    ("1.2 million people", "1,200,000 people", "1.2 mn people"),
    ("250 seats", "two hundred and fifty seats"),
    ("5 euros", "€5", "EUR 5", "5 EUR", "5 €", "five euros", "€5.00"),
    ("5.3 million dollars", "$5.3 million", "$5.3m", "US$5.3m", "5.3 million USD", "5,300,000 dollars"),
    ("1.25 million euros", "1,250,000 euros", "€1.25m"),
    ("1250 euros", "1,250 euros", "€1,250"),
    ("610000 dollars", "610,000 dollars", "$610k", "610 thousand dollars"),
    ("-12 degrees Celsius", "−12 °C", "-12°C", "minus 12 degrees C"),
    ("17:30", "5:30 PM", "5:30pm", "5.30 pm"),
    ("17:30 to 23:00", "17:30-23:0", "5:30 PM - 11 PM", "5:30 to 11 pm", "5:30pm–11pm"),
    ("9:00 to 17:00", "9-5 pm", "9am to 5pm", "09:00-17:00"),
    ("5-10 dollars", "$5-10", "$5-$10"),
    ("5-10 kilograms", "5-10 kg"),
    ("60 kilometers per hour", "60 km/h", "60 kph"),
    ("12 kilometers", "12 kilometres", "twelve km"),
    ("1 month", "one month"),
    ("3.5 kilometers", "3,5 km"),
)  # fmt: skip
UNTOUCHED = (
    "03/05/2021", "Python 3.10.1", "call 0800 555 222", "+43 316 555", "Article 5", "one of them", "one day", "COVID-19",
    "F-16", "the 1990s", "in 2019", "Twelve Angry Men", "World War Two", "two-thirds", "half a million", "room 93101",
    "192.168.0.1", "ISBN 978-3-16-148410-0", "2:1", "5m", "may 5 people", "1.250 euros", "page 3,5 and", "35 W Carrillo St",
    "in 1990 200 people", "3 and a half years", "10 pound bag", "five six", "4.0", "a 15-year life",
    "No digits here, only May and March.",
)  # fmt: skip


@pytest.mark.parametrize("writings", EQUAL, ids=lambda writings: writings[0])
def test_equal_quantities_are_written_equally(writings):
    for text in writings:
        assert normalize_quantities(text) == writings[0]
        assert normalize_quantities(f"It was {text} (about), then.") == f"It was {writings[0]} (about), then."


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_may_mean_something_else_is_left_as_it_is(text):
    assert normalize_quantities(text) == text


def test_a_number_of_things_with_an_amount_each_is_not_one_number():
    assert (
        normalize_quantities("two 500 mg tablets or 7 500mg tablets")
        == "two 500 milligrams tablets or 7 500 milligrams tablets"
    )
    assert normalize_quantities("It costs $5 - 2019 edition") == "It costs 5 dollars - 2019 edition"
    assert normalize_quantities("two $500 prizes and 3 $20 notes") == "two 500 dollars prizes and 3 $20 notes"


def test_a_sentence_keeps_its_full_stop_after_a_time():
    assert (
        normalize_quantities("It opens at 5 p.m. The bar opens at 6 p.m. ET.")
        == "It opens at 17:00. The bar opens at 18:00 ET."
    )


_PIECES = [
    "$",
    "€",
    "5",
    "12",
    "2021",
    "-",
    " ",
    ".",
    ",",
    "3,420",
    " kg",
    "%",
    "two",
    "Twelve",
    " million",
    " and ",
    "March",
]
_PIECES += [" Mar.", "5th", " to ", "pm", ":", "17:30", "/", "2021-03-05", "EUR ", "m", "(", "\n", "a", "one"]


@given(st.lists(st.sampled_from(_PIECES)).map("".join) | st.text())
def test_normalizing_twice_changes_nothing_and_quantities_lie_where_they_say(text):
    once = normalize_quantities(text)
    assert normalize_quantities(once) == once
    last = 0
    for quantity in find_quantities(text):
        assert last <= quantity.start < quantity.end <= len(text)
        last = quantity.end


_NUMBER = re.compile("zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|teen|ty", re.IGNORECASE)


@given(st.text(alphabet=st.characters(exclude_categories=["Nd"])).filter(lambda text: not _NUMBER.search(text)))
def test_text_without_digits_and_number_words_never_changes(text):
    assert normalize_quantities(text) == text


_REPEATED = ["1", "1,", "one ", "twenty-", "$", "1 000", "5 to ", "March ", "1-", "9:0-", "million ", "1,000", " 1"]


@pytest.mark.parametrize("piece", _REPEATED)
def test_normalizing_takes_time_linear_in_the_text(piece):
    def seconds(count):
        times = []
        for _ in range(3):
            start = time.process_time()
            normalize_quantities(piece * count)
            times.append(time.process_time() - start)
        return min(times)

    seconds(500)
    assert seconds(4_000) < 8 * seconds(1_000) + 0.05
