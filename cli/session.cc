#include "cli/session.h"

#include <cstdio>

namespace mesh::cli {

int complain(const std::string& sentence) {
  std::fprintf(stderr, "weft: %s\n", sentence.c_str());
  return kFailed;
}

Outcome<ControlTarget> control_target(const Session& session) {
  if (!session.control.empty()) return control_at(session.control, session.token_file);
  TRY(const lab::Record record, lab::find_lab(session.lab));
  if (!record.mesh) return problem("lab " + record.name + " runs without the mesh");
  return control_of(record);
}

}  // namespace mesh::cli
