// The pure half of resolver.h.

#include <algorithm>
#include <iterator>
#include <utility>

#include "mesh/grpc/resolver.h"

namespace mesh::grpc {
namespace {

constexpr std::size_t kServersMax = 3;
constexpr std::size_t kSearchMax = 6;
constexpr std::size_t kAddressesMax = 16;
constexpr std::size_t kNameBytesMax = 253;
constexpr std::size_t kLabelBytesMax = 63;
constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kRecordsMax = 64;
constexpr unsigned kClassIn = 1;
constexpr unsigned kTypeCname = 5;
constexpr unsigned kNdotsMax = 15;
constexpr std::uint32_t kTtlMax = 7 * 86'400;

std::uint32_t bounded_ttl(std::uint32_t ttl) {
  return ttl > 0x7fff'ffff ? 0 : std::min(ttl, kTtlMax);
}

// Calls `on_line` with the words of each line; '#' and ';' begin a comment.
template <class OnLine>
void for_each_line(std::string_view text, OnLine on_line) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find_first_of("#;"));
    std::vector<std::string_view> words;
    for (;;) {
      const std::size_t begin = line.find_first_not_of(" \t\r");
      if (begin == line.npos) break;
      line.remove_prefix(begin);
      const std::size_t size = std::min(line.find_first_of(" \t\r"), line.size());
      words.push_back(line.substr(0, size));
      line.remove_prefix(size);
    }
    if (!words.empty()) on_line(words);
  }
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return lower(c); });
  if (out.ends_with('.')) out.pop_back();
  return out;
}

// Reads the fields of a message; fails for good at the first one that is not there.
class Reader {
 public:
  explicit Reader(std::string_view packet) : packet_(packet) {}

  bool ok() const { return ok_; }
  unsigned u8() {
    if (at_ >= packet_.size()) {
      ok_ = false;
      return 0;
    }
    return static_cast<unsigned char>(packet_[at_++]);
  }
  unsigned u16() {
    const unsigned high = u8();
    return high << 8 | u8();
  }
  std::string_view bytes(std::size_t count) {
    if (count > packet_.size() - at_) {
      ok_ = false;
      return {};
    }
    return packet_.substr(std::exchange(at_, at_ + count), count);
  }
  // A name in lower case. A compression pointer may only lead backwards, so this ends.
  std::string name() {
    std::string out;
    std::size_t back = at_;
    std::size_t limit = at_;
    bool jumped = false;
    for (;;) {
      const unsigned length = u8();
      if (!ok_ || out.size() > kNameBytesMax) return fail();
      if (length == 0) break;
      if (length >= 0xc0) {
        const std::size_t target = (length & 0x3f) << 8 | u8();
        if (!ok_ || target >= limit) return fail();
        if (!jumped) back = at_;
        jumped = true;
        at_ = limit = target;
        continue;
      }
      if (length > kLabelBytesMax) return fail();
      if (!out.empty()) out.push_back('.');
      for (const char c : bytes(length)) out.push_back(lower(c));
    }
    if (jumped) at_ = back;
    return out;
  }

 private:
  std::string fail() {
    ok_ = false;
    return {};
  }
  std::string_view packet_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace

ResolvConf parse_resolv_conf(std::string_view text) {
  ResolvConf conf;
  for_each_line(text, [&conf](const std::vector<std::string_view>& words) {
    if (words[0] == "nameserver" && words.size() >= 2) {
      const auto server = net::IpAddress::parse(words[1]);
      if (server && conf.servers.size() < kServersMax) conf.servers.push_back(*server);
    } else if (words[0] == "search" || words[0] == "domain") {
      conf.search.clear();  // the last line wins
      for (std::size_t i = 1; i < words.size() && conf.search.size() < kSearchMax; ++i) {
        conf.search.push_back(lower(words[i]));
      }
    } else if (words[0] == "options") {
      for (const std::string_view option : words) {
        if (!option.starts_with("ndots:") || option.size() > 8) continue;
        unsigned ndots = 0;
        for (const char c : option.substr(6)) {
          if (c >= '0' && c <= '9') ndots = ndots * 10 + static_cast<unsigned>(c - '0');
        }
        conf.ndots = std::min(ndots, kNdotsMax);
      }
    }
  });
  return conf;
}

std::vector<net::IpAddress> lookup_hosts(std::string_view text, std::string_view host) {
  std::vector<net::IpAddress> found;
  const std::string wanted = lower(host);
  for_each_line(text, [&](const std::vector<std::string_view>& words) {
    const auto ip = net::IpAddress::parse(words[0]);
    if (!ip || found.size() >= kAddressesMax) return;
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (lower(words[i]) != wanted) continue;
      if (std::ranges::find(found, *ip) == found.end()) found.push_back(*ip);
      return;
    }
  });
  std::vector<net::IpAddress> sorted;
  for (const bool v6 : {false, true}) {
    std::ranges::copy_if(found, std::back_inserter(sorted),
                         [v6](const net::IpAddress& ip) { return ip.is_v6() == v6; });
  }
  return sorted;
}

