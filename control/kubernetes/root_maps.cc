#include "control/kubernetes/root_maps.h"

#include <algorithm>
#include <random>
#include <utility>

#include <nlohmann/json.hpp>

#include "mesh/kube/resource.h"

namespace mesh::control::kubernetes {
namespace {

using manifest::Value;

constexpr std::string_view kManager = "weft-control";
constexpr std::string_view kKey = "root-cert.pem";
const kube::ResourceType kConfigMaps{
    .group = {}, .version = "v1", .plural = "configmaps", .namespaced = true};

std::size_t hash_of(const std::string& roots) {
  return std::hash<std::string>()(roots) | 1;  // never 0
}

std::size_t hash_in(const Value& map) {
  const Value* data = map.type == Value::Type::kMap ? map.find("data") : nullptr;
  if (data == nullptr || data->type != Value::Type::kMap) return 0;
  const Value* roots = data->find(kKey);
  return roots == nullptr || roots->type != Value::Type::kScalar ? 0 : hash_of(roots->text);
}

}  // namespace

void RootMaps::Copy::stage(Value&& object) {
  staged[kube::metadata_text(object, "namespace")] = hash_in(object);
}

void RootMaps::Copy::commit_list() {
  maps = std::exchange(staged, {});
  complete = true;
}

void RootMaps::Copy::put(Value&& object) {
  maps[kube::metadata_text(object, "namespace")] = hash_in(object);
}

void RootMaps::Copy::remove(Value&& object) {
  maps.erase(kube::metadata_text(object, "namespace"));
}

RootMaps::RootMaps(kube::Http& http, bool istio, std::function<void()> changed)
    : http_(http), changed_(std::move(changed)) {
  copies_.push_back(std::make_unique<Copy>("weft-ca-root-cert"));
  if (istio) copies_.push_back(std::make_unique<Copy>("istio-ca-root-cert"));
}

void RootMaps::run() {
  for (const auto& copy : copies_) {
    kube::Reflector::Options options;
    options.paths = {kConfigMaps.path()};
    options.field_selector = "metadata.name=" + copy->name;
    options.seed = std::random_device()();
    copy->informer =
        std::make_shared<kube::Informer>(http_, std::move(options), *copy, [this] { changed_(); });
    copy->informer->run();
  }
}

std::vector<Write> RootMaps::plan(const World& world, const std::string& roots_pem) const {
  std::vector<Write> writes;
  const std::size_t wanted = hash_of(roots_pem);
  for (const auto& copy : copies_) {
    if (!copy->complete) continue;
    for (const manifest::Namespace* ns : world.all<manifest::Namespace>()) {
      if (ns->metadata.deleting) continue;
      const auto found = copy->maps.find(ns->metadata.name);
      if (found != copy->maps.end() && found->second == wanted) continue;
      Write write{.verb = "patch",
                  .target = {.type = kConfigMaps, .ns = ns->metadata.name, .name = copy->name}};
      const nlohmann::json body = {{"apiVersion", "v1"},
                                   {"kind", "ConfigMap"},
                                   {"metadata",
                                    {{"name", copy->name},
                                     {"namespace", ns->metadata.name},
                                     {"labels", {{"istio.io/config", "true"}}}}},
                                   {"data", {{std::string(kKey), roots_pem}}}};
      write.request = kube::apply_request(write.target, body.dump(), kManager, true);
      writes.push_back(std::move(write));
    }
  }
  return writes;
}

bool RootMaps::complete() const {
  return std::all_of(copies_.begin(), copies_.end(), [](const auto& one) { return one->complete; });
}

std::string RootMaps::problem() const {
  for (const auto& copy : copies_) {
    if (copy->informer == nullptr || copy->complete) continue;
    const auto health = copy->informer->health();
    if (!health.problem.empty()) return "ConfigMaps cannot be watched: " + health.problem;
  }
  return {};
}

}  // namespace mesh::control::kubernetes
