#pragma once
// Folder: what the manifest files say, file by file, and what of it is in force. Pure: who watches
// the files (store.h) says what changed.
//
// What is in force of an object is its last good version. It leaves when its file no longer has it,
// and only then: not because the file cannot be read, not because the object is invalid, and not
// because a document beside it hides which object it is. Of two objects of one name the one that
// was there first stays, and the other is a problem.

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
    std::vector<manifest::ObjectKey> broken;
    std::vector<manifest::Problem> problems;
  };

  std::map<std::string, File> files_;
  Objects in_force_;
  std::map<manifest::ObjectKey, std::string> owners_;  // the file that each came from
  std::vector<manifest::Problem> problems_;
};

}  // namespace mesh::control
