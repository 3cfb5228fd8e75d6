"""A container of Azure Blob Storage, through obstore: how it is opened, and what its errors mean.

No error shows a key, a SAS or an account's answer: by its code alone one is told from another.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Protocol

from obstore.store import AzureStore

from postroad.errors import AuthError, RemoteError, TransientError
from postroad.sdk.secrets import Secret

PATIENCE = timedelta(seconds=30)
TRIES = 10
REFUSED = re.compile(r"\b40[13] (Unauthorized|Forbidden)\b|\(code: 40[13]\)|Invalid Access Key")
CODE = re.compile(r"<Code>(\w+)</Code>")


class Place(Protocol):
    """Where it is, as the settings of a connection say."""

    @property
    def folder(self) -> str:
        """`az://CONTAINER`, or a prefix in one."""
        ...

    @property
    def account(self) -> str | None:
        """The storage account."""
        ...

    @property
    def account_key(self) -> Secret | None:
        """Its key; else a `sas`, else the identity of the machine."""
        ...

    @property
    def sas(self) -> Secret | None:
        """A shared access signature."""
        ...

    @property
    def endpoint(self) -> str | None:
        """Of another cloud than the public one, or of an emulator."""
        ...


def store(place: Place) -> AzureStore:
    """A client, which keeps the secret that it has now: after a refusal make another."""
    config: Any = {"account_name": place.account}  # typed by names of obstore's own
    if place.account_key is not None:
        config["account_key"] = place.account_key.reveal()
    elif place.sas is not None:
        config["sas_token"] = place.sas.reveal().removeprefix("?")
    if place.endpoint is not None:
        config["azure_storage_endpoint"] = place.endpoint
    plain = (place.endpoint or "").startswith("http://")
    retry: Any = {"max_retries": TRIES, "retry_timeout": PATIENCE}
    return AzureStore.from_url(place.folder, config=config, client_options={"allow_http": plain}, retry_config=retry)


def meant(error: Exception, where: str, rights: str) -> RemoteError:
    """What an error of the store means; `rights` are those that the key or signature has to give."""
    code = CODE.search(str(error))
    shown = f": {code[1]}" if code is not None else ""
    if isinstance(error, FileNotFoundError) or (code is not None and code[1] == "ContainerNotFound"):
        return RemoteError(f"{where}: there is no such container in the account")
    if REFUSED.search(str(error)):
        return AuthError(f"{where} refuses us{shown}: check account_key or sas, which must allow {rights}")
    return TransientError(f"{where} did not answer as it should{shown}: try again later, and check the endpoint")
