#pragma once
// What has to be written so that objects' status says what it should. Pure: the conditions that
// should be there (control/status.h) and the status that is there in, writes out. When both agree,
// there is none.
//
// Of a status only what is ours is touched: conditions of our types, the entries of a route's
// parents that our controller signed, the whole status of a Gateway of our class. A condition that
// does not change keeps its lastTransitionTime. Each write names the resourceVersion that it was
// derived from.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/kubernetes/write_queue.h"
#include "control/status.h"
#include "mesh/manifest/yaml.h"

namespace mesh::control::kubernetes {

// Of an object's status, what a writer must know.
struct StatusCopy {
  manifest::Value status;  // conditions, listeners, addresses and parents; null: none of them
  std::string resource_version;
  std::int64_t generation = 0;
  std::string refused;   // why our readers refuse the object as it is; empty: they do not
  std::string in_force;  // and what holds instead
};
using StatusCopies = std::map<manifest::ObjectKey, StatusCopy>;

bool has_status(manifest::Kind kind);
StatusCopy copy_status(const manifest::Value& object, std::string refused, std::string in_force);

// `now`: RFC 3339, in seconds.
std::vector<Write> plan_statuses(std::vector<ObjectStatus> wanted, const StatusCopies& copies,
                                 const std::string& now);

}  // namespace mesh::control::kubernetes
