#include "mesh/io/buffer.h"

#include <utility>

#include "mesh/io/test_bench.h"

namespace mesh::io {
namespace {

using test::bytes;
using test::text;

TEST_CASE("a buffer grows into its room and gives bytes back to it", "[buffer]") {
  Buffer buffer = Buffer::copy_of(bytes("payload"));
  CHECK(buffer.headroom() == kHeadroom);
  CHECK(buffer.tailroom() == kTailroom);

  std::memcpy(buffer.grow_front(4), "head", 4);
  std::memcpy(buffer.grow_back(4), "tail", 4);
  CHECK(text(buffer.bytes()) == "headpayloadtail");
  CHECK(buffer.headroom() == kHeadroom - 4);
  CHECK(buffer.tailroom() == kTailroom - 4);

  buffer.drop_front(4);
  buffer.drop_back(4);
  CHECK(text(buffer.bytes()) == "payload");
  CHECK(buffer.headroom() == kHeadroom);
}

TEST_CASE("slices share the memory and keep it", "[buffer]") {
  Buffer middle;
  {
    Buffer whole = Buffer::copy_of(bytes("abcdefgh"));
    middle = whole.slice(2, 4);
    whole.bytes()[3] = std::byte{'X'};
  }
  CHECK(text(middle.bytes()) == "cXef");
  CHECK(middle.headroom() == kHeadroom + 2);
  const Buffer moved = std::move(middle);
  CHECK(middle.empty());
  CHECK(text(moved.bytes()) == "cXef");
}

TEST_CASE("an empty buffer has no bytes and no room", "[buffer]") {
  Buffer buffer;
  CHECK(buffer.empty());
  CHECK(buffer.headroom() == 0);
  CHECK(buffer.tailroom() == 0);
  CHECK(buffer.slice(0, 0).empty());
  CHECK(Buffer::allocate(0).tailroom() == kTailroom);
}

}  // namespace
}  // namespace mesh::io
