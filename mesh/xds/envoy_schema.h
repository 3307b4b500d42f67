#pragma once
// What the messages of proto/ look like, for what the lite runtime cannot do: name a field that a
// message does not have, and print a message. Reads the wire itself; follows an Any into its
// message.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mesh::xds {

// Whether `type` ("envoy.config.rbac.v3.RBAC") is one of ours.
bool known_message(std::string_view type);

// The message that a type URL names: what follows its last slash.
std::string_view message_of(std::string_view type_url);

// What a message of `type` holds that our subset does not: "rules.policies[deny].condition_text:
// field 9 is unknown", "filters[0].typedConfig: io.istio.X is unknown"; bytes that are no protobuf
// message are told the same way. Empty: everything is known. At most `limit` of them.
//
// The content of a TypedStruct counts as known here: its type is for the reader to judge.
std::vector<std::string> unknown_fields(std::string_view type, std::string_view bytes,
                                        std::size_t limit = 32);

// The canonical JSON of a message, fields in the order of their numbers; unknown fields are left
// out. Empty when `type` is not ours or `bytes` are malformed or nest deeper than 64 messages.
std::string to_json(std::string_view type, std::string_view bytes);

}  // namespace mesh::xds
