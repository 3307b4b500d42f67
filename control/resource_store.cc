#include "control/resource_store.h"

#include <openssl/sha.h>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message_lite.h>

#include "mesh/base/check.h"

namespace mesh::control {
std::string bytes_of(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  MESH_CHECK(message.SerializeToCodedStream(&coded));
  coded.Trim();
  return bytes;
}

std::string version_of(std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string text;
  for (int i = 0; i < SHA256_DIGEST_LENGTH / 2; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

std::vector<std::string> Snapshot::find(std::string_view asked) const {
  std::vector<std::string> names;
  const Resources& addresses = of(xds::ResourceType::kAddress);
  const auto add = [&](std::string_view name) {
    if (addresses.contains(name)) names.emplace_back(name);
    aliases.for_each(name, [&](const std::string& one) { names.push_back(one); });
  };
  add(asked);
  // An address of a service stands for the workloads behind it too.
  const std::size_t direct = names.size();
  for (std::size_t i = 0; i < direct; ++i) {
    if (names[i] == asked) continue;
    const std::string service = names[i];
    aliases.for_each(service, [&](const std::string& one) { names.push_back(one); });
  }
  return names;
}

}  // namespace mesh::control
