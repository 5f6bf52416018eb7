"""Is a login good? Asked of the registry itself, before it is kept.

Source: distribution-spec v1.1, "Determining Support" (`GET /v2/`); distribution/docs/spec/auth/token.md,
`offline_token`, by which a token server gives an identity token to be kept in place of the password.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from slimstage.errors import RegistryError
from slimstage.registry.certificates import certificate_finder
from slimstage.registry.challenge import parse_challenges
from slimstage.registry.credentials import Credential
from slimstage.registry.faults import LIMIT_BYTES, HttpError, Secrets, http_error
from slimstage.registry.hosts import Endpoint, read_hosts
from slimstage.registry.retry import Pauses
from slimstage.registry.tokens import TokenServers
from slimstage.registry.transport import Response, Transport
from slimstage.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Checked:
    """A login that is good. credential: what to keep, an identity token in place of the password where one was given.

    is_needed: False when the registry lets everybody in, and so says nothing about the password.
    """

    credential: Credential
    is_needed: bool


def check_login(
    settings: Mapping[str, Mapping[str, object]], registry: str, credential: Credential, pauses: Pauses | None = None
) -> Checked:
    """Logs in at the registry, mirrors are not asked. settings: `[registry."HOST:PORT"]`, by host.

    Raises RegistryError: refused (`denied`), not reachable, not a registry (`not-a-registry`); UsageError for settings
    that make no sense.
    """
    hosts, secrets = read_hosts(settings, certificate_finder(os.environ)), Secrets()
    secrets.add(credential.password, credential.identity_token, credential.basic.partition(" ")[2])
    transport = Transport(hosts)
    try:
        check = _Check(transport, secrets, hosts.endpoints(registry)[-1])
        return (pauses or Pauses()).repeat(lambda: check.run(credential))
    finally:
        transport.close()


class _Check:
    def __init__(self, transport: Transport, secrets: Secrets, endpoint: Endpoint) -> None:
        self._transport, self._secrets, self._endpoint = transport, secrets, endpoint
        self._tokens = TokenServers(transport, secrets)

    def run(self, credential: Credential) -> Checked:
        response = self._ask(None)
        if response.status == 200:
            response.drop()
            return Checked(credential, False)
        if response.status != 401 or response.origin != self._endpoint.origin:
            raise self._refused(response)
        challenges = {one.scheme: one for one in reversed(parse_challenges(response.headers("WWW-Authenticate")))}
        response.drop()
        kept = credential
        if "bearer" in challenges:
            try:
                token = self._tokens.fetch(self._endpoint, challenges["bearer"], (), credential, wants_identity=True)
            except HttpError as error:
                raise _denied(self._endpoint, error) if error.status in (400, 401, 403) else error from None
            header = f"Bearer {token.value}"
            if token.identity is not None:
                kept = replace(credential, password="", identity_token=token.identity)
        elif "basic" in challenges:
            header = credential.basic
        else:
            raise RegistryError(
                f"{self._endpoint.origin} wants a kind of login that is not known here", code="unknown-challenge"
            )
        response = self._ask(header)
        if response.status != 200:
            raise self._refused(response)
        response.drop()
        return Checked(kept, True)

    def _ask(self, header: str | None) -> Response:
        headers = {"Authorization": header} if header is not None else {}
        return self._transport.request("GET", f"{self._endpoint.origin}/v2/", headers)

    def _refused(self, response: Response) -> RegistryError:
        doing = f"log in to {self._endpoint.registry}"
        body = response.head_of_body(LIMIT_BYTES)
        error = http_error(doing, response.status, body, response.header("Retry-After"), self._secrets)
        if response.status in (401, 403):
            return _denied(self._endpoint, error)
        if response.status == 404:
            return RegistryError(
                f"{self._endpoint.origin} is not a registry: there is no /v2/", code="not-a-registry", status=404
            )
        return error


def _denied(endpoint: Endpoint, error: HttpError) -> RegistryError:
    said = error.message.partition(": ")[2]
    return RegistryError(
        f"{endpoint.registry} refuses the login: wrong user or password",
        status=error.status,
        code="denied",
        notes=(said,) if said else (),
        hint="some registries want an access token in place of the password",
    )
