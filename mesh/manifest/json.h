#pragma once
// JSON text as the same tree of values as YAML, so that one set of readers serves both. For what an
// API server sends: whole objects, and lists whose items are handed over one at a time.
//
// A string is a quoted scalar; a number or a boolean is a plain one, as it was written. A key given
// twice is an error, as in YAML. `metadata.managedFields` is passed over: nobody reads it, and it
// is half of many objects. Lines are 0.
//
// Limits: 64 levels, 200 000 values an object; the length of the text is the caller's business.

#include <expected>
#include <functional>
#include <string>
#include <string_view>

#include "mesh/manifest/yaml.h"

namespace mesh::manifest {

// What is wrong with the text.
using JsonResult = std::expected<Value, std::string>;

JsonResult read_json(std::string_view text);

// A list: everything but its items, which go to `item` in their order. Those that came before an
// error were handed over.
JsonResult read_json_list(std::string_view text, const std::function<void(Value&&)>& item);

}  // namespace mesh::manifest
