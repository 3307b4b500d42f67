#pragma once
// Templates at work: trees and data in, text out. Pure.
//
// Limits: 8 MiB of text, 100 includes within each other.

#include <nlohmann/json_fwd.hpp>

#include <map>
#include <string>

#include "cli/outcome.h"

namespace mesh::cli::tmpl {

// `templates`: text by name; definitions are shared among them. `data` is what "." means at their
// tops; `files` is what .Files.Get reads. The answer: the text of each template whose name does not
// begin with "_" (its last part). Errors: "NAME:LINE: …".
Outcome<std::map<std::string, std::string>> render(
    const std::map<std::string, std::string>& templates, const nlohmann::json& data,
    const std::map<std::string, std::string>& files);

}  // namespace mesh::cli::tmpl
