"""How weft-ztunnel starts, and what it says when it cannot. usage: main_test.py WEFT_ZTUNNEL"""
import ctypes
import errno
import os
import socket
import struct
import subprocess
import sys
import unittest

ZTUNNEL = sys.argv.pop(1)
PAGES = ("admin", "metrics", "readiness")


def run(*arguments, before=(), **options):
    return subprocess.run([*before, ZTUNNEL, *arguments], capture_output=True, text=True, timeout=20, **options)


def refuse_io_uring(error):
    """In a child: io_uring_setup answers with `error`, as under a runtime's seccomp profile."""
    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    allow, refuse, io_uring_setup = 0x7fff0000, 0x00050000, 425
    program = b"".join(struct.pack("HBBI", *step) for step in (
        (load, 0, 0, 0), (jump_if_equal, 0, 1, io_uring_setup), (answer, 0, 0, refuse | error), (answer, 0, 0, allow)))
    memory = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", 4, ctypes.addressof(memory))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    if prctl(no_new_privileges, 1, 0, 0, 0) or prctl(set_seccomp, filter_mode, header, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


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

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_without_io_uring_it_says_who_refuses_it(self):
        for error, words in ((errno.EPERM, "seccomp profile"), (errno.ENOSYS, "CONFIG_IO_URING"),
                             (errno.EINVAL, "Linux 6.1 or newer")):
            with self.subTest(errno.errorcode[error]):
                self.assert_refused(run("--node", "n", preexec_fn=lambda: refuse_io_uring(error)), "io_uring", words)


if __name__ == "__main__":
    unittest.main()
