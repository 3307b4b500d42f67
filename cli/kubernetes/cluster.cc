#include "cli/kubernetes/cluster.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/json.h"
#include "cli/kubernetes/tunnel.h"

namespace mesh::cli {

using namespace std::chrono_literals;
using Json = nlohmann::json;

namespace {

constexpr unsigned kPagesMax = 1000;
constexpr const char* kPage = "500";

std::string sentence(const std::string& what, const kube::Status& status) {
  std::string text = what + ": ";
  if (status.code != 0) text += std::to_string(status.code) + " ";
  if (!status.reason.empty()) text += status.reason + ": ";
  return text + status.message;
}

std::string first_of(const char* list) {
  const std::string text = list == nullptr ? "" : list;
  return text.substr(0, text.find(':'));
}

Outcome<kube::Access> access_of(const ClusterChoice& choice) {
  const char* const home = std::getenv("HOME");
  std::string path = choice.kubeconfig;
  if (path.empty()) path = first_of(std::getenv("KUBECONFIG"));
  if (path.empty() && home != nullptr) {
    path = std::string(home) + "/.kube/config";
    if (::access(path.c_str(), R_OK) != 0) path.clear();
  }
  if (!path.empty()) return kube::load_kubeconfig(path, choice.context);
  auto inside = kube::in_cluster();
  if (!inside) {
    return problem("no cluster: give --kubeconfig, set KUBECONFIG, or have a ~/.kube/config");
  }
  return inside;
}

}  // namespace

Cluster::Sender Cluster::patient(Sender send, std::function<void(std::chrono::seconds)> pause) {
  return [send = std::move(send), pause = std::move(pause)](const kube::HttpRequest& request) {
    constexpr int kTooManyRequests = 429;
    for (auto left = kPatience;;) {
      auto answer = send(request);
      if (answer || answer.error().code != kTooManyRequests || left <= 0s) return answer;
      const std::chrono::seconds asked(answer.error().retry_after_seconds.value_or(1));
      const auto time = std::clamp<std::chrono::seconds>(asked, 1s, left);
      pause(time);
      left -= time;
    }
  };
}

Outcome<Cluster> Cluster::open(const ClusterChoice& choice) {
  TRY(kube::Access access, access_of(choice));
  TRY(std::shared_ptr<kube::Http> http, kube::Http::open(access));
  Sender once = [http](kube::HttpRequest request) { return http->call(std::move(request)); };
  const auto pause = [](std::chrono::seconds time) { std::this_thread::sleep_for(time); };
  return Cluster(patient(std::move(once), pause), access.ns,
                 [access](const PodPage& page) { return pod_get(access, page); });
}

Outcome<std::string> Cluster::page(const std::string& path) {
  kube::HttpRequest request;
  request.target = path;
  auto answer = send_(std::move(request));
  if (!answer) return problem(sentence("GET " + path, answer.error()));
  return std::move(*answer);
}

Outcome<HttpAnswer> Cluster::pod_answer(const PodPage& page) {
  if (!fetch_) return problem("pods cannot be reached");
  return fetch_(page);
}

Outcome<std::string> Cluster::pod_page(const PodPage& page) {
  TRY(HttpAnswer answer, pod_answer(page));
  if (answer.status == 200) return std::move(answer.body);
  return problem(page.ns + "/" + page.pod + page.path + ": " + std::to_string(answer.status) +
                 ": " + answer.body.substr(0, 300));
}

Outcome<Json> Cluster::get(const std::string& path) {
  kube::HttpRequest request;
  request.target = path;
  const auto answer = send_(std::move(request));
  if (!answer) {
    if (answer.error().code == 404) return Json();
    return problem(sentence("GET " + path, answer.error()));
  }
  return parse_json(*answer);
}

Outcome<std::vector<Json>> Cluster::list(const std::string& path, const std::string& labels) {
  std::vector<Json> items;
  std::string next;
  for (unsigned page = 0; page < kPagesMax; ++page) {
    TRY(Json body, get(kube::with_query(
                       path, {{"labelSelector", labels}, {"limit", kPage}, {"continue", next}})));
    if (body.is_null()) return items;
    const std::string kind = text(body, "kind");
    const std::string api_version = text(body, "apiVersion");
    if (!kind.ends_with("List") || !member(body, "items").is_array()) {
      return problem("GET " + path + ": the answer is no list");
    }
    for (Json& item : body["items"]) {
      // The items of a list do not say what they are.
      if (!item.is_object()) continue;
      if (!item.contains("kind")) item["kind"] = kind.substr(0, kind.size() - 4);
      if (!item.contains("apiVersion")) item["apiVersion"] = api_version;
      items.push_back(std::move(item));
    }
    next = text(member(body, "metadata"), "continue");
    if (next.empty()) return items;
  }
  return problem("GET " + path + ": too many pages");
}

Outcome<const Cluster::Served*> Cluster::served(const std::string& api_version,
                                                const std::string& kind) {
  if (!kinds_.contains(api_version)) {
    const bool core = api_version.find('/') == std::string::npos;
    TRY(const Json body, get((core ? "/api/" : "/apis/") + api_version));
    auto& kinds = kinds_[api_version];
    if (body.is_object()) {
      for (const Json& one : member(body, "resources")) {
        const std::string plural = text(one, "name");
        if (plural.find('/') != std::string::npos) continue;  // a subresource
        kinds[text(one, "kind")] = {.plural = plural, .namespaced = flag(one, "namespaced")};
      }
    }
  }
  const auto found = kinds_[api_version].find(kind);
  if (found == kinds_[api_version].end()) {
    return problem("this cluster has no " + kind + " of " + api_version);
  }
  return &found->second;
}

Outcome<kube::Target> Cluster::target_of(const Json& object) {
  const std::string api_version = text(object, "apiVersion");
  TRY(const Served* known, served(api_version, text(object, "kind")));
  const std::size_t slash = api_version.find('/');
  kube::Target target;
  if (slash != std::string::npos) target.type.group = api_version.substr(0, slash);
  target.type.version = api_version.substr(slash == std::string::npos ? 0 : slash + 1);
  target.type.plural = known->plural;
  target.type.namespaced = known->namespaced;
  if (known->namespaced) target.ns = namespace_of(object);
  if (known->namespaced && target.ns.empty()) target.ns = ns_;
  target.name = name_of(object);
  return target;
}

Outcome<Json> Cluster::apply(const Json& object, Mode mode, bool force) {
  TRY(const kube::Target target, target_of(object));
  kube::HttpRequest request = kube::apply_request(target, to_text(object), kFieldManager, force);
  if (mode == Mode::kDryRun) request.target += "&dryRun=All";
  const auto answer = send_(std::move(request));
  if (!answer) return problem(sentence("apply " + object_name(object), answer.error()));
  return parse_json(*answer);
}

Outcome<Done> Cluster::patch(const kube::Target& target, const Json& merge) {
  const auto answer = send_(kube::patch_request(target, to_text(merge), kFieldManager));
  if (!answer) return problem(sentence("patch " + target.to_string(), answer.error()));
  return Done{};
}

Outcome<Done> Cluster::remove(const kube::Target& target) {
  const auto answer = send_(kube::remove_request(target, ""));
  if (!answer && answer.error().code != 404) {
    return problem(sentence("delete " + target.to_string(), answer.error()));
  }
  return Done{};
}

Outcome<Json> Cluster::ask(const kube::ResourceType& type, const Json& question) {
  const auto answer = send_(kube::ask_request(type, to_text(question)));
  if (!answer) return problem(sentence("create " + type.plural, answer.error()));
  return parse_json(*answer);
}

std::string name_of(const Json& object) { return text(member(object, "metadata"), "name"); }

std::string namespace_of(const Json& object) {
  return text(member(object, "metadata"), "namespace");
}

std::string label(const Json& object, const char* key) {
  return text(member(member(object, "metadata"), "labels"), key);
}

std::string object_name(const Json& object) {
  const std::string ns = namespace_of(object);
  return text(object, "kind") + " " + (ns.empty() ? "" : ns + "/") + name_of(object);
}

}  // namespace mesh::cli
