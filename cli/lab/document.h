#pragma once
// A manifest file cut into its YAML documents, each with the place it came from and its content as
// JSON. This is only as much reading as a scheduler needs; whether an object is valid is for the
// control server to say (`weft-control --check`).

#include <string>
#include <string_view>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::lab {

struct Document {
  std::string file;
  int line = 1;        // of the document's first line in the file
  int line_count = 0;  // lines of text, separators not counted
  std::string kind = "";
  std::string ns = "";  // "" when the object names none
  std::string name = "";
  std::string json = "";  // the whole object
  bool in_list = false;   // one of several objects on these lines
};

// Empty documents are left out; the items of a List are objects like any other. Limits: 4 MiB a
// file, 10 000 documents. Errors: "FILE:LINE: what is wrong" for text that is not YAML, or an
// object without kind or name.
Outcome<std::vector<Document>> parse_documents(const std::string& file, std::string_view text);

// A manifest is a file whose name ends in .yaml, .yml or .json and does not start with a dot.
bool is_manifest_name(std::string_view file_name);

}  // namespace mesh::cli::lab
