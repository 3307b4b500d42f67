#include "control/mesh_state.h"

#include <algorithm>
#include <utility>

namespace mesh::control {

using manifest::Problem;
using manifest::Severity;

bool MeshState::put(std::string_view text) {
  known_ = true;
  if (in_force_ != nullptr && text == good_text_) return !std::exchange(problems_, {}).empty();
  manifest::ParsedMeshConfig parsed = manifest::parse_mesh_config(name_, text);
  const bool refused = std::ranges::any_of(
      parsed.problems, [](const Problem& problem) { return problem.severity == Severity::kError; });
  if (refused) return refuse(std::move(parsed.problems));
  in_force_ = std::make_shared<const manifest::MeshConfig>(std::move(parsed.config));
  good_text_ = text;
  problems_ = std::move(parsed.problems);
  return true;
}

bool MeshState::remove() { return put(""); }

bool MeshState::fail(std::string why) {
  Problem problem;
  problem.file = name_;
  problem.object = manifest::kMeshConfigObject;
  problem.message = std::move(why);
  return refuse({std::move(problem)});
}

bool MeshState::refuse(std::vector<Problem> problems) {
  Problem& word = problems.emplace_back();
  word.severity = Severity::kWarning;
  word.file = name_;
  word.object = manifest::kMeshConfigObject;
  word.message = in_force_ != nullptr
                     ? "what was good before stays in force"
                     : "it was never good here: nobody whom it names is known, and what would be "
                       "asked of them is denied";
  if (problems == problems_) return false;
  problems_ = std::move(problems);
  return true;
}

}  // namespace mesh::control
