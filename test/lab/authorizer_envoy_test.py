"""The cases of authorizer_test.py with stock Envoy as the waypoint, that our control plane configures."""
import sys

import authorizer_test
import envoy_test
import waypoint_test  # puts stock Envoy's waypoint aside

if __name__ == "__main__":
    if not envoy_test.ENVOY.exists():
        print("no Envoy here; `make kubernetes` gets it")
        sys.exit(77)  # skipped
    assert waypoint_test.PROGRAM
    authorizer_test.CALLER = ""
    authorizer_test.play(envoy_test.envoy_waypoint(), "authorizer-envoy")
