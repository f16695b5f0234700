"""A licence notice as a printable page (A4): what a customer keeps on file.

The password is never on it: it is delivered by another way and stays the same at renewals.
"""

from collections.abc import Mapping
from datetime import date
from html import escape

from keys.model.licence import Licence, SeatMetric

MASK = "********"
_ROWS = ("organisation", "product", "quantity", "serial", "username", "password", "ends_on")
_EN = {
    "title": "Licence notice",
    "organisation": "Organisation",
    "product": "Product",
    "quantity": "Quantity",
    "serial": "Serial number",
    "username": "User name",
    "password": "Password",
    "ends_on": "End date",
    SeatMetric.mailboxes.value: "{} mailboxes",
    SeatMetric.hosts.value: "{} hosts",
    SeatMetric.none.value: "{} licences",
}
_JA = {
    "title": "ライセンス通知書",
    "organisation": "ご契約者名",
    "product": "製品名",
    "quantity": "数量",
    "serial": "シリアル番号",
    "username": "ユーザー名",
    "password": "パスワード",
    "ends_on": "契約終了日",
    SeatMetric.mailboxes.value: "{} メールボックス",
    SeatMetric.hosts.value: "{} 台",
    SeatMetric.none.value: "{} ライセンス",
}
LANGUAGES: Mapping[str, Mapping[str, str]] = {"en": _EN, "ja": _JA}

_STYLE = """\
@page { size: A4; margin: 25mm }
body { font: 12pt/1.6 "Noto Sans", "Noto Sans CJK JP", "Hiragino Sans", sans-serif; color: #000 }
h1 { font-size: 18pt }
table { border-collapse: collapse; width: 100% }
th, td { border: 1px solid #666; padding: 6pt; text-align: left; overflow-wrap: anywhere }
th { width: 30%; background: #f2f2f2; print-color-adjust: exact }
"""


def notice(licence: Licence, language: str) -> str:
    """Write the page; ``language`` is one of ``LANGUAGES``."""
    words = LANGUAGES[language]
    values = _values(licence, language, words)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(words[name])}</th><td>{escape(values[name])}</td></tr>'
        for name in _ROWS
    )
    title = escape(words["title"])
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n<table>\n{rows}\n</table>\n</body>\n</html>\n"
    )


def _values(licence: Licence, language: str, words: Mapping[str, str]) -> dict[str, str]:
    return {
        "organisation": licence.organisation,
        "product": licence.product,
        "quantity": words[licence.seat_metric.value].format(licence.seats),
        "serial": licence.serial,
        "username": licence.username,
        "password": MASK,
        "ends_on": f"{_day(licence.ends_on, language)} ({licence.tz})",
    }


def _day(day: date, language: str) -> str:
    return f"{day.year}年{day.month}月{day.day}日" if language == "ja" else day.isoformat()
