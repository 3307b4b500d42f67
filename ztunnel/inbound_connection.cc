#include "ztunnel/inbound_connection.h"

namespace mesh::ztunnel {

InboundConnection::InboundConnection(Pod& pod, const net::SocketAddress& from,
                                     const net::SocketAddress& to)
    : LiveConnection(Direction::kInbound),
      pod_(pod),
      lane_(pod.lane_),
      report_(lane_.reports, telemetry::Reporter::kDestination, from, to) {
  source = from;
  dialled = to;
  actual = to;
  pod_.live_.add(*this);
}

void InboundConnection::set_question(std::shared_ptr<const policy::Caller> caller,
                                     const net::IpAddress& source_ip,
                                     const net::SocketAddress& target) {
  question = std::make_unique<const policy::Connection>(
      policy::Connection{.caller = std::move(caller),
                         .source_ip = source_ip,
                         .destination_ip = target.ip,
                         .destination_port = target.port});
}

Result<policy::Permit> InboundConnection::authorize(const workload::Workload& own) {
  if (const char* full = lane_.full(pod_.live_.size())) return failed(Reason::kExhausted, full);
  const policy::Selection policies = lane_.directory->policies_for(own);
  if (const auto denial = policy::dry_run_denial(policies, *question)) {
    lane_.telemetry.log.limited("dry_run", telemetry::Level::kInfo, "policy",
                                "dry-run: the connection would be denied",
                                {{"policy", *denial}, {"pod", pod_.spec().info.name}});
  }
  const policy::Verdict verdict = policy::authorize(policies, *question);
  if (const auto permit = verdict.permit()) return *permit;
  policy_ = verdict.decided_by();
  text_ = "connection closed due to policy rejection: ";
  text_ += policy_ == policy::kNotAllowed ? "allow policies exist, but none allowed"
                                          : "explicitly denied by: " + policy_;
  return std::unexpected(Error{.reason = verdict.reason(), .during = "policy"});
}

io::Task<Result<io::Socket>> InboundConnection::connect(policy::Permit permit,
                                                        net::IpAddress client,
                                                        net::SocketAddress target) {
  ApplicationAddress address{.to = target, .from = {}, .netns = pod_.spec().netns.get()};
  if (client != target.ip && client.is_v4() == target.ip.is_v4()) address.from = client;
  auto socket = co_await connect_to_application(lane_.ring, permit, address);
  if (!socket) text_ = "connection failed: " + describe(socket.error());
  co_return socket;
}

void InboundConnection::finish(const Error& error, bool reached) {
  Ending ending{.reason = error.reason, .text = text_};
  ending.policy = policy_;
  const bool denied = error.reason == Reason::kDenied || error.reason == Reason::kPolicyUnusable;
  ending.failed = !reached;
  if (!reached) ending.flags = denied ? "DENY" : "CONNECT";
  if (ended_for == Reason::kPolicyChanged) {
    ending.reason = ended_for;
    ending.policy = ended_by_policy;
    ending.text = "connection closed due to policy change";
    ending.flags = "DENY";
  } else if (ended_for || error.reason == Reason::kCancelled) {
    ending.reason = ended_for.value_or(Reason::kDraining);
    ending.text = "connection closed due to connection drain";
  } else if (ending.text.empty()) {
    ending.text = report_.is_open() ? "io error: " + describe(error) : describe(error);
  }
  report_.finish(ending);
}

}  // namespace mesh::ztunnel
