#pragma once
// ZdsClient: keeps the conversation with the node agent going, and turns it into the node's pods.
// Whatever the agent sends, the process lives: a broken conversation is closed and begun again.

#include <string>

#include "mesh/io/ring.h"
#include "mesh/io/task.h"
#include "mesh/io/unix_socket.h"
#include "ztunnel/node.h"
#include "ztunnel/zds.h"

namespace mesh::ztunnel {

// Between connections: doubles from the first to the last, and starts over only after a connection
// on which a whole snapshot came; an agent that accepts and closes is not redialled in a hot loop.
inline constexpr std::chrono::milliseconds kAgentBackoffFirst{10};
inline constexpr std::chrono::seconds kAgentBackoffMax{15};
io::Duration next_backoff(io::Duration last, bool had_snapshot);

class ZdsClient {
 public:
  ZdsClient(io::Ring& ring, const Config& config, Telemetry& telemetry, Node& node)
      : ring_(ring), config_(config), telemetry_(telemetry), node_(node) {}

  // Until cancelled.
  io::Task<void> run();

 private:
  // One connection to its end.
  io::Task<Result<Done>> converse(ZdsSession& session);
  // What to answer: the text of the ack, empty when all is well.
  io::Task<std::string> handle(ZdsMessage message, io::Descriptor descriptor);

  io::Ring& ring_;
  const Config& config_;
  Telemetry& telemetry_;
  Node& node_;
};

}  // namespace mesh::ztunnel
