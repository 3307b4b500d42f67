#pragma once
// Reflector: keeps a copy of one collection of an API server. A state machine without I/O: what
// happened to the open request goes in, what to request next and when comes out.
//
//   list, page by page -> watch from there -> (its end) watch again -> (410) list again
//
// Where the server offers it, the list is the beginning of the watch (sendInitialEvents: WatchList
// of Kubernetes 1.32 and newer): the server need not hold a whole list, nor we a page. A server
// that refuses it, or does not know it, is asked for pages from then on.
//
// The copy never goes back in time: an answer that is older than what is known (another replica's
// cache) is not taken; only when a server insists (kInsist lists in a row: etcd was restored) is
// it; so does a server that does not know a version that a watch begins from, or that watches from
// before it, kInsist times in a row: it is asked for a list). What is there stays in force until a
// new list is complete. A collection that does not exist
// (its CRD is absent) is empty, and is looked for again; one that had objects counts as gone only
// when it stays away for kInsist looks.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/kube/backoff.h"
#include "mesh/kube/frames.h"

namespace mesh::kube {

// Where the objects go. Values are those of the API server, unread.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void begin_list() = 0;  // drops what was staged
  virtual void stage(manifest::Value&& object) = 0;
  virtual void commit_list() = 0;  // what is staged takes the place of all there is
  virtual void put(manifest::Value&& object) = 0;
  virtual void remove(manifest::Value&& object) = 0;
};

class Reflector {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr unsigned kInsist = 3;

  struct Options {
    std::vector<std::string> paths;  // one for each version of the API, the first to try first
    std::string field_selector, label_selector;
    unsigned page = 500;
    bool watch_list = true;  // if the server can
    std::uint64_t seed = 0;  // of the jitter
  };

  struct Request {
    bool watch = false;  // a stream of frames, be it of a list
    std::string target;  // path and query
  };

  enum class State { kStarting, kSynced, kAbsent, kForbidden, kFailing };
  struct Health {
    State state = State::kStarting;
    bool complete = false;         // there was a complete list, or the kind is absent
    std::string problem;           // of the last failure; empty once something succeeded
    bool asked_to_wait = false;    // the last failure is 429, or a cache that is not that far yet
    std::string resource_version;  // everything up to here is in the copy
    std::uint64_t lists = 0, watches = 0, events = 0, failures = 0, refused_old = 0;
  };

  Reflector(Options options, Sink& sink);

  // The request to make now; none while one is open, or before wake().
  std::optional<Request> next(Time now);
  Time wake() const { return wake_; }

  // What became of the open request. Of a list: one of page(), malformed(), too_large(), refused(),
  // broken(). Of a watch: frames, then one of the others or ended(). Each but frame() closes it.
  void page(const ListPage& page, Time now);
  // A line of the watch. False: the request is closed, and what still comes of it is dropped.
  bool frame(std::string_view line, Time now);
  void ended(Time now);                       // the server closed the watch in good order
  void malformed(std::string why, Time now);  // not what the protocol allows
  void too_large(Time now);
  void refused(const Status& status, Time now);  // an HTTP status that is not 200
  void broken(std::string why, Time now);        // the connection, or a deadline

  // The items of the open list, before page().
  void item(manifest::Value&& object) { sink_.stage(std::move(object)); }

  const Health& health() const { return health_; }

 private:
  Request list_request();
  Request watch_request();
  void use_pages();
  bool commit(const std::string& version, Time now);
  bool take_initial(WatchFrame&& frame, Time now);
  void close(Time wake);
  void fail(std::string why, Time now);
  void relist();
  void absent(Time now);
  void behind();
  bool take(WatchFrame&& frame, Time now);

  Options options_;
  Sink& sink_;
  Backoff backoff_;
  Health health_;
  Time wake_{};
  bool open_ = false;
  bool open_is_watch_ = false;
  bool listed_ = false;     // watch from version_ is what comes next
  bool delivered_ = false;  // the open watch brought something
  bool initial_ = false;    // the open watch is still saying what there is
  unsigned broken_initials_ = 0;
  unsigned page_ = 0;
  unsigned path_ = 0;  // of options_.paths
  unsigned absences_ = 0;
  unsigned older_lists_ = 0;
  unsigned garbage_ = 0;  // malformed watches in a row
  unsigned behind_ = 0;   // watches of a server that has not come as far as we, in a row
  std::string continue_;
  std::string version_;
};

}  // namespace mesh::kube
