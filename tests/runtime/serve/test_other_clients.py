"""LiteLLM, LangChain and `llm`, unchanged, against the real server; none of them asks anything of anybody else."""

from __future__ import annotations

import asyncio
import json
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from .running import TOKEN, Running

pytestmark = pytest.mark.twice  # their packages are in the full environment alone
HELLO = [{"role": "user", "content": "Hello."}]


class Verdict(BaseModel):
    """What a schema is made of."""

    kind: Literal["neck", "string"]
    good: bool | None


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No address is looked up, and none called, but this machine's."""
    asked: list[object] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connecting(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            asked.append(address)
            raise OSError("nobody else may be asked")
        connect(self, address)

    def looking_up(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost", None):
            asked.append(host)
            raise OSError("nobody else may be asked")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", looking_up)
    yield
    assert asked == []


def imported(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client's package, whose own warnings are its own affair."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it fetches prices when it is imported
    warnings.simplefilter("ignore")
    return pytest.importorskip(name, reason=f"{name} is not installed (extra `test`)")


def whole(server: Running, **fields: Any) -> str:
    """The answer by plain HTTP."""
    return server.text(model="copersona:ana", messages=HELLO, max_tokens=12, seed=3, temperature=1.0, **fields)


def test_langchain_chats_streams_and_reads_a_class(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    langchain = imported("langchain_openai", monkeypatch)
    address: dict[str, Any] = {"base_url": f"http://127.0.0.1:{server.port}/v1", "api_key": TOKEN}
    model = langchain.ChatOpenAI(model="copersona:ana", max_tokens=12, seed=3, temperature=1.0, **address)
    found = model.invoke("Hello.")
    assert found.content == whole(server)
    assert found.usage_metadata["output_tokens"] <= 12
    assert "".join(chunk.content for chunk in model.stream("Hello.")) == found.content

    async def later() -> Any:
        answer = await model.ainvoke([("human", "Hello.")])
        await model.root_async_client.close()
        return answer.content

    assert asyncio.run(later()) == found.content
    assert [one.content for one in model.batch(["Hello."] * 3)] == [found.content] * 3
    longer = model.model_copy(update={"max_tokens": 60})
    assert isinstance(longer.with_structured_output(Verdict, method="json_schema").invoke("Hello."), Verdict)
    newer = langchain.ChatOpenAI(model="copersona:ana", max_tokens=12, temperature=1.0, use_responses_api=True,
                                 extra_body={"seed": 3}, **address)  # fmt: skip
    assert newer.invoke("Hello.").text == found.content
    assert "".join(chunk.text for chunk in newer.stream("Hello.")) == found.content


def test_langchain_gets_vectors(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    langchain = imported("langchain_openai", monkeypatch)
    address: dict[str, Any] = {"base_url": f"http://127.0.0.1:{server.port}/v1", "api_key": TOKEN}
    made = langchain.OpenAIEmbeddings(model="copersona-encoder", check_embedding_ctx_length=False, **address)
    first, second = made.embed_documents(["good strings", "a loud drum"])
    assert made.embed_query("good strings") == pytest.approx(first)
    assert len(first) == len(second) == server.worker.session.encoder.width


def test_llm_prompts_and_chats_by_its_own_configuration(
    server: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")  # whatever else is installed
    cli = imported("llm.cli", monkeypatch).cli
    from click.testing import CliRunner

    (tmp_path / "extra-openai-models.yaml").write_text(
        "- model_id: ana\n  model_name: copersona:ana\n  supports_schema: true\n  api_key_name: copersona\n"
        f"  api_base: http://127.0.0.1:{server.port}/v1\n"
    )

    def run(*words: str) -> str:
        found = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return found.stdout.removesuffix("\n")

    run("keys", "set", "copersona", "--value", TOKEN)
    options = ("-m", "ana", "-o", "seed", "3", "-o", "temperature", "1", "-o", "max_tokens")
    assert run(*options, "12", "Hello.") == run(*options, "12", "--no-stream", "Hello.") == whole(server)
    schema = json.dumps(Verdict.model_json_schema())
    Verdict.model_validate_json(run(*options, "60", "--schema", schema, "Hello."))
    assert run("-c", "-m", "ana", "-o", "max_tokens", "3", "And now?") is not None


def test_litellm_completes_streams_and_keeps_to_a_schema(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    litellm = imported("litellm", monkeypatch)
    asked: dict[str, Any] = {
        "model": "openai/copersona:ana", "api_base": f"http://127.0.0.1:{server.port}/v1", "api_key": TOKEN,
        "messages": HELLO, "seed": 3, "temperature": 1.0,
    }  # fmt: skip
    found = litellm.completion(max_tokens=12, **asked)
    assert found.choices[0].message.content == whole(server)
    assert found.usage.completion_tokens <= 12
    parts = litellm.completion(max_tokens=12, stream=True, **asked)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == whole(server)

    async def later() -> Any:
        answer = await litellm.acompletion(max_tokens=12, **asked)
        await litellm.close_litellm_async_clients()
        return answer.choices[0].message.content

    assert asyncio.run(later()) == whole(server)
    held = litellm.completion(max_tokens=60, response_format=Verdict, **asked)
    Verdict.model_validate_json(held.choices[0].message.content)
    with pytest.raises(litellm.NotFoundError, match="did you mean ana"):
        litellm.completion(**{**asked, "model": "openai/copersona:anna"})
