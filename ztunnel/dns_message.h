#pragma once
// DNS messages as the proxy needs them: one question in, a handful of addresses out. The parser is
// strict and bounded; it follows no compression pointers, because a question needs none.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mesh/net/address.h"

namespace mesh::ztunnel {

inline constexpr std::size_t kDnsUdpPlainMax = 512;   // RFC 1035 section 4.2.1
inline constexpr std::size_t kDnsUdpMax = 4096;       // what we answer at most by EDNS
inline constexpr std::size_t kDnsMessageMax = 65535;  // over TCP
inline constexpr std::size_t kDnsNameMax = 253;       // as text

enum class DnsType : std::uint16_t { kA = 1, kCname = 5, kAaaa = 28, kOpt = 41 };
enum class DnsCode : std::uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
  kBadVers = 16,  // RFC 6891: its upper bits go into OPT
};

struct DnsQuery {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  bool checking_disabled = false;
  std::string name = {};  // lower case, without the last dot; "" is the root
  std::uint16_t type = 0;
  std::uint16_t dns_class = 1;
  std::string question = {};  // as sent, for echoing: name, type, class
  bool edns = false;
  std::size_t udp_size = kDnsUdpPlainMax;  // what the client takes over UDP
};

// A message that gets no answer: a response, or less than a header.
struct DnsDrop {};
// One that is answered with a code alone. `response` is complete.
struct DnsReject {
  DnsCode code = DnsCode::kFormErr;
  std::string response = {};
};
using DnsParsed = std::variant<DnsQuery, DnsReject, DnsDrop>;

// In this order: less than a header or QR set: dropped; another opcode than QUERY: NOTIMP; not
// exactly one question: SERVFAIL; what does not parse: FORMERR; EDNS of another version than 0:
// BADVERS; another class than IN: REFUSED.
DnsParsed parse_dns(std::span<const std::byte> message);

struct DnsAddresses {
  std::string cname = {};                      // set: the question's name is an alias of this one
  std::vector<net::IpAddress> addresses = {};  // of the family asked for
  std::uint32_t ttl = 30;
  bool authoritative = true;
};
// The answer to `query` in at most `limit` bytes; what does not fit is left out and TC set.
std::string build_dns_answer(const DnsQuery& query, const DnsAddresses& answer, std::size_t limit);
// A code and nothing else.
std::string build_dns_code(const DnsQuery& query, DnsCode code);

// Is `response` an answer to `query` that was sent under `id`? (Same id, QR, same question.)
bool answers_dns(std::span<const std::byte> response, const DnsQuery& query, std::uint16_t id);
// Writes a message's id.
void set_dns_id(std::span<std::byte> message, std::uint16_t id);
DnsCode dns_code_of(std::span<const std::byte> response);

// "a", "aaaa", …; "other" for what is rare: the label of the metrics.
std::string_view dns_type_name(std::uint16_t type);

}  // namespace mesh::ztunnel
