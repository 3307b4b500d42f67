// A connection that an application of this pod opens: where it goes, and how it gets there.

#include "mesh/io/both.h"
#include "mesh/io/timer.h"
#include "ztunnel/labels.h"
#include "ztunnel/pod.h"
#include "ztunnel/relay.h"
#include "ztunnel/route.h"

namespace mesh::ztunnel {

// What stands at the far end: a plain socket, or a stream of a tunnel.
struct Upstream {
  std::optional<io::Socket> socket = {};
  std::optional<hbone::Stream> stream = {};
};

class Outbound : public LiveConnection {
 public:
  Outbound(Pod& pod, io::Socket application)
      : LiveConnection(Direction::kOutbound),
        pod_(pod),
        lane_(pod.lane_),
        application_(std::move(application)),
        report_(lane_.reports, telemetry::Reporter::kSource, application_.peer_address(),
                application_.local_address()) {
    source = application_.peer_address();
    dialled = application_.local_address();
    actual = dialled;
    pod_.live_.add(*this);
  }

  // To the end of the connection, whatever it is.
  io::Task<void> run();

 private:
  // reach(), while watching the application. Frames of the phases are kept apart (noinline), so
  // that an idle connection holds only that of the relay.
  [[clang::noinline]] io::Task<Result<Upstream>> establish();
  io::Task<Result<Upstream>> reach();
  [[clang::noinline]] io::Task<Result<Upstream>> reach_through_tunnel(Route& way);
  [[clang::noinline]] io::Task<Result<Upstream>> reach_directly(net::SocketAddress to);
  [[clang::noinline]] io::Task<Result<Done>> carry(hbone::Stream stream);
  [[clang::noinline]] io::Task<Result<Done>> carry(io::Socket socket);
  Route find_way();
  h2::Headers headers() const;  // of the CONNECT
  Ending ending_of(const Error& error, bool reached) const;

