"""Who is asking: accounts, their tokens, and the token endpoint's answers. Time is passed in."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from bulkfetch.sandbox.budgets import CallBudget
from bulkfetch.sandbox.options import AccountSpec, SandboxOptions
from bulkfetch.sandbox.quota import Quota

DEFAULT = "default"
_THROTTLED = {
    "error_description": "You have made too many requests continuously. "
    "Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}


@dataclass(slots=True)
class Token:
    """An access token given out: whose, since when, used how often."""

    account: str
    born_s: float
    uses: int = 0
    dead: bool = False


@dataclass(slots=True)
class Account:
    """What the server keeps of one account while it runs."""

    name: str
    spec: AccountSpec
    quota: Quota
    budget: CallBudget
    in_flight: int = 0
    alive: deque[str] = field(default_factory=deque)
    refreshes: deque[float] = field(default_factory=deque)


class Accounts:
    """All accounts and the tokens that were ever given out."""

    def __init__(self, options: SandboxOptions, now: float) -> None:
        self._options = options
        self._random = Random(f"{options.seed}/tokens")
        self._accounts: dict[str, Account] = {}
        self._tokens: dict[str, Token] = {}
        self._refresh_tokens: dict[str, str] = {}
        for name, spec in options.accounts.items():
            self._accounts[name] = Account(name, spec, Quota(options), CallBudget(options))
            self._refresh_tokens |= dict.fromkeys(spec.refresh_tokens, name)
            for token in spec.access_tokens:
                self._tokens[token] = Token(name, now)
                self._accounts[name].alive.append(token)

    def get(self, name: str) -> Account:
        """Return the account called so, made on the spot where there is none yet."""
        if name not in self._accounts:
            self._accounts[name] = Account(
                name, AccountSpec(), Quota(self._options), CallBudget(self._options)
            )
        return self._accounts[name]

    def identify(self, authorization: str | None) -> str | None:
        """Return whose token a header bears, dead ones too; None where nobody's.

        Without `auth` every unknown token is an account of its own, called by its hash.
        """
        secret = _secret_of(authorization)
        if secret in self._tokens:
            return self._tokens[secret].account
        if self._options.auth:
            return None
        return DEFAULT if not secret else _nickname(secret)

    def refusal(self, authorization: str | None, now: float) -> str | None:
        """Count one use of a token; return Zoho's error code where it is no good, else None."""
        if not self._options.auth:
            return None
        secret = _secret_of(authorization)
        if not secret:
            return "AUTHENTICATION_FAILURE"
        token = self._tokens.get(secret)
        if token is None or token.dead or now - token.born_s >= self._options.token_life_s:
            return "INVALID_TOKEN"
        limit = self._options.token_life_requests
        if limit is not None and token.uses >= limit:
            return "INVALID_TOKEN"
        token.uses += 1
        return None

    def issue(self, name: str, now: float) -> str:
        """Give out an access token; the oldest dies when too many are alive."""
        secret = f"1000.{self._random.randbytes(16).hex()}.{self._random.randbytes(16).hex()}"
        account = self.get(name)
        self._tokens[secret] = Token(name, now)
        account.alive.append(secret)
        while len(account.alive) > self._options.tokens_alive:
            self._tokens[account.alive.popleft()].dead = True
        return secret

    def kill_tokens(self, name: str) -> None:
        """Let every access token of an account be expired from now on."""
        for token in self._tokens.values():
            token.dead |= token.account == name

    def owner_of_refresh(self, form: Mapping[str, str]) -> str | None:
        """Return whose refresh token a form holds; None where nobody's."""
        secret = form.get("refresh_token") or form.get("code") or ""
        if secret in self._refresh_tokens:
            return self._refresh_tokens[secret]
        if self._options.auth or not secret:
            return None
        return self._refresh_tokens.setdefault(secret, _nickname(secret))

    def answer_refresh(
        self, form: Mapping[str, str], now: float, api_domain: str
    ) -> tuple[int, dict[str, Any]]:
        """Return status and body of a call of the token endpoint. Errors are 200, as Zoho's are."""
        if form.get("grant_type") not in ("refresh_token", "authorization_code"):
            return 200, {"error": "invalid_grant_type"}
        name = self.owner_of_refresh(form)
        account = None if name is None else self.get(name)
        if account is None:
            return 200, {"error": "invalid_code"}
        spec = account.spec
        if spec.client_id is not None and form.get("client_id") != spec.client_id:
            return 200, {"error": "invalid_client"}
        if spec.client_secret is not None and form.get("client_secret") != spec.client_secret:
            return 200, {"error": "invalid_client_secret"}
        if spec.revoked:
            return 200, {"error": "invalid_code"}
        while account.refreshes and now - account.refreshes[0] >= self._options.token_period_s:
            account.refreshes.popleft()
        limit = self._options.token_requests
        if limit is not None and len(account.refreshes) >= limit:
            return self._options.token_throttle_status, dict(_THROTTLED)
        account.refreshes.append(now)
        answer = {
            "access_token": self.issue(account.name, now),
            "scope": spec.scope,
            "api_domain": api_domain,
            "token_type": "Bearer",
            "expires_in": int(self._options.token_life_s),
        }
        if form["grant_type"] == "authorization_code":
            answer["refresh_token"] = form["code"]
        return 200, answer


def _secret_of(authorization: str | None) -> str:
    scheme, _, secret = (authorization or "").partition(" ")
    return secret.strip() if scheme.lower() == "zoho-oauthtoken" else ""


def _nickname(secret: str) -> str:
    return "account-" + hashlib.sha256(secret.encode()).hexdigest()[:8]
