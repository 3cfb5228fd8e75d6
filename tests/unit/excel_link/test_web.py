"""A link over HTTP(S): where it may lead, and that nobody else is told it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
import pytest

from postroad.errors import ConfigError, RemoteError
from postroad.sdk.secrets import Secret
from tests.unit.excel_link.workbooks import LINK, TOKEN, Remote, fetched, rows, xlsx

FILE = xlsx(rows("001"))


def remote_of(answers: Mapping[str, Any]) -> Remote:
    """A server that answers each address (without its query) with a body, or redirects to a text."""
    remote = Remote()

    def answer(request: httpx.Request) -> httpx.Response:
        found = answers[str(request.url).partition("?")[0]]
        if isinstance(found, bytes):
            return httpx.Response(200, content=found)
        return httpx.Response(302, headers={"location": found})

    remote.answers = answer
    return remote


START = LINK.partition("?")[0]


@pytest.mark.parametrize(
    "target",
    ["/moved.xlsx", "https://links.test/moved.xlsx", "//links.test/moved.xlsx", "moved.xlsx?t=other"],
)
def test_a_redirect_within_the_host_is_followed(target: str) -> None:
    moved = "https://links.test/Flex/moved.xlsx" if target.startswith("moved") else "https://links.test/moved.xlsx"
    remote = remote_of({START: target, moved: FILE})
    assert len(fetched(remote.source())) == 1
    assert len(remote.asked) == 2


def test_a_redirect_to_another_host_is_followed_where_it_is_allowed() -> None:
    remote = remote_of({START: "https://cdn.test/x.xlsx", "https://cdn.test/x.xlsx": FILE})
    with pytest.raises(RemoteError, match=r"redirects to another host, cdn\.test: .* add it to redirect_hosts"):
        fetched(remote.source())
    assert [request.url.host for request in remote.asked] == ["links.test"], "the other host was asked"
    assert len(fetched(remote.source(redirect_hosts=["cdn.test"]))) == 1


@pytest.mark.parametrize("hosts", [[], ["cdn.test", "links.test"]])
@pytest.mark.parametrize("target", ["http://links.test/x.xlsx", "http://cdn.test/x.xlsx", "ftp://cdn.test/x.xlsx"])
def test_a_redirect_never_leaves_https(target: str, hosts: list[str]) -> None:
    remote = remote_of({START: target})
    with pytest.raises((RemoteError, ConfigError)) as raised:
        fetched(remote.source(redirect_hosts=hosts, allow_http=True))
    assert len(remote.asked) == 1
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize("target", ["https://links.test:8443/x.xlsx", "https://links.test@cdn.test/x", "https://["])
def test_a_redirect_that_only_looks_like_the_host_is_refused(target: str) -> None:
    remote = remote_of({START: target})
    with pytest.raises(RemoteError):
        fetched(remote.source())
    assert len(remote.asked) == 1


def test_endless_redirects_are_given_up() -> None:
    remote = remote_of({START: START})
    with pytest.raises(RemoteError, match="redirects more than 5 times"):
        fetched(remote.source())
    assert len(remote.asked) == 6


def test_http_is_asked_only_where_it_is_allowed() -> None:
    plain = LINK.replace("https:", "http:")
    remote = remote_of({plain.partition("?")[0]: FILE})
    with pytest.raises(ValueError, match="the link of table t begins with http://"):
        remote.source({"link": plain})
    assert len(fetched(remote.source({"link": plain}, allow_http=True))) == 1
    assert len(remote.asked) == 1


def test_words_in_braces_of_a_secret_link_are_looked_at_when_it_is_used() -> None:
    for text, words in (("{mont}", "did you mean {month}?"), ("{month}", "there are no periods")):
        link = Secret(partial("{}&m={}".format, LINK, text), "secret://GROUPS")
        remote = Remote(FILE)
        with pytest.raises(ConfigError) as raised:
            fetched(remote.source({"link": link}))
        assert words in str(raised.value)
        assert TOKEN not in str(raised.value)
        assert remote.asked == []
