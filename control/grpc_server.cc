#include "control/grpc_server.h"

#include <mutex>
#include <utility>

#include <grpc/support/log.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include "control/ads_session.h"
#include "control/envoy/waypoint_hub.h"
#include "control/state.h"
#include "mesh/xds/ads_codec.h"

namespace mesh::control {
namespace {

constexpr int kMaxMessageBytes = 32 << 20;
constexpr unsigned kIdentitySeconds = 5;  // how often the serving files are looked at
constexpr std::string_view kAdsMethod =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
constexpr std::string_view kWholeMethod =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
constexpr std::string_view kCaMethod = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

grpc::Status status_of(int code, std::string message) {
  return grpc::Status(static_cast<grpc::StatusCode>(code), std::move(message));
}

std::string to_string(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

grpc::ByteBuffer to_buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// The delta's bytes are not copied: many streams send the same.
grpc::ByteBuffer to_buffer(const AdsResponse& response) {
  auto* shared = new std::shared_ptr<const Delta>(response.delta);
  const std::string& bytes = response.delta->encoded(xds::type_url(response.type));
  const grpc::Slice slices[] = {
      grpc::Slice(response.encoded_head()),
      grpc::Slice(
          const_cast<char*>(bytes.data()), bytes.size(),
          [](void* one) { delete static_cast<std::shared_ptr<const Delta>*>(one); }, shared)};
  return grpc::ByteBuffer(slices, 2);
}

// What the call and its connection show.
Credentials credentials_of(const grpc::GenericCallbackServerContext& context) {
  Credentials credentials;
  const auto& metadata = context.client_metadata();
  const auto [first, last] = metadata.equal_range("authorization");
  if (first != last && std::next(first) == last) {
    credentials.authorization.assign(first->second.data(), first->second.size());
  }
  credentials.peer = context.peer();
  const auto connection = context.auth_context();
  if (first == last && connection != nullptr && connection->IsPeerAuthenticated()) {
    const auto names = connection->FindPropertyValues(GRPC_PEER_SPIFFE_ID_PROPERTY_NAME);
    if (names.size() == 1) credentials.certificate.assign(names[0].data(), names[0].size());
  }
  return credentials;
}

// Says and counts that somebody was not let in.
grpc::Status refusal_of(const RpcError& error, const std::string& peer, Hub& hub,
                        telemetry::Log& log) {
  hub.count(&Counters::unauthenticated);
  log.limited("unauthenticated", telemetry::Level::kWarn, "grpc", "a caller was refused",
              {{"peer", peer}, {"error", error.message}});
  return status_of(error.code, error.message);
}

// One call that only ends.
class Refusal final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

// One CreateCertificate.
class CaCall final : public grpc::ServerGenericBidiReactor {
 public:
  CaCall(std::string peer, Hub& hub, CaServer& ca, telemetry::Log& log)
      : peer_(std::move(peer)), hub_(hub), ca_(ca), log_(log) {}

  static CaCall* start(const Credentials& credentials, Authenticator& callers, Hub& hub,
                       CaServer& ca, telemetry::Log& log) {
    const auto call = std::make_shared<CaCall>(credentials.peer, hub, ca, log);
    call->self_ = call;
    callers.authenticate(credentials, [call](Authenticator::Answer answer) {
      call->authenticated(std::move(answer));
    });
    return call.get();
  }

  void OnReadDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    if (!ok) return end(status_of(kInvalidArgument, "no request"));
    auto result = ca_.create(caller_, to_string(request_));
    if (!result) {
      log_.limited(
          "certificate refused", telemetry::Level::kWarn, "ca", "certificate refused",
          {{"caller", caller_.to_string()}, {"peer", peer_}, {"error", result.error().message}});
      return end(status_of(result.error().code, result.error().message));
    }
    response_ = to_buffer(*result);
    finished_ = true;
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }

  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    end(grpc::Status::CANCELLED);
  }

