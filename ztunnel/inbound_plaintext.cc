// A connection to this pod from outside the mesh, or in plaintext from a pod in it: no identity.

#include "mesh/io/both.h"
#include "ztunnel/inbound_connection.h"
#include "ztunnel/labels.h"
#include "ztunnel/relay.h"
#include "ztunnel/route.h"

namespace mesh::ztunnel {

class PlaintextInbound final : public InboundConnection {
 public:
  PlaintextInbound(Pod& pod, io::Socket client)
      : InboundConnection(pod, client.peer_address(), client.local_address()),
        client_(std::move(client)) {}

  io::Task<void> run();

 private:
  [[clang::noinline]] io::Task<Result<io::Socket>> establish();
  io::Task<Result<io::Socket>> reach();
  [[clang::noinline]] io::Task<Result<Done>> carry(io::Socket application);

  io::Socket client_;
};

io::Task<void> Pod::serve_plaintext(io::Socket client) {
  {
    PlaintextInbound connection(*this, std::move(client));
    io::CancelScope scope(co_await io::current_cancel());
    connection.scope = &scope;
    co_await connection.run().under(scope);
  }
  served_.set();
  served_.reset();
}

io::Task<void> PlaintextInbound::run() {
  auto application = co_await establish();
  if (!application) {
    client_.reset();
    finish(application.error(), false);
    co_return;
  }
  const auto carried = co_await carry(*std::move(application));
  if (carried) {
    report_.finish({});
  } else {
    finish(carried.error(), true);
  }
}

io::Task<Result<io::Socket>> PlaintextInbound::establish() {
  auto reached = co_await io::first_of(reach(), client_.wait_hang_up());
  if (!reached.first && reached.winner == io::Winner::kSecond && reached.second) {
    co_return failed(Reason::kPeerReset, "the client gave up");
  }
  co_return std::move(reached.first);
}

io::Task<Result<Done>> PlaintextInbound::carry(io::Socket application) {
  auto request = [this](std::size_t bytes) { report_.count_request(bytes); };
  auto response = [this](std::size_t bytes) { report_.count_response(bytes); };
  co_return co_await relay(client_, application, request, response);
}

io::Task<Result<io::Socket>> PlaintextInbound::reach() {
  const net::SocketAddress target = dialled;
  if (is_proxy_port(target.port)) {
    text_ = "attempted recursive call to ourselves";
    co_return failed(Reason::kLoop, "inbound");
  }
  CO_TRY(const workload::WorkloadPtr own, co_await pod_.wait_workload());
  const workload::Directory& directory = *lane_.directory;
  report_.destination = own;
  report_.source = caller_for_labels(directory, lane_.config.network, source, nullptr, {});
  report_.service = service_for_labels(directory, *own, target.port, {});
  report_.open();
  set_question(nullptr, source.ip, target);
  CO_TRY(const policy::Permit permit, authorize(*own));
  co_return co_await connect(permit, source.ip, target);
}

}  // namespace mesh::ztunnel
