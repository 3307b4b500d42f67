"""How weft-agent starts, and what it says when it cannot. usage: agent_main_test.py WEFT_AGENT"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

AGENT = sys.argv.pop(1)


def run(*arguments, before=()):
    return subprocess.run([*before, AGENT, *arguments], capture_output=True, text=True, timeout=20)


class AgentStart(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temporary.name)
        self.addCleanup(self.temporary.cleanup)

    def flags(self, state="state"):
        return ["--node", "n1", "--zds-socket", str(self.folder / "zds.sock"), "--socket",
                str(self.folder / "agent.sock"), "--state", str(self.folder / state)]

    def assert_refused(self, result, reason):
        self.assertEqual(result.returncode, 1)
        self.assertIn(reason, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_help_and_version(self):
        self.assertIn("--zds-socket", run("--help").stdout)
        self.assertRegex(run("--version").stdout, r"^weft-agent \d")

    def test_a_missing_flag_is_named(self):
        result = run("--node", "n1")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("--zds-socket is required", result.stderr)

    def test_a_probe_address_that_is_none(self):
        self.assert_refused(run(*self.flags(), "--probe-address", "x"), "x is no IPv4 address")

    def test_a_state_folder_that_cannot_be_made(self):
        self.assert_refused(run(*self.flags("no/such/folder")), "No such file or directory")

    def test_a_file_in_the_way_of_the_socket(self):
        (self.folder / "agent.sock").write_text("mine")
        self.assert_refused(run(*self.flags()), "agent.sock: bind socket: Address already in use; "
                            "another process listens there, or a file of that name is in the way")

    def test_without_capabilities_it_says_which_it_needs(self):
        bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        self.assert_refused(run(*self.flags(), before=bare),
                            "Operation not permitted; run as root, or with CAP_BPF")

    def test_a_kernel_that_is_too_old(self):
        self.assert_refused(run(*self.flags(), before=["setarch", "--uname-2.6"]),
                            "is too old: 6.1 or newer is needed")

    def test_a_kernel_without_type_information(self):
        hidden = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"]
        self.assert_refused(run(*self.flags(), before=hidden),
                            "/sys/kernel/btf/vmlinux is missing: the kernel needs CONFIG_DEBUG_INFO_BTF")


if __name__ == "__main__":
    unittest.main()
