#include "mesh/hbone/congestion.h"

#include "mesh/io/kernel_features.h"

namespace mesh::hbone {

Result<CongestionOptions> CongestionOptions::parse(std::string_view text) {
  if (text == "system") return CongestionOptions{};
  if (text == "auto") {
    const std::string_view unpaced = io::unpaced_congestion_control();
    return CongestionOptions{.at_first = std::string(unpaced), .by_path = !unpaced.empty()};
  }
  if (text.empty() || !io::has_congestion_control(text)) {
    return failed(Reason::kMalformed, "congestion control");
  }
  return CongestionOptions{.at_first = std::string(text)};
}

void Congestion::look(io::Socket& socket, io::TimePoint now) {
  look_at_ = now + kLookAgain;
  const auto trip = socket.shortest_round_trip();
  if (!trip || *trip < kShort) return;
  socket.use_congestion_control({});
  undecided_ = false;
}

}  // namespace mesh::hbone
