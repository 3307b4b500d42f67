#pragma once
// Store: the manifest folder, watched. Reads DIR/*.yaml, *.yml and *.json, not hidden ones, not
// sub-folders; notices changes by inotify, and by looking every two seconds where inotify is blind
// (hard links, network file systems).
//
// A file counts when its writer has closed it or has renamed it into place; one that is open for
// writing is left alone. A file that is missing counts as removed when it stays missing for 150 ms,
// since editors remove and rewrite. Changes are gathered for 30 ms, 200 ms at most.
//
// The last text of each file that had no errors is kept in another folder, and read first at the
// next start: a file that broke meanwhile, or just before, falls back on it then too.
//
// Threads: one of its own, which calls `changed`; the rest from any thread.
// Limits: 10 000 files, 4 MiB each; a file beyond is a problem and keeps its last good objects.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/world.h"
#include "mesh/base/result.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {

struct StoreState {
  std::shared_ptr<const World> world;
  std::vector<manifest::Problem> problems;
  // The folder has been without errors at least once, in this life or an earlier one. Before, there
  // is no good state to fall back on: nothing is to be served from it.
  bool was_good = false;
};

class Store {
 public:
  // Reads the folder once, calls `changed`, then again after each change. Good texts are kept in
  // `kept`, which must be there.
  // Errors: kSystem: the folder cannot be opened or watched.
  static Result<std::unique_ptr<Store>> open(std::string folder, std::string kept,
                                             std::function<void(const StoreState&)> changed);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Takes in what was written until now, without waiting for more: returns when `changed` was
  // called for it, or after `timeout_ms`.
  void settle(int timeout_ms);

 private:
  struct Watch;
  explicit Store(std::unique_ptr<Watch> watch);
  std::unique_ptr<Watch> watch_;
};

}  // namespace mesh::control
