#include "control/kubernetes/store.h"

#include <algorithm>
#include <chrono>

#include <future>
#include <random>
#include <utility>

#include "control/kubernetes/objects.h"
#include "mesh/kube/http.h"
#include "mesh/kube/informer.h"
#include "mesh/kube/resource.h"

namespace mesh::control {
namespace {

using Clock = std::chrono::steady_clock;
using State = kube::Reflector::State;

constexpr std::chrono::milliseconds kQuiet{30};
constexpr std::chrono::milliseconds kGatherMax{200};
constexpr std::chrono::seconds kSlow{5};  // a first list that takes longer is worth a word

}  // namespace

struct KubeStore::Impl {
  struct Kind {
    std::string name;
    std::unique_ptr<KubeObjects::Collection> collection;
    std::shared_ptr<kube::Informer> informer;
  };

  std::function<void(const StoreState&)> changed;
  // of the thread of `http`
  KubeObjects objects;
  std::vector<Kind> kinds;
  bool due = false;  // a publish() is on its way
  bool complete = false;
  std::vector<std::string> said;
  Clock::time_point first{}, last{}, begun{};
  kube::Http* http = nullptr;

  void begin();
  void note();
  void wait();
  void publish();
  std::vector<manifest::Problem> problems();
};

void KubeStore::Impl::begin() {
  begun = Clock::now();
  std::random_device random;
  for (const manifest::KnownKind& known : manifest::known_kinds()) {
    kube::Reflector::Options options;
    for (const kube::ResourceType& type : kube::types_of(known.kind)) {
      options.paths.push_back(type.path());
    }
    options.seed = (static_cast<std::uint64_t>(random()) << 32) | random();
    Kind kind;
    kind.name = known.name;
    kind.collection = std::make_unique<KubeObjects::Collection>(objects, known.kind);
    kind.informer = std::make_shared<kube::Informer>(*http, std::move(options), *kind.collection,
                                                     [this] { note(); });
    kinds.push_back(std::move(kind));
  }
  for (const Kind& kind : kinds) kind.informer->run();
  http->post([this] { http->at(begun + kSlow, [this] { note(); }); });
}

void KubeStore::Impl::note() {
  const auto now = Clock::now();
  last = now;
  if (std::exchange(due, true)) return;
  first = now;
  wait();
}

void KubeStore::Impl::wait() {
  http->at(std::min(last + kQuiet, first + kGatherMax), [this] {
    if (!due) return;
    const auto now = Clock::now();
    if (now < last + kQuiet && now < first + kGatherMax) return wait();
    publish();
  });
}

// What an operator must know about the copies: said until it is over.
std::vector<manifest::Problem> KubeStore::Impl::problems() {
  std::vector<manifest::Problem> problems = objects.problems();
  for (const Kind& kind : kinds) {
    const kube::Reflector::Health health = kind.informer->health();
    if (health.complete && health.state != State::kForbidden) continue;
    const bool waits = health.problem.empty() || health.asked_to_wait;
    if (waits && Clock::now() < begun + kSlow) continue;  // this is how every start looks
    const auto severity = waits ? manifest::Severity::kWarning : manifest::Severity::kError;
    const std::string text = health.problem.empty()
                                 ? "not listed yet"
                                 : "cannot be listed or watched: " + health.problem;
    problems.push_back({severity, "kubernetes", 0, kind.name, "", text});
  }
  return problems;
}

void KubeStore::Impl::publish() {
  due = false;
  if (!complete) {
    complete = std::all_of(kinds.begin(), kinds.end(),
                           [](const Kind& kind) { return kind.informer->health().complete; });
  }
  StoreState state;
  state.problems = problems();
  std::vector<std::string> texts;
  for (const auto& problem : state.problems) texts.push_back(problem.to_string());
  const bool news = texts != said;
  if (!objects.take_changed() && !news) return;
  said = std::move(texts);
  state.was_good = complete;
  state.world = std::make_shared<const World>(complete ? objects.objects() : Objects{});
  changed(state);
}

KubeStore::KubeStore(kube::Http& http, std::function<void(const StoreState&)> changed)
    : impl_(std::make_unique<Impl>()) {
  impl_->changed = std::move(changed);
  impl_->http = &http;
  impl_->begin();
}

KubeStore::~KubeStore() = default;

void KubeStore::settle(int timeout_ms) {
  const auto done = std::make_shared<std::promise<void>>();
  auto settled = done->get_future();
  impl_->http->post([impl = impl_.get(), done] {
    if (impl->due) impl->publish();
    done->set_value();
  });
  (void)settled.wait_for(std::chrono::milliseconds(timeout_ms));
}

const kubernetes::StatusCopies& KubeStore::statuses() const { return impl_->objects.statuses(); }

std::vector<KubeStore::KindHealth> KubeStore::health() const {
  std::vector<KindHealth> all;
  for (const Impl::Kind& kind : impl_->kinds) all.push_back({kind.name, kind.informer->health()});
  return all;
}

}  // namespace mesh::control
