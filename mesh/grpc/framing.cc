#include "mesh/grpc/framing.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "mesh/base/check.h"

namespace mesh::grpc {

std::string frame_message(std::string_view message) {
  MESH_CHECK(message.size() <= std::numeric_limits<std::uint32_t>::max());
  const auto length = static_cast<std::uint32_t>(message.size());
  std::string framed;
  framed.reserve(kMessagePrefixBytes + message.size());
  framed.push_back('\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    framed.push_back(static_cast<char>((length >> shift) & 0xff));
  }
  framed.append(message);
  return framed;
}

Result<std::optional<std::string>> MessageReader::feed(std::span<const std::byte>& bytes) {
  if (prefix_size_ < kMessagePrefixBytes) {
    const std::size_t take = std::min(kMessagePrefixBytes - prefix_size_, bytes.size());
    if (take == 0) return std::nullopt;
    std::memcpy(prefix_ + prefix_size_, bytes.data(), take);
    prefix_size_ += take;
    bytes = bytes.subspan(take);
    if (prefix_size_ < kMessagePrefixBytes) return std::nullopt;
    if (prefix_[0] != 0) return failed(Reason::kMalformed, "grpc message: compressed");
    announced_ = 0;
    for (std::size_t i = 1; i < kMessagePrefixBytes; ++i) announced_ = announced_ << 8 | prefix_[i];
    if (announced_ > max_) return failed(Reason::kTooLarge, "grpc message");
  }
  const std::size_t take = std::min(announced_ - message_.size(), bytes.size());
  message_.append(reinterpret_cast<const char*>(bytes.data()), take);
  bytes = bytes.subspan(take);
  if (message_.size() < announced_) return std::nullopt;
  prefix_size_ = 0;
  return std::exchange(message_, {});
}

}  // namespace mesh::grpc
