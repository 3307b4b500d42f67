#!/usr/bin/env python3
"""The rules of tidy.py, each shown to fire on a bad line and to stay silent on a good one."""
import unittest

import tidy


def complaints(path, text):
    return [advice for _, advice in tidy.check_code(path, text)]


class Tidy(unittest.TestCase):
    def test_a_folder_may_use_lower_rows_only(self):
        self.assertEqual(complaints("mesh/io/a.cc", '#include "mesh/net/address.h"\n'), [])
        self.assertEqual(complaints("ztunnel/a.cc", '#include "ebpf/loader.h"\n'), [])
        self.assertIn("must not use", complaints("mesh/net/a.cc", '#include "mesh/io/ring.h"\n')[0])
        self.assertIn("must not use", complaints("ztunnel/a.cc", '#include "control/world.h"\n')[0])

    def test_pure_folders_never_wait(self):
        for folder in ("mesh/policy", "mesh/workload"):
            self.assertIn("must not use", complaints(folder + "/a.cc", '#include "mesh/io/ring.h"\n')[0])

    def test_third_party_headers_stay_at_home(self):
        self.assertEqual(complaints("mesh/tls/a.cc", "#include <openssl/ssl.h>\n"), [])
        self.assertIn("alone", complaints("ztunnel/a.cc", "#include <openssl/ssl.h>\n")[0])
        self.assertIn("alone", complaints("ztunnel/a.cc", "#include <grpcpp/grpcpp.h>\n")[0])

    def test_banned_idioms(self):
        for line in ("CHECK(co_await f());", "auto x = [=] { return 1; };", "throw 1;", "#ifdef NDEBUG",
                     "co_await f([x] { return x; });", "// FIX" + "ME later"):
            self.assertTrue(complaints("mesh/io/a.cc", line + "\n"), line)
        self.assertEqual(complaints("mesh/io/a.cc", 'log("throw");  // we never throw\n'), [])

    def test_naps_in_tests(self):
        nap = "std::this_thread::sleep_for(1s);\n"
        self.assertTrue(complaints("mesh/io/a_test.cc", nap))
        self.assertEqual(complaints("mesh/io/a.cc", nap), [])

    def test_sizes(self):
        self.assertTrue(complaints("mesh/io/a.cc", "x" * 101 + "\n"))
        self.assertTrue(complaints("mesh/io/a.cc", "int a;\n" * 501))
        self.assertEqual(complaints("mesh/io/a.cc", "int a;\n" * 500), [])
        self.assertTrue(complaints("mesh/io/a.cc", "void f() {\n" + "  f();\n" * 69 + "}\n"))
        self.assertEqual(complaints("mesh/io/a.cc", "void f() {\n" + "  f();\n" * 68 + "}\n"), [])

    def test_headers_begin_with_pragma_once(self):
        self.assertTrue(complaints("mesh/io/a.h", "int a;\n"))
        self.assertTrue(complaints("mesh/io/a.h", "#pragma once\nusing namespace std;\n"))

    def test_what_stands_beside_what(self):
        advice = [a for _, a in tidy.check_tree(["mesh/io/a.cc", "mesh/io/b_fuzz.cc"], {"b"})]
        self.assertTrue(any("README" in a for a in advice))
        self.assertTrue(any("without a seed" in a for a in advice))
        advice = [a for _, a in tidy.check_tree(["test/lab/a_test.py"], set())]
        self.assertTrue(any("README" in a for a in advice))
        good = ["mesh/io/README.md", "mesh/io/b_fuzz.cc", "test/fuzz/corpus/b/1"]
        self.assertEqual(list(tidy.check_tree(good, {"b"})), [])


if __name__ == "__main__":
    unittest.main()
