#include "mesh/base/utf8.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh {

using namespace std::string_view_literals;

TEST_CASE("text is UTF-8 of RFC 3629") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("a\0b"sv));
  CHECK(is_utf8("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x95\xb8"));
  CHECK(is_utf8("\xf4\x8f\xbf\xbf"));
  CHECK_FALSE(is_utf8("\x80"));
  CHECK_FALSE(is_utf8("\xc3"));
  CHECK_FALSE(is_utf8("\xc0\x80"));          // not the shortest form
  CHECK_FALSE(is_utf8("\xe0\x80\x80"));      // the same
  CHECK_FALSE(is_utf8("\xed\xa0\x80"));      // a surrogate
  CHECK_FALSE(is_utf8("\xf4\x90\x80\x80"));  // beyond U+10FFFF
  CHECK_FALSE(is_utf8("\xf8\x88\x80\x80\x80"));
}

TEST_CASE("what is no UTF-8 is made so, byte by byte") {
  CHECK(clean_utf8("plain \xc3\xa9") == "plain \xc3\xa9");
  CHECK(clean_utf8("a\xff\xc3(b\xe2\x82") == "a!!(b!!");
  CHECK(clean_utf8("\xc3") == "!");
}

}  // namespace mesh
