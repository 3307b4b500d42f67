#include "control/kubernetes/shared_token.h"

#include <random>
#include <utility>

#include "mesh/base/base64.h"
#include "mesh/kube/election.h"
#include "mesh/kube/resource.h"
#include "mesh/kube/write.h"

namespace mesh::control::kubernetes {
namespace {

constexpr std::chrono::seconds kRetry{5};
constexpr std::size_t kMin = 16, kMax = 4096;
const kube::ResourceType kSecrets{
    .group = {}, .version = "v1", .plural = "secrets", .namespaced = true};

}  // namespace

void SharedToken::run() {
  kube::Reflector::Options options;
  options.paths = {kSecrets.path(ns_)};
  options.field_selector = std::string("metadata.name=") + kDebugSecret;
  options.seed = std::random_device()();
  informer_ = std::make_shared<kube::Informer>(http_, std::move(options), *this, [] {});
  informer_->run();
}

std::string SharedToken::token() const {
  const std::lock_guard lock(mutex_);
  return token_;
}

void SharedToken::take(const manifest::Value& object) {
  there_ = true;
  const manifest::Value* data =
      object.type == manifest::Value::Type::kMap ? object.find("data") : nullptr;
  const manifest::Value* field =
      data == nullptr || data->type != manifest::Value::Type::kMap ? nullptr : data->find("token");
  const auto text = field == nullptr ? std::nullopt : base64_decode(field->text);
  const bool good = text && text->size() >= kMin && text->size() <= kMax;
  const std::lock_guard lock(mutex_);
  token_ = good ? *text : std::string();
}

void SharedToken::commit_list() {
  if (!there_) make();
}

void SharedToken::remove(manifest::Value&&) {
  there_ = false;
  {
    const std::lock_guard lock(mutex_);
    token_.clear();
  }
  make();
}

void SharedToken::make() {
  const kube::Target target{.type = kSecrets, .ns = ns_, .name = kDebugSecret};
  const std::string token = kube::unique_identity("weft");
  const std::string body = R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":")" +
                           target.name + R"("},"data":{"token":")" + base64_encode(token) +
                           R"("}})";
  http_.send(kube::create_request(target, body), [this, target](const kube::Http::Answer& answer) {
    if (answer) return;
    const kube::WriteError error = kube::write_error("create", target, answer.error());
    if (error.refusal == kube::Refusal::kExists) return;  // the watch brings it
    log_.limited("debug token", telemetry::Level::kWarn, "kubernetes",
                 "the debug pages' shared token could not be made", {{"error", error.text}});
    http_.at(std::chrono::steady_clock::now() + kRetry, [this] {
      if (!there_) make();
    });
  });
}

}  // namespace mesh::control::kubernetes
