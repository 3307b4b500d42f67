#pragma once
// MeshState: the mesh's configuration as it is in force. Pure: texts in; the last good one, and
// what is wrong with that of now, out. Of one that never was good, nothing is in force: nobody is
// known by name, so what an AuthorizationPolicy would ask somebody is denied.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/manifest/mesh_config.h"

namespace mesh::control {

class MeshState {
 public:
  // `name`: what problems call where it is from.
  explicit MeshState(std::string name) : name_(std::move(name)) {}

  // It says this now. False: that changes nothing, not even what is wrong.
  bool put(std::string_view text);
  bool remove();               // there is none: nothing is configured
  bool fail(std::string why);  // nobody can tell what it says: the last good one stays

  // Null before put() or remove() had something good.
  const std::shared_ptr<const manifest::MeshConfig>& in_force() const { return in_force_; }
  const std::vector<manifest::Problem>& problems() const { return problems_; }
  // What it says has come at least once, good or not.
  bool is_known() const { return known_; }

 private:
  bool refuse(std::vector<manifest::Problem> problems);

  const std::string name_;
  bool known_ = false;
  std::string good_text_;
  std::shared_ptr<const manifest::MeshConfig> in_force_;
  std::vector<manifest::Problem> problems_;
};

}  // namespace mesh::control