  void OnDone() override { self_.reset(); }  // and with it, this

 private:
  void authenticated(Authenticator::Answer answer) {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    if (!answer) return end(refusal_of(answer.error(), peer_, hub_, log_));
    caller_ = *std::move(answer);
    StartRead(&request_);
  }

  void end(const grpc::Status& status) {
    if (!std::exchange(finished_, true)) Finish(status);
  }

  const std::string peer_;
  Hub& hub_;
  CaServer& ca_;
  telemetry::Log& log_;
  std::shared_ptr<CaCall> self_;
  std::mutex mutex_;
  Caller caller_;
  bool finished_ = false;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

// One discovery stream: carries the messages between gRPC and an AdsSession when the caller is a
// node, a WaypointConversation when it is a workload that says it is a waypoint.
class AdsStream final : public grpc::ServerGenericBidiReactor, public Follower {
 public:
  AdsStream(bool delta, std::string peer, Hub& hub, WaypointHub& waypoints, telemetry::Log& log)
      : delta_(delta), peer_(std::move(peer)), hub_(hub), waypoints_(waypoints), log_(log) {}

  // Reading begins when the caller is known and, for a node, there is a snapshot.
  static AdsStream* start(bool delta, const Credentials& credentials, Authenticator& callers,
                          Hub& hub, WaypointHub& waypoints, telemetry::Log& log) {
    const auto stream = std::make_shared<AdsStream>(delta, credentials.peer, hub, waypoints, log);
    stream->self_ = stream;
    callers.authenticate(credentials, [stream](Authenticator::Answer answer) {
      stream->authenticated(stream, std::move(answer));
    });
    return stream.get();
  }

  void follow(std::shared_ptr<const Snapshot> snapshot) override {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    // Snapshots come from two threads when a stream is added while one is published.
    if (version_ >= snapshot->version && session_) return;
    version_ = snapshot->version;
    if (session_) {
      session_->update(std::move(snapshot));
    } else {
      session_.emplace(std::move(snapshot));
      StartRead(&request_);
    }
    send();
  }

  Status status() const override {
    const std::lock_guard lock(mutex_);
    Status status{.node = node_, .current = false, .acked_version = 0, .last_nack = {}};
    if (session_) {
      status.current = session_->is_current();
      status.acked_version = session_->acked_version();
      status.last_nack = session_->last_nack();
    }
    return status;
  }

  void OnReadDone(bool ok) override {
    bool look = false;
    {
      const std::lock_guard lock(mutex_);
      if (!ok) return end(grpc::Status::OK);
      const grpc::Status taken = waypoint_ ? take_waypoints(look) : take_nodes();
      if (!taken.ok()) return end(taken);
      send();
      if (!finished_) StartRead(&request_);
    }
    if (look) waypoints_.look();
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) return end(grpc::Status::OK);
    send();
  }

  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    end(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    hub_.remove(this);
    if (waypoint_) waypoints_.remove(waypoint_.get());
    if (!name_.empty()) log_.info("xds", "discovery stream ended", {{"node", name_}});
    self_.reset();  // and with it, this
  }

 private:
  void authenticated(const std::shared_ptr<AdsStream>& self, Authenticator::Answer answer) {
    {
      const std::lock_guard lock(mutex_);
      if (finished_) return;
      if (!answer) return end(refusal_of(answer.error(), peer_, hub_, log_));
      if (answer->is_node() && !delta_) {
        return end(
            refusal_of({kPermissionDenied, "nodes speak delta discovery"}, peer_, hub_, log_));
      }
      node_ = answer->node;
      name_ = answer->is_node() ? node_ : answer->to_string();
      if (!answer->is_node()) {
        waypoint_ = std::make_shared<WaypointConversation>(*std::move(answer), delta_,
                                                           [weak = std::weak_ptr(self)] {
                                                             if (const auto stream = weak.lock())
                                                               stream->wake();
                                                           });
        StartRead(&request_);
      }
    }
    hub_.count(&Counters::streams);
    log_.info("xds", "discovery stream opened", {{"node", name_}});
    if (waypoint_) {
      waypoints_.add(waypoint_);
    } else {
      hub_.add(self);
    }
    const std::lock_guard lock(mutex_);
    if (done_) hub_.remove(this);  // it ended before it was added
  }

