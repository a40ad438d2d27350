"""Units and currencies: their spellings, the name under which they are written, and conversion to a base unit."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

__all__ = ["CURRENCY_CODES", "CURRENCY_SIGNS", "UNITS", "Unit"]


class Unit(NamedTuple):
    """A unit of measurement or a currency.

    Attributes:
        one, many: how it is written after 1 and after other numbers.
        dimension: what it measures; units of one dimension can be converted.
        factor: how many base units of the dimension it is.
        offset: what is added after multiplication (temperatures).
    """

    one: str
    many: str
    dimension: str
    factor: Fraction = Fraction(1)
    offset: Fraction = Fraction(0)


# name, plural, dimension, factor, other spellings. A spelling of one letter counts only after a space.
_TABLE: tuple[tuple[str, str, str, str, str], ...] = (
    ("millimeter", "millimeters", "length", "0.001", "mm millimetre millimetres"),
    ("centimeter", "centimeters", "length", "0.01", "cm centimetre centimetres"),
    ("meter", "meters", "length", "1", "m metre metres"),
    ("kilometer", "kilometers", "length", "1000", "km kms kilometre kilometres"),
    ("inch", "inches", "length", "0.0254", ""),
    ("foot", "feet", "length", "0.3048", "ft"),
    ("yard", "yards", "length", "0.9144", ""),
    ("mile", "miles", "length", "1609.344", "mi"),
    ("square meter", "square meters", "area", "1", "m² m2 sqm|sq m|square metre|square metres"),
    ("square kilometer", "square kilometers", "area", "1000000", "km² km2|sq km|sq. km|square kilometre|square kilometres"),
    ("square foot", "square feet", "area", "0.09290304", "ft² ft2|sq ft|sq. ft.|sq. ft"),
    ("square mile", "square miles", "area", "2589988.110336", "|sq mi|sq. mi"),
    ("hectare", "hectares", "area", "10000", "ha"),
    ("acre", "acres", "area", "4046.8564224", ""),
    ("cubic meter", "cubic meters", "volume", "1000", "m³ m3|cubic metre|cubic metres"),
    ("milliliter", "milliliters", "volume", "0.001", "ml mL millilitre millilitres"),
    ("centiliter", "centiliters", "volume", "0.01", "cl cL centilitre centilitres"),
    ("liter", "liters", "volume", "1", "l L litre litres"),
    ("gallon", "gallons", "gallon", "1", "gal"),
    ("microgram", "micrograms", "mass", "0.000001", "µg μg mcg"),
    ("milligram", "milligrams", "mass", "0.001", "mg milligramme milligrammes"),
    ("gram", "grams", "mass", "1", "g gramme grammes"),
    ("kilogram", "kilograms", "mass", "1000", "kg kgs kilo kilos kilogramme kilogrammes"),
    ("tonne", "tonnes", "mass", "1000000", "|metric ton|metric tons"),
    ("ton", "tons", "ton", "1", ""),
    ("ounce", "ounces", "ounce", "1", "oz"),
    ("pound", "pounds", "pound", "1", "lb lbs GBP|pound sterling|pounds sterling"),
    ("millisecond", "milliseconds", "time", "0.001", "ms msec"),
    ("second", "seconds", "time", "1", "sec secs"),
    ("minute", "minutes", "time", "60", "min mins"),
    ("hour", "hours", "time", "3600", "h hr hrs"),
    ("day", "days", "time", "86400", ""),
    ("week", "weeks", "time", "604800", "wk wks"),
    ("month", "months", "month", "1", "mos"),
    ("year", "years", "month", "12", "yr yrs"),
    ("decade", "decades", "month", "120", ""),
    ("kilometer per hour", "kilometers per hour", "speed", "1", "km/h kph kmh|kilometres per hour|km per hour"),
    ("mile per hour", "miles per hour", "speed", "1.609344", "mph"),
    ("meter per second", "meters per second", "speed", "3.6", "m/s|metres per second|metre per second"),
    ("watt", "watts", "power", "1", "W"),
    ("kilowatt", "kilowatts", "power", "1000", "kW"),
    ("megawatt", "megawatts", "power", "1000000", "MW"),
    ("gigawatt", "gigawatts", "power", "1000000000", "GW"),
    ("kilowatt hour", "kilowatt hours", "energy", "1", "kWh|kilowatt-hour|kilowatt-hours"),
    ("megawatt hour", "megawatt hours", "energy", "1000", "MWh|megawatt-hour|megawatt-hours"),
    ("gigawatt hour", "gigawatt hours", "energy", "1000000", "GWh|gigawatt-hour|gigawatt-hours"),
    ("volt", "volts", "voltage", "1", "V"),
    ("KB", "KB", "data", "1", "kB kilobyte kilobytes"),
    ("MB", "MB", "data", "1000", "megabyte megabytes"),
    ("GB", "GB", "data", "1000000", "gigabyte gigabytes"),
    ("TB", "TB", "data", "1000000000", "terabyte terabytes"),
    ("Hz", "Hz", "frequency", "1", "hertz"),
    ("kHz", "kHz", "frequency", "1000", "kilohertz"),
    ("MHz", "MHz", "frequency", "1000000", "megahertz"),
    ("GHz", "GHz", "frequency", "1000000000", "gigahertz"),
    ("%", "%", "percent", "1", "percent pct|per cent"),
    ("percentage point", "percentage points", "percentage point", "1", ""),
    ("basis point", "basis points", "percentage point", "0.01", "bps"),
    ("star", "stars", "star", "1", ""),
    ("euro", "euros", "euro", "1", "EUR €"),
    ("dollar", "dollars", "dollar", "1", "$ USD|US dollar|US dollars|U.S. dollar|U.S. dollars"),
    ("cent", "cents", "cent", "1", ""),
    ("Canadian dollar", "Canadian dollars", "Canadian dollar", "1", "CAD"),
    ("Australian dollar", "Australian dollars", "Australian dollar", "1", "AUD"),
    ("yen", "yen", "yen", "1", "JPY ¥"),
    ("yuan", "yuan", "yuan", "1", "CNY RMB"),
    ("rupee", "rupees", "rupee", "1", "INR ₹"),
    ("Swiss franc", "Swiss francs", "Swiss franc", "1", "CHF"),
    ("krona", "kronor", "krona", "1", "SEK"),
    ("krone", "kroner", "krone", "1", "NOK DKK"),
)  # fmt: skip


def _units() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for one, many, dimension, factor, spellings in _TABLE:
        unit = Unit(one, many, dimension, Fraction(factor))
        single, *phrases = spellings.split("|")
        for spelling in (one, many, *single.split(), *phrases):
            units[spelling] = unit
    celsius = Unit("degree Celsius", "degrees Celsius", "temperature")
    fahrenheit = Unit("degree Fahrenheit", "degrees Fahrenheit", "temperature", Fraction(5, 9), Fraction(-160, 9))
    for letter, unit in (("C", celsius), ("F", fahrenheit)):
        for spelling in (unit.one, unit.many, f"°{letter}", f"° {letter}", f"º{letter}", f"degrees {letter}"):
            units[spelling] = unit
    units["℃"], units["°Celsius"] = celsius, celsius
    return units


UNITS = _units()
"""Every spelling of a unit."""

CURRENCY_SIGNS = {
    "US$": UNITS["dollar"],
    "CA$": UNITS["CAD"],
    "C$": UNITS["CAD"],
    "AU$": UNITS["AUD"],
    "A$": UNITS["AUD"],
    "$": UNITS["dollar"],
    "€": UNITS["euro"],
    "£": UNITS["pound"],
    "¥": UNITS["yen"],
    "₹": UNITS["rupee"],
}
"""What may stand directly before an amount."""

CURRENCY_CODES = {
    code: UNITS[code] for code in ("EUR", "USD", "GBP", "CAD", "AUD", "JPY", "CNY", "RMB", "INR", "CHF", "SEK")
}
"""Codes that stand before an amount with a space."""
