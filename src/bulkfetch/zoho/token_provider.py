"""An access token from the program that this library is part of."""

from __future__ import annotations

from typing import Protocol

import anyio

from bulkfetch.errors import AccountError, TokenProviderFailed
from bulkfetch.secret import Secret, is_sendable

# As long as a token_command may take.
TIMEOUT_S = 60.0


class TokenProvider(Protocol):
    """Gives the access tokens of all accounts of a client, in place of their credentials."""

    async def token(self, account: str, refused: str | None) -> str:
        """Return a token, at first and each time that the server has refused one.

        `refused` is the token that was refused last, None where none was; it must not be returned
        again. For one account there is one call at a time, of a minute at most. An AccountError
        that it raises is reported as it is, of any other Exception only the kind, since its words
        may hold a secret.
        """
        ...


async def ask_provider(
    provider: TokenProvider, account: str, refused: Secret | None, timeout_s: float = TIMEOUT_S
) -> Secret:
    """Return a token of an account.

    Raises TokenProviderFailed: an exception, not finished after `timeout_s`, or what is no token;
    and AccountError as the provider does. If cancelled: so is the provider.
    """
    failed, token = "", None
    with anyio.move_on_after(timeout_s) as limit:
        try:
            token = await _asked(provider, account, refused)
        except AccountError:
            raise
        except Exception as error:
            failed = f"failed with {type(error).__name__}"
    # Outside of the handler: the provider's exception may hold a secret, and stays behind.
    if limit.cancelled_caught:
        failed = f"did not finish within {timeout_s:g} s"
    elif not failed and not isinstance(token, str):
        failed = f"gave {type(token).__name__} in place of a text"
    elif not failed and isinstance(token, str):
        if is_sendable(token):
            return Secret(token)
        failed = "gave something that is not a token"
    token = None  # tools that report errors show the variables of every frame
    raise TokenProviderFailed(f"the token provider {failed}")


async def _asked(provider: TokenProvider, account: str, refused: Secret | None) -> object:
    return await provider.token(account, None if refused is None else refused.reveal())
