#include "waypoint/control_plane.h"

#include "mesh/io/task_scope.h"
#include "mesh/io/timer.h"

namespace mesh::waypoint {
namespace {

xds::Node describe_node(const Settings& settings) {
  xds::Node node;
  node.id = "waypoint~" + settings.instance_ip + "~" + settings.pod_name + "." +
            settings.pod_namespace + "~" + settings.pod_namespace + ".svc." +
            settings.cluster_domain;
  node.metadata = {{"NAME", settings.pod_name},
                   {"NAMESPACE", settings.pod_namespace},
                   {"SERVICE_ACCOUNT", settings.service_account},
                   {"INSTANCE_IPS", settings.instance_ip},
                   {"NODE_NAME", settings.node_name},
                   {"CLUSTER_ID", settings.cluster_id},
                   {"GATEWAY_NAME", settings.gateway},
                   {"WEFT_HEALTH_CHECKS", "tunnels"}};  // Envoy's do not reach that far
  return node;
}

Result<grpc::ChannelOptions> channel(const Settings& settings, const std::string& address,
                                     const std::string& hostname) {
  TRY(grpc::Target target, grpc::Target::parse(address));
  grpc::ChannelOptions options;
  options.target = std::move(target);
  options.server_name = hostname;
  options.roots = grpc::roots_from(settings.root_cert);
  options.metadata = grpc::bearer_metadata(settings.token, {{"clusterid", settings.cluster_id}});
  return options;
}

}  // namespace

Result<std::unique_ptr<ControlPlane>> ControlPlane::create(io::Ring& ring, const Settings& settings,
                                                           telemetry::Log& log,
                                                           SnapshotStore& store) {
  std::unique_ptr<ControlPlane> made(new ControlPlane(ring, settings, log, store));
  ControlPlane* const self = made.get();
  xds::CaClientOptions ca;
  TRY(ca.channel, channel(settings, settings.ca_address, settings.ca_hostname));
  ca.validity = settings.secret_ttl;
  made->ca_ = std::make_unique<xds::CaClient>(ring, std::move(ca), [&log](std::string_view line) {
    log.limited("ca", telemetry::Level::kWarn, "ca", line);
  });
  made->certificates_ = std::make_unique<identity::CertificateStore>(
      ring, *made->ca_, identity::StoreOptions{},
      [self](const net::SpiffeId& id, std::shared_ptr<const identity::Certificate> certificate) {
        if (self->proxy_ != nullptr) self->proxy_->publish(id, std::move(certificate));
      },
      [&log](std::string_view line) {
        log.limited("certificates", telemetry::Level::kInfo, "identity", line);
      });
  TRY(grpc::ChannelOptions xds, channel(settings, settings.xds_address, settings.xds_hostname));
  made->discovery_ = std::make_unique<Discovery>(
      ring, std::move(xds), describe_node(settings), settings.delta_xds != "false", store,
      [self](std::uint64_t sequence) { self->publish(sequence); },
      [&log](Discovery::LogLevel level, std::string_view line) {
        switch (level) {
          case Discovery::LogLevel::kDebug:
            return log.debug("xds", line);
          case Discovery::LogLevel::kInfo:
            return log.info("xds", line);
          case Discovery::LogLevel::kWarn:
            return log.warn("xds", line);
        }
      });
  return made;
}

void ControlPlane::publish(std::uint64_t sequence) {
  if (proxy_ == nullptr) return;
  const bool was_ready = proxy_->snapshot()->ready;
  config::SnapshotPtr snapshot = store_.build(sequence, discovery_->state().version());
  if (store_.waits_for_secrets()) secrets_due_.set();
  if (snapshot->ready && !was_ready) {
    log_.info("xds", "the configuration is complete");
  }
  proxy_->publish(std::move(snapshot), [this, sequence] { discovery_->applied(sequence); });
}

io::Task<void> ControlPlane::wait_for_secrets() {
  for (;;) {
    if (!co_await secrets_due_.wait()) co_return;
    secrets_due_.reset();
    if (!co_await io::sleep_for(ring_, kSecretsWithin)) co_return;
    if (!store_.waits_for_secrets()) continue;
    log_.warn("xds", "secrets that clusters name have not come: going on without");
    store_.give_up_secrets();
    publish(discovery_->state().sequence());
  }
}

io::Task<void> ControlPlane::run(Proxy& proxy) {
  proxy_ = &proxy;
  proxy.on_identity_wanted([this](const net::SpiffeId& id) { certificates_->wanted_now(id); });
  (void)certificates_->add_user(net::SpiffeId::parse(settings_.identity()).value());
  io::TaskScope scope(co_await io::current_cancel());
  scope.spawn(discovery_->run());
  scope.spawn(certificates_->run());
  scope.spawn(wait_for_secrets());
  co_await scope.join();
  co_await ca_->close();
}

}  // namespace mesh::waypoint
