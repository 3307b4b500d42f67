#include "control/kubernetes/waypoint_pod.h"

#include <nlohmann/json.hpp>

namespace mesh::control::kubernetes {
namespace {

using nlohmann::json;

// Where Envoy and weft-sds meet.
constexpr const char* kShared = "/etc/weft";
constexpr const char* kSecrets = "/etc/weft/secrets";
constexpr const char* kBootstrap = "/etc/weft/envoy.json";

json environment(const Settings& settings, const WaypointOptions& options,
                 const std::string& gateway) {
  json env = json::array();
  const auto value = [&](const char* name, const std::string& text) {
    env.push_back({{"name", name}, {"value", text}});
  };
  const auto field = [&](const char* name, const char* path) {
    env.push_back({{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", path}}}}}});
  };
  value("XDS_ADDRESS", "https://weft-control." + options.ns + ".svc:15012");
  value("XDS_ROOT_CA", "/var/run/secrets/istio/root-cert.pem");
  value("AUTH_TOKEN", "/var/run/secrets/tokens/istio-token");
  value("CLUSTER_ID", settings.cluster_id);
  value("CLUSTER_DOMAIN", settings.cluster_domain);
  value("TRUST_DOMAIN", settings.trust_domain);
  value("GATEWAY_NAME", gateway);
  field("POD_NAME", "metadata.name");
  field("POD_NAMESPACE", "metadata.namespace");
  field("SERVICE_ACCOUNT", "spec.serviceAccountName");
  field("INSTANCE_IP", "status.podIP");
  field("NODE_NAME", "spec.nodeName");
  return env;
}

json security(const json& seccomp) {
  return {{"allowPrivilegeEscalation", false},
          {"readOnlyRootFilesystem", true},
          {"runAsNonRoot", true},
          {"runAsUser", 1337},
          {"capabilities", {{"drop", {"ALL"}}}},
          {"seccompProfile", seccomp}};
}

// Runtimes' own profiles refuse io_uring.
json with_rings(const WaypointOptions& options) {
  return options.localhost_seccomp
             ? json{{"type", "Localhost"}, {"localhostProfile", "weft/waypoint.json"}}
             : json{{"type", "Unconfined"}};
}

json mounts(bool of_envoy) {
  json all = json::array({{{"name", "root-cert"}, {"mountPath", "/var/run/secrets/istio"}}});
  if (of_envoy) all.push_back({{"name", "identity"}, {"mountPath", kShared}});
  return all;
}

json with_token(json all) {
  all.push_back({{"name", "token"}, {"mountPath", "/var/run/secrets/tokens"}});
  return all;
}

// What both proxies have.
json proxy_container(const std::string& image, const json& seccomp) {
  const auto port = [](const char* name, int number) {
    return json{{"name", name}, {"containerPort", number}, {"protocol", "TCP"}};
  };
  return {{"name", "waypoint"},
          {"image", image},
          {"ports",
           json::array({port("mesh", 15008), port("metrics", 15020), port("readiness", 15021)})},
          {"readinessProbe",
           {{"httpGet", {{"path", "/healthz/ready"}, {"port", 15021}}}, {"periodSeconds", 3}}},
          {"resources", {{"requests", {{"cpu", "100m"}, {"memory", "64Mi"}}}}},
          {"securityContext", security(seccomp)}};
}

json weft_container(const WaypointOptions& options, const json& env) {
  json container = proxy_container(options.image, with_rings(options));
  container["env"] = env;
  container["volumeMounts"] = with_token(mounts(false));
  return container;
}

// No token: Envoy speaks to control with the certificate.
json envoy_container(const WaypointOptions& options) {
  json container = proxy_container(options.envoy_image, {{"type", "RuntimeDefault"}});
  container["args"] = {"-c",          kBootstrap, "--disable-hot-restart", "--concurrency", "2",
                       "--log-level", "warning"};
  container["volumeMounts"] = mounts(true);
  return container;
}

json identity_container(const WaypointOptions& options, json env) {
  env.push_back({{"name", "WEFT_SDS_FOLDER"}, {"value", kSecrets}});
  // Envoy starts when there is a certificate, and not before.
  const json probe = {{"exec", {{"command", {"weft-sds", "--is-ready"}}}},
                      {"periodSeconds", 1},
                      {"timeoutSeconds", 5},
                      {"failureThreshold", 300}};
  return {{"name", "identity"},
          {"image", options.sds_image},
          {"restartPolicy", "Always"},
          {"args", json::array({std::string("--bootstrap=") + kBootstrap})},
          {"env", std::move(env)},
          {"startupProbe", probe},
          {"resources", {{"requests", {{"cpu", "10m"}, {"memory", "16Mi"}}}}},
          {"securityContext", security(with_rings(options))},
          {"volumeMounts", with_token(mounts(true))}};
}

}  // namespace

json waypoint_pod(const Settings& settings, const WaypointOptions& options,
                  const manifest::Gateway& gateway, WaypointProxy proxy) {
  const std::string& name = gateway.metadata.name;
  const json env = environment(settings, options, name);
  const json token = {
      {"serviceAccountToken",
       {{"audience", "istio-ca"}, {"expirationSeconds", 3600}, {"path", "istio-token"}}}};
  json volumes =
      json::array({{{"name", "root-cert"}, {"configMap", {{"name", options.root_map}}}},
                   {{"name", "token"}, {"projected", {{"sources", json::array({token})}}}}});
  json pod = {{"serviceAccountName", name},
              {"automountServiceAccountToken", false},
              {"terminationGracePeriodSeconds", 45}};
  if (proxy == WaypointProxy::kEnvoy) {
    volumes.push_back({{"name", "identity"}, {"emptyDir", {{"medium", "Memory"}}}});
    pod["initContainers"] = json::array({identity_container(options, env)});
    pod["containers"] = json::array({envoy_container(options)});
  } else {
    pod["containers"] = json::array({weft_container(options, env)});
  }
  pod["volumes"] = std::move(volumes);
  return pod;
}

}  // namespace mesh::control::kubernetes
