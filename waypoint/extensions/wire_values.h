#pragma once
// Pieces that the messages of services share, from and to protobuf. Internal to
// waypoint/extensions.

#include <string_view>
#include <vector>

#include "mesh/net/address.h"
#include "waypoint/extensions/edits.h"
#include "waypoint/http/value.h"

namespace envoy::config::core::v3 {
class Address;
class HeaderMap;
class HeaderValue;
class HeaderValueOption;
}  // namespace envoy::config::core::v3
namespace weft::wire {
class Struct;
}  // namespace weft::wire

namespace mesh::waypoint::extensions::wire_values {

inline constexpr int kDepthMax = 32;  // of lists and objects in each other

// False: nested deeper than kDepthMax.
bool from_struct(const weft::wire::Struct& from, http::Value& to);
void to_struct(const http::Value& from, weft::wire::Struct& to);

// Envoy's text, or its raw bytes.
std::string value_of(const envoy::config::core::v3::HeaderValue& header);
// `otherwise`: when neither `append` nor an action other than the first says what is meant.
HeaderEdit edit_of(const envoy::config::core::v3::HeaderValueOption& option,
                   HeaderEdit::Action otherwise, HeaderEdit::Action appended);
void to_address(const net::SocketAddress& from, envoy::config::core::v3::Address& to);
void to_header_map(const h2::Headers& from, envoy::config::core::v3::HeaderMap& to);

}  // namespace mesh::waypoint::extensions::wire_values
