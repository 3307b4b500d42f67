#pragma once
// Response flags: why a request or a connection ended as it did, in Envoy's letters. A closed set;
// logs, metrics and filters of access logs speak it.

#include <cstdint>
#include <string>
#include <string_view>

namespace mesh::waypoint {

enum class Flag : std::uint8_t {
  kUH,     // no healthy endpoint
  kUF,     // the connection to the endpoint failed
  kUO,     // a circuit breaker is open
  kNR,     // no route, or no chain
  kURX,    // retries used up
  kNC,     // no such cluster
  kDC,     // the client ended it
  kLR,     // we reset it
  kUR,     // the endpoint reset it
  kUC,     // the endpoint's connection ended
  kUT,     // the endpoint took too long
  kDT,     // the request, or its connection, lasted too long
  kDI,     // a fault delayed it
  kFI,     // a fault aborted it
  kRL,     // rate limited here
  kRLSE,   // the rate limit service failed
  kUAEX,   // denied by an external authorizer
  kSI,     // idle too long
  kDPE,    // the client broke the protocol
  kUPE,    // the endpoint broke the protocol
  kUMSDR,  // longest duration of a stream reached
  kOM,     // overloaded
  kNFCF,   // configuration is missing
};
inline constexpr int kFlagCount = static_cast<int>(Flag::kNFCF) + 1;
std::string_view flag_name(Flag flag);  // "UH", …

class Flags {
 public:
  Flags() = default;
  Flags(Flag flag) { add(flag); }  // NOLINT: one flag is a set
  void add(Flag flag) { bits_ |= 1u << static_cast<unsigned>(flag); }
  void add(Flags other) { bits_ |= other.bits_; }
  bool has(Flag flag) const { return (bits_ >> static_cast<unsigned>(flag) & 1) != 0; }
  bool empty() const { return bits_ == 0; }
  // As Envoy numbers them, a bit each: what conditions of logs call response.flags.
  std::uint32_t envoy_bits() const;
  // "UF,URX", in the order of Flag; "-" when empty.
  std::string to_string() const;
  friend bool operator==(Flags, Flags) = default;

 private:
  std::uint32_t bits_ = 0;
};

}  // namespace mesh::waypoint
