"""The files of the page, from the package. They hold nothing of anybody, so a browser may fetch them without the token;
what they show they ask for with it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "page"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types copersona"
)
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}


@cache
def page_files() -> dict[str, Path]:
    """Each file by the path that it is fetched by; `/` is the page."""
    files = sorted(path for path in FOLDER.iterdir() if path.suffix in KINDS)
    return {"/": FOLDER / "index.html"} | {f"/page/{path.name}": path for path in files}


def page_routes() -> list[Route]:
    """A route for each of them."""
    return [Route(path, _send, methods=["GET"]) for path in page_files()]


async def _send(request: Request) -> Response:
    path = page_files()[request.url.path]
    return Response(path.read_bytes(), media_type=KINDS[path.suffix], headers=HEADERS)
