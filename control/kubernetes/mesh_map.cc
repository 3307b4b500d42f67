#include "control/kubernetes/mesh_map.h"

#include <random>
#include <utility>

#include "mesh/kube/frames.h"
#include "mesh/kube/resource.h"

namespace mesh::control::kubernetes {
namespace {

using manifest::Value;

constexpr std::string_view kKey = "mesh";
const kube::ResourceType kConfigMaps{
    .group = {}, .version = "v1", .plural = "configmaps", .namespaced = true};

// Empty where there is none: nothing is configured.
std::string_view text_in(const Value& map) {
  const Value* text = member(member(&map, "data"), kKey);
  if (text == nullptr || text->type != Value::Type::kScalar) return {};
  return text->text;
}

}  // namespace

MeshMap::MeshMap(kube::Http& http, std::string ns, std::string name,
                 std::function<void(const MeshState&)> changed)
    : http_(http),
      ns_(std::move(ns)),
      name_(std::move(name)),
      changed_(std::move(changed)),
      state_("ConfigMap " + ns_ + "/" + name_) {}

void MeshMap::run() {
  kube::Reflector::Options options;
  options.paths = {kConfigMaps.path(ns_)};
  options.field_selector = "metadata.name=" + name_;
  options.seed = std::random_device()();
  informer_ =
      std::make_shared<kube::Informer>(http_, std::move(options), *this, [this] { look(); });
  informer_->run();
}

// What hinders the first look is said, what hinders later ones takes nothing back.
void MeshMap::look() {
  const kube::Reflector::Health health = informer_->health();
  if (health.complete || health.problem.empty() || health.asked_to_wait) return;
  take(state_.fail("cannot be watched: " + health.problem));
}

void MeshMap::commit_list() {
  const auto there = std::exchange(staged_, {});
  if (!there) return take(state_.remove(), "");
  take(state_.put(text_in(*there)), kube::metadata_text(*there, "resourceVersion"));
}

void MeshMap::put(Value&& object) {
  take(state_.put(text_in(object)), kube::metadata_text(object, "resourceVersion"));
}
void MeshMap::remove(Value&&) { take(state_.remove(), ""); }

void MeshMap::take(bool news) {
  if (news) changed_(state_);
}

// Who asks for the version is told of it when everybody else has been told of the text.
void MeshMap::take(bool news, std::string version) {
  take(news);
  const std::lock_guard lock(mutex_);
  version_ = std::move(version);
}

std::optional<std::string> MeshMap::version() const {
  const std::lock_guard lock(mutex_);
  return version_;
}

}  // namespace mesh::control::kubernetes
