#pragma once
// The applications: clients and servers of seeded streams on io_sim, and the oracles that look at
// every byte. One App is what runs in one pod (or on the host off the mesh).

#include <functional>
#include <map>
#include <memory>

#include "mesh/io/event.h"
#include "mesh/io/sim.h"
#include "mesh/io/socket.h"
#include "mesh/io/task_scope.h"
#include "test/sim/names.h"

namespace mesh::sim {

// A stream begins with this and its id.
inline constexpr std::uint64_t kMagic = 0x7773696d77736d21;

// All streams of a run, by id, and what was wrong with them.
struct Traffic {
  std::map<std::uint64_t, Stream> streams;
  Findings findings;
  // Called when the first bytes of a stream reach a pod, and at every further chunk.
  std::function<void(Stream&, int pod, const net::SocketAddress& peer)> on_reached;
  std::function<void(Stream&)> on_bytes;
  std::size_t clean() const;
};

class App {
 public:
  App(io::sim::World& world, io::sim::Host& host, Traffic& traffic, int pod);
  ~App();

  void serve();            // listens and runs until kill()
  void open(Stream& one);  // a client of this pod
  void ask(Name& one, net::IpAddress own);
  void serve_names(NameServer& server);  // beside what serve() does
  // The process dies: every connection is reset.
  void kill();
  bool over() const { return over_; }
  io::Ring& ring() { return *ring_; }

 private:
  io::Task<void> run();
  io::Task<void> accept_all();
  io::Task<void> serve_one(io::Socket socket);
  io::Task<void> client(Stream& one);
  io::Task<Result<io::Socket>> dial(const Stream& one);

  io::sim::World& world_;
  Traffic& traffic_;
  const int pod_;
  std::unique_ptr<io::Ring> ring_;
  io::Event killed_;
  std::optional<io::Listener> listener_;
  io::TaskScope scope_;
  bool over_ = false;
};

}  // namespace mesh::sim
