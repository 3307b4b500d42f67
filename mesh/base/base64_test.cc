#include "mesh/base/base64.h"

#include <catch2/catch_test_macros.hpp>

namespace mesh {

TEST_CASE("base64 as RFC 4648 has it, and back") {
  struct Row {
    const char *plain, *encoded;
  };
  for (const Row row :
       {Row{"", ""}, Row{"f", "Zg=="}, Row{"fo", "Zm8="}, Row{"foo", "Zm9v"},
        Row{"foob", "Zm9vYg=="}, Row{"fooba", "Zm9vYmE="}, Row{"foobar", "Zm9vYmFy"}}) {
    CHECK(base64_encode(row.plain) == row.encoded);
    CHECK(base64_decode(row.encoded) == row.plain);
    CHECK(base64url_decode(row.encoded) == row.plain);
  }
  CHECK(base64_encode("\xfb\xff\xfe") == "+//+");
  CHECK(base64_decode("+//+") == "\xfb\xff\xfe");
  CHECK(base64url_decode("-__-") == "\xfb\xff\xfe");
}

TEST_CASE("base64 that is not") {
  for (const char* text : {"A", "Zm9vY", "Zm9*", "Zg=a", "-__-"}) CHECK_FALSE(base64_decode(text));
  for (const char* text : {"A", "+//+", "Zm 9"}) CHECK_FALSE(base64url_decode(text));
  CHECK(base64_decode("Zm9v\r\nYm Fy\n") == "foobar");
}

}  // namespace mesh
