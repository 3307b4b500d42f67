#include "ztunnel/zds.h"

#include <cstdint>

namespace mesh::ztunnel {
namespace {

// A protobuf message, read field by field. Bounded by its bytes; nothing is copied.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  bool done() const { return rest_.empty(); }
  bool bad() const { return problem_ != nullptr; }
  const char* problem() const { return problem_; }
  std::uint64_t number() const { return number_; }
  // The value of a length-delimited field (wire type 2); none for the others.
  const std::optional<std::string_view>& text() const { return text_; }

  // Takes the next field. False when it does not parse.
  bool next() {
    text_.reset();
    const auto key = varint();
    if (!key) return false;
    number_ = *key >> 3;
    if (number_ == 0) return fail("invalid tag value: 0");
    switch (*key & 7) {
      case 0:
        return varint().has_value();
      case 1:
        return skip(8);
      case 2: {
        const auto length = varint();
        if (!length) return false;
        if (*length > rest_.size()) return fail("buffer underflow");
        text_ = rest_.substr(0, *length);
        return skip(*length);
      }
      case 5:
        return skip(4);
      default:
        return fail("invalid wire type value");  // groups, and what does not exist
    }
  }

 private:
  bool fail(const char* problem) {
    problem_ = problem;
    return false;
  }
  bool skip(std::size_t count) {
    if (count > rest_.size()) return fail("buffer underflow");
    rest_.remove_prefix(count);
    return true;
  }
  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<std::uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    fail("invalid varint");
    return std::nullopt;
  }

  std::string_view rest_;
  std::uint64_t number_ = 0;
  std::optional<std::string_view> text_;
  const char* problem_ = nullptr;
};

std::string read_failure(std::string_view why) {
  return "failure to read message : " + std::string(why);
}
std::string rule_failure(std::string_view why) {
  return "failure to process message : ProtocolError(\"" + std::string(why) + "\")";
}
std::string decode_failure(const Fields& fields) {
  return read_failure("failed to decode Protobuf message: " + std::string(fields.problem()));
}

// Reads strings by field number; unknown fields are skipped, as protobuf does.
struct Wanted {
  std::uint64_t number;
  std::string* into;
};
std::optional<std::string> read_strings(std::string_view message,
                                        std::initializer_list<Wanted> wanted) {
  Fields fields(message);
  while (!fields.done()) {
    if (!fields.next()) return decode_failure(fields);
    for (const Wanted& one : wanted) {
      if (one.number != fields.number()) continue;
      if (!fields.text()) return read_failure("failed to decode Protobuf message: wire type");
      one.into->assign(*fields.text());
    }
  }
  return std::nullopt;
}

std::expected<ZdsMessage, std::string> decode_add(std::string_view message) {
  ZdsAdd add;
  std::optional<std::string_view> info;
  Fields fields(message);
  while (!fields.done()) {
    if (!fields.next()) return std::unexpected(decode_failure(fields));
    if (fields.number() > 2) continue;
    if (!fields.text()) {
      return std::unexpected(read_failure("failed to decode Protobuf message: wire type"));
    }
    if (fields.number() == 1) add.pod.uid.assign(*fields.text());
    if (fields.number() == 2) info = fields.text();
  }
  if (!info) return std::unexpected(rule_failure("workload_info is required but not present"));
  if (auto bad = read_strings(
          *info, {{1, &add.pod.name}, {2, &add.pod.ns}, {3, &add.pod.service_account}})) {
    return std::unexpected(*bad);
  }
  return add;
}

template <class Message>
std::expected<ZdsMessage, std::string> decode_uid(std::string_view message, std::uint64_t number) {
  Message decoded;
  if (auto bad = read_strings(message, {{number, &decoded.uid}})) return std::unexpected(*bad);
  return decoded;
}

void append_varint(std::string& out, std::size_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

}  // namespace

std::string encode_zds_hello() { return {"\x08\x01", 2}; }

std::string encode_zds_ack(std::string_view error) {
  std::string ack;
  if (!error.empty()) {
    // The agent reads with a buffer of its own size; a long text is cut rather than lost.
    error = error.substr(0, 512);
    ack.push_back('\x0a');
    append_varint(ack, error.size());
    ack += error;
  }
  std::string response(1, '\x0a');
  append_varint(response, ack.size());
  return response + ack;
}

std::expected<ZdsMessage, std::string> decode_zds(const ZdsPacket& packet) {
  if (packet.truncated) return std::unexpected(read_failure("received truncated message"));
  Fields fields({reinterpret_cast<const char*>(packet.bytes.data()), packet.bytes.size()});
  std::uint64_t kind = 0;
  std::string_view payload;
  while (!fields.done()) {
    if (!fields.next()) return std::unexpected(decode_failure(fields));
    const bool known = fields.number() == 1 || fields.number() == 2 || fields.number() == 3 ||
                       fields.number() == 5;
    if (!known) continue;
    if (!fields.text()) {
      return std::unexpected(read_failure("failed to decode Protobuf message: wire type"));
    }
    kind = fields.number();
    payload = *fields.text();
  }
  if (kind == 0) return std::unexpected(read_failure("no payload"));
  if (kind == 1) {
    if (packet.descriptors == 0) return std::unexpected(read_failure("No control message"));
    if (packet.descriptors != 1) {
      return std::unexpected(
          read_failure("Expected 1 FD, got " + std::to_string(packet.descriptors)));
    }
    return decode_add(payload);
  }
  if (packet.descriptors != 0) {
    return std::unexpected(read_failure("Unexpected control message"));
  }
  if (kind == 2) return decode_uid<ZdsDelete>(payload, 2);
  if (kind == 5) return decode_uid<ZdsKeep>(payload, 1);
  return ZdsSnapshotSent{};
}

std::expected<ZdsMessage, std::string> ZdsSession::receive(const ZdsPacket& packet) {
  auto message = decode_zds(packet);
  if (!message) return message;
  if (const auto* add = std::get_if<ZdsAdd>(&*message)) {
    if (!snapshot_received_) mentioned_.insert(add->pod.uid);
  } else if (const auto* keep = std::get_if<ZdsKeep>(&*message)) {
    if (snapshot_received_) {
      return std::unexpected(rule_failure("pod keep received after snapshot"));
    }
    mentioned_.insert(keep->uid);
  } else if (const auto* gone = std::get_if<ZdsDelete>(&*message)) {
    mentioned_.erase(gone->uid);
  } else if (auto* snapshot = std::get_if<ZdsSnapshotSent>(&*message)) {
    if (snapshot_received_) return std::unexpected(rule_failure("pod snapshot received already"));
    snapshot_received_ = true;
    snapshot->mentioned = std::move(mentioned_);
    mentioned_.clear();
  }
  return message;
}

}  // namespace mesh::ztunnel
