"""No route without the checks: the matrix is made from the app's own table, so that a new route cannot escape it."""

from __future__ import annotations

import http.client
import json
import socket
from itertools import product

import pytest

pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

from copersona.runtime.serve.app import all_routes
from copersona.runtime.serve.gate import MOST_BODY
from copersona.runtime.serve.listen import Address, names_of
from copersona.runtime.serve.page_files import page_files

from .running import HELLO, TOKEN, Running

HOSTS = [
    "evil.example",
    "evil.example:8321",
    "localhost",
    "localhost:1",
    "127.0.0.1.nip.io",
    "0.0.0.0",
    "",
    "LOCALHOST.",
]
ORIGINS = ["https://evil.example", "null", "http://localhost:3000", "file://", "chrome-extension://abc", "http://127.0.0.1",
           "https://localhost"]  # fmt: skip
TYPES = [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
         "application/jsonp", "application/json; charset=utf-16"]  # fmt: skip
TOKENS = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    f"Basic {TOKEN}",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[:-1]}",
    TOKEN,
]


def routes(server: Running) -> list[tuple[str, str]]:
    """Method and path of every route, and some of none."""
    found = []
    for route in all_routes(server.worker):
        methods = sorted((route.methods or set()) - {"HEAD"})
        path = route.path
        for part, value in {"model:path": "copersona", "person:path": "ana", "facet:path": "x"}.items():
            path = path.replace(f"{{{part}}}", value)
        path = path.replace("{id}", "x").replace("{digest}", "x")
        assert "{" not in path
        found += [(method, path) for method in methods]
    assert len(found) >= 12
    return [
        *found,
        ("GET", "/page/nothing.js"),
        ("POST", "/v1/nothing"),
        ("OPTIONS", "/v1/chat/completions"),
        ("PUT", "/v1/models"),
    ]


def own(server: Running) -> dict[str, str]:
    return {"Host": f"127.0.0.1:{server.port}"}


def test_every_route_refuses_a_name_that_is_not_ours(server: Running) -> None:
    for (method, path), host in product(routes(server), HOSTS):
        found = server.ask(method, path, HELLO, headers={"Host": host})
        assert (found.status, found.error["code"]) == (403, "host"), (method, path, host)


def test_promise_no_page_of_another_site_reaches_the_server(server: Running) -> None:
    for (method, path), origin in product(routes(server), ORIGINS):
        found = server.ask(method, path, HELLO, headers={"Origin": origin})
        assert (found.status, found.error["code"]) == (403, "origin"), (method, path, origin)
        assert not [name for name in found.headers if name.startswith("access-control")]
    for (method, path), site in product(routes(server), ("cross-site", "same-site")):
        found = server.ask(method, path, HELLO, headers={"Sec-Fetch-Site": site})
        assert (found.status, found.error["code"]) == (403, "origin"), (method, path, site)


def test_promise_without_the_token_nothing_is_answered(server: Running) -> None:
    for (method, path), token in product(routes(server), TOKENS):
        found = server.ask(method, path, HELLO, headers={"Authorization": token})
        if path == "/health" or path in page_files():
            assert found.status == 200
            continue
        assert (found.status, found.error["code"]) == (401, "invalid_api_key"), (method, path, token)
        assert found.headers["www-authenticate"] == "Bearer"
    query = server.ask("GET", f"/v1/models?token={TOKEN}", headers={"Authorization": None, "X-Api-Key": TOKEN})
    assert query.status == 401


def test_every_route_that_changes_or_asks_takes_json_alone(server: Running) -> None:
    for (method, path), kind in product(routes(server), TYPES):
        if method == "GET":
            continue
        found = server.ask(method, path, HELLO, headers={"Content-Type": kind})
        assert (found.status, found.error["code"]) == (415, "content_type"), (method, path, kind)


