#pragma once
// Processor: the conversation with a service that sees one request and its response, part by part,
// and changes them. One question is under way at a time, whoever asks.
//
// A failure (no answer in time, an answer to something else, a broken stream) refuses with 500, 504
// for time, unless failure_mode_allow is set: then what follows passes as it is. A service that
// ends its stream well has no more to say.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/io/event.h"
#include "mesh/io/task.h"
#include "waypoint/callout.h"
#include "waypoint/config/filter.h"
#include "waypoint/extensions/process_message.h"
#include "waypoint/local_reply.h"
#include "waypoint/wire/stream.h"

namespace mesh::waypoint::extensions {

inline constexpr std::size_t kBufferedMax = 1024 * 1024;  // a body that is gathered
inline constexpr std::size_t kProcessAnswerMax = kBufferedMax + 128 * 1024;

// What may be changed: Envoy's HeaderMutationRules. Pure.
enum class Allowed : std::uint8_t { kYes, kIgnored, kError };
Allowed may_change(const config::MutationRules& rules, std::string_view name, bool removal);
// Makes the changes that are allowed; pseudo-headers lie in `headers` too. False: one is an error,
// or cannot be made.
bool apply(const config::MutationRules& rules, const ProcessMutation& mutation,
           h2::Headers& headers);

class Processor {
 public:
  Processor(RingContext& context, config::SnapshotPtr snapshot, const config::ExtProc& filter,
            bool is_grpc);

  struct HeadersDone {
    std::optional<LocalReply> refusal = {};
    bool changed = false;
    bool clear_route_cache = false;
    std::optional<std::string> body = {};  // instead of the message's own, which is dropped
  };
  // `end`: without a body. Changes the head.
  io::Task<HeadersDone> request_headers(http::Request& request, bool end);
  io::Task<HeadersDone> response_headers(wire::Response& response, bool end);

  // A part of a body, or with `end` its last: in its place what is to be sent. Errors: kDenied (see
  // refusal()), kCancelled.
  io::Task<Result<std::string>> body(ProcessPart part, std::string bytes, bool end,
                                     h2::Headers* headers);
  io::Task<Result<Done>> trailers(ProcessPart part, h2::Headers& trailers);

  // Why what was asked may not go on; none, though it was refused: a question was cancelled.
  const std::optional<LocalReply>& refusal() const { return refusal_; }
  LocalReply why() const;  // the same, or a 500
  // How it is gone about now, after what the service has said of it.
  config::ExtProc::Body request_body() const { return over_ ? kNothing : filter_.request_body; }
  config::ExtProc::Body response_body() const { return over_ ? kNothing : filter_.response_body; }
  bool sees_response_headers() const;
  bool sees_trailers(ProcessPart part) const;
  // Nothing more will be asked.
  io::Task<void> finish();

 private:
  static constexpr config::ExtProc::Body kNothing = config::ExtProc::Body::kNone;

  // None: there is nobody to ask any more.
  io::Task<Result<std::optional<ProcessAnswer>>> ask(ProcessQuestion question);
  io::Task<Result<std::optional<ProcessAnswer>>> ask_now(ProcessQuestion question);
  io::Task<Result<std::optional<ProcessAnswer>>> answer_to(ProcessPart part);
  io::Task<Result<std::optional<std::string>>> receive(io::Duration limit);
  Result<std::optional<ProcessAnswer>> fail(const Error& error);
  Result<std::optional<ProcessAnswer>> reply(const ProcessAnswer& answer);
  void take(const ProcessAnswer& answer);
  void end();
  h2::Headers told(const h2::Headers& headers) const;

  RingContext& context_;
  config::SnapshotPtr snapshot_;
  config::ExtProc filter_;  // changes with what the service says
  bool is_grpc_;
  std::unique_ptr<GrpcStream> stream_;
  std::optional<LocalReply> refusal_;
  bool begun_ = false;
  bool over_ = false;
  bool given_up_ = false;  // a question was cancelled
  bool busy_ = false;
  io::Event free_;
};

}  // namespace mesh::waypoint::extensions
