"""Clients that others wrote, unchanged, against the real server."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest

from .running import TOKEN, Running

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    openai = pytest.importorskip("openai", reason="openai-python is not installed (extra `test`)")


@pytest.fixture
def client(server: Running) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=TOKEN) as made:
        yield made


HELLO: list[dict[str, str]] = [{"role": "user", "content": "Hello."}]
ASK: dict[str, Any] = {"messages": HELLO, "max_tokens": 12, "seed": 3, "temperature": 1.0}


def test_openai_lists_the_models_and_chats_as_a_person(client: Any) -> None:
    assert [model.id for model in client.models.list()] == [
        "copersona", "copersona-plain", "copersona:Zoë", "copersona:ana", "copersona:bo",
    ]  # fmt: skip
    assert client.models.retrieve("copersona:ana").id == "copersona:ana"
    found = client.chat.completions.create(model="copersona:ana", **ASK)
    assert found.choices[0].message.role == "assistant"
    assert found.usage.completion_tokens <= 12
    assert found.model_extra["copersona"]["person"] == "ana"
    plain = client.chat.completions.create(model="copersona:ana", extra_body={"copersona": {"persona": False}}, **ASK)
    assert plain.model_extra["copersona"]["person"] is None


def test_openai_streams_what_it_gets_whole(client: Any) -> None:
    whole = client.chat.completions.create(model="copersona:bo", **ASK).choices[0].message.content
    chunks = list(
        client.chat.completions.create(model="copersona:bo", stream=True, stream_options={"include_usage": True}, **ASK)
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    assert chunks[-1].usage.completion_tokens <= 12
    stop = whole[4:7]
    with client.chat.completions.stream(model="copersona:bo", stop=stop, **ASK) as stream:
        assert stream.get_final_completion().choices[0].message.content == whole[: whole.index(stop)]


def test_openai_async_does_both_at_once(server: Running) -> None:
    async def talk() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=TOKEN) as client:

            async def streamed() -> str:
                parts = []
                async for chunk in await client.chat.completions.create(model="copersona:ana", stream=True, **ASK):
                    parts.append(chunk.choices[0].delta.content or "")
                return "".join(parts)

            whole, text = await asyncio.gather(client.chat.completions.create(model="copersona:ana", **ASK), streamed())
            return whole.choices[0].message.content, text

    whole, streamed = asyncio.run(talk())
    assert whole == streamed


def test_openai_parses_an_answer_into_a_class(client: Any) -> None:
    from pydantic import BaseModel

    class Part(BaseModel):
        kind: Literal["neck", "string"]
        good: bool | None

    class Review(BaseModel):
        parts: list[Part]
        stars: Literal[1, 2, 3]

    for seed in range(20):
        asked = {**ASK, "max_tokens": 300, "seed": seed}
        try:
            found = client.chat.completions.parse(model="copersona:ana", response_format=Review, **asked)
        except openai.LengthFinishReasonError:  # a list may go on for long
            continue
        assert isinstance(found.choices[0].message.parsed, Review)
        return
    pytest.fail("no answer had an end")


RESPONSE: dict[str, Any] = {
    "model": "copersona:ana", "input": "Hello.", "max_output_tokens": 12, "temperature": 1.0, "extra_body": {"seed": 3},
}  # fmt: skip


def test_openai_gets_a_response_whole_and_as_a_stream(client: Any) -> None:
    chat = client.chat.completions.create(model="copersona:ana", **ASK)
    whole = client.responses.create(**RESPONSE)
    assert whole.output_text == chat.choices[0].message.content
    assert whole.usage.output_tokens == chat.usage.completion_tokens
    assert whole.model_extra["copersona"]["person"] == "ana"
    events = list(client.responses.create(stream=True, **RESPONSE))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text
    with client.responses.stream(**RESPONSE) as stream:
        texts = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
    assert texts[-1] == whole.output_text


def test_openai_goes_on_with_a_response_by_its_own_output(client: Any) -> None:
    first = client.responses.create(**RESPONSE)
    turns = [{"role": "user", "content": "Hello."}, *first.output, {"role": "user", "content": "And now?"}]
    found = client.responses.create(**{**RESPONSE, "input": turns})
    assert found.usage.input_tokens > first.usage.total_tokens
    with pytest.raises(openai.BadRequestError, match="send the whole conversation") as refused:
        client.responses.create(previous_response_id=first.id, **RESPONSE)
    assert refused.value.param == "previous_response_id"


def test_openai_parses_a_response_into_a_class(client: Any) -> None:
    from pydantic import BaseModel

    class Verdict(BaseModel):
        kind: Literal["neck", "string"]
        good: bool | None

    asked = {**RESPONSE, "max_output_tokens": 60, "text_format": Verdict}
    found = client.responses.parse(**asked)
    assert isinstance(found.output_parsed, Verdict)
    with client.responses.stream(**asked) as stream:
        assert stream.get_final_response().output_parsed == found.output_parsed


def test_openai_async_streams_a_response(server: Running, client: Any) -> None:
    async def talk() -> str:
        async with (
            openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=TOKEN) as made,
            made.responses.stream(**RESPONSE) as stream,
        ):
            return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])

    assert asyncio.run(talk()) == client.responses.create(**RESPONSE).output_text


def test_openai_gets_vectors_in_its_own_packing_and_as_numbers(client: Any, server: Running) -> None:
    packed = client.embeddings.create(model="copersona-encoder", input=["good strings", "bad drum"])
    plain = client.embeddings.create(model="copersona-encoder", input="good strings", encoding_format="float")
    np.testing.assert_allclose(packed.data[0].embedding, plain.data[0].embedding, atol=1e-6)
    np.testing.assert_allclose(plain.data[0].embedding, server.worker.session.encoder.encode("good strings"), atol=1e-6)


def test_openai_completes_a_text(client: Any) -> None:
    found = client.completions.create(model="copersona-plain", prompt="Once upon a", max_tokens=5, seed=1)
    parts = client.completions.create(model="copersona-plain", prompt="Once upon a", max_tokens=5, seed=1, stream=True)
    assert "".join(part.choices[0].text for part in parts) == found.choices[0].text


def test_openai_raises_its_own_error_for_each_refusal(client: Any, server: Running) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean ana") as refused:
        client.chat.completions.create(model="copersona:anna", **ASK)
    assert refused.value.code == "person_not_found"
    with pytest.raises(openai.BadRequestError, match="n must be 1") as wrong:
        client.chat.completions.create(model="copersona", n=2, **ASK)
    assert wrong.value.param == "n"
    with pytest.raises(openai.NotFoundError):
        list(client.chat.completions.create(model="copersona:anna", stream=True, **ASK))
    wrong_key = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="no")
    with wrong_key, pytest.raises(openai.AuthenticationError):
        wrong_key.models.list()


def test_a_recorded_request_of_each_of_three_front_ends(server: Running) -> None:
    """The shapes that Open WebUI, Continue and an editor's edit predictions send; texts are ours."""
    open_webui = {
        "model": "copersona:ana", "stream": True, "stream_options": {"include_usage": True},
        "messages": [{"role": "system", "content": "User Context:\n\n"}, *HELLO],
        "params": {}, "features": {"web_search": False}, "metadata": {"task": None}, "max_tokens": 5,
    }  # fmt: skip
    continued = {
        "model": "copersona", "messages": [{"role": "system", "content": "You are an assistant."}, *HELLO],
        "max_tokens": 5, "stream": True, "stop": ["\n\n\n"], "parallel_tool_calls": False, "tools": [],
    }  # fmt: skip
    for body in (open_webui, continued):
        assert server.ask("POST", "/v1/chat/completions", body).events[-1] == "[DONE]"
    predicted = {
        "model": "copersona-plain", "prompt": "<|fim_prefix|>def f(<|fim_suffix|>):<|fim_middle|>", "max_tokens": 5,
        "temperature": 0.2, "stop": ["<|endoftext|>"], "stream": False,
    }  # fmt: skip
    assert server.ask("POST", "/v1/completions", predicted).status == 200
