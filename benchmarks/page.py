"""How long the page takes from a click on Send to the first word, against the same request sent without a browser.

    python benchmarks/page.py BUNDLE PERSON [--rounds 20]

PERSON is one of the people store, whom the server knows already. In turns: the click, and the body that the page sent
for it, by plain HTTP. Needs playwright and a Chromium. Prints one JSON object; times are medians in seconds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from serve import Server, ours, request  # noqa: E402

from tests.runtime.serve.browsing import chromium  # noqa: E402

WATCH = """() => {
  window.first = new Promise((done) => {
    let start = 0;
    document.addEventListener("click", () => (start = performance.now()), { capture: true, once: true });
    const seen = new MutationObserver(() => {
      if (!document.querySelector(".turn.answer .body")?.textContent) return;
      seen.disconnect();
      done((performance.now() - start) / 1000);
    });
    seen.observe(document.getElementById("log"), { childList: true, subtree: true, characterData: true });
  });
}"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("person")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    server = ours(given.bundle, 4, given.threads)
    try:
        with chromium() as browser:
            page = browser.new_page()
            print(json.dumps(measured(page, server, given.person, given.rounds)))
    finally:
        server.stop()


def measured(page: Any, server: Server, person: str, rounds: int) -> dict[str, Any]:
    """The medians and their ratio. The first three rounds read what is read once."""
    page.goto(f"http://127.0.0.1:{server.port}/#token={server.token}")
    page.click("#dialog-buttons button")
    page.select_option("#person", person)
    page.wait_for_selector(".facet")
    clicks, calls = [], []
    for number in range(rounds + 3):
        took, body = clicked(page, request(number))
        clicks.append(took)
        calls.append(called(server, body))
    click, call = statistics.median(clicks[3:]), statistics.median(calls[3:])
    ratios = [one / other for one, other in zip(clicks[3:], calls[3:], strict=True)]
    pairs = statistics.median(ratios)
    return {"click": click, "call": call, "ratio": click / call, "median_of_ratios": pairs, "rounds": rounds}


def clicked(page: Any, text: str) -> tuple[float, bytes]:
    """Seconds from the click to the first word in the document, and the body that was sent."""
    page.click("#new")
    page.fill("#say", text)
    page.evaluate(WATCH)
    with page.expect_request("**/v1/chat/completions") as asked:
        page.click("#send")
    took = page.evaluate("window.first")
    page.wait_for_selector("#send:not(.stop)")
    page.wait_for_selector(".turn.waiting", state="detached")
    return float(took), asked.value.post_data_buffer


def called(server: Server, body: bytes) -> float:
    """Seconds to the first word of the same request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    start = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", body, headers)
    response = connection.getresponse()
    while b'"content":"' not in (line := response.readline()) or b'"content":""' in line:
        if not line:
            raise SystemExit(f"no word came ({response.status})")
    took = time.perf_counter() - start
    response.read()
    connection.close()
    return took


if __name__ == "__main__":
    main()
