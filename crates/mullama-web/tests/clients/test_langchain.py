"""LangChain's OpenAI classes."""

import asyncio

import openai
import pytest
import tiktoken
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from conftest import MODEL


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Get the weather for a city"""
    return f'{{"weather": "sunny", "temperature": {20 + len(city)}}}'


@tool
def set_light(room: str, state: str) -> str:
    """Switch a light on or off"""
    return f"{room} {state}"


@pytest.fixture(scope="module")
def model(server):
    return ChatOpenAI(base_url=server.v1, api_key=server.key, model=MODEL, temperature=0, max_retries=0)


def test_invoke(model):
    answer = model.invoke("What is 7 + 8?")
    assert answer.content == "7 + 8 = 15." and answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata["input_tokens"] == 16 and answer.usage_metadata["output_tokens"] == 10
    named = model.invoke([SystemMessage("Your name is Nova."), HumanMessage("What is your name?")])
    assert named.content == "My name is Nova."


def test_max_tokens(server):
    model = ChatOpenAI(base_url=server.v1, api_key=server.key, model=MODEL, temperature=0, max_tokens=5)
    assert model.invoke("Count to 20.").response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("usage", [False, True])
def test_stream(model, usage):
    chunks = list(model.stream("What is 7 + 8?", stream_usage=usage))
    whole = sum(chunks[1:], chunks[0])
    assert isinstance(whole, AIMessageChunk) and whole.content == "7 + 8 = 15." and len(chunks) > 3
    assert (whole.usage_metadata["output_tokens"] == 10) if usage else whole.usage_metadata is None


@pytest.mark.parametrize("choice", [None, "auto", "any", "get_weather"])
def test_bind_tools(model, choice):
    bound = model.bind_tools([get_weather, set_light], tool_choice=choice)
    [call] = bound.invoke("What is the weather in Paris?").tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"}) and call["id"]
    chunks = list(bound.stream("What is the weather in Paris?"))
    [streamed] = sum(chunks[1:], chunks[0]).tool_calls
    assert (streamed["name"], streamed["args"]) == ("get_weather", {"city": "Paris"}) and streamed["id"]


def test_tool_loop(model):
    bound = model.bind_tools([get_weather])
    messages = [HumanMessage("What is the weather in Oslo?")]
    messages.append(bound.invoke(messages))
    [call] = messages[-1].tool_calls
    messages.append(ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]))
    assert bound.invoke(messages).content == "It is sunny and 24 degrees in Oslo."


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_structured_output(model, method):
    structured = model.with_structured_output(Person, method=method)
    assert structured.invoke("Make JSON with name Anna and age 7.") == Person(name="Anna", age=7)
    *_, last = structured.stream("Make JSON with name Anna and age 7.")
    assert last == Person(name="Anna", age=7)


def test_structured_output_by_a_call(model):
    """LangChain names the one tool that must be called; its arguments follow the schema, whatever the model knows."""
    structured = model.with_structured_output(Person, method="function_calling")
    assert isinstance(structured.invoke("Make JSON with name Anna and age 7."), Person)


def test_batch_and_async(model):
    questions = [f"What is {n} + 1?" for n in range(1, 5)]
    sums = [f"{n} + 1 = {n + 1}." for n in range(1, 5)]
    assert [answer.content for answer in model.batch(questions)] == sums

    async def ask():
        text = "".join([chunk.content async for chunk in model.astream("Count to 20.")])
        return text, (await model.ainvoke(questions[0])).content

    text, first = asyncio.run(ask())
    assert text.endswith("19, 20.") and first == sums[0]


def test_errors(server, model):
    with pytest.raises(openai.NotFoundError) as caught:
        ChatOpenAI(base_url=server.v1, api_key=server.key, model="gpt-none").invoke("Hello!")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as caught:
        model.invoke("Hello!", logit_bias={"no number": 1})
    assert caught.value.param.startswith("logit_bias")


def dot(one, other):
    return sum(x * y for x, y in zip(one, other, strict=True))


def test_embeddings_by_text(embedder):
    embeddings = OpenAIEmbeddings(
        base_url=embedder.v1, api_key=embedder.key, model=embedder.model, check_embedding_ctx_length=False
    )
    cat, stocks, kitten = embeddings.embed_documents(["A cat sits.", "Stocks fell on Monday.", "A kitten sits."])
    assert len(cat) == 384 and dot(cat, kitten) > dot(cat, stocks) + 0.2
    assert embeddings.embed_query("A cat sits.") == pytest.approx(cat, abs=1e-4)


def test_embeddings_by_tokens_of_another_vocabulary(embedder, monkeypatch):
    """What `OpenAIEmbeddings` does unless told not to: it sends ids of tiktoken's vocabulary. tiktoken would fetch that
    one; here it gives the numbers of bytes, which are ids of another vocabulary all the same."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("bytes", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda _: encoding)
    monkeypatch.setattr(tiktoken, "get_encoding", lambda _: encoding)
    embeddings = OpenAIEmbeddings(base_url=embedder.v1, api_key=embedder.key, model=embedder.model)
    with pytest.raises(openai.BadRequestError) as caught:
        embeddings.embed_query("A cat sits.")
    assert "check_embedding_ctx_length" in caught.value.message and caught.value.param.startswith("input")
