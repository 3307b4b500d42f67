#include "ebpf/kubernetes/keeper.h"

#include <fcntl.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "ebpf/node_log.h"

namespace mesh::ebpf {
namespace {

using std::chrono::seconds;

constexpr Clock::duration kFactsWithin = seconds(8);
constexpr Clock::duration kZtunnelWithin = seconds(5);
constexpr Clock::duration kPauseFirst = std::chrono::milliseconds(250);
constexpr Clock::duration kPauseMax = seconds(15);
constexpr Clock::duration kAnnotateEvery = seconds(5);
constexpr Clock::duration kWarnEvery = seconds(60);
constexpr Clock::duration kGoneFor = seconds(60);

std::string describe(const PodFacts& pod) { return pod.ns + "/" + pod.name; }

PodInfo info_of(const PodFacts& pod) {
  return {.uid = pod.uid,
          .name = pod.name,
          .ns = pod.ns,
          .service_account = pod.service_account,
          .ips = pod.ips,
          .netns_path = {},
          .container_id = {}};
}

}  // namespace

Keeper::Keeper(std::vector<std::string> excluded_namespaces, Enrolments& enrolments,
               PodWriter& writer, FindNamespaces find)
    : excluded_(std::move(excluded_namespaces)),
      enrolments_(enrolments),
      writer_(writer),
      find_(std::move(find)) {}

void Keeper::set_pods(std::vector<PodFacts> pods) {
  pods_.clear();
  for (PodFacts& pod : pods) {
    std::string uid = pod.uid;
    pods_.insert_or_assign(std::move(uid), std::move(pod));
  }
  std::erase_if(notes_, [this](const auto& each) {
    return !each.second.busy && !pods_.contains(each.first);
  });
  pods_known_ = dirty_ = true;
}

void Keeper::put_pod(PodFacts pod) {
  std::string uid = pod.uid;
  pods_.insert_or_assign(std::move(uid), std::move(pod));
  dirty_ = true;
}

void Keeper::remove_pod(const std::string& uid) {
  pods_.erase(uid);
  if (const auto note = notes_.find(uid); note != notes_.end() && !note->second.busy)
    notes_.erase(note);
  dirty_ = true;
}

void Keeper::set_namespaces(std::vector<NamespaceFacts> namespaces) {
  namespaces_.clear();
  for (const NamespaceFacts& ns : namespaces) namespaces_.insert_or_assign(ns.name, ns.mode);
  namespaces_known_ = dirty_ = true;
}

void Keeper::put_namespace(const NamespaceFacts& ns) {
  namespaces_.insert_or_assign(ns.name, ns.mode);
  dirty_ = true;
}

void Keeper::remove_namespace(const std::string& name) {
  namespaces_.erase(name);
  dirty_ = true;
}

bool Keeper::is_wanted(const PodFacts& pod) const {
  const auto ns = namespaces_.find(pod.ns);
  const auto mode = ns != namespaces_.end() ? ns->second : DataplaneMode::kUnset;
  return belongs_into_mesh(pod, mode, excluded_);
}

// By name, and by uid where the runtime says it: a pod of the same name may have been before.
const PodFacts* Keeper::find(const AgentRequest& request) const {
  for (const auto& [uid, pod] : pods_) {
    if (pod.name != request.pod.name || pod.ns != request.pod.ns || pod.finished) continue;
    if (request.pod.uid.empty() || request.pod.uid == uid) return &pod;
  }
  return nullptr;
}

void Keeper::handle(AgentRequest request, std::vector<UniqueFd> descriptors, OnReply reply,
                    Clock::time_point now) {
  now_ = now;
  switch (request.operation) {
    case Operation::kCniAdd: {
      if (descriptors.size() != 1)
        return reply(format_error("an ADD comes with the descriptor of the pod's namespace"));
      return add({.request = std::move(request),
                  .netns = std::move(descriptors.front()),
                  .reply = std::move(reply),
                  .since = now},
                 now);
    }
    case Operation::kCniCheck:
      return check(request, reply);
    case Operation::kCniDel:
      return del(request, reply, now);
    case Operation::kCniGc:
      return collect(request, reply);
    default:
      return reply(format_error("that is no question of a CNI plugin"));
  }
}

void Keeper::add(Waiting waiting, Clock::time_point now) {
  if (!serve(waiting, now)) waiting_.push_back(std::move(waiting));
}

// True once it is answered, or its enrolment is on its way.
bool Keeper::serve(Waiting& waiting, Clock::time_point now) {
  const std::string named = waiting.request.pod.ns + "/" + waiting.request.pod.name;
  const PodFacts* pod = is_complete() ? find(waiting.request) : nullptr;
  if (pod == nullptr || !namespaces_.contains(pod->ns)) {
    if (now < waiting.since + kFactsWithin) {
      sooner(waiting.since + kFactsWithin);
      return false;
    }
    waiting.reply(format_retry("the API server has not told the agent of pod " + named +
                               " yet, so whether it belongs into the mesh is not known"));
    return true;
  }
  if (!is_wanted(*pod)) {
    waiting.reply(format_enrolled(false));
    return true;
  }
  Note& note = notes_[pod->uid];
  if (!note.busy && enrolments_.has_ztunnel() && now >= note.try_after) {
    enrol_at_start(*pod, waiting);
    return true;
  }
  if (note.try_after > now) sooner(note.try_after);
  if (now < waiting.since + kZtunnelWithin) {
    sooner(waiting.since + kZtunnelWithin);
    return false;
  }
  const std::string why = !note.refusal.empty() ? note.refusal
                          : note.busy ? "pod " + named + " is just being removed from the mesh"
                                      : "this node has no ztunnel, which pod " + named +
                                            " needs to be in the mesh: it waits for one";
  if (!note.refusal.empty()) {
    warn(*pod, "MeshEnrolmentFailed", why, now);
  } else if (!note.busy) {
    warn(*pod, "WaitingForZtunnel", why, now);
  }
  note.refusal.clear();
  waiting.reply(format_retry(why));
  return true;
}

void Keeper::enrol_at_start(const PodFacts& pod, Waiting& waiting) {
  Note& note = notes_[pod.uid];
  note.busy = true;
  note.gone_until = {};
  PodInfo info = info_of(pod);
  info.ips = waiting.request.pod.ips;
  info.netns_path = waiting.request.pod.netns_path;
  info.container_id = waiting.request.pod.container_id;
  UniqueFd netns(::fcntl(waiting.netns.get(), F_DUPFD_CLOEXEC, 0));
  enrolments_.enrol(
      std::move(info), std::move(netns),
      [this, uid = pod.uid, waiting = std::make_shared<Waiting>(std::move(waiting))](
          const Enrolled& outcome) { finish_start(uid, std::move(*waiting), outcome); });
}

void Keeper::finish_start(const std::string& uid, Waiting waiting, const Enrolled& outcome) {
  notes_[uid].busy = false;
  dirty_ = true;
  if (outcome.error.empty() && outcome.ztunnel) {
    notes_[uid].refusal.clear();
    return waiting.reply(format_enrolled(true));
  }
  const std::string why =
      outcome.error.empty() ? "ztunnel went away before it took the pod" : outcome.error;
  remove(uid);
  // A ztunnel that ends refuses; the one that follows it takes the pod.
  if (outcome.captured && now_ < waiting.since + kZtunnelWithin) {
    notes_[uid].refusal = why;
    notes_[uid].try_after = now_ + kPauseFirst;
    sooner(notes_[uid].try_after);
    waiting_.push_back(std::move(waiting));
    return;
  }
  if (const auto facts = pods_.find(uid); facts != pods_.end())
    warn(facts->second, "MeshEnrolmentFailed", why, now_);
  // The runtime takes the namespace away and begins anew.
  waiting.reply(format_retry(why));
}

void Keeper::check(const AgentRequest& request, const OnReply& reply) const {
  const PodFacts* pod = is_complete() ? find(request) : nullptr;
  if (pod == nullptr) return reply(format_retry("the agent does not know the pod yet"));
  if (is_wanted(*pod) && enrolments_.enrolled(pod->uid) == nullptr)
    return reply(format_error("the pod belongs into the mesh and is not in it"));
  reply(format_ok());
}

std::vector<const PodInfo*> Keeper::all_captured() const {
  std::vector<const PodInfo*> all = enrolments_.all_enrolled();
  std::ranges::copy(enrolments_.all_let_go(), std::back_inserter(all));
  return all;
}

// The DEL of a former sandbox may come after the ADD of the next: only its own enrolment ends.
void Keeper::del(const AgentRequest& request, const OnReply& reply, Clock::time_point now) {
  const PodInfo* found = nullptr;
  for (const PodInfo* pod : all_captured()) {
    const bool same = request.pod.uid.empty()
                          ? pod->ns == request.pod.ns && pod->name == request.pod.name
                          : pod->uid == request.pod.uid;
    const bool its = pod->container_id.empty() || pod->container_id == request.pod.container_id;
    if (same && its) found = pod;
  }
  if (found == nullptr) return reply(format_ok());
  const std::string uid = found->uid;
  Note& note = notes_[uid];
  if (note.busy) return reply(format_retry("the pod is just being enrolled or removed"));
  note.busy = true;
  note.gone_until = now + kGoneFor;
  enrolments_.remove(uid, [this, uid, reply](const std::string& error) {
    if (pods_.contains(uid))
      notes_[uid].busy = false;
    else
      notes_.erase(uid);
    reply(error.empty() ? format_ok() : format_retry(error));
  });
}

void Keeper::collect(const AgentRequest& request, const OnReply& reply) {
  std::vector<std::string> gone;
  for (const PodInfo* pod : all_captured()) {
    if (!pod->container_id.empty() &&
        std::ranges::find(request.container_ids, pod->container_id) == request.container_ids.end())
      gone.push_back(pod->uid);
  }
  for (const std::string& uid : gone) {
    log_info("pod " + uid + " is gone, says the container runtime");
    notes_[uid].gone_until = now_ + kGoneFor;
    remove(uid);
  }
  reply(format_ok());
}

void Keeper::remove(const std::string& uid) {
  Note& note = notes_[uid];
  if (note.busy) return;
  note.busy = true;
  enrolments_.remove(uid, [this, uid](const std::string& error) {
    if (!error.empty()) log_error("pod " + uid + " cannot be removed: " + error);
    dirty_ = true;
    if (pods_.contains(uid))
      notes_[uid].busy = false;
    else
      notes_.erase(uid);
  });
}

void Keeper::advance(Clock::time_point now) {
  now_ = now;
  const bool due = now >= wake_;
  if (!dirty_ && !due) return;
  wake_ = Clock::time_point::max();
  std::vector<Waiting> waiting = std::exchange(waiting_, {});
  for (Waiting& each : waiting)
    if (!serve(each, now)) waiting_.push_back(std::move(each));
  dirty_ = false;
  if (is_complete()) reconcile(now);
}

void Keeper::reconcile(Clock::time_point now) {
  reconcile_leavers();
  reconcile_joiners(now);
  reconcile_annotations(now);
}

// Those that are enrolled and should not be: the pod has ended or is gone; or its labels changed,
// and it runs on.
void Keeper::reconcile_leavers() {
  std::vector<std::string> gone, leavers;
  const auto look_at = [&](const PodInfo* info) {
    const auto pod = pods_.find(info->uid);
    if (pod == pods_.end() || pod->second.finished)
      gone.push_back(info->uid);
    else if (!is_wanted(pod->second))
      leavers.push_back(info->uid);
  };
  std::ranges::for_each(enrolments_.all_enrolled(), look_at);
  for (const std::string& uid : leavers)
    if (!notes_[uid].busy) enrolments_.let_go(uid);
  std::ranges::for_each(enrolments_.all_let_go(), look_at);
  for (const std::string& uid : gone) remove(uid);
}

// Those that run, and were there before us or before their label.
void Keeper::reconcile_joiners(Clock::time_point now) {
  std::set<std::string> joiners;
  for (const auto& [uid, pod] : pods_) {
    if (pod.finished || pod.ips.empty() || !is_wanted(pod)) continue;
    if (enrolments_.enrolled(uid) != nullptr) continue;
    const Note& note = notes_[uid];
    const Clock::time_point after = std::max(note.try_after, note.gone_until);
    if (note.busy) continue;
    if (now < after) {
      sooner(after);
    } else if (!enrolments_.has_ztunnel()) {
      warn(pod, "WaitingForZtunnel",
           "this node has no ztunnel: the pod is not in the mesh until there is one", now);
    } else {
      joiners.insert(uid);
    }
  }
  if (joiners.empty()) return;
  std::map<std::string, UniqueFd> found = find_(joiners);
  for (const std::string& uid : joiners) {
    failed_try(uid, now);  // unless it is done by then
    const auto netns = found.find(uid);
    if (netns != found.end()) enrol_running(pods_.at(uid), std::move(netns->second));
  }
}

void Keeper::enrol_running(const PodFacts& pod, UniqueFd netns) {
  notes_[pod.uid].busy = true;
  enrolments_.enrol(info_of(pod), std::move(netns), [this, uid = pod.uid](const Enrolled& outcome) {
    Note& note = notes_[uid];
    note.busy = false;
    dirty_ = true;
    if (outcome.error.empty()) {
      note.pause = {};
      note.try_after = {};
      return;
    }
    // One that ztunnel refuses is tried again: said when it goes on for seconds.
    const bool may_pass = outcome.captured && note.pause < kZtunnelWithin / 2;
    if (const auto facts = pods_.find(uid); facts != pods_.end() && !may_pass)
      warn(facts->second, "MeshEnrolmentFailed", outcome.error, now_);
    if (outcome.captured) remove(uid);
  });
}

void Keeper::failed_try(const std::string& uid, Clock::time_point now) {
  Note& note = notes_[uid];
  note.pause = note.pause == Clock::duration{} ? kPauseFirst : std::min(2 * note.pause, kPauseMax);
  note.try_after = now + note.pause;
  sooner(note.try_after);
}

// What is written on the pod is what is the case. Of one that has ended it no longer matters.
void Keeper::reconcile_annotations(Clock::time_point now) {
  for (const auto& [uid, pod] : pods_) {
    const bool enrolled = enrolments_.enrolled(uid) != nullptr;
    if (pod.finished || pod.annotated == enrolled || pod.host_network) continue;
    Note& note = notes_[uid];
    if (note.busy) continue;
    if (now < note.annotate_after && note.annotated_as == enrolled) {
      sooner(note.annotate_after);
      continue;
    }
    note.annotated_as = enrolled;
    note.annotate_after = now + kAnnotateEvery;
    sooner(note.annotate_after);
    writer_.annotate(pod, enrolled);
  }
}

void Keeper::warn(const PodFacts& pod, const std::string& reason, const std::string& message,
                  Clock::time_point now) {
  Clock::time_point& warned = notes_[pod.uid].warned[reason];
  if (warned != Clock::time_point{} && now < warned + kWarnEvery) return;
  warned = now;
  log_warning("pod " + describe(pod) + ": " + message);
  writer_.warn(pod, reason, message);
}

void Keeper::say_goodbye() {
  for (const auto& [uid, pod] : pods_)
    if (pod.annotated && !pod.finished) writer_.annotate(pod, false);
}

void Keeper::sooner(Clock::time_point when) { wake_ = std::min(wake_, when); }

Keeper::Counts Keeper::counts() const {
  return {.pods = pods_.size(),
          .namespaces = namespaces_.size(),
          .waiting = waiting_.size(),
          .notes = notes_.size(),
          .complete = is_complete()};
}

}  // namespace mesh::ebpf
