"""bunqueue over HTTP: python -m bench.peers.bunqueue PORT CONNECTIONS SECONDS

The load comes from wrk, as for Boss: a client in Python or Node would be busier than the server.
"""

import json
import sys

from bench.wrk import load


def main(port: str, connections: str, seconds: str) -> None:
    """Print the rate of whole cycles."""
    rate = load(f"http://127.0.0.1:{port}", "bunqueue.lua", int(connections), float(seconds)).rate
    print(json.dumps({"cycle": rate}))


if __name__ == "__main__":
    main(*sys.argv[1:4])
