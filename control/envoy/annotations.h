#pragma once
// What is wrong with the annotations of ours that an object has, by the object alone. Each reader
// of an annotation has its line here; the object's status says what it says.

#include <string>
#include <vector>

#include "mesh/manifest/objects.h"

namespace mesh::control {

// "weft.dev/local-rate-limit: says nothing: …", one a fault.
std::vector<std::string> annotation_faults(manifest::Kind kind, const manifest::Metadata& object);

}  // namespace mesh::control
