#pragma once
// Exchange: one request from its first byte to its last, and the response back. It reads phase by
// phase: normalise, sanitise, route, ask every filter, then answer ourselves or forward.
//
// The snapshot it begins with is the one it ends with.

#include <memory>
#include <optional>
#include <string>

#include "waypoint/balance/retry.h"
#include "waypoint/context.h"
#include "waypoint/extensions/edits.h"
#include "waypoint/extensions/passage.h"
#include "waypoint/http/value.h"
#include "waypoint/local_reply.h"
#include "waypoint/rbac/rbac.h"
#include "waypoint/record.h"
#include "waypoint/request_body.h"
#include "waypoint/route/cors.h"
#include "waypoint/route/rewrite.h"
#include "waypoint/route/route.h"
#include "waypoint/stream_clock.h"
#include "waypoint/tracing/context.h"
#include "waypoint/wire/stream.h"

namespace mesh::waypoint {

class Exchange {
 public:
  // `chain` has an HTTP part. Borrows all of it until run() is done.
  Exchange(RingContext& context, const Caller& caller, config::SnapshotPtr snapshot,
           config::ChainPtr chain, wire::ServerStream& stream);

  io::Task<void> run();

 private:
  // What a try came to.
  enum class Tried : std::uint8_t { kAnswered, kOver, kAgain };
  struct Failure {  // of a try, before an answer began
    LocalReply reply;
    balance::TryFailure why = balance::TryFailure::kReset;
  };
  struct Pumping;

  // The phases; each gives an answer of our own, or nothing: go on.
  std::optional<LocalReply> normalise();
  void sanitise();
  io::Task<std::optional<LocalReply>> ask_filters();
  std::optional<LocalReply> ask(const config::RbacFilter& filter);
  std::optional<LocalReply> ask(const config::LocalRateLimit& limit);
  io::Task<std::optional<LocalReply>> ask(const config::Fault& fault);
  io::Task<std::optional<LocalReply>> ask(const config::JwtFilter& filter);
  io::Task<jwt::Authentication> authenticate(const jwt::Authenticator& by,
                                             const jwt::Authenticator::Asked& asked);
  io::Task<std::optional<LocalReply>> ask(const config::ExtAuthz& filter);
  bool is_asked(const config::ExtAuthz& filter);
  io::Task<std::optional<LocalReply>> ask(const config::RateLimitService& filter);
  io::Task<std::optional<LocalReply>> ask(const config::ExtProc& filter);
  io::Task<std::optional<LocalReply>> process_body();
  std::vector<limits::Descriptor> descriptors(std::uint32_t stage,
                                              const config::RateLimitOverride* own = nullptr) const;
  config::ExtAuthzOverride authz_override() const;
  io::Task<std::optional<LocalReply>> read_ahead(std::size_t most, bool& whole);
  void note_unsent(const Error& error);  // a response did not reach the client
  // Metadata of a filter: what it said before stays, as far as it is not said anew.
  void note(std::string_view filter, http::Value metadata);
  void note_shadow(const config::RbacFilter& filter, const rbac::Verdict& verdict);
  std::optional<LocalReply> refuse_unavailable(const config::HttpFilter& filter) const;
  template <class T>
  const T& setting(const T& of_chain, std::optional<T> config::FilterOverrides::* which) const {
    const T* own = route::override_of(*http_.routes, decision_, which);
    return own != nullptr ? *own : of_chain;
  }
  std::optional<LocalReply> ask_cors();
  std::optional<LocalReply> route();
  std::optional<LocalReply> allow_upgrade();

  void start_clock(StreamClock& clock);
  bool is_over() const { return clock_ != nullptr && clock_->over() != StreamClock::Over::kNo; }
  // The cause of a cancellation is known, and is not the client.
  bool timed_out() const;
  LocalReply over_reply() const;
  io::Task<void> give_up();
  io::Task<void> answer(LocalReply reply);
  io::Task<void> forward();
  io::Task<std::optional<LocalReply>> meet_expectation();
  io::Task<void> forward_to(const config::Cluster& cluster);
  void choose_mirrors();
  void send_mirrors();
  io::Task<Tried> try_until_answered(const config::Cluster& cluster,
                                     std::optional<Failure>& failure);
  io::Task<Tried> try_once(const config::Cluster& cluster, std::optional<Failure>& failure);
  io::Task<Tried> ask_endpoint(wire::ClientStream& upstream, const config::Endpoint& endpoint,
                               std::optional<Failure>& failure);
  io::Task<void> answer_failure(std::optional<Failure> failure, bool timed_out);
  Failure too_long(StreamClock::Over over) const;
  bool again_after(balance::TryFailure why);
  bool again_after(const wire::Response& head);
  io::Task<Result<wire::Response>> read_final_head(wire::ClientStream& upstream);
  io::Task<void> pump(Pumping& pumping);
  io::Task<Result<Done>> relay_response(wire::ClientStream& upstream, wire::Response head);
  io::Task<Result<Done>> relay_body(wire::ClientStream& upstream);
  io::Task<Result<OpenedUpstream>> open_endpoint(const config::Cluster& cluster,
                                                 const config::Endpoint& endpoint);
  void begin_handshake(http::Request& request, wire::Version version);
  Result<wire::Response> finish_handshake(wire::Response head) const;
  io::Task<Result<Done>> relay_upgraded(wire::ClientStream& upstream, wire::Response head);
  http::Request request_for(const config::Endpoint& endpoint);
  void dress_response(wire::Response& response);
  Failure failure_of(const Error& error, const wire::ClientStream* upstream) const;
  void note_upstream(const config::Endpoint& endpoint);
  void begin_trace();
  void end_trace(io::Duration lasted);
  void finish();

  route::FormatContext format_context() const;
  rbac::Subject subject() const;

  RingContext& context_;
  const Caller& caller_;
  config::SnapshotPtr snapshot_;
  config::ChainPtr chain_;
  const config::HttpChain& http_;
  extensions::Passage passage_;
  wire::ServerStream& stream_ = passage_;
  http::Request request_;
  route::Decision decision_;
  route::Cors cors_;
  http::Value metadata_;  // by filter: claims of good tokens, what rules and services said
  std::vector<extensions::HeaderEdit> response_edits_;
  Record record_;
  std::unique_ptr<RequestBody> body_;
  std::vector<const config::Mirror*> mirrors_;
  tracing::Span trace_;
  std::vector<std::string> tried_;
  std::optional<balance::Retry> retry_;
  balance::Breaker* breaker_ = nullptr;
  StreamClock* clock_ = nullptr;      // of all of it, while run() runs
  StreamClock* all_tries_ = nullptr;  // of all tries: the route's timeout
  StreamClock* try_clock_ = nullptr;  // of this try
  std::optional<io::Duration> wait_;  // before the next try
  bool repeated_unasked_ = false;
  std::string websocket_key_;  // that the endpoint answers to; empty: it answers to none
  bool own_websocket_key_ = false;
  std::function<void()> request_complete_;
  std::optional<std::uint64_t> hash_;
  std::string set_cookie_;
  io::TimePoint sent_at_{};
  bool is_grpc_ = false;
};

}  // namespace mesh::waypoint
