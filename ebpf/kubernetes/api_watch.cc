#include "ebpf/kubernetes/api_watch.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>

#include "ebpf/node_log.h"
#include "mesh/kube/http.h"
#include "mesh/kube/informer.h"
#include "mesh/kube/resource.h"
#include "mesh/kube/write.h"

namespace mesh::ebpf {
namespace {

using nlohmann::json;

constexpr int kWritesMax = 256;
constexpr std::string_view kManager = "weft-agent";
constexpr std::size_t kMessageBytesMax = 1000;  // of an event: 1024
constexpr const char* kRedirection = "ambient.istio.io/redirection";

// One collection, read as `Facts`, on the thread of Http. What cannot be read is said, and left
// out: such a pod is not enrolled and, being unknown, does not start either.
template <class Facts, class Gone>
class FactsSink final : public kube::Sink {
 public:
  using Read = std::optional<Facts> (*)(const manifest::Value&);
  using Push = std::function<void(ApiChange)>;
  FactsSink(Read read, Push push, std::string_view key)
      : read_(read), push_(std::move(push)), key_(key) {}

  void begin_list() override { staged_.clear(); }
  void stage(manifest::Value&& object) override {
    if (auto facts = read(object)) staged_.push_back(*std::move(facts));
  }
  void commit_list() override { push_(std::exchange(staged_, {})); }
  void put(manifest::Value&& object) override {
    if (auto facts = read(object)) push_(*std::move(facts));
  }
  void remove(manifest::Value&& object) override { push_(Gone{kube::metadata_text(object, key_)}); }

 private:
  std::optional<Facts> read(const manifest::Value& object) {
    auto facts = read_(object);
    if (!facts)
      log_error("the API server's " + kube::metadata_text(object, "namespace") + "/" +
                kube::metadata_text(object, "name") + " cannot be read");
    return facts;
  }

  const Read read_;
  const Push push_;
  const std::string_view key_;
  std::vector<Facts> staged_;
};

// A collection of at most one.
class DaemonSetSink final : public kube::Sink {
 public:
  explicit DaemonSetSink(std::function<void(ApiChange)> push) : push_(std::move(push)) {}
  void begin_list() override { staged_ = false; }
  void stage(manifest::Value&& object) override { staged_ = stays(object); }
  void commit_list() override { push_(OwnDaemonSet{staged_}); }
  void put(manifest::Value&& object) override { push_(OwnDaemonSet{stays(object)}); }
  void remove(manifest::Value&&) override { push_(OwnDaemonSet{false}); }

