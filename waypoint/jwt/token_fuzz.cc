// Tokens, key sets and JSON of a stranger.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mesh/base/check.h"
#include "waypoint/jwt/json.h"
#include "waypoint/jwt/keys.h"
#include "waypoint/jwt/token.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mesh::waypoint::jwt;
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 3 == 0) {
    Status status = Status::kOk;
    const auto token = parse_token(text, status);
    MESH_CHECK(token.has_value() == (status == Status::kOk));
    if (token) {
      // What was signed, and the signature, are the text: nothing was skipped between them.
      MESH_CHECK(token->signed_part + "." + encode_base64url(token->signature) == text);
    }
  } else if (data[0] % 3 == 1) {
    if (const auto keys = Keys::parse(text)) MESH_CHECK((*keys)->size() > 0);
  } else if (const auto bytes = decode_base64url(text)) {
    MESH_CHECK(encode_base64url(*bytes) == text);
  }
  return 0;
}