def test_who_is_let_in(server: Running) -> None:
    port = server.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LocalHost:{port}", f"[::1]:{port}"):
        for origin in (None, f"http://localhost:{port}", f"http://127.0.0.1:{port}"):
            assert server.ask("GET", "/v1/models", headers={"Host": host, "Origin": origin}).status == 200
    kinds = ("application/json", "Application/JSON; charset=UTF-8")
    assert {server.ask("POST", "/v1/chat/completions", HELLO, headers={"Content-Type": k}).status for k in kinds} == {
        200
    }
    assert server.ask("GET", "/v1/models", headers={"Authorization": f"bearer {TOKEN}"}).status == 200


def test_what_is_not_there_is_said_in_the_same_form(server: Running) -> None:
    assert server.ask("GET", "/v1/nothing").error["code"] == "not_found"
    wrong = server.ask("GET", "/v1/chat/completions")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert wrong.error["code"] == "not_found"
    assert server.ask("GET", "/v1/models/").status == 404


def test_every_answer_forbids_what_a_browser_might_make_of_it(server: Running) -> None:
    for found in (server.ask("GET", "/health"), server.chat(), server.ask("GET", "/x"), server.chat(model="x")):
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in found.headers


def raw(server: Running, data: bytes) -> bytes:
    """What comes back to bytes as they are."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(data)
        found = b""
        while part := connection.recv(65_536):
            found += part
            if b"\r\n\r\n" in found and found.rstrip().endswith(b"}"):
                break
        return found


def test_a_header_that_is_there_twice_is_refused(server: Running) -> None:
    head = f"GET /v1/models HTTP/1.1\r\nHost: localhost:{server.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
    assert b" 200 " in raw(server, f"{head}\r\n".encode())
    for more in (f"Host: localhost:{server.port}", "Authorization: Bearer wrong", "Origin: a\r\nOrigin: b"):
        assert b" 400 " in raw(server, f"{head}{more}\r\n\r\n".encode()).split(b"\r\n")[0]


def test_a_body_that_is_too_large_is_refused_however_it_comes(server: Running) -> None:
    large = server.ask("POST", "/v1/chat/completions", raw=b" " * (MOST_BODY + 1))
    assert (large.status, large.error["code"]) == (413, "body_too_large")
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{server.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Type: application/json\r\n"
    )
    said = raw(server, f"{head}Content-Length: 99999999999\r\n\r\n".encode())
    assert b" 413 " in said
    chunk = b"%x\r\n%s\r\n" % (65_536, b" " * 65_536)
    chunks = chunk * (MOST_BODY // 65_536 + 1) + b"0\r\n\r\n"
    assert b" 413 " in raw(server, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)
    assert server.ask("GET", "/health").status == 200


def test_names_of_another_interface_are_those_that_were_given() -> None:
    beyond = names_of(Address("192.168.7.7", 80, beyond=True, names=("Box.lan",)), 80)
    assert {"192.168.7.7", "192.168.7.7:80", "box.lan", "box.lan:80", "localhost", "[::1]:80"} <= beyond
    assert "0.0.0.0:9" not in names_of(Address("0.0.0.0", 9, beyond=True, names=("box",)), 9)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.7.7", "box.lan", ""])
def test_another_interface_needs_to_be_meant(host: str) -> None:
    from copersona.runtime.common.errors import ModelError

    with pytest.raises(ModelError, match="--listen-beyond-this-machine"):
        Address(host)
    if host in ("0.0.0.0", "::", ""):
        with pytest.raises(ModelError, match="--name"):
            Address(host, beyond=True)
    assert Address(host, beyond=True, names=("box",)).names == ("box",)


def test_a_connection_goes_on_after_a_refusal_whose_body_was_not_read(server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    body = json.dumps(HELLO)
    try:
        for token, status in (("wrong", 401), (TOKEN, 200), ("wrong", 401), (TOKEN, 200)):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/chat/completions", body, headers)
            response = connection.getresponse()
            response.read()
            assert response.status == status
    finally:
        connection.close()
