#include "control/folder.h"

#include <algorithm>
#include <utility>

#include "mesh/manifest/stand_in.h"

namespace mesh::control {

using manifest::BrokenObject;
using manifest::ObjectKey;
using manifest::Parsed;
using manifest::Problem;
using manifest::Severity;

namespace {

constexpr const char* kOfAFile =
    "what was good before stays in force, what is new is left out";  // unless it is named

// What a second object of one name is called that is not in force, but closed. No object has such a
// name.
ObjectKey numbered(ObjectKey key, std::size_t number) {
  key.name += "#" + std::to_string(number);
  return key;
}

std::shared_ptr<const manifest::Object> renamed(const manifest::Object& object,
                                                const std::string& name) {
  auto copy = std::make_shared<manifest::Object>(object);
  std::visit([&](auto& typed) { typed.metadata.name = name; }, *copy);
  return copy;
}

}  // namespace

void Folder::put(const std::string& file, Parsed parsed) {
  File& known = files_[file];
  known.problems = std::move(parsed.problems);
  known.guessed.clear();
  if (parsed.unreadable) {
    known.guessed = std::move(parsed.broken);
    return;
  }
  std::map<ObjectKey, Item> items;
  std::vector<BrokenObject> broken;
  // A document that hides which object it is may be any of those that are missing now.
  if (parsed.unidentified) {
    items = std::move(known.items);
    broken = std::move(known.broken);
  }
  const auto erase_broken = [&](const ObjectKey& key) {
    std::erase_if(broken, [&](const BrokenObject& one) { return one.key == key; });
  };
  for (manifest::ParsedObject& object : parsed.objects) {
    ObjectKey key = manifest::key_of(object.object);
    if (!broken.empty()) erase_broken(key);
    items[std::move(key)] = {std::make_shared<const manifest::Object>(std::move(object.object)),
                             object.line};
  }
  for (const BrokenObject& one : parsed.broken) {
    items.erase(one.key);
    if (!broken.empty()) erase_broken(one.key);
  }
  std::ranges::move(parsed.broken, std::back_inserter(broken));
  known.items = std::move(items);
  known.broken = std::move(broken);
}

void Folder::remove(const std::string& file) { files_.erase(file); }

const Objects& Folder::settle() {
  problems_.clear();
  Objects next;
  Owners owners;
  // Those that were in force first keep their names.
  for (const auto& [key, owner] : owners_) {
    const auto file = files_.find(owner);
    if (file == files_.end()) continue;
    const auto item = file->second.items.find(key);
    if (item == file->second.items.end()) continue;
    next[key] = item->second.object;
    owners[key] = owner;
  }
  Conflicts conflicts;
  for (const auto& [name, file] : files_) {
    for (const auto& [key, item] : file.items) {
      const auto [owner, is_new] = owners.emplace(key, name);
      if (is_new) {
        next[key] = item.object;
      } else if (owner->second != name) {
        conflicts[name].push_back(
            {Severity::kError, name, item.line, key.to_string(), "metadata.name",
             "there are two objects of this name: the other is in " + owner->second,
             "that one is in force"});
      }
    }
  }
  keep_last_good(next, owners);
  close(next, owners, std::move(conflicts));
  in_force_ = std::move(next);
  owners_ = std::move(owners);
  return in_force_;
}

// An object that is there but invalid stays as it was when it was last good.
void Folder::keep_last_good(Objects& next, Owners& owners) {
  for (const auto& [name, file] : files_) {
    for (const auto* list : {&file.broken, &file.guessed}) {
      for (const BrokenObject& one : *list) {
        const auto before = in_force_.find(one.key);
        if (before == in_force_.end() || stand_ins_.contains(one.key)) continue;
        if (next.emplace(one.key, before->second)) owners[one.key] = name;
      }
    }
  }
}

// What holds of the others, and with each problem what holds of its object.
void Folder::close(Objects& next, const Owners& owners, Conflicts conflicts) {
  stand_ins_.clear();
  for (const auto& [name, file] : files_) {
    std::map<std::string, std::string> holds;  // by object
    for (const BrokenObject& one : file.broken) {
      holds.insert_or_assign(one.key.to_string(), settle_broken(name, one, next, owners));
    }
    for (Problem problem : file.problems) {
      const auto known = holds.find(problem.object);
      if (problem.severity == Severity::kError && known != holds.end()) {
        problem.in_force = known->second;
      } else if (problem.severity == Severity::kError) {
        problem.in_force = kOfAFile;
      }
      problems_.push_back(std::move(problem));
    }
    // What is said of those is all that is said of them.
    std::size_t said = 0;
    for (const BrokenObject& one : file.guessed) {
      const bool is_known = owners.contains(one.key) && owners.at(one.key) == name;
      std::string in_force = settle_broken(name, one, next, owners);
      if (is_known || said++ == manifest::kMaxProblems) continue;
      problems_.push_back({Severity::kError, name, one.line, one.key.to_string(), "",
                           "its file is not YAML", std::move(in_force)});
    }
    std::ranges::move(conflicts[name], std::back_inserter(problems_));
  }
}

std::string Folder::settle_broken(const std::string& name, const BrokenObject& broken,
                                  Objects& next, const Owners& owners) {
  const auto owner = owners.find(broken.key);
  if (owner != owners.end()) {
    return owner->second == name ? manifest::kLastGoodHolds
                                 : "that of this name in " + owner->second + " is in force";
  }
  if (broken.stand_in == nullptr) return manifest::kLeftOut;
  const std::size_t number = ++stand_ins_[broken.key];
  if (number == 1) {
    next[broken.key] = broken.stand_in;
  } else {
    const ObjectKey key = numbered(broken.key, number);
    next[key] = renamed(*broken.stand_in, key.name);
  }
  return manifest::stand_in_words(broken.key.kind);
}

bool Folder::has_errors() const {
  return std::any_of(problems_.begin(), problems_.end(),
                     [](const Problem& p) { return p.severity == Severity::kError; });
}

}  // namespace mesh::control