  // What is sent to nodes is everything that a node must know, and nobody else need.
  grpc::Status take_nodes() {
    const auto request = xds::decode_request(to_string(request_));
    if (!request) return status_of(kInvalidArgument, "not a DeltaDiscoveryRequest");
    if (request->node && !is_own(*request->node)) {
      return status_of(kPermissionDenied, "the token is of another node: " + node_);
    }
    const std::uint64_t nacks = session_->nacks();
    const auto received = session_->receive(*request);
    if (!received) return status_of(kInvalidArgument, received.error().during);
    if (session_->nacks() != nacks) say_nack(session_->last_nack());
    return grpc::Status::OK;
  }

  grpc::Status take_waypoints(bool& look) {
    const bool known = waypoint_->node().has_value();
    const std::uint64_t nacks = waypoint_->nacks();
    const auto refused = waypoint_->receive(to_string(request_));
    if (refused) return status_of(kPermissionDenied, *refused);
    look = !known && waypoint_->node();
    if (waypoint_->nacks() != nacks) say_nack(waypoint_->status().last_nack);
    return grpc::Status::OK;
  }

  void say_nack(const std::string& why) {
    hub_.count(&Counters::nacks);
    log_.limited("nack", telemetry::Level::kWarn, "xds", "a data plane refused resources",
                 {{"node", name_}, {"error", why}});
  }

  bool is_own(const xds::Node& node) const {
    const auto name = node.metadata.find("NODE_NAME");
    return name == node.metadata.end() || name->second == node_;
  }

  void wake() {
    const std::lock_guard lock(mutex_);
    send();
  }

  void send() {
    if (writing_ || finished_) return;
    if (waypoint_) {
      const auto bytes = waypoint_->next();
      if (!bytes) return;
      response_ = to_buffer(*bytes);
    } else {
      const std::uint64_t before = session_->resources_sent();
      const auto response = session_->next();
      if (!response) return;
      hub_.count(&Counters::resources, session_->resources_sent() - before);
      response_ = to_buffer(*response);
    }
    hub_.count(&Counters::responses);
    writing_ = true;
    StartWrite(&response_);
  }

  void end(const grpc::Status& status) {
    if (std::exchange(finished_, true)) return;
    if (!status.ok() && status.error_code() != grpc::StatusCode::CANCELLED) {
      log_.limited("stream refused", telemetry::Level::kWarn, "xds", "discovery stream refused",
                   {{"node", name_}, {"peer", peer_}, {"error", status.error_message()}});
    }
    Finish(status);
  }

  const bool delta_;
  const std::string peer_;
  Hub& hub_;
  WaypointHub& waypoints_;
  telemetry::Log& log_;
  std::shared_ptr<AdsStream> self_;
  mutable std::mutex mutex_;
  // Written once, before the stream is anybody's follower.
  std::string node_;  // empty: a waypoint's
  std::string name_;
  std::shared_ptr<WaypointConversation> waypoint_;
  std::optional<AdsSession> session_;
  std::uint64_t version_ = 0;
  bool writing_ = false;
  bool finished_ = false;
  bool done_ = false;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

class Dispatcher final : public grpc::CallbackGenericService {
 public:
  Dispatcher(Hub& hub, WaypointHub& waypoints, CaServer& ca, Authenticator& callers,
             telemetry::Log& log)
      : hub_(hub), waypoints_(waypoints), ca_(ca), callers_(callers), log_(log) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    const Credentials credentials = credentials_of(*context);
    if (context->method() == kAdsMethod || context->method() == kWholeMethod) {
      return AdsStream::start(context->method() == kAdsMethod, credentials, callers_, hub_,
                              waypoints_, log_);
    }
    if (context->method() == kCaMethod) {
      return CaCall::start(credentials, callers_, hub_, ca_, log_);
    }
    return new Refusal(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no such method here"));
  }

