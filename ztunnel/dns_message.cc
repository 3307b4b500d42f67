#include "ztunnel/dns_message.h"

#include <algorithm>
#include <optional>

#include "mesh/base/check.h"

namespace mesh::ztunnel {
namespace {

constexpr std::size_t kHeader = 12;
constexpr std::size_t kRecordsMax = 64;  // of a query, outside the question
// Header flags, RFC 1035 section 4.1.1, RFC 2535.
constexpr unsigned kQr = 0x8000, kAa = 0x0400, kTc = 0x0200, kRd = 0x0100, kRa = 0x0080,
                   kCd = 0x0010;

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t at() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }
  std::optional<unsigned> u16() {
    if (left() < 2) return std::nullopt;
    const unsigned value = byte(at_) << 8 | byte(at_ + 1);
    at_ += 2;
    return value;
  }
  bool skip(std::size_t count) {
    if (left() < count) return false;
    at_ += count;
    return true;
  }

  // A name without compression, in lower case; bytes that would confuse text ('.', '\\', NUL and
  // other control characters inside a label) make it none.
  std::optional<std::string> name() {
    std::string text;
    for (;;) {
      if (left() < 1) return std::nullopt;
      const unsigned length = byte(at_++);
      if (length == 0) return text;
      if (length > 63 || left() < length) return std::nullopt;
      if (!text.empty()) text.push_back('.');
      for (unsigned i = 0; i < length; ++i) {
        char c = static_cast<char>(byte(at_ + i));
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        if (c == '.' || c == '\\' || static_cast<unsigned char>(c) <= ' ') return std::nullopt;
        text.push_back(c);
      }
      at_ += length;
      if (text.size() > kDnsNameMax) return std::nullopt;
    }
  }
  // A record's owner: root, or any name, also a compressed one, skipped.
  bool skip_name() {
    for (unsigned labels = 0; labels < 128; ++labels) {
      if (left() < 1) return false;
      const unsigned length = byte(at_++);
      if (length == 0) return true;
      if (length >= 0xc0) return skip(1);
      if (length > 63 || !skip(length)) return false;
    }
    return false;
  }
  std::string text(std::size_t from, std::size_t to) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + from, to - from};
  }

 private:
  unsigned byte(std::size_t i) const { return std::to_integer<unsigned>(bytes_[i]); }
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

void append_u16(std::string& out, unsigned value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

void set_u16(std::string& out, std::size_t at, unsigned value) {
  out[at] = static_cast<char>(value >> 8);
  out[at + 1] = static_cast<char>(value);
}

void append_name(std::string& out, std::string_view name) {
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    MESH_CHECK(!label.empty() && label.size() <= 63);
    out.push_back(static_cast<char>(label.size()));
    out += label;
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  out.push_back('\0');
}

std::string header(std::uint16_t id, unsigned flags, unsigned questions) {
  std::string out;
  append_u16(out, id);
  append_u16(out, flags);
  append_u16(out, questions);
  append_u16(out, 0);
  append_u16(out, 0);
  append_u16(out, 0);
  return out;
}

void append_opt(std::string& out, std::size_t udp_size, unsigned upper_code) {
  out.push_back('\0');
  append_u16(out, static_cast<unsigned>(DnsType::kOpt));
  append_u16(out, static_cast<unsigned>(udp_size));
  append_u16(out, upper_code << 8);  // upper bits of the code, version 0
  append_u16(out, 0);
  append_u16(out, 0);
}
constexpr std::size_t kOptBytes = 11;

unsigned flags_of(const DnsQuery& query) {
  return kQr | (query.recursion_desired ? kRd : 0) | (query.checking_disabled ? kCd : 0);
}

DnsReject reject(const DnsQuery& query, DnsCode code, unsigned questions = 1) {
  std::string response =
      header(query.id, flags_of(query) | (static_cast<unsigned>(code) & 15), questions);
  response += query.question;
  if (query.edns) {
    set_u16(response, 10, 1);
    append_opt(response, query.udp_size, static_cast<unsigned>(code) >> 4);
  }
  return {.code = code, .response = std::move(response)};
}

// The records behind the question: only OPT says something to us. 0, or the code of a refusal.
DnsCode read_records(Reader& reader, unsigned count, DnsQuery& query) {
  if (count > kRecordsMax) return DnsCode::kFormErr;
  DnsCode verdict = DnsCode::kNoError;
  for (; count > 0; --count) {
    const std::size_t begin = reader.at();
    if (!reader.skip_name()) return DnsCode::kFormErr;
    const bool root = reader.at() == begin + 1;
    const auto type = reader.u16(), size = reader.u16(), upper = reader.u16(), lower = reader.u16(),
               length = reader.u16();
    if (!length || !reader.skip(*length)) return DnsCode::kFormErr;
    if (type != static_cast<unsigned>(DnsType::kOpt)) continue;
    if (!root || query.edns || !lower) return DnsCode::kFormErr;  // RFC 6891 section 6.1.1
    query.edns = true;
    query.udp_size = std::clamp<std::size_t>(*size, kDnsUdpPlainMax, kDnsUdpMax);
    if ((*upper & 0xff) != 0) verdict = DnsCode::kBadVers;
  }
  return verdict;
}

}  // namespace

