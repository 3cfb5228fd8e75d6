"""Is this connection in order?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from postroad.connectors.d365_finops.api import Api
from postroad.connectors.d365_finops.declaration import known
from postroad.connectors.d365_finops.odata import address
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.errors import PostroadError
from postroad.records import Check
from postroad.sdk.reach import address_of, connect, resolve


def checks(api: Api, settings: FinopsSettings) -> Iterator[Check]:
    """From resolving the host to finding every export project; stops at the first that fails before those."""
    steps: list[tuple[str, Callable[[], str]]] = [
        ("resolve the host", lambda: resolve(address_of(settings.base)[0])),
        ("connect", lambda: connect(*address_of(settings.base))),
        ("sign in", partial(_sign_in, api, settings)),
    ]
    packed = [name for name in settings.entities if name not in settings.odata]
    if packed:
        steps.append((f"find project {settings.project}", partial(_find, api, settings.project)))
    for step, action in steps:
        found = _tried(step, action)
        yield found
        if not found.ok:
            return
    for entity in packed:
        name = f"{settings.project} {entity}"
        yield _tried(f"find project {name}", partial(_find, api, name), entity)
    if settings.watch_project and not set(settings.entities) <= set(settings.odata):
        yield _tried(f"list the exports of {settings.project}", partial(_list, api, settings.project))
    for entity in settings.odata:
        yield _tried(f"read {entity}", partial(_read, api, entity), entity)


def _tried(step: str, action: Callable[[], str], entity: str = "") -> Check:
    try:
        return Check(step, ok=True, sentence=action(), entity=entity)
    except (PostroadError, OSError, UnicodeError, ValueError) as error:
        return Check(step, ok=False, sentence=str(error), entity=entity)


def _sign_in(api: Api, settings: FinopsSettings) -> str:
    api.sign_in()
    return f"the directory gives {settings.client_id} a token"


def _list(api: Api, name: str) -> str:
    found = api.executions(name)
    if found is None:
        return "they may not be read: exports that others make go unnoticed"
    return f"{len(found):,} are known"


def _find(api: Api, name: str) -> str:
    api.project(name)
    return "it is there"


def _read(api: Api, entity: str) -> str:
    api.read(address(known()[entity], known()[entity].entity.schema.names, **{"$top": "1"}))
    return "it can be read over OData"
