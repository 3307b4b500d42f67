#pragma once
// Applications around the little mesh, and the bench on which a situation is played: what they see,
// what both nodes log and count, against the recording.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mesh/hbone/tunnel_pool.h"
#include "test/golden/ztunnel/recordings.h"

namespace mesh::ztunnel {

net::SocketAddress at(const char* text);
io::Task<std::size_t> read_bytes(io::Socket& socket, std::size_t most);
io::Task<void> send(io::Socket& socket, std::size_t bytes);

enum class Serve : std::uint8_t { kEcho, kFiveThenClose, kResetAfterFirst, kSized };

// Listens on ports of a host, and answers as each port does.
struct Application {
  Application(io::sim::World& world, io::Ring& ring,
              std::vector<std::pair<std::uint16_t, Serve>> ports);
  ~Application();
  io::Task<void> run();

  io::sim::World& world_;
  io::Ring& ring_;
  std::vector<io::Listener> listeners;
  std::vector<Serve> ways;
};

// What the dialling application does, and what it saw.
enum class Dial : std::uint8_t {
  kHundred,
  kNothing,
  kResetAfterHundred,
  kThousand,
  kTenThenWait,  // for the far end
};
struct Dialled {
  std::size_t received = 0;
  bool reset = false;
};
io::Task<void> dial(io::Ring& ring, net::SocketAddress to, Dial how, Dialled& seen);

// A client on the peer that speaks HBONE itself: one CONNECT, 100 bytes, the end.
struct Tunnelled {
  int status = 0;
  std::optional<Reason> failure;
};
inline constexpr const char* kPeer = "spiffe://cluster.local/ns/web/sa/peer";
io::Task<void> ask(LittleMesh& mesh, const char* id, std::string authority, Tunnelled& seen);

struct Bench {
  LittleMesh mesh;
  Application server{mesh.world,
                     *mesh.server_ring,
                     {{7000, Serve::kEcho},
                      {7003, Serve::kFiveThenClose},
                      {7004, Serve::kResetAfterFirst},
                      {7020, Serve::kSized}}};
  Application plain{mesh.world, *mesh.plain_ring, {{7000, Serve::kEcho}}};

  struct Told {
    std::vector<std::string> client, server;
    std::set<std::string> client_metrics, server_metrics;
  };
  // What `act` made the two nodes say. `dropped`: keys of the log that are not compared.
  Told play(const std::function<void()>& act, Keys dropped = {});
  // The client's application dials.
  Told play_dial(const char* to, Dial how, Dialled& seen, Keys dropped = {});
  void expect_recorded(const std::string& situation, const Told& told, Keys dropped = {});
};

}  // namespace mesh::ztunnel
