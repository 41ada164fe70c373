"""The OpenAPI document against the server that serves it: what it promises, for requests that schemathesis makes up."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Unloading would take the model away from all that come after.
LEFT_OUT = "^/models/(load|unload)$"
SECONDS = 150


def test_document(server):
    document = httpx2.get(f"{server.url}/openapi.json", headers=server.headers).raise_for_status().json()
    assert document["openapi"].startswith("3.")
    for name in ("chat/completions", "completions", "embeddings", "models", "responses", "messages"):
        assert f"/v1/{name}" in document["paths"], f"/v1/{name} is not described"


def test_schemathesis(server, tmp_path):
    program = Path(sys.executable).with_name("st")
    command = [program, "--no-color", "run", f"{server.url}/openapi.json", "--checks", CHECKS]
    command += ["--max-examples", os.environ.get("MULLAMA_EXAMPLES", "10"), "--phases", "examples,coverage,fuzzing"]
    command += ["--header", f"Authorization: Bearer {server.key}", "--exclude-path-regex", LEFT_OUT]
    command += ["--request-timeout", "30", "--seed", "1", "--generation-database", "none", "--warnings", "off"]
    command += ["--continue-on-failure", "--suppress-health-check", "all"]
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"schemathesis has not ended after {SECONDS} s:\n{(late.stdout or b'').decode()[-4000:]}")
    print(done.stdout[-20_000:], done.stderr[-2_000:], sep="\n")
    assert done.returncode == 0, f"schemathesis ended with {done.returncode}; its report stands above"
    assert "No test cases" not in done.stdout and "Test cases" in done.stdout
