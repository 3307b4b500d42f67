#pragma once
// WaypointHub: follows the world and computes what each waypoint proxy is to have, on a thread of
// its own: a burst of changes becomes one configuration, and proxies of one waypoint in one place
// share it.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "control/caller.h"
#include "control/envoy/messages.h"
#include "control/envoy/session.h"
#include "control/hub.h"

namespace mesh::control {

// One discovery stream of a waypoint proxy. Threads: any.
class WaypointConversation {
 public:
  // `wake` is called, without any lock of this, when next() may have something.
  WaypointConversation(Caller caller, bool delta, std::function<void()> wake);

  // The text of an error ends the stream.
  std::optional<std::string> receive(std::string_view bytes);
  std::optional<std::string> next();

  // What the proxy said it is; none before its first request.
  std::optional<WaypointNode> node() const;
  const Caller& caller() const { return caller_; }
  // Nothing is sent when it has that very one. `version`: of the world that it was computed from.
  void configure(std::shared_ptr<const WaypointSnapshot> snapshot, std::uint64_t version);
  // It is a proxy of no waypoint (any more): whatever it has, it keeps.
  void leave();

  struct Status {
    std::string pod, ns;
    bool configured = false;  // and a proxy of a waypoint still
    bool current = false;
    std::uint64_t acked_version = 0;  // of the last world of which it has acknowledged everything
    std::string last_nack;
    std::vector<std::pair<std::string, std::string>> types;  // see Follower
  };
  Status status() const;
  std::uint64_t nacks() const;

 private:
  const Caller caller_;
  const bool delta_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::optional<WaypointNode> node_;
  std::shared_ptr<const WaypointSnapshot> configured_;
  bool left_ = false;
  std::uint64_t version_ = 0, acked_version_ = 0;
  WaypointSession session_;
  void note_progress();
};

class WaypointHub final : public Follower {
 public:
  // Made by make(): the hub holds it as a follower. `note` hears, on the thread, what cannot be
  // honoured as it is written: each once, and again when it has gone and come back.
  using Note = std::function<void(const PolicyNote& note)>;
  static std::shared_ptr<WaypointHub> make(Hub& hub, Note note);
  ~WaypointHub() override;

  void add(const std::shared_ptr<WaypointConversation>& conversation);
  void remove(const WaypointConversation* conversation);
  // Somebody said who it is: compute for it.
  void look();

  void follow(std::shared_ptr<const Snapshot> snapshot) override;
  Status status() const override { return {}; }  // of no node
  std::vector<Status> proxies() const override;
  std::vector<PolicyNote> notes() const override;

  // Ends the thread; nobody is configured any more.
  void stop();

 private:
  WaypointHub(Settings settings, Note note);
  struct Computed;

  void run();
  void compute(const std::shared_ptr<const Snapshot>& snapshot);

  const Settings settings_;
  const Note note_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<const Snapshot> snapshot_;
  bool due_ = false;
  bool stopping_ = false;
  std::vector<PolicyNote> notes_;
  std::vector<std::weak_ptr<WaypointConversation>> conversations_;
  std::unique_ptr<Computed> computed_;  // the thread's own
  std::thread thread_;
};

// Which waypoint the pod of that name is a proxy of, if the caller may be it: it runs under the
// caller's service account, in the caller's namespace. nullptr: none.
const manifest::Gateway* gateway_of(const World& world, const Caller& caller,
                                    const WaypointNode& node);

}  // namespace mesh::control
