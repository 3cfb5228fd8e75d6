"""The project that `postroad init --example files` writes: a drop folder with files in it."""

from __future__ import annotations

POSTROAD_YAML = """\
# Files that others drop into a folder, into a data lake beside it.
project: drops
lake: ./lake
database: sqlite:///postroad.db
connections:
  drop:
    connector: files
    folder: ./drop                    # or az://container/prefix with account and account_key
    settle: 0s                        # of files that others write while you look: 10s or more
    time_zone: Europe/Stockholm       # of times that name none
    datasets:
      vendors:                        # each file has rows that are put over those that are there
        files: "vendors_*.csv"
        key: [Account]
        columns:
          Account: text
          Name: text
          Credit limit: decimal
          Since: {type: date, format: "%d.%m.%Y"}
        decimal_sign: ","
        file_as: source_file
      exchange_rates:                 # the newest file has all rows; what it lacks is deleted
        files: "rates/rates_*.csv"
        holds: snapshot
        key: [Currency, From]
        columns: {Currency: text, From: date, Rate: decimal}
"""

DROP_YAML = """\
sync:
  - {from: drop, entities: [vendors, exchange_rates]}
"""

VENDORS = """\
Account;Name;Credit limit;Since
V-1001;Nordic Paper AB;250000,00;01.02.2019
V-1002;"Fjord & Sons; Shipping";90000,50;17.05.2021
V-1003;Sjöberg Måleri;12000;30.11.2023
"""

CHANGED_VENDORS = """\
Account;Name;Credit limit;Since
V-1002;"Fjord & Sons; Shipping";120000,00;17.05.2021
V-1004;Isbjørn Frakt AS;45000,00;03.09.2025
"""

RATES = """\
Currency,From,Rate
SEK,2026-01-01,1
NOK,2026-01-01,0.9712
EUR,2026-01-01,11.2345
"""

README = """\
# Files from a drop folder

In this folder:

    postroad check --connect
    postroad run
    postroad status
    postroad query "select * from drop.vendors order by account"

`check --connect` shows what was found out about each file: encoding, delimiter, captions. Then drop another file beside
the first ones, such as `drop/vendors_3.csv` with the same captions, and run again: only that file is read. A row that
cannot be read is kept aside with its line (`postroad rejected list`); the others arrive.
"""

EXAMPLE = {
    "postroad.yaml": POSTROAD_YAML,
    "flows/drop.yaml": DROP_YAML,
    "drop/vendors_1.csv": VENDORS,
    "drop/vendors_2.csv": CHANGED_VENDORS,
    "drop/rates/rates_2026-01.csv": RATES,
    "README.md": README,
}
