#include "mesh/xds/decode.h"

#include <algorithm>

#include "mesh/xds/decode_internal.h"

namespace mesh::xds {

bool problem_of_envelope(const RawResource& resource,
                         std::initializer_list<std::string_view> types, std::string& problem) {
  if (resource.name.size() > kMaxResourceName) {
    problem = "the resource's name is longer than 2048 bytes";
  } else if (std::ranges::find(types, resource.type_url) == types.end()) {
    problem = "of type \"" + resource.type_url.substr(0, 128) + "\"";
  } else if (resource.has_ttl) {
    problem = "ttl: nothing is forgotten after a time";
  } else if (resource.bytes.size() > kMaxResource) {
    problem = "larger than 1 MiB";
  }
  return !problem.empty();
}

std::string Decoded::nack_message() const {
  constexpr std::size_t kMost = 4'096;
  std::string message;
  for (const Complaint& complaint : complaints) {
    if (!message.empty()) message += "; ";
    message += complaint.resource + ": " + complaint.problem;
    if (message.size() <= kMost) continue;
    message.resize(kMost - 3);
    message += "...";
    break;
  }
  // A name that is not text would make the NACK itself malformed.
  std::ranges::replace_if(message, [](char c) { return c < ' ' || c > '~'; }, '?');
  return message;
}

}  // namespace mesh::xds