DnsParsed parse_dns(std::span<const std::byte> message) {
  if (message.size() < kHeader || message.size() > kDnsMessageMax) return DnsDrop{};
  Reader reader(message);
  DnsQuery query;
  query.id = static_cast<std::uint16_t>(*reader.u16());
  const unsigned flags = *reader.u16();
  const unsigned questions = *reader.u16();
  const unsigned answers = *reader.u16(), authorities = *reader.u16(), extra = *reader.u16();
  if ((flags & kQr) != 0) return DnsDrop{};
  query.recursion_desired = (flags & kRd) != 0;
  query.checking_disabled = (flags & kCd) != 0;
  const auto name = questions == 0 ? std::nullopt : reader.name();
  const auto type = name ? reader.u16() : std::nullopt;
  const auto dns_class = type ? reader.u16() : std::nullopt;
  const bool readable = dns_class.has_value();
  if (readable) query.question = reader.text(kHeader, reader.at());
  const unsigned opcode = flags >> 11 & 15;
  if (opcode != 0) return reject(query, DnsCode::kNotImp, readable ? 1 : 0);
  if (questions != 1) return reject(query, DnsCode::kServFail, readable ? 1 : 0);
  if (!readable) return reject(query, DnsCode::kFormErr, 0);
  query.name = *name;
  query.type = static_cast<std::uint16_t>(*type);
  query.dns_class = static_cast<std::uint16_t>(*dns_class);
  const DnsCode verdict = read_records(reader, answers + authorities + extra, query);
  if (verdict != DnsCode::kNoError) return reject(query, verdict);
  if (reader.left() > 0) return reject(query, DnsCode::kFormErr);
  if (query.dns_class != 1) return reject(query, DnsCode::kRefused);
  return query;
}

std::string build_dns_code(const DnsQuery& query, DnsCode code) {
  return reject(query, code).response;
}

std::string build_dns_answer(const DnsQuery& query, const DnsAddresses& answer, std::size_t limit) {
  const unsigned aa = answer.authoritative ? kAa : 0;
  std::string out = header(query.id, flags_of(query) | aa | kRa, 1);
  out += query.question;
  const std::size_t room = query.edns ? limit - kOptBytes : limit;
  unsigned count = 0;
  bool cut = false;
  const auto record_head = [&](std::string& to, DnsType type, std::size_t length) {
    append_u16(to, static_cast<unsigned>(type));
    append_u16(to, 1);
    append_u16(to, answer.ttl >> 16);
    append_u16(to, answer.ttl & 0xffff);
    append_u16(to, static_cast<unsigned>(length));
  };
  if (!answer.cname.empty() && !answer.addresses.empty()) {
    std::string target, record;
    append_name(target, answer.cname);
    append_name(record, query.name);
    record_head(record, DnsType::kCname, target.size());
    record += target;
    cut = out.size() + record.size() > room;
    if (!cut) {
      out += record;
      ++count;
    }
  }
  // The owner in full once, then as a pointer to that (RFC 1035 section 4.1.4).
  std::size_t owner_at = 0;
  for (const net::IpAddress& ip : answer.addresses) {
    if (cut) break;
    std::string record;
    if (owner_at == 0) {
      append_name(record, answer.cname.empty() ? query.name : answer.cname);
    } else {
      append_u16(record, 0xc000 | static_cast<unsigned>(owner_at));
    }
    record_head(record, ip.is_v4() ? DnsType::kA : DnsType::kAaaa, ip.bytes().size());
    record.append(reinterpret_cast<const char*>(ip.bytes().data()), ip.bytes().size());
    cut = out.size() + record.size() > room;
    if (cut) break;
    if (owner_at == 0 && out.size() < 0x4000) owner_at = out.size();
    out += record;
    ++count;
  }
  set_u16(out, 6, count);
  if (cut) set_u16(out, 2, flags_of(query) | aa | kRa | kTc);
  if (query.edns) {
    set_u16(out, 10, 1);
    append_opt(out, query.udp_size, 0);
  }
  return out;
}

bool answers_dns(std::span<const std::byte> response, const DnsQuery& query, std::uint16_t id) {
  if (response.size() < kHeader) return false;
  Reader reader(response);
  if (reader.u16() != id) return false;
  if ((*reader.u16() & kQr) == 0) return false;
  if (reader.u16() != 1u) return false;
  (void)reader.skip(6);
  const auto name = reader.name();
  return name == query.name && reader.u16() == query.type && reader.u16() == query.dns_class;
}

void set_dns_id(std::span<std::byte> message, std::uint16_t id) {
  MESH_CHECK(message.size() >= 2);
  message[0] = static_cast<std::byte>(id >> 8);
  message[1] = static_cast<std::byte>(id & 0xff);
}

DnsCode dns_code_of(std::span<const std::byte> response) {
  MESH_CHECK(response.size() >= 4);
  return static_cast<DnsCode>(std::to_integer<unsigned>(response[3]) & 15);
}

std::string_view dns_type_name(std::uint16_t type) {
  switch (type) {
    case 1:
      return "a";
    case 2:
      return "ns";
    case 5:
      return "cname";
    case 6:
      return "soa";
    case 12:
      return "ptr";
    case 15:
      return "mx";
    case 16:
      return "txt";
    case 28:
      return "aaaa";
    case 33:
      return "srv";
    case 64:
      return "svcb";
    case 65:
      return "https";
    case 255:
      return "any";
    default:
      return "other";
  }
}

}  // namespace mesh::ztunnel
