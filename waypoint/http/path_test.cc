#include "waypoint/http/path.h"

#include <string>

#include <catch2/catch_test_macros.hpp>

namespace mesh::waypoint::http {
namespace {

TEST_CASE("a path has one spelling") {
  struct Row {
    const char* target;
    const char* path;
  };
  for (const Row& row : {
           Row{"/", "/"},
           Row{"/a/b", "/a/b"},
           Row{"/a|{b}^\"<`>?|", "/a%7C%7Bb%7D%5E%22%3C%60%3E?|"},
           Row{"/a/", "/a/"},
           Row{"/a/./b", "/a/b"},
           Row{"/a/../b", "/b"},
           Row{"/a/..", "/"},
           Row{"/a/b/..", "/a/"},
           Row{"/a/.", "/a/"},
           Row{"/..", "/"},
           Row{"/../../a", "/a"},
           Row{"/%2e%2e/a", "/a"},
           Row{"/a/%2E%2e/b", "/b"},
           Row{"/a/.%2e/b", "/b"},
           Row{"/%61dmin", "/admin"},
           Row{"/%41%5A%7e%2D", "/AZ~-"},
           Row{"/a\\b", "/a/b"},
           Row{"/a\\..\\b", "/b"},
           Row{"/a%2fb", "/a%2fb"},
           Row{"/a%2Fb", "/a%2Fb"},
           Row{"/a%5cb", "/a%5cb"},
           Row{"/%252e%252e/a", "/%252e%252e/a"},
           Row{"/%25%32%65", "/%252e"},
           Row{"//a//b", "//a//b"},
           Row{"//..//b", "//b"},
           Row{"/a;x=1/b", "/a;x=1/b"},
           Row{"/...;x", "/...;x"},
           Row{"/.hidden", "/.hidden"},
           Row{"/..a", "/..a"},
           Row{"/a?b=/../c", "/a?b=/../c"},
           Row{"/a/..?x=%zz", "/?x=%zz"},
           Row{"/caf%C3%A9", "/caf%C3%A9"},
           Row{"/a%20b", "/a%20b"},
           Row{"/\xc3\xa9", "/\xc3\xa9"},
       }) {
    INFO(row.target);
    const NormalPath normal = normalize(row.target, "GET", {});
    CHECK(normal.fault == PathFault::kNone);
    CHECK(normal.path == row.path);
  }
}

TEST_CASE("a path that is read in two ways is refused") {
  using enum PathFault;
  struct Row {
    std::string target;
    PathFault fault;
  };
  for (const Row& row : {
           Row{"", kNotAbsolute},
           Row{"a", kNotAbsolute},
           Row{"*", kNotAbsolute},
           Row{"http://a/b", kNotAbsolute},
           Row{"?a", kNotAbsolute},
           Row{"/a b", kBadCharacter},
           Row{"/a\tb", kBadCharacter},
           Row{"/a\x7f", kBadCharacter},
           Row{std::string("/a\0b", 4), kBadCharacter},
           Row{"/a?b\nc", kBadCharacter},
           Row{"/a%00", kBadCharacter},
           Row{"/a#b", kFragment},
           Row{"/a?b#c", kFragment},
           Row{"/%", kBadEscape},
           Row{"/%2", kBadEscape},
           Row{"/%zz", kBadEscape},
           Row{"/%2%65", kBadEscape},
           Row{"/a/..;/b", kAmbiguous},
           Row{"/a/..;x=1/b", kAmbiguous},
           Row{"/a/.;/b", kAmbiguous},
           Row{"/a/%2e%2e;/b", kAmbiguous},
           Row{"/a/..%2fb", kAmbiguous},
           Row{"/a%2f..", kAmbiguous},
           Row{"/a%2f..%2fb", kAmbiguous},
           Row{"/a%5c..%5Cb", kAmbiguous},
           Row{"/a%2f..;x%2fb", kAmbiguous},
           Row{"/a%2f./b", kAmbiguous},
           Row{"/a/%c0%ae%c0%ae/b", kAmbiguous},
           Row{"/a%c0%afb", kAmbiguous},
           Row{"/a%C1%9Cb", kAmbiguous},
           Row{"/" + std::string(kMaxPathBytes, 'a'), kTooLong},
       }) {
    INFO(row.target.substr(0, 40));
    CHECK(normalize(row.target, "GET", {}).fault == row.fault);
  }
  CHECK(normalize("*", "OPTIONS", {}).path == "*");
}

TEST_CASE("escaped slashes and double slashes are as the options say") {
  using enum EscapedSlashes;
  CHECK(normalize("/a%2fb", "GET", {.escaped_slashes = kReject}).fault == PathFault::kEscapedSlash);
  CHECK(normalize("/a%5Cb", "GET", {.escaped_slashes = kReject}).fault == PathFault::kEscapedSlash);
  const NormalPath forwarded =
      normalize("/a%2f..%2Fb?c", "GET", {.escaped_slashes = kUnescapeAndForward});
  CHECK(forwarded.path == "/b?c");
  CHECK_FALSE(forwarded.redirect);
  CHECK(normalize("/a%5cb", "GET", {.escaped_slashes = kUnescapeAndRedirect}).redirect);
  CHECK_FALSE(normalize("/a/b", "GET", {.escaped_slashes = kUnescapeAndRedirect}).redirect);
  CHECK(normalize("//a///b//", "GET", {.merge_slashes = true}).path == "/a/b/");
  CHECK(normalize("//", "GET", {.merge_slashes = true}).path == "/");
}

TEST_CASE("a path that is not normalised is still checked") {
  const PathOptions off{.normalize = false};
  CHECK(normalize("/a/../%61", "GET", off).path == "/a/../%61");
  CHECK(normalize("/a/..;/b", "GET", off).fault == PathFault::kAmbiguous);
  CHECK(normalize("/%zz", "GET", off).fault == PathFault::kBadEscape);
}

}  // namespace
}  // namespace mesh::waypoint::http
