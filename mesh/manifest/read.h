#pragma once
// The readers of single kinds. Each reads its object from the fields of a document, reporting what
// does not fit; the result counts only if nothing was reported as an error.

#include "mesh/manifest/fields.h"
#include "mesh/manifest/objects.h"

namespace mesh::manifest {

Object read_core(Kind kind, Fields& document, Metadata metadata);
Object read_security(Kind kind, Fields& document, Metadata metadata);
Object read_network(Kind kind, Fields& document, Metadata metadata);

}  // namespace mesh::manifest