 private:
  static bool stays(const manifest::Value& object) {
    return kube::metadata_text(object, "deletionTimestamp").empty();
  }
  const std::function<void(ApiChange)> push_;
  bool staged_ = false;
};

const kube::ResourceType kPods{"", "v1", "pods", true};
const kube::ResourceType kNamespaces{"", "v1", "namespaces", false};
const kube::ResourceType kEvents{"", "v1", "events", true};
const kube::ResourceType kDaemonSets{"apps", "v1", "daemonsets", true};

}  // namespace

std::string annotation_patch(const PodFacts& pod, bool enrolled) {
  // The uid makes it this pod's: another one of its name is a conflict.
  json annotation = enrolled ? json("enabled") : json(nullptr);
  return json{{"metadata", {{"uid", pod.uid}, {"annotations", {{kRedirection, annotation}}}}}}
      .dump();
}

std::string event_body(const PodFacts& pod, std::string_view node, std::string_view reason,
                       std::string_view message, std::string_view now) {
  const json body = {
      {"apiVersion", "v1"},
      {"kind", "Event"},
      {"metadata", {{"generateName", pod.name.substr(0, 200) + "."}, {"namespace", pod.ns}}},
      {"involvedObject",
       {{"apiVersion", "v1"},
        {"kind", "Pod"},
        {"namespace", pod.ns},
        {"name", pod.name},
        {"uid", pod.uid}}},
      {"reason", reason},
      {"message", message.substr(0, kMessageBytesMax)},
      {"type", "Warning"},
      {"count", 1},
      {"firstTimestamp", now},
      {"lastTimestamp", now},
      {"source", {{"component", kManager}, {"host", node}}}};
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

struct ApiWatch::Impl {
  std::vector<std::unique_ptr<kube::Sink>> sinks;
  struct Collection {
    std::string name;
    std::shared_ptr<kube::Informer> informer;
    std::string said;  // the last problem, of the thread of Http
  };
  std::vector<Collection> collections;
  std::unique_ptr<kube::Http> http;

  void add(std::string name, std::string path, std::string field_selector,
           std::unique_ptr<kube::Sink> sink, const std::function<void()>& changed) {
    std::random_device random;
    kube::Reflector::Options options;
    options.paths = {std::move(path)};
    options.field_selector = std::move(field_selector);
    options.seed = (static_cast<std::uint64_t>(random()) << 32) | random();
    collections.push_back(
        {std::move(name),
         std::make_shared<kube::Informer>(*http, std::move(options), *sink, changed),
         {}});
    sinks.push_back(std::move(sink));
  }
};

ApiWatch::ApiWatch(ApiWatchOptions options, UniqueFd ready)
    : options_(std::move(options)), ready_(std::move(ready)), impl_(std::make_unique<Impl>()) {}

ApiWatch::~ApiWatch() {
  if (impl_->http != nullptr) impl_->http->stop();
}

std::expected<std::unique_ptr<ApiWatch>, std::string> ApiWatch::open(ApiWatchOptions options) {
  UniqueFd ready(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ready) return std::unexpected(std::string("eventfd: ") + std::strerror(errno));
  std::unique_ptr<ApiWatch> watch(new ApiWatch(std::move(options), std::move(ready)));
  auto http = kube::Http::open(watch->options_.access);
  if (!http) return std::unexpected(http.error());
  Impl& impl = *watch->impl_;
  impl.http = *std::move(http);
  ApiWatch* raw = watch.get();
  const auto push = [raw](ApiChange change) { raw->push(std::move(change)); };
  const auto changed = [raw] { raw->log_health(); };
  impl.add("pods", kPods.path(), "spec.nodeName=" + watch->options_.node,
           std::make_unique<FactsSink<PodFacts, PodGone>>(read_pod, push, "uid"), changed);
  impl.add("namespaces", kNamespaces.path(), {},
           std::make_unique<FactsSink<NamespaceFacts, NamespaceGone>>(read_namespace, push, "name"),
           changed);
  if (!watch->options_.daemon_set.empty())
    impl.add("its own DaemonSet", kDaemonSets.path(watch->options_.daemon_set_namespace),
             "metadata.name=" + watch->options_.daemon_set, std::make_unique<DaemonSetSink>(push),
             changed);
  for (const auto& each : impl.collections) each.informer->run();
  return watch;
}

void ApiWatch::push(ApiChange change) {
  {
    const std::lock_guard lock(mutex_);
    changes_.push_back(std::move(change));
  }
  eventfd_write(ready_.get(), 1);
}

std::vector<ApiChange> ApiWatch::take() {
  eventfd_t count = 0;
  eventfd_read(ready_.get(), &count);
  const std::lock_guard lock(mutex_);
  return std::exchange(changes_, {});
}

// Each problem once, and its end.
void ApiWatch::log_health() {
  for (Impl::Collection& each : impl_->collections) {
    const std::string problem = each.informer->health().problem;
    if (problem == each.said) continue;
    if (!problem.empty())
      log_warning("cannot list or watch " + each.name + ": " + problem +
                  "; what is known of them stays in force");
    else
      log_info("the API server tells of " + each.name + " again");
    each.said = problem;
  }
}

void ApiWatch::annotate(const PodFacts& pod, bool enrolled) {
  if (writing_ >= kWritesMax) return;
  ++writing_;
  const kube::Target target{kPods, pod.ns, pod.name};
  impl_->http->send(
      kube::patch_status_request(target, annotation_patch(pod, enrolled), kManager),
      [this, target](const kube::Http::Answer& answer) {
        --writing_;
        if (answer) return;
        const kube::WriteError error = kube::write_error("patch", target, answer.error());
        if (error.refusal == kube::Refusal::kMissing || error.refusal == kube::Refusal::kConflict)
          return;  // the pod is gone, or another of its name is there
        log_warning(error.text);
      });
}

void ApiWatch::warn(const PodFacts& pod, std::string_view reason, std::string_view message) {
  if (writing_ >= kWritesMax) return;
  ++writing_;
  const kube::Target target{kEvents, pod.ns, {}};
  impl_->http->send(kube::create_request(target, event_body(pod, options_.node, reason, message,
                                                            kube::timestamp(std::time(nullptr)))),
                    [this, target](const kube::Http::Answer& answer) {
                      --writing_;
                      if (!answer)
                        log_warning(kube::write_error("create", target, answer.error()).text);
                    });
}

void ApiWatch::settle(std::chrono::milliseconds within) {
  const auto deadline = Clock::now() + within;
  while (writing_ > 0 && Clock::now() < deadline) {
    pollfd nothing{-1, 0, 0};
    poll(&nothing, 1, 10);
  }
}

}  // namespace mesh::ebpf