  Pod& pod_;
  Lane& lane_;
  io::Socket application_;
  Report report_;
  int status_ = 0;  // of the CONNECT, when it was not 200
};

io::Task<void> Pod::serve_outbound(io::Socket application) {
  {
    Outbound connection(*this, std::move(application));
    io::CancelScope scope(co_await io::current_cancel());
    connection.scope = &scope;
    co_await connection.run().under(scope);
  }
  served_.set();
  served_.reset();
}

io::Task<void> Outbound::run() {
  if (const char* full = lane_.full(pod_.live_.size())) {
    application_.reset();
    report_.finish(ending_of(Error{.reason = Reason::kExhausted, .during = full}, false));
    co_return;
  }
  auto upstream = co_await establish();
  if (!upstream) {
    application_.reset();
    report_.finish(ending_of(upstream.error(), false));
    co_return;
  }
  const auto carried = upstream->stream ? co_await carry(*std::move(upstream->stream))
                                        : co_await carry(*std::move(upstream->socket));
  report_.finish(carried ? Ending{} : ending_of(carried.error(), true));
}

// An application that gives up stops what is done on its behalf.
io::Task<Result<Upstream>> Outbound::establish() {
  auto reached = co_await io::first_of(reach(), application_.wait_hang_up());
  if (!reached.first && reached.winner == io::Winner::kSecond && reached.second) {
    co_return failed(Reason::kPeerClosed, "the application gave up");
  }
  co_return std::move(reached.first);
}

Route Outbound::find_way() {
  const workload::WorkloadPtr own = pod_.workload_for_labels();
  const RouteRequest request{.dialled = dialled,
                             .network = lane_.config.network,
                             .ns = pod_.spec_.info.ns,
                             .preferred_ns = lane_.config.preferred_namespace,
                             .source = own.get(),
                             .own_addresses = own->addresses,
                             .unknown = lane_.config.unknown_destinations,
                             .random = lane_.ring.random()};
  report_.source = own;
  return route(*lane_.directory, request);
}

io::Task<Result<Upstream>> Outbound::reach() {
  CO_TRY_DO(co_await lane_.wait_complete());
  Route way = find_way();
  if (way.way == Route::Way::kRefuse) co_return failed(way.reason, "route");
  report_.destination = way.destination;
  report_.service = way.service;
  report_.destination_address = way.address;
  actual = way.address;
  if (way.way == Route::Way::kPassthrough) {
    report_.open();
    co_return co_await reach_directly(way.address);
  }
  co_return co_await reach_through_tunnel(way);
}

io::Task<Result<Upstream>> Outbound::reach_directly(net::SocketAddress to) {
  const io::ConnectOptions options{.to = to,
                                   .from = {},
                                   .mark = {},
                                   .reset_unless_finished = true,
                                   .netns = pod_.spec_.netns.get()};
  CO_TRY(io::Socket socket, co_await io::connect(lane_.ring, options));
  Upstream upstream;
  upstream.socket.emplace(std::move(socket));
  co_return upstream;
}

io::Task<Result<Upstream>> Outbound::reach_through_tunnel(Route& way) {
  hbone = true;
  report_.mutual_tls = true;
  report_.authority = way.authority;
  report_.source_id = &pod_.spec_.id;
  report_.open();
  CO_TRY(const auto certificate,
         co_await lane_.certificates.wait(pod_.spec_.id, lane_.config.ready_deadline));
  hbone::OpenRequest request{.key = {.source_uid = pod_.spec_.info.uid,
                                     .source = pod_.spec_.id,
                                     .destination_uid = way.destination->uid,
                                     .accepted = std::move(way.accepted),
                                     .address = way.address},
                             .context = certificate->client,
                             .netns = pod_.spec_.netns.get(),
                             .authority = std::move(way.authority),
                             .headers = {},
                             .more_headers = [this] { return headers(); }};
  CO_TRY(hbone::OpenOutcome outcome, co_await lane_.pool.open(request));
  if (!outcome.stream) {
    status_ = outcome.status;
    co_return failed(outcome.status == 401 ? Reason::kDenied : Reason::kRefused, "CONNECT");
  }
  Upstream upstream;
  upstream.stream = std::move(outcome.stream);
  co_return upstream;
}

h2::Headers Outbound::headers() const {
  const std::string host = report_.service ? report_.service->key.hostname : std::string();
  h2::Headers headers;
  headers.push_back({"baggage", hbone::to_header(baggage_of(*report_.source))});
  headers.push_back(
      {"forwarded", hbone::to_header(hbone::Forwarded{.client = source, .host = host})});
  headers.push_back(
      {"traceparent", hbone::to_header(hbone::TraceParent{.trace_high = lane_.ring.random(),
                                                          .trace_low = lane_.ring.random(),
                                                          .span = lane_.ring.random()})});
  return headers;
}

io::Task<Result<Done>> Outbound::carry(hbone::Stream stream) {
  auto request = [this](std::size_t bytes) { report_.count_request(bytes); };
  auto response = [this](std::size_t bytes) { report_.count_response(bytes); };
  co_return co_await hbone::while_whole(stream, relay(application_, stream, request, response));
}

io::Task<Result<Done>> Outbound::carry(io::Socket socket) {
  auto request = [this](std::size_t bytes) { report_.count_request(bytes); };
  auto response = [this](std::size_t bytes) { report_.count_response(bytes); };
  co_return co_await relay(application_, socket, request, response);
}

namespace {

std::string status_text(int status) {
  switch (status) {
    case 400:
      return "http status: 400 Bad Request";
    case 401:
      return "http status: 401 Unauthorized";
    case 404:
      return "http status: 404 Not Found";
    case 429:
      return "http status: 429 Too Many Requests";
    case 500:
      return "http status: 500 Internal Server Error";
    case 503:
      return "http status: 503 Service Unavailable";
    case 504:
      return "http status: 504 Gateway Timeout";
    default:
      return "http status: " + std::to_string(status);
  }
}

}  // namespace

Ending Outbound::ending_of(const Error& error, bool reached) const {
  Ending ending{.reason = error.reason, .text = {}, .flags = reached ? "-" : "CONNECT"};
  ending.failed = !reached;
  if (ended_for) {
    ending.reason = ended_for;
    ending.text = "connection closed due to connection drain";
  } else if (error.reason == Reason::kCancelled) {
    ending.reason = Reason::kDraining;
    ending.text = "connection closed due to connection drain";
  } else if (status_ != 0) {
    ending.text = status_text(status_);
  } else if (error.reason == Reason::kNoEndpoint) {
    ending.text = "no healthy upstream: " + dialled.to_string();
  } else if (error.reason == Reason::kLoop) {
    ending.text = "attempted recursive call to ourselves";
  } else if (hbone && !reached && error.reason == Reason::kTimedOut) {
    ending.text = "connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: " +
                  describe(error);
  } else if (report_.is_open()) {
    ending.text = "io error: " + describe(error);
  } else {
    ending.text = describe(error);
  }
  return ending;
}

}  // namespace mesh::ztunnel
