#include "cli/kubernetes/websocket.h"

#include <algorithm>
#include <charconv>

namespace mesh::cli {
namespace {

constexpr std::size_t kFrameBytesMax = 16u << 20;
constexpr std::size_t kAnswerBytesMax = 64u << 20;
constexpr std::size_t kHeadBytesMax = 64u << 10;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// The value of a header of a head, lower-cased; "" when it is not there.
std::string header(std::string_view head, std::string_view name) {
  std::size_t at = head.find("\r\n");
  while (at != std::string_view::npos) {
    at += 2;
    const std::size_t end = std::min(head.find("\r\n", at), head.size());
    const std::string line = lower(head.substr(at, end - at));
    if (line.starts_with(std::string(name) + ":")) {
      const std::size_t value = line.find_first_not_of(" \t", name.size() + 1);
      return value == std::string::npos ? "" : line.substr(value);
    }
    at = head.find("\r\n", at);
  }
  return "";
}

// The body of chunks; none: they are not all there.
Outcome<std::optional<std::string>> from_chunks(std::string_view bytes) {
  std::string body;
  for (;;) {
    const std::size_t line = bytes.find("\r\n");
    if (line == std::string_view::npos) return std::nullopt;
    std::uint64_t size = 0;
    const auto [end, error] = std::from_chars(bytes.data(), bytes.data() + line, size, 16);
    if (error != std::errc() || size > kAnswerBytesMax) return problem("a chunk that is none");
    bytes.remove_prefix(line + 2);
    if (size == 0) return body;
    if (bytes.size() < size + 2) return std::nullopt;
    body.append(bytes.substr(0, size));
    if (body.size() > kAnswerBytesMax) return problem("the answer is too long");
    bytes.remove_prefix(size + 2);
  }
}

}  // namespace

std::string websocket_frame(std::string_view payload, std::uint32_t mask) {
  std::string frame = "\x82";
  const std::size_t size = payload.size();
  if (size < 126) {
    frame += static_cast<char>(0x80 | size);
  } else if (size < 65536) {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(size >> 8);
    frame += static_cast<char>(size);
  } else {
    frame += static_cast<char>(0x80 | 127);
    for (int shift = 56; shift >= 0; shift -= 8) frame += static_cast<char>(size >> shift);
  }
  const char key[4] = {static_cast<char>(mask >> 24), static_cast<char>(mask >> 16),
                       static_cast<char>(mask >> 8), static_cast<char>(mask)};
  frame.append(key, 4);
  for (std::size_t i = 0; i < size; ++i) frame += static_cast<char>(payload[i] ^ key[i % 4]);
  return frame;
}

Outcome<std::optional<Frame>> FrameReader::next() {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes_[at]); };
  if (bytes_.size() < 2) return std::nullopt;
  if ((byte(1) & 0x80) != 0) return problem("a frame of the server is masked");
  std::uint64_t size = byte(1) & 0x7f;
  std::size_t at = 2;
  if (size >= 126) {
    const std::size_t count = size == 126 ? 2 : 8;
    if (bytes_.size() < at + count) return std::nullopt;
    size = 0;
    for (std::size_t i = 0; i < count; ++i) size = size << 8 | byte(at++);
  }
  if (size > kFrameBytesMax) return problem("a frame is too long");
  if (bytes_.size() < at + size) return std::nullopt;
  const unsigned opcode = byte(0) & 0x0f;
  Frame frame;
  // Continuations carry on a message; a channel's byte stands at its beginning only, and
  // Kubernetes' streams never split one.
  if (opcode == 0 || (byte(0) & 0x80) == 0) return problem("a message in pieces");
  if (opcode == 1 || opcode == 2) frame.type = Frame::Type::kData;
  if (opcode == 8) frame.type = Frame::Type::kClose;
  frame.payload = bytes_.substr(at, size);
  bytes_.erase(0, at + size);
  return frame;
}

Outcome<Done> ForwardedPort::take(std::string_view payload) {
  if (payload.empty()) return Done{};
  const auto channel = static_cast<unsigned char>(payload[0]);
  payload.remove_prefix(1);
  if (channel > 1) return problem("a channel that nobody asked for");
  const std::size_t head = std::min<std::size_t>(heads_[channel], payload.size());
  heads_[channel] -= static_cast<unsigned>(head);
  payload.remove_prefix(head);
  if (channel == 1) {
    if (!payload.empty()) return problem(std::string(payload.substr(0, 500)));
    return Done{};
  }
  if (received_.size() + payload.size() > kAnswerBytesMax) return problem("the answer is too long");
  received_.append(payload);
  return Done{};
}

Outcome<std::optional<HttpAnswer>> read_answer(std::string_view bytes, bool ended) {
  const std::size_t blank = bytes.find("\r\n\r\n");
  if (blank == std::string_view::npos) {
    if (bytes.size() > kHeadBytesMax) return problem("the answer's head is too long");
    if (ended) return problem("the connection ended before the answer");
    return std::nullopt;
  }
  const std::string_view head = bytes.substr(0, blank);
  HttpAnswer answer;
  const bool http = head.starts_with("HTTP/1.") && head.size() > 12;
  const auto [at, error] = http ? std::from_chars(head.data() + 9, head.data() + 12, answer.status)
                                : std::from_chars_result{head.data(), std::errc::invalid_argument};
  if (error != std::errc() || at != head.data() + 12) return problem("the answer is not HTTP");
  const std::string_view rest = bytes.substr(blank + 4);
  const std::string length = header(head, "content-length");
  if (header(head, "transfer-encoding") == "chunked") {
    TRY(auto body, from_chunks(rest));
    if (!body && ended) return problem("the connection ended within the answer");
    if (!body) return std::nullopt;
    answer.body = std::move(*body);
  } else if (!length.empty()) {
    std::uint64_t size = 0;
    const auto [end, wrong] = std::from_chars(length.data(), length.data() + length.size(), size);
    if (wrong != std::errc() || size > kAnswerBytesMax) return problem("a length that is none");
    if (rest.size() < size && ended) return problem("the connection ended within the answer");
    if (rest.size() < size) return std::nullopt;
    answer.body = rest.substr(0, size);
  } else if (ended) {
    answer.body = rest;
  } else {
    return std::nullopt;
  }
  return answer;
}

}  // namespace mesh::cli