 private:
  Hub& hub_;
  WaypointHub& waypoints_;
  CaServer& ca_;
  Authenticator& callers_;
  telemetry::Log& log_;
};

// gRPC logs through one function per process: connections that are not TLS, peers that break
// HTTP/2. Whoever connects can cause these at will, so they are counted, and logged a few a second.
struct TransportLog {
  Hub* hub = nullptr;
  telemetry::Log* log = nullptr;
};
std::mutex transport_log_mutex;
TransportLog transport_log;

void say_transport(gpr_log_func_args* args) {
  if (args->severity != GPR_LOG_SEVERITY_ERROR) return;
  const std::lock_guard lock(transport_log_mutex);
  if (transport_log.log == nullptr) return;
  transport_log.hub->count(&Counters::transport_errors);
  transport_log.log->limited("transport", telemetry::Level::kWarn, "grpc", "a connection failed",
                             {{"error", args->message}});
}

void set_transport_log(TransportLog to) {
  const std::lock_guard lock(transport_log_mutex);
  transport_log = to;
  gpr_set_log_function(say_transport);
}

void set_limits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 * 1024);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A stranger that never ends its handshake.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
}

}  // namespace

struct GrpcServer::Impl {
  Impl(Hub& hub, CaServer& ca, Authenticator& callers, telemetry::Log& log)
      : waypoints(WaypointHub::make(hub,
                                    [&log](const PolicyNote& note) {
                                      log.warn("waypoint", note.text,
                                               {{"object", note.object.to_string()}});
                                    })),
        dispatcher(hub, *waypoints, ca, callers, log) {}
  std::shared_ptr<WaypointHub> waypoints;
  Dispatcher dispatcher;
  std::unique_ptr<grpc::Server> server;
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl, int port)
    : impl_(std::move(impl)), port_(port) {}

Result<Done> write_serving_identity(const std::string& folder, const KeyPair& identity,
                                    const std::string& roots_pem) {
  TRY_DO(make_folder(folder));
  // A key and a certificate that do not go together are not taken by gRPC: it looks again.
  TRY_DO(replace_file(folder + "/key.pem", identity.key_pem, 0600));
  TRY_DO(replace_file(folder + "/cert.pem", identity.certificate_pem, 0600));
  return replace_file(folder + "/roots.pem", roots_pem, 0600);
}

std::unique_ptr<GrpcServer> GrpcServer::start(const GrpcOptions& options, Hub& hub, CaServer& ca,
                                              Authenticator& callers, telemetry::Log& log) {
  set_transport_log({});  // our one line says it when the address is taken
  namespace tls = grpc::experimental;
  tls::TlsServerCredentialsOptions tls_options(
      std::make_shared<tls::FileWatcherCertificateProvider>(
          options.identity + "/key.pem", options.identity + "/cert.pem",
          options.identity + "/roots.pem", kIdentitySeconds));
  tls_options.watch_root_certs();
  tls_options.watch_identity_key_cert_pairs();
  tls_options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  const auto credentials = tls::TlsServerCredentials(tls_options);
  auto impl = std::make_unique<Impl>(hub, ca, callers, log);
  grpc::ServerBuilder builder;
  set_limits(builder);
  int port = 0;
  builder.AddListeningPort(options.address, credentials, &port);
  builder.RegisterCallbackGenericService(&impl->dispatcher);
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || port == 0) return nullptr;
  set_transport_log({&hub, &log});
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl), port));
}

GrpcServer::~GrpcServer() {
  impl_->server->Shutdown(std::chrono::system_clock::now());
  impl_->server->Wait();
  impl_->waypoints->stop();
  set_transport_log({});
}

}  // namespace mesh::control
