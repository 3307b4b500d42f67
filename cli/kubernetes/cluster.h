#pragma once
// A Kubernetes API server as the command line asks it: objects as JSON values, sentences for what
// went wrong. Where the server is comes from --kubeconfig, $KUBECONFIG (its first file),
// ~/.kube/config, or the pod we run in.

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/http.h"
#include "cli/outcome.h"
#include "mesh/kube/write.h"

namespace mesh::cli {

// The label of the waypoints that control has deployed.
inline constexpr const char* kWaypointPods = "gateway.istio.io/managed=weft.dev-mesh-controller";

inline constexpr std::string_view kFieldManager = "weft";

// A page of a pod's own server, through a port-forward.
struct PodPage {
  std::string ns;
  std::string pod;
  std::uint16_t port = 0;
  std::string path = "/";
  std::string bearer_token = {};
  HttpMethod method = HttpMethod::kGet;
};

struct ClusterChoice {
  std::string kubeconfig = {};
  std::string context = {};
};

class Cluster {
 public:
  // One request and its answer. Waits.
  using Sender = std::function<std::expected<std::string, kube::Status>(kube::HttpRequest)>;

  using Fetcher = std::function<Outcome<HttpAnswer>(const PodPage&)>;

  // Asks again while the server answers 429 (it is busy, or does not serve a new kind yet): when
  // the answer says, or after a second, and for kPatience in all. `pause` waits.
  static constexpr std::chrono::seconds kPatience{30};
  static Sender patient(Sender send, std::function<void(std::chrono::seconds)> pause);

  // Errors: no kubeconfig, or one that cannot be used.
  static Outcome<Cluster> open(const ClusterChoice& choice);
  // For tests.
  explicit Cluster(Sender sender, std::string ns = "default", Fetcher fetch = {})
      : send_(std::move(sender)), fetch_(std::move(fetch)), ns_(std::move(ns)) {}

  const std::string& default_namespace() const { return ns_; }

  // The answer's body. Errors: "GET PATH: 403 Forbidden: what the server said".
  Outcome<std::string> page(const std::string& path);
  // Null when it is not there (404), be it the object or its kind.
  Outcome<nlohmann::json> get(const std::string& path);
  // The items of a collection, whose path this is; none when the kind is not served. All pages.
  Outcome<std::vector<nlohmann::json>> list(const std::string& path,
                                            const std::string& labels = {});

  // Where an object is. Errors: its kind is not served here.
  Outcome<kube::Target> target_of(const nlohmann::json& object);

  enum class Mode : bool { kReally, kDryRun };
  // Server-side apply as kFieldManager; the object as it is then.
  Outcome<nlohmann::json> apply(const nlohmann::json& object, Mode mode, bool force);
  Outcome<Done> patch(const kube::Target& target, const nlohmann::json& merge);
  // Nothing happens when it is not there.
  Outcome<Done> remove(const kube::Target& target);
  // A question, such as a SelfSubjectAccessReview.
  Outcome<nlohmann::json> ask(const kube::ResourceType& type, const nlohmann::json& question);

  // A pod's answer, of any status.
  Outcome<HttpAnswer> pod_answer(const PodPage& page);
  // The body of a 200 answer of a pod.
  Outcome<std::string> pod_page(const PodPage& page);

  std::expected<std::string, kube::Status> send(kube::HttpRequest request) {
    return send_(std::move(request));
  }

 private:
  struct Served {
    std::string plural;
    bool namespaced = true;
  };
  Outcome<const Served*> served(const std::string& api_version, const std::string& kind);

  Sender send_;
  Fetcher fetch_;
  std::string ns_;
  std::map<std::string, std::map<std::string, Served>> kinds_;  // by apiVersion, by kind
};

// "GatewayClass istio", "Deployment weft-system/weft-control"
std::string object_name(const nlohmann::json& object);

// metadata.labels[KEY], or "".
std::string label(const nlohmann::json& object, const char* key);
std::string namespace_of(const nlohmann::json& object);
std::string name_of(const nlohmann::json& object);

// Of the types that the commands ask for.
inline const kube::ResourceType kNamespaces{"", "v1", "namespaces", false};
inline const kube::ResourceType kNodes{"", "v1", "nodes", false};
inline const kube::ResourceType kPods{"", "v1", "pods", true};
inline const kube::ResourceType kServices{"", "v1", "services", true};
inline const kube::ResourceType kDeployments{"apps", "v1", "deployments", true};
inline const kube::ResourceType kDaemonSets{"apps", "v1", "daemonsets", true};
inline const kube::ResourceType kGateways{"gateway.networking.k8s.io", "v1", "gateways", true};

}  // namespace mesh::cli
