"""Is the folder in order? What was sniffed is shown, so that a person can declare it instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from postroad.connectors.files.datasets import Datasets, DeclaredDataset
from postroad.connectors.files.parse import parse
from postroad.connectors.files.places import Found, Place
from postroad.connectors.files.reading import Page, Reading
from postroad.connectors.files.settings import FilesSettings
from postroad.connectors.files.settled import Listing, require_declared
from postroad.errors import PostroadError
from postroad.records import Check, Payload

SHOWN = 3
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def checks(settings: FilesSettings, datasets: Datasets, place: Place, look: Callable[[], Listing]) -> Iterator[Check]:
    """The folder, then of each dataset its files and the beginning of the newest; one dataset fails for itself."""
    try:
        listing = look()
        yield Check("list the folder", ok=True, sentence=settings.folder)
    except PostroadError as error:
        yield Check("list the folder", ok=False, sentence=str(error))
        return
    for dataset in datasets:
        step = f"read {dataset.name}"
        try:
            sentence = _read(settings, dataset, place, listing)
            yield Check(step, ok=True, sentence=sentence, entity=dataset.name)
        except PostroadError as error:
            yield Check(step, ok=False, sentence=str(error), entity=dataset.name)


def _read(settings: FilesSettings, dataset: DeclaredDataset, place: Place, listing: Listing) -> str:
    look = listing.of(dataset)
    require_declared(dataset, look.ready)
    count = len(look.ready)
    files = f"{count:,} file{'s' * (count != 1)} match{'es' * (count == 1)} {dataset.settings.files}"
    left = [f"{name} is left alone: {reason}" for name, reason in list(look.waiting.items())[:SHOWN]]
    if len(look.waiting) > SHOWN:
        left.append(f"and {len(look.waiting) - SHOWN:,} more are left alone")
    newest = [_newest(settings, dataset, place, look.ready[-1])] if look.ready else []
    return "; ".join([files, *newest, *left])


def _newest(settings: FilesSettings, dataset: DeclaredDataset, place: Place, file: Found) -> str:
    """The beginning of a file: how it is written, and what of it can be read."""
    pages = Reading(settings, place, dataset, file).pages()
    page = next(pages, None)
    if page is None:
        return f"the newest, {file.name}, has no rows"
    more = next(pages, None) is not None
    payload = Payload(page.body, None, file.name, (dataset.name,), page.meta)
    read = list(parse(dataset, settings, payload))
    rows = sum(each.records.num_rows for each in read)
    refusals = [refusal for each in read for refusal in each.refusals]
    told = f"the newest, {file.name}, {_written(page)}: {rows:,} rows{' in its first part' * more}"
    return told if not refusals else f"{told}, and {len(refusals):,} refused, such as: {refusals[0].sentence}"


def _written(page: Page) -> str:
    form = page.meta.get("form")
    if form is None:
        return f"is read as {page.meta['format']}"
    between = DELIMITERS.get(form["delimiter"], form["delimiter"])
    captions = f"captions on line {form['skip']}" if form["skip"] else "no captions"
    return f"is csv in {page.meta['encoding']}, {between} between {len(form['captions'])} columns, {captions}"
