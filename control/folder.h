#pragma once
// Folder: what the manifest files say, file by file, and what of it is in force. Pure: who watches
// the files (store.h) says what changed.
//
// What is in force of an object is its last good version. It leaves when its file no longer has it,
// and only then: not because the file cannot be read, not because the object is invalid, and not
// because a document beside it hides which object it is. Of two objects of one name the one that
// was there first stays, and the other is a problem. For one that never was good there is what
// closes what it meant to close (mesh/manifest/stand_in.h), or it is left out. The problem says
// which.

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "control/world.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {

class Folder {
 public:
  // The file's content is now this.
  void put(const std::string& file, manifest::Parsed parsed);
  void remove(const std::string& file);

  // What is in force after the changes so far. Call once for a batch of changes.
  const Objects& settle();

  // Ordered by file; conflicts between files included. As of the last settle().
  const std::vector<manifest::Problem>& problems() const { return problems_; }
  bool has_errors() const;

 private:
  struct Item {
    std::shared_ptr<const manifest::Object> object;
    unsigned line = 0;
  };
  struct File {
    std::map<manifest::ObjectKey, Item> items;
    std::vector<manifest::BrokenObject> broken;
    std::vector<manifest::BrokenObject> guessed;  // of a text that is not YAML
    std::vector<manifest::Problem> problems;
  };
  using Owners = std::map<manifest::ObjectKey, std::string>;  // the file that each came from

  using Conflicts = std::map<std::string, std::vector<manifest::Problem>>;  // by file

  void keep_last_good(Objects& next, Owners& owners);
  void close(Objects& next, const Owners& owners, Conflicts conflicts);
  std::string settle_broken(const std::string& name, const manifest::BrokenObject& broken,
                            Objects& next, const Owners& owners);

  std::map<std::string, File> files_;
  Objects in_force_;
  Owners owners_;
  std::map<manifest::ObjectKey, std::size_t> stand_ins_;  // how many of each name are in force
  std::vector<manifest::Problem> problems_;
};

}  // namespace mesh::control
