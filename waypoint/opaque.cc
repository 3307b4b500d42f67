#include "waypoint/opaque.h"

#include <algorithm>
#include <utility>

#include "mesh/io/both.h"
#include "waypoint/rbac/rbac.h"
#include "waypoint/route/deadlines.h"
#include "waypoint/stream_clock.h"

namespace mesh::waypoint {
namespace {

rbac::Subject subject_of(const Caller& caller) {
  return {.destination = caller.target,
          .direct_remote = caller.address,
          .remote = caller.address.ip,
          .peer_principal = caller.principal,
          .local_principal = caller.own_principal};
}

io::Task<Result<Done>> copy(wire::Wire& from, wire::Wire& to, std::uint64_t& counted,
                            StreamClock& clock) {
  for (;;) {
    CO_TRY(const tls::Slice part, co_await from.recv());
    if (part.empty()) break;
    clock.touch();
    counted += part.size();
    CO_TRY_DO(co_await to.send_all(part.bytes()));
    clock.touch();
  }
  co_return to.finish_sending();
}

const config::TcpChain::Target* draw(const config::TcpChain& chain, http::Dice& dice) {
  std::uint64_t left = dice.below(chain.total_weight);
  for (const auto& target : chain.targets) {
    if (left < target.weight) return &target;
    left -= target.weight;
  }
  return nullptr;
}

// One connection.
class Opaque {
 public:
  Opaque(RingContext& context, const Caller& caller, wire::Wire& client)
      : context_(context), caller_(caller), client_(client) {
    record_.tcp = true;
    record_.begun = context.ring.now();
    record_.wall = context.ring.wall_now();
  }
  ~Opaque() { context_.recorder.record(caller_, record_, context_.ring.now() - record_.begun); }

  io::Task<Result<Done>> run(const hbone::Authority& target, const tls::Slice* first);

 private:
  Result<const config::TcpChain*> chain_of(const config::Snapshot& snapshot,
                                           const hbone::Authority& target);
  Result<Done> authorize(const config::TcpChain& chain);
  io::Task<Result<std::unique_ptr<wire::Wire>>> connect(const config::Snapshot& snapshot,
                                                        const config::TcpChain& chain);
  io::Task<Result<Done>> relay(wire::Wire& server, const tls::Slice* first, StreamClock& clock);
  std::unexpected<Error> refuse(Flag flag, std::string details, Reason reason, const char* during) {
    record_.flags.add(flag);
    record_.connection_details = std::move(details);
    return failed(reason, during);
  }

