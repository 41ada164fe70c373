"""What the Python clients have in common: the servers' addresses, one printed line a case, a look at the metrics."""

import os
import re
import time

import httpx2
import pytest

MODEL = "mullama-tiny"

WEATHER = {
    "name": "get_weather",
    "description": "Get the weather for a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
LIGHT = {
    "name": "set_light",
    "description": "Switch a light on or off",
    "parameters": {
        "type": "object",
        "properties": {"room": {"type": "string"}, "state": {"type": "string", "enum": ["on", "off"]}},
        "required": ["room", "state"],
    },
}
TOOLS = [{"type": "function", "function": function} for function in (WEATHER, LIGHT)]


def user(text):
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


class Server:
    """A running server: its address, its key, and what its metrics say."""

    def __init__(self, url, key, model):
        self.url = url.rstrip("/")
        self.key = key
        self.model = model
        self.headers = {"authorization": f"Bearer {key}"}

    @property
    def v1(self):
        return f"{self.url}/v1"

    def post(self, path, body, **kwargs):
        return httpx2.post(f"{self.url}{path}", json=body, headers=self.headers, timeout=60, **kwargs)

    def metric(self, name):
        """The sum of all samples of a metric."""
        text = httpx2.get(f"{self.url}/metrics", headers=self.headers, timeout=10).raise_for_status().text
        samples = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)", text, re.MULTILINE)
        assert samples, f"/metrics has no {name}"
        return sum(map(float, samples))

    def running(self):
        return self.metric("llamacpp:requests_processing")

    def wait_until_idle(self, seconds):
        """Waits until nothing is computed; fails after so long."""
        deadline = time.monotonic() + seconds
        while running := self.running():
            assert time.monotonic() < deadline, f"{running:.0f} sequences still run after {seconds} s"
            time.sleep(0.02)


@pytest.fixture(scope="session")
def server():
    """The server with the chat model; it asks for a key."""
    return Server(os.environ["MULLAMA_CHAT_URL"], os.environ["MULLAMA_CHAT_KEY"], MODEL)


@pytest.fixture(scope="session")
def embedder():
    """The server with the model for embeddings; it asks for no key."""
    url = os.environ.get("MULLAMA_EMBED_URL")
    if not url:
        pytest.skip("the model for embeddings is not here (../shared)")
    return Server(url, "none", os.environ["MULLAMA_EMBED_MODEL"])


def pytest_report_teststatus(report):
    """No letters between those lines."""
    counted = report.when == "call" or report.outcome != "passed"
    return report.outcome if counted else "", "", ""


def pytest_runtest_logreport(report):
    """`cargo xtask clients` counts these lines."""
    if report.when == "call" or report.outcome != "passed":
        word = {"passed": "pass", "failed": "FAIL", "skipped": "skip"}[report.outcome]
        if report.when == "teardown" and word == "skip":
            return
        client, _, name = report.nodeid.partition("::")
        client = client.rsplit("/", 1)[-1].removeprefix("test_").removesuffix(".py")
        print(f"case {word} {client}: {name} ({report.duration:.2f} s)", flush=True)
