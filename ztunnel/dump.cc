#include "ztunnel/dump.h"

#include <cstdio>

#include "ztunnel/dump_directory.h"
#include "ztunnel/json.h"

namespace mesh::ztunnel {

std::string rfc3339(std::chrono::sys_seconds when) {
  const auto day = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(when - day);
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02ld:%02ld:%02ldZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<long>(time.hours().count()),
                static_cast<long>(time.minutes().count()),
                static_cast<long>(time.seconds().count()));
  return text;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out.push_back(j <= count ? kAlphabet[group >> (18 - 6 * j) & 63] : '=');
    }
  }
  return out;
}

namespace {

void write_certificate(JsonWriter& json, const tls::Certificate& one) {
  json.object();
  json.field("expirationTime", rfc3339(one.not_after()));
  json.field("pem", base64(one.to_pem()));
  json.field("serialNumber", one.serial());
  json.field("validFrom", rfc3339(one.not_before()));
  json.end();
}

void write_certificates(JsonWriter& json, const std::vector<identity::CertificateInfo>& all) {
  json.array();
  for (const identity::CertificateInfo& info : all) {
    json.object();
    if (info.certificate != nullptr) {
      json.key("certChain").array();
      for (const auto& one : info.certificate->chain.certificates()) write_certificate(json, one);
      json.end();
    }
    json.field("identity", info.id.to_string());
    if (!info.last_error.empty()) json.field("lastError", info.last_error);
    if (info.certificate != nullptr) {
      json.key("rootCerts").array();
      for (const auto& one : info.certificate->roots.roots()) write_certificate(json, one);
      json.end();
    }
    json.field("state", identity::certificate_state_name(info.state));
    json.end();
  }
  json.end();
}

void write_duration(JsonWriter& json, std::string_view name, std::chrono::nanoseconds value) {
  json.key(name).object();
  json.field("nanos", std::int64_t{value.count() % 1'000'000'000});
  json.field("secs", std::int64_t{value.count() / 1'000'000'000});
  json.end();
}

void write_config(JsonWriter& json, const Config& config) {
  json.object();
  json.field("adminAddr", config.admin.to_string());
  json.field("caAddress", config.ca_address);
  json.field("caRootCert", config.ca_root_cert);
  json.field("clusterDomain", config.cluster_domain);
  json.field("clusterId", config.cluster_id);
  json.field("dnsProxy", config.dns_proxy);
  json.key("illegalPorts").array();
  for (const auto port : {kOutboundPort, kPlaintextPort, kHbonePort, kDnsPort}) json.number(port);
  json.end();
  json.field("inpodUds", config.zds_socket);
  json.field("ipv6Enabled", config.ipv6);
  json.field("localNode", config.node_name);
  json.field("network", config.network);
  json.field("numWorkerThreads", std::int64_t{config.workers});
  json.field("poolMaxStreamsPerConn", std::int64_t{config.streams_per_tunnel});
  write_duration(json, "poolUnusedReleaseTimeout", config.pool_idle_release);
  json.field("proxyMode", "Shared");
  json.field("readinessAddr", config.readiness.to_string());
  write_duration(json, "readyDeadline", config.ready_deadline);
  write_duration(json, "secretTtl", config.secret_ttl);
  write_duration(json, "selfTerminationDeadline", config.termination_deadline);
  json.field("statsAddr", config.metrics.to_string());
  json.field("trustDomain", config.trust_domain);
  json.field("tunnelCongestionControl", config.tunnel_congestion_control);
  json.field("unknownDestinations", config.unknown_destinations == UnknownDestinations::kRefuse
                                        ? "refuse"
                                        : "passthrough");
  json.field("xdsAddress", config.xds_address);
  json.field("xdsRootCert", config.root_cert);
  json.end();
}

void write_connection(JsonWriter& json, const ConnectionRow& row) {
  const bool inbound = row.direction == Direction::kInbound;
  json.object();
  json.field("actualDst", row.actual.to_string());
  json.key("originalDst");
  inbound ? json.null() : json.text(row.dialled.to_string());
  json.field("protocol", row.hbone ? "HBONE" : "TCP");
  json.field("src", row.source.to_string());
  json.end();
}

void write_pods(JsonWriter& json, const DumpInput& input) {
  constexpr std::string_view kStates[] = {"Pending", "Up", "Pending"};
  json.object();
  for (const auto& [uid, pod] : input.pods) {
    json.key(uid).object();
    json.key("connections").object();
    for (const Direction direction : {Direction::kInbound, Direction::kOutbound}) {
      json.key(direction == Direction::kInbound ? "inbound" : "outbound").array();
      for (const ConnectionRow& row : input.connections) {
        if (row.pod_uid == uid && row.direction == direction) write_connection(json, row);
      }
      json.end();
    }
    json.end();
    json.key("info").object();
    json.field("name", pod.spec.info.name);
    json.field("namespace", pod.spec.info.ns);
    json.field("serviceAccount", pod.spec.info.service_account);
    json.end();
    if (!pod.problem.empty()) json.field("problem", pod.problem);
    json.field("state", kStates[static_cast<std::size_t>(pod.state)]);
    json.end();
  }
  json.end();
}

}  // namespace

std::string dump(const DumpInput& input) {
  JsonWriter json;
  json.object();
  json.key("certificates");
  write_certificates(json, input.certificates);
  json.key("config");
  write_config(json, input.config);
  json.key("policies");
  write_policies(json, input.directory);
  json.key("rejected");
  write_rejected(json, input.directory);
  json.key("services");
  write_services(json, input.directory);
  json.key("snapshot").object();
  json.field("complete", input.directory.complete());
  json.field("controlVersion", input.control_version);
  json.field("version", static_cast<std::int64_t>(input.directory.version()));
  json.end();
  json.key("stagedServices");
  write_staged(json, input.directory);
  json.key("version").object();
  json.field("version", WEFT_VERSION);
  json.end();
  json.key("workloadState");
  write_pods(json, input);
  json.key("workloads");
  write_workloads(json, input.directory);
  json.end();
  std::string text = json.take();
  text.push_back('\n');
  return text;
}

}  // namespace mesh::ztunnel
