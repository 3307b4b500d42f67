#pragma once
// KubeObjects: what of an API server's objects is in force. Pure: collections of raw objects in,
// objects and problems out.
//
// What is in force of an object is its last good version. One that our readers refuse (its CRD
// allows more than we can honour) is a problem, and stays as it was. If it never was good here (it
// is new, or this process is newer than its last good version), what stands for it closes what it
// meant to close, or it is left out (mesh/manifest/stand_in.h). Which of these it is, the object's
// status says.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/kubernetes/status_plan.h"
#include "control/world.h"
#include "mesh/kube/reflector.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {

using kubernetes::StatusCopies;
using kubernetes::StatusCopy;

class KubeObjects {
 public:
  // The collection of one kind. Borrows the KubeObjects.
  class Collection final : public kube::Sink {
   public:
    Collection(KubeObjects& all, manifest::Kind kind) : all_(all), kind_(kind) {}
    void begin_list() override;
    void stage(manifest::Value&& object) override;
    void commit_list() override;
    void put(manifest::Value&& object) override;
    void remove(manifest::Value&& object) override;

   private:
    struct Read {
      manifest::ObjectKey key;
      std::shared_ptr<const manifest::Object> object;  // null: left out
      bool stands_in = false;                          // `object` is for one that was never good
      std::vector<manifest::Problem> problems;
      std::optional<StatusCopy> status;  // of kinds that have one
    };
    std::optional<Read> read(const manifest::Value& object) const;
    std::optional<StatusCopy> status_of(const manifest::Value& object,
                                        const std::vector<manifest::Problem>& problems,
                                        std::string in_force) const;
    void take(Read&& read);

    KubeObjects& all_;
    const manifest::Kind kind_;
    std::vector<Read> staged_;
  };

  const Objects& objects() const { return objects_; }
  // What the status of the objects is on the server.
  const StatusCopies& statuses() const { return statuses_; }
  std::vector<manifest::Problem> problems() const;
  // Something changed since the last call.
  bool take_changed() { return std::exchange(changed_, false); }

 private:
  Objects objects_;
  std::map<manifest::ObjectKey, std::vector<manifest::Problem>> problems_;
  StatusCopies statuses_;
  std::set<manifest::ObjectKey> stand_ins_;
  bool changed_ = false;
};

}  // namespace mesh::control
