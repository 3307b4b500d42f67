#pragma once
// What strangers and broken peers try on the agent's sockets: counted, and logged at a rate that
// they cannot raise.

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mesh::ebpf {

// A second, of each kind; the next line after them says how many were left out.
inline constexpr unsigned kRefusalLinesPerSecond = 5;

class Refusals {
 public:
  enum class Kind : std::uint8_t {
    kCaller,   // nobody who may give orders, or one too many
    kRequest,  // of the agent socket, not understood
    kZtunnel,  // none, or one that broke the protocol
  };
  using Time = std::chrono::steady_clock::time_point;

  // The line to log, printable and of 400 bytes at most; none beyond the limit.
  std::optional<std::string> note(Kind kind, std::string_view what, Time now);
  std::uint64_t count(Kind kind) const { return of(kind).count; }

 private:
  struct Tally {
    std::uint64_t count = 0;
    Time second{};  // when the present one began
    unsigned lines = 0;
    std::uint64_t left_out = 0;
  };
  const Tally& of(Kind kind) const { return tallies_[static_cast<std::size_t>(kind)]; }

  std::array<Tally, 3> tallies_{};
};

}  // namespace mesh::ebpf
