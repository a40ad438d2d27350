"""Write equal quantities equally: `normalize_quantities`.

Not covered: whether two texts agree on a quantity.
"""

from __future__ import annotations

from halluc.quantities.find import find_quantities

__all__ = ["normalize_quantities"]

_MOST_PASSES = 6


def normalize_quantities(text: str) -> str:
    """Write the numbers, amounts, dates and times of a text in one way.

    "3,420 kg" and "3 420 kilograms" become "3420 kilograms"; "March 5, 2021" and "2021-03-05" become "5 March 2021";
    "5:30 PM" becomes "17:30"; "18 percent" becomes "18%"; "€1.2m" and "1,200,000 euros" become "1.2 million euros"; "twelve"
    becomes "12". What may mean several things is left as it is (03/05/2021), and units are not converted.

    Args:
        text: any text.

    Returns:
        The text itself if it has no quantities. The result does not change when it is normalized again.
    """
    # A number that was in words may now be the day of a date or the amount after a currency sign.
    for _ in range(_MOST_PASSES):
        written = _written(text)
        if written == text:
            break
        text = written
    return text


def _written(text: str) -> str:
    pieces: list[str] = []
    last = 0
    for quantity in find_quantities(text):
        pieces += [text[last : quantity.start], quantity.written]
        last = quantity.end
    return "".join([*pieces, text[last:]]) if last else text
