"""The vocabularies that values are drawn from: ordinary ones, and those that break careless readers.

A vocabulary has 256 or 4,096 entries, so that random bytes are indices into it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa

from postroad.connectors.d365_finops.simulator.entities import ARROW, Field, Kind, catalogue

NARROW = 256
WIDE = 4_096

NO_DATE = datetime(1900, 1, 1)  # noqa: DTZ001  (the product's empty date; fact sheet 3.2)
NO_END = datetime(2154, 12, 31, 23, 59, 59)  # noqa: DTZ001  (the product's "never")
FIRST_DAY = datetime(2006, 1, 1)  # noqa: DTZ001
BIG = 1 << 53
"""Record ids lie above it: a reader that takes them for floating point numbers changes them."""

_FIRST = ["Åse", "Björn", "Chloë", "Dag", "Éva", "Fátima", "Günther", "Håkan", "Ingrid", "José", "Karin", "Łukasz"]
_LAST = ["Ångström", "Öberg", "O'Neil", "van der Berg", "Müller-Lüdenscheidt", "Sørensen", "Nuñez", "Wójcik", "Smith"]
_TRADES = ["Bygg", "Stål", "Marin", "Papír", "Elektro", "Transport", "Frakt & Åkeri", "Möbel", "Kaffe", "Übersetzung"]
_FORMS = [
    "AB",
    "AS",
    "GmbH",
    "Ltd.",
    "S.A.",
    "Inc.",
    'Ltd. "North"',
    "A/S; avd. 2",
    "ab, publ",
    "|Holding|",
    "GmbH & Co. KG",
]
_STREETS = [
    "Kungsgatan 12\nBox 7",
    "Storgata 3; 2. etg",
    'Hauptstraße 5, Hof "B"\r\n2. Stock',
    "1 O'Connell St",
    "Rua 7\tBloco C",
]
_CITIES = ["Göteborg", "Tromsø", "Kraków", "München", "Saint-Étienne", "Oslo", "Århus", "Malmö", "Łódź", "A Coruña", ""]
_ZIPS = ["01067", "41119", "0150", "00-950", "9008", "8000", "15001", "D-80331", ""]
_COUNTRIES = ["SWE", "NOR", "DEU", "POL", "DNK", "ESP", "FRA", ""]
_NOTES = [
    "", "", "", "Call before delivery.\nGate code: 0042", "First line\r\nSecond line, with a comma\r\n\r\nFourth line",
    'He said "no", twice', "tab\there | bar ; semicolon : colon", "ends with a line break\n", "=1+1", "NULL", "'",
    "🚚 loading ramp 7", "\u05e9\u05dc\u05d5\u05dd", "a" * 255 + "b" * 45, "Långt: " + "å" * 300, '"',
    '""', "\\", "  spaces  ",
]  # fmt: skip
_TEXTS = [
    "",
    "Freight",
    "Ränta, dröjsmål",
    "Invoice 0042",
    "1E5",
    "0x1F",
    "1.10",
    "null",
    "Yes",
    '5" pipe',
    "a;b|c",
    "-",
    "3/4",
]

_LISTS: dict[str, Sequence[str]] = {
    "": [""],
    "area": ["usmf", "usmf", "demf", "noco"],
    "chart": ["Shared", "Shared", "Shared", "DE SKR"],
    "city": _CITIES,
    "code": ["", "", "", "", "10", "0020", "N030", "A/1", "STD", "é"],
    "country": _COUNTRIES,
    "currency": ["SEK", "NOK", "EUR", "USD", "DKK", "PLN"],
    "delivery": ["", "EXW", "DAP", "CIP"],
    "dimension": ["", "110110--023-", "606300-001-024--", "-002--", "170100-001-\\-023"],
    "first": ["", *_FIRST],
    "group": ["10", "20", "030", "0040"],
    "iso": ["SE", "NO", "DE", "PL", "DK", "ES", "FR", ""],
    "language": ["sv", "nb-no", "de", "en-us", "pl", ""],
    "last": ["", *_LAST],
    "ledger": ["Kassa", "Bank, EUR", "Skulder – leverantörer", "Umsatzerlöse 19 %", "Goodwill", 'Konto "Diverse"'],
    "method": ["", "CHECK", "SEPA CT", "BG"],
    "middle": ["", "", "", "M.", "af", "de la"],
    "note": _NOTES,
    "person_name": [f"{first} {last}" for first in _FIRST for last in _LAST],
    "product": ["Kaffekopp", "Screw M4×20", "Vis, 5 mm", 'Monitor 27"', "Ø 12 rør", "Œuf", "Pipe|elbow", "µ-meter"],
    "site": ["", "1", "01", "SITE-2"],
    "state": ["", "", "VG", "Västra Götaland", "BY"],
    "street": ["", *_STREETS],
    "terms": ["Net 30", "N010", "30 dagar", "COD"],
    "text": _TEXTS,
    "unit": ["", "ea", "kg", "m²", "st"],
    "zip": _ZIPS,
}


def vocabulary(field: Field) -> pa.Array:
    """The values that this field can be given, with repetitions."""
    return _vocabulary(field.kind, field.enum or field.words)


@cache
def _vocabulary(kind: Kind, name: str) -> pa.Array:
    if kind in "eb":
        words: list[Any] = _spread(catalogue().enums[name])
    else:
        words = _texts(name) if kind in "sm" else _VALUES[kind](name)
    return pa.array(words, ARROW[kind])


def _spread(words: Sequence[Any]) -> list[Any]:
    """256 of them; the first one more often than the others."""
    return [words[byte % len(words)] if byte < 192 else words[0] for byte in range(NARROW)]


def _texts(name: str) -> list[str]:
    if name in _MADE:
        draw = random.Random(f"words {name}")
        return [_MADE[name](draw) for _ in range(WIDE)]
    words = _LISTS[name]
    return [words[byte % len(words)] for byte in range(NARROW)]


def _company(draw: random.Random) -> str:
    return f"{draw.choice(_LAST)} {draw.choice(_TRADES)} {draw.choice(_FORMS)}"


def _address(draw: random.Random) -> str:
    street, zip_code, city, country = (draw.choice(words) for words in (_STREETS, _ZIPS, _CITIES, _COUNTRIES))
    return "\n".join(filter(None, (street, f"{zip_code} {city}".strip(), country)))


def _mail(draw: random.Random) -> str:
    return draw.choice(["", f"info{draw.randrange(9_999)}@example.com", f"ord+{draw.randrange(99)}@example.org"])


_MADE: dict[str, Callable[[random.Random], str]] = {
    "account": lambda draw: f"{draw.randrange(1, 5_000):010}" if draw.random() < 0.9 else "",
    "address": _address,
    "alias": lambda draw: f"{draw.choice(_LAST)[:8]}{draw.randrange(999):03}".upper(),
    "company": _company,
    "mail": _mail,
    "orgno": lambda draw: f"{draw.randrange(10**10):010}",
    "person": lambda draw: f"{draw.randrange(1, 200):06}" if draw.random() < 0.8 else "",
    "phone": lambda draw: f"+47 {draw.randrange(10**8):08}" if draw.random() < 0.7 else f"0{draw.randrange(10**7):07}",
    "reference": lambda draw: f"{draw.randrange(10 ** draw.randrange(3, 9)):08}" if draw.random() < 0.8 else "",
    "url": lambda draw: f"https://example.com/a?b={draw.randrange(999)}&c=,;" if draw.random() < 0.5 else "",
    "vat": lambda draw: f"SE{draw.randrange(10**12):012}" if draw.random() < 0.7 else "",
}


def _numbers(name: str) -> list[Decimal]:
    """Amounts of up to six decimals, negative ones and zeros among them."""
    draw = random.Random(f"numbers {name}")
    most, places = {"amount": (10**12, (0, 2, 2, 6)), "measure": (10**7, (0, 3, 6)), "percent": (100, (0, 2))}[name]

    def one() -> Decimal:
        digits = draw.choice(places)
        value = Decimal(draw.randrange(draw.choice((100, most)) * 10**digits)).scaleb(-digits)
        return Decimal(0) if draw.random() < 0.3 else -value if name == "amount" and draw.random() < 0.3 else value

    return [one() for _ in range(WIDE)]


def _days(name: str) -> list[datetime]:
    """Dates at midnight: one in four is empty; of an end, half are "never"."""
    draw = random.Random(f"days {name}")

    def one() -> datetime:
        if draw.random() < 0.25:
            return NO_DATE
        never = name == "until" and draw.random() < 0.6
        return NO_END.replace(hour=0, minute=0, second=0) if never else FIRST_DAY + timedelta(draw.randrange(8_000))

    return [one() for _ in range(WIDE)]


def _moments(name: str) -> list[datetime]:
    draw = random.Random(f"moments {name}")
    most = [FIRST_DAY + timedelta(seconds=draw.randrange(8_000 * 86_400)) for _ in range(WIDE)]
    return [NO_END if name == "until" and draw.random() < 0.8 else moment for moment in most]


_VALUES: dict[str, Callable[[str], list[Any]]] = {
    "d": _days,
    "t": _moments,
    "n": _numbers,
    "i": lambda _: [byte % 40 if byte < 128 else 0 for byte in range(NARROW)],
    "r": lambda _: [BIG + 22_565_000_000 + 3 * number for number in range(WIDE)],
}
