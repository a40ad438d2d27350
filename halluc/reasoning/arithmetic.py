"""Read equalities in prose, without `eval`: "3 boxes x $2.50 = $7.50", "20% of 50 = 10", "x = (4 + 2) / 3".

`equalities` finds, around every "=", the longest expressions on its two sides. Text is read by the tokenizer below and never
by sympy's own parser, which evaluates Python. Most rules here decide which words and numbers of a sentence belong to an
expression at all; the grammar of expressions is a small part. Not covered: values of expressions (expressions.py), and when
an equality counts as a mistake (steps.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from halluc.reasoning.expressions import Expression

__all__ = ["Equality", "equalities"]


@dataclass(frozen=True)
class Equality:
    """An equality `left = right`, at the characters [start, end) of the text."""

    left: Expression
    right: Expression
    start: int
    end: int


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int
    spaced: bool  # white space before it


_TOKENS = re.compile(
    r"(?P<clock>\d+:\d+)"  # a time of day or a ratio
    r"|(?P<word>\d+(?:st|nd|rd|th)\b|[-/](?=\s?[A-Za-z]{2})|[A-Za-z]{2,}[’'\w]*)"
    r"|(?P<mixed>\d+\s+\d+/\d+(?![\d.]))"
    r"|(?P<number>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"|(?P<arrow>=>|->|[<>!~]=|==+|=<)"
    r"|(?P<equals>=)"
    r"|(?P<power>\*\*|\^)"
    r"|(?P<operator>[-+*/−–×·÷∗])"
    r"|(?P<open>[(\[])|(?P<close>[)\]])"
    r"|(?P<percent>%)|(?P<currency>[$€£¥])"
    r"|(?P<letter>[A-Za-z])"
    r"|(?P<space>\s+)|(?P<other>.)",
    re.DOTALL,
)
_SIGNS = {"−": "-", "–": "-", "×": "*", "·": "*", "∗": "*", "÷": "/"}
_OPERATOR_WORDS = {"plus": "+", "minus": "-", "times": "*"}
# What must follow an operator written as a word, and a times sign written as the letter x.
_OPERAND = re.compile(r"\s*[-$€£¥(\d.]")
_FACTOR = re.compile(r"\s*[$€£¥(\d.]|\s+-\S")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that carry a quantity or join clauses: none of them is a unit.
_NO_UNITS = _words(
    "and or so is are was were then which that but if because dozen dozens hundred thousand million billion half twice "
    "double triple pair pairs couple quarter third remainder mod percent more less fewer equals gives leaves"
)
_MAX_UNIT_WORDS = 4
# Longer than any expression in prose; bounds the quadratic search for the longest one.
_MAX_TOKENS = 80
_MAX_DIGITS = 30


def equalities(text: str) -> list[Equality]:
    """Find the equalities in a text whose sides can both be read, in order; "a = b = c" gives a = b and b = c."""
    tokens = _tokens(text)
    marks = [i for i, token in enumerate(tokens) if token.kind == "equals"]
    readable = []
    for n, mark in enumerate(marks):
        before = tokens[marks[n - 1] + 1 if n else 0 : mark]
        after = tokens[mark + 1 : marks[n + 1] if n + 1 < len(marks) else len(tokens)]
        left, right = _suffix(before), _prefix(after)
        if left is not None and right is not None:
            readable.append(Equality(left[0], right[0], left[1], right[1]))
    return readable


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    spaced = False
    for match in _TOKENS.finditer(text):
        kind, piece = match.lastgroup or "other", match[0]
        if kind == "space":
            # A line ends an expression.
            if "\n" in piece:
                tokens.append(_Token("other", "\n", match.start(), match.end(), True))
            spaced = True
            continue
        if kind == "word" and piece.lower() in _OPERATOR_WORDS and _OPERAND.match(text, match.end()):
            kind, piece = "operator", _OPERATOR_WORDS[piece.lower()]
        elif kind == "letter" and piece in "xX" and _FACTOR.match(text, match.end()):
            # A times sign, if it follows something that can be multiplied; "3x-5" is algebra.
            if tokens and tokens[-1].kind in ("number", "mixed", "close", "percent", "word"):
                kind, piece = "operator", "*"
        elif kind == "operator":
            piece = _SIGNS.get(piece, piece)
        tokens.append(_Token(kind, piece, match.start(), match.end(), spaced))
        spaced = False
    return tokens


def _suffix(tokens: list[_Token]) -> tuple[Expression, int] | None:
    """Parse the longest expression at the end of the tokens; return it with its first character."""
    for start in range(max(0, len(tokens) - _MAX_TOKENS), len(tokens)):
        if tokens[start].kind in ("word", "other", "close", "percent") or (
            start and tokens[start - 1].kind == "currency" and tokens[start].kind == "number"
        ):
            continue
        parsed = _parse(tokens[start:])
        if parsed is None:
            continue
        # If the expression continues to the left in a form that cannot be read, no part of it can be judged.
        previous = tokens[start - 1] if start else None
        # "25 classmates + his 1 teacher = 26": words are part of the sum.
        words = start
        while words and start - words < _MAX_UNIT_WORDS and tokens[words - 1].kind == "word":
            words -= 1
        if 0 < words < start and tokens[words - 1].kind in ("operator", "power"):
            return None
        if tokens[start].kind == "letter" and previous is not None and previous.text.lower() in ("and", "or"):
            return None  # "districts A and C = 193"
        signed = tokens[start].kind == "operator"
        if previous is not None and (
            (signed and previous.text not in ("\n", ":", ",", ";"))
            or previous.kind in ("operator", "power", "number", "mixed", "percent", "currency", "letter", "clock")
            or (previous.kind == "close" and tokens[start].kind != "letter")
            or (previous.kind == "word" and (previous.text in "/-" or previous.text.lower() in ("of", "by", "dozen")))
        ):
            # A dash before a sum, as in "- 5 + 3 = 8" at the start of a line, is a bullet.
            dash = previous.text == "-" and start == 1 and tokens[start].spaced
            if not dash:
                return None
        return parsed, tokens[start].start
    return None


def _prefix(tokens: list[_Token]) -> tuple[Expression, int] | None:
    """Parse the longest expression at the beginning of the tokens; return it with its end."""
    for count in range(min(len(tokens), _MAX_TOKENS), 0, -1):
        parsed = _parse(tokens[:count])
        if parsed is None:
            continue
        following = tokens[count] if count < len(tokens) else None
        if following is not None and (
            following.kind in ("power", "number", "mixed", "percent", "open", "clock")
            or (following.kind == "operator" and following.text != "-")
            or (following.kind == "operator" and count + 1 < len(tokens) and tokens[count + 1].kind != "word")
            or (following.kind == "word" and (following.text == "/" or following.text.lower() in _NO_UNITS - _JOINING))
        ):
            return None
        return parsed, tokens[count - 1].end
    return None


# After a result these words begin the next clause; the other words of `_NO_UNITS` change the number before them.
_JOINING = _words("and or so is are was were then which that but if because more less fewer gives leaves")


def _parse(tokens: list[_Token]) -> Expression | None:
    """Parse all tokens as one expression; None if they are not one."""
    parser = _Parser(tokens)
    try:
        tree = parser.sum()
    except _Unreadable:
        return None
    return tree if parser.at == len(tokens) else None


class _Unreadable(Exception):
    pass


class _Parser:
    """Recursive descent: sum := product (± product)*, product := factor (*/ factor)*, factor := ± factor | power.

    Three rules depend on what has been read, and so are no part of a context-free grammar: units (`_units`), "of" as a times
    sign (`_multiplies`), and a slash before a rate (`_rate_follows`).
    """

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self._depth = 0

    def sum(self) -> Expression:
        tree = self.product()
        while (sign := self._operator("+-")) is not None:
            tree = Expression(sign, parts=(tree, self.product()))
        return tree

    def product(self) -> Expression:
        tree = self.factor()
        while True:
            if (sign := self._operator("*/")) is not None:
                if sign == "/" and not self.tokens[self.at - 1].spaced and not _takes_factor(tree) and self._rate_follows():
                    raise _Unreadable  # "2 snowballs/15 minutes" divides before what is to its left does
                tree = Expression(sign, parts=(tree, self.factor()))
            elif self._multiplies(tree):
                self.at += 1
                tree = Expression("*", parts=(tree, self.factor()))
            elif (token := self._peek()) and not token.spaced and token.kind in ("open", "letter") and _takes_factor(tree):
                tree = Expression("*", parts=(tree, self.factor()))  # 2(3 + 4), 2x
            else:
                return tree

    def factor(self) -> Expression:
        self._depth += 1
        if self._depth > 40:
            raise _Unreadable
        try:
            if (sign := self._operator("+-")) is not None:
                inner = self.factor()
                return inner if sign == "+" else Expression("neg", parts=(inner,))
            base = self.atom()
            if (token := self._peek()) and token.kind == "power":
                self.at += 1
                base = Expression("^", parts=(base, self.factor()))
            return base
        finally:
            self._depth -= 1

    def atom(self) -> Expression:
        token = self._take()
        if token.kind == "open":
            tree = self.sum()
            if self._take().kind != "close":
                raise _Unreadable
            self._units()
            return tree
        if token.kind == "letter":
            return Expression("symbol", token.text)
        units = set()
        sign = ""
        if token.kind == "currency":
            units.add("$")
            token = self._take()
            if token.text == "-":
                sign, token = "-", self._take()
        if token.kind not in ("number", "mixed") or len(token.text) > _MAX_DIGITS:
            raise _Unreadable
        percent = bool((following := self._peek()) and following.kind == "percent")
        self.at += percent
        number = Expression("number", sign + token.text.replace(",", ""), percent, frozenset(units | self._units()))
        if token.kind == "mixed":
            entire, fraction = token.text.split(None, 1)
            over, under = fraction.split("/")
            if int(over) >= int(under):
                raise _Unreadable
            fraction_tree = Expression("/", parts=(Expression("number", over), Expression("number", under)))
            return Expression("+", parts=(Expression("number", entire), fraction_tree))
        return number

    def _units(self) -> set[str]:
        """Take the words after a number that can be its unit."""
        words: set[str] = set()
        begin = self.at
        while (token := self._peek()) and token.kind == "word" and not self._of_number():
            word = token.text.lower()
            joined = not token.spaced and token.text[0].isupper()  # "1Dachshund + 1/4Papillon" is algebra
            if joined or word in _NO_UNITS or self.at - begin >= _MAX_UNIT_WORDS:
                raise _Unreadable
            words.add(word)
            self.at += 1
        return words

    def _rate_follows(self) -> bool:
        """Whether a number with a unit follows."""
        after = self.tokens[self.at : self.at + 2]
        return [token.kind for token in after] == ["number", "word"]

    def _multiplies(self, tree: Expression) -> bool:
        """Whether "of" multiplies here: "20% of 50", "1/2 of 30"."""
        fraction = tree.kind == "/" and all(part.kind == "number" for part in tree.parts)
        return self._of_number() and (fraction or (tree.kind == "number" and tree.percent))

    def _of_number(self) -> bool:
        if self.at + 1 >= len(self.tokens):
            return False
        return self.tokens[self.at].text.lower() == "of" and self.tokens[self.at + 1].kind in ("number", "currency", "open")

    def _operator(self, among: str) -> str | None:
        token = self._peek()
        if token is None or token.kind != "operator" or token.text not in among:
            return None
        self.at += 1
        return token.text

    def _peek(self) -> _Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _take(self) -> _Token:
        if self.at >= len(self.tokens):
            raise _Unreadable
        self.at += 1
        return self.tokens[self.at - 1]


def _takes_factor(tree: Expression) -> bool:
    last = tree
    while last.parts:
        last = last.parts[-1]
    return not last.units
