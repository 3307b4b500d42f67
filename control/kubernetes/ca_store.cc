#include "control/kubernetes/ca_store.h"

#include <chrono>
#include <ctime>
#include <random>
#include <utility>

#include "mesh/kube/resource.h"

namespace mesh::control::kubernetes {
namespace {

constexpr std::string_view kManager = "weft-control";
constexpr std::chrono::seconds kRetry{2};
const kube::ResourceType kSecrets{
    .group = {}, .version = "v1", .plural = "secrets", .namespaced = true};

}  // namespace

void CaStore::Slot::commit_list() {
  object = std::move(staged_);
  staged_.reset();
  complete = true;
  store_.look();
}

void CaStore::Slot::put(manifest::Value&& value) {
  object = std::move(value);
  store_.look();
}

void CaStore::Slot::remove(manifest::Value&&) {
  object.reset();
  store_.look();
}

CaStore::CaStore(kube::Http& http, Options options, telemetry::Log& log, ca::Authority& authority,
                 std::function<void()> changed)
    : http_(http),
      options_(std::move(options)),
      log_(log),
      authority_(authority),
      changed_(std::move(changed)) {}

std::shared_ptr<kube::Informer> CaStore::watch(const std::string& name, Slot& slot) {
  kube::Reflector::Options options;
  options.paths = {kSecrets.path(options_.ns)};
  options.field_selector = "metadata.name=" + name;
  options.seed = std::random_device()();
  auto informer = std::make_shared<kube::Informer>(http_, std::move(options), slot, [this, &slot] {
    const auto health = slot.informer->health();
    if (!slot.complete && !health.problem.empty() && !health.asked_to_wait) {
      say("the authority's Secrets cannot be read: " + health.problem);
    }
  });
  slot.informer = informer;
  return informer;
}

void CaStore::run() {
  watch(kPluggedInSecret, plugged_in_)->run();
  watch(kRootSecret, own_)->run();
}

kube::Target CaStore::secret(std::string name) const {
  return {.type = kSecrets, .ns = options_.ns, .name = std::move(name)};
}

void CaStore::say(std::string problem) {
  {
    const std::lock_guard lock(mutex_);
    if (status_.problem == problem) return;
    status_.problem = problem;
  }
  if (!problem.empty()) log_.error("ca", problem);
  changed_();
}

// Both Secrets as they are now: which one is in force?
void CaStore::look() {
  if (!plugged_in_.complete || !own_.complete) return;
  if (plugged_in_.object) {
    const std::string what = options_.ns + "/" + kPluggedInSecret;
    const auto material = ca::read_plugged_in(*plugged_in_.object);
    if (!material) return say("Secret " + what + ": " + material.error());
    return take(*material, what);
  }
  const std::string what = options_.ns + "/" + kRootSecret;
  if (!own_.object) {
    // Nothing must sign with a root that only this process knows: what is in force is put back.
    if (root_) log_.error("ca", "Secret " + what + " is gone: it is made again as it was");
    return make();
  }
  auto root = ca::read_root_secret(*own_.object);
  if (!root) return say("Secret " + what + ": " + root.error());
  const std::string version = root->resource_version;
  const std::string state(root->state());
  const std::int64_t since = root->since;
  take(ca::material_of(*root), what);
  {
    const std::lock_guard lock(mutex_);
    if (!status_.problem.empty()) return;
    status_.plugged_in = false;
    status_.state = state;
    status_.since = since;
    status_.version = version;
  }
  root_ = *std::move(root);
  changed_();
}

void CaStore::take(const AuthorityMaterial& material, const std::string& what) {
  auto next = CertificateAuthority::from(material);
  if (!next) return say("Secret " + what + ": " + next.error().during);
  const std::string force = material.certificate + material.key + material.chain + material.roots;
  const bool is_news = force != in_force_;
  const std::int64_t expires = (*next)->expires();
  if (is_news) {
    in_force_ = force;
    authority_.set(*std::move(next));
    log_.info("ca", "an authority is in force",
              {{"secret", what}, {"expires", std::to_string(expires)}});
  }
  {
    const std::lock_guard lock(mutex_);
    status_.problem.clear();
    status_.expires = expires;
    if (plugged_in_.object) {
      status_.plugged_in = true;
      status_.state = "plugged in";
      status_.since = 0;
      status_.version = kube::metadata_text(*plugged_in_.object, "resourceVersion");
    }
  }
  if (is_news) changed_();
}

void CaStore::make() {
  if (std::exchange(making_, true)) return;
  ca::RootSecret root;
  if (root_) {
    root = *root_;
  } else {
    root.signing = make_root(options_.trust_domain);
    root.since = std::time(nullptr);
  }
  const kube::Target target = secret(kRootSecret);
  http_.send(kube::create_request(target, ca::root_secret_json(root, options_.ns, kRootSecret)),
             [this, target](const kube::Http::Answer& answer) {
               making_ = false;
               if (answer) return log_.info("ca", "a root was made", {{"secret", target.name}});
               const kube::WriteError error = kube::write_error("create", target, answer.error());
               // Another replica was first: its Secret comes by the watch.
               if (error.refusal == kube::Refusal::kExists) return;
               say(error.text);
               http_.at(std::chrono::steady_clock::now() + kRetry, [this] { look(); });
             });
}

std::optional<Write> CaStore::plan(std::int64_t now, bool everybody_has_it) {
  if (plugged_in_.object || !root_ || !own_.object) return {};
  const auto next =
      ca::next_state(*root_, now, options_.wait_seconds, everybody_has_it, options_.trust_domain);
  if (!next) return {};
  Write write{.verb = "patch", .target = secret(kRootSecret)};
  write.request = kube::patch_request(write.target, ca::root_secret_patch(*next), kManager);
  log_.info("ca", "the rotation of the root goes on",
            {{"from", root_->state()}, {"to", next->state()}});
  return write;
}

std::expected<Done, std::string> CaStore::rotate() {
  const Status now = status();
  if (now.plugged_in) {
    return std::unexpected(std::string("the authority is plugged in (Secret ") + kPluggedInSecret +
                           "): replace it there");
  }
  if (now.state.empty()) return std::unexpected("there is no root yet");
  if (now.state != "settled") return std::unexpected("a rotation is under way: " + now.state);
  const kube::Target target = secret(kRootSecret);
  const std::string body = R"({"metadata":{"resourceVersion":")" + now.version +
                           R"(","annotations":{")" + std::string(ca::kRotateAnnotation) +
                           R"(":"true"}}})";
  const auto answer = http_.call(kube::patch_request(target, body, kManager));
  if (answer) return Done{};
  return std::unexpected(kube::write_error("patch", target, answer.error()).text);
}

CaStore::Status CaStore::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace mesh::control::kubernetes
