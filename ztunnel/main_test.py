"""How weft-ztunnel starts, and what it says when it cannot. usage: main_test.py WEFT_ZTUNNEL"""
import os
import socket
import subprocess
import sys
import unittest

ZTUNNEL = sys.argv.pop(1)
PAGES = ("admin", "metrics", "readiness")


def run(*arguments, before=()):
    return subprocess.run([*before, ZTUNNEL, *arguments], capture_output=True, text=True, timeout=20)


class ZtunnelStart(unittest.TestCase):
    def assert_refused(self, result, *reasons):
        self.assertEqual(result.returncode, 1)
        for reason in reasons:
            self.assertIn(reason, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_help_and_version(self):
        self.assertIn("--zds-socket", run("--help").stdout)
        self.assertRegex(run("--version").stdout, r"^weft-ztunnel \d")

    def test_a_flag_that_cannot_be_read(self):
        self.assert_refused(run("--admin", "nowhere"), "nowhere")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_a_port_in_use_is_named_with_its_flag(self):
        for taken in PAGES:
            with self.subTest(taken), socket.create_server(("127.0.0.1", 0)) as other:
                port = other.getsockname()[1]
                flags = [word for page in PAGES
                         for word in (f"--{page}", f"127.0.0.1:{port if page == taken else 0}")]
                self.assert_refused(run("--node", "n", *flags), f"127.0.0.1:{port}",
                                    "Address already in use", f"--{taken}")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_without_capabilities_it_says_which_it_needs(self):
        bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        self.assert_refused(run("--node", "n", before=bare), "run as root", "CAP_SYS_ADMIN, CAP_NET_ADMIN")
        less = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]
        result = run("--node", "n", before=less)
        self.assert_refused(result, "CAP_NET_RAW missing")
        self.assertNotIn("CAP_SYS_ADMIN", result.stderr)


if __name__ == "__main__":
    unittest.main()
