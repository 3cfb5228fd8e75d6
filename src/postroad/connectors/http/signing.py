"""What proves who sends, and that nobody changed it: sign-in, and signatures by Standard Webhooks.

The signature is HMAC-SHA256 over `id.timestamp.body`, in base64, one for each secret, so that a receiver may change to
a new secret at any time while two are sent.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from urllib.parse import urlencode

from postroad.connectors.http.settings import HttpSettings, OAuth
from postroad.errors import AuthError, ConfigError
from postroad.sdk.http import Credentials, HttpClient

PREFIX = "whsec_"
SHORTEST = 24  # bytes, as the standard asks
FORM = "application/x-www-form-urlencoded"


def credentials(settings: HttpSettings, directory: HttpClient | None) -> Credentials:
    """The headers of the sign-in, looked up now; the signing secrets never travel, and are masked all the same."""
    signing = tuple(each.reveal() for each in settings.sign)
    if settings.token is not None:
        token = settings.token.reveal()
    elif settings.api_key is not None:
        key = settings.api_key.key.reveal()
        return Credentials({settings.api_key.header: key}, (key, *signing))
    elif settings.oauth is not None and directory is not None:
        return _granted(settings.oauth, directory, signing)
    else:
        return Credentials({}, signing)
    return Credentials({"authorization": f"Bearer {token}"}, (token, *signing))


def signed(settings: HttpSettings, identity: str, body: bytes, now: float) -> Mapping[str, str]:
    """The three headers of a signature; none where nothing signs."""
    if not settings.sign:
        return {}
    moment = str(int(now))
    content = f"{identity}.{moment}.".encode() + body
    each = [hmac.new(signing_key(secret.reveal()), content, hashlib.sha256).digest() for secret in settings.sign]
    signatures = " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in each)
    return {"webhook-id": identity, "webhook-timestamp": moment, "webhook-signature": signatures}


def signing_key(secret: str) -> bytes:
    """The key that a secret of Standard Webhooks stands for: base64, with or without the prefix `whsec_`."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < SHORTEST:
        raise ConfigError(f"a secret of `sign` is no {PREFIX} and then base64 of at least {SHORTEST} bytes")
    return key


def _granted(oauth: OAuth, directory: HttpClient, signing: tuple[str, ...]) -> Credentials:
    secret = oauth.client_secret.reveal()
    form = {"grant_type": "client_credentials", "client_id": oauth.client_id, "client_secret": secret}
    form |= {"scope": oauth.scope} if oauth.scope else {}
    try:
        token = json.loads(directory.post(urlencode(form).encode(), FORM).body)["access_token"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise AuthError("the token endpoint answered without a token: check the url of oauth") from None
    return Credentials({"authorization": f"Bearer {token}"}, (str(token), secret, *signing))
