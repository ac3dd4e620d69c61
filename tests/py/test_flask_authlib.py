"""Authlib's client for Flask keeps its state in the session."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.integrations.flask_client import OAuth
from coatcheck import Store
from coatcheck.flask import session
from conftest import Browser
from flasks import an_app


def test_a_login_by_authlib(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    app = an_app(store)
    provider = OAuth(app).register(
        "provider",
        client_id="shop",
        client_secret="secret",
        authorize_url="https://provider.example/authorize",
        access_token_url="https://provider.example/token",
        client_kwargs={"code_challenge_method": "S256"},
    )
    asked: dict[str, Any] = {}

    def fetch_access_token(**params: Any) -> dict[str, str]:
        asked.update(params)
        return {"access_token": "a"}

    monkeypatch.setattr(provider, "fetch_access_token", fetch_access_token)
    app.get("/login")(lambda: provider.authorize_redirect("https://shop.example.com/back"))

    @app.get("/back")
    def back() -> str:
        provider.authorize_access_token()
        session.login("user:1", carry=())
        return repr(dict(session))

    browser = Browser(app)
    query = parse_qs(urlsplit(browser.get("/login")["Location"] or "").query)
    answer = browser.get("/back", QUERY_STRING=f"code=c&state={query['state'][0]}")
    assert (answer.status, answer.body) == (200, b"{}")
    assert asked["code"] == "c" and len(asked["code_verifier"]) == 48
    assert Browser(app).get("/back", QUERY_STRING="code=c&state=forged").status == 500
