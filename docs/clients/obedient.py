"""A client that is never limited: it waits until its next request fits.

    TOLLGATE_URL=http://127.0.0.1:8080 TOLLGATE_API_KEY=tk_…:tks_… python3 obedient.py 20 3

sends 20 requests that cost 3 tokens each, one after the other, and says how many were allowed.
"""

import os
import re
import sys
import time
import urllib.error
import urllib.request

CLOCKS_APART_S = 0.005  # what two clocks may run apart, on top of what the node's figures say
ATTEMPTS_MAX = 4


def items(header):
    """The items of a list header, `"name";a=1;b=2, …`: name to parameters."""
    found = {}
    for item in (header or "").split(","):
        named = re.match(r'\s*"([^"]*)"(.*)', item)
        if named:
            found[named[1]] = {name: int(value) for name, value in re.findall(r";\s*(\w+)=(\d+)", named[2])}
    return found


def wait_s(headers, cost):
    """How long after an answer with these headers a request of this cost is certain to fit."""
    policies = items(headers.get("RateLimit-Policy"))
    longest = 0.0
    for name, limit in items(headers.get("RateLimit")).items():
        missing = cost - limit["r"]
        if missing <= 0:
            continue
        policy = policies[name]
        if cost > policy["q"]:
            raise ValueError(f"a cost of {cost} can never pass: limit {name} has a burst of {policy['q']}")
        refilled_s = missing * policy["w"] / policy["q"]
        longest = max(longest, min(refilled_s, limit["t"]) + CLOCKS_APART_S)
    return longest


def send(url, api_key, cost):
    """Sends one request and returns the headers of its answer; comes back later where it is told to."""
    request = urllib.request.Request(f"{url}/v1/authorize?cost={cost}", headers={"Authorization": f"Bearer {api_key}"})
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.headers
        except urllib.error.HTTPError as refusal:
            # 429: somebody else spends from the same limit. A 503 may have been charged, and no
            # other answer will ever be another.
            if refusal.code != 429 or attempt == ATTEMPTS_MAX:
                raise
            time.sleep(int(refusal.headers["Retry-After"]))


def main():
    requests, cost = int(sys.argv[1]), int(sys.argv[2])
    url, api_key = os.environ["TOLLGATE_URL"], os.environ["TOLLGATE_API_KEY"]
    headers = {}
    for _ in range(requests):
        time.sleep(wait_s(headers, cost))
        headers = send(url, api_key, cost)
    print(f"{requests} allowed")


main()
