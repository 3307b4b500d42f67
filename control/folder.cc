#include "control/folder.h"

#include <algorithm>
#include <utility>

namespace mesh::control {

using manifest::ObjectKey;
using manifest::Parsed;
using manifest::Problem;
using manifest::Severity;

void Folder::put(const std::string& file, Parsed parsed) {
  File& known = files_[file];
  known.problems = std::move(parsed.problems);
  if (parsed.unreadable) return;
  std::map<ObjectKey, Item> items;
  // A document that hides which object it is may be any of those that are missing now.
  if (parsed.unidentified) items = std::move(known.items);
  for (manifest::ParsedObject& object : parsed.objects) {
    ObjectKey key = manifest::key_of(object.object);
    items[std::move(key)] = {std::make_shared<const manifest::Object>(std::move(object.object)),
                             object.line};
  }
  for (const ObjectKey& key : parsed.broken) items.erase(key);
  known.items = std::move(items);
  known.broken = std::move(parsed.broken);
}

void Folder::remove(const std::string& file) { files_.erase(file); }

const Objects& Folder::settle() {
  problems_.clear();
  Objects next;
  std::map<ObjectKey, std::string> owners;
  // Those that were in force first keep their names.
  for (const auto& [key, owner] : owners_) {
    const auto file = files_.find(owner);
    if (file == files_.end()) continue;
    const auto item = file->second.items.find(key);
    if (item == file->second.items.end()) continue;
    next[key] = item->second.object;
    owners[key] = owner;
  }
  for (const auto& [name, file] : files_) {
    problems_.insert(problems_.end(), file.problems.begin(), file.problems.end());
    for (const auto& [key, item] : file.items) {
      const auto [owner, is_new] = owners.emplace(key, name);
      if (is_new) {
        next[key] = item.object;
      } else if (owner->second != name) {
        problems_.push_back(
            {Severity::kError, name, item.line, key.to_string(), "metadata.name",
             "there are two objects of this name: the other is in " + owner->second});
      }
    }
  }
  // An object that is there but invalid stays as it was when it was last good.
  for (const auto& [name, file] : files_) {
    for (const ObjectKey& key : file.broken) {
      const auto before = in_force_.find(key);
      if (before != in_force_.end() && next.emplace(key, before->second)) {
        owners[key] = name;
      }
    }
  }
  in_force_ = std::move(next);
  owners_ = std::move(owners);
  return in_force_;
}

bool Folder::has_errors() const {
  return std::any_of(problems_.begin(), problems_.end(),
                     [](const Problem& p) { return p.severity == Severity::kError; });
}

}  // namespace mesh::control