std::vector<std::string> search_names(const ResolvConf& conf, std::string_view host) {
  std::string name = lower(host);
  if (host.ends_with('.')) return {name};
  std::vector<std::string> names;
  const auto dots = static_cast<unsigned>(std::ranges::count(name, '.'));
  const bool as_it_is_first = dots >= conf.ndots;
  if (as_it_is_first) names.push_back(name);
  for (const std::string& domain : conf.search) {
    if (!domain.empty()) names.push_back(name + "." + domain);
  }
  if (!as_it_is_first) names.push_back(name);
  return names;
}

std::string encode_query(std::uint16_t id, std::string_view name, QueryType type) {
  if (name.empty() || name.size() > kNameBytesMax) return {};
  std::string packet;
  const auto u16 = [&packet](unsigned value) {
    packet.push_back(static_cast<char>(value >> 8));
    packet.push_back(static_cast<char>(value & 0xff));
  };
  u16(id);
  u16(0x0100);  // recursion desired
  u16(1);       // one question
  u16(0);
  u16(0);
  u16(0);
  for (std::string_view rest = name;;) {
    const std::size_t size = std::min(rest.find('.'), rest.size());
    if (size == 0 || size > kLabelBytesMax) return {};
    packet.push_back(static_cast<char>(size));
    packet.append(rest.substr(0, size));
    if (size == rest.size()) break;
    rest.remove_prefix(size + 1);
  }
  packet.push_back('\0');
  u16(static_cast<unsigned>(type));
  u16(kClassIn);
  return packet;
}

Result<Resolved> decode_reply(std::string_view packet, std::uint16_t id, std::string_view name,
                              QueryType type) {
  constexpr const char* kDuring = "dns reply";
  const auto malformed = failed(Reason::kMalformed, kDuring);
  if (packet.size() < kHeaderBytes) return malformed;
  Reader reader(packet);
  const unsigned reply_id = reader.u16();
  const unsigned flags = reader.u16();
  const unsigned questions = reader.u16();
  const unsigned answers = reader.u16();
  reader.bytes(4);
  std::string wanted = reader.name();
  const unsigned question_type = reader.u16();
  const unsigned question_class = reader.u16();
  if (!reader.ok() || reply_id != id || (flags & 0x8000) == 0 || questions != 1) return malformed;
  if (wanted != lower(name) || question_type != static_cast<unsigned>(type) ||
      question_class != kClassIn) {
    return malformed;
  }
  const unsigned rcode = flags & 0xf;
  if (rcode == 3) return failed(Reason::kUnreachable, "dns: no such name");
  if (rcode != 0) return failed(Reason::kProtocol, "dns: server failure");

  Resolved found;
  std::uint32_t shortest = kTtlMax;
  for (unsigned i = 0; i < std::min<std::size_t>(answers, kRecordsMax); ++i) {
    const std::string owner = reader.name();
    const unsigned record_type = reader.u16();
    const unsigned record_class = reader.u16();
    const unsigned high = reader.u16();
    const std::uint32_t ttl = std::uint32_t{high} << 16 | reader.u16();
    const unsigned size = reader.u16();
    if (!reader.ok()) return malformed;
    if (record_type == kTypeCname && record_class == kClassIn && owner == wanted) {
      wanted = reader.name();
      if (!reader.ok()) return malformed;
      shortest = std::min(shortest, bounded_ttl(ttl));
      continue;
    }
    const std::string_view data = reader.bytes(size);
    if (!reader.ok()) return malformed;
    if (record_type != static_cast<unsigned>(type) || record_class != kClassIn || owner != wanted) {
      continue;
    }
    const auto ip = net::IpAddress::from_bytes(data);
    if (!ip || ip->is_v6() != (type == QueryType::kAaaa)) return malformed;
    if (found.addresses.size() < kAddressesMax) found.addresses.push_back(*ip);
    shortest = std::min(shortest, bounded_ttl(ttl));
  }
  if (found.addresses.empty()) {
    return failed(Reason::kUnreachable, "dns: no address of this family");
  }
  found.ttl = std::chrono::seconds(shortest);
  return found;
}

}  // namespace mesh::grpc
