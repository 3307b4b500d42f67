#pragma once
// Informer: a Reflector at work on an Http. Keeps one collection in a Sink until Http ends.

#include <functional>
#include <memory>
#include <mutex>

#include "mesh/kube/http.h"
#include "mesh/kube/reflector.h"

namespace mesh::kube {

class Informer : public std::enable_shared_from_this<Informer> {
 public:
  // `sink` is called on the thread of Http, and `changed` after each step that did something.
  // Both must outlive `http`, as must what `http` is; begin with run().
  Informer(Http& http, Reflector::Options options, Sink& sink, std::function<void()> changed);

  // From any thread.
  void run();
  Reflector::Health health() const;

 private:
  class Open;
  void step();
  void changed();  // tells the others
  void closed();   // and sees to the next request

  Http& http_;
  const std::function<void()> changed_;
  mutable std::mutex mutex_;
  Reflector reflector_;       // of the thread of Http
  Reflector::Health health_;  // its copy for others
};

}  // namespace mesh::kube