  RingContext& context_;
  const Caller& caller_;
  wire::Wire& client_;
  config::SnapshotPtr snapshot_;
  Record record_;
  std::optional<Picked> picked_;  // active as long as the connection lasts
  std::optional<balance::Breaker::Held> place_;
};

io::Task<Result<Done>> Opaque::run(const hbone::Authority& target, const tls::Slice* first) {
  const config::SnapshotPtr snapshot = snapshot_ = context_.snapshot;
  const auto chain = chain_of(*snapshot, target);
  Result<Done> allowed = Done{};
  if (chain) {
    record_.logs = &(*chain)->access_logs;
    allowed = authorize(**chain);
  } else {
    allowed = std::unexpected(chain.error());
  }
  if (!allowed) {
    client_.reset();
    co_return allowed;
  }
  auto server = co_await connect(*snapshot, **chain);
  if (!server) {
    client_.reset();
    co_return std::unexpected(server.error());
  }
  context_.recorder.tcp_opened(caller_, record_);
  StreamClock clock(context_.ring, co_await io::current_cancel());
  clock.limit_idle((*chain)->idle_timeout);
  clock.limit_whole((*chain)->max_duration);
  co_return co_await relay(**server, first, clock).under(clock.scope);
}

Result<const config::TcpChain*> Opaque::chain_of(const config::Snapshot& snapshot,
                                                 const hbone::Authority& target) {
  const config::Destination* found = nullptr;
  if (std::holds_alternative<net::SocketAddress>(target)) {
    found = &snapshot.find(caller_.target);
  } else {
    found = snapshot.find_host(config::to_lower(hbone::to_string(target)));
  }
  if (found == nullptr || !found->tcp || !found->tcp->tcp) {
    return refuse(Flag::kNR, "no_chain", Reason::kUnknownWorkload, "chain");
  }
  return &*found->tcp->tcp;
}

Result<Done> Opaque::authorize(const config::TcpChain& chain) {
  if (!chain.unavailable.empty()) {
    return refuse(Flag::kNFCF, "filter_unavailable{" + chain.unavailable.front() + "}",
                  Reason::kRejectedResource, "filter");
  }
  for (const config::RbacFilter& filter : chain.rbac) {
    const rbac::Outcome outcome = rbac::decide(filter, subject_of(caller_));
    if (outcome.shadow) context_.dry_runs.note(filter, *outcome.shadow);
    if (outcome.enforced.allowed()) continue;
    record_.policy = outcome.enforced.policy();
    record_.connection_details = outcome.enforced.detail();
    return failed(Reason::kDenied, "policy");
  }
  return Done{};
}

io::Task<Result<std::unique_ptr<wire::Wire>>> Opaque::connect(const config::Snapshot& snapshot,
                                                              const config::TcpChain& chain) {
  const auto* target = chain.total_weight == 0 ? nullptr : draw(chain, context_.dice);
  const config::Cluster* cluster = target == nullptr ? nullptr : snapshot.cluster(target->cluster);
  if (cluster == nullptr) {
    co_return refuse(Flag::kNC, "cluster_not_found", Reason::kNoEndpoint, "cluster");
  }
  record_.cluster = cluster->name;
  record_.service_host = cluster->service_host;
  record_.service_name = cluster->service_name;
  record_.service_namespace = cluster->service_namespace;
  PickContext pick{.dialled = caller_.target};
  if (chain.hash_source_ip) pick.hash = route::hash_of(caller_.address.ip);
  auto chosen = context_.fleet.pick(snapshot, *cluster, pick);
  if (!chosen) {
    co_return refuse(Flag::kUH, "no_healthy_upstream", Reason::kNoEndpoint, "endpoint");
  }
  const Picked* const picked = &picked_.emplace(*std::move(chosen));
  record_.upstream = picked->endpoint.address;
  record_.upstream_workload = picked->endpoint.workload;
  balance::Breaker& breaker = context_.fleet.breaker(snapshot, *cluster, false);
  place_ = breaker.hold(balance::Breaker::What::kConnection);
  if (!place_) co_return refuse(Flag::kUO, "overflow", Reason::kExhausted, "connections");
  auto server = co_await context_.upstreams.dial(*cluster, picked->endpoint);
  if (!server) {
    record_.flags.add(Flag::kUF);
    record_.upstream_failure = reason_name(server.error().reason);
  }
  context_.fleet.finished(
      *cluster, *picked,
      server ? balance::HostResult::kLocalSuccess : balance::HostResult::kLocalFailure,
      std::nullopt);
  co_return server;
}

io::Task<Result<Done>> Opaque::relay(wire::Wire& server, const tls::Slice* first,
                                     StreamClock& clock) {
  Result<Done> outcome = Done{};
  if (first != nullptr && !first->empty()) {
    record_.request_bytes += first->size();
    outcome = co_await server.send_all(first->bytes());
  }
  if (outcome) {
    const auto ends = co_await io::both(copy(client_, server, record_.request_bytes, clock),
                                        copy(server, client_, record_.response_bytes, clock));
    const bool first_is_cause =
        !ends.first && (ends.second || ends.first.error().reason != Reason::kCancelled);
    if (first_is_cause) {
      outcome = ends.first;
    } else if (!ends.second) {
      outcome = ends.second;
    }
    if (!outcome && clock.over() == StreamClock::Over::kNo) {
      record_.flags.add(first_is_cause ? Flag::kDC : Flag::kUC);
    }
  }
  if (clock.over() != StreamClock::Over::kNo) {
    const bool idle = clock.over() == StreamClock::Over::kIdle;
    record_.flags.add(idle ? Flag::kSI : Flag::kDT);
    record_.connection_details = idle ? "idle_timeout" : "max_duration_timeout";
  }
  if (!outcome) {
    client_.reset();
    server.reset();
  }
  co_return outcome;
}

}  // namespace

bool may_enter(const config::Terminate& terminate, const Caller& caller) {
  if (!terminate.client_names.empty() &&
      std::ranges::none_of(terminate.client_names, [&](const config::StringMatch& name) {
        return name.matches(caller.principal);
      })) {
    return false;
  }
  return std::ranges::all_of(terminate.rbac, [&](const config::RbacFilter& filter) {
    return rbac::decide(filter, subject_of(caller)).enforced.allowed();
  });
}

io::Task<Result<Done>> relay_opaque(RingContext& context, const Caller& caller,
                                    const hbone::Authority& target, wire::Wire& client,
                                    const tls::Slice* first) {
  Opaque opaque(context, caller, client);
  co_return co_await opaque.run(target, first);
}

}  // namespace mesh::waypoint
