#pragma once
// Discovery: keeps the ConfigStore equal to what control says: one ADS stream, reconnected
// with backoff; the last good state stays in force while there is none.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "mesh/grpc/channel.h"
#include "mesh/io/event.h"
#include "mesh/io/ring.h"
#include "waypoint/delta.h"
#include "waypoint/sotw.h"

namespace mesh::waypoint {

class Discovery {
 public:
  enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn };
  using Log = std::function<void(LogLevel level, std::string_view line)>;
  // Something was taken: build a snapshot, put it in force everywhere, then say applied().
  using Publish = std::function<void(std::uint64_t sequence)>;

  // `delta`: else state of the world, which a server that has no delta is spoken to in anyway.
  // `store` outlives it.
  Discovery(io::Ring& ring, grpc::ChannelOptions channel, xds::Node node, bool delta,
            ConfigStore& store, Publish publish, Log log);
  ~Discovery();

  io::Task<void> run();  // until cancelled
  void applied(std::uint64_t sequence);
  const DeltaState& state() const { return state_; }
  bool connected() const { return connected_; }

 private:
  struct Ending {
    bool cancelled = false;
    bool connected = false;
    std::string why{};
  };
  io::Task<Ending> one_connection();
  io::Task<Result<grpc::Status>> read(grpc::Call& call);
  io::Task<Result<Done>> write(grpc::Call& call);
  Result<Done> receive(std::string_view message);

  io::Ring& ring_;
  grpc::Channel channel_;
  DeltaState state_;
  bool delta_;
  Sotw sotw_;  // where it is not delta
  ConfigStore& store_;
  Publish publish_;
  Log log_;
  io::Event to_send_;
  io::Event can_receive_;
  bool connected_ = false;
};

}  // namespace mesh::waypoint
