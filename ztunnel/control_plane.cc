#include "ztunnel/control_plane.h"

namespace mesh::ztunnel {
namespace {

xds::Node describe_node(const Config& config) {
  xds::Node node;
  node.id = "ztunnel~" + config.instance_ip + "~" + config.pod_name + "." + config.pod_namespace +
            "~" + config.pod_namespace + ".svc." + config.cluster_domain;
  node.metadata = {{"NAME", config.pod_name},
                   {"NAMESPACE", config.pod_namespace},
                   {"INSTANCE_IPS", config.instance_ip},
                   {"NODE_NAME", config.node_name}};
  node.metadata.insert(config.node_metadata.begin(), config.node_metadata.end());
  return node;
}

Result<grpc::ChannelOptions> channel(const Config& config, const std::string& address,
                                     const std::string& hostname, const std::string& roots,
                                     const std::map<std::string, std::string>& headers) {
  TRY(grpc::Target target, grpc::Target::parse(address));
  grpc::ChannelOptions options;
  options.target = std::move(target);
  options.server_name = hostname;
  options.roots = grpc::roots_from(roots);
  grpc::Metadata fixed = {{"clusterid", config.cluster_id}};
  fixed.insert(fixed.end(), headers.begin(), headers.end());
  options.metadata = grpc::bearer_metadata(config.token, std::move(fixed));
  return options;
}

}  // namespace

Result<std::unique_ptr<ControlPlane>> ControlPlane::create(io::Ring& ring, const Config& config,
                                                           Telemetry& telemetry) {
  std::unique_ptr<ControlPlane> made(new ControlPlane(telemetry));
  ControlPlane* self = made.get();
  xds::CaClientOptions ca;
  TRY(ca.channel, channel(config, config.ca_address, config.ca_hostname, config.ca_root_cert,
                          config.ca_headers));
  ca.validity = config.secret_ttl;
  const auto say = [&telemetry](std::string_view line) {
    telemetry.log.limited("ca", telemetry::Level::kWarn, "ca", line);
  };
  made->ca_ = std::make_unique<xds::CaClient>(ring, std::move(ca), say);
  made->store_ = std::make_unique<identity::CertificateStore>(
      ring, *made->ca_, identity::StoreOptions{},
      [self](const net::SpiffeId& id, std::shared_ptr<const identity::Certificate> certificate) {
        if (self->node_ != nullptr) self->node_->publish(id, std::move(certificate));
      },
      [&telemetry](std::string_view line) {
        telemetry.log.limited("certificates", telemetry::Level::kInfo, "identity", line);
      });
  xds::AdsClientOptions ads;
  TRY(ads.channel, channel(config, config.xds_address, config.xds_hostname, config.root_cert,
                           config.xds_headers));
  ads.ads.node = describe_node(config);
  made->ads_ = std::make_unique<xds::AdsClient>(
      ring, std::move(ads),
      [self](std::shared_ptr<const workload::Directory> directory, std::uint64_t sequence) {
        if (self->node_ == nullptr) return;
        self->node_->publish(std::move(directory),
                             [self, sequence] { self->ads_->applied(sequence); });
      },
      [&telemetry](xds::AdsClient::LogLevel level, std::string_view line) {
        switch (level) {
          case xds::AdsClient::LogLevel::kDebug:
            return telemetry.log.debug("xds", line);
          case xds::AdsClient::LogLevel::kInfo:
            return telemetry.log.info("xds", line);
          case xds::AdsClient::LogLevel::kWarn:
            return telemetry.log.warn("xds", line);
        }
      });
  return made;
}

io::Task<void> ControlPlane::run(Node& node) {
  node_ = &node;
  io::TaskScope scope(co_await io::current_cancel());
  scope.spawn(ads_->run());
  scope.spawn(store_->run());
  co_await scope.join();
  co_await ca_->close();
}

void ControlPlane::count() {
  const xds::AdsCounters& now = ads_->counters();
  auto& metrics = telemetry_.metrics;
  for (int i = 0; i < xds::kTerminationCount; ++i) {
    if (now.terminations[i] == counted_.terminations[i]) continue;
    const auto reason = xds::termination_name(static_cast<xds::Termination>(i));
    metrics.add(telemetry_.xds_terminations, telemetry::LabelText().add("reason", reason),
                now.terminations[i] - counted_.terminations[i]);
  }
  for (int i = 0; i < xds::kResourceTypeCount; ++i) {
    if (now.messages[i] == counted_.messages[i]) continue;
    const auto url = xds::type_url(static_cast<xds::ResourceType>(i));
    const auto labels = telemetry::LabelText().add("url", url);
    metrics.add(telemetry_.xds_messages, labels, now.messages[i] - counted_.messages[i]);
    metrics.add(telemetry_.xds_bytes, labels, now.message_bytes[i] - counted_.message_bytes[i]);
  }
  counted_ = now;
}

}  // namespace mesh::ztunnel
